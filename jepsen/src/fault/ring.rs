//! Each node hears only its two neighbours in a circle, so that no two agree about who is there.
//! Of three nodes, all are neighbours: there one pair is cut, and the third hears both.

use std::io;

use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::link::Changed;
use super::{Effect, Fault};
use crate::rig::Rig;

/// The links between those that are no neighbours.
#[derive(Debug, Default)]
pub(super) struct Ring(Changed);

impl Fault for Ring {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        let mut nodes = rig.numbers();
        nodes.shuffle(chance);
        for (a, b) in strangers(&nodes) {
            self.0.part(rig, &[a], &[b]);
        }
        Ok(format!("in the circle {nodes:?}, only neighbours hear each other"))
    }

    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect> {
        let dropped = self.0.heal(rig).dropped;
        Ok(Effect::when(dropped > 0, format!("{dropped} packets dropped")))
    }
}

/// The pairs that are no neighbours; of three or fewer, the ends of the row.
fn strangers(nodes: &[u32]) -> Vec<(u32, u32)> {
    let closed = nodes.len() > 3;
    let mut pairs = Vec::new();
    for a in 0..nodes.len() {
        for b in a + 2..nodes.len() {
            if !(closed && a == 0 && b == nodes.len() - 1) {
                pairs.push((nodes[a], nodes[b]));
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_keep_hearing_each_other() {
        assert_eq!(strangers(&[3, 1, 2]), [(3, 2)]);
        assert_eq!(strangers(&[1, 2, 3, 4]), [(1, 3), (2, 4)]);
        assert_eq!(strangers(&[1, 2, 3, 4, 5]), [(1, 3), (1, 4), (2, 4), (2, 5), (3, 5)]);
    }
}
