//! Faults: one file each. A fault that was struck must have been felt: each measures what it did,
//! and a run in which one was not felt proves nothing about it.

mod clock;
mod disk;
mod halves;
mod kill_all;
mod kill_one;
mod leader_alone;
mod link;
mod lossy;
mod one_way;
mod pause;
mod replace;
mod restarts;
mod ring;
pub mod schedule;
mod slow;
mod together;
mod transfer;

use std::fmt;
use std::io;
use std::str::FromStr;
use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::rig::Rig;

/// An address that no workload uses: what is delivered to it is not judged.
pub const PROBE: &str = "probe@example.org";

/// What a fault did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It was there, and this was measured.
    Felt(String),
    /// It was asked for, but nothing shows that it was there.
    NotFelt(String),
}

impl Effect {
    /// Felt or not, as was measured.
    pub fn when(felt: bool, measured: String) -> Self {
        if felt { Self::Felt(measured) } else { Self::NotFelt(measured) }
    }

    /// Whether it was there.
    pub fn felt(&self) -> bool {
        matches!(self, Self::Felt(_))
    }

    /// What was measured.
    pub fn measured(&self) -> &str {
        match self {
            Self::Felt(text) | Self::NotFelt(text) => text,
        }
    }
}

/// A fault of some kind, struck once.
pub trait Fault {
    /// Makes it; what exactly was done, and to whom.
    ///
    /// # Errors
    /// When it cannot be made: the run is then no proof.
    fn strike(&mut self, rig: &mut Rig, chance: &mut StdRng) -> io::Result<String>;

    /// Called again and again while it lasts.
    ///
    /// # Errors
    /// When it cannot be kept up.
    fn keep(&mut self, _rig: &mut Rig, _chance: &mut StdRng) -> io::Result<()> {
        Ok(())
    }

    /// Ends it, and says what it did.
    ///
    /// # Errors
    /// When it cannot be ended.
    fn heal(&mut self, rig: &mut Rig) -> io::Result<Effect>;
}

/// The kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// SIGKILL of one node.
    KillOne,
    /// SIGKILL of all nodes at once.
    KillAll,
    /// SIGSTOP of one node, then SIGCONT.
    Pause,
    /// A minority and a majority that do not hear each other.
    Halves,
    /// One node that sends but hears nothing, or hears but is not heard.
    OneWay,
    /// Each node hears its neighbours in a circle only; of three, one pair is cut.
    Ring,
    /// The leader hears nobody and is heard by nobody.
    LeaderAlone,
    /// Packets take their time, and overtake each other.
    Slow,
    /// Packets are lost, and come twice.
    Lossy,
    /// A clock is put forward or back.
    Clock,
    /// A disk is full to the last byte.
    Disk,
    /// A node that is killed and started again and again, also while it starts.
    Restarts,
    /// A node is removed, and a fresh one joins under load.
    Replace,
    /// Leadership is handed over.
    Transfer,
    /// Two of the others at once.
    Together,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::KillOne,
        Self::KillAll,
        Self::Pause,
        Self::Halves,
        Self::OneWay,
        Self::Ring,
        Self::LeaderAlone,
        Self::Slow,
        Self::Lossy,
        Self::Clock,
        Self::Disk,
        Self::Restarts,
        Self::Replace,
        Self::Transfer,
        Self::Together,
    ];

    /// Its name on the command line and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::KillOne => "kill-one",
            Self::KillAll => "kill-all",
            Self::Pause => "pause",
            Self::Halves => "halves",
            Self::OneWay => "one-way",
            Self::Ring => "ring",
            Self::LeaderAlone => "leader-alone",
            Self::Slow => "slow",
            Self::Lossy => "lossy",
            Self::Clock => "clock",
            Self::Disk => "disk-full",
            Self::Restarts => "restarts",
            Self::Replace => "replace",
            Self::Transfer => "transfer",
            Self::Together => "together",
        }
    }

    /// Whether it can be made in this rig.
    ///
    /// # Errors
    /// Why it cannot.
    pub fn possible(self, rig: &Rig) -> Result<(), &'static str> {
        let several = rig.numbers().len() > 1;
        match self {
            Self::Clock if rig.all().any(|node| node.clock.is_none()) => {
                Err("libfaketime is not installed")
            }
            Self::Disk if rig.all().any(|node| !node.disk.can_fill()) => {
                Err("no file system of its own may be mounted here")
            }
            Self::KillOne
            | Self::KillAll
            | Self::Pause
            | Self::Clock
            | Self::Disk
            | Self::Restarts => Ok(()),
            _ if several => Ok(()),
            _ => Err("there is one node only"),
        }
    }

    /// One that was not struck yet.
    pub fn fault(self) -> Box<dyn Fault> {
        match self {
            Self::KillOne => Box::<kill_one::KillOne>::default(),
            Self::KillAll => Box::<kill_all::KillAll>::default(),
            Self::Pause => Box::<pause::Pause>::default(),
            Self::Halves => Box::<halves::Halves>::default(),
            Self::OneWay => Box::<one_way::OneWay>::default(),
            Self::Ring => Box::<ring::Ring>::default(),
            Self::LeaderAlone => Box::<leader_alone::LeaderAlone>::default(),
            Self::Slow => Box::<slow::Slow>::default(),
            Self::Lossy => Box::<lossy::Lossy>::default(),
            Self::Clock => Box::<clock::Clock>::default(),
            Self::Disk => Box::<disk::Disk>::default(),
            Self::Restarts => Box::<restarts::Restarts>::default(),
            Self::Replace => Box::<replace::Replace>::default(),
            Self::Transfer => Box::<transfer::Transfer>::default(),
            Self::Together => Box::<together::Together>::default(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        let names = || Self::ALL.map(Self::name).join(", ");
        found.ok_or_else(|| format!("{text:?} is no fault; there are {}", names()))
    }
}

/// One node: every other time the leader.
fn someone(rig: &Rig, chance: &mut StdRng) -> io::Result<u32> {
    let leader = rig.leader().filter(|_| chance.random_bool(0.5));
    leader
        .or_else(|| rig.running().choose(chance).copied())
        .ok_or_else(|| io::Error::other("no node runs"))
}

/// `node 2 (leader)`.
fn named(rig: &Rig, node: u32) -> String {
    let leads = if rig.leader() == Some(node) { " (leader)" } else { "" };
    format!("node {node}{leads}")
}

/// Looks again and again until something is so; whether it came to be in time.
fn eventually(limit: Duration, mut so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !so() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    true
}
