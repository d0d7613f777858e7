//! The crash test, long enough to meet most orders of events.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use redoubt_jepsen::crash::{self, Plan};

/// A fixed seed: the moments of the kills differ all the same from run to run.
const SEED: u64 = 20_261_121;

#[test]
fn nothing_acknowledged_is_lost_in_fifty_kills() {
    let rounds = std::env::var("REDOUBT_CRASH_ROUNDS").map_or(50, |text| text.parse().unwrap());
    let report = crash::run(&Plan::new(rounds, SEED)).unwrap();
    println!("{report}");
    let least = rounds as usize * 10;
    assert!(report.acknowledged > least, "too little load to prove anything: {report}");
}

/// A disk set back to an older image: the test must see it. On a machine that is busy with
/// other things nothing may be acknowledged for a while, and then nothing is forgotten.
#[test]
fn a_disk_that_forgets_is_caught() {
    let plan = Plan { least: 10, sabotage: Some(set_back), ..Plan::new(2, SEED) };
    let what = crash::run(&plan).unwrap_err();
    assert!(what.contains("kill 1: ") && what.contains("(Acknowledged) 0 times"), "{what}");
}

/// Keeps an image of the data directory, or puts it back if there is one.
fn set_back(data: &Path) {
    let image = data.with_extension("image");
    if image.exists() {
        std::fs::remove_dir_all(data).unwrap();
        std::fs::rename(&image, data).unwrap();
        return;
    }
    let copied = Command::new("cp").args(["-a", "--sparse=always"]).arg(data).arg(&image).status();
    assert!(copied.unwrap().success());
}
