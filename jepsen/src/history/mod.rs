//! What clients did and what they were answered, with the times of both.

use std::time::Duration;

/// What a client knows of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was acknowledged.
    Done,
    /// It was refused: it has not happened and will not.
    Refused,
    /// No answer, or one that leaves it open: it may have happened, or may yet.
    Unknown,
}

/// An operation as the report draws it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dot {
    /// When it was asked, since the start of the run.
    pub asked: Duration,
    /// How long the answer took, or until it was given up.
    pub took: Duration,
    /// What kind: `deliver`, `append`, `store`, `move`, `select` ...
    pub kind: &'static str,
    /// Whom it was asked: the rig's number of the node.
    pub node: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// Everything that was recorded in one run.
#[derive(Debug, Default)]
pub struct History {}

impl History {
    /// Adds what another workload recorded.
    pub fn merge(&mut self, _other: Self) {}

    /// Every operation, for the picture.
    pub fn dots(&self) -> Vec<Dot> {
        Vec::new()
    }
}
