//! What somebody may do, carried over to a history that goes on from an earlier moment: who may
//! come in, with which password or token, and what for, is as it was last.

use serde::{Deserialize, Serialize};

use super::{AccountState, MatterRole, MatterSettings, Principal, RoleGrant};
use crate::id::{AccountId, Hash, LogIndex, MatterId, Timestamp};

/// See [`Change::RightsKept`](super::Change::RightsKept).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsKept {
    /// Roles that were given once: one bit each, by [`Role::number`](super::Role::number).
    pub given: u64,
    /// No matter gets an id below this any more.
    pub next_matter: MatterId,
    /// What differs from the moment; at most [`MAX_CHANGES`](super::MAX_CHANGES). What is of an
    /// account that was not there at the moment changes nothing.
    pub rights: Vec<Right>,
}

/// One right as it was last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Right {
    /// What an account may do at all: locked, closed, or neither.
    State {
        /// Which account.
        account: AccountId,
        /// What it may do.
        state: AccountState,
    },
    /// A password of an account.
    Password {
        /// Whose.
        account: AccountId,
        /// Its name.
        name: String,
        /// A PHC string, and since when it is that; `None` when there is none any more.
        is: Option<(String, Timestamp)>,
    },
    /// A role.
    Grant {
        /// Who has it, and over what.
        grant: RoleGrant,
        /// The record that gave it, and when; `None` when it was taken back.
        is: Option<(LogIndex, Timestamp)>,
    },
    /// A personal token.
    Token {
        /// BLAKE3 of the secret.
        token: Hash,
        /// What it says; `None` when it was revoked.
        is: Option<KeptToken>,
    },
    /// A matter, as it is called and whether it is closed.
    Matter {
        /// Which matter.
        matter: MatterId,
        /// Its name.
        name: String,
        /// What holds for it.
        settings: MatterSettings,
        /// When it was made.
        opened: Timestamp,
        /// By whom.
        by: Principal,
    },
    /// A member of a matter.
    Member {
        /// Which matter.
        matter: MatterId,
        /// Who.
        account: AccountId,
        /// What it may do, since when; `None` for nothing any more.
        is: Option<(MatterRole, Timestamp)>,
    },
    /// Whose mail a matter is about.
    Custodian {
        /// Which matter.
        matter: MatterId,
        /// Whose mail.
        account: AccountId,
        /// Since when; `None` for no more.
        is: Option<Timestamp>,
    },
}

/// A personal token that is carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptToken {
    /// Who shows it.
    pub account: AccountId,
    /// What people call it.
    pub name: String,
    /// When it was made.
    pub made: Timestamp,
    /// Who made it.
    pub by: Principal,
    /// From when on it opens nothing.
    pub expires: Option<Timestamp>,
}
