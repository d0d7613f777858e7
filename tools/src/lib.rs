//! The redoubt binary: the one place where the parts are wired.

pub mod admin;
pub mod backup;
pub mod bench;
pub mod cluster;
pub mod cmd;
pub mod config;
pub mod exit;
pub mod heads;
pub mod import;
pub mod output;
pub mod peers;
pub mod readiness;
pub mod server;
pub mod telemetry;
pub mod verify;
