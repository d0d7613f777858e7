//! Redoubt's mailstore: what is so now and was so before.
//!
//! Derived state. Everything here is built from `redoubt-log` by one pure
//! function, [`apply`], and can be rebuilt.

pub mod auth;
pub mod changes;
pub mod checkpoint;
pub mod mailstore;
pub mod mime;
pub mod search;
pub mod spool;
pub mod uids;
pub mod view;
