//! Every message of the corpus that REDOUBT_CORPUS names, whole and cut off.

use std::path::{Path, PathBuf};

use crate::invariants::checked;

/// The messages of the corpus; none without one.
pub(crate) fn messages() -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("REDOUBT_CORPUS") else { return Vec::new() };
    let mut found = Vec::new();
    below(Path::new(&root), &mut found);
    found.sort();
    assert!(!found.is_empty(), "REDOUBT_CORPUS has no messages");
    found
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
        if path.is_dir() {
            below(&path, found);
        } else if matches!(kind, "eml" | "txt" | "msg") {
            found.push(path);
        }
    }
}

#[test]
fn whole_and_cut_off_messages_hold_together() {
    for path in messages() {
        let message = std::fs::read(&path).unwrap();
        let parsed = checked(&message);
        assert!(parsed.structure.body.len > 0 || parsed.header.is_some(), "{path:?}");
        for eighth in 1..8 {
            checked(&message[..message.len() * eighth / 8]);
        }
        let unix: Vec<u8> = message.iter().copied().filter(|c| *c != b'\r').collect();
        let bare = checked(&unix);
        let count = |p: &redoubt_store::mime::Parsed| p.structure.walk().len();
        assert_eq!(count(&bare), count(&parsed), "{path:?}");
    }
}
