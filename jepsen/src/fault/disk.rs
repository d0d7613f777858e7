//! A disk is full to the last byte: growth is refused with an answer that says so, or the node
//! stops and says why. Nothing that was acknowledged is lost.

use std::io;

use rand::rngs::StdRng;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;

use super::{Effect, Fault, PROBE, named, someone};
use crate::rig::Rig;

/// The node, and what was seen of its full disk.
#[derive(Debug, Default)]
pub(super) struct Disk {
    node: u32,
    starts: u32,
    free: Option<u64>,
    refused: Option<String>,
    probes: u32,
}

impl Fault for Disk {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        self.node = someone(rig, chance)?;
        let name = named(rig, self.node);
        let node = rig.node(self.node);
        self.starts = node.starts();
        node.disk.fill()?;
        self.free = Some(node.disk.free()?);
        Ok(format!("the disk of {name} is filled up"))
    }

    fn keep(&mut self, rig: &mut Rig, _chance: &mut StdRng) -> io::Result<()> {
        rig.node(self.node).disk.fill()?;
        if self.refused.is_none() {
            self.probes += 1;
            self.refused = probe(rig, self.node, self.probes);
        }
        Ok(())
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let node = rig.node(self.node);
        node.disk.empty()?;
        let ended = node.starts() - self.starts;
        let free = self.free.unwrap_or(u64::MAX);
        let refused = self.refused.clone().unwrap_or("no probe was refused".into());
        let felt = free < 1 << 20 && (self.refused.is_some() || ended > 0);
        let measured = format!("{free} bytes were free; {refused}; it ended {ended} times");
        Ok(Effect::when(felt, measured))
    }
}

/// Tries to deliver a message; how it was refused.
fn probe(rig: &Rig, node: u32, number: u32) -> Option<String> {
    let mut client = Lmtp::connect(rig.node(node).addresses.lmtp).ok()?;
    let token = format!("probe{}x{number}", rig.node(node).starts());
    let answers = client.deliver("probe@example.net", &[PROBE], &message(&token, 100_000)).ok()?;
    let refused = answers.into_iter().find(|answer| (400..500).contains(&answer.code))?;
    Some(format!("{} {}", refused.code, refused.text.trim()))
}
