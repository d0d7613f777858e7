//! Slow links: each packet takes its time, and packets overtake each other.

use std::io;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;

use super::link::Changed;
use super::{Effect, Fault};
use crate::rig::Rig;
use crate::rig::links::Link;

/// All links.
#[derive(Debug, Default)]
pub(super) struct Slow(Changed);

impl Fault for Slow {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let delay = Duration::from_millis(chance.random_range(5..60));
        let jitter = Duration::from_millis(chance.random_range(0..40));
        let link = Link { delay, jitter, ..Link::SOUND };
        for from in rig.numbers() {
            for to in rig.numbers().into_iter().filter(|to| *to != from) {
                self.0.set(rig, from, to, link);
            }
        }
        Ok(format!("every packet between peers takes {delay:?} and up to {jitter:?} more"))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let delayed = self.0.heal(rig).delayed;
        Ok(Effect::when(delayed > 0, format!("{delayed} packets delayed")))
    }
}
