//! The worker process and its parent's side.

mod child;
mod frame;
mod pool;
mod sandbox;
pub mod worker;

pub use pool::{Counts, Options, Pool, PoolError, Room};
pub use sandbox::InForce;
