//! Histories good and bad: written by hand, and made by a model with a bug in it.

mod by_hand;
mod model;
mod simulated;
