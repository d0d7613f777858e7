//! Bytes that are fixed for good: votes, memberships, payloads.

use std::collections::BTreeMap;

use openraft::Membership;
use openraft::impls::Vote;

use super::{record, record_with};
use crate::id::{BlobId, Hash, LogIndex, NodeId, Term, Timestamp};
use crate::raft::types::{
    Member, Proposal, RaftStoredMembership, decode_membership, decode_stored, decode_vote,
    encode_membership, encode_vote, from_raft, membership_of, to_raft,
};
use crate::raft::{record_of, voters_of};
use crate::segment::{EntryKind, LogEntry, LogId};

#[test]
fn a_vote_is_17_bytes() {
    let vote = Vote::new_committed(0x0102, 3);
    let bytes = encode_vote(&vote);
    assert_eq!(bytes[..], [2, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert_eq!(decode_vote(&bytes), Ok(vote));
    for wrong in [&bytes[..16], &[0; 18], &[2; 17]] {
        assert!(decode_vote(wrong).is_err());
    }
}

#[test]
fn a_membership_has_its_bytes() {
    let member = |address: &str| Member { address: address.to_owned(), light: false };
    let nodes = BTreeMap::from([(1, member("a:1")), (2, member(""))]);
    let membership = Membership::new(vec![[1].into()], nodes).unwrap();
    let bytes = encode_membership(&membership).unwrap();
    // Shape 1; one configuration of node 1; two nodes with their addresses.
    assert_eq!(bytes[..], [0, 1, 1, 1, 2, 1, 3, b'a', b':', b'1', 2, 0]);
    assert_eq!(decode_membership(&bytes), Ok(membership.clone()));
    assert_eq!(voters_of(&bytes), Ok(vec![NodeId(1)]));

    // Shape 2 says which are light.
    let light = BTreeMap::from([(1, Member { address: "a".to_owned(), light: true })]);
    let light = Membership::new(vec![[1].into()], light).unwrap();
    let of_light = encode_membership(&light).unwrap();
    assert_eq!(of_light[..], [1, 1, 1, 1, 1, 1, 1, b'a', 1]);
    assert_eq!(decode_membership(&of_light), Ok(light));

    let id = to_raft(LogId { term: Term(3), index: LogIndex(4) });
    let stored = RaftStoredMembership::new(Some(id), membership);
    let mut entry = LogEntry {
        id: from_raft(id),
        kind: EntryKind::Membership,
        time: Timestamp(0),
        stamp: Timestamp(0),
        payload: bytes,
        chain: Hash::default(),
        position: 4,
    };
    let bytes = membership_of(&entry).unwrap().unwrap();
    entry.kind = EntryKind::Blank;
    assert_eq!(membership_of(&entry), Ok(None));
    assert_eq!(bytes[..3], [3, 4, 12]);
    assert_eq!(decode_stored(&bytes), Ok(stored));
    assert_eq!(decode_stored(&[]), Ok(RaftStoredMembership::default()));
    assert!(decode_stored(&bytes[..5]).is_err());
}

#[test]
fn a_payload_is_salt_and_record() {
    let (first, second) = (Proposal::new(&record(1)).unwrap(), Proposal::new(&record(1)).unwrap());
    assert_ne!(first.payload()[..16], second.payload()[..16]);
    assert_eq!(first.payload()[16..], second.payload()[16..]);
    assert_eq!(record_of(first.payload()), Ok(record(1)));
    assert!(record_of(&first.payload()[..16]).is_err());
    assert!(record_of(&[]).is_err());
    let blob = BlobId::of(b"x");
    assert_eq!(Proposal::new(&record_with(1, blob)).unwrap().unheld(), [blob]);
}
