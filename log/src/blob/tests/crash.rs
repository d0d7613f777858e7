//! Power loss at any moment: what was acknowledged is there, exactly.

use super::*;

/// Puts blobs and messages until the disk dies; what was acknowledged.
fn run(store: &BlobStore, seed: u64) -> Vec<Vec<u8>> {
    let (mut rng, mut kept, mut waiting) = (SmallRng::seed_from_u64(seed), Vec::new(), Vec::new());
    for n in 0..30 {
        let octets = content(&mut rng, seed * 1_000 + n);
        let middle = PartHint { start: 10, len: 17_000, encoding: PartEncoding::Identity };
        if store.put_message(&octets, &[middle]).is_err() {
            break;
        }
        waiting.push(octets);
        if rng.random_bool(0.4) {
            let ids: Vec<_> = waiting.iter().map(|octets| BlobId::of(octets)).collect();
            if store.wait_durable(&ids).is_err() {
                break;
            }
            kept.append(&mut waiting);
        }
    }
    kept
}

fn content(rng: &mut SmallRng, seed: u64) -> Vec<u8> {
    match rng.random_range(0..4) {
        0 => noise(seed, rng.random_range(0..300)),
        1 => text(seed, rng.random_range(0..9_000)),
        // One of a few parts, so that messages share them.
        2 => [noise(seed, 10), noise(rng.random_range(0..3), 17_000), text(seed, 50)].concat(),
        _ => [noise(seed, 10), noise(seed, 17_000), noise(seed, 30_000)].concat(),
    }
}

fn all_there(disk: &SimDisk, kept: &[Vec<u8>], scene: &str) -> Result<(), String> {
    let (store, _) = try_open(disk).map_err(|error| format!("{scene}: {error}"))?;
    for octets in kept {
        let id = BlobId::of(octets);
        match read(&store, &id) {
            Ok(found) if found == *octets => {}
            Ok(_) => return Err(format!("{scene}: wrong octets for {id}")),
            Err(error) => return Err(format!("{scene}: {error}")),
        }
    }
    let scrub = store.scrub(&mut go_on).map_err(|error| format!("{scene}: {error}"))?;
    scrub.damaged.first().map_or(Ok(()), |error| Err(format!("{scene}: {error}")))
}

#[test]
fn nothing_acknowledged_is_lost() {
    let mut acknowledged = 0;
    for seed in 0..60 {
        let mut disk = SimDisk::new(seed);
        let mut kept = Vec::new();
        for round in 0..3 {
            let (store, _) = open(&disk);
            disk.power_off_after((seed * 7 + round * 13) % 90 + 1);
            kept.extend(run(&store, seed * 10 + round));
            let after = disk.crash();
            drop(store);
            all_there(&after, &kept, &format!("seed {seed}, round {round}")).unwrap();
            disk = after.crash();
        }
        acknowledged += kept.len();
    }
    assert!(acknowledged > 500, "{acknowledged}");
}

#[test]
fn a_crash_while_opening_loses_nothing() {
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk);
        disk.power_off_after(40 + seed);
        let kept = run(&store, seed);
        drop(store);
        let after = disk.crash();
        after.power_off_after(seed % 7);
        drop(try_open(&after));
        all_there(&after.crash(), &kept, &format!("seed {seed}")).unwrap();
    }
}

#[test]
fn a_missing_pack_sync_is_noticed() {
    let options = BlobOptions { unsafe_skip_sync: true, ..small() };
    let lost = (0..20).filter(|seed| {
        let disk = SimDisk::new(*seed);
        let store = BlobStore::open(Arc::new(disk.clone()), Path::new(DIR), options.clone());
        let (store, _) = store.unwrap();
        let kept = run(&store, *seed);
        all_there(&disk.crash(), &kept, "").is_err()
    });
    assert!(lost.count() > 10, "the crash tests would not see a store that never syncs");
}

#[test]
fn a_torn_tail_is_cut_and_reported() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let kept = put_durably(&store, b"kept");
    let before = disk.copy();
    drop(store);
    let path = before.files().into_iter().next().unwrap();
    let end = frame::PACK_HEADER as u64 + 200;
    before.open(&path).unwrap().write_all_at(&noise(1, 300), end + 100).unwrap();
    let (store, report) = open(&before);
    assert_eq!(report.cut.len(), 1);
    assert_eq!(report.cut[0].pack, "0000000000000001.pack");
    assert_eq!(read(&store, &kept).unwrap(), b"kept");
    put_durably(&store, b"more");
    drop(store);
    assert!(open(&before).1.cut.is_empty());
}

#[test]
fn what_a_killed_process_left_is_durable_before_it_is_shown() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let id = store.put(b"written, never synced").unwrap().id;
    // The process is gone, what it wrote is still in the system's cache.
    std::mem::forget(store);
    let (store, _) = open(&disk);
    assert!(store.holds_durably(&id).unwrap());
    let (after, _) = open(&disk.crash());
    assert_eq!(read(&after, &id).unwrap(), b"written, never synced");
}
