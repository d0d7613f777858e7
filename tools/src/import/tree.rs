//! A tree of files with one message each: folders are mailboxes.

use std::fs;
use std::io;
use std::path::Path;

use redoubt_log::record::Flags;

use super::{Item, Place};

/// Folders deeper than this are not entered.
const MAX_DEPTH: usize = 32;

/// Every `.eml` file below `root`, by name. Links to folders are not followed;
/// one to a file stands for it, and is reported when it leads nowhere.
///
/// # Errors
/// When a folder cannot be listed.
pub fn scan(root: &Path, mailbox: &str) -> io::Result<Vec<Item>> {
    let mut items = Vec::new();
    walk(root, mailbox, MAX_DEPTH, &mut items)?;
    Ok(items)
}

fn walk(dir: &Path, mailbox: &str, depth: usize, items: &mut Vec<Item>) -> io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type()?;
        if kind.is_dir() && depth > 0 {
            walk(&entry.path(), &format!("{mailbox}/{name}"), depth - 1, items)?;
        } else if (kind.is_file() || kind.is_symlink()) && is_message(&name) {
            items.push(file(&entry.path(), mailbox));
        }
    }
    Ok(())
}

fn is_message(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, extension)| extension.eq_ignore_ascii_case("eml"))
}

/// One file as an item.
pub fn file(path: &Path, mailbox: &str) -> Item {
    Item {
        mailbox: mailbox.into(),
        place: Place::File(path.into()),
        flags: Flags::NONE,
        keywords: Vec::new(),
        received: None,
        uid: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn folders_are_mailboxes_and_only_eml_counts() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        for name in ["1.eml", "a/2.EML", "a/b/3.eml", "a/readme.txt"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let items = scan(dir.path(), "Old").unwrap();
        let mailboxes: Vec<_> = items.iter().map(|item| item.mailbox.as_str()).collect();
        assert_eq!(mailboxes, ["Old", "Old/a", "Old/a/b"]);
    }
}
