//! Keys and certificates of a node, sealed in one file for a second place: what disaster
//! recovery needs beside the repository. docs/format.md, "Bundle of keys".

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};

use argon2::{Algorithm, Argon2, Params, Version};
use serde::{Deserialize, Serialize};

use super::RepoError;
use super::keys::MasterKey;
use super::seal::{Kind, SealKey, hex, look, open, seal, unhex};

const WORD: &str = "redoubt-keys-1";
/// What a bundle is made with: 64 MiB, three rounds (RFC 9106, section 4).
const MEMORY: u32 = 64 << 10;
const ROUNDS: u32 = 3;
/// The most memory, in KiB, and rounds that a file may ask for.
const MOST_MEMORY: u32 = 1 << 20;
const MOST_ROUNDS: u32 = 20;
/// A bundle is some keys and certificates.
const MAX_FILE: u64 = 16 << 20;
const NAME: &str = "keys";

/// What opens a bundle.
#[derive(Clone)]
pub enum Opener {
    /// The repository's key.
    Key(MasterKey),
    /// Words that somebody knows.
    Passphrase(String),
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Key(key) => write!(f, "Key({})", key.id()),
            Self::Passphrase(_) => f.write_str("Passphrase"),
        }
    }
}

/// A file in a bundle.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Its path below the data directory, or where it lay outside.
    pub path: String,
    /// Its octets in hexadecimal.
    octets: String,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kept({})", self.path)
    }
}

/// Keys and certificates of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bundle {
    /// When it was made, in milliseconds since 1970.
    pub made: i64,
    /// The history that the node belonged to.
    pub lineage: String,
    /// Its files.
    pub files: Vec<Kept>,
}

impl Bundle {
    /// An empty one.
    pub fn new(lineage: &str, made: i64) -> Self {
        Self { made, lineage: lineage.to_owned(), files: Vec::new() }
    }

    /// Adds a file, under the name that it shall have.
    ///
    /// # Errors
    /// [`RepoError::KeyFile`].
    pub fn add(&mut self, path: &str, file: &Path) -> Result<(), RepoError> {
        let octets = read(file)?;
        self.files.push(Kept { path: path.to_owned(), octets: hex(&octets) });
        Ok(())
    }

    /// Writes it sealed, to a file that is not there.
    ///
    /// # Errors
    /// [`RepoError::KeyFile`].
    pub fn write(&self, to: &Path, with: &Opener) -> Result<(), RepoError> {
        let json = serde_json::to_vec(self).map_err(|error| wrong(to, error))?;
        let (line, key) = match with {
            Opener::Key(master) => (format!("{WORD} key {}\n", master.id()), master.0.clone()),
            Opener::Passphrase(words) => {
                let salt: [u8; 16] = rand::random();
                let line = format!("{WORD} argon2id {MEMORY} {ROUNDS} {}\n", hex(&salt));
                (line, stretched(words, MEMORY, ROUNDS, &salt).ok_or_else(|| wrong(to, "argon2"))?)
            }
        };
        let sealed = seal(Kind::Keys, NAME, Some(&key), &json)?;
        write_new(to, &[line.into_bytes(), sealed].concat()).map_err(|error| wrong(to, error))
    }

    /// Reads one.
    ///
    /// # Errors
    /// [`RepoError::KeyFile`] when it is none, or does not open so.
    pub fn read(from: &Path, with: &Opener) -> Result<Self, RepoError> {
        let octets = read(from)?;
        let end = octets.iter().position(|octet| *octet == b'\n');
        let (line, sealed) = octets.split_at(end.map_or(0, |end| end + 1));
        let line = std::str::from_utf8(line).unwrap_or_default();
        let key = key_of(line, with).map_err(|problem| wrong(from, problem))?;
        look(NAME, sealed).map_err(|_| wrong(from, "it is damaged"))?;
        let plain = open(Kind::Keys, NAME, sealed, true, |id| (*id == key.id).then_some(&key));
        let plain = plain.map_err(|_| wrong(from, "this key or passphrase does not open it"))?;
        serde_json::from_slice(&plain).map_err(|error| wrong(from, error))
    }

    /// Writes its files below a folder, each only where there is none. Those that lay outside
    /// of the data directory come into `outside/`. Gives which were written.
    ///
    /// # Errors
    /// [`RepoError::KeyFile`]; what was written stays.
    pub fn unpack(&self, into: &Path) -> Result<Vec<(PathBuf, bool)>, RepoError> {
        let mut done = Vec::new();
        for file in &self.files {
            let path =
                place(into, &file.path).ok_or_else(|| wrong(into, "a path leads outside"))?;
            let octets = octets_of(&file.octets).ok_or_else(|| wrong(&path, "it does not read"))?;
            let folder = path.parent().unwrap_or(into);
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|error| wrong(folder, error))?;
            let written = match write_new(&path, &octets) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
                written => written.map(|()| true).map_err(|error| wrong(&path, error))?,
            };
            done.push((path, written));
        }
        Ok(done)
    }
}

/// Where a file goes: whoever made the bundle must not write elsewhere.
fn place(into: &Path, path: &str) -> Option<PathBuf> {
    let outside = path.starts_with('/');
    let path = Path::new(path.trim_start_matches('/'));
    let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
    let below = if outside { into.join("outside").join(path) } else { into.join(path) };
    (plain && path.components().next().is_some()).then_some(below)
}

fn octets_of(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let octet = |pair: &[u8; 2]| {
        let [octet] = unhex::<1>(std::str::from_utf8(pair).ok()?)?;
        Some(octet)
    };
    rest.is_empty().then(|| pairs.iter().map(octet).collect::<Option<Vec<u8>>>())?
}

fn key_of(line: &str, with: &Opener) -> Result<SealKey, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match (words.as_slice(), with) {
        ([WORD, "key", id], Opener::Key(master)) if *id == master.id() => Ok(master.0.clone()),
        ([WORD, "key", id], _) => Err(format!("the repository's key {id} opens it")),
        ([WORD, "argon2id", memory, rounds, salt], Opener::Passphrase(words)) => {
            let memory = memory.parse().ok().filter(|kib| *kib <= MOST_MEMORY);
            let rounds = rounds.parse().ok().filter(|rounds| *rounds <= MOST_ROUNDS);
            let known = memory.zip(rounds).zip(unhex::<16>(salt));
            let key =
                known.and_then(|((memory, rounds), salt)| stretched(words, memory, rounds, &salt));
            key.ok_or_else(|| "its first line does not read".to_owned())
        }
        ([WORD, "argon2id", ..], _) => Err("a passphrase opens it".to_owned()),
        _ => Err("it is no bundle of keys".to_owned()),
    }
}

fn stretched(words: &str, memory: u32, rounds: u32, salt: &[u8; 16]) -> Option<SealKey> {
    let params = Params::new(memory, rounds, 1, Some(32)).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = [0; 32];
    argon2.hash_password_into(words.as_bytes(), salt, &mut key).ok()?;
    Some(SealKey::new(key))
}

fn read(file: &Path) -> Result<Vec<u8>, RepoError> {
    let len = fs::metadata(file).map_err(|error| wrong(file, error))?.len();
    if len > MAX_FILE {
        return Err(wrong(file, "it is too large for keys"));
    }
    fs::read(file).map_err(|error| wrong(file, error))
}

fn write_new(path: &Path, octets: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(octets)?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    fs::File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn wrong(path: &Path, problem: impl ToString) -> RepoError {
    RepoError::KeyFile { path: path.display().to_string(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_bundle_opens_with_what_it_was_sealed_with_alone_and_overwrites_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("secret"), b"private octets").unwrap();
        let mut bundle = Bundle::new("00", 5);
        bundle.add("keys/a.key", &at("secret")).unwrap();
        bundle.add("/etc/tls/key.pem", &at("secret")).unwrap();
        let key = |name: &str| Opener::Key(MasterKey::make(&at(name)).unwrap());
        let (one, other) = (key("one"), key("other"));
        let words = |text: &str| Opener::Passphrase(text.to_owned());
        for (name, with, wrong) in [
            ("by-key", one.clone(), vec![other, words("x")]),
            ("by-words", words("right"), vec![words("wrong"), one]),
        ] {
            bundle.write(&at(name), &with).unwrap();
            assert!(bundle.write(&at(name), &with).is_err(), "it is there");
            assert_eq!(Bundle::read(&at(name), &with).unwrap(), bundle);
            wrong.iter().for_each(|with| assert!(Bundle::read(&at(name), with).is_err()));
            let mut octets = fs::read(at(name)).unwrap();
            let needle = hex(b"private");
            assert!(!octets.windows(needle.len()).any(|text| text == needle.as_bytes()));
            let last = octets.len() - 40;
            *octets.get_mut(last).unwrap() ^= 1;
            fs::write(at("bad"), octets).unwrap();
            assert!(Bundle::read(&at("bad"), &with).is_err());
        }
        let into = at("new");
        let done = bundle.unpack(&into).unwrap();
        assert!(done.iter().all(|(_, written)| *written));
        assert_eq!(fs::read(into.join("keys/a.key")).unwrap(), b"private octets");
        assert!(into.join("outside/etc/tls/key.pem").is_file());
        assert!(bundle.unpack(&into).unwrap().iter().all(|(_, written)| !written));
    }

    #[test]
    fn no_path_leads_out_of_the_folder() {
        let into = Path::new("/x");
        assert_eq!(place(into, "a/b"), Some("/x/a/b".into()));
        assert_eq!(place(into, "/a/b"), Some("/x/outside/a/b".into()));
        for wrong in ["", "/", "..", "a/../../b", "/../b"] {
            assert_eq!(place(into, wrong), None, "{wrong}");
        }
    }
}
