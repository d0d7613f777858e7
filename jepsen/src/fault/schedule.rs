//! When which fault is struck: made from a seed before the run begins.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};

use super::Kind;

/// One fault of the schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Its kind.
    pub kind: Kind,
    /// How long all is well before it.
    pub calm: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What chance in it is made of.
    pub seed: u64,
}

/// The shortest and the longest fault, in milliseconds.
const LASTS: (u64, u64) = (2_500, 7_000);
/// The shortest and the longest calm.
const CALM: (u64, u64) = (1_500, 4_500);

/// So many faults that they fill the time: each kind as often as the others, in an order of chance.
/// Each kind comes at least once, even where the time is short: then all last less.
pub fn schedule(kinds: &[Kind], time: Duration, seed: u64) -> Vec<Step> {
    let mut chance = StdRng::seed_from_u64(seed);
    let mut steps: Vec<Step> = Vec::new();
    let mut filled = Duration::ZERO;
    while !kinds.is_empty() && (steps.len() < kinds.len() || filled < time) {
        for step in round(kinds, &mut chance) {
            let next = filled + step.calm + step.lasts;
            if steps.len() >= kinds.len() && next > time {
                return fitted(steps, time);
            }
            filled = next;
            steps.push(step);
        }
    }
    fitted(steps, time)
}

fn round(kinds: &[Kind], chance: &mut StdRng) -> Vec<Step> {
    let mut kinds = kinds.to_vec();
    kinds.shuffle(chance);
    let mut step = |kind| Step {
        kind,
        calm: Duration::from_millis(chance.random_range(CALM.0..CALM.1)),
        lasts: Duration::from_millis(chance.random_range(LASTS.0..LASTS.1)),
        seed: chance.random(),
    };
    kinds.into_iter().map(&mut step).collect()
}

fn fitted(mut steps: Vec<Step>, time: Duration) -> Vec<Step> {
    let needed: Duration = steps.iter().map(|step| step.calm + step.lasts).sum();
    if needed > time {
        let share = time.as_secs_f64() / needed.as_secs_f64();
        for step in &mut steps {
            step.calm = step.calm.mul_f64(share);
            step.lasts = step.lasts.mul_f64(share);
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts(steps: &[Step]) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        steps.iter().for_each(|step| *counts.entry(step.kind).or_insert(0) += 1);
        counts
    }

    #[test]
    fn each_kind_comes_and_none_much_more_often() {
        let time = Duration::from_secs(600);
        let steps = schedule(&Kind::ALL, time, 5);
        let counts = counts(&steps);
        assert_eq!(counts.len(), Kind::ALL.len());
        let (least, most) = (counts.values().min().unwrap(), counts.values().max().unwrap());
        assert!(most - least <= 1, "{counts:?}");
        let filled: Duration = steps.iter().map(|step| step.calm + step.lasts).sum();
        assert!(filled <= time && filled > time / 2, "{filled:?}");
        assert_eq!(schedule(&Kind::ALL, time, 5), steps);
        assert_ne!(schedule(&Kind::ALL, time, 6), steps);
    }

    #[test]
    fn a_short_time_has_each_kind_once() {
        let time = Duration::from_secs(20);
        let steps = schedule(&Kind::ALL, time, 5);
        assert_eq!(counts(&steps).len(), steps.len());
        let filled: Duration = steps.iter().map(|step| step.calm + step.lasts).sum();
        assert!(filled <= time + Duration::from_millis(1), "{filled:?}");
        assert_eq!(schedule(&[], time, 5), []);
    }
}
