//! interimap keeps two servers alike by QRESYNC (RFC 7162): messages, flags and
//! deletions, both ways; what is alike is not even looked at.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use redoubt_tests::disaster::{self, all_archived, moment};
use redoubt_tests::imap::Imap;
use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::process::Redoubt;
use redoubt_tests::programs::{Message, Scene, contents, serve, status};

const ALICE: &str = "alice@example.org";

/// Two servers, and interimap with a configuration.
struct Story {
    /// Ends before the folder goes that both are in.
    _other: Redoubt,
    scene: Scene,
    left: Imap,
    right: Imap,
}

impl Story {
    fn new() -> Self {
        Self::with(Scene::new())
    }

    fn with(scene: Scene) -> Self {
        let other = serve(&scene.home().join("other"));
        let side = |name: &str, server: &Redoubt| {
            let port = server.imap().port();
            format!(
                "[{name}]\ntype = imap\nhost = 127.0.0.1\nport = {port}\nSTARTTLS = NO\n\
                 username = {ALICE}\npassword = secret\n"
            )
        };
        let sides = side("local", &scene.server) + &side("remote", &other);
        scene.file(".config/interimap/config", format!("database = alice.db\n{sides}"));
        std::fs::create_dir_all(scene.home().join(".local/share/interimap")).unwrap();
        let left = scene.imap(ALICE);
        let right = Imap::login(other.imap(), ALICE).unwrap();
        Self { _other: other, scene, left, right }
    }

    /// What interimap said to both servers and heard, literals left out.
    fn sync(&self) -> String {
        let (done, talk) = self.try_sync();
        assert!(done, "{talk}");
        talk
    }

    /// The same where it may refuse, and whether it did it.
    fn try_sync(&self) -> (bool, String) {
        let output = self.scene.try_run("interimap", &["--debug"]);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// What is in a mailbox, which must be the same on both sides but for UIDs.
    fn both(&mut self, mailbox: &str) -> Vec<(String, Message)> {
        let [left, right] = [&mut self.left, &mut self.right].map(|imap| {
            let there = contents(imap, mailbox).into_iter();
            there.map(|(token, message)| (token, Message { uid: 0, ..message })).collect::<Vec<_>>()
        });
        assert_eq!(left, right);
        left
    }
}

fn append(imap: &mut Imap, mailbox: &str, options: &str, message: &[u8]) {
    assert!(imap.append(mailbox, options, message).unwrap().is_ok());
}

fn tokens(there: &[(String, Message)]) -> Vec<&str> {
    there.iter().map(|(token, _)| token.as_str()).collect()
}

#[test]
fn messages_pass_both_ways_whole() {
    let mut story = Story::new();
    for n in 0..3 {
        story.scene.deliver(&[ALICE], &message(&format!("left{n}"), 500 + n * 40_000));
    }
    let options = "(\\Seen \\Flagged $Work Blue) \"05-Mar-2021 06:07:08 +0200\" ";
    append(&mut story.right, "INBOX", options, &message("right", 3_000));
    story.left.ok("CREATE \"Entw&APw-rfe/deep\"").unwrap();
    append(&mut story.left, "\"Entw&APw-rfe/deep\"", "(\\Draft) ", &message("draft", 300));
    story.sync();
    let there = story.both("INBOX");
    assert_eq!(tokens(&there), ["left0", "left1", "left2", "right"]);
    for (n, (_, message_)) in there.iter().take(3).enumerate() {
        let made = message(&format!("left{n}"), 500 + n * 40_000);
        assert_eq!(without_trace(&message_.content), made);
        assert!(message_.has_flags(&[]));
    }
    let right = &there[3].1;
    assert_eq!(right.content, message("right", 3_000));
    assert_eq!(right.date, "5-Mar-2021 04:07:08 +0000");
    let flags = ["\\Seen", "\\Flagged", "$Work", "Blue"];
    assert!(right.has_flags(&flags), "{:?}", right.flags);
    let there = story.both("Entw&APw-rfe/deep");
    assert_eq!(there[0].1.content, message("draft", 300));
    assert!(there[0].1.has_flags(&["\\Draft"]));
}

#[test]
fn flags_and_deletions_pass_both_ways() {
    let mut story = Story::new();
    for n in 0..8 {
        append(&mut story.left, "INBOX", "", &message(&format!("m{n}"), 400));
    }
    story.sync();
    let uid = |imap: &mut Imap, token: &str| contents(imap, "INBOX")[token].uid;
    let on = |imap: &mut Imap, token: &str, item: &str| {
        let uid = uid(imap, token);
        imap.ok(&format!("UID STORE {uid} {item}")).unwrap();
    };
    on(&mut story.left, "m0", "+FLAGS (\\Seen $Work)");
    on(&mut story.right, "m1", "+FLAGS (\\Answered)");
    on(&mut story.left, "m2", "+FLAGS (\\Deleted)");
    story.left.ok("EXPUNGE").unwrap();
    on(&mut story.right, "m3", "+FLAGS (\\Deleted)");
    story.right.ok("EXPUNGE").unwrap();
    let moved = uid(&mut story.right, "m4");
    story.right.ok(&format!("UID MOVE {moved} Archive")).unwrap();
    append(&mut story.right, "INBOX", "", &message("new", 400));
    let talk = story.sync();
    assert!(talk.contains("(QRESYNC (") && talk.contains("* VANISHED (EARLIER) "), "{talk}");
    let there = story.both("INBOX");
    assert_eq!(tokens(&there), ["m0", "m1", "m5", "m6", "m7", "new"]);
    assert!(there[0].1.has_flags(&["\\Seen", "$Work"]), "{:?}", there[0].1.flags);
    assert!(there[1].1.has_flags(&["\\Answered"]), "{:?}", there[1].1.flags);
    assert!(there[2..].iter().all(|(_, message)| message.has_flags(&[])));
    assert_eq!(tokens(&story.both("Archive")), ["m4"]);
    // Flags that go.
    on(&mut story.right, "m0", "-FLAGS (\\Seen)");
    story.sync();
    let there = story.both("INBOX");
    assert!(there[0].1.has_flags(&["$Work"]), "{:?}", there[0].1.flags);
}

#[test]
fn what_is_alike_is_not_looked_at() {
    let mut story = Story::new();
    for n in 0..3 {
        append(&mut story.left, "INBOX", "(\\Seen) ", &message(&format!("left{n}"), 400));
        append(&mut story.right, "Archive", "($Work) ", &message(&format!("right{n}"), 400));
    }
    story.sync();
    let state = |story: &mut Story| {
        let mut all = Vec::new();
        for mailbox in ["INBOX", "Archive"] {
            for name in ["MESSAGES", "UIDNEXT", "UIDVALIDITY", "HIGHESTMODSEQ"] {
                all.push(status(&mut story.left, mailbox, name));
                all.push(status(&mut story.right, mailbox, name));
            }
        }
        all
    };
    let before = state(&mut story);
    let talk = story.sync();
    for command in ["SELECT", "FETCH", "STORE", "APPEND", "EXPUNGE"] {
        let said = talk.lines().find(|line| line.contains(" C: ") && line.contains(command));
        assert_eq!(said, None);
    }
    assert_eq!(state(&mut story), before);
    assert_eq!(tokens(&story.both("INBOX")), ["left0", "left1", "left2"]);
    assert_eq!(tokens(&story.both("Archive")), ["right0", "right1", "right2"]);
}

/// One of the two servers is lost: the other keeps what only it has now, and gives it back when
/// the two are brought together anew.
#[test]
fn what_one_server_lost_stays_on_the_other() {
    let mut story = Story::with(disaster::scene());
    for n in 0..6 {
        append(&mut story.left, "INBOX", "(\\Seen) ", &message(&format!("kept{n}"), 400));
    }
    story.sync();
    let then = moment(&story.scene.server);
    append(&mut story.left, "INBOX", "", &message("lost0", 400));
    append(&mut story.left, "Drafts", "", &message("lost1", 400));
    append(&mut story.right, "INBOX", "", &message("lost2", 400));
    story.sync();
    all_archived(&story.scene.server);
    let there = |imap: &mut Imap, mailbox| contents(imap, mailbox).into_keys().collect::<Vec<_>>();
    let before = ["INBOX", "Drafts"].map(|mailbox| there(&mut story.right, mailbox));
    disaster::strikes(&mut story.scene.server, &then, &[]);
    story.left = story.scene.imap(ALICE);
    let (done, talk) = story.try_sync();
    assert!(!done && talk.contains("UIDVALIDITY"), "it asks what to do: {talk}");
    assert_eq!(["INBOX", "Drafts"].map(|mailbox| there(&mut story.right, mailbox)), before);
    // Begun anew against mailboxes that are empty, all comes back.
    let folder = story.scene.home().join(".local/share/interimap");
    for entry in std::fs::read_dir(folder).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    story.left.ok("SELECT INBOX").unwrap();
    story.left.ok("STORE 1:* +FLAGS.SILENT (\\Deleted)").unwrap();
    story.left.ok("EXPUNGE").unwrap();
    story.sync();
    for (mailbox, all) in ["INBOX", "Drafts"].into_iter().zip(&before) {
        assert_eq!(tokens(&story.both(mailbox)), *all);
    }
}

#[test]
fn where_one_server_lost_nothing_they_go_on() {
    let mut story = Story::with(disaster::scene());
    for n in 0..3 {
        append(&mut story.left, "INBOX", "", &message(&format!("kept{n}"), 400));
    }
    story.sync();
    all_archived(&story.scene.server);
    disaster::strikes(&mut story.scene.server, "latest", &["--keep-uidvalidity"]);
    story.left = story.scene.imap(ALICE);
    let talk = story.sync();
    for (side, what) in [(" C: ", " APPEND "), (" S: ", "BODY[]")] {
        let said = talk.lines().find(|line| line.contains(side) && line.contains(what));
        assert_eq!(said, None);
    }
    append(&mut story.right, "INBOX", "", &message("later", 400));
    story.sync();
    assert_eq!(tokens(&story.both("INBOX")), ["kept0", "kept1", "kept2", "later"]);
}
