//! The crash test, long enough to meet most orders of events.

use redoubt_jepsen::crash::{self, Plan};

/// A fixed seed: the moments of the kills differ all the same from run to run.
const SEED: u64 = 20_261_121;

#[test]
fn nothing_acknowledged_is_lost_in_fifty_kills() {
    let report = crash::run(&Plan { rounds: 50, seed: SEED });
    assert!(report.acknowledged > 500, "too little load to prove anything: {report}");
    println!("{report}");
}
