//! The end of an export: its proof, and then its name.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use redoubt_log::id::Hash;
use roaring::RoaringTreemap;
use serde::Deserialize;

use super::ExportError;
use super::manifest::Counts;
use crate::heads::{Proven, SignedHead};

/// An export without its proof.
#[derive(Debug)]
pub struct Closed {
    pub(super) dir: PathBuf,
    pub(super) root: PathBuf,
    pub(super) hash: Hash,
    pub(super) counts: Counts,
    pub(super) records: RoaringTreemap,
    pub(super) bare: u64,
    pub(super) without_records: bool,
}

/// What is read again of a line of `emails.jsonl`.
#[derive(Deserialize)]
struct Named {
    records: Vec<u64>,
}

impl Closed {
    /// BLAKE3 of its manifest: what the log is told.
    pub fn manifest(&self) -> Hash {
        self.hash
    }

    /// What came of it.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Writes the proof. `own` is the record that has the manifest's hash; `prove` gives records
    /// by rising index.
    ///
    /// # Errors
    /// [`ExportError`], and that of `prove`.
    pub fn prove<E: From<ExportError>>(
        mut self,
        head: &SignedHead,
        own: u64,
        mut prove: impl FnMut(u64) -> Result<Proven, E>,
    ) -> Result<Whole, E> {
        self.records.insert(own);
        let folder = self.root.join("proof");
        fs::create_dir(&folder).map_err(ExportError::io(&folder))?;
        let path = folder.join("records.jsonl");
        let file = File::create(&path).map_err(ExportError::io(&path))?;
        let (mut file, mut unproven) = (BufWriter::new(file), RoaringTreemap::new());
        for index in &self.records {
            let mut proven = prove(index)?;
            match &mut proven.proof {
                Some(proof) if self.without_records && index != own => proof.withhold(),
                Some(_) => {}
                None => drop(unproven.insert(index)),
            }
            let mut line = serde_json::to_vec(&proven).map_err(ExportError::from)?;
            line.push(b'\n');
            file.write_all(&line).map_err(ExportError::io(&path))?;
        }
        file.flush().map_err(ExportError::io(&path))?;
        let path = folder.join("head.txt");
        fs::write(&path, head.to_string()).map_err(ExportError::io(&path))?;
        let unproven = self.naming(&unproven)?;
        Ok(Whole { dir: self.dir, root: self.root, unproven })
    }

    /// Emails that name no record, or one of these.
    fn naming(&self, records: &RoaringTreemap) -> Result<u64, ExportError> {
        if records.is_empty() {
            return Ok(self.bare);
        }
        let path = self.root.join("emails.jsonl");
        let file = File::open(&path).map_err(ExportError::io(&path))?;
        let mut count = self.bare;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(ExportError::io(&path))?;
            let named: Named = serde_json::from_str(&line)?;
            count += u64::from(named.records.iter().any(|index| records.contains(*index)));
        }
        Ok(count)
    }
}

/// An export with its proof, still beside its place.
#[derive(Debug)]
pub struct Whole {
    dir: PathBuf,
    root: PathBuf,
    unproven: u64,
}

impl Whole {
    /// Emails of which some record has no proof.
    pub fn unproven(&self) -> u64 {
        self.unproven
    }

    /// Gives the folder its name. Everything is on the disk before.
    ///
    /// # Errors
    /// [`ExportError::Io`]; [`ExportError::Exists`].
    pub fn publish(self) -> Result<PathBuf, ExportError> {
        let Self { dir, root, .. } = self;
        let folder = File::open(&root).map_err(ExportError::io(&root))?;
        let synced = rustix::fs::syncfs(&folder).map_err(std::io::Error::from);
        synced.map_err(ExportError::io(&root))?;
        if dir.symlink_metadata().is_ok() {
            return Err(ExportError::Exists(dir.display().to_string()));
        }
        fs::rename(&root, &dir).map_err(ExportError::io(&dir))?;
        let above = dir.parent().filter(|above| !above.as_os_str().is_empty());
        let above = above.unwrap_or(Path::new("."));
        let synced = File::open(above).and_then(|above| above.sync_all());
        synced.map_err(ExportError::io(above))?;
        Ok(dir)
    }
}
