//! SIGKILL of one node, which is started again after a while.

use std::io;

use rand::rngs::StdRng;

use super::{Effect, Fault, named, someone};
use crate::rig::Rig;

/// The node, and whether the signal ended it.
#[derive(Debug, Default)]
pub(super) struct KillOne(Option<(u32, bool)>);

impl Fault for KillOne {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let node = someone(rig, chance)?;
        let name = named(rig, node);
        let killed = rig.node_mut(node).kill();
        self.0 = Some((node, killed));
        Ok(format!("SIGKILL of {name}"))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let Some((node, killed)) = self.0 else {
            return Ok(Effect::NotFelt("never struck".into()));
        };
        if !rig.node(node).is_running() {
            rig.start(node)?;
        }
        Ok(Effect::when(killed, format!("node {node} ended by signal 9: {killed}")))
    }
}
