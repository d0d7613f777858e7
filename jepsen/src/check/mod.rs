//! What must hold of a history and of what the nodes hold in the end. Pure functions: they are
//! given everything, and ask nobody.

pub mod deliveries;
pub mod flags;
pub mod fresh;
pub mod index;
pub mod moves;
pub mod names;
pub mod numbers;
pub mod placement;
pub mod replay;
pub mod replicas;
pub mod report;
pub mod search;
pub mod state;
#[cfg(test)]
mod tests;
pub mod views;

use std::collections::BTreeMap;

use crate::history::History;

pub use state::{Email, Mailbox, Marks, NodeState, read};

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

/// All checkers over the history and the final states by the rig's number of the node.
pub fn judge(history: &History, finals: &[(u32, NodeState)]) -> Vec<Checked> {
    let index = index::Index::new(history, finals);
    vec![
        deliveries::check(history, finals),
        numbers::check(history, &index, finals),
        flags::check(history, &index, finals),
        moves::check(history, &index, finals),
        fresh::check(history, &index),
        views::check(history, &index, finals),
        names::check(history, finals),
        replicas::check(finals),
    ]
}

/// Valid if all is; invalid if anything is; unknown otherwise.
pub fn together(checked: &[Checked]) -> Verdict {
    let (mut invalid, mut unknown) = (Vec::new(), Vec::new());
    for Checked { name, verdict, .. } in checked {
        let told = |reasons: &[String]| -> Vec<String> {
            reasons.iter().map(|reason| format!("{name}: {reason}")).collect()
        };
        match verdict {
            Verdict::Valid => {}
            Verdict::Invalid(reasons) => invalid.extend(told(reasons)),
            Verdict::Unknown(reasons) => unknown.extend(told(reasons)),
        }
    }
    match (invalid.is_empty(), unknown.is_empty()) {
        (false, _) => Verdict::Invalid(invalid),
        (true, false) => Verdict::Unknown(unknown),
        (true, true) => Verdict::Valid,
    }
}
