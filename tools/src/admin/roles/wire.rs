//! Roles and tokens as they go over the admin socket.

use redoubt_log::record::Role;
use serde::{Deserialize, Serialize};

/// A role that somebody gets, or has no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantBody {
    /// Whose: an address or id.
    pub account: String,
    /// Which.
    pub role: Role,
    /// Over which domain; absent is all.
    #[serde(default)]
    pub domain: Option<String>,
}

/// A role that somebody has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantLine {
    /// Whose.
    pub account: String,
    /// Which.
    pub role: Role,
    /// Over which domain; absent is all.
    pub domain: Option<String>,
    /// Since when.
    pub since: String,
    /// The record that gave it.
    pub index: u64,
}

/// A token that somebody wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenWish {
    /// Whose: an address or id.
    pub account: String,
    /// What it is called.
    #[serde(default)]
    pub name: String,
    /// For how many seconds it is good; absent is 90 days.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// The account's password, by which its owner makes a token of his own.
    #[serde(default)]
    pub password: Option<String>,
}

/// A new token; its secret is told this once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenMade {
    /// Its id.
    pub id: String,
    /// What is shown.
    pub secret: String,
    /// Until when it is good.
    pub expires: Option<String>,
}

/// A token in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenLine {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub account: String,
    /// What it is called.
    pub name: String,
    /// When it was made.
    pub made: String,
    /// Who made it.
    pub by: String,
    /// Whether its owner did: of any other, somebody else may know the secret.
    pub own: bool,
    /// Until when it is good.
    pub expires: Option<String>,
}
