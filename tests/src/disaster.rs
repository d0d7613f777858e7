//! A server whose disk is lost, and that comes back out of its repository at the same ports.

use std::path::Path;

use serde_json::Value;

use crate::cluster::{PATIENCE, free_port, until};
use crate::process::Redoubt;
use crate::programs::{Scene, prepared};

/// A scene whose server archives all that it does, and keeps its port for IMAP.
pub fn scene() -> Scene {
    Scene::over(|data| prepared(archived(data)))
}

/// A server that archives what it does in a folder beside its data.
pub fn archived(data: &Path) -> Redoubt {
    let repository = data.with_file_name("repository").display().to_string();
    let imap = free_port().to_string();
    Redoubt::start_with(
        data,
        &[
            ("REDOUBT_BACKUP_REPOSITORY", &repository),
            ("REDOUBT_BACKUP_KEY_FILE", "none"),
            ("REDOUBT_BACKUP_INTERVAL_MS", "20"),
            ("REDOUBT_BACKUP_FEEDER", "any"),
            ("REDOUBT_LISTEN_IMAP", &imap),
        ],
    )
}

/// The last entry that was applied, as a moment.
pub fn moment(server: &Redoubt) -> String {
    let status: Value = serde_json::from_str(&server.verb(&["status", "--json"])).unwrap();
    format!("@{}", status["store"]["applied"])
}

/// Waits until all that was applied is archived.
pub fn all_archived(server: &Redoubt) {
    let applied: u64 = moment(server)[1..].parse().unwrap();
    let came = until(PATIENCE, || {
        let status = server.run(&["archive", "status", "--json"]).stdout;
        let status: Value = serde_json::from_slice(&status).unwrap();
        (status["index"].as_u64() >= Some(applied)).then_some(())
    });
    assert!(came.is_some(), "it is never archived");
}

/// The process is killed, its disk is wiped, and it starts again on what the repository holds.
pub fn strikes(server: &mut Redoubt, at: &str, more: &[&str]) {
    server.kill();
    std::fs::remove_dir_all(server.data()).unwrap();
    let into = server.data().with_file_name("recovered");
    let into = into.to_str().unwrap();
    server.verb(&[&["recover", "--at", at, "--into", into, "--yes"], more].concat());
    std::fs::rename(into, server.data()).unwrap();
    server.start_again();
}
