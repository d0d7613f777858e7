//! offlineimap: a Maildir and the server follow each other, flags and a mailbox
//! with a name beyond ASCII included.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::time::{Duration, UNIX_EPOCH};

use redoubt_tests::maildir::{self, Maildir, flags, set_flags, without_fields};
use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::programs::{Scene, Synced, contents, status, went_up};

const ALICE: &str = "alice@example.org";

fn story() -> Synced {
    Synced::new(".offlineimaprc", configuration, &["offlineimap", "-o", "-c", "CONFIG"])
}

fn configuration(scene: &Scene) -> String {
    let (port, home) = (scene.server.imap().port(), scene.home().display());
    format!(
        "[general]\naccounts = A\nui = quiet\nmetadata = {home}/state\n\
         [Account A]\nlocalrepository = L\nremoterepository = R\nutf8foldernames = yes\n\
         [Repository L]\ntype = Maildir\nlocalfolders = {home}/mail\nsep = /\n\
         [Repository R]\ntype = IMAP\nremotehost = 127.0.0.1\nremoteport = {port}\n\
         remoteuser = {ALICE}\nremotepass = secret\nssl = no\nstarttls = no\n\
         auth_mechanisms = PLAIN\nmaxconnections = 1\n"
    )
}

/// offlineimap marks what it uploads with a header field of its own.
fn as_sent(copied: &[u8]) -> Vec<u8> {
    without_fields(copied, &["X-OfflineIMAP"])
}

#[test]
fn mail_comes_down() {
    let mut story = story();
    for n in 0..3 {
        story.scene.deliver(&[ALICE], &message(&format!("m{n}"), 600 + n * 5_000));
    }
    story.imap.ok("CREATE \"Entw&APw-rfe/&ZeVnLIqe-\"").unwrap();
    let flagged = "(\\Seen \\Answered $Work) ";
    story.append("\"Entw&APw-rfe/&ZeVnLIqe-\"", flagged, &message("deep", 700));
    story.sync();
    let local = story.local("INBOX").files();
    assert_eq!(local.keys().collect::<Vec<_>>(), ["m0", "m1", "m2"]);
    for n in 0..3 {
        let path = &local[&format!("m{n}")];
        let made = message(&format!("m{n}"), 600 + n * 5_000);
        assert_eq!(without_trace(&maildir::read(path)), made);
        assert_eq!(flags(path), "");
    }
    let deep = &story.local("Entwürfe/日本語").files()["deep"];
    assert_eq!(maildir::read(deep), message("deep", 700));
    assert_eq!(flags(deep), "RS");
    // Looking marked nothing as read.
    assert!(contents(&mut story.imap, "INBOX").values().all(|message| message.has_flags(&[])));
}

#[test]
fn changes_in_the_maildir_go_up() {
    let mut story = story();
    for n in 0..3 {
        story.append("INBOX", "($Work) ", &message(&format!("m{n}"), 600));
    }
    story.sync();
    let local = story.local("INBOX").files();
    set_flags(&local["m1"], "FRS");
    fs::remove_file(&local["m2"]).unwrap();
    let inbox = story.local("INBOX");
    let new = inbox.add("1700000000_0.1.host", "DS", &message("up", 3_000));
    let date = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(&new).unwrap().set_modified(date).unwrap();
    Maildir::create(story.path("Übung")).add("1700000001_0.1.host", "", &message("new", 800));
    story.sync();
    let there = contents(&mut story.imap, "INBOX");
    went_up(&there);
    assert_eq!(as_sent(&there["up"].content), message("up", 3_000));
    let there = contents(&mut story.imap, "&ANw-bung");
    assert_eq!(as_sent(&there["new"].content), message("new", 800));
    assert!(there["new"].has_flags(&[]));
}

#[test]
fn changes_on_the_server_come_down_and_nothing_is_doubled() {
    let mut story = story();
    for n in 0..5 {
        story.append("INBOX", "", &message(&format!("m{n}"), 600));
    }
    story.imap.ok("CREATE &ANw-bung").unwrap();
    story.sync();
    let imap = &mut story.imap;
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("UID STORE 1 +FLAGS (\\Flagged)").unwrap();
    imap.ok("UID MOVE 2:3 &ANw-bung").unwrap();
    imap.ok("UID STORE 4 +FLAGS (\\Deleted)").unwrap();
    imap.ok("UID EXPUNGE 4").unwrap();
    story.sync();
    let inbox = story.local("INBOX").files();
    assert_eq!(inbox.keys().collect::<Vec<_>>(), ["m0", "m4"]);
    assert_eq!((flags(&inbox["m0"]), flags(&inbox["m4"])), ("F".into(), String::new()));
    let moved = story.local("Übung").files();
    assert_eq!(moved.keys().collect::<Vec<_>>(), ["m1", "m2"]);
    assert_eq!(maildir::read(&moved["m1"]), message("m1", 600));

    // Nothing is left to do on either side.
    let before = ["INBOX", "&ANw-bung"].map(|m| status(&mut story.imap, m, "HIGHESTMODSEQ"));
    story.sync();
    assert_eq!(story.local("INBOX").files(), inbox);
    assert_eq!(story.local("Übung").files(), moved);
    let after = ["INBOX", "&ANw-bung"].map(|m| status(&mut story.imap, m, "HIGHESTMODSEQ"));
    assert_eq!(after, before);
    assert_eq!(status(&mut story.imap, "INBOX", "MESSAGES"), 2);
}
