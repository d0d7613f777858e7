//! An index over a real store: right at any moment, whatever happens to its files.

mod attached;
mod damage;
mod equals_scan;
mod following;
mod queries;
mod world;
