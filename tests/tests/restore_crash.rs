//! A restore whose server is killed goes on where it stopped, and clients that
//! synchronise both ways fetch what came back and delete nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;

use redoubt_tests::cluster::said;
use redoubt_tests::imap::Imap;
use redoubt_tests::maildir::{self, flags, without_fields};
use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::process::Redoubt;
use redoubt_tests::programs::{Scene, Synced, contents};
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const EMAILS: usize = 1500;

fn moment(server: &Redoubt) -> String {
    let status: Value = serde_json::from_str(&server.verb(&["status", "--json"])).unwrap();
    format!("@{}", status["store"]["applied"])
}

fn mbox(count: usize) -> String {
    let mut text = String::new();
    for n in 0..count {
        let _ = write!(
            text,
            "From a@example.net Thu Jan  1 00:00:00 2026\nFrom: a@example.net\n\
             Message-ID: <{n}@example.net>\nSubject: number {n}\n\nbody {n}\n\n"
        );
    }
    text
}

#[test]
fn a_restore_goes_on_after_each_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Redoubt::start(&folder.path().join("data"));
    server.domain("example.org");
    server.account(ALICE);
    let file = folder.path().join("mail.mbox");
    std::fs::write(&file, mbox(EMAILS)).unwrap();
    server.verb(&["import", "--account", ALICE, file.to_str().unwrap()]);
    let then = moment(&server);
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    let begun = ["restore", "undelete", ALICE, "--since", &then, "--yes", "--no-wait", "--json"];
    let begun: Value = serde_json::from_str(&server.verb(&begun)).unwrap();
    let id = begun["id"].as_str().unwrap();
    let mut done = 0;
    for _ in 0..4 {
        server.kill();
        server.start_again();
        let body = server.verb(&["restore", "show", id, "--json"]);
        let body: Value = serde_json::from_str(body.lines().next().unwrap()).unwrap();
        assert!(body["done"].as_u64().unwrap() >= done, "what was done is undone");
        done = body["done"].as_u64().unwrap();
    }
    let body: Value =
        serde_json::from_str(&server.verb(&["restore", "resume", id, "--json"])).unwrap();
    assert_eq!((&body["state"], &body["created"]), (&"completed".into(), &EMAILS.into()));
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    let found = imap.ok("FETCH 1:* (ENVELOPE)").unwrap().fetches();
    let subjects: std::collections::BTreeSet<String> = found
        .iter()
        .map(|(_, items)| redoubt_tests::imap::item(items, "ENVELOPE").unwrap().list()[1].text())
        .collect();
    assert_eq!((found.len(), subjects.len()), (EMAILS, EMAILS));
    let (code, text) = said(&server.run(&["check"]));
    assert_eq!(code, 0, "{text}");
}

#[test]
fn what_is_over_quota_says_so_and_comes_when_asked_to() {
    let folder = tempfile::tempdir().unwrap();
    let server = Redoubt::start(&folder.path().join("data"));
    server.domain("example.org");
    server.account(ALICE);
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    for n in 0..3 {
        let mail = message(&format!("m{n}"), 2000);
        assert!(imap.append("INBOX", "", &mail).unwrap().is_ok());
    }
    let then = moment(&server);
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1:* +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    server.verb(&["account", "set", ALICE, "--quota", "5000"]);
    let undelete = ["restore", "undelete", ALICE, "--since", &then, "--yes"];
    let (code, text) = said(&server.run(&undelete));
    assert_eq!(code, 3, "{text}");
    assert!(text.contains("2 created") && text.contains("1 failed"), "{text}");
    let id = text
        .split_whitespace()
        .nth(text.split_whitespace().position(|w| w == "restore").unwrap() + 1);
    let id = id.unwrap().trim_end_matches(':');
    let why = server.verb(&["restore", "show", id, "--problems"]);
    assert!(why.contains("over quota"), "{why}");
    let more = [&undelete[..], &["--over-quota"]].concat();
    let (code, text) = said(&server.run(&more));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("1 created") && text.contains("2 merged"), "{text}");
}

fn configuration(scene: &Scene) -> String {
    let port = scene.server.imap().port();
    format!(
        "IMAPAccount r\nHost 127.0.0.1\nPort {port}\nUser {ALICE}\nPass secret\n\
         SSLType None\nAuthMechs LOGIN\n\nIMAPStore remote\nAccount r\n\n\
         MaildirStore local\nPath ~/mail/\nInbox ~/mail/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :remote:\nNear :local:\nPatterns *\nCreate Both\nRemove Both\n\
         Expunge Both\nSyncState *\nCopyArrivalDate yes\n"
    )
}

/// mbsync has seen the mail go: what comes back is new to it.
#[test]
fn mbsync_fetches_again_and_deletes_nothing() {
    let mut story = Synced::new(".mbsyncrc", configuration, &["mbsync", "-c", "CONFIG", "-a"]);
    for n in 0..8 {
        story.scene.deliver(&[ALICE], &message(&format!("m{n}"), 700));
    }
    story.imap.ok("SELECT INBOX").unwrap();
    story.imap.ok("STORE 2 +FLAGS (\\Flagged \\Seen)").unwrap();
    story.imap.ok("CREATE Work").unwrap();
    assert!(story.imap.append("Work", "(\\Seen) ", &message("work", 900)).unwrap().is_ok());
    story.sync();
    let then = moment(&story.scene.server);
    for (mailbox, emails) in [("Work", "1"), ("INBOX", "1:6")] {
        story.imap.ok(&format!("SELECT {mailbox}")).unwrap();
        story.imap.ok(&format!("STORE {emails} +FLAGS (\\Deleted)")).unwrap();
        story.imap.ok("EXPUNGE").unwrap();
    }
    // mbsync removes only what is empty.
    story.sync();
    story.imap.ok("DELETE Work").unwrap();
    story.sync();
    assert_eq!(story.local("INBOX").files().len(), 2);
    assert!(!story.path("Work").exists());
    story.scene.server.verb(&["restore", "undelete", ALICE, "--since", &then, "--yes"]);
    for _ in 0..2 {
        story.sync();
        let local = story.local("INBOX").files();
        assert_eq!(local.len(), 8);
        assert_eq!(flags(&local["m1"]), "FS");
        let copied = without_fields(&maildir::read(&local["m4"]), &["X-TUID"]);
        assert_eq!(without_trace(&copied), message("m4", 700));
        assert_eq!(flags(&story.local("Work").files()["work"]), "S");
        assert_eq!(contents(&mut story.imap, "INBOX").len(), 8);
        assert_eq!(contents(&mut story.imap, "Work").len(), 1);
    }
}
