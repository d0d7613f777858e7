//! Putting, waiting, reading, rolling over, full and failing disks.

use super::*;

#[test]
fn what_was_put_is_read() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let blobs = [Vec::new(), b"x".to_vec(), text(1, 5_000), noise(2, 40_000), text(3, 900_000)];
    for octets in &blobs {
        let put = store.put(octets).unwrap();
        assert_eq!(put, Put { id: BlobId::of(octets), new: true });
        assert!(!store.holds_durably(&put.id).unwrap() && store.contains(&put.id).unwrap());
        assert_eq!(&read(&store, &put.id).unwrap(), octets, "before the sync");
        store.wait_durable(&[put.id]).unwrap();
        assert!(store.holds_durably(&put.id).unwrap());
        assert_eq!(&read(&store, &put.id).unwrap(), octets);
        assert_eq!(store.put(octets).unwrap(), Put { id: put.id, new: false });
    }
    let stats = store.stats();
    let raw: usize = blobs.iter().map(Vec::len).sum();
    assert_eq!((stats.blobs, stats.raw_bytes), (5, raw as u64));
    assert_eq!((stats.dedup_hits, stats.dedup_bytes), (5, raw as u64));
    assert!(stats.stored_bytes < 60_000, "{stats:?}");
    assert_eq!(stats.syncs.count, stats.syncs.buckets.iter().sum::<u64>());
}

#[test]
fn ranges_and_streams_are_exact() {
    let (store, _) = open(&SimDisk::new(1));
    let octets = [noise(1, 300_000), text(2, 300_000)].concat();
    let id = store.put(&octets).unwrap().id;
    let reader = store.reader(&id).unwrap();
    for (offset, len) in [(0, 10), (262_143, 2), (100_000, 400_000), (599_999, 9), (600_000, 9)] {
        let expected = &octets[offset..octets.len().min(offset + len)];
        assert_eq!(reader.read_at(offset as u64, len).unwrap(), expected, "{offset} {len}");
    }
    assert_eq!(reader.piece_at(700_000, 5).unwrap(), b"");
    assert!(matches!(reader.read_all(599_999), Err(BlobError::TooLong { .. })));
    let mut pieces = Vec::new();
    let mut give = |piece: &[u8]| {
        pieces.push(piece.len());
        if pieces.len() < 2 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    reader.for_each_chunk(0, u64::MAX, &mut give).unwrap();
    assert_eq!(pieces, [262_144, 262_144], "in bounded pieces, until it has enough");
}

#[test]
fn packs_roll_over_are_sealed_and_come_back() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let blobs: Vec<_> = (0..40).map(|n| noise(n, 6_000)).chain([noise(99, 100_000)]).collect();
    let ids: Vec<_> = blobs.iter().map(|octets| put_durably(&store, octets)).collect();
    drop(store);
    let (store, report) = open(&disk);
    let stats = store.stats();
    assert!(report.packs >= 5 && stats.packs == report.packs, "{report:?}");
    assert_eq!(stats.sealed_packs, report.packs - 2, "all but one of each lane");
    assert_eq!((stats.blobs, report.cut.len()), (41, 0));
    for (id, octets) in ids.iter().zip(&blobs) {
        assert_eq!(&read(&store, id).unwrap(), octets);
        assert!(!store.put(octets).unwrap().new);
    }
    let packs = store.stats().packs;
    put_durably(&store, b"more");
    assert_eq!(store.stats().packs, packs, "the open pack is written on");
    let scrub = store.scrub(&mut go_on).unwrap();
    assert!(scrub.complete && scrub.damaged.is_empty() && scrub.frames == 42, "{scrub:?}");
}

#[test]
fn a_scrub_ends_when_told() {
    let (store, _) = open(&SimDisk::new(1));
    for n in 0..5 {
        store.put(&noise(n, 100)).unwrap();
    }
    let mut octets = 0;
    let scrub = store.scrub(&mut |read| {
        octets += read;
        ControlFlow::Break(())
    });
    let scrub = scrub.unwrap();
    assert_eq!((scrub.frames, scrub.octets, scrub.complete), (1, octets, false));
}

#[test]
fn many_at_one_time_store_once_and_share_syncs() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let shared = noise(7, 20_000);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (store, shared) = (&store, &shared);
            scope.spawn(move || {
                let own = put_durably(store, &noise(100 + thread, 500));
                let all = put_durably(store, shared);
                assert!(store.holds_durably(&own).unwrap() && store.holds_durably(&all).unwrap());
            });
        }
    });
    let stats = store.stats();
    assert_eq!((stats.blobs, stats.dedup_hits, stats.dedup_bytes), (9, 7, 7 * 20_000));
}

#[test]
fn tasks_wait_too_and_unknown_blobs_are_named() {
    let (store, _) = open(&SimDisk::new(1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let id = store.put(b"x").unwrap().id;
    runtime.block_on(store.durable(vec![id])).unwrap();
    assert!(store.holds_durably(&id).unwrap());
    let unknown = BlobId::of(b"never put");
    let error = runtime.block_on(store.durable(vec![id, unknown])).unwrap_err();
    assert!(matches!(error, BlobError::Missing(id) if id == unknown));
    assert!(matches!(store.reader(&unknown), Err(BlobError::Missing(_))));
}

#[test]
fn a_failed_sync_poisons_for_good() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let before = put_durably(&store, b"before");
    disk.fail_syncs_after(0);
    let id = store.put(b"x").unwrap().id;
    assert!(matches!(store.wait_durable(&[id]), Err(BlobError::Poisoned(_))));
    disk.heal();
    assert!(matches!(store.wait_durable(&[id]), Err(BlobError::Poisoned(_))), "never tried again");
    assert!(matches!(store.put(b"y"), Err(BlobError::Poisoned(_))));
    assert!(store.poisoned().is_some() && !store.holds_durably(&id).unwrap());
    assert_eq!(read(&store, &before).unwrap(), b"before");
    drop(store);
    let (store, _) = open(&disk);
    assert!(store.poisoned().is_none());
    put_durably(&store, b"y");
}

#[test]
fn a_full_disk_refuses_and_works_again_with_room() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let kept = put_durably(&store, b"kept");
    disk.set_total(100 << 10);
    let mut refused = None;
    for n in 0..40 {
        if let Err(error) = store.put(&noise(n, 6_000)) {
            refused = Some((n, error));
            break;
        }
    }
    let (n, error) = refused.expect("it is full");
    assert!(matches!(error, BlobError::DiskFull { .. }), "{error}");
    assert!(matches!(store.put(&noise(90, 200_000)), Err(BlobError::DiskFull { .. })));
    assert!(store.poisoned().is_none());
    assert_eq!(read(&store, &kept).unwrap(), b"kept");
    put_durably(&store, b"small ones may still fit");
    disk.set_total(10 << 20);
    put_durably(&store, &noise(n, 6_000));
    drop(store);
    let (store, report) = open(&disk);
    assert!(report.cut.is_empty());
    (0..=n).for_each(|n| {
        assert_eq!(read(&store, &BlobId::of(&noise(n, 6_000))).unwrap(), noise(n, 6_000))
    });
}

#[test]
fn a_full_disk_still_opens() {
    let disk = SimDisk::new(1);
    let id = put_durably(&open(&disk).0, b"kept");
    let after = disk.crash();
    after.set_total(1);
    let (store, _) = open(&after);
    assert_eq!(read(&store, &id).unwrap(), b"kept");
}
