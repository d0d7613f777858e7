//! A spare segment that found no room is made as soon as there is some.

use super::*;

const SMALL: u64 = 16 * 1024;

#[test]
fn growth_is_allowed_again_when_there_is_room_for_a_spare() {
    let disk = SimDisk::new(40);
    disk.set_total(SMALL + SMALL / 2);
    let (log, _) = open(&disk, SMALL);
    append(&log, 1, 0..3);
    assert!(!log.reserve().next_segment && !log.growth_allowed());
    disk.set_total(100 * SMALL);
    // Nothing is appended: what grows is refused, and yet the spare must come.
    let began = std::time::Instant::now();
    while !log.growth_allowed() {
        assert!(began.elapsed().as_secs() < 30, "no spare was made");
        std::thread::yield_now();
    }
    append(&log, 1, 3..200);
}
