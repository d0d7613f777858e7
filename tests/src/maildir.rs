//! Maildirs as other programs leave and find them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::messages::token;

/// One Maildir.
#[derive(Debug, Clone)]
pub struct Maildir(PathBuf);

impl Maildir {
    /// Makes it, if it is not there.
    pub fn create(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        for part in ["cur", "new", "tmp"] {
            fs::create_dir_all(path.join(part)).unwrap();
        }
        Self(path)
    }

    /// One that is there.
    pub fn open(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        assert!(path.join("cur").is_dir(), "{} is no Maildir", path.display());
        Self(path)
    }

    /// Its files by the tokens of their messages: no token twice.
    pub fn files(&self) -> BTreeMap<String, PathBuf> {
        let mut found = BTreeMap::new();
        for part in ["cur", "new"] {
            for entry in fs::read_dir(self.0.join(part)).unwrap() {
                let path = entry.unwrap().path();
                let token = token(&fs::read(&path).unwrap()).unwrap();
                assert!(found.insert(token.clone(), path).is_none(), "{token} is there twice");
            }
        }
        found
    }

    /// Adds a message (with CRLF, which Maildir has not) and its flags.
    pub fn add(&self, name: &str, flags: &str, message: &[u8]) -> PathBuf {
        let path = self.0.join("cur").join(format!("{name}:2,{flags}"));
        let text = String::from_utf8(message.to_vec()).unwrap();
        fs::write(&path, text.replace("\r\n", "\n")).unwrap();
        path
    }
}

/// A file's flags, for example `FS`.
pub fn flags(path: &Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.split_once(":2,").map_or("", |(_, flags)| flags).to_string()
}

/// Renames a file to have these flags.
pub fn set_flags(path: &Path, flags: &str) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let base = name.split(":2,").next().unwrap();
    let cur = path.parent().unwrap().with_file_name("cur");
    fs::rename(path, cur.join(format!("{base}:2,{flags}"))).unwrap();
}

/// A message as it is on the wire: with CRLF.
pub fn read(path: &Path) -> Vec<u8> {
    let text = String::from_utf8(fs::read(path).unwrap()).unwrap();
    assert!(!text.contains('\r'), "{} has CR", path.display());
    text.replace('\n', "\r\n").into_bytes()
}

/// Without the header fields of these names, which programs add to what they copy.
pub fn without_fields(message: &[u8], names: &[&str]) -> Vec<u8> {
    let kept =
        |line: &&[u8]| !names.iter().any(|name| line.starts_with(format!("{name}: ").as_bytes()));
    message.split_inclusive(|octet| *octet == b'\n').filter(kept).collect::<Vec<_>>().concat()
}
