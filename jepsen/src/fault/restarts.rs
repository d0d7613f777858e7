//! A node that is killed and started again and again, most times before it is ready.

use std::io;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;

use super::{Effect, Fault, named, someone};
use crate::rig::Rig;

/// So many starts are a loop.
const LEAST: u32 = 3;

/// The node, how often it was started, and when it is killed next.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    node: u32,
    starts: u32,
    kills: u32,
    next: Option<Instant>,
}

impl Restarts {
    fn again(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<()> {
        self.kills += u32::from(rig.node_mut(self.node).kill());
        rig.start(self.node)?;
        self.starts += 1;
        let lives = Duration::from_millis(chance.random_range(20..800));
        self.next = Some(Instant::now() + lives);
        Ok(())
    }
}

impl Fault for Restarts {
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String> {
        self.node = someone(rig, chance)?;
        let name = named(rig, self.node);
        self.again(rig, chance)?;
        Ok(format!("{name} is killed and started again and again"))
    }

    fn keep(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<()> {
        match self.next.is_some_and(|next| Instant::now() >= next) {
            true => self.again(rig, chance),
            false => Ok(()),
        }
    }

    fn heal(&mut self, _rig: &mut Rig) -> io::Result<Effect> {
        let Self { node, starts, kills, .. } = self;
        let measured = format!("node {node} was killed {kills} times and started {starts} times");
        Ok(Effect::when(*kills >= LEAST && *starts >= LEAST, measured))
    }
}
