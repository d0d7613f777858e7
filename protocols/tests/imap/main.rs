//! IMAP over TCP against a whole mailstore: stories of sessions, as clients see them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod append;
mod bad_input;
mod client;
mod condstore;
mod fetch;
mod history;
mod login;
mod mailboxes;
mod revoked;
mod search;
mod select;
mod sharing;
mod sort;
mod store;
mod world;
