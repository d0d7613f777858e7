//! A node is removed under load, and a fresh one, with an empty disk and a new id, joins.

use std::io;

use rand::rngs::StdRng;

use super::{Effect, Fault, named, someone};
use crate::rig::Rig;

/// Who went and who came.
#[derive(Debug, Default)]
pub(super) struct Replace {
    gone: Option<u32>,
}

impl Fault for Replace {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let gone = someone(rig, chance)?;
        let name = named(rig, gone);
        let complaint = rig.shrink(gone)?;
        self.gone = Some(gone);
        let complaint = complaint.map(|said| format!(", though the verb said: {said}"));
        Ok(format!("{name} is removed{}", complaint.unwrap_or_default()))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let Some(gone) = self.gone else { return Ok(Effect::NotFelt("nobody went".into())) };
        let through = rig.leader().or_else(|| rig.running().first().copied());
        let through = through.ok_or_else(|| io::Error::other("no node runs"))?;
        let came = rig.grow(through)?;
        rig.publish();
        let members = rig.members(through)?;
        let felt = members.contains(&came) && !members.contains(&gone);
        let measured = format!("node {gone} went, node {came} came: now {members:?}");
        Ok(Effect::when(felt, measured))
    }
}
