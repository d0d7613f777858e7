//! The index is a cache: removed, damaged or stale, it is built anew.

use super::*;
use crate::disk::RealDisk;

fn open_at(dir: &Path) -> (BlobStore, BlobReport) {
    let options = BlobOptions { index: IndexKind::RocksDb { cache: 1 << 20 }, ..small() };
    BlobStore::open(Arc::new(RealDisk), dir, options).unwrap()
}

fn blobs() -> Vec<Vec<u8>> {
    (0..30).map(|n| noise(n, 4_000)).collect()
}

fn filled(dir: &Path) {
    let (store, _) = open_at(dir);
    for octets in blobs() {
        store.put(&octets).unwrap();
    }
    let ids: Vec<_> = blobs().iter().map(|octets| BlobId::of(octets)).collect();
    store.wait_durable(&ids).unwrap();
}

fn all_there(store: &BlobStore) {
    for octets in blobs() {
        assert_eq!(read(store, &BlobId::of(&octets)).unwrap(), octets);
    }
    assert_eq!(store.stats().blobs, 30);
}

#[test]
fn it_is_kept_and_built_anew_when_removed_or_damaged() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (store, report) = open_at(dir.path());
    assert!(!report.index_rebuilt && report.missing.is_empty());
    all_there(&store);
    drop(store);
    std::fs::write(dir.path().join("index/CURRENT"), b"damaged").unwrap();
    let (store, report) = open_at(dir.path());
    assert!(report.index_rebuilt);
    all_there(&store);
    drop(store);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (store, report) = open_at(dir.path());
    assert!(report.index_rebuilt);
    all_there(&store);
}

#[test]
fn a_stale_one_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    put_durably(&open_at(dir.path()).0, b"first");
    copy(&dir.path().join("index"), &dir.path().join("old"));
    filled(dir.path());
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy(&dir.path().join("old"), &dir.path().join("index"));
    let (store, report) = open_at(dir.path());
    assert!(!report.index_rebuilt);
    assert_eq!(store.stats().blobs, 31);
    blobs().iter().for_each(|octets| assert!(!store.put(octets).unwrap().new));
}

#[test]
fn one_of_other_packs_is_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    filled(dir.path());
    put_durably(&open_at(other.path()).0, b"another store");
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    copy(&other.path().join("index"), &dir.path().join("index"));
    let (store, report) = open_at(dir.path());
    assert!(report.index_rebuilt);
    all_there(&store);
    assert!(!store.contains(&BlobId::of(b"another store")).unwrap());
}

#[test]
fn a_pack_that_is_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    std::fs::remove_file(dir.path().join("0000000000000001.pack")).unwrap();
    let (store, report) = open_at(dir.path());
    assert_eq!(report.missing, ["0000000000000001.pack"]);
    let lost = blobs()[0].clone();
    assert!(matches!(read(&store, &BlobId::of(&lost)), Err(BlobError::Missing(_))));
    assert!(store.put(&lost).unwrap().new, "it can be stored again");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
