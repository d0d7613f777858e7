//! Damage on one of two stores: opened in spite of it, never served, repaired
//! from the other.

use super::*;

fn tolerant() -> BlobOptions {
    BlobOptions { tolerate_damage: true, ..small() }
}

fn open_tolerant(disk: &SimDisk) -> (BlobStore, BlobReport) {
    BlobStore::open(Arc::new(disk.clone()), Path::new(DIR), tolerant()).unwrap()
}

/// Octets of all blobs, parts included, and those of a message made of parts.
fn contents() -> (Vec<Vec<u8>>, Vec<u8>) {
    let part = noise(5, 20_000);
    let message = [b"To: x\r\n\r\n".to_vec(), part.clone(), text(6, 700)].concat();
    (vec![b"short".to_vec(), text(1, 400), noise(2, 300), part, message.clone()], message)
}

fn fill(disk: &SimDisk) -> (BlobStore, Vec<Vec<u8>>) {
    let (store, _) = open(disk);
    let (blobs, message) = contents();
    let hint = PartHint { start: 9, len: 20_000, encoding: PartEncoding::Identity };
    for octets in &blobs[..3] {
        put_durably(&store, octets);
    }
    let put = store.put_message(&message, &[hint]).unwrap();
    store.wait_durable(&[put.id]).unwrap();
    put_durably(&store, b"the last");
    (store, [blobs, vec![b"the last".to_vec()]].concat())
}

/// What a node with peers does: what does not read is brought, then all is as it was.
fn heal(store: &BlobStore, good: &BlobStore, blobs: &[Vec<u8>]) -> usize {
    let mut brought = 0;
    for octets in blobs {
        let id = BlobId::of(octets);
        for _ in 0..3 {
            match read(store, &id) {
                Ok(answer) => assert_eq!(&answer, octets, "damaged octets are never served"),
                Err(error) => assert!(error.to_string().contains("blob"), "{error}"),
            }
            let bad = store.examine(&id).unwrap();
            for bad in &bad {
                store.import(&good.export(bad).unwrap()).unwrap();
                store.wait_durable(&[*bad]).unwrap();
                brought += 1;
            }
            if bad.is_empty() {
                break;
            }
        }
        assert_eq!(&read(store, &id).unwrap(), octets);
    }
    if store.has_holes() {
        store.holes_filled().unwrap();
    }
    assert!(store.damaged(10).is_empty() && !store.has_holes());
    brought
}

/// Reads well after a restart as well, with an index built anew, and a scrub agrees.
fn is_whole(disk: &SimDisk, blobs: &[Vec<u8>]) {
    for _ in 0..2 {
        let (store, report) = open(disk);
        assert_eq!((report.damaged, report.holes), (0, 0));
        for octets in blobs {
            assert_eq!(&read(&store, &BlobId::of(octets)).unwrap(), octets);
        }
        let scrub = store.scrub(&mut go_on).unwrap();
        assert!(scrub.damaged.is_empty() && scrub.complete, "{scrub:?}");
    }
}

fn pack(disk: &SimDisk) -> std::path::PathBuf {
    disk.files().into_iter().find(|path| path.ends_with("0000000000000001.pack")).unwrap()
}

/// Where the first frame of a blob stands.
fn frame_of(disk: &SimDisk, octets: &[u8]) -> usize {
    let id = BlobId::of(octets).0;
    disk.bytes(&pack(disk)).unwrap().windows(32).position(|window| window == id).unwrap() - 8
}

fn used(disk: &SimDisk) -> usize {
    disk.bytes(&pack(disk)).unwrap().iter().rposition(|octet| *octet != 0).unwrap() + 1
}

/// Every octet of the small frames and of all edges, some of the long one.
fn places(len: usize) -> impl Iterator<Item = usize> {
    (0..1_800).chain((1_800..len.saturating_sub(1_500)).step_by(499)).chain(len - 1_500..len)
}

#[test]
fn every_octet_of_an_open_pack_flipped_and_repaired() {
    let disk = SimDisk::new(1);
    let (store, blobs) = fill(&disk);
    drop(store);
    let good = open(&disk.copy()).0;
    let (mut refused, mut brought) = (0, 0);
    for place in places(used(&disk)) {
        let damaged = disk.copy();
        damaged.flip(&pack(&damaged), place, 0x10).unwrap();
        refused += usize::from(try_open(&damaged).is_err());
        let damaged = damaged.copy();
        {
            let (store, _) = open_tolerant(&damaged);
            brought += heal(&store, &good, &blobs);
        }
        is_whole(&damaged, &blobs);
    }
    assert!(refused > 1_000 && brought > 1_000, "{refused} refused, {brought} brought");
}

#[test]
fn every_octet_of_a_sealed_pack_flipped_and_repaired() {
    let disk = SimDisk::new(1);
    let (store, mut blobs) = fill(&disk);
    for n in 0..8 {
        put_durably(&store, &noise(n, 6_000));
        blobs.push(noise(n, 6_000));
    }
    drop(store);
    let good = open(&disk.copy()).0;
    assert_eq!(good.stats().sealed_packs, 1);
    let mut brought = 0;
    for place in places(used(&disk)) {
        let damaged = disk.copy();
        damaged.flip(&pack(&damaged), place, 0x10).unwrap();
        {
            let (store, _) = open_tolerant(&damaged);
            brought += heal(&store, &good, &blobs);
        }
        is_whole(&damaged, &blobs);
    }
    assert!(brought > 1_000, "{brought}");
}

#[test]
fn what_is_missing_is_known_after_a_crash_and_a_seal() {
    let disk = SimDisk::new(1);
    let (store, blobs) = fill(&disk);
    drop(store);
    let short = BlobId::of(&blobs[0]);
    // The first frame's header, and a chunk of the second frame.
    disk.flip(&pack(&disk), frame_of(&disk, &blobs[0]) + 9, 1).unwrap();
    disk.flip(&pack(&disk), frame_of(&disk, &blobs[1]) + frame::FRAME_HEADER + 12, 1).unwrap();
    let disk = disk.copy();
    let (store, report) = open_tolerant(&disk);
    assert_eq!((report.damaged, report.holes), (1, 1));
    assert!(matches!(read(&store, &short), Err(BlobError::Missing(_))));
    let crashed = disk.crash();
    drop(store);
    for disk in [crashed, disk] {
        let (store, report) = open_tolerant(&disk);
        assert_eq!((report.damaged, report.holes), (1, 1));
        assert!(store.has_holes());
        let [bad] = store.damaged(9).try_into().unwrap();
        assert_eq!(bad.id, BlobId::of(&blobs[1]));
        assert!(!store.contains(&bad.id).unwrap() && !store.holds_durably(&bad.id).unwrap());
        assert!(matches!(store.wait_durable(&[bad.id]), Err(BlobError::Missing(_))));
        // Whoever brings the octets again repairs it.
        assert!(store.put(&blobs[1]).unwrap().new);
        store.wait_durable(&[bad.id]).unwrap();
        assert!(store.damaged(9).is_empty());
        assert_eq!(store.stats().repaired, 1);
    }
}

#[test]
fn power_lost_at_any_moment_of_a_repair_loses_nothing() {
    let disk = SimDisk::new(1);
    let (store, blobs) = fill(&disk);
    drop(store);
    let good = open(&disk.copy()).0;
    disk.flip(&pack(&disk), frame_of(&disk, &blobs[0]) + 9, 1).unwrap();
    disk.flip(&pack(&disk), frame_of(&disk, &blobs[3]) + 1_500, 1).unwrap();
    for operations in 1..60 {
        let damaged = disk.copy();
        damaged.power_off_after(operations);
        let opened =
            BlobStore::open(Arc::new(damaged.clone()), Path::new(DIR), tolerant()).map(|o| o.0);
        if let Ok(store) = &opened {
            for octets in &blobs {
                let Ok(bad) = store.examine(&BlobId::of(octets)) else { break };
                let repaired = bad.iter().all(|id| {
                    let put = store.import(&good.export(id).unwrap());
                    put.is_ok() && store.wait_durable(&[*id]).is_ok()
                });
                if !repaired {
                    break;
                }
            }
        }
        let found = damaged.crash();
        drop(opened);
        let (store, report) = open_tolerant(&found);
        let lost = blobs.iter().filter(|octets| read(&store, &BlobId::of(octets)).is_err()).count();
        assert!(lost <= 3 && (lost == 0 || report.damaged + report.holes > 0), "{operations}");
        heal(&store, &good, &blobs);
        drop(store);
        is_whole(&found, &blobs);
    }
}

#[test]
fn a_scrub_finds_damage_under_a_running_store_and_goes_on_where_it_was() {
    let disk = SimDisk::new(1);
    let (store, mut blobs) = fill(&disk);
    for n in 0..30 {
        put_durably(&store, &noise(n, 6_000));
        blobs.push(noise(n, 6_000));
    }
    drop(store);
    let good = open(&disk.copy()).0;
    let (store, _) = open(&disk);
    disk.flip(&pack(&disk), 3, 1).unwrap();
    disk.flip(&pack(&disk), frame_of(&disk, &blobs[0]) + 9, 1).unwrap();
    disk.flip(&pack(&disk), used(&disk) - 3, 1).unwrap();
    let (mut at, mut damaged, mut rewritten, mut frames) = (ScrubAt::default(), 0, 0, 0);
    loop {
        let mut next = at;
        let report = store.scrub_from(at, &mut |place, _| {
            next = place;
            ControlFlow::Break(())
        });
        let report = report.unwrap();
        damaged += report.damaged.len();
        rewritten += report.rewritten.len();
        frames += report.frames;
        at = next;
        if report.complete {
            break;
        }
    }
    assert_eq!((damaged, rewritten), (1, 2), "the frame; header and table of contents");
    assert_eq!(frames, store.scrub(&mut go_on).unwrap().frames);
    assert_eq!(store.damaged(9).len(), 1);
    heal(&store, &good, &blobs);
    drop(store);
    is_whole(&disk, &blobs);
}

#[test]
fn a_pack_whose_sectors_do_not_read_is_put_aside_or_passed_over() {
    let disk = SimDisk::new(1);
    let (store, blobs) = fill(&disk);
    drop(store);
    let good = open(&disk.copy()).0;
    disk.fail_reads_of("0000000000000001.pack");
    assert!(matches!(try_open(&disk), Err(BlobError::Io { .. })));
    let (store, report) = open_tolerant(&disk);
    assert_eq!((report.holes, report.packs), (1, 0));
    assert!(disk.files().iter().any(|path| path.to_string_lossy().ends_with(".pack.damaged")));
    heal(&store, &good, &blobs);
    drop(store);
    is_whole(&disk.copy(), &blobs);
}

#[test]
fn a_frame_that_reads_again_is_damaged_no_more() {
    let disk = SimDisk::new(1);
    let (store, blobs) = fill(&disk);
    let (path, place) = (pack(&disk), frame_of(&disk, &blobs[0]) + 9);
    disk.flip(&path, place, 1).unwrap();
    assert_eq!(store.scrub(&mut go_on).unwrap().damaged.len(), 1);
    let id = BlobId::of(&blobs[0]);
    assert!(store.is_damaged(&id) && !store.contains(&id).unwrap());
    let seen = store.times_damaged();
    disk.flip(&path, place, 1).unwrap();
    assert!(store.scrub(&mut go_on).unwrap().damaged.is_empty());
    assert_eq!((store.is_damaged(&id), store.times_damaged()), (false, seen));
    assert_eq!(read(&store, &id).unwrap(), blobs[0]);
    drop(store);
    is_whole(&disk, &blobs);
}

fn hint() -> PartHint {
    PartHint { start: 9, len: 20_000, encoding: PartEncoding::Identity }
}

#[test]
fn a_message_that_comes_again_repairs_its_damaged_part() {
    for hints in [&[hint()][..], &[]] {
        let disk = SimDisk::new(1);
        let (store, blobs) = fill(&disk);
        disk.flip(&pack(&disk), frame_of(&disk, &blobs[3]) + 9_000, 1).unwrap();
        assert_eq!(store.scrub(&mut go_on).unwrap().damaged.len(), 2, "the part, its message");
        let message = BlobId::of(&blobs[4]);
        assert!(read(&store, &message).is_err());
        let put = store.put_message(&blobs[4], hints).unwrap();
        assert!(put.new && put.id == message);
        store.wait_durable(&[put.id]).unwrap();
        assert_eq!(read(&store, &message).unwrap(), blobs[4]);
        // A copy that knows of no parts is a copy of the message alone.
        assert_eq!(store.damaged(9).len(), usize::from(hints.is_empty()));
        assert!(!store.put_message(&blobs[4], hints).unwrap().new, "it is sound now");
        drop(store);
        let (store, _) = open_tolerant(&disk.copy());
        assert_eq!(read(&store, &message).unwrap(), blobs[4]);
    }
}

#[test]
fn what_a_message_repaired_is_durable_with_it() {
    let mut told = 0;
    for operations in 1..14 {
        let disk = SimDisk::new(1);
        let (store, blobs) = fill(&disk);
        disk.flip(&pack(&disk), frame_of(&disk, &blobs[3]) + 9_000, 1).unwrap();
        store.scrub(&mut go_on).unwrap();
        disk.power_off_after(operations);
        let put = store.put_message(&blobs[4], &[hint()]);
        let durable = put.is_ok_and(|put| store.wait_durable(&[put.id]).is_ok());
        let found = disk.crash();
        drop(store);
        if durable {
            told += 1;
            let (store, _) = open_tolerant(&found);
            assert_eq!(read(&store, &BlobId::of(&blobs[4])).unwrap(), blobs[4], "{operations}");
        }
    }
    assert!(told > 0);
}

/// A list that takes its time to become durable holds nobody up who only reads.
#[test]
fn notes_wait_for_the_disk_and_readers_do_not() {
    let disk = SimDisk::new(1);
    let (store, blobs) = fill(&disk);
    let missing = BlobId::of(b"missing");
    disk.hang_syncs_of("damaged");
    let (told, said) = std::sync::mpsc::channel();
    let noter = {
        let store = store.clone();
        std::thread::spawn(move || {
            let noted = store.note_missing(&missing);
            told.send(()).unwrap();
            noted
        })
    };
    while !store.is_damaged(&missing) {
        std::thread::yield_now();
    }
    assert_eq!(read(&store, &BlobId::of(&blobs[0])).unwrap(), blobs[0]);
    assert!(matches!(read(&store, &missing), Err(BlobError::Missing(_))));
    assert!(said.try_recv().is_err(), "it is not durable yet");
    assert!(open_tolerant(&disk.crash()).0.damaged(9).is_empty());
    disk.heal();
    noter.join().unwrap().unwrap();
    assert_eq!(open_tolerant(&disk.crash()).0.damaged(9).len(), 1);
}
