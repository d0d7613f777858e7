//! Dead blobs go, live ones stay, whenever the power fails.

use std::collections::BTreeSet;

use super::*;

/// Messages that share attachments, and which of them are to die.
struct Mail {
    live: Vec<Vec<u8>>,
    dead: Vec<Vec<u8>>,
}

const PART: usize = 17_000;

fn attachment(n: u64) -> Vec<u8> {
    noise(n, PART)
}

fn message(seed: u64, part: u64) -> Vec<u8> {
    [format!("message {seed}\r\n\r\n").into_bytes(), attachment(part)].concat()
}

fn put_mail(store: &BlobStore, message: &[u8]) -> Result<BlobId, BlobError> {
    let start = (message.len() - PART) as u64;
    let hint = PartHint { start, len: PART as u64, encoding: PartEncoding::Identity };
    store.put_message(message, &[hint]).map(|put| put.id)
}

/// Attachment 0 is in mail that stays too, the others only in mail that goes.
fn mail(store: &BlobStore, seed: u64) -> Mail {
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    for n in 0..6 {
        live.push(message(seed * 100 + n, seed * 10));
        dead.push(message(seed * 100 + 50 + n, seed * 10 + n));
        live.push(text(seed * 100 + n, 3_000));
        dead.push(text(seed * 100 + 50 + n, 3_000));
        live.push(noise(seed * 100 + 70 + n, 9_000));
        dead.push(noise(seed * 100 + 80 + n, 9_000));
    }
    let mut ids = Vec::new();
    for octets in live.iter().chain(&dead) {
        ids.push(match octets.starts_with(b"message") {
            true => put_mail(store, octets).unwrap(),
            false => store.put(octets).unwrap().id,
        });
    }
    store.wait_durable(&ids).unwrap();
    Mail { live, dead }
}

fn ids(mail: &[Vec<u8>]) -> Vec<BlobId> {
    mail.iter().map(|octets| BlobId::of(octets)).collect()
}

/// All of it once; an error when the disk dies.
fn reclaim(store: &BlobStore, dead: &[BlobId]) -> Result<bool, BlobError> {
    let doomed = store.doom(dead)?;
    assert!(store.is_quiet(&doomed));
    if !store.spare_parts(&doomed, &mut go_on)? {
        return Ok(false);
    }
    store.forget(&doomed)?;
    Ok(compact(store, 10)?.complete)
}

/// Not while a pack is being sealed, which is soon over.
fn spare_parts(store: &BlobStore, doomed: &Doomed) {
    while !store.spare_parts(doomed, &mut go_on).unwrap() {
        std::thread::yield_now();
    }
}

fn compact(store: &BlobStore, share: u64) -> Result<Reclaimed, BlobError> {
    let mut compaction = Compaction::new(share);
    loop {
        match store.compact(&mut compaction, &mut go_on)? {
            Next::Wait(ids) => store.wait_durable(&ids)?,
            Next::Done(done) => return Ok(done),
        }
    }
}

/// Until nothing of the dead is in any file: packs that are written to are sealed first.
fn reclaim_all(store: &BlobStore, disk: &SimDisk, dead: &[Vec<u8>]) {
    for _ in 0..50 {
        reclaim(store, &ids(dead)).unwrap();
        // The sync thread seals when nobody waits.
        put_durably(store, b"something else");
        if dead.iter().all(|octets| !is_in_files(disk, octets)) {
            return;
        }
        std::thread::yield_now();
    }
    panic!("what is dead is still in the packs");
}

/// Whether a frame of these octets is in any pack, under their id, or the octets themselves.
fn is_in_files(disk: &SimDisk, octets: &[u8]) -> bool {
    let id = BlobId::of(octets);
    let packs =
        disk.files().into_iter().filter(|path| path.extension().is_some_and(|e| e == "pack"));
    packs.map(|path| disk.bytes(&path).unwrap()).any(|bytes| {
        let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
        has(&id.0)
    })
}

fn all_read(store: &BlobStore, live: &[Vec<u8>], scene: &str) {
    for octets in live {
        let found = read(store, &BlobId::of(octets));
        assert!(found.as_ref().is_ok_and(|found| found == octets), "{scene}: {found:?}");
    }
    let scrub = store.scrub(&mut go_on).unwrap();
    assert!(scrub.damaged.is_empty(), "{scene}: {:?}", scrub.damaged);
    assert_eq!(store.stats().damaged, 0, "{scene}");
}

#[test]
fn what_is_dead_goes_from_the_files_and_the_rest_stays() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    let mail = mail(&store, 1);
    let before = store.stats();
    reclaim_all(&store, &disk, &mail.dead);
    all_read(&store, &mail.live, "after");
    for n in 1..6 {
        assert!(
            !is_in_files(&disk, &attachment(10 + n)),
            "attachment {n} was only in mail that went"
        );
    }
    assert!(store.contains(&BlobId::of(&attachment(10))).unwrap());
    assert!(store.stats().stored_bytes < before.stored_bytes);
    drop(store);
    let (store, report) = open(&disk.crash());
    assert!(report.missing.is_empty() && report.cut.is_empty(), "{report:?}");
    all_read(&store, &mail.live, "after a start");
    assert!(ids(&mail.dead).iter().all(|id| !store.contains(id).unwrap()));
    // What comes again is stored again.
    for octets in &mail.dead {
        put_durably(&store, octets);
    }
    all_read(&store, &[mail.live, mail.dead].concat(), "all again");
}

#[test]
fn a_crash_at_any_point_leaves_what_lives() {
    let mut reached = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        let (store, _) = open(&disk);
        let mail = mail(&store, seed);
        disk.power_off_after(seed * 3 % 97 + 1);
        // A pack that is being sealed lets a turn pass.
        for _ in 0..20 {
            if reclaim(&store, &ids(&mail.dead)).is_err() {
                reached += 1;
                break;
            }
            std::thread::yield_now();
        }
        let after = if seed % 2 == 0 { disk.crash() } else { disk.worst() };
        drop(store);
        let (store, report) = open(&after);
        let scene = format!("seed {seed}");
        assert!(report.missing.is_empty(), "{scene}: {report:?}");
        all_read(&store, &mail.live, &scene);
        reclaim_all(&store, &after, &mail.dead);
        all_read(&store, &mail.live, &format!("{scene}, gone on with"));
    }
    assert!(reached > 4, "only {reached} crashes came in between");
}

#[test]
fn who_finds_a_doomed_blob_keeps_it() {
    let disk = SimDisk::new(7);
    let (store, _) = open(&disk);
    let mail = mail(&store, 7);
    let doomed = store.doom(&ids(&mail.dead)).unwrap();
    // A retry of one message, a new one with another's attachment.
    put_mail(&store, &mail.dead[0]).unwrap();
    let new = message(999, 73);
    put_mail(&store, &new).unwrap();
    spare_parts(&store, &doomed);
    store.forget(&doomed).unwrap();
    let (kept, gone) = (vec![mail.dead[0].clone(), new], &mail.dead[1..]);
    store.wait_durable(&ids(&kept)).unwrap();
    for _ in 0..20 {
        compact(&store, 1).unwrap();
        put_durably(&store, b"x");
    }
    all_read(&store, &[mail.live, kept].concat(), "kept");
    assert!(ids(gone).iter().all(|id| !store.contains(id).unwrap()));
}

/// The rule that `Using` is for, and what comes of breaking it.
#[test]
fn who_found_it_before_is_waited_for() {
    for waits in [true, false] {
        let disk = SimDisk::new(8);
        let (store, _) = open(&disk);
        let mail = mail(&store, 8);
        let using = store.using();
        let found = put_mail(&store, &mail.dead[0]).unwrap();
        let doomed = store.doom(&ids(&mail.dead)).unwrap();
        assert!(!store.is_quiet(&doomed));
        // Its record is applied meanwhile, and the state is asked again.
        if waits {
            drop(using);
            assert!(store.is_quiet(&doomed));
            store.spare(&[found]);
        }
        spare_parts(&store, &doomed);
        store.forget(&doomed).unwrap();
        let kept = read(&store, &found).is_ok_and(|octets| octets == mail.dead[0]);
        assert_eq!(kept, waits, "whoever does not wait loses mail, and this sees it");
    }
}

#[test]
fn a_reader_of_a_pack_that_goes_reads_on() {
    let disk = SimDisk::new(9);
    let (store, _) = open(&disk);
    let mail = mail(&store, 9);
    let before: BTreeSet<_> = disk.files().into_iter().collect();
    let readers: Vec<BlobReader> =
        ids(&mail.live).iter().map(|id| store.reader(id).unwrap()).collect();
    reclaim_all(&store, &disk, &mail.dead);
    for (reader, octets) in readers.iter().zip(&mail.live) {
        assert_eq!(&reader.read_all(u64::MAX).unwrap(), octets);
    }
    let after: BTreeSet<_> = disk.files().into_iter().collect();
    assert!(before.difference(&after).count() > 0, "no pack was written anew");
}

/// A message whose attachment is in a pack for large blobs, and what the same sync covered
/// behind it.
fn with_large_attachment(store: &BlobStore) -> (Vec<u8>, Vec<u8>) {
    let attachment = noise(5, 40_000);
    let message = [b"message\r\n\r\n".to_vec(), attachment].concat();
    let start = (message.len() - 40_000) as u64;
    let hint = PartHint { start, len: 40_000, encoding: PartEncoding::Identity };
    let id = store.put_message(&message, &[hint]).unwrap().id;
    let behind = store.put(b"durable with it").unwrap().id;
    store.wait_durable(&[id, behind]).unwrap();
    (message, b"durable with it".to_vec())
}

fn put_large(store: &BlobStore, message: &[u8]) -> BlobId {
    let start = (message.len() - 40_000) as u64;
    let hint = PartHint { start, len: 40_000, encoding: PartEncoding::Identity };
    let id = store.put_message(message, &[hint]).unwrap().id;
    store.wait_durable(&[id]).unwrap();
    id
}

fn packs(disk: &SimDisk) -> usize {
    disk.files().iter().filter(|path| path.extension().is_some_and(|e| e == "pack")).count()
}

/// The recipe stays in the pack that is written to: little of that is dead.
fn without_its_attachment(disk: &SimDisk) -> (BlobStore, Vec<u8>, Vec<Vec<u8>>) {
    let (store, _) = open(disk);
    let rest: Vec<Vec<u8>> = (0..6).map(|n| noise(100 + n, 8_000)).collect();
    for octets in &rest {
        put_durably(&store, octets);
    }
    let (message, behind) = with_large_attachment(&store);
    let before = packs(disk);
    for _ in 0..50 {
        let doomed = store.doom(&[BlobId::of(&message)]).unwrap();
        spare_parts(&store, &doomed);
        store.forget(&doomed).unwrap();
        compact(&store, 50).unwrap();
        if packs(disk) < before {
            return (store, message, [rest, vec![behind]].concat());
        }
        std::thread::yield_now();
    }
    panic!("the attachment's pack does not go");
}

#[test]
fn a_message_whose_parts_went_is_not_here_after_a_start() {
    for worst in [false, true] {
        let disk = SimDisk::new(21);
        let (store, message, rest) = without_its_attachment(&disk);
        let after = if worst { disk.worst() } else { disk.crash() };
        drop(store);
        let (store, report) = open(&after);
        assert!(report.cut.iter().all(|cut| cut.octets < 100), "{report:?}");
        all_read(&store, &rest, "behind it");
        assert!(!store.contains(&BlobId::of(&message)).unwrap());
        // It comes once more, and is not taken for there.
        put_large(&store, &message);
        all_read(&store, &[rest, vec![message]].concat(), "again");
    }
}

#[test]
fn an_index_that_stays_remembers_what_was_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let options = || BlobOptions { index: IndexKind::RocksDb { cache: 1 << 20 }, ..small() };
    let open = || {
        let disk = Arc::new(crate::disk::RealDisk);
        BlobStore::open(disk, dir.path(), options()).unwrap()
    };
    let (store, _) = open();
    let (kept, dead) = (put_durably(&store, b"kept"), put_durably(&store, b"dead"));
    let doomed = store.doom(&[dead]).unwrap();
    store.forget(&doomed).unwrap();
    drop(store);
    let (store, report) = open();
    assert!(!report.index_rebuilt, "{report:?}");
    assert!(store.contains(&kept).unwrap() && !store.contains(&dead).unwrap());
    assert!(put_durably(&store, b"dead") == dead && read(&store, &dead).unwrap() == b"dead");
}

#[test]
fn a_damaged_frame_keeps_its_pack_and_no_other() {
    let disk = SimDisk::new(23);
    let (store, _) = open(&disk);
    let mail = mail(&store, 23);
    drop(store);
    let (store, _) = open(&disk);
    // Something that lives beside what is dead.
    let live = mail.live.iter().rfind(|octets| octets.len() == 9_000).unwrap();
    let path = disk.files().into_iter().filter(|path| path.extension().is_some());
    let path = path.into_iter().find(|path| {
        let bytes = disk.bytes(path).unwrap();
        bytes.windows(100).any(|window| window == &live[..100])
    });
    let path = path.unwrap();
    let at = disk.bytes(&path).unwrap().windows(100).position(|w| w == &live[..100]).unwrap();
    disk.open(&path).unwrap().write_all_at(&[7; 9], at as u64 + 500).unwrap();
    let before = packs(&disk);
    for _ in 0..50 {
        reclaim(&store, &ids(&mail.dead)).unwrap();
        put_durably(&store, b"something else");
    }
    assert!(packs(&disk) < before, "nothing was written anew beside it");
    assert!(disk.files().contains(&path), "the damaged pack is gone");
    assert!(store.is_damaged(&BlobId::of(live)));
    let rest: Vec<_> = mail.live.iter().filter(|octets| *octets != live).cloned().collect();
    for octets in &rest {
        assert_eq!(&read(&store, &BlobId::of(octets)).unwrap(), octets);
    }
}
