//! Redoubt's mailstore: what is so now and was so before.
//!
//! Derived state. Everything here is built from `redoubt-log` by one pure
//! function, [`apply`], and can be rebuilt.

pub mod account;
pub mod alarms;
pub mod apply;
pub mod auth;
mod cache;
mod captures;
pub mod changes;
pub mod check;
pub mod checkpoint;
pub mod classes;
pub mod contents;
pub mod email;
mod hash;
mod holds;
mod ingest;
mod keyed;
pub mod keys;
pub mod mailbox;
pub mod mailstore;
pub mod mime;
pub mod moment;
pub mod pauses;
pub mod reclaim;
pub mod restore;
pub mod retention;
pub mod rows;
pub mod search;
#[cfg(feature = "sim")]
pub mod sim;
pub mod spool;
pub mod storage;
pub mod travel;
pub mod uids;
pub mod view;

pub use hash::StateHash;
pub use pauses::{Ending, Pauses};
