//! Two groups that do not hear each other: one has a majority, the other has not.

use std::io;

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::link::Changed;
use super::{Effect, Fault};
use crate::rig::Rig;

/// The links between the groups.
#[derive(Debug, Default)]
pub(super) struct Halves(Changed);

impl Fault for Halves {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let mut nodes = rig.numbers();
        nodes.shuffle(chance);
        let smaller = chance.random_range(1..=(nodes.len() / 2).max(1));
        let (one, other) = nodes.split_at(smaller);
        self.0.part(rig, one, other);
        Ok(format!("nodes {one:?} apart from {other:?}"))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let dropped = self.0.heal(rig).dropped;
        Ok(Effect::when(dropped > 0, format!("{dropped} packets dropped")))
    }
}
