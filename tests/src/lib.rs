//! Redoubt's oracle, harness and stories: what tests of the whole product and
//! the crash test share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod attempts;
pub mod clock;
pub mod cluster;
pub mod disaster;
pub mod imap;
pub mod lmtp;
pub mod maildir;
pub mod messages;
pub mod milter;
pub mod model;
pub mod packs;
pub mod page;
pub mod process;
pub mod programs;
pub mod room;
pub mod scene;
pub mod sim;
pub mod traces;
pub mod values;
pub mod years;
