//! What must hold of a history and of what the nodes hold in the end.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::history::History;
use crate::target::Target;

/// What a checker says. Unknown is never counted as good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It holds.
    Valid,
    /// It does not hold: each reason names account, mailbox, UID, message.
    Invalid(Vec<String>),
    /// It could not be decided, and why.
    Unknown(Vec<String>),
}

/// One checker's say.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The property's name in the report.
    pub name: &'static str,
    /// Whether it holds.
    pub verdict: Verdict,
    /// How much was looked at, by what: a check of nothing proves nothing.
    pub counts: BTreeMap<String, u64>,
}

/// What a node holds in the end, read through IMAP.
#[derive(Debug, Default)]
pub struct NodeState {}

/// Reads everything of these accounts at a node.
///
/// # Errors
/// When it cannot be read by then, and why.
pub fn read(
    _target: &Target,
    _accounts: &[String],
    _deadline: Instant,
) -> Result<NodeState, String> {
    Ok(NodeState::default())
}

/// All checkers over the history and the final states by the rig's number of the node.
pub fn judge(_history: &History, _finals: &[(u32, NodeState)]) -> Vec<Checked> {
    Vec::new()
}
