//! Redoubt's state images: carried elsewhere and back.
//!
//! [`base`] keeps the images of `shards/<id>/base/`, from which views are
//! rebuilt; [`manifest`] is what each says of itself.

pub mod base;
pub mod manifest;

pub use base::BaseDir;
pub use manifest::Manifest;
