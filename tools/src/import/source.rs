//! Finds out what lies at a path, and lists it.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use super::{Item, Unreadable, maildir, mbox, tree};

/// What was found.
#[derive(Debug)]
pub struct Source {
    /// `mbox`, `maildir`, `eml` or `eml tree`.
    pub kind: &'static str,
    /// Its messages, those of one mailbox together, UIDs rising.
    pub items: Vec<Item>,
    /// What is there and cannot be used.
    pub unreadable: Vec<Unreadable>,
}

/// Lists what is at a path: a Maildir, an mbox file, an EML file or a folder of
/// these; `mailbox` is where the top belongs.
///
/// # Errors
/// When the path cannot be read or holds no mail.
pub fn detect(path: &Path, mailbox: &str) -> io::Result<Source> {
    if maildir::is_maildir(path) {
        let (items, unreadable) = maildir::scan(path, mailbox)?;
        return Ok(Source { kind: "maildir", items, unreadable });
    }
    if path.is_dir() {
        return folder(path, mailbox);
    }
    if is_mbox(path)? {
        let items = mbox::scan(path, mailbox)?;
        return Ok(Source { kind: "mbox", items, unreadable: Vec::new() });
    }
    fs::metadata(path)?;
    Ok(Source { kind: "eml", items: vec![tree::file(path, mailbox)], unreadable: Vec::new() })
}

fn folder(path: &Path, mailbox: &str) -> io::Result<Source> {
    let items = tree::scan(path, mailbox)?;
    if items.is_empty() {
        let text = "neither a Maildir (no cur and new) nor a folder with .eml files; name an mbox file itself";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Source { kind: "eml tree", items, unreadable: Vec::new() })
}

fn is_mbox(path: &Path) -> io::Result<bool> {
    let mut start = [0; 5];
    let mut file = File::open(path)?;
    match file.read_exact(&mut start) {
        Ok(()) => Ok(&start == b"From "),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
