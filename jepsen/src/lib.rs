//! Redoubt under faults: real processes, killed, stopped, cut off and confused for real; recorded
//! histories, and what must hold of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod check;
pub mod crash;
pub mod deliveries;
pub mod editor;
pub mod fault;
pub mod history;
pub mod report;
pub mod rig;
pub mod run;
pub mod single;
pub mod target;
pub mod workload;
