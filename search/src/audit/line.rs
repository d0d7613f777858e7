//! One line of the audit trail.

use std::net::IpAddr;

use redoubt_log::audit::{Event, Touched, group};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, OperationId};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The most accounts that a line names; the rest are counted.
const MOST_NAMED: usize = 100;

/// An account, with its address where that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// For ever.
    pub id: AccountId,
    /// As it is now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Who did what, when, from where, why, and what came of it. What is not known is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The entry in the log.
    pub index: u64,
    /// Its effective time (RFC 3339).
    pub time: String,
    /// The kind of record, as `redoubt dump` names it.
    pub kind: String,
    /// The group of that kind.
    pub group: String,
    /// Who: an address, `uid 1000`, `mta`, `system`.
    pub actor: String,
    /// For whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// From where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<IpAddr>,
    /// Whose mail or settings.
    pub accounts: Vec<Named>,
    /// More accounts than a line names.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_accounts: u64,
    /// In a few words.
    pub what: String,
    /// What was before, where the history has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What was after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
    /// Why, as somebody typed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The policy that caused it, and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// `done`, `partly`, `refused`, `repeated`, `nothing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Why it was refused, and what of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What makes a retry safe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Line {
    /// What an event tells by itself.
    pub fn of(event: &Event, touched: &Touched) -> Self {
        let record = event.record.as_ref();
        let actor = record.map(|record| &record.actor);
        let policy = record.and_then(|record| record.why.policy);
        let named = touched.accounts.iter().take(MOST_NAMED);
        Self {
            index: event.index.0,
            time: rfc3339(event.time),
            kind: event.kind.to_owned(),
            group: group(event.number).to_owned(),
            actor: event.principal(),
            on_behalf_of: actor
                .and_then(|actor| actor.on_behalf_of)
                .map(|account| format!("account {account}")),
            from: actor.and_then(|actor| actor.from),
            accounts: named.map(|id| Named { id: *id, address: None }).collect(),
            more_accounts: touched.accounts.len().saturating_sub(MOST_NAMED) as u64,
            what: event.what.clone(),
            before: None,
            after: None,
            reason: None,
            policy: policy.map(|(policy, version)| format!("{policy} version {version}")),
            outcome: None,
            detail: None,
            operation: record.map(|record| record.operation),
        }
    }

    /// The accounts in one cell.
    pub fn whose(&self) -> String {
        let name = |named: &Named| named.address.clone().unwrap_or_else(|| named.id.to_string());
        let mut names: Vec<String> = self.accounts.iter().map(name).collect();
        if self.more_accounts > 0 {
            names.push(format!("and {} more", self.more_accounts));
        }
        names.join(" ")
    }

    /// Who, for whom and from where in one cell.
    pub fn who(&self) -> String {
        let mut text = self.actor.clone();
        if let Some(account) = &self.on_behalf_of {
            text += &format!(" for {account}");
        }
        if let Some(from) = self.from {
            text += &format!(" from {from}");
        }
        text
    }
}
