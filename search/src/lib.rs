//! Queries: one language, one exact evaluation, and indexes that make it fast.
//!
//! Everything here is derived state or pure: it can be removed and is built again.

pub mod ask;
pub mod audit;
pub mod discover;
pub mod erase;
pub mod export;
pub mod facts;
pub mod find;
pub mod heads;
pub mod holds;
pub mod index;
pub mod query;
pub mod texts;
pub mod words;
