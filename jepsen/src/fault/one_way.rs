//! One node that is not heard but hears, or is heard but hears nothing.

use std::io;

use rand::Rng;
use rand::rngs::StdRng;

use super::link::Changed;
use super::{Effect, Fault, named, someone};
use crate::rig::Rig;
use crate::rig::links::Link;

/// The links of one direction.
#[derive(Debug, Default)]
pub(super) struct OneWay(Changed);

impl Fault for OneWay {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let node = someone(rig, chance)?;
        let deaf = chance.random_bool(0.5);
        let name = named(rig, node);
        for other in rig.numbers().into_iter().filter(|other| *other != node) {
            let (from, to) = if deaf { (other, node) } else { (node, other) };
            self.0.set(rig, from, to, Link::CUT);
        }
        Ok(format!("{name} {}", if deaf { "hears nothing" } else { "is not heard" }))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let dropped = self.0.heal(rig).dropped;
        Ok(Effect::when(dropped > 0, format!("{dropped} packets dropped")))
    }
}
