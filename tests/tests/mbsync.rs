//! mbsync (isync), both ways: what goes in comes out byte for byte, flags and
//! dates included, and changes on either side reach the other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redoubt_tests::disaster::{self, all_archived, moment};
use redoubt_tests::maildir::{self, Maildir, flags, set_flags, without_fields};
use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::programs::{Scene, Synced, contents, status, went_up};

const ALICE: &str = "alice@example.org";
/// Mailboxes' names are for mbsync what they are on the wire.
const DRAFTS: &str = "Entw&APw-rfe &-Co";

fn story() -> Synced {
    Synced::new(".mbsyncrc", configuration, &["mbsync", "-c", "CONFIG", "-a"])
}

fn story_of_a_disaster() -> Synced {
    let scene = disaster::scene();
    Synced::with(scene, ".mbsyncrc", configuration, &["mbsync", "-c", "CONFIG", "-a"])
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

/// mbsync marks what it copies with a header field of its own.
fn as_sent(copied: &[u8]) -> Vec<u8> {
    without_fields(copied, &["X-TUID"])
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

#[test]
fn mail_comes_down() {
    let mut story = story();
    let made = |n: usize| message(&format!("down{n}"), 500 + n * 997);
    for n in 0..20 {
        story.scene.deliver(&[ALICE], &made(n));
    }
    let flagged = "(\\Seen \\Flagged $Work) \"05-Mar-2021 06:07:08 +0200\" ";
    story.append("Archive", flagged, &message("dated", 900));
    story.sync();
    let local = story.local("INBOX").files();
    assert_eq!(local.len(), 20);
    for n in 0..20 {
        let path = &local[&format!("down{n}")];
        assert_eq!(without_trace(&as_sent(&maildir::read(path))), made(n));
        assert_eq!(flags(path), "");
    }
    let dated = &story.local("Archive").files()["dated"];
    assert_eq!(as_sent(&maildir::read(dated)), message("dated", 900));
    assert_eq!(flags(dated), "FS");
    assert_eq!(fs::metadata(dated).unwrap().modified().unwrap(), at(1_614_917_228));
    // Looking marked nothing as read.
    assert!(contents(&mut story.imap, "INBOX").values().all(|message| message.has_flags(&[])));
}

#[test]
fn changes_in_the_maildir_go_up() {
    let mut story = story();
    for n in 0..3 {
        let keyword = story.imap.append("INBOX", "($Work) ", &message(&format!("m{n}"), 700));
        assert!(keyword.unwrap().is_ok());
    }
    story.sync();
    let inbox = story.local("INBOX");
    let local = inbox.files();
    set_flags(&local["m1"], "FRS");
    set_flags(&local["m2"], "T");
    let new = inbox.add("1700000000.x.h", "DS", &message("up", 3000));
    fs::File::options().write(true).open(&new).unwrap().set_modified(at(1_700_000_000)).unwrap();
    let drafts = Maildir::create(story.path(DRAFTS));
    drafts.add("1.a.h", "", &message("draft", 400));
    story.sync();

    let there = contents(&mut story.imap, "INBOX");
    went_up(&there);
    assert_eq!(as_sent(&there["up"].content), message("up", 3000));
    let there = contents(&mut story.imap, DRAFTS);
    assert_eq!(as_sent(&there["draft"].content), message("draft", 400));
    assert!(there["draft"].has_flags(&[]));
}

#[test]
fn changes_on_the_server_come_down_and_nothing_is_doubled() {
    let mut story = story();
    for n in 0..10 {
        story.scene.deliver(&[ALICE], &message(&format!("m{n}"), 700));
    }
    story.sync();
    let imap = &mut story.imap;
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1 +FLAGS (\\Flagged)").unwrap();
    imap.ok("UID MOVE 4 Archive").unwrap();
    imap.ok("UID STORE 2 +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    imap.ok(&format!("CREATE \"{DRAFTS}\"")).unwrap();
    assert!(imap.append(&format!("\"{DRAFTS}\""), "", &message("new", 300)).unwrap().is_ok());
    story.sync();
    let local = story.local("INBOX").files();
    let kept: Vec<String> = [0, 2, 4, 5, 6, 7, 8, 9].iter().map(|n| format!("m{n}")).collect();
    assert_eq!(local.keys().collect::<Vec<_>>(), kept.iter().collect::<Vec<_>>());
    assert_eq!(flags(&local["m0"]), "F");
    let archived = story.local("Archive").files();
    assert_eq!(archived.keys().collect::<Vec<_>>(), ["m3"]);
    let moved = as_sent(&maildir::read(&archived["m3"]));
    assert_eq!(without_trace(&moved), message("m3", 700));
    assert_eq!(as_sent(&maildir::read(&story.local(DRAFTS).files()["new"])), message("new", 300));

    // Nothing is left to do on either side.
    let before = status(&mut story.imap, "INBOX", "HIGHESTMODSEQ");
    story.sync();
    assert_eq!(story.local("INBOX").files(), local);
    assert_eq!(story.local("Archive").files(), archived);
    assert_eq!(status(&mut story.imap, "INBOX", "HIGHESTMODSEQ"), before);
    assert_eq!(status(&mut story.imap, "INBOX", "MESSAGES"), 8);
}

#[test]
fn a_mailbox_that_went_on_one_side_goes_on_the_other() {
    let mut story = story();
    story.imap.ok("CREATE Gone").unwrap();
    story.imap.ok("CREATE Stays").unwrap();
    story.sync();
    story.local("Stays");
    assert!(story.path("Gone").is_dir());
    story.imap.ok("DELETE Gone").unwrap();
    story.sync();
    assert!(!story.path("Gone").exists());
    story.local("Stays");
}

fn deliver(story: &Synced, tokens: &[String]) {
    tokens.iter().for_each(|token| story.scene.deliver(&[ALICE], &message(token, 700)));
}

fn named(what: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{what}{n:02}")).collect()
}

fn tokens(maildir: &Maildir) -> Vec<String> {
    maildir.files().into_keys().collect()
}

/// Mail that only the client has now stays there, in mailboxes of many messages, few and none;
/// synchronised anew it is on the server again.
#[test]
fn what_a_disaster_took_from_the_server_stays_in_the_maildir() {
    let mut story = story_of_a_disaster();
    deliver(&story, &named("kept", 25));
    for mailbox in ["Few", "None"] {
        story.imap.ok(&format!("CREATE {mailbox}")).unwrap();
    }
    for token in named("few", 3) {
        story.append("Few", "", &message(&token, 500));
    }
    story.append("Archive", "(\\Flagged) ", &message("quiet", 500));
    story.sync();
    let then = moment(&story.scene.server);
    deliver(&story, &named("lost", 3));
    for mailbox in ["Few", "None"] {
        for token in named("lost", 2) {
            story.append(mailbox, "", &message(&format!("{mailbox}-{token}"), 500));
        }
    }
    story.sync();
    all_archived(&story.scene.server);
    let before = ["INBOX", "Few", "None", "Archive"].map(|name| tokens(&story.local(name)));
    assert_eq!(before.each_ref().map(Vec::len), [28, 5, 2, 1]);
    disaster::strikes(&mut story.scene.server, &then, &[]);
    story.imap = story.scene.imap(ALICE);
    let (_, said) = story.try_sync();
    let after = ["INBOX", "Few", "None", "Archive"].map(|name| tokens(&story.local(name)));
    assert_eq!(after, before, "{said}");
    assert_eq!(status(&mut story.imap, "INBOX", "MESSAGES"), 25);
    // The folder is put aside, all comes down anew, and what was lost goes up again.
    fs::rename(story.path(""), story.scene.home().join("aside")).unwrap();
    fs::create_dir(story.path("")).unwrap();
    story.sync();
    assert_eq!(tokens(&story.local("INBOX")), named("kept", 25));
    for mailbox in ["INBOX", "Few", "None"] {
        let aside = Maildir::open(story.scene.home().join("aside").join(mailbox)).files();
        let there = story.local(mailbox).files();
        for (token, file) in aside.iter().filter(|(token, _)| !there.contains_key(*token)) {
            story.local(mailbox).add(&format!("1700000000.{token}.h"), "", &maildir::read(file));
        }
    }
    story.sync();
    for (mailbox, all) in ["INBOX", "Few", "None", "Archive"].into_iter().zip(&before) {
        assert_eq!(
            contents(&mut story.imap, mailbox).keys().collect::<Vec<_>>(),
            all.iter().collect::<Vec<_>>()
        );
    }
}

#[test]
fn where_nothing_was_lost_nothing_comes_down_again() {
    let mut story = story_of_a_disaster();
    deliver(&story, &named("kept", 25));
    story.append("Archive", "(\\Flagged) ", &message("quiet", 500));
    story.sync();
    all_archived(&story.scene.server);
    let before = ["INBOX", "Archive"].map(|name| story.local(name).files());
    disaster::strikes(&mut story.scene.server, "latest", &["--keep-uidvalidity"]);
    story.imap = story.scene.imap(ALICE);
    story.sync();
    assert_eq!(["INBOX", "Archive"].map(|name| story.local(name).files()), before);
    deliver(&story, &named("later", 1));
    story.sync();
    assert_eq!(story.local("INBOX").files().len(), 26);
    assert_eq!(status(&mut story.imap, "INBOX", "MESSAGES"), 26);
}
