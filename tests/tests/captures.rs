//! Archive accounts: what rules put into them, with the whole envelope, and that nobody changes
//! what is there. docs/archive.md is typed here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;
use redoubt_tests::page::{Page, types};
use redoubt_tests::programs::contents;
use redoubt_tests::scene::Scene;
use serde_json::{Value, json};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.com";
const ARCHIVE: &str = "archive@example.org";

fn archive(scene: &Scene, name: &str) {
    let add = ["account", "add", name, "--archive", "--password-stdin"];
    let added = scene.server.run_with_input(&add, b"secret\n");
    assert!(added.status.success(), "{added:?}");
}

fn rule(scene: &Scene, arguments: &[&str]) {
    scene.code(&[&["capture", "rule", "add"], arguments].concat(), 0);
}

fn deliver(scene: &Scene, to: &[&str], message: &[u8]) -> Vec<u16> {
    let mut lmtp = Lmtp::connect(scene.server.lmtp()).unwrap();
    let answers = lmtp.deliver("sender@example.net", to, message).unwrap();
    answers.iter().map(|answer| answer.code).collect()
}

fn count(scene: &Scene, account: &str) -> usize {
    scene.json(&["ls", account, "INBOX"]).len()
}

fn found(scene: &Scene, query: &str, account: &str) -> u64 {
    scene.json(&["discover", query, "--account", account])[0]["found"].as_u64().unwrap()
}

#[test]
fn what_is_delivered_is_captured_with_its_envelope_once() {
    let scene = Scene::of(&[ALICE, BOB, CAROL]);
    archive(&scene, ARCHIVE);
    archive(&scene, "second@example.org");
    rule(&scene, &["--domain", "example.org", "--into", ARCHIVE]);
    rule(&scene, &["--account", ALICE, "--into", ARCHIVE]);
    rule(&scene, &["--account", BOB, "--into", "second@example.org"]);
    let sent = message("bcc", 3000);
    // Nobody but the envelope knows of bob.
    assert_eq!(deliver(&scene, &[ALICE, CAROL, BOB], &sent), [250, 250, 250]);
    assert_eq!((count(&scene, ARCHIVE), count(&scene, "second@example.org")), (1, 1));
    assert_eq!(found(&scene, "envto:bob@example.org", ARCHIVE), 1);
    assert_eq!(found(&scene, "envto:carol@example.com envfrom:sender@example.net", ARCHIVE), 1);
    assert_eq!(found(&scene, "envto:dora@example.org", ARCHIVE), 0);
    // The same octets, and one blob of them.
    let blob = |account: &str| scene.json(&["ls", account, "INBOX"])[0]["blob"].clone();
    assert_eq!(blob(ALICE), blob(ARCHIVE));
    // What the MTA sends again is delivered and captured no second time.
    assert_eq!(deliver(&scene, &[ALICE, CAROL, BOB], &sent), [250, 250, 250]);
    assert_eq!((count(&scene, ALICE), count(&scene, ARCHIVE)), (1, 1));
    // Nobody's mail is in it whom no rule names.
    assert_eq!(deliver(&scene, &[CAROL], &message("private", 500)), [250]);
    assert_eq!(count(&scene, ARCHIVE), 1);
    // What its owner throws away stays there.
    scene.empty(ALICE);
    assert_eq!((count(&scene, ALICE), count(&scene, ARCHIVE)), (0, 1));
    let status = scene.json(&["capture", "status"])[0].clone();
    let octets = scene.json(&["ls", ARCHIVE, "INBOX"])[0]["size"].clone();
    let one = json!({ "messages": 1, "octets": octets });
    assert_eq!(status["domains"][0]["name"], "example.org");
    assert_eq!(status["domains"][0]["delivered"], one);
    let accounts: Vec<&Value> = status["accounts"].as_array().unwrap().iter().collect();
    let names: Vec<_> = accounts.iter().map(|line| line["name"].as_str().unwrap()).collect();
    assert_eq!(names, [ALICE, BOB]);
    assert!(accounts.iter().all(|line| line["delivered"] == one), "{status}");
    assert_eq!(scene.run(&["check"]).0, 0);
}

#[test]
fn rules_by_class_and_all_hold_from_then_on() {
    let scene = Scene::of(&[ALICE, BOB, CAROL]);
    archive(&scene, ARCHIVE);
    scene.code(&["class", "add", "staff"], 0);
    scene.code(&["account", "set", ALICE, "--class", "staff"], 0);
    scene.code(&["domain", "set", "example.com", "--class", "staff"], 0);
    assert_eq!(deliver(&scene, &[ALICE], &message("before", 300)), [250]);
    rule(&scene, &["--class", "staff", "--into", ARCHIVE]);
    for (n, (to, captured)) in [(ALICE, 1), (BOB, 1), (CAROL, 2)].into_iter().enumerate() {
        assert_eq!(deliver(&scene, &[to], &message(&format!("m{n}"), 300)), [250]);
        assert_eq!(count(&scene, ARCHIVE), captured, "{to}");
    }
    let said = scene.code(&["class", "remove", "staff", "--yes"], 1);
    assert!(said.contains("capture rule 1 needs it"), "{said}");
    scene.code(&["capture", "rule", "remove", "1"], 6);
    scene.code(&["capture", "rule", "remove", "1", "--yes"], 0);
    assert_eq!(deliver(&scene, &[ALICE], &message("after", 300)), [250]);
    assert_eq!(count(&scene, ARCHIVE), 2);
    rule(&scene, &["--all", "--direction", "sent", "--into", ARCHIVE]);
    assert_eq!(deliver(&scene, &[BOB], &message("not sent", 300)), [250]);
    assert_eq!(count(&scene, ARCHIVE), 2);
    rule(&scene, &["--all", "--into", ARCHIVE]);
    assert_eq!(deliver(&scene, &[BOB], &message("all", 300)), [250]);
    assert_eq!(count(&scene, ARCHIVE), 3);
    scene.code(&["capture", "rule", "add", "--all", "--into", ARCHIVE], 1);
    scene.code(&["capture", "rule", "add", "--all", "--into", BOB], 1);
    scene.code(&["capture", "rule", "add", "--account", ARCHIVE, "--into", ARCHIVE], 1);
}

#[test]
fn nobody_changes_an_archive() {
    let scene = Scene::of(&[ALICE, BOB]);
    archive(&scene, ARCHIVE);
    rule(&scene, &["--all", "--into", ARCHIVE]);
    assert_eq!(deliver(&scene, &[ALICE, BOB], &message("kept", 900)), [250, 250]);
    assert_eq!(deliver(&scene, &[ARCHIVE], &message("direct", 900)), [550]);
    let mut imap = Imap::login(scene.server.imap(), ARCHIVE).unwrap();
    let selected = imap.ok("SELECT INBOX").unwrap();
    let untagged = selected.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned());
    let told = untagged.collect::<Vec<_>>().join("\n") + &selected.tagged;
    assert!(told.contains("READ-ONLY") && told.contains("CapturedDelivered"), "{told}");
    imap.ok("FETCH 1 (FLAGS BODY[])").unwrap();
    assert!(imap.ok("SEARCH UNSEEN TEXT kept").is_ok());
    for (command, code) in [
        ("STORE 1 +FLAGS (\\Deleted)", "READ-ONLY"),
        ("EXPUNGE", "READ-ONLY"),
        ("MOVE 1 Trash", "READ-ONLY"),
        ("COPY 1 Trash", "NOPERM"),
        ("CREATE New", "NOPERM"),
        ("DELETE Trash", "NOPERM"),
        ("RENAME Trash Rubbish", "NOPERM"),
        ("SUBSCRIBE New", "NOPERM"),
        ("UNSUBSCRIBE Trash", "NOPERM"),
    ] {
        let answer = format!("{:?}", imap.command(command).unwrap());
        assert!(answer.contains(code), "{command}: {answer}");
    }
    let answer = format!("{:?}", imap.append("INBOX", "", &message("no", 100)).unwrap());
    assert!(answer.contains("NOPERM"), "{answer}");
    let (path, name) = scene.path("one.eml");
    std::fs::write(path, message("import", 100)).unwrap();
    for refused in [
        vec!["import", "--account", ARCHIVE, &name],
        vec!["mailbox", "create", ARCHIVE, "More"],
        vec!["account", "close", ARCHIVE, "--yes"],
        vec!["account", "lock", ARCHIVE],
        vec!["account", "delete", ARCHIVE, "--yes"],
        vec!["restore", "rewind", ARCHIVE, "--at", "@5", "--yes"],
    ] {
        let (code, said) = scene.said(&refused);
        assert_ne!(code, 0, "{refused:?}: {said}");
    }
    assert_eq!(count(&scene, ARCHIVE), 1);
    // An account that is none does not become one.
    scene.code(&["account", "add", "empty@example.org", "--archive"], 0);
    scene.code(&["account", "delete", "empty@example.org", "--yes"], 0);
}

/// Rules keep their archive from being deleted, and so does what is in it. One that was deleted
/// and is restored is an archive again.
#[test]
fn an_archive_that_comes_back_is_one() {
    let scene = Scene::of(&[ALICE, BOB]);
    archive(&scene, ARCHIVE);
    rule(&scene, &["--all", "--into", ARCHIVE]);
    let said = scene.code(&["account", "delete", ARCHIVE, "--yes"], 1);
    assert!(said.contains("capture rule 1 needs it"), "{said}");
    scene.code(&["capture", "rule", "remove", "1", "--yes"], 0);
    scene.code(&["account", "delete", ARCHIVE, "--yes"], 0);
    // While it is away no rule can name it, so that no mail waits for it or gets lost.
    assert_ne!(scene.said(&["capture", "rule", "add", "--all", "--into", ARCHIVE]).0, 0);
    assert_eq!(deliver(&scene, &[ALICE], &message("meanwhile", 500)), [250]);
    assert_eq!(deliver(&scene, &[ARCHIVE], &message("direct", 500)), [550]);
    scene.code(&["restore", "account", ARCHIVE, "--yes"], 0);

    rule(&scene, &["--all", "--into", ARCHIVE]);
    assert_eq!(deliver(&scene, &[ALICE, BOB], &message("again", 900)), [250, 250]);
    assert_eq!(count(&scene, ARCHIVE), 1);
    assert_eq!(found(&scene, "envto:bob@example.org envfrom:sender@example.net", ARCHIVE), 1);
    assert_eq!(deliver(&scene, &[ARCHIVE], &message("direct", 500)), [550]);
    let mut imap = Imap::login(scene.server.imap(), ARCHIVE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    for command in ["STORE 1 +FLAGS (\\Deleted)", "EXPUNGE", "MOVE 1 Trash"] {
        let answer = format!("{:?}", imap.command(command).unwrap());
        assert!(answer.contains("READ-ONLY"), "{command}: {answer}");
    }
    let answer = format!("{:?}", imap.append("INBOX", "", &message("no", 100)).unwrap());
    assert!(answer.contains("NOPERM"), "{answer}");
    assert_ne!(scene.said(&["account", "close", ARCHIVE, "--yes"]).0, 0);
    scene.code(&["capture", "rule", "remove", "2", "--yes"], 0);
    let said = scene.code(&["account", "delete", ARCHIVE, "--yes"], 1);
    assert!(said.contains("archive"), "{said}");
    assert_eq!(scene.run(&["check"]).0, 0);
}

fn report(told: &str, original: &[u8]) -> Vec<u8> {
    let head = "From: exchange@example.net\r\nX-MS-Journal-Report:\r\nMIME-Version: 1.0\r\n\
                Content-Type: multipart/mixed; boundary=\"=b=\"\r\n\r\n--=b=\r\n\
                Content-Type: text/plain; charset=\"us-ascii\"\r\n\r\n";
    let middle = "\r\n--=b=\r\nContent-Type: message/rfc822\r\n\r\n";
    [head.as_bytes(), told.as_bytes(), middle.as_bytes(), original, b"\r\n--=b=--\r\n"].concat()
}

#[test]
fn journal_reports_are_taken_apart_or_kept_whole() {
    let scene = Scene::of(&[ALICE, BOB]);
    archive(&scene, ARCHIVE);
    scene.code(&["alias", "add", "journal@example.org", ARCHIVE], 0);
    let original = message("original", 4000);
    let told = "Sender: boss@corp.example\r\nSubject: original\r\nMessage-Id: <1@x>\r\n\
                To: a@corp.example, Expanded: all@corp.example\r\nBcc: hidden@corp.example\r\n";
    let whole = report(told, &original);
    assert_eq!(deliver(&scene, &["journal@example.org"], &whole), [550], "no rule says so");
    rule(&scene, &["--journal", "--into", ARCHIVE]);
    // One transaction for the journal and for somebody who gets the report as it is.
    let to = ["journal@example.org", BOB];
    assert_eq!(deliver(&scene, &to, &whole), [250, 250]);
    assert_eq!(deliver(&scene, &to, &whole), [250, 250], "sent again");
    let mut imap = Imap::login(scene.server.imap(), ARCHIVE).unwrap();
    let there = contents(&mut imap, "INBOX");
    assert_eq!(there.keys().collect::<Vec<_>>(), ["original"]);
    assert_eq!(there["original"].content, original, "octet by octet");
    assert!(there["original"].has_flags(&["$CapturedJournal"]));
    let asked = "envto:hidden@corp.example envto:a@corp.example envfrom:boss@corp.example";
    assert_eq!(found(&scene, asked, ARCHIVE), 1);
    let bobs = scene.json(&["ls", BOB, "INBOX"]);
    assert_eq!((bobs.len(), bobs[0]["size"].as_u64() > Some(4200)), (1, true), "{bobs:?}");
    // What does not read is kept, and counted.
    let broken = report("Sender: boss@corp.example\r\nTo: two words\r\n", &message("broken", 900));
    assert_eq!(deliver(&scene, &["journal@example.org"], &broken), [250]);
    assert_eq!(deliver(&scene, &["journal@example.org"], &message("no report", 900)), [250]);
    assert_eq!(count(&scene, ARCHIVE), 3);
    assert_eq!(found(&scene, "tag:$JournalUnread", ARCHIVE), 2);
    let status = scene.json(&["capture", "status"])[0].clone();
    let archive = &status["archives"][0];
    assert_eq!(archive["journal"], json!({ "messages": 1, "octets": original.len() }));
    assert_eq!(archive["unread"]["messages"], 2, "{status}");
    assert_eq!(scene.run(&["check"]).0, 0);
}

#[test]
fn the_page_can_be_typed() {
    let scene = Scene::of(&[ALICE, BOB]);
    let page = Page::read("archive.md");
    for heading in ["Setting it up", "What is kept", "Journal reports"] {
        let commands = page.commands(heading);
        assert!(!commands.is_empty(), "{heading}");
        for command in commands {
            let (code, said) = types(&scene.server, &command, &[]);
            assert_eq!(code, 0, "{command}: {said}");
        }
    }
}
