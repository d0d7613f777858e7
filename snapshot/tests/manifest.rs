//! Manifests on a disk that loses what was not synced.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::Path;

use redoubt_log::chain::Head;
use redoubt_log::disk::Disk;
use redoubt_log::disk::sim::SimDisk;
use redoubt_log::id::{Hash, LogIndex, Term, Timestamp};
use redoubt_log::raft::{AppliedState, LogId};
use redoubt_snapshot::manifest::{self, Manifest};
use redoubt_store::Pauses;
use redoubt_store::checkpoint::{BaseError, Image};

const DIR: &str = "/base/7";

fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let file = disk.create(&Path::new(DIR).join("000001.sst")).unwrap();
    file.write_all_at(b"rows", 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(DIR)).unwrap();
    disk
}

fn manifest(disk: &SimDisk) -> Manifest {
    let mut head = Head::default();
    for n in 0..7 {
        head.push(Timestamp(n), &Hash([9; 32]));
    }
    let state = AppliedState {
        id: LogId { term: Term(2), index: LogIndex(6) },
        membership: bytes::Bytes::from_static(b"\x00\xffabc"),
        chain: head.chain,
        time: head.time,
    };
    let image = Image { dir: DIR.into(), state, state_hash: Hash([3; 32]) };
    let entry = manifest::entry(disk, Path::new(DIR), "000001.sst", true, &Pauses::none()).unwrap();
    assert_eq!((entry.size, entry.blake3.0), (4, *blake3::hash(b"rows").as_bytes()));
    Manifest::of(&image, &head, vec![entry])
}

#[test]
fn what_is_written_reads_back() {
    let disk = disk(1);
    let written = manifest(&disk);
    written.write(&disk, Path::new(DIR)).unwrap();
    let read = Manifest::read(&disk, Path::new(DIR)).unwrap().unwrap();
    assert_eq!(read, written);
    let base = read.base(Path::new(DIR)).unwrap();
    assert_eq!(base.state.membership.as_ref(), b"\x00\xffabc");
    assert_eq!((base.head.tree.size(), base.index()), (7, LogIndex(6)));
}

#[test]
fn power_loss_at_any_moment_leaves_the_whole_or_nothing() {
    let (mut whole, mut nothing) = (0, 0);
    for seed in 0..40 {
        for operations in 0..7 {
            let disk = disk(seed);
            let written = manifest(&disk);
            disk.power_off_after(operations);
            let done = written.write(&disk, Path::new(DIR)).is_ok();
            match Manifest::read(&disk.crash(), Path::new(DIR)).unwrap() {
                Some(read) => {
                    assert_eq!(read, written);
                    whole += 1;
                }
                None => {
                    assert!(!done, "what was said to be durable is gone");
                    nothing += 1;
                }
            }
        }
    }
    assert!(whole > 0 && nothing > 0);
}

#[test]
fn an_unfinished_one_is_written_over() {
    let disk = disk(3);
    let written = manifest(&disk);
    disk.create(&Path::new(DIR).join("base.manifest.new")).unwrap();
    written.write(&disk, Path::new(DIR)).unwrap();
    assert_eq!(Manifest::read(&disk, Path::new(DIR)).unwrap(), Some(written));
}

#[test]
fn any_changed_byte_is_noticed() {
    let disk = disk(4);
    manifest(&disk).write(&disk, Path::new(DIR)).unwrap();
    let file = disk.open(&Path::new(DIR).join(manifest::NAME)).unwrap();
    for at in 0..file.len().unwrap() {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        let read = Manifest::read(&disk, Path::new(DIR));
        assert!(matches!(read, Err(BaseError::Damaged { .. })), "byte {at}: {read:?}");
        file.write_all_at(&byte, at).unwrap();
    }
}
