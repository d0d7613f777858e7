#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::BTreeSet;
use std::sync::Arc;

use object_store::memory::InMemory;
use redoubt_log::blob::{ExportedHead, ExportedKind};
use redoubt_log::chain;
use redoubt_log::id::{BlobId, Hash, LogIndex, OperationId, Term, Timestamp};
use redoubt_log::raft::{EntryKind, LogEntry, LogId};

use super::pack::Draft;
use super::range::Range;
use super::seal::SealKey;
use super::*;

const LINEAGE: &str = "00112233445566778899aabbccddeeff";

fn objects() -> Objects {
    Objects::new(Arc::new(InMemory::new()))
}

fn key(n: u8) -> KeyWish {
    KeyWish::With(MasterKey(SealKey::new([n; 32])))
}

pub(crate) fn entries(first: u64, count: u64, before: Hash) -> Range {
    let (mut chain, mut entries) = (before, Vec::new());
    for index in first..first + count {
        let payload = bytes::Bytes::from(format!("payload of {index}"));
        let (term, time) = (Term(3), Timestamp(index as i64 * 10));
        let content = chain::content(&payload);
        let leaf = chain::leaf(term, LogIndex(index), EntryKind::Record as u8, time, &content);
        chain = chain::link(&chain, &leaf);
        let id = LogId { term, index: LogIndex(index) };
        let kind = EntryKind::Record;
        entries.push(LogEntry { id, kind, time, stamp: time, payload, chain, position: index });
    }
    Range { before, time_before: Timestamp(0), entries }
}

fn whole(octets: &[u8]) -> ExportedHead {
    ExportedHead {
        id: BlobId::of(octets),
        len: octets.len() as u64,
        kind: ExportedKind::Whole,
        payload: octets.len() as u64,
        stored: octets.len() as u64,
        parts: Vec::new(),
    }
}

async fn with_blobs(repository: &Repository, blobs: &[&[u8]]) {
    let mut draft = Draft::new(repository.is_encrypted());
    for octets in blobs {
        draft.add(&whole(octets), 0, octets).unwrap();
    }
    repository.put_pack(draft).await.unwrap();
}

#[tokio::test]
async fn without_a_key_nothing_is_written_and_with_another_one_nothing_is_read() {
    let objects = objects();
    let none = Repository::open_or_make(objects.clone(), &KeyWish::Absent).await;
    assert_eq!(none.unwrap_err(), RepoError::NoKey);
    assert_eq!(objects.list("", None).await.unwrap(), []);
    Repository::open_or_make(objects.clone(), &key(1)).await.unwrap();
    for (wish, wrong) in [
        (KeyWish::Plain, RepoError::NoKey),
        (KeyWish::Absent, RepoError::NoKey),
        (key(2), RepoError::WrongKey { given: String::new(), known: String::new() }),
    ] {
        let error = Repository::open_or_make(objects.clone(), &wish).await.unwrap_err();
        assert_eq!(std::mem::discriminant(&error), std::mem::discriminant(&wrong), "{error}");
    }
    let plain = self::objects();
    Repository::open_or_make(plain.clone(), &KeyWish::Plain).await.unwrap();
    let error = Repository::open(plain, &key(1)).await.unwrap_err();
    assert_eq!(error, RepoError::NotEncrypted);
}

#[tokio::test]
async fn the_same_again_is_fine_and_something_else_under_a_name_is_not() {
    for wish in [key(1), KeyWish::Plain] {
        let repository = Repository::open_or_make(objects(), &wish).await.unwrap();
        let put = async |octets: &[u8]| repository.put(Kind::Secret, "secrets/x", octets).await;
        assert_eq!(put(b"a").await, Ok(Created::New));
        assert_eq!(put(b"a").await, Ok(Created::Exists));
        assert_eq!(put(b"b").await, Err(RepoError::Conflict("secrets/x".into())));
        assert_eq!(repository.get(Kind::Secret, "secrets/x").await.unwrap(), b"a");
    }
}

#[tokio::test]
async fn the_same_content_under_a_newer_data_key_is_no_conflict() {
    let objects = objects();
    let before = Repository::open_or_make(objects.clone(), &key(1)).await.unwrap();
    before.put_secret(LINEAGE, &[5; 32]).await.unwrap();
    let (KeyWish::With(old), KeyWish::With(new)) = (key(1), key(2)) else { panic!() };
    keys::rotate(&objects, &old, &new).await.unwrap();
    let after = Repository::open(objects, &key(2)).await.unwrap();
    after.put_secret(LINEAGE, &[5; 32]).await.unwrap();
    assert_eq!(after.secret(LINEAGE).await.unwrap(), [5; 32]);
    assert!(after.put_secret(LINEAGE, &[6; 32]).await.is_err());
}

#[tokio::test]
async fn ranges_read_back_and_each_change_of_an_entry_is_noticed() {
    let repository = Repository::open_or_make(objects(), &KeyWish::Plain).await.unwrap();
    let range = entries(5, 4, Hash([9; 32]));
    repository.put_range(LINEAGE, &range).await.unwrap();
    let name = range.name().unwrap();
    assert_eq!(repository.ranges(LINEAGE, None).await.unwrap(), std::slice::from_ref(&name));
    assert_eq!(repository.range(LINEAGE, &name).await.unwrap(), range);
    // Whoever can write the checksum anew does not know the chain.
    let text = name.name(LINEAGE);
    let plain = repository.get(Kind::Range, &text).await.unwrap();
    for at in 0..plain.len() {
        let mut forged = plain.clone();
        forged[at] ^= 1;
        let bytes = seal::seal(Kind::Range, &text, None, &forged).unwrap();
        repository.objects().delete(&text).await.unwrap();
        repository.objects().create(&text, bytes.into()).await.unwrap();
        let read = repository.range(LINEAGE, &name).await;
        // The position of a leaf, a stamp and the time before are no part of the chain.
        let outside = matches!(at, 32..40 | 72..80) || (80..plain.len()).contains(&at);
        assert!(read.is_err() || outside && read != Ok(range.clone()), "octet {at}");
    }
}

#[tokio::test]
async fn blobs_come_back_piece_by_piece() {
    for wish in [key(1), KeyWish::Plain] {
        let repository = Repository::open_or_make(objects(), &wish).await.unwrap();
        let large: Vec<u8> = (0..pack::PIECE + 10).map(|n| (n % 251) as u8).collect();
        let head = whole(&large);
        for (n, piece) in large.chunks(pack::PIECE).enumerate() {
            let missing = repository.catalogue().await.unwrap().head(&head.id).is_none();
            assert!(missing, "it is there only with its last piece");
            let mut draft = Draft::new(repository.is_encrypted());
            draft.add(&head, n as u32, piece).unwrap();
            repository.put_pack(draft).await.unwrap();
        }
        with_blobs(&repository, &[b"one", b"two"]).await;
        let catalogue = repository.catalogue().await.unwrap();
        for octets in [large.as_slice(), b"one", b"two"] {
            let blob = repository.blob(&catalogue, &BlobId::of(octets)).await.unwrap();
            assert_eq!((blob.head, blob.body.as_ref()), (whole(octets), octets));
        }
    }
}

#[tokio::test]
async fn what_is_forgotten_cannot_be_read_and_the_rest_can() {
    let repository = Repository::open_or_make(objects(), &key(1)).await.unwrap();
    with_blobs(&repository, &[b"one", b"two"]).await;
    let old = repository.indexes().await.unwrap()[0];
    let old = (old.name(), repository.objects().get(&old.name()).await.unwrap());
    let [one, two] = [b"one", b"two"].map(|octets| BlobId::of(octets));
    let forget = async || {
        let lying = repository.lying().await.unwrap();
        let wanted = BTreeSet::from([one]);
        let (erasure, upto) = (OperationId([7; 16]), LogIndex(9));
        repository.forget(&lying, erasure, upto, &wanted).await.unwrap().len()
    };
    assert_eq!(forget().await, 1);
    let check = async || {
        let catalogue = repository.catalogue().await.unwrap();
        assert!(repository.blob(&catalogue, &one).await.is_err());
        assert_eq!(repository.blob(&catalogue, &two).await.unwrap().body.as_ref(), b"two");
    };
    check().await;
    assert_eq!(repository.objects().list("index", None).await.unwrap().len(), 1);
    // A crash before the old index was removed: it does not count, and goes next time.
    repository.objects().create(&old.0, old.1).await.unwrap();
    check().await;
    assert_eq!(forget().await, 0);
    assert_eq!(repository.objects().list("index", None).await.unwrap().len(), 1);
    let forgotten = repository.forgettings().await.unwrap();
    assert!(forgotten.allow(&one, LogIndex(9)) && !forgotten.allow(&one, LogIndex(10)));
    assert!(!forgotten.allow(&two, LogIndex(9)));
}

#[tokio::test]
async fn no_octet_of_what_was_put_lies_in_an_encrypted_repository() {
    let objects = objects();
    let repository = Repository::open_or_make(objects.clone(), &key(1)).await.unwrap();
    with_blobs(&repository, &[b"Subject: readable"]).await;
    repository.put_range(LINEAGE, &entries(0, 3, Hash([0; 32]))).await.unwrap();
    repository.put_secret(LINEAGE, b"readable-readable-readable-reada").await.unwrap();
    let listed = objects.list("", None).await.unwrap();
    assert_eq!(listed.len(), 6);
    for object in listed {
        let bytes = objects.get(&object.name).await.unwrap();
        for text in [&b"readable"[..], b"payload of"] {
            assert!(!bytes.windows(text.len()).any(|window| window == text), "{}", object.name);
        }
    }
}
