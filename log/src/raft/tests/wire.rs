//! Octets from peers, good and hostile.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::group::{FOUND, Net, fresh, within};
use crate::id::{Hash, LogIndex, NodeId, Term, Timestamp};
use crate::raft::conn::SILENCE;
use crate::raft::wire::{
    AppendHead, EntryHead, Frame, Hello, Kind, Lane, MAX_FRAME, MAX_HELLO, Receiver, Refusal,
    Request, VoteBytes, Welcome, WireError, read_any, write,
};
use crate::segment::{EntryKind, LogEntry, LogId};

fn hello() -> Hello {
    Hello {
        oldest: 1,
        newest: 1,
        cluster: "test".to_owned(),
        node: NodeId(2),
        to: NodeId(1),
        incarnation: 3,
        level: crate::raft::LEVEL,
        lane: Lane::Calls,
        address: "a:1".to_owned(),
        last: Some(LogId { term: Term(1), index: LogIndex(2) }),
        chain: Some(Hash([7; 32])),
        term: Term(4),
    }
}

fn append() -> Frame {
    let vote = VoteBytes::of(&openraft::impls::Vote::new_committed(1, 2));
    let head = AppendHead { vote, prev: None, prev_chain: None, commit: None, entries: Vec::new() };
    Frame::new(Kind::Request, 9, &Request::Append(head), Bytes::new()).unwrap()
}

#[test]
fn entries_do_not_keep_what_they_were_read_with() {
    let Request::Append(mut head) = append().head().unwrap() else { panic!("not an append") };
    let entry = LogEntry {
        id: LogId { term: Term(1), index: LogIndex(0) },
        kind: EntryKind::Record,
        stamp: Timestamp(1),
        time: Timestamp(1),
        chain: Hash([1; 32]),
        payload: Bytes::from_static(b"one"),
        position: 0,
    };
    head.entries = vec![EntryHead::of(&entry); 2];
    let read = Bytes::from(b"onetwo".repeat(10_000));
    let entries = head.entries(&read.slice(..6)).unwrap();
    assert_eq!(
        entries.iter().map(|entry| &entry.payload[..]).collect::<Vec<_>>(),
        [b"one", b"two"]
    );
    // Nobody else has the buffer.
    assert!(read.try_into_mut().is_ok());
}

#[test]
fn a_hello_has_its_octets() {
    let hello = Hello { level: 2, ..hello() };
    let octets = Frame::new(Kind::Hello, 0, &hello, Bytes::new()).unwrap().octets();
    // Length, checksum; kind 1, id 0, octets of the head.
    let mut expected =
        [&66_u32.to_le_bytes()[..], &octets[4..8], &[1], &[0; 8], &[53, 0, 0, 0]].concat();
    // Versions, cluster, nodes, incarnation, level, lane, address, last, chain, term.
    expected
        .extend([1, 1, 4, b't', b'e', b's', b't', 2, 1, 3, 2, 3, 3, b'a', b':', b'1', 1, 1, 2, 1]);
    expected.extend([7; 32]);
    expected.push(4);
    assert_eq!(octets, expected);
    assert_eq!(read_any(&octets), 1);
}

#[tokio::test]
async fn frames_come_as_they_went_whatever_the_pieces() {
    let frames = [
        Frame::new(Kind::Hello, 0, &hello(), Bytes::new()).unwrap(),
        append(),
        Frame::bare(Kind::Ping),
        Frame::new(Kind::Answer, 8, &Refusal::Cluster("x".into()), vec![5; 200_000].into())
            .unwrap(),
    ];
    let (mut here, there) = tokio::io::duplex(7);
    let sent = frames.clone();
    tokio::spawn(async move {
        for frame in sent {
            write(&mut here, &frame).await.unwrap();
        }
    });
    let mut receiver = Receiver::new(there);
    for frame in frames {
        assert_eq!(receiver.next(MAX_FRAME, SILENCE).await.unwrap(), frame);
    }
    assert!(matches!(receiver.next(MAX_FRAME, SILENCE).await, Err(WireError::Closed)));
}

#[tokio::test]
async fn a_length_is_not_believed() {
    let (mut here, there) = tokio::io::duplex(64);
    here.write_all(&[0xff; 16]).await.unwrap();
    let answer = Receiver::new(there).next(MAX_HELLO, SILENCE).await;
    assert!(matches!(answer, Err(WireError::TooLong(_))), "{answer:?}");
}

/// What a node answers to these octets, until it hangs up.
async fn say(octets: &[u8]) -> Vec<u8> {
    let net = Net::default();
    let member = fresh(&net, 1, FOUND);
    let (mut here, there) = tokio::io::duplex(1 << 20);
    let node = member.node.clone();
    let served = tokio::spawn(async move { node.serve_peer(Box::new(there), None).await });
    here.write_all(octets).await.unwrap();
    let mut answer = Vec::new();
    let read =
        tokio::time::timeout(Duration::from_millis(300), here.read_to_end(&mut answer)).await;
    drop(here);
    within(served).await.unwrap();
    drop(read);
    // It lives on.
    within(member.propose(super::record(1))).await.unwrap();
    answer
}

#[tokio::test]
async fn strangers_are_refused_with_a_reason_and_nonsense_ends_the_stream() {
    let refused = |hello: &Hello| {
        let octets = Frame::new(Kind::Hello, 0, hello, Bytes::new()).unwrap().octets();
        async move {
            let answer = say(&octets).await;
            let frame = Receiver::new(&answer[..]).next(MAX_HELLO, SILENCE).await.unwrap();
            assert_eq!(frame.kind, Kind::Refused);
            frame.head::<Refusal>().unwrap()
        }
    };
    let other = Hello { cluster: "other".to_owned(), ..hello() };
    assert_eq!(refused(&other).await, Refusal::Cluster("test".to_owned()));
    let elsewhere = Hello { to: NodeId(5), ..hello() };
    assert_eq!(refused(&elsewhere).await, Refusal::OtherNode(NodeId(1)));
    let newer = Hello { oldest: 7, newest: 9, ..hello() };
    assert_eq!(refused(&newer).await, Refusal::Version { oldest: 1, newest: 2 });
    let old = Hello { level: 0, ..hello() };
    assert!(matches!(refused(&old).await, Refusal::Level { said: 0, .. }));

    let good = Frame::new(Kind::Hello, 0, &hello(), Bytes::new()).unwrap().octets();
    let welcome = say(&good).await;
    let frame = Receiver::new(&welcome[..]).next(MAX_HELLO, SILENCE).await.unwrap();
    assert_eq!(frame.head::<Welcome>().unwrap().node, NodeId(1));
    assert!(say(b"GET / HTTP/1.1\r\n\r\n").await.is_empty());
    assert!(say(&append().octets()).await.is_empty());
    let mut then_nonsense = good.clone();
    then_nonsense.extend([9; 64]);
    say(&then_nonsense).await;
}

proptest! {
    #[test]
    fn any_octets_are_read_without_a_panic(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        read_any(&octets);
    }

    #[test]
    fn a_changed_octet_is_noticed(at in 0usize..64, with in 1u8..) {
        let mut octets = Frame::new(Kind::Hello, 0, &hello(), Bytes::new()).unwrap().octets();
        let at = at % octets.len();
        octets[at] ^= with;
        prop_assert_eq!(read_any(&octets), 0);
    }

    /// With a checksum that fits: what a peer that means harm would send.
    #[test]
    fn any_body_is_read_without_a_panic(
        kind in 1u8..7,
        head in proptest::collection::vec(any::<u8>(), 0..120),
        bulk in proptest::collection::vec(any::<u8>(), 0..60),
        claimed in 0u32..200,
    ) {
        let mut body = vec![kind];
        body.extend(7u64.to_le_bytes());
        body.extend(claimed.to_le_bytes());
        body.extend(&head);
        body.extend(&bulk);
        let mut octets = (body.len() as u32).to_le_bytes().to_vec();
        octets.extend(crc32c::crc32c(&body).to_le_bytes());
        octets.extend(&body);
        prop_assert!(read_any(&octets) <= 1);
    }
}
