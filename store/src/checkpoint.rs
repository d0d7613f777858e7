//! A state image at an index: how it is made, proven and put in place.
//!
//! The images are kept by an implementation of [`Bases`] (crate `snapshot`).

use std::fmt::Debug;

/// Keeps state images. Implemented by `redoubt-snapshot`.
pub trait Bases: Debug + Send + Sync + 'static {}
