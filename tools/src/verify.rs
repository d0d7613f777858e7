//! Everything that can be checked of a node: invariants of the views, every
//! blob that is named, every frame of every pack, every entry of the log.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Mutex;

use redoubt_log::blob::BlobStore;
use redoubt_log::id::{BlobId, Hash, LogIndex};
use redoubt_log::raft::Node;
use redoubt_store::check::{Violation, check};
use redoubt_store::mailstore::Mailstore;
use redoubt_store::view::View;
use serde::{Deserialize, Serialize};

/// More findings than this are not listed.
const MOST_FINDINGS: usize = 1000;
/// Octets of log entries read at one time.
const LOG_PIECE: usize = 4 * 1024 * 1024;

/// What was checked and what is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The index that the views were checked at.
    pub index: LogIndex,
    /// The state's hash there.
    pub state_hash: Hash,
    /// Log entries read and verified.
    pub entries: u64,
    /// Different blobs that emails name, read and hashed.
    pub blobs: u64,
    /// Frames of packs verified.
    pub frames: u64,
    /// What is wrong; empty is clean.
    pub findings: Vec<Finding>,
}

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which check found it.
    pub check: String,
    /// What it is about.
    pub object: String,
    /// What is wrong.
    pub what: String,
}

impl From<Violation> for Finding {
    fn from(violation: Violation) -> Self {
        Self { check: violation.check.into(), object: violation.object, what: violation.what }
    }
}

/// Checks a mailstore, running or not. Blocks, and reads everything.
///
/// # Errors
/// When the views cannot be read at all.
pub fn verify(mailstore: &Mailstore, view: &View) -> anyhow::Result<Report> {
    let blobs = Blobs { store: mailstore.blobs(), whole: Mutex::default() };
    let violations = check(view, &|id| blobs.check(id), MOST_FINDINGS)?;
    let mut findings: Vec<Finding> = violations.into_iter().map(Finding::from).collect();
    let entries = read_log(mailstore.node(), &mut findings);
    let frames = scrub(mailstore.blobs(), &mut findings);
    Ok(Report {
        index: view.index(),
        state_hash: view.state_hash()?,
        entries,
        blobs: blobs.count(),
        frames,
        findings,
    })
}

/// Each blob is read once, however many emails name it.
struct Blobs<'a> {
    store: &'a BlobStore,
    whole: Mutex<HashSet<BlobId>>,
}

impl Blobs<'_> {
    fn check(&self, id: &BlobId) -> Result<(), String> {
        if self.known().contains(id) {
            return Ok(());
        }
        self.read(id).map_err(|error| error.to_string())?;
        self.known().insert(*id);
        Ok(())
    }

    /// From end to end in pieces; the hash is compared at the end.
    fn read(&self, id: &BlobId) -> anyhow::Result<()> {
        let reader = self.store.reader(id)?;
        let mut hasher = blake3::Hasher::new();
        reader.for_each_chunk(0, reader.len(), &mut |piece| {
            hasher.update(piece);
            ControlFlow::Continue(())
        })?;
        let found = BlobId(*hasher.finalize().as_bytes());
        anyhow::ensure!(found == *id, "its octets hash to {found}");
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashSet<BlobId>> {
        self.whole.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn count(&self) -> u64 {
        self.known().len() as u64
    }
}

fn read_log(node: &Node, findings: &mut Vec<Finding>) -> u64 {
    let status = node.status();
    let mut next = status.purged.map_or(0, |id| id.index.0 + 1);
    let end = status.applied.map_or(0, |applied| applied.id.index.0 + 1);
    let mut entries = 0;
    while next < end {
        match node.read(LogIndex(next)..LogIndex(end), LOG_PIECE) {
            Ok(read) if read.is_empty() => {
                let what = "the log gives no more entries".into();
                findings.push(Finding {
                    check: "log".into(),
                    object: format!("entry {next}"),
                    what,
                });
                return entries;
            }
            Ok(read) => {
                entries += read.len() as u64;
                next += read.len() as u64;
            }
            Err(error) => {
                let what = error.to_string();
                findings.push(Finding {
                    check: "log".into(),
                    object: format!("entry {next}"),
                    what,
                });
                return entries;
            }
        }
    }
    entries
}

fn scrub(blobs: &BlobStore, findings: &mut Vec<Finding>) -> u64 {
    match blobs.scrub(&mut |_| ControlFlow::Continue(())) {
        Ok(report) => {
            findings.extend(report.damaged.iter().map(|error| Finding {
                check: "pack".into(),
                object: "frame".into(),
                what: error.to_string(),
            }));
            report.frames
        }
        Err(error) => {
            let what = error.to_string();
            findings.push(Finding { check: "pack".into(), object: "packs".into(), what });
            0
        }
    }
}
