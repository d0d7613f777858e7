//! Sealed segments damaged under a running log and made whole from another's entries.

use super::*;

const SMALL: u64 = 12 * 1024;

/// A log of several sealed segments with votes, a truncation and what is committed.
fn log(disk: &SimDisk) -> SegmentLog {
    let (log, _) = open(disk, SMALL);
    wait(|done| log.save_vote(Bytes::from_static(b"vote"), done)).unwrap();
    append(&log, 1, 0..12);
    wait(|done| log.truncate_after(Some(id(1, 9)), done)).unwrap();
    append(&log, 2, 10..30);
    log.save_committed(Some(id(2, 20))).unwrap();
    append(&log, 2, 30..60);
    wait(|done| log.save_vote(Bytes::from_static(b"another vote"), done)).unwrap();
    log.save_committed(Some(id(2, 55))).unwrap();
    append(&log, 3, 60..100);
    log
}

/// What a peer answers.
fn from(good: &SegmentLog) -> impl FnMut(LogIndex, LogIndex) -> Result<Vec<LogEntry>, String> + '_ {
    |first, behind| good.read(first..behind, usize::MAX).map_err(|error| error.to_string())
}

fn path(number: u64) -> PathBuf {
    dir().join(format::file_name(number))
}

/// The disk's bytes with some turned over.
fn damage(disk: &SimDisk, number: u64, places: Range<usize>) {
    places.for_each(|place| disk.flip(&path(number), place, 0x21).unwrap());
}

#[test]
fn every_byte_of_sealed_segments_flipped_and_mended() {
    let disk = SimDisk::new(1);
    let running = log(&disk);
    let entries = all(&running);
    let good_disk = disk.copy();
    let good = open(&good_disk, SMALL).0;
    let sealed = running.sealed();
    assert!(sealed.len() >= 2, "{sealed:?}");
    let (mut mended, mut refused) = (0, 0);
    for number in sealed {
        let len = disk.bytes(&path(number)).unwrap().len();
        for place in (0..64).chain(format::SEGMENT_HEADER_BYTES..len) {
            damage(&disk, number, place..place + 1);
            running.check_sealed(number).unwrap_err();
            match running.repair_sealed(number, &mut from(&good)) {
                Ok(()) => {
                    mended += 1;
                    assert!(running.check_sealed(number).unwrap() > 0);
                }
                Err(error) => {
                    // Said, and nothing was changed.
                    assert!(error.to_string().contains("was not repaired"), "{error}");
                    refused += 1;
                    damage(&disk, number, place..place + 1);
                    running.check_sealed(number).unwrap();
                }
            }
        }
    }
    assert_eq!(all(&running), entries);
    let copy = disk.copy();
    let again = open(&copy, SMALL).0;
    again.verify().unwrap();
    assert_eq!(all(&again), entries);
    assert_eq!(again.vote().as_deref(), Some(&b"another vote"[..]));
    assert!(mended > 10_000 && refused * 10 < mended, "{mended} mended, {refused} refused");
}

#[test]
fn no_entry_is_fetched_twice() {
    let disk = SimDisk::new(1);
    let running = log(&disk);
    let good = open(&disk.copy(), SMALL).0;
    let mut most = 0;
    for number in running.sealed() {
        for from in (format::SEGMENT_HEADER_BYTES..10_000).step_by(500) {
            damage(&disk, number, from..from + 10);
            let (mut asked, mut give) = (Vec::new(), super::mend::from(&good));
            let repaired = running.repair_sealed(number, &mut |first, behind| {
                asked.extend(first.0..behind.0);
                give(first, behind)
            });
            let count = asked.len();
            asked.sort_unstable();
            asked.dedup();
            assert_eq!(asked.len(), count, "segment {number}, damaged at {from}");
            most = most.max(count);
            if repaired.is_err() {
                damage(&disk, number, from..from + 10);
            }
        }
    }
    assert!(most > 0);
}

#[test]
fn whole_sectors_that_went_are_mended() {
    let disk = SimDisk::new(1);
    let running = log(&disk);
    let (entries, good) = (all(&running), open(&disk.copy(), SMALL).0);
    let number = running.sealed()[1];
    damage(&disk, number, 5_000..7_500);
    running.check_sealed(number).unwrap_err();
    running.repair_sealed(number, &mut from(&good)).unwrap();
    running.check_sealed(number).unwrap();
    assert_eq!(all(&open(&disk.copy(), SMALL).0), entries);
}

/// Bit rot in the segment that is written to: it is sealed out of turn, and then mended.
#[test]
fn what_is_still_written_to_is_sealed_and_mended() {
    let disk = SimDisk::new(1);
    let running = log(&disk);
    let (entries, good) = (all(&running), open(&disk.copy(), SMALL).0);
    let before = running.sealed();
    let active = running.seal_soon().unwrap();
    assert!(!before.contains(&active));
    let place = format::SEGMENT_HEADER_BYTES + 300;
    damage(&disk, active, place..place + 40);
    // As it is, no start gets over it.
    let refused = try_open(&disk.copy(), SMALL).unwrap_err();
    assert!(matches!(refused, LogError::Damaged { .. }), "{refused}");
    append(&running, 3, 100..101);
    assert_eq!(running.sealed().last(), Some(&active));
    running.check_sealed(active).unwrap_err();
    running.repair_sealed(active, &mut from(&good)).unwrap();
    running.check_sealed(active).unwrap();
    append(&running, 3, 101..110);
    let again = open(&disk.copy(), SMALL).0;
    again.verify().unwrap();
    assert_eq!(all(&again)[..entries.len()], entries);
    assert_eq!(again.last(), Some(id(3, 109)));
}

#[test]
fn entries_of_another_history_are_refused() {
    let disk = SimDisk::new(1);
    let running = log(&disk);
    let number = running.sealed()[1];
    damage(&disk, number, 5_000..5_001);
    let before = disk.bytes(&path(number)).unwrap();
    let other = SimDisk::new(2);
    let (foreign, _) = open(&other, SMALL);
    append(&foreign, 9, 0..100);
    running.repair_sealed(number, &mut from(&foreign)).unwrap_err();
    running.repair_sealed(number, &mut |_, _| Err("nobody".into())).unwrap_err();
    assert_eq!(disk.bytes(&path(number)).unwrap(), before);
}

#[test]
fn power_lost_at_any_moment_leaves_the_old_or_the_new() {
    let disk = SimDisk::new(1);
    let running = log(&disk);
    let (entries, good) = (all(&running), open(&disk.copy(), SMALL).0);
    let number = running.sealed()[1];
    damage(&disk, number, 5_000..5_100);
    drop(running);
    for operations in 1..8 {
        let copy = disk.copy();
        let (broken, _) = open(&copy, SMALL);
        copy.power_off_after(operations);
        let done = broken.repair_sealed(number, &mut from(&good));
        let found = copy.crash();
        drop(broken);
        let (again, _) = open(&found, SMALL);
        if done.is_ok() {
            again.check_sealed(number).unwrap();
        }
        if again.check_sealed(number).is_err() {
            again.repair_sealed(number, &mut from(&good)).unwrap();
        }
        assert_eq!(all(&again), entries, "{operations}");
    }
}

#[test]
fn one_that_is_purged_while_it_is_mended_does_not_come_back() {
    let disk = SimDisk::new(1);
    let running = log(&disk);
    let good = open(&disk.copy(), SMALL).0;
    let number = running.sealed()[1];
    damage(&disk, number, 5_000..5_001);
    let mut good = from(&good);
    let mended = running.repair_sealed(number, &mut |first, behind| {
        wait(|done| running.purge(id(3, 95), done)).unwrap();
        good(first, behind)
    });
    mended.unwrap();
    assert!(!running.sealed().contains(&number));
    assert!(!disk.files().contains(&path(number)));
    let last = running.last();
    drop(running);
    assert_eq!(open(&disk, SMALL).0.last(), last);
}
