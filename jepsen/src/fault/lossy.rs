//! Lossy links: packets are lost, come twice, and overtake each other.

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
pub(super) struct Lossy(Changed);

impl Fault for Lossy {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let loss = f64::from(chance.random_range(2..20)) / 100.0;
        let jitter = Duration::from_millis(2);
        let link = Link { loss, jitter, doubled: 0.05, ..Link::SOUND };
        for from in rig.numbers() {
            for to in rig.numbers().into_iter().filter(|to| *to != from) {
                self.0.set(rig, from, to, link);
            }
        }
        Ok(format!("{:.0}% of all packets between peers are lost, 5% come twice", loss * 100.0))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let counts = self.0.heal(rig);
        let (dropped, doubled) = (counts.dropped, counts.doubled);
        let measured = format!("{dropped} packets dropped, {doubled} doubled");
        Ok(Effect::when(dropped > 0, measured))
    }
}
