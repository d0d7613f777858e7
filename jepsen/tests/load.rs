//! All workloads and all checks, against one node that is killed under them.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use redoubt_jepsen::check::Verdict;
use redoubt_jepsen::single::{self, Plan};

const SEED: u64 = 20_261_122;

#[test]
fn a_node_that_is_killed_under_load_keeps_what_it_said() {
    let seed = std::env::var("REDOUBT_LOAD_SEED").map_or(SEED, |text| text.parse().unwrap());
    let plan = Plan { kills: 3, load: Duration::from_secs(4), seed };
    let file = std::env::var_os("REDOUBT_LOAD_HISTORY").map(PathBuf::from);
    let checked = single::run(&plan, file.as_deref());
    for checked in &checked {
        println!("{checked:#?}");
    }
    for checked in &checked {
        assert_eq!(checked.verdict, Verdict::Valid, "{}", checked.name);
    }
}
