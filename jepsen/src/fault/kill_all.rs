//! SIGKILL of all nodes at once, as when the power fails.

use std::io;

use rand::rngs::StdRng;

use super::{Effect, Fault};
use crate::rig::Rig;

/// How many there were, and how many the signal ended.
#[derive(Debug, Default)]
pub(super) struct KillAll {
    all: usize,
    killed: usize,
}

impl Fault for KillAll {
    fn strike(&mut self, rig: &mut Rig, _chance: &mut StdRng) -> io::Result<String> {
        let all = rig.running();
        self.all = all.len();
        self.killed = all.iter().filter(|node| rig.node_mut(**node).kill()).count();
        Ok(format!("SIGKILL of nodes {all:?}"))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        for node in rig.numbers() {
            if !rig.node(node).is_running() {
                rig.start(node)?;
            }
        }
        let Self { all, killed } = self;
        let felt = *all > 0 && killed == all;
        Ok(Effect::when(felt, format!("{killed} of {all} nodes ended by signal 9")))
    }
}
