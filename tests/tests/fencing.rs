//! Leaders that do not know yet that they lead no more, and old disks that come
//! back: nothing stale is served, nothing is acknowledged that does not stay.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use redoubt_tests::cluster::{Cluster, PATIENCE, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::{Lmtp, stuffed};
use redoubt_tests::messages::message;
use redoubt_tests::programs::contents;

const ALICE: &str = "alice@example.org";
/// Bounds that a test can wait for.
const SOON: [(&str, &str); 2] =
    [("REDOUBT_LIMITS_LEADER_WAIT_SECONDS", "4"), ("REDOUBT_LIMITS_CUT_OFF_SECONDS", "2")];

fn prepared(cluster: Cluster) -> Cluster {
    cluster.node(0).domain("example.org");
    cluster.node(0).account(ALICE);
    cluster.caught_up();
    cluster
}

fn imap(cluster: &Cluster, n: usize) -> Imap {
    Imap::login(cluster.node(n).imap(), ALICE).unwrap()
}

/// One try to deliver at a node: the code, or `None` when it is not known.
fn attempt(cluster: &Cluster, n: usize, token: &str) -> Option<u16> {
    let mut lmtp = Lmtp::connect(cluster.node(n).lmtp()).ok()?;
    let answers = lmtp.deliver("s@example.net", &[ALICE], &message(token, 2_000)).ok()?;
    Some(answers[0].code)
}

/// Delivers as an MTA does: again, at one running node after the other, until it is taken.
fn deliver(cluster: &Cluster, token: &str) {
    let taken =
        until(PATIENCE, || cluster.running().find(|n| attempt(cluster, *n, token) == Some(250)));
    assert!(taken.is_some(), "{token} was not taken in {PATIENCE:?}");
}

/// What is in the INBOX, by tokens; no token twice.
fn there(cluster: &Cluster, n: usize) -> Vec<String> {
    contents(&mut imap(cluster, n), "INBOX").into_keys().collect()
}

/// Every node shows exactly these.
fn all_have(cluster: &Cluster, expected: &[&str]) {
    for n in cluster.running() {
        assert_eq!(there(cluster, n), expected, "on node {n}");
    }
}

/// An answer's status from the admin HTTPS.
fn health(cluster: &Cluster, n: usize, path: &str) -> String {
    let url = format!("https://{}{path}", cluster.node(n).address("admin_https"));
    let arguments = ["-sk", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}", &url];
    let output = Command::new("curl").args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_leader_that_was_stopped_answers_nothing_stale() {
    let mut cluster = prepared(Cluster::of(3));
    deliver(&cluster, "a before");
    let old = cluster.leader();
    let (mut reader, mut writer) = (imap(&cluster, old), imap(&cluster, old));
    reader.ok("SELECT INBOX").unwrap();
    let mut mta = Lmtp::connect(cluster.node(old).lmtp()).unwrap();
    cluster.node_mut(old).pause();
    deliver(&cluster, "b meanwhile");
    let new = cluster.leader();
    assert_ne!(new, old);
    let mut elsewhere = imap(&cluster, new);
    elsewhere.ok("SELECT INBOX").unwrap();
    elsewhere.ok("UID STORE 1 +FLAGS.SILENT (\\Flagged)").unwrap();
    // It finds these when it goes on, and does not know yet that another leads.
    let search = reader.send(b"UID SEARCH FLAGGED").unwrap();
    let status = writer.send(b"STATUS INBOX (MESSAGES UIDNEXT)").unwrap();
    mta.raw(b"MAIL FROM:<s@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n").unwrap();
    cluster.node_mut(old).resume();
    let said = writer.finish(&status).unwrap();
    let line = String::from_utf8_lossy(&said.untagged[0]).into_owned();
    assert!(line.contains("MESSAGES 2") && line.contains("UIDNEXT 3"), "{line}");
    let found = reader.finish(&search).unwrap();
    assert!(found.untagged.iter().any(|line| line == b"SEARCH 1"), "{found:?}");
    // The transaction goes on through whoever leads now.
    let codes: Vec<u16> = (0..3).map(|_| mta.answer().unwrap().code).collect();
    assert_eq!(codes, [250, 250, 354]);
    mta.raw(&stuffed(&message("c after", 2_000))).unwrap();
    assert_eq!(mta.answer().unwrap().code, 250);
    cluster.caught_up();
    all_have(&cluster, &["a before", "b meanwhile", "c after"]);
}

#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing_and_says_good_bye() {
    let cluster = prepared(Cluster::wired(3, &SOON));
    deliver(&cluster, "a before");
    let old = cluster.leader();
    let (mut idle, mut busy) = (imap(&cluster, old), imap(&cluster, old));
    idle.ok("SELECT INBOX").unwrap();
    idle.send(b"IDLE").unwrap();
    assert!(idle.response().unwrap().starts_with(b"+ "));
    busy.ok("SELECT INBOX").unwrap();
    let mut mta = Lmtp::connect(cluster.node(old).lmtp()).unwrap();
    assert_eq!(health(&cluster, old, "/readyz"), "200");
    cluster.cut(old);
    let began = Instant::now();
    let answers = mta.deliver("s@example.net", &[ALICE], &message("b refused", 2_000)).unwrap();
    assert!(answers[0].code / 100 == 4, "{answers:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    let farewell = idle.response().unwrap();
    assert!(farewell.starts_with(b"* BYE [UNAVAILABLE]"), "{farewell:?}");
    if let Ok(store) = busy.command("STORE 1 +FLAGS (\\Seen)") {
        assert!(!store.is_ok(), "{store:?}");
    }
    assert!(Imap::login(cluster.node(old).imap(), ALICE).is_err(), "nobody is served there");
    assert!(Lmtp::connect(cluster.node(old).lmtp()).is_err(), "MTAs are sent elsewhere");
    assert_eq!(
        (health(&cluster, old, "/readyz").as_str(), health(&cluster, old, "/livez").as_str()),
        ("503", "200")
    );
    // The others go on without it.
    let other = (0..3).find(|n| *n != old).unwrap();
    let taken =
        until(PATIENCE, || (attempt(&cluster, other, "c meanwhile") == Some(250)).then_some(()));
    assert!(taken.is_some());
    cluster.heal(old);
    cluster.caught_up();
    deliver(&cluster, "b refused");
    let ready = until(PATIENCE, || (health(&cluster, old, "/readyz") == "200").then_some(()));
    assert!(ready.is_some());
    all_have(&cluster, &["a before", "b refused", "c meanwhile"]);
    let mut imap = imap(&cluster, old);
    imap.ok("SELECT INBOX").unwrap();
    let seen = imap.ok("SEARCH SEEN").unwrap();
    assert_eq!(seen.untagged, [b"SEARCH".to_vec()], "what was refused did not happen");
}

/// Two of three have what was acknowledged, and one of the two comes back without it: were it let
/// in, it could elect the third, which never had it.
#[test]
fn an_image_of_a_running_follower_is_refused_right_after_its_last_acknowledgement() {
    let mut cluster = prepared(Cluster::of(3));
    deliver(&cluster, "a before");
    cluster.caught_up();
    let (leader, node) = (cluster.leader(), cluster.follower());
    let third = 3 - leader - node;
    let image = running_image(&mut cluster, node);
    cluster.node_mut(third).pause();
    // Without the third it is this one's acknowledgement that makes a majority.
    assert_eq!(attempt(&cluster, leader, "b acknowledged"), Some(250));
    cluster.node_mut(node).kill();
    cluster.node_mut(third).resume();
    come_back_and_be_refused(&mut cluster, node, &image);
    deliver(&cluster, "c after");
    all_have(&cluster, &["a before", "b acknowledged", "c after"]);
    let told = until(PATIENCE, || {
        let (_, status) = cluster.verb(leader, &["cluster", "status", "--json"]);
        status.contains("restored from an older image").then_some(())
    });
    assert!(told.is_some(), "the leader says whom it refuses, and why");
}

/// As by a backup of a stopped machine: it knows of one start less, as many as the image
/// will have when it is started.
#[test]
fn an_image_of_a_stopped_node_is_refused_right_after_its_last_acknowledgement() {
    let mut cluster = prepared(Cluster::of(3));
    let node = cluster.follower();
    cluster.node_mut(node).stop();
    let data = cluster.node(node).data().to_owned();
    let image = data.with_extension("image");
    copy(&data, &image);
    cluster.node_mut(node).start_again();
    deliver(&cluster, "a once");
    cluster.node_mut(node).kill();
    come_back_and_be_refused(&mut cluster, node, &image);
    deliver(&cluster, "b after");
    all_have(&cluster, &["a once", "b after"]);
}

/// Those who followed know what their leader had.
#[test]
fn an_image_of_a_leader_is_refused_right_after_its_last_acknowledgement() {
    let mut cluster = prepared(Cluster::of(3));
    deliver(&cluster, "a before");
    cluster.caught_up();
    let node = cluster.follower();
    let image = running_image(&mut cluster, node);
    let id = cluster.id(node).to_string();
    cluster.node(node).verb(&["cluster", "transfer", &id]);
    assert_eq!(attempt(&cluster, node, "b acknowledged"), Some(250));
    cluster.node_mut(node).kill();
    come_back_and_be_refused(&mut cluster, node, &image);
    deliver(&cluster, "c after");
    all_have(&cluster, &["a before", "b acknowledged", "c after"]);
}

/// What a snapshot of a machine's disk gives while it runs.
fn running_image(cluster: &mut Cluster, node: usize) -> PathBuf {
    let data = cluster.node(node).data().to_owned();
    let image = data.with_extension("image");
    cluster.node_mut(node).pause();
    copy(&data, &image);
    cluster.node_mut(node).resume();
    image
}

/// The image is all that the node has left, and it is started once.
fn come_back_and_be_refused(cluster: &mut Cluster, node: usize, image: &Path) {
    let data = cluster.node(node).data().to_owned();
    std::fs::remove_dir_all(&data).unwrap();
    copy(image, &data);
    cluster.node_mut(node).begin();
    let log = cluster.node(node).log_file();
    let refused = until(PATIENCE, || {
        let said = std::fs::read_to_string(&log).unwrap();
        said.contains("the store has stopped: node").then_some(said)
    });
    let refused = refused.unwrap_or_else(|| panic!("it goes on: {}", tail(&log)));
    assert!(refused.contains("its disk was restored from"), "{}", tail(&log));
    assert_ne!(cluster.node_mut(node).ended().0, 0);
}

fn tail(log: &Path) -> String {
    let said = std::fs::read_to_string(log).unwrap();
    let lines: Vec<&str> = said.lines().rev().take(20).collect();
    lines.join("\n")
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap();
    assert!(status.success());
}

/// What a leader was told when it died is there once, whether it had said 250 or not.
#[test]
fn a_leader_killed_within_data_loses_nothing_and_doubles_nothing() {
    let mut cluster = prepared(Cluster::of(3));
    let mut expected = Vec::new();
    for round in 0..3 {
        let leader = cluster.leader();
        let follower = cluster.follower();
        let tokens = [format!("half {round}"), format!("whole {round}"), format!("far {round}")];
        let mut half = begun(&cluster, leader);
        let mut whole = begun(&cluster, leader);
        let mut far = begun(&cluster, follower);
        let octets = stuffed(&message(&tokens[0], 60_000));
        half.raw(&octets[..octets.len() / 2]).unwrap();
        whole.raw(&stuffed(&message(&tokens[1], 2_000))).unwrap();
        far.raw(&stuffed(&message(&tokens[2], 2_000))).unwrap();
        cluster.node_mut(leader).kill();
        // A client of another node hears nothing of it but a pause.
        assert_eq!(far.answer().unwrap().code, 250);
        assert!(half.answer().is_err());
        deliver_again(&cluster, &tokens[0], 60_000);
        if whole.answer().map(|answer| answer.code).ok() != Some(250) {
            deliver_again(&cluster, &tokens[1], 2_000);
        }
        cluster.node_mut(leader).start_again();
        cluster.caught_up();
        expected.extend(tokens);
    }
    expected.sort();
    all_have(&cluster, &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

/// A transaction that waits for its data.
fn begun(cluster: &Cluster, n: usize) -> Lmtp {
    let mut lmtp = Lmtp::connect(cluster.node(n).lmtp()).unwrap();
    assert_eq!(lmtp.command("MAIL FROM:<s@example.net>").unwrap().code, 250);
    assert_eq!(lmtp.command(&format!("RCPT TO:<{ALICE}>")).unwrap().code, 250);
    assert_eq!(lmtp.command("DATA").unwrap().code, 354);
    lmtp
}

fn deliver_again(cluster: &Cluster, token: &str, size: usize) {
    let octets = message(token, size);
    let taken = until(PATIENCE, || {
        cluster.running().find(|n| {
            let answers = Lmtp::connect(cluster.node(*n).lmtp())
                .and_then(|mut lmtp| lmtp.deliver("s@example.net", &[ALICE], &octets));
            answers.is_ok_and(|answers| answers[0].code == 250)
        })
    });
    assert!(taken.is_some(), "{token}");
}
