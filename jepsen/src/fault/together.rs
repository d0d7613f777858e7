//! Two faults at once.

use std::io;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Effect, Fault, Kind};
use crate::rig::Rig;

/// What lies on the network, and what happens to a node meanwhile.
const PAIRS: [(Kind, Kind); 8] = [
    (Kind::Lossy, Kind::KillOne),
    (Kind::Slow, Kind::Pause),
    (Kind::Halves, Kind::Pause),
    (Kind::OneWay, Kind::KillOne),
    (Kind::Ring, Kind::Restarts),
    (Kind::Lossy, Kind::KillAll),
    (Kind::LeaderAlone, Kind::Clock),
    (Kind::Slow, Kind::Disk),
];

/// Both, in the order in which they are struck.
#[derive(Default)]
pub(super) struct Together(Vec<(Kind, Box<dyn Fault>)>);

impl Fault for Together {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let can = |kind: &Kind| kind.possible(rig).is_ok();
        let pairs: Vec<_> = PAIRS.iter().filter(|(a, b)| can(a) && can(b)).collect();
        let (a, b) = pairs.choose(chance).ok_or_else(|| io::Error::other("no pair is possible"))?;
        let mut told = Vec::new();
        for kind in [*a, *b] {
            let mut fault = kind.fault();
            told.push(fault.strike(rig, chance)?);
            self.0.push((kind, fault));
        }
        Ok(told.join("; "))
    }

    fn keep(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<()> {
        self.0.iter_mut().try_for_each(|(_, fault)| fault.keep(rig, chance))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let mut felt = !self.0.is_empty();
        let mut measured = Vec::new();
        for (kind, fault) in &mut self.0 {
            let effect = fault.heal(rig)?;
            felt &= effect.felt();
            measured.push(format!("{kind}: {}", effect.measured()));
        }
        Ok(Effect::when(felt, measured.join("; ")))
    }
}
