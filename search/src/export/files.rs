//! Files of an export, hashed while they are written.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::ExportError;

/// What a file has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Digests {
    /// Octets.
    pub size: u64,
    /// In hexadecimal.
    pub sha256: String,
    /// In hexadecimal.
    pub blake3: String,
}

/// A line of `files.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileLine {
    /// Below the export's folder, `/` between.
    pub path: String,
    /// What it has.
    #[serde(flatten)]
    pub digests: Digests,
}

/// Octets, hashed as they pass.
#[derive(Debug, Default)]
pub(super) struct Hasher {
    size: u64,
    sha256: Sha256,
    blake3: blake3::Hasher,
}

impl Hasher {
    pub(super) fn update(&mut self, octets: &[u8]) {
        self.size += octets.len() as u64;
        self.sha256.update(octets);
        self.blake3.update(octets);
    }

    pub(super) fn digests(self) -> Digests {
        let sha256 = hex(&self.sha256.finalize());
        Digests { size: self.size, sha256, blake3: self.blake3.finalize().to_hex().to_string() }
    }
}

/// In hexadecimal.
pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Writing {
    name: String,
    path: PathBuf,
    file: BufWriter<File>,
    hasher: Hasher,
}

impl Writing {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Octets so far.
    pub(super) fn size(&self) -> u64 {
        self.hasher.size
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), ExportError> {
        self.hasher.update(octets);
        self.file.write_all(octets).map_err(ExportError::io(&self.path))
    }

    /// Writes an object as a line of JSON.
    pub(super) fn line(&mut self, object: &impl Serialize) -> Result<(), ExportError> {
        let mut line = serde_json::to_vec(object)?;
        line.push(b'\n');
        self.write(&line)
    }

    fn close(mut self) -> Result<FileLine, ExportError> {
        self.file.flush().map_err(ExportError::io(&self.path))?;
        Ok(FileLine { path: self.name, digests: self.hasher.digests() })
    }
}

/// A folder with a list of what is in it.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    list: Writing,
    count: u64,
}

impl Files {
    /// Makes the folder, which must not be there.
    pub(super) fn begin(root: &Path) -> Result<Self, ExportError> {
        fs::create_dir(root).map_err(ExportError::io(root))?;
        let list = open(root, "files.jsonl")?;
        Ok(Self { root: root.to_owned(), list, count: 0 })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// A new file; folders above it are made.
    pub(super) fn open(&self, name: &str) -> Result<Writing, ExportError> {
        open(&self.root, name)
    }

    /// A file is done.
    pub(super) fn close(&mut self, file: Writing) -> Result<(), ExportError> {
        let line = file.close()?;
        self.count += 1;
        self.list.line(&line)
    }

    /// A whole file.
    pub(super) fn put(&mut self, name: &str, octets: &[u8]) -> Result<(), ExportError> {
        let mut file = self.open(name)?;
        file.write(octets)?;
        self.close(file)
    }

    /// The list is done: what it has, and how many files it names.
    pub(super) fn end(self) -> Result<(Digests, u64), ExportError> {
        Ok((self.list.close()?.digests, self.count))
    }
}

fn open(root: &Path, name: &str) -> Result<Writing, ExportError> {
    let path = root.join(name);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(ExportError::io(folder))?;
    }
    let file = File::options().write(true).create_new(true).open(&path);
    let file = BufWriter::with_capacity(128 * 1024, file.map_err(ExportError::io(&path))?);
    Ok(Writing { name: name.to_owned(), path, file, hasher: Hasher::default() })
}
