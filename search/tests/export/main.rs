//! Exports: what is written reads elsewhere as it was, and nothing can be altered unnoticed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs)]

mod altered;
mod forms;
mod world;
