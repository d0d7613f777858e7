//! What the calls of erasures take and answer, as JSON.

use redoubt_log::dump::rfc3339;
use redoubt_log::id::{EmailId, NodeId, OperationId};
use redoubt_store::rows::{EraseReportRow, ErasureState};
use serde::{Deserialize, Serialize};

use super::super::approvals::Decided;

/// Whose mail, and which of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// An address or an id, of a deleted account too.
    pub account: String,
    /// What is looked for, live and in history.
    #[serde(default)]
    pub query: Option<String>,
    /// The zone of days and times in it.
    #[serde(default)]
    pub zone: Option<String>,
    /// Single emails.
    #[serde(default)]
    pub emails: Vec<EmailId>,
    /// All that there is of the account.
    #[serde(default)]
    pub whole: bool,
}

/// An erasure to begin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseWish {
    /// Of what.
    pub subject: Subject,
    /// Why.
    pub reason: String,
    /// Whether it waits for a second person.
    #[serde(default)]
    pub review: bool,
}

/// What is kept of a wish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Of what.
    pub subject: Subject,
    /// Why.
    pub reason: String,
}

/// An erasure that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseBegun {
    /// By which it is asked for.
    pub erasure: OperationId,
    /// Emails of its list.
    pub emails: u64,
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseLine {
    /// By which it is asked for.
    pub erasure: OperationId,
    /// Whose mail.
    pub account: String,
    /// That account's id.
    pub account_id: u64,
    /// How far it is.
    pub state: ErasureState,
    /// Emails of its list.
    pub emails: u64,
    /// Those that were looked at.
    pub looked_at: u64,
    /// Those that were erased.
    pub erased: u64,
    /// Those that a hold or a floor kept.
    pub kept: u64,
    /// Who began it.
    pub by: String,
    /// What a second person has said, where one had to and has.
    pub decided: Option<Decided>,
    /// Why, as typed.
    pub reason: Option<String>,
    /// When it began.
    pub begun: String,
    /// The record that began it.
    pub index: u64,
    /// What each node has reached.
    pub nodes: Vec<NodeLine>,
    /// Whether nothing of it waits anywhere.
    pub complete: bool,
}

/// What a node has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLine {
    /// Which.
    pub node: u64,
    /// When it said so last; absent where it has said nothing yet.
    pub reported: Option<String>,
    /// Whether it has reached all.
    pub complete: bool,
    /// Each place.
    pub places: Vec<PlaceLine>,
}

/// A place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlaceLine {
    /// Its name.
    pub place: String,
    /// What stays there since others have it too.
    pub stays: u64,
    /// What it waits for.
    pub pending: Option<String>,
}

impl NodeLine {
    /// As it reported.
    pub fn of(node: NodeId, report: &EraseReportRow) -> Self {
        let place = |reached: &redoubt_log::record::EraseReached| PlaceLine {
            place: reached.place.name().to_owned(),
            stays: reached.stays,
            pending: reached.pending.clone(),
        };
        let places: Vec<PlaceLine> = report.places.iter().map(place).collect();
        let complete = !places.is_empty() && places.iter().all(|place| place.pending.is_none());
        Self { node: node.0, reported: Some(rfc3339(report.time)), complete, places }
    }

    /// One that has said nothing yet.
    pub fn silent(node: NodeId) -> Self {
        Self { node: node.0, reported: None, complete: false, places: Vec::new() }
    }
}

/// An email that was kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptLine {
    /// Which.
    pub email: EmailId,
    /// Why.
    pub why: String,
}
