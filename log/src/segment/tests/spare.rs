//! A spare segment that found no room is made as soon as there is some.

use super::*;

const SMALL: u64 = 16 * 1024;

#[test]
fn growth_is_allowed_again_when_there_is_room_for_a_spare() {
    let disk = SimDisk::new(40);
    disk.set_total(SMALL + SMALL / 2);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..3);
    // It is made beside the batches.
    eventually(|| !log.reserve().next_segment && !log.growth_allowed(), "a spare was made");
    disk.set_total(100 * SMALL);
    // Nothing is appended: what grows is refused, and yet the spare must come.
    eventually(|| log.growth_allowed(), "no spare was made");
    append(&log, 1, 3..200);
}

/// A moment without a spare is no full disk: with two nodes it would refuse mail.
#[test]
fn growth_is_not_refused_while_segments_follow_each_other() {
    let disk = SimDisk::new(41);
    let (log, _) = open(&disk, SMALL);
    let over = std::sync::atomic::AtomicBool::new(false);
    let refused = std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut refused = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                refused += u64::from(!log.growth_allowed() || !log.growth_was_allowed().0);
            }
            refused
        });
        append(&log, 1, 0..2000);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        looks.join().unwrap()
    });
    assert!(log.stats().segments > 9, "{:?}", log.stats());
    assert_eq!(refused, 0);
}
