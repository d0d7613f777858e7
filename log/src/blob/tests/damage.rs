//! Every octet of a pack changed in turn: found and named, never a wrong answer.

use super::*;

fn scene() -> (SimDisk, Vec<Vec<u8>>) {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let message = [b"To: x\r\n\r\n".to_vec(), noise(5, 300), text(6, 700)].concat();
    let blobs = vec![b"short".to_vec(), text(1, 400), noise(2, 300), message];
    for octets in &blobs {
        put_durably(&store, octets);
    }
    let ids: Vec<_> = blobs.iter().map(|octets| BlobId::of(octets)).collect();
    store.wait_durable(&ids).unwrap();
    (disk, blobs)
}

fn flip(disk: &SimDisk, at: u64) -> SimDisk {
    let disk = disk.copy();
    let path = pack(&disk);
    let file = disk.open(&path).unwrap();
    let mut octet = [0];
    file.read_exact_at(&mut octet, at).unwrap();
    file.write_all_at(&[octet[0] ^ 0x10], at).unwrap();
    disk
}

fn pack(disk: &SimDisk) -> std::path::PathBuf {
    disk.files().into_iter().find(|path| path.ends_with("0000000000000001.pack")).unwrap()
}

/// Whether reads of all blobs and a scrub find fault; panics on a wrong answer.
fn found(store: &BlobStore, blobs: &[Vec<u8>]) -> bool {
    let mut found = false;
    for octets in blobs {
        match read(store, &BlobId::of(octets)) {
            Ok(answer) => assert_eq!(&answer, octets),
            Err(error) => {
                found = true;
                assert!(error.to_string().contains("0000000000000001.pack"), "{error}");
                assert!(error.to_string().contains(&BlobId::of(octets).to_string()), "{error}");
            }
        }
    }
    assert_eq!(found, !store.scrub(&mut go_on).unwrap().damaged.is_empty());
    found
}

#[test]
fn in_an_open_pack() {
    let (disk, blobs) = scene();
    let disk = disk.copy();
    let data = open(&disk).0.stats().stored_bytes;
    let mut refused = 0;
    for at in 0..2_600 {
        let damaged = flip(&disk, at);
        match try_open(&damaged) {
            Err(BlobError::Damaged { pack, offset, .. }) => {
                assert_eq!(pack, "0000000000000001.pack");
                assert!(offset <= at, "{at}: {offset}");
                refused += 1;
            }
            Err(error) => panic!("{at}: {error}"),
            // Only marks and what is behind them: every blob is still there.
            Ok((store, _)) => assert!(!found(&store, &blobs), "{at}"),
        }
    }
    assert!(refused >= frame::PACK_HEADER as u64 + data, "{refused} of {data}");
}

#[test]
fn in_a_sealed_pack() {
    let (disk, blobs) = scene();
    {
        let (store, _) = open(&disk);
        for n in 0..20 {
            put_durably(&store, &noise(n, 6_000));
        }
    }
    let len = disk.open(&pack(&disk)).unwrap().len().unwrap();
    let (mut at_open, mut at_read, mut repaired) = (0, 0, 0);
    // Every octet of the small frames, of the table of contents, and some between.
    let places = (0..2_600).chain((2_600..len - 1_500).step_by(997)).chain(len - 1_500..len);
    for at in places {
        let damaged = flip(&disk, at);
        match try_open(&damaged) {
            Err(BlobError::Damaged { pack, .. }) => {
                assert_eq!(pack, "0000000000000001.pack");
                at_open += 1;
            }
            Err(error) => panic!("{at}: {error}"),
            Ok((store, report)) => {
                repaired += report.footers_rebuilt.len();
                let scrub = store.scrub(&mut go_on).unwrap();
                at_read += scrub.damaged.len();
                found_any(&store, &blobs);
            }
        }
    }
    assert!(at_open >= 64 && at_read > 1_000 && repaired > 100, "{at_open} {at_read} {repaired}");
}

fn found_any(store: &BlobStore, blobs: &[Vec<u8>]) {
    let small = (0..20).map(|n| noise(n, 6_000));
    for octets in blobs.iter().cloned().chain(small) {
        if let Ok(answer) = read(store, &BlobId::of(&octets)) {
            assert_eq!(answer, octets);
        }
    }
}

#[test]
fn reads_that_fail_are_errors_of_the_file() {
    let (disk, blobs) = scene();
    let (store, _) = open(&disk);
    disk.fail_reads_of("pack");
    assert!(matches!(read(&store, &BlobId::of(&blobs[0])), Err(BlobError::Io { .. })));
    disk.heal();
    assert_eq!(read(&store, &BlobId::of(&blobs[0])).unwrap(), blobs[0]);
}
