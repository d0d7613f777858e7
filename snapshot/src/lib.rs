//! Redoubt's state images: carried elsewhere and back.
//!
//! [`base`] keeps the images of `shards/<id>/base/`, from which views are
//! rebuilt; [`manifest`] is what each says of itself; [`repo`] is the backup
//! repository, [`archive`] carries the log there, [`plan`] and [`recover`] make a
//! data directory of it, [`verify`] says whether they could, [`expire`] lets go what is old.

pub mod archive;
pub mod base;
pub mod expire;
pub mod manifest;
pub mod plan;
pub mod recover;
pub mod repo;
pub mod verify;

pub use base::BaseDir;
pub use manifest::Manifest;
