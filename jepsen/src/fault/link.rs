//! What faults of the network share: the links that they changed, and what these did meanwhile.

use crate::rig::Rig;
use crate::rig::links::{Counts, Link};

/// Links that are not sound, with their counts of before.
#[derive(Debug, Default)]
pub(super) struct Changed(Vec<(u32, u32, Counts)>);

impl Changed {
    /// Changes one direction.
    pub(super) fn set(&mut self, rig: &Rig, from: u32, to: u32, link: Link) {
        self.0.push((from, to, rig.links.counts(from, to)));
        rig.links.set(from, to, link);
    }

    /// Cuts two groups apart.
    pub(super) fn part(&mut self, rig: &Rig, one: &[u32], other: &[u32]) {
        for a in one {
            for b in other {
                self.set(rig, *a, *b, Link::CUT);
                self.set(rig, *b, *a, Link::CUT);
            }
        }
    }

    /// Makes them sound again; what they did meanwhile.
    pub(super) fn heal(&self, rig: &Rig) -> Counts {
        let mut all = Counts::default();
        for (from, to, before) in &self.0 {
            let now = rig.links.counts(*from, *to).since(before);
            all.passed += now.passed;
            all.delayed += now.delayed;
            all.doubled += now.doubled;
            all.dropped += now.dropped;
            rig.links.set(*from, *to, Link::SOUND);
        }
        all
    }
}
