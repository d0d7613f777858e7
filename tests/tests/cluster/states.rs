//! What docs/operations.md promises in which state, a test a row; "one of three
//! gone" is in `failover.rs`.

use std::time::{Duration, Instant};

use redoubt_tests::clock::Clock;
use redoubt_tests::cluster::{Cluster, PATIENCE, member, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::{Answer, Lmtp};
use redoubt_tests::messages::message;
use redoubt_tests::room::SmallDisk;

use super::mail::{
    ALICE, alice, all_agree, deliver, deliver_until_taken, set, subjects, tokens, with_alice,
};

/// How long a call waits for a leader here; what comes on top of it on a busy machine.
const WAIT: (&str, &str) = ("REDOUBT_LIMITS_LEADER_WAIT_SECONDS", "2");
const BOUND: Duration = Duration::from_secs(20);
/// A disk with room for two segments, views and its reserve.
const DISK_MIB: u64 = 512;

fn try_deliver(cluster: &Cluster, n: usize, token: &str) -> Answer {
    let mut lmtp = Lmtp::connect(cluster.node(n).lmtp()).unwrap();
    lmtp.deliver("s@example.net", &[ALICE], &message(token, 2000)).unwrap().remove(0)
}

fn inbox(cluster: &Cluster, n: usize) -> Imap {
    let mut imap = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap
}

/// All that a survivor says while it is alone, each in its time.
fn refused_for_now(session: &mut Imap, mta: &mut Lmtp) {
    let bounded = |what: &str, done: &mut dyn FnMut() -> String| {
        let began = Instant::now();
        let said = done();
        assert!(began.elapsed() < BOUND, "{what} took {:?}", began.elapsed());
        said
    };
    for command in ["STATUS INBOX (MESSAGES)", "STORE 1 +FLAGS (\\Seen)", "FETCH 1 (BODY.PEEK[])"] {
        let said = bounded(command, &mut || session.command(command).unwrap().tagged);
        assert!(said.starts_with("NO [UNAVAILABLE]"), "{command}: {said}");
    }
    let octets = message("appended", 2000);
    let said = bounded("APPEND", &mut || session.append("INBOX", "", &octets).unwrap().tagged);
    assert!(said.starts_with("NO [UNAVAILABLE]"), "APPEND: {said}");
    let octets = message("deferred", 2000);
    let said = bounded("LMTP", &mut || {
        let answer = mta.deliver("s@example.net", &[ALICE], &octets).unwrap().remove(0);
        format!("{} {}", answer.code, answer.text)
    });
    assert!(said.starts_with("451 4."), "LMTP: {said}");
}

#[test]
fn two_gone_nothing_is_taken_or_read_and_all_is_there_when_one_is_back() {
    for survivor_leads in [false, true] {
        let mut cluster = Cluster::with(3, &[WAIT]);
        alice(&cluster);
        deliver(&cluster, 0, "before");
        cluster.caught_up();
        let leader = cluster.leader();
        let survivor = if survivor_leads { leader } else { (leader + 1) % 3 };
        let mut session = inbox(&cluster, survivor);
        let mut mta = Lmtp::connect(cluster.node(survivor).lmtp()).unwrap();
        let gone: Vec<usize> = (0..3).filter(|n| *n != survivor).collect();
        gone.iter().for_each(|n| cluster.node_mut(*n).kill());
        refused_for_now(&mut session, &mut mta);
        cluster.node_mut(gone[0]).start_again();
        // The MTA tries again; the session was never closed.
        deliver_until_taken(&cluster, survivor, "deferred");
        deliver_until_taken(&cluster, gone[0], "after");
        let mut there = subjects(&mut session);
        let kept = there.remove("appended");
        assert_eq!(there, set(["before", "deferred", "after"]));
        cluster.node_mut(gone[1]).start_again();
        let appended = kept.then_some("appended");
        all_agree(&cluster, &set(["before", "deferred", "after"].into_iter().chain(appended)));
    }
}

/// Three nodes, of which the first has a small disk.
fn with_small_disk() -> (Cluster, SmallDisk) {
    let mut cluster = Cluster::of(0);
    let disk = SmallDisk::mount(&cluster.home().join("n0"), DISK_MIB);
    cluster.found(&[]);
    cluster.join(0);
    cluster.join(0);
    alice(&cluster);
    (cluster, disk)
}

fn knows_room(cluster: &Cluster, asked: usize, n: usize, room: bool) {
    let id = cluster.id(n);
    cluster.wait(asked, "aware of the room on a disk", |status| {
        member(status, id).is_some_and(|member| member["growth_allowed"] == room)
    });
}

#[test]
fn a_full_disk_on_a_follower_stops_no_delivery_elsewhere() {
    let (cluster, disk) = with_small_disk();
    (0..3).for_each(|n| deliver(&cluster, 0, &format!("before {n}")));
    cluster.let_lead(1);
    disk.fill(20);
    knows_room(&cluster, 1, 0, false);
    (1..3).for_each(|n| deliver(&cluster, n, &format!("through {n}")));
    // Through the node itself nothing comes in that grows.
    let refused = try_deliver(&cluster, 0, "refused");
    assert_eq!((refused.code, &refused.text[..6]), (452, "4.3.1 "), "{refused:?}");
    let mut session = inbox(&cluster, 0);
    let said = session.append("INBOX", "", &message("refused", 2000)).unwrap().tagged;
    assert!(said.starts_with("NO [OVERQUOTA]"), "{said}");
    // Reading, flags, what shrinks and administration go on there.
    session.ok("STORE 1 +FLAGS (\\Deleted)").unwrap();
    session.ok("EXPUNGE").unwrap();
    cluster.node(0).account("bob@example.org");
    let left = ["before 1", "before 2", "through 1", "through 2"];
    assert_eq!(subjects(&mut session), set(left));
    let (code, table) = cluster.verb(1, &["cluster", "status"]);
    assert_eq!(code, 0, "{table}");
    assert!(table.contains("its disk is full"), "{table}");
    let id = cluster.id(0).to_string();
    let (code, said) = cluster.verb(1, &["cluster", "transfer", &id]);
    assert_eq!(code, 5, "{said}");
    assert!(said.contains("full disk"), "{said}");
    disk.free();
    knows_room(&cluster, 1, 0, true);
    deliver_until_taken(&cluster, 0, "there is room");
    all_agree(&cluster, &set(left.into_iter().chain(["there is room"])));
}

/// What the others acknowledge goes into what was allocated ahead.
#[test]
fn a_disk_that_is_full_to_the_last_byte_costs_no_mail() {
    let (mut cluster, disk) = with_small_disk();
    deliver(&cluster, 0, "before");
    cluster.let_lead(1);
    disk.fill(0);
    let mut mta = Lmtp::connect(cluster.node(2).lmtp()).unwrap();
    let tokens: Vec<String> = (0..8).map(|n| format!("large {n}")).collect();
    for token in &tokens {
        let answers = mta.deliver("s@example.net", &[ALICE], &noise(token, 1 << 20)).unwrap();
        assert_eq!(answers[0].code, 250, "{token}: {}", answers[0].text);
    }
    disk.free();
    // A supervisor starts it, should it have ended.
    if cluster.node_mut(0).has_ended() {
        cluster.node_mut(0).start_again();
    }
    deliver_until_taken(&cluster, 0, "there is room");
    let all = set(["before", "there is room"].into_iter().chain(tokens.iter().map(String::as_str)));
    all_agree(&cluster, &all);
}

/// A message that does not compress.
fn noise(token: &str, size: usize) -> Vec<u8> {
    let line = || format!("{:032x}{:032x}\r\n", rand::random::<u128>(), rand::random::<u128>());
    let mut text = format!("From: a@example.net\r\nSubject: {token}\r\n\r\n");
    while text.len() < size {
        text += &line();
    }
    text.into_bytes()
}

#[test]
fn a_leader_whose_disk_is_full_hands_over() {
    let (mut cluster, disk) = with_small_disk();
    deliver(&cluster, 0, "before");
    cluster.let_lead(0);
    let mut session = inbox(&cluster, 0);
    disk.fill(20);
    let other = until(PATIENCE, || Some(cluster.leader()).filter(|leader| *leader != 0));
    let other = other.expect("another leads");
    (1..3).for_each(|n| deliver_until_taken(&cluster, n, &format!("through {n}")));
    // With one more gone no majority has room, as soon as that is known.
    let third = 3 - other;
    cluster.node_mut(third).kill();
    let refused = until(PATIENCE, || {
        let answer = try_deliver(&cluster, other, "deferred");
        (answer.code == 452 && answer.text.starts_with("4.3.1 ")).then_some(())
    });
    assert!(refused.is_some(), "mail is still taken");
    disk.free();
    deliver_until_taken(&cluster, other, "deferred");
    deliver_until_taken(&cluster, 0, "there is room");
    cluster.node_mut(third).start_again();
    let all = set(["before", "through 1", "through 2", "deferred", "there is room"]);
    assert_eq!(subjects(&mut session), all);
    all_agree(&cluster, &all);
}

/// Three nodes, of which one, that does not lead, has a clock that can be set.
fn with_clock() -> (Cluster, usize, Clock) {
    let mut cluster = with_alice(3);
    deliver(&cluster, 0, "before");
    let odd = cluster.follower();
    let clock = Clock::new(cluster.home()).unwrap();
    let clock = clock.expect("libfaketime: `make setup-test` installs it");
    cluster.node_mut(odd).stop();
    for (name, value) in clock.environment() {
        cluster.node_mut(odd).set(name, value.to_str().unwrap());
    }
    cluster.node_mut(odd).start_again();
    cluster.caught_up();
    (cluster, odd, clock)
}

fn seen_off(cluster: &Cluster, asked: usize, n: usize, off: bool) {
    let id = cluster.id(n);
    cluster.wait(asked, "aware of a clock", |status| {
        let offset = member(status, id).and_then(|member| member["clock_offset_ms"].as_i64());
        offset.is_some_and(|ms| (ms.abs() > 2000) == off)
    });
}

#[test]
fn a_wrong_clock_on_a_follower_is_shown_and_does_no_harm() {
    let (cluster, odd, clock) = with_clock();
    let leader = cluster.leader();
    for (round, step) in [-86_400, 3_600].into_iter().enumerate() {
        clock.set(step).unwrap();
        seen_off(&cluster, leader, odd, true);
        (0..3).for_each(|n| deliver(&cluster, n, &format!("round {round} through {n}")));
        assert_ne!(cluster.leader(), odd);
        let id = cluster.id(odd).to_string();
        let (code, said) = cluster.verb(leader, &["cluster", "transfer", &id]);
        assert_eq!(code, 5, "{said}");
        assert!(said.contains("clock") && said.contains("NTP"), "{said}");
    }
    // What came in at that node has the time of the others, and the UIDs their order.
    let mut imap = inbox(&cluster, odd);
    let today = imap.ok("UID SEARCH SINCE 1-Jan-2020").unwrap();
    assert_eq!(today.untagged[0].split(|octet| *octet == b' ').count(), 1 + 7, "{today:?}");
    clock.set(0).unwrap();
    seen_off(&cluster, leader, odd, false);
    // It must know too, or it hands leadership back at once.
    (0..3).filter(|n| *n != odd).for_each(|n| seen_off(&cluster, odd, n, false));
    cluster.let_lead(odd);
    assert_eq!(tokens(&cluster, odd).len(), 7);
}

#[test]
fn a_leader_with_a_wrong_clock_hands_over() {
    let (cluster, odd, clock) = with_clock();
    cluster.let_lead(odd);
    let mut session = inbox(&cluster, odd);
    clock.set(-3_600).unwrap();
    let other = until(PATIENCE, || Some(cluster.leader()).filter(|leader| *leader != odd));
    assert!(other.is_some(), "it still leads");
    (0..3).for_each(|n| deliver_until_taken(&cluster, n, &format!("through {n}")));
    let all = set(["before", "through 0", "through 1", "through 2"]);
    assert_eq!(subjects(&mut session), all, "its sessions went on");
    clock.set(0).unwrap();
    all_agree(&cluster, &all);
}

#[test]
fn a_light_voter_makes_the_majority_and_serves_nobody() {
    let mut cluster = Cluster::with(2, &[WAIT]);
    alice(&cluster);
    let light = cluster.join_with(0, &["--light"]);
    deliver(&cluster, 0, "before");
    let id = cluster.id(light);
    let leader = cluster.leader();
    cluster.wait(leader, "aware of the light voter", |status| {
        member(status, id).is_some_and(|m| m["light"] == true && m["role"] == "voter")
    });
    let (code, table) = cluster.verb(leader, &["cluster", "status"]);
    assert!(code == 0 && table.contains("light voter"), "{table}");
    let (code, said) = cluster.verb(leader, &["cluster", "transfer", &id.to_string()]);
    assert!(code == 5 && said.contains("light voter"), "{said}");
    assert!(!cluster.node(light).serves("imap") && !cluster.node(light).serves("lmtp"));
    // Either full node may go: the other and the light voter go on.
    for gone in [leader, 1 - leader] {
        cluster.node_mut(gone).kill();
        deliver_until_taken(&cluster, 1 - gone, &format!("without {gone}"));
        cluster.node_mut(gone).start_again();
        cluster.caught_up();
    }
    // With both gone nobody serves; what was acknowledged is all there afterwards.
    (0..2).for_each(|n| cluster.node_mut(n).kill());
    let none =
        until(PATIENCE, || (cluster.verb(light, &["cluster", "status"]).0 == 3).then_some(()));
    assert!(none.is_some(), "somebody leads");
    (0..2).for_each(|n| cluster.node_mut(n).start_again());
    let all = set(["before", "without 0", "without 1"]);
    assert_eq!((tokens(&cluster, 0), tokens(&cluster, 1)), (all.clone(), all));
    // Its log is what the others' is.
    let (code, said) = cluster.verb(cluster.leader(), &["check", "--peers"]);
    assert_eq!(code, 0, "{said}");
}
