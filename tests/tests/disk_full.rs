//! A disk that fills up under a whole node: refusals that say so, nothing lost
//! that was acknowledged, what shrinks goes on, and so does all when there is room.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod full;

use full::{Node, is_deferred};
use redoubt_tests::cluster::{PATIENCE, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;

const ALICE: &str = "alice@example.org";

/// Delivers until one is refused: the tokens of those that were taken, and the refusal's code.
fn deliver_until_refused(node: &Node, name: &str) -> (Vec<String>, u16) {
    let mut client = Lmtp::connect(node.lmtp()).unwrap();
    let mut taken = Vec::new();
    for n in 0..2000 {
        let token = format!("{name}{n}");
        let answers = client.deliver("s@example.net", &[ALICE], &message(&token, 3000)).unwrap();
        match answers[0].code {
            250 => taken.push(token),
            code => {
                assert!(is_deferred(&answers[0]), "{answers:?}");
                return (taken, code);
            }
        }
    }
    panic!("nothing was refused");
}

fn deliver(node: &Node, token: &str) -> redoubt_tests::lmtp::Answer {
    let mut client = Lmtp::connect(node.lmtp()).unwrap();
    client.deliver("s@example.net", &[ALICE], &message(token, 3000)).unwrap().remove(0)
}

fn append(node: &Node, token: &str) -> String {
    let mut client = Imap::login(node.imap(), ALICE).unwrap();
    client.append("INBOX", "", &message(token, 3000)).unwrap().tagged
}

/// Marks the first message `\Deleted` and expunges it.
fn expunge_first(node: &Node) {
    let mut client = Imap::login(node.imap(), ALICE).unwrap();
    client.ok("SELECT INBOX").unwrap();
    client.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").unwrap();
    let reply = client.ok("EXPUNGE").unwrap();
    assert!(reply.untagged.contains(&b"1 EXPUNGE".to_vec()), "{reply:?}");
}

#[test]
fn below_the_reserve_growth_is_refused_and_comes_back() {
    let node = Node::start();
    assert_eq!(deliver(&node, "before").code, 250);
    assert_eq!(deliver(&node, "kept").code, 250);
    node.disk.set_free(1 << 20);
    let refused = deliver(&node, "refused");
    assert!(refused.code == 452 && refused.text.starts_with("4.3.1 "), "{refused:?}");
    let tagged = append(&node, "refused");
    assert!(tagged.starts_with("NO [OVERQUOTA] ") && tagged.contains("disk"), "{tagged}");
    let mut client = Imap::login(node.imap(), ALICE).unwrap();
    client.ok("SELECT INBOX").unwrap();
    // Where nothing but rows grow, what was seen of the disk a moment ago still counts.
    let mut copy = || client.command("COPY 1 Trash").unwrap().tagged;
    let copied =
        until(PATIENCE, || Some(copy()).filter(|tagged| tagged.starts_with("NO"))).unwrap();
    assert!(copied.starts_with("NO [OVERQUOTA] "), "{copied}");
    client.ok("MOVE 2 Archive").unwrap();
    expunge_first(&node);
    node.disk.set_free(100 << 30);
    assert_eq!(deliver(&node, "after").code, 250);
    assert!(append(&node, "appended").starts_with("OK "));
    assert_eq!(node.tokens("INBOX"), ["after", "appended"]);
    assert_eq!(node.tokens("Archive"), ["kept"]);
}

/// The room that the system tells of is no promise: the write itself finds none.
#[test]
fn a_pack_that_finds_no_room() {
    let mut node = Node::start();
    assert_eq!(deliver(&node, "first").code, 250);
    assert_eq!(deliver(&node, "second").code, 250);
    node.disk.fill(Some("/blobs/"));
    let refused = deliver(&node, "refused");
    assert!(refused.code == 452 && refused.text.starts_with("4.3.1 "), "{refused:?}");
    let tagged = append(&node, "refused");
    assert!(tagged.starts_with("NO [OVERQUOTA] ") && tagged.contains("disk"), "{tagged}");
    expunge_first(&node);
    node.disk.fill(None);
    assert_eq!(deliver(&node, "third").code, 250);
    assert!(append(&node, "fourth").starts_with("OK "));
    assert_eq!(node.tokens("INBOX"), ["second", "third", "fourth"]);
    node.restart();
    assert_eq!(node.tokens("INBOX"), ["second", "third", "fourth"]);
    node.check();
}

/// No next segment can be made: the one that was made ahead is kept for what
/// shrinks, and growth is allowed again, without a restart, when there is room.
#[test]
fn a_segment_that_cannot_be_made() {
    let mut node = Node::start();
    node.disk.forbid_new(Some("/log/"));
    let (mut taken, code) = deliver_until_refused(&node, "m");
    assert_eq!(code, 452, "after {}", taken.len());
    assert!(taken.len() > 10, "{}", taken.len());
    assert!(append(&node, "refused").starts_with("NO [OVERQUOTA] "));
    expunge_first(&node);
    taken.remove(0);
    assert_eq!(node.tokens("INBOX"), taken);
    node.disk.forbid_new(None);
    node.wait_until("growth is allowed", |node| deliver(node, "after").code == 250);
    taken.push("after".into());
    assert_eq!(node.tokens("INBOX"), taken);
    node.restart();
    assert_eq!(node.tokens("INBOX"), taken);
    node.check();
}

/// A write into the log finds no room, as on a file system that writes nothing
/// in place. Nobody knows then what was written: the node stops, and says so;
/// with room it starts again and has all that was acknowledged.
#[test]
fn a_segment_that_finds_no_room() {
    let mut node = Node::start();
    let (first, second) = (deliver(&node, "first").code, deliver(&node, "second").code);
    assert_eq!((first, second), (250, 250));
    node.disk.fill(Some("/log/"));
    let refused = deliver(&node, "unknown");
    assert!(is_deferred(&refused), "{refused:?}");
    let why = node.stopped();
    assert!(why.contains("no room") || why.contains("full"), "{why}");
    let again = deliver(&node, "unknown");
    assert!(is_deferred(&again), "{again:?}");
    node.disk.fill(None);
    node.restart();
    let mut tokens = node.tokens("INBOX");
    tokens.retain(|token| token != "unknown");
    assert_eq!(tokens, ["first", "second"]);
    assert_eq!(deliver(&node, "unknown").code, 250);
    assert_eq!(node.tokens("INBOX"), ["first", "second", "unknown"]);
    node.check();
}

/// The token of an email that others look at.
const CONTENT: &str = "confidential";

/// What shows mail of others, each with the arguments of a verb. `JOB` is a search. A new search
/// or export is no answer yet: it waits until its own record is there.
const LOOKS: [&[&str]; 11] = [
    &["ls", ALICE],
    &["ls", "alice@example.org/INBOX"],
    &["ls", "alice@example.org/INBOX", "--at", "THEN"],
    &["find", ALICE, "subject:confidential"],
    &["show", ALICE, "INBOX/1"],
    &["show", ALICE, "INBOX/1", "--raw"],
    &["history", ALICE],
    &["diff", ALICE, "THEN"],
    &["restore", "email", ALICE, "--find", "subject:confidential", "--yes"],
    &["discover", "show", "JOB", "--hits"],
    &["discover", "show", "JOB", "--purged"],
];

/// All of them at one time: each as it ended.
fn looked(node: &Node, names: &[(&str, &str)]) -> Vec<(i32, String)> {
    let named = |word: &&str| {
        let found = names.iter().find(|(name, _)| name == word);
        found.map_or_else(|| (*word).to_owned(), |(_, value)| (*value).to_owned())
    };
    std::thread::scope(|scope| {
        let ask = |look: &'static [&'static str]| {
            let words: Vec<String> = look.iter().map(named).collect();
            scope.spawn(move || node.said(&words.iter().map(String::as_str).collect::<Vec<_>>()))
        };
        let asked: Vec<_> = LOOKS.into_iter().map(ask).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A log whose disk hangs commits nothing, and everything can still be read. Then an owner sees
/// his mail, and nobody else does: who looked could not be put on record.
#[test]
fn nobody_looks_at_mail_of_others_without_a_record() {
    let node = Node::start();
    assert_eq!(deliver(&node, CONTENT).code, 250);
    let (code, found) = node.said(&["discover", "subject:confidential", "--all", "--json"]);
    assert_eq!((code, found.contains(CONTENT)), (0, true), "{found}");
    let job = found.split("\"job\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let status: serde_json::Value =
        serde_json::from_str(&node.said(&["status", "--json"]).1).unwrap();
    let then = format!("@{}", status["store"]["applied"]);
    let mut owner = Imap::login(node.imap(), ALICE).unwrap();
    owner.ok("EXAMINE INBOX").unwrap();

    let held = node.disk.hold("/log/");
    let refused = looked(&node, &[("JOB", job), ("THEN", &then)]);
    for (look, (code, said)) in LOOKS.iter().zip(&refused) {
        assert_ne!(*code, 0, "{look:?}: {said}");
        let told = ["Subject", "sender@example.net", "INBOX", "Inbox"];
        let told = told.iter().any(|word| said.contains(word));
        assert!(!said.is_empty() && !told, "{look:?}: {said}");
    }
    // It was the record that was missing: what was there to be read could be.
    let (code, said) = node.said(&["mailbox", "list", ALICE]);
    assert_eq!((code, said.contains("INBOX")), (0, true), "{said}");
    let seen = owner.ok("UID FETCH 1:* (BODY.PEEK[])").unwrap();
    assert_eq!(seen.fetches().len(), 1);
    drop(held);

    node.wait_until("the log goes on", |node| deliver(node, "after").code == 250);
    let answered = looked(&node, &[("JOB", job), ("THEN", &then)]);
    for (look, (code, said)) in LOOKS.iter().zip(&answered) {
        assert_eq!(*code, 0, "{look:?}: {said}");
    }
    node.check();
}
