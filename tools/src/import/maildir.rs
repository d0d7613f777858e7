//! Maildir and Maildir++ with flags, Dovecot's keywords and UIDs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use redoubt_log::id::Timestamp;
use redoubt_log::record::Flags;

use super::uidlist::{self, UidList, base_name};
use super::{Item, Place, Unreadable};

/// Whether a folder is a Maildir.
pub fn is_maildir(path: &Path) -> bool {
    path.join("cur").is_dir() && path.join("new").is_dir()
}

/// What a Maildir with its Maildir++ folders holds, in the order of UIDs.
///
/// # Errors
/// When a folder cannot be listed.
pub fn scan(root: &Path, inbox: &str) -> io::Result<(Vec<Item>, Vec<Unreadable>)> {
    let mut items = Vec::new();
    let mut unreadable = Vec::new();
    for (mailbox, path) in folders(root, inbox)? {
        scan_folder(&path, &mailbox, &mut items, &mut unreadable)?;
    }
    Ok((items, unreadable))
}

/// The root and its `.Name.Below` folders (Maildir++).
fn folders(root: &Path, inbox: &str) -> io::Result<Vec<(String, PathBuf)>> {
    let mut folders = vec![(inbox.to_string(), root.to_path_buf())];
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_prefix('.')
            && !name.is_empty()
            && is_maildir(&entry.path())
        {
            folders.push((folder_name(name), entry.path()));
        }
    }
    folders.sort();
    Ok(folders)
}

fn folder_name(name: &str) -> String {
    let decoded = redoubt_protocols::imap::utf7::decode(name.as_bytes());
    decoded.unwrap_or_else(|_| name.into()).replace('.', "/")
}

fn scan_folder(
    path: &Path,
    mailbox: &str,
    items: &mut Vec<Item>,
    unreadable: &mut Vec<Unreadable>,
) -> io::Result<()> {
    let keywords = keyword_names(&path.join("dovecot-keywords"));
    let uids = read_uidlist(&path.join("dovecot-uidlist"), unreadable);
    let mut found = Vec::new();
    for folder in ["cur", "new"] {
        for entry in fs::read_dir(path.join(folder))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            if name.starts_with('.') || !(kind.is_file() || kind.is_symlink()) {
                continue;
            }
            found.push(item(&entry, &name, mailbox, &keywords, &uids));
        }
    }
    found.sort_by_key(sort_key);
    items.append(&mut found);
    Ok(())
}

fn sort_key(item: &Item) -> (u32, Option<Timestamp>, String) {
    (item.uid.unwrap_or(u32::MAX), item.received, item.place.name())
}

fn item(
    entry: &fs::DirEntry,
    name: &str,
    mailbox: &str,
    keywords: &BTreeMap<char, String>,
    uids: &UidList,
) -> Item {
    let letters = name.split_once(":2,").map_or("", |(_, letters)| letters);
    Item {
        mailbox: mailbox.into(),
        place: Place::File(entry.path()),
        flags: letters.chars().fold(Flags::NONE, with_letter),
        keywords: letters.chars().filter_map(|letter| keywords.get(&letter).cloned()).collect(),
        received: modified(entry),
        uid: uids.uids.get(base_name(name)).copied(),
    }
}

/// Dovecot keeps INTERNALDATE as the file's modification time.
fn modified(entry: &fs::DirEntry) -> Option<Timestamp> {
    let time = entry.metadata().ok()?.modified().ok()?;
    let since = time.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(|seconds| Timestamp(seconds * 1000))
}

fn with_letter(flags: Flags, letter: char) -> Flags {
    flags.with(match letter {
        'S' => Flags::SEEN,
        'R' => Flags::ANSWERED,
        'F' => Flags::FLAGGED,
        'T' => Flags::DELETED,
        'D' => Flags::DRAFT,
        _ => Flags::NONE,
    })
}

/// `0 $Forwarded`: letter `a` in file names is keyword 0.
fn keyword_names(path: &Path) -> BTreeMap<char, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().filter_map(keyword_line).collect()
}

fn keyword_line(line: &str) -> Option<(char, String)> {
    let (number, name) = line.split_once(' ')?;
    let letter = char::from(b'a'.checked_add(number.parse().ok().filter(|n| *n < 26)?)?);
    Some((letter, name.into()))
}

fn read_uidlist(path: &Path, unreadable: &mut Vec<Unreadable>) -> UidList {
    let Ok(text) = fs::read_to_string(path) else { return UidList::default() };
    uidlist::parse(&text).unwrap_or_else(|reason| {
        let reason = format!("{reason}; its UIDs are not kept");
        unreadable.push(Unreadable { place: path.display().to_string(), reason });
        UidList::default()
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn flags_keywords_uids_and_folders_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        for folder in [
            "cur",
            "new",
            "tmp",
            ".Work.2026/cur",
            ".Work.2026/new",
            ".Entw&APw-rfe/cur",
            ".Entw&APw-rfe/new",
        ] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        fs::write(dir.path().join("dovecot-uidlist"), "3 V7 N9\n3 :2.b\n4 :1.a\n").unwrap();
        fs::write(dir.path().join("dovecot-keywords"), "0 $Forwarded\n1 blue\n").unwrap();
        fs::write(dir.path().join("cur/1.a:2,FSab"), "x").unwrap();
        fs::write(dir.path().join("cur/2.b:2,"), "y").unwrap();
        fs::write(dir.path().join("new/3.c"), "z").unwrap();
        fs::write(dir.path().join(".Work.2026/cur/9.w:2,T"), "w").unwrap();
        let (items, unreadable) = scan(dir.path(), "INBOX").unwrap();
        assert!(unreadable.is_empty());
        let inbox: Vec<_> = items.iter().filter(|item| item.mailbox == "INBOX").collect();
        assert_eq!(inbox.iter().map(|item| item.uid).collect::<Vec<_>>(), [Some(3), Some(4), None]);
        assert_eq!(inbox[1].flags, Flags::FLAGGED.with(Flags::SEEN));
        assert_eq!(inbox[1].keywords, ["$Forwarded", "blue"]);
        let work = items.iter().find(|item| item.mailbox == "Work/2026").unwrap();
        assert_eq!(work.flags, Flags::DELETED);
    }
}
