//! Redoubt under faults: real processes, killed for real; histories, and what
//! must hold of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod crash;
pub mod deliveries;
pub mod editor;
