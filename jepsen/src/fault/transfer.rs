//! Leadership is handed over as an operator does before a restart.

use std::io;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use super::{Effect, Fault, eventually};
use crate::rig::Rig;

/// From whom to whom.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    from: u32,
    to: u32,
    done: bool,
}

impl Fault for Transfer {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        self.from = rig.leader().ok_or_else(|| io::Error::other("there is no leader"))?;
        let mut others = rig.running();
        others.retain(|node| *node != self.from);
        let to = others.choose(chance).copied();
        self.to = to.ok_or_else(|| io::Error::other("nobody else runs"))?;
        rig.transfer(self.from, self.to)?;
        self.done = eventually(Duration::from_secs(5), || rig.leader() == Some(self.to));
        Ok(format!("leadership is handed from node {} to node {}", self.from, self.to))
    }

    fn heal(&mut self, _rig: &mut Rig) -> io::Result<Effect> {
        let Self { from, to, done } = self;
        let measured = format!("node {to} led after node {from}: {done}");
        Ok(Effect::when(*done, measured))
    }
}
