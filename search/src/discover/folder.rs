//! A job's files. Each is replaced as a whole, but for the hits, which only grow: how far they
//! count stands in the state, which is written behind them.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use redoubt_log::disk::replace_private;
use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, OperationId, Timestamp, Uid};
use redoubt_store::travel::Cursor;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::pace::Effort;
use super::{Asked, DiscoverError};

/// The most octets of a line of hits.
const MAX_LINE: u64 = 1 << 20;
/// Accounts and emails that could not be searched, of which each is told.
const TOLD: usize = 1000;

/// How far a job is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No record says yet that it is done.
    #[default]
    Asked,
    /// It works.
    Running,
    /// All is done but to say so in the log.
    Ending,
    /// It has done all.
    Completed,
    /// Somebody stopped it.
    Cancelled,
    /// It could not go on.
    Failed,
}

impl Phase {
    /// Whether nothing more happens.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Cancelled | Self::Failed)
    }
}

/// How far a job has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// How far it is.
    pub phase: Phase,
    /// What it ends as, once it ends.
    pub ends: Phase,
    /// The record that says that it began.
    pub record: Option<LogIndex>,
    /// Accounts that are done.
    pub accounts: u64,
    /// Where the account that it is at goes on.
    pub after: Option<Cursor>,
    /// Octets of the hits that count.
    pub hits: u64,
    /// Where the hits of the account that it is at begin.
    pub own: u64,
    /// Emails found, or exported.
    pub found: u64,
    /// Emails that an export could not have.
    pub failed: u64,
    /// Emails of an export of which some record is not proven.
    pub unproven: u64,
    /// Placements looked at.
    pub looked: u64,
    /// How much of it is done.
    pub effort: Effort,
    /// Accounts and emails that could not be looked at, the first thousand of them.
    pub not_searched: Vec<NotSearched>,
    /// How many these are in all.
    pub not_searched_count: u64,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// Why it failed, or what it waits for.
    pub why: Option<String>,
}

/// What could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotSearched {
    /// Of which account.
    pub account: AccountId,
    /// Which email; none for all of the account.
    pub email: Option<EmailId>,
    /// Why.
    pub why: String,
}

impl State {
    pub(super) fn not_searched(&mut self, what: NotSearched) {
        self.not_searched_count += 1;
        if self.not_searched.len() < TOLD {
            self.not_searched.push(what);
        }
    }
}

/// An email that was found: a line of `hits.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Whose.
    pub account: AccountId,
    /// Which.
    pub email: EmailId,
    /// Where it stands, or stood at last.
    pub mailbox: MailboxId,
    /// That mailbox's name.
    pub name: String,
    /// Its UID there.
    pub uid: Uid,
    /// Its flags and keywords there.
    pub flags: Vec<String>,
    /// SAVEDATE.
    pub saved: Timestamp,
    /// How it went, if it did.
    pub gone: Option<Gone>,
}

/// How an email went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// By which record.
    pub index: LogIndex,
    /// When.
    pub time: Timestamp,
    /// Whether with its mailbox.
    pub with_mailbox: bool,
}

impl Hit {
    /// As a line of the file.
    pub(super) fn line(&self) -> Result<Vec<u8>, DiscoverError> {
        let line = serde_json::to_vec(self);
        let mut line = line.map_err(|error| DiscoverError::NotNow(error.to_string()))?;
        line.push(b'\n');
        Ok(line)
    }
}

/// A job's folder.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) fn of(jobs: &Path, job: OperationId) -> Self {
        Self { path: jobs.join(job.to_string()) }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes it. Without `asked.json` it is none: that file comes last.
    pub(super) fn make(&self, asked: &Asked) -> Result<(), DiscoverError> {
        make_private(&self.path)?;
        self.save(&State::default())?;
        self.replace("asked.json", asked)?;
        let above = self.path.parent().unwrap_or(Path::new("."));
        File::open(above).and_then(|above| above.sync_all()).map_err(io(above))
    }

    /// Removes it; a crash leaves what is none any more.
    pub(super) fn remove(&self) -> Result<(), DiscoverError> {
        let asked = self.file("asked.json");
        fs::remove_file(&asked).map_err(io(&asked))?;
        File::open(&self.path).and_then(|folder| folder.sync_all()).map_err(io(&self.path))?;
        fs::remove_dir_all(&self.path).map_err(io(&self.path))
    }

    fn replace(&self, name: &str, object: &impl Serialize) -> Result<(), DiscoverError> {
        let path = self.file(name);
        let text = serde_json::to_vec(object)
            .map_err(|e| DiscoverError::Damaged(path.display().to_string(), e.to_string()))?;
        replace_private(&path, &text, 0o600).map_err(io(&path))
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, DiscoverError> {
        let path = self.file(name);
        let octets = match fs::read(&path) {
            Ok(octets) => octets,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(&path)(error)),
        };
        let read = serde_json::from_slice(&octets);
        let wrong = |e: serde_json::Error| damaged(&path, &e.to_string());
        read.map(Some).map_err(wrong)
    }

    /// `None` where there is no such job.
    pub(super) fn asked(&self) -> Result<Option<Asked>, DiscoverError> {
        self.read("asked.json")
    }

    pub(super) fn state(&self) -> Result<State, DiscoverError> {
        Ok(self.read("state.json")?.unwrap_or_default())
    }

    pub(super) fn save(&self, state: &State) -> Result<(), DiscoverError> {
        self.replace("state.json", state)
    }

    fn hits(&self) -> PathBuf {
        self.file("hits.jsonl")
    }

    /// Writes lines behind `at`, durably; what stands behind is what a crash left.
    pub(super) fn write(&self, at: u64, lines: &[u8]) -> Result<(), DiscoverError> {
        let path = self.hits();
        let write = || {
            let mut options = OpenOptions::new();
            let options = options.create(true).truncate(false).write(true).mode(0o600);
            let mut file = options.open(&path)?;
            file.set_len(at)?;
            file.seek(SeekFrom::Start(at))?;
            file.write_all(lines)?;
            file.sync_all()
        };
        write().map_err(io(&path))
    }

    /// Hits from `from` on and before `to`.
    pub(super) fn lines(&self, from: u64, to: u64) -> Result<Lines, DiscoverError> {
        let path = self.hits();
        if from >= to {
            return Ok(Lines { path, file: None, at: from, to });
        }
        let open = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            Ok(BufReader::new(file))
        };
        let file = open().map_err(io(&path))?;
        Ok(Lines { path, file: Some(file), at: from, to })
    }
}

/// Hits, one after the other.
pub(super) struct Lines {
    path: PathBuf,
    file: Option<BufReader<File>>,
    at: u64,
    to: u64,
}

impl Lines {
    /// Where the next one begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    fn read(&mut self) -> Result<Option<Hit>, DiscoverError> {
        let Some(file) = self.file.as_mut().filter(|_| self.at < self.to) else { return Ok(None) };
        let mut line = Vec::new();
        let read = file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        self.at += read.map_err(io(&self.path))? as u64;
        let hit = serde_json::from_slice(&line);
        hit.map(Some).map_err(|error| damaged(&self.path, &error.to_string()))
    }
}

impl Iterator for Lines {
    type Item = Result<Hit, DiscoverError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

/// Removes what has the name of a job and is none: one that was half made, or half removed.
pub(super) fn sweep(jobs: &Path) -> Result<(), DiscoverError> {
    for entry in fs::read_dir(jobs).map_err(io(jobs))? {
        let entry = entry.map_err(io(jobs))?;
        let is_job = entry.file_name().to_str().is_some_and(|n| n.parse::<OperationId>().is_ok());
        let path = entry.path();
        if is_job && !path.join("asked.json").try_exists().map_err(io(&path))? {
            fs::remove_dir_all(&path).map_err(io(&path))?;
        }
    }
    Ok(())
}

/// Makes a folder that only its owner can read.
pub(super) fn make_private(path: &Path) -> Result<(), DiscoverError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(io(path))
}

pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> DiscoverError {
    let path = path.display().to_string();
    move |error| DiscoverError::Io { path, error }
}

fn damaged(path: &Path, what: &str) -> DiscoverError {
    DiscoverError::Damaged(path.display().to_string(), what.to_owned())
}
