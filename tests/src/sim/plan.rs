//! What runs are made of.

use std::time::Duration;

use redoubt_log::world::Mutation;

use super::faults::{self, Fault};

/// What a run is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// For messages: what to run again.
    pub name: &'static str,
    /// Nodes at the beginning.
    pub nodes: u64,
    /// How many of them, the last ones, keep no views.
    pub light: u64,
    /// The fewest voters that it goes down to, where members change.
    pub fewest: usize,
    /// The most nodes.
    pub most: usize,
    /// How long clients work and faults happen.
    pub time: Duration,
    /// Clients at a time.
    pub clients: u64,
    /// What goes wrong.
    pub faults: &'static [Fault],
    /// Whether checkpoints are taken and the log is purged behind them.
    pub purging: bool,
    /// Whether histories are let go, and with them blobs.
    pub retaining: bool,
    /// Whether some nodes are of the release before.
    pub mixed: bool,
    /// A rule that is broken on purpose.
    pub mutation: Option<Mutation>,
    /// Another one: packs are not synced.
    pub packs_unsynced: bool,
}

impl Plan {
    /// One node, and everything that can happen to it.
    pub const ONE: Self = Self {
        name: "one",
        nodes: 1,
        light: 0,
        fewest: 3,
        most: 5,
        time: Duration::from_secs(8),
        clients: 4,
        faults: &faults::ALONE,
        purging: false,
        retaining: false,
        mixed: false,
        mutation: None,
        packs_unsynced: false,
    };

    /// Three nodes that stay.
    pub const THREE: Self = Self {
        name: "three",
        nodes: 3,
        time: Duration::from_secs(12),
        faults: &faults::TOGETHER,
        ..Self::ONE
    };

    /// Five nodes that stay.
    pub const FIVE: Self = Self { name: "five", nodes: 5, ..Self::THREE };

    /// Elections over and over.
    pub const VOTES: Self = Self { name: "three", faults: &faults::VOTES, ..Self::THREE };

    /// Nodes that come and go.
    pub const CHANGING: Self =
        Self { name: "changing", faults: &faults::CHANGING, purging: true, ..Self::THREE };

    /// Nodes that come and go where there are five at first.
    pub const CHANGING_FIVE: Self =
        Self { name: "changing_five", nodes: 5, most: 6, ..Self::CHANGING };

    /// Logs that are purged, and nodes that need snapshots.
    pub const SNAPSHOTS: Self =
        Self { name: "snapshots", faults: &faults::PURGING, purging: true, ..Self::THREE };

    /// One of three keeps no views.
    pub const LIGHT: Self = Self { name: "light", light: 1, purging: true, ..Self::THREE };

    /// Nodes of two releases, and the level raised when all are of the newer one.
    pub const MIXED: Self = Self {
        name: "mixed",
        mixed: true,
        clients: 2,
        time: Duration::from_secs(20),
        faults: &faults::RELEASES,
        ..Self::THREE
    };

    /// Disks that are put back to what they were.
    pub const RESTORED: Self = Self {
        name: "restored",
        clients: 3,
        time: Duration::from_secs(20),
        faults: &faults::PUT_BACK,
        ..Self::THREE
    };

    /// Histories that are let go, and blobs with them.
    pub const RETAINED: Self = Self {
        name: "retained",
        retaining: true,
        purging: true,
        faults: &faults::PURGING,
        ..Self::THREE
    };

    /// The same on one node.
    pub const RETAINED_ALONE: Self = Self {
        name: "retained_alone",
        retaining: true,
        purging: true,
        time: Duration::from_secs(10),
        ..Self::ONE
    };

    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::ONE,
        Self::THREE,
        Self::FIVE,
        Self::CHANGING,
        Self::CHANGING_FIVE,
        Self::SNAPSHOTS,
        Self::LIGHT,
        Self::MIXED,
        Self::RESTORED,
        Self::RETAINED,
        Self::RETAINED_ALONE,
    ];
}
