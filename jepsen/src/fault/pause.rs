//! SIGSTOP of one node, and SIGCONT: it wakes up and does not know that time has passed.

use std::io;
use std::time::Duration;

use rand::rngs::StdRng;

use super::{Effect, Fault, eventually, named, someone};
use crate::rig::Rig;

/// The node, and whether it was seen stopped.
#[derive(Debug, Default)]
pub(super) struct Pause(Option<(u32, bool)>);

impl Fault for Pause {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let node = someone(rig, chance)?;
        let name = named(rig, node);
        rig.node(node).pause();
        let stopped =
            eventually(Duration::from_secs(2), || rig.node(node).process_state() == Some('T'));
        self.0 = Some((node, stopped));
        Ok(format!("SIGSTOP of {name}"))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let Some((node, stopped)) = self.0 else {
            return Ok(Effect::NotFelt("never struck".into()));
        };
        let still = rig.node(node).process_state();
        rig.node(node).resume();
        let felt = stopped && still == Some('T');
        Ok(Effect::when(felt, format!("node {node} was in state {still:?} until SIGCONT")))
    }
}
