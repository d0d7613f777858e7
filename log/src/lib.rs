//! Redoubt's redo log and blobs: what must not be lost.
//!
//! Ground state. Everything in `store` can be rebuilt from what is here.

pub mod audit;
pub mod blob;
pub mod chain;
pub mod codec;
pub mod databases;
pub mod disk;
pub mod dump;
pub mod id;
pub mod raft;
pub mod record;
pub mod segment;
pub mod world;
