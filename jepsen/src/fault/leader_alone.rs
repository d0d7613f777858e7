//! The leader is cut off: it must acknowledge nothing and serve nothing stale.

use std::io;

use rand::rngs::StdRng;

use super::link::Changed;
use super::{Effect, Fault};
use crate::rig::Rig;

/// The leader's links, and who took over.
#[derive(Debug, Default)]
pub(super) struct LeaderAlone {
    links: Changed,
    leader: u32,
    next: Option<u32>,
}

impl Fault for LeaderAlone {
    fn strike(&mut self, rig: &mut Rig, _chance: &mut StdRng) -> io::Result<String> {
        let leader = rig.leader().ok_or_else(|| io::Error::other("there is no leader"))?;
        let others: Vec<u32> = rig.numbers().into_iter().filter(|node| *node != leader).collect();
        self.leader = leader;
        self.links.part(rig, &[leader], &others);
        Ok(format!("node {leader} (leader) apart from {others:?}"))
    }

    fn keep(&mut self, rig: &mut Rig, _chance: &mut StdRng) -> io::Result<()> {
        self.next = self.next.or_else(|| rig.leader().filter(|leader| *leader != self.leader));
        Ok(())
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let dropped = self.links.heal(rig).dropped;
        let next = self.next.map_or("nobody".into(), |node| format!("node {node}"));
        Ok(Effect::when(dropped > 0, format!("{dropped} packets dropped, {next} took over")))
    }
}
