//! IMAP sessions on any node while leaders die and hand over: nothing is told
//! twice, nothing is left out, and numbers only rise.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use redoubt_tests::cluster::Cluster;
use redoubt_tests::imap::{Imap, item};
use redoubt_tests::messages::message;
use redoubt_tests::programs::TIMEOUT;

const ALICE: &str = "alice@example.org";

/// A session that idles on one node and passes on what it hears of.
fn listener(cluster: &Cluster, n: usize) -> Receiver<u64> {
    let mut imap = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.send(b"IDLE").unwrap();
    assert!(imap.response().unwrap().starts_with(b"+ "));
    let (heard, hears) = channel();
    thread::spawn(move || listen(&mut imap, &heard));
    hears
}

fn listen(imap: &mut Imap, heard: &Sender<u64>) {
    while let Ok(line) = imap.response() {
        let text = String::from_utf8_lossy(&line).into_owned();
        if let Some(exists) = text.strip_prefix("* ").and_then(|text| text.strip_suffix(" EXISTS"))
        {
            if heard.send(exists.parse().unwrap()).is_err() {
                return;
            }
        } else {
            assert!(text.ends_with(" RECENT"), "{text}");
        }
    }
}

/// Waits until it has heard of so many messages; each count is above the last.
fn hears_of(listener: &Receiver<u64>, last: &mut u64, count: u64) {
    while *last < count {
        let next = listener
            .recv_timeout(TIMEOUT)
            .unwrap_or_else(|error| panic!("not told in time: {error}"));
        assert!(next > *last && next <= count, "{next} behind {last}, of {count}");
        *last = next;
    }
}

/// Appends; UID and MODSEQ of the message.
fn append(imap: &mut Imap, n: u64) -> (u64, u64) {
    let reply = imap.append("INBOX", "", &message(&format!("number {n:03}"), 1_000)).unwrap();
    assert!(reply.is_ok(), "{reply:?}");
    let uid: u64 = reply.code("APPENDUID").unwrap()[1].parse().unwrap();
    let fetched = imap.ok(&format!("UID FETCH {uid} (MODSEQ)")).unwrap();
    let mut fetches = fetched.fetches().into_iter();
    let modseq = fetches.find_map(|(_, items)| Some(item(&items, "MODSEQ")?.list()[0].number()));
    (uid, modseq.unwrap())
}

#[test]
fn sessions_outlive_leaders() {
    let mut cluster = Cluster::of(3);
    cluster.node(0).domain("example.org");
    cluster.node(0).account(ALICE);
    cluster.caught_up();
    let (mut count, mut last) = (0, (0, 0));
    for round in 0..4 {
        let leader = cluster.leader();
        let others: Vec<usize> = cluster.running().filter(|n| *n != leader).collect();
        let mut writer = Imap::login(cluster.node(others[0]).imap(), ALICE).unwrap();
        writer.ok("SELECT INBOX (CONDSTORE)").unwrap();
        let listeners: Vec<Receiver<u64>> = others.iter().map(|n| listener(&cluster, *n)).collect();
        let mut heard = vec![count; listeners.len()];
        let mut appends = |writer: &mut Imap, more: u64| {
            for _ in 0..more {
                let next = append(writer, count);
                assert!(next.0 > last.0 && next.1 > last.1, "{next:?} behind {last:?}");
                (last, count) = (next, count + 1);
            }
            count
        };
        appends(&mut writer, 3);
        // The next command is on its way while there is no leader.
        if round % 2 == 0 {
            cluster.node_mut(leader).kill();
        } else {
            cluster.node(leader).verb(&["cluster", "transfer"]);
        }
        let now = appends(&mut writer, 5);
        for (listener, heard) in listeners.iter().zip(&mut heard) {
            hears_of(listener, heard, now);
        }
        if round % 2 == 0 {
            cluster.node_mut(leader).start_again();
        }
        cluster.caught_up();
    }
    let tokens: Vec<String> = (0..count).map(|n| format!("number {n:03}")).collect();
    for n in cluster.running() {
        let mut imap = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
        let there = redoubt_tests::programs::contents(&mut imap, "INBOX");
        assert_eq!(there.keys().collect::<Vec<_>>(), tokens.iter().collect::<Vec<_>>(), "node {n}");
        let mut uids: Vec<u64> = there.values().map(|message| message.uid).collect();
        uids.sort_unstable();
        uids.dedup();
        assert_eq!(uids.len() as u64, count);
    }
    a_locked_account_has_no_sessions(&cluster);
}

/// Whichever node they are on, and whichever one took the change.
fn a_locked_account_has_no_sessions(cluster: &Cluster) {
    let sessions: Vec<(usize, Imap)> =
        cluster.running().map(|n| (n, selected(cluster, n))).collect();
    let follower = cluster.follower();
    cluster.node(follower).verb(&["account", "lock", ALICE]);
    for (n, mut session) in sessions {
        let said = session.response().unwrap();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.starts_with("* BYE [AUTHORIZATIONFAILED] "), "node {n}: {said}");
        assert!(session.response().is_err(), "node {n} goes on");
    }
}

/// One that idles on an even node, and only waits on an odd one.
fn selected(cluster: &Cluster, n: usize) -> Imap {
    let mut imap = Imap::login(cluster.node(n).imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    if n.is_multiple_of(2) {
        imap.send(b"IDLE").unwrap();
        assert!(imap.response().unwrap().starts_with(b"+ "));
    }
    imap
}
