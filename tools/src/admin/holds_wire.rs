//! Holds as they go over the admin socket.

use redoubt_log::id::MatterId;
use serde::{Deserialize, Serialize};

/// A hold that somebody wants.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldWish {
    /// Accounts, by address or id.
    #[serde(default)]
    pub accounts: Vec<String>,
    /// A domain.
    #[serde(default)]
    pub domain: Option<String>,
    /// All accounts.
    #[serde(default)]
    pub all: bool,
    /// Only what matches this.
    #[serde(default)]
    pub query: Option<String>,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// Why it is set.
    #[serde(default)]
    pub reason: String,
    /// The matter that it is for, by name or id.
    #[serde(default)]
    pub matter: Option<String>,
    /// Seconds for which it stays in force once it is released; absent is what is configured.
    #[serde(default)]
    pub delay: Option<u64>,
}

/// The id of a new hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldMade {
    /// Its id.
    pub hold: u64,
}

/// That a hold is to be released.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseWish {
    /// Seconds for which it stays in force, where that is more than it was set with.
    #[serde(default)]
    pub delay: Option<u64>,
}

/// That a hold is to be for another matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveWish {
    /// Which, by name or id.
    pub matter: String,
}

/// How a hold is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldState {
    /// In force, and nobody wants it otherwise.
    Held,
    /// Released, and in force until its delay is over.
    Releasing,
    /// Ended; what is known of it goes.
    Ending,
}

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldLine {
    /// Its id.
    pub hold: u64,
    /// What it is called.
    pub name: String,
    /// Why it was set, as typed.
    pub reason: String,
    /// What it is over: addresses, `domain NAME` or `all accounts`.
    pub over: String,
    /// Only what matches this.
    pub query: Option<String>,
    /// The matter that it is for.
    pub matter: Option<MatterId>,
    /// How it is.
    pub state: HoldState,
    /// When it was set.
    pub set: String,
    /// The record that set it.
    pub index: u64,
    /// Seconds for which it stays in force once it is released.
    pub delay: u64,
    /// Until when it is in force, once it was released.
    pub until: Option<String>,
    /// Who has released it.
    pub released_by: Option<String>,
}

/// A hold, and what it comes to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldShown {
    /// What it says.
    #[serde(flatten)]
    pub line: HoldLine,
    /// Accounts that it is over, deleted ones too.
    pub accounts: u64,
    /// Emails that its query was found to hold; absent where all are held.
    pub held: Option<u64>,
    /// Of these, emails of which not all text could be had.
    pub unread: Option<u64>,
    /// Emails that are not judged yet, and held until then; absent where all are held.
    pub unjudged: Option<u64>,
}
