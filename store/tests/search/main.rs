//! SEARCH: every key with what it finds and what not, charsets, encodings, and
//! its algebra against a naive evaluator.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::panic)]

mod algebra;
mod headers;
mod placements;
mod scan;
mod text;
mod world;
