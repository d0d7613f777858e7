//! A node is removed under load, and a fresh one, with an empty disk and a new id, joins.

use std::io;

use rand::rngs::StdRng;

use super::{Effect, Fault, named, someone};
use crate::rig::Rig;

/// Who went and who came.
#[derive(Debug, Default)]
pub(super) struct Replace {
    gone: u32,
    came: Option<u32>,
}

impl Fault for Replace {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        self.gone = someone(rig, chance)?;
        let name = named(rig, self.gone);
        rig.shrink(self.gone)?;
        Ok(format!("{name} is removed"))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let through = rig.leader().or_else(|| rig.running().first().copied());
        let through = through.ok_or_else(|| io::Error::other("no node runs"))?;
        let came = rig.grow(through)?;
        rig.publish();
        self.came = Some(came);
        let members = rig.members(through)?;
        let felt = members.contains(&came) && !members.contains(&self.gone);
        let measured = format!("node {} went, node {came} came: now {members:?}", self.gone);
        Ok(Effect::when(felt, measured))
    }
}
