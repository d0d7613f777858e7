//! A node's clock is put forward or back, by seconds or by hours; its monotonic clock stays true.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Effect, Fault, named, someone};
use crate::rig::{Rig, admin};

/// Steps in seconds.
const STEPS: [i64; 8] = [-86_400, -3_600, -120, -5, 5, 120, 3_600, 86_400];
/// What may lie between two looks at a clock, in seconds.
const SLACK: i64 = 3;

/// The node, the step, and how far the node was seen beside the truth.
#[derive(Debug, Default)]
pub(super) struct Clock {
    node: u32,
    step: i64,
    seen: Option<i64>,
}

impl Fault for Clock {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        self.node = someone(rig, chance)?;
        self.step = *STEPS.choose(chance).unwrap_or(&5);
        let name = named(rig, self.node);
        let clock = rig.node(self.node).clock.as_ref();
        clock.ok_or_else(|| io::Error::other("its clock cannot be set"))?.set(self.step)?;
        Ok(format!("the clock of {name} is put {:+} s", self.step))
    }

    fn keep(&mut self, rig: &mut Rig, _chance: &mut StdRng) -> io::Result<()> {
        let far = |seen: i64| (seen - self.step).abs() <= SLACK;
        if !self.seen.is_some_and(far) {
            self.seen = offset(rig, self.node).or(self.seen);
        }
        Ok(())
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        rig.node(self.node).clock.iter().try_for_each(|clock| clock.set(0))?;
        let Self { node, step, seen } = self;
        let felt = seen.is_some_and(|seen| (seen - *step).abs() <= SLACK);
        let seen = seen.map_or("nothing".into(), |seen| format!("{seen:+} s"));
        Ok(Effect::when(felt, format!("node {node} told a time {seen} beside the truth")))
    }
}

/// How far a node's clock is from ours, in seconds, by what it says of itself.
fn offset(rig: &Rig, node: u32) -> Option<i64> {
    let admin = rig.node(node).admin();
    let answer = admin::get(&admin, "/v1/status", Duration::from_millis(500)).ok()?;
    let told = answer.body["time"].as_str()?.parse::<jiff::Timestamp>().ok()?.as_second();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs();
    Some(told - i64::try_from(now).ok()?)
}
