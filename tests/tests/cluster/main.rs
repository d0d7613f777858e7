//! Three nodes as docs/operations.md sets them up and works with them: every
//! step of it is taken here, with real processes and real clients.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod archive;
mod discovery;
mod failover;
mod http;
mod levels;
mod light;
mod mail;
mod members;
mod milter;
mod purge;
mod reclaim;
mod recover;
mod refusals;
mod restores;
mod setup;
mod states;
mod status;
mod stop;
mod tokens;
mod travel;
