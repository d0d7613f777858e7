//! Erasures of a real server: what was planted is found in its files before, compressed and
//! encoded, and in none of them after; what others have stays, octet by octet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::time::Duration;

use redoubt_tests::cluster::{Cluster, until};
use redoubt_tests::disaster;
use redoubt_tests::imap::{Imap, item};
use redoubt_tests::page::{Page, types};
use redoubt_tests::process::Redoubt;
use redoubt_tests::scene::Scene;
use redoubt_tests::traces::{Traces, base64};
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
/// How long the server may take to reach every file.
const PATIENCE: Duration = Duration::from_secs(120);

/// Texts that are in no other message.
const SUBJECT: &str = "Quillfeather-7731";
const BODY: &str = "zanzibarquokka5519";
const HTML: &str = "vermillionotter8824";
const SMALL: &str = "peppercornlynx3307";
const LARGE: &str = "marzipanheron6642";
const PLANTED: [&str; 5] = [SUBJECT, BODY, HTML, SMALL, LARGE];

fn lines(text: &str) -> String {
    let chunks = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap());
    chunks.collect::<Vec<_>>().join("\r\n")
}

/// A message with a text in each of its parts; the large part is a blob of its own.
fn planted(large: &[u8]) -> Vec<u8> {
    let small = base64(format!("notes about {SMALL}\n").as_bytes());
    let text = format!(
        "From: Sender <sender@example.net>\r\nTo: Reader <reader@example.org>\r\n\
         Subject: {SUBJECT}\r\nMessage-ID: <{SUBJECT}@example.net>\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nsee {BODY} at once\r\n\
         --b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <p>{}</p>\r\n\
         --b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{small}\r\n\
         --b\r\nContent-Type: text/plain; name=b.txt\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        format!("{HTML} <b>here</b>").replace('=', "=3D"),
        lines(&base64(large)),
    );
    text.into_bytes()
}

/// Too large to lie within a message, and of no pattern that would compress it away.
fn large(token: &str) -> Vec<u8> {
    let mut text = String::new();
    for line in 0..900 {
        text += &format!("{} {token} {line}\n", blake3::hash(&[line as u8, (line >> 8) as u8]));
    }
    text.into_bytes()
}

fn append(server: &Redoubt, account: &str, message: &[u8]) {
    let mut imap = Imap::login(server.imap(), account).unwrap();
    assert!(imap.append("INBOX", "", message).unwrap().is_ok());
}

fn begun(said: &[Value]) -> String {
    said[0]["erasure"].as_str().unwrap().to_owned()
}

fn shown(server: &Redoubt, erasure: &str) -> Value {
    let said = server.run(&["erase", "show", erasure, "--json"]).stdout;
    serde_json::from_slice(&said).unwrap_or_default()
}

fn complete(server: &Redoubt, erasure: &str) -> Value {
    let mut last = Value::Null;
    let done = || {
        last = shown(server, erasure);
        (last["complete"] == true).then(|| last.clone())
    };
    until(PATIENCE, done).unwrap_or_else(|| panic!("{last}"))
}

/// No file of a folder has anything of what was planted, whatever is opened.
fn clean(folder: &Path, indexes: bool) {
    let traces = Traces::of(folder, indexes);
    for text in PLANTED {
        let held = traces.having(text);
        assert!(held.is_empty(), "{}: {text}: {held:?}", folder.display());
    }
}

/// Deliveries are indexed behind them.
fn indexed(server: &Redoubt) {
    let done = until(PATIENCE, || {
        let status: Value = serde_json::from_str(&server.verb(&["status", "--json"])).unwrap();
        let index = status["index"].clone();
        (index["accounts_behind"] == 0 && !index["position"].is_null()).then_some(())
    });
    assert!(done.is_some(), "it is never indexed");
}

/// Every planted text is in a file whose name has one of these.
fn seen(traces: &Traces, text: &str, places: &[&str]) {
    let held = traces.having(text);
    for place in places {
        assert!(held.iter().any(|name| name.contains(place)), "{text}: {place}: {held:?}");
    }
}

#[test]
fn no_file_has_what_was_erased() {
    let mut scene = Scene::of(&[ALICE, BOB]);
    scene.fill(ALICE, &["lunch"]);
    append(&scene.server, ALICE, &planted(&large(LARGE)));
    scene.fill(BOB, &["dinner"]);
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    // What is kept beside the views is made, and an image has it.
    imap.ok("SORT (SUBJECT) UTF-8 ALL").unwrap();
    imap.ok("STORE 2 +FLAGS (\\Flagged)").unwrap();
    indexed(&scene.server);
    scene.server.stop();
    let data = scene.server.data().to_owned();
    let before = Traces::of(&data, true);
    PLANTED.iter().for_each(|text| seen(&before, text, &["blobs"]));
    seen(&before, SUBJECT, &["views"]);
    seen(&before, BODY, &["index"]);
    assert!(before.opened.blocks > 0 && before.opened.terms > 0, "{:?}", before.opened);
    scene.server.start_again();
    let (_, head) = scene.path("head.txt");
    scene.server.verb(&["audit", "head", "--out", &head]);
    let plan = scene.json(&["erase", "plan", ALICE, &format!("subject:{SUBJECT}")]);
    assert_eq!((&plan[0]["emails"], &plan[0]["live"]), (&Value::from(1), &Value::from(1)));
    let wish = ["erase", "begin", ALICE, &format!("subject:{SUBJECT}"), "--reason", "case 7"];
    scene.code(&wish, 6);
    let erasure = begun(&scene.json(&[&wish[..], &["--yes"]].concat()));
    complete(&scene.server, &erasure);
    clean(&data, false);
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    assert_eq!(imap.ok("SEARCH ALL").unwrap().search(), [1]);
    drop(imap);
    scene.code(&["check"], 0);
    scene.code(&["audit", "verify", "--from", &head, "--key", &scene.keys()], 0);
    let listed = scene.code(&["audit", "list", "--kind", "erase-begin"], 0);
    assert!(listed.contains("erase-begin"), "{listed}");
    scene.server.stop();
    clean(&data, true);
    scene.server.start_again();
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    assert_eq!(imap.ok("SEARCH ALL").unwrap().search(), [1]);
}

/// What another account has too stays, and all that is another's is as it was.
#[test]
fn what_others_have_stays() {
    let scene = Scene::of(&[ALICE, BOB]);
    let message = planted(&large(LARGE));
    append(&scene.server, ALICE, &message);
    append(&scene.server, BOB, &message);
    scene.fill(ALICE, &["first", "second"]);
    let plan = scene.json(&["erase", "plan", ALICE, "--whole"]);
    let said = |name: &str| plan[0][name].as_u64().unwrap();
    assert_eq!((said("emails"), said("shared"), said("shared_with")), (3, 1, 1));
    let erasure =
        begun(&scene.json(&["erase", "begin", ALICE, "--whole", "--reason", "gone", "--yes"]));
    complete(&scene.server, &erasure);
    let line = shown(&scene.server, &erasure);
    assert_eq!((&line["erased"], &line["kept"]), (&Value::from(3), &Value::from(0)));
    let packs = line["nodes"][0]["places"].as_array().unwrap().iter();
    let packs = packs.filter(|place| place["place"] == "packs");
    assert!(packs.clone().all(|place| place["stays"] == 1) && packs.count() == 1, "{line}");
    let mut imap = Imap::login(scene.server.imap(), BOB).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    let reply = imap.ok("FETCH 1 BODY.PEEK[]").unwrap().fetches();
    assert_eq!(item(&reply[0].1, "BODY[]").unwrap().octets(), message);
    scene.code(&["check"], 0);
}

/// Nothing goes before a second person says so, who is not the first.
#[test]
fn a_second_person_is_waited_for() {
    let scene = Scene::of(&[ALICE, BOB]);
    scene.fill(ALICE, &["secret"]);
    let wish = ["erase", "begin", ALICE, "--whole", "--reason", "x", "--review", "--yes"];
    let erasure = begun(&scene.json(&wish));
    assert_eq!(shown(&scene.server, &erasure)["state"], "review");
    // Nobody has the role, and the server's own user is no second person all the same.
    let said = scene.code(&["erase", "approve", &erasure, "--yes"], 5);
    assert!(said.contains("a personal token"), "{said}");
    assert_eq!(shown(&scene.server, &erasure)["erased"], 0);
    assert!(scene.code(&["erase", "list"], 0).contains("waits for a second person"));
    let waits = scene.json(&["approval", "list"]);
    assert_eq!(waits[0]["of"], format!("erasure:{erasure}"), "{waits:?}");
    assert_eq!(waits[0]["then"], format!("erases 1 email of {ALICE} for good"), "{waits:?}");
    scene.code(&["role", "grant", BOB, "approver"], 0);
    let token = scene.json(&["token", "add", "--account", BOB])[0]["secret"].clone();
    let (path, file) = scene.path("token");
    std::fs::write(path, token.as_str().unwrap()).unwrap();
    let by = ["--token-file", file.as_str()];
    let other = begun(&scene.json(&wish));
    let refuse = ["erase", "approve", &other, "--refuse", "--note", "not asked for"];
    scene.code(&[&refuse[..], &by[..]].concat(), 0);
    assert_eq!(shown(&scene.server, &other)["state"], "declined");
    assert_eq!(shown(&scene.server, &other)["decided"]["note"], "not asked for");
    scene.code(&[&["erase", "approve", &erasure, "--yes"][..], &by[..]].concat(), 0);
    let done = complete(&scene.server, &erasure);
    assert_eq!((&done["erased"], &done["decided"]["given"]), (&1.into(), &true.into()));
    let again = scene.code(&[&["erase", "approve", &erasure, "--yes"][..], &by[..]].concat(), 1);
    assert!(again.contains("decided already"), "{again}");
}

#[test]
fn the_page_says_what_is() {
    let scene = Scene::of(&[ALICE]);
    scene.fill(ALICE, &["invoice", "lunch"]);
    let page = Page::read("erasure.md");
    let mut erasure = String::new();
    for command in page.commands("Erasing") {
        let (code, said) = types(&scene.server, &command, &[("ERASURE", &erasure)]);
        if let Some(id) = said.strip_prefix("erasure ").and_then(|rest| rest.split(':').next()) {
            erasure = id.to_owned();
            complete(&scene.server, &erasure);
        }
        assert_eq!(code, 0, "{command}: {said}");
    }
    assert!(!erasure.is_empty());
}

/// The repository is reached, packs and bases, without encryption so that the search sees all of
/// it; what is recovered of a moment from before has none of it.
#[test]
fn the_repository_is_reached_and_no_recovery_brings_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = disaster::archived(&folder.path().join("data"));
    server.domain("example.org");
    server.account(ALICE);
    append(&server, ALICE, &planted(&large(LARGE)));
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("FETCH 1 (ENVELOPE BODYSTRUCTURE)").unwrap();
    imap.ok("SORT (SUBJECT) UTF-8 ALL").unwrap();
    imap.ok("LOGOUT").unwrap();
    indexed(&server);
    let moment = disaster::moment(&server);
    disaster::all_archived(&server);
    server.verb(&["backup", "start"]);
    let repository = folder.path().join("repository");
    let before = Traces::of(&repository, false);
    PLANTED.iter().for_each(|text| seen(&before, text, &["packs"]));
    assert!(before.opened.blocks > 0, "tables of bases are opened: {:?}", before.opened);
    let wish = ["erase", "begin", ALICE, "--whole", "--reason", "case 8", "--yes", "--json"];
    let begun_as = server.verb(&wish);
    let erasure = begun(&[serde_json::from_str(begun_as.trim()).unwrap()]);
    complete(&server, &erasure);
    clean(&repository, false);
    clean(server.data(), false);
    disaster::all_archived(&server);
    server.verb(&["backup", "verify", "--level", "restore"]);
    server.verb(&["check"]);
    clean(&repository, false);

    disaster::strikes(&mut server, &moment, &[]);
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    assert!(imap.ok("SEARCH ALL").unwrap().search().is_empty());
    imap.ok("LOGOUT").unwrap();
    assert_eq!(shown(&server, &erasure)["state"], "done");
    server.verb(&["check"]);
    server.stop();
    clean(server.data(), true);
}

/// One of three is away when it is erased: it is waited for, and does it when it is back.
#[test]
fn a_node_that_was_away_does_it_when_it_is_back() {
    let mut cluster = Cluster::of(3);
    let leader = cluster.leader();
    cluster.node(leader).domain("example.org");
    cluster.node(leader).account(ALICE);
    append(cluster.node(leader), ALICE, &planted(&large(LARGE)));
    cluster.caught_up();
    let away = (0..3).find(|n| *n != leader).unwrap();
    cluster.node_mut(away).stop();
    let traces = Traces::of(cluster.node(away).data(), true);
    PLANTED.iter().for_each(|text| seen(&traces, text, &["blobs"]));
    let leader = cluster.leader();
    let wish = ["erase", "begin", ALICE, "--whole", "--reason", "case 9", "--yes", "--json"];
    let said = cluster.node(leader).verb(&wish);
    let erasure = begun(&[serde_json::from_str(said.trim()).unwrap()]);
    let ids: Vec<u64> = (0..3).map(|n| cluster.id(n)).collect();
    let node = |line: &Value, id: u64| {
        let nodes = line["nodes"].as_array().cloned().unwrap_or_default();
        nodes.into_iter().find(|node| node["node"] == id).unwrap_or_default()
    };
    let server = cluster.node(leader);
    let others = || {
        let line = shown(server, &erasure);
        let done = |n: &usize| node(&line, ids[*n])["complete"] == true;
        (0..3).filter(|n| *n != away).all(|n| done(&n)).then_some(line)
    };
    let line = until(PATIENCE, others).unwrap_or_else(|| panic!("{}", shown(server, &erasure)));
    assert_eq!((&line["complete"], &line["state"]), (&Value::from(false), &Value::from("done")));
    assert_eq!(node(&line, ids[away])["reported"], Value::Null);
    cluster.node_mut(away).start_again();
    complete(cluster.node(leader), &erasure);
    for n in 0..3 {
        cluster.node_mut(n).stop();
        clean(cluster.node(n).data(), true);
    }
}
