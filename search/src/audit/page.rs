//! A page of the audit trail: bounded in what is read of the log and in what is told.

use std::ops::Range;

use redoubt_log::audit::{Bound, Entries, Event, Filter, Touched, first_at, is_past};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, BlobId, LogIndex};
use redoubt_log::record::{Change, Principal};
use redoubt_log::segment::{LogEntry, LogError, ReadOnlyLog};
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::view::View;
use serde::{Deserialize, Serialize};

use super::line::{Line, Named};
use super::{before, outcome};
use crate::discover::{self, Work};

/// Octets of the log that are read at one time.
const READ: usize = 1 << 20;
/// Octets of the log that a page looks at before it says how far it came.
const LOOK: usize = 16 << 20;
/// The most lines of a page.
pub const MOST: usize = 1000;
/// The most characters of a reason or query that a line tells.
const MOST_TOLD: usize = 2000;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The log cannot be read there.
    #[error("the log cannot be read: {0}")]
    Log(String),
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<LogError> for AuditError {
    fn from(error: LogError) -> Self {
        Self::Log(error.to_string())
    }
}

/// What an administrator was about to look at, as the salted blob of its record has it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadWhy {
    /// The mailbox, email or query.
    pub what: Option<String>,
    /// Why, as typed.
    pub reason: Option<String>,
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// By what the records say.
    pub filter: Filter,
    /// From here on.
    pub from: Option<Bound>,
    /// Up to here, included.
    pub until: Option<Bound>,
    /// Only behind this entry: where the page before ended.
    pub after: Option<LogIndex>,
    /// Only what has this in its reason, in any case; an empty text takes any reason.
    pub reason: Option<String>,
    /// Only what ended so.
    pub outcome: Option<String>,
    /// At most so many lines.
    pub limit: usize,
}

/// From where on there is something to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begins {
    /// The first entry that the log has; those before were purged.
    pub log: u64,
    /// Its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// From where on outcomes, and what was before, are known; absent: for all of the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<u64>,
}

/// Some lines, and how to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// In the order of the log.
    pub items: Vec<Line>,
    /// The entry behind which to go on; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// The last entry that is there: pages that follow stop at it.
    pub upto: u64,
    /// From where on there is something to tell.
    pub begins: Begins,
}

/// A running node's log, as far as it is applied, with its views.
#[derive(Debug)]
pub struct Stored<'a> {
    /// The store.
    pub store: &'a Mailstore,
    /// A view of it.
    pub view: &'a View,
}

impl Entries for Stored<'_> {
    type Error = AuditError;

    fn first(&self) -> LogIndex {
        let purged = self.store.node().status().purged;
        LogIndex(purged.map_or(0, |purged| purged.index.0.saturating_add(1)))
    }

    fn end(&self) -> LogIndex {
        LogIndex(self.view.applied().map_or(0, |applied| applied.index.0.saturating_add(1)))
    }

    fn read(&self, range: Range<LogIndex>, max: usize) -> Result<Vec<LogEntry>, AuditError> {
        let read = self.store.node().read(range, max);
        read.map_err(|error| AuditError::Log(error.to_string()))
    }
}

/// A log on the disk, without a server.
#[derive(Debug)]
pub struct OnDisk(pub ReadOnlyLog);

impl Entries for OnDisk {
    type Error = AuditError;

    fn first(&self) -> LogIndex {
        LogIndex(self.0.purged().map_or(0, |purged| purged.index.0.saturating_add(1)))
    }

    fn end(&self) -> LogIndex {
        LogIndex(self.0.last().map_or(0, |last| last.index.0.saturating_add(1)))
    }

    fn read(&self, range: Range<LogIndex>, max: usize) -> Result<Vec<LogEntry>, AuditError> {
        Ok(self.0.read(range, max)?)
    }
}

/// What a log is asked beside its entries.
pub trait Beside: Entries<Error = AuditError> {
    /// Adds to a line what the views know; `None` where that shows that it is not asked for.
    ///
    /// # Errors
    /// The state cannot be read.
    fn complete(
        &self,
        line: Line,
        event: &Event,
        asked: &Asked,
    ) -> Result<Option<Line>, AuditError>;

    /// Adds to whom a record touches what stands elsewhere.
    ///
    /// # Errors
    /// The state cannot be read.
    fn touched(&self, event: &Event) -> Touched;

    /// From where on the history tells what came of records.
    ///
    /// # Errors
    /// The state cannot be read.
    fn history(&self) -> Result<Option<u64>, AuditError>;
}

impl Beside for OnDisk {
    fn complete(&self, line: Line, _: &Event, _: &Asked) -> Result<Option<Line>, AuditError> {
        Ok(Some(line))
    }

    fn touched(&self, event: &Event) -> Touched {
        event.touched()
    }

    fn history(&self) -> Result<Option<u64>, AuditError> {
        Ok(None)
    }
}

impl Beside for Stored<'_> {
    fn complete(
        &self,
        mut line: Line,
        event: &Event,
        asked: &Asked,
    ) -> Result<Option<Line>, AuditError> {
        (line.outcome, line.detail) = outcome::of(self.view, event)?;
        if asked.outcome.is_some() && asked.outcome != line.outcome {
            return Ok(None);
        }
        self.say_why(&mut line, event);
        let fits = |wanted: &String| {
            let reason = line.reason.as_deref().map(str::to_lowercase);
            reason.is_some_and(|reason| reason.contains(&wanted.to_lowercase()))
        };
        if !asked.reason.as_ref().is_none_or(fits) {
            return Ok(None);
        }
        (line.before, line.after) = before::of(self.view, event)?;
        self.name(&mut line, event)?;
        Ok(Some(line))
    }

    fn touched(&self, event: &Event) -> Touched {
        let mut touched = event.touched();
        if let Some(Ok(asked)) = self.discovery(event) {
            touched.accounts.extend(match asked.work {
                Work::Search(search) => search.accounts,
                Work::Export(export) => export.of.accounts,
            });
        }
        touched
    }

    fn history(&self) -> Result<Option<u64>, AuditError> {
        Ok(self.view.history_floor(AccountId(0))?.map(|row| row.floor.0))
    }
}

impl Stored<'_> {
    /// What a search or export was asked, where the event begins one.
    fn discovery(&self, event: &Event) -> Option<Result<discover::Asked, String>> {
        let Change::DiscoveryBegin(begin) = &event.record.as_ref()?.change else { return None };
        let text = self.store.salted(&begin.asked).map_err(|error| error.to_string());
        Some(text.and_then(|text| serde_json::from_slice(&text).map_err(|e| e.to_string())))
    }

    fn say_why(&self, line: &mut Line, event: &Event) {
        match self.discovery(event) {
            Some(Ok(asked)) => {
                let of = match asked.work {
                    Work::Search(search) => search,
                    Work::Export(export) => export.of,
                };
                line.reason = asked.reason;
                line.what += &short(&format!("; {:?} of {}", of.query, of.scope.join(" ")));
            }
            Some(Err(error)) => line.what += &format!("; what was asked is not readable: {error}"),
            None if self.say_read(line, event) => {}
            None => {
                let blob = event.record.as_ref().and_then(|record| record.why.reason);
                line.reason = blob.map(|blob| self.typed(&blob));
            }
        }
        line.reason = line.reason.take().map(|reason| short(&reason));
    }

    /// What an administrator looked at, and why; `false` where the event is none of these.
    fn say_read(&self, line: &mut Line, event: &Event) -> bool {
        let change = event.record.as_ref().map(|record| &record.change);
        let Some(Change::MailRead(read)) = change else { return false };
        let asked: Option<ReadWhy> =
            self.store.salted(&read.asked).ok().and_then(|text| serde_json::from_slice(&text).ok());
        match asked {
            Some(ReadWhy { what, reason }) => {
                line.what += &what.map(|what| short(&format!("; {what}"))).unwrap_or_default();
                line.reason = reason;
            }
            None => line.what += "; what was asked is not readable",
        }
        true
    }

    fn typed(&self, blob: &BlobId) -> String {
        match self.store.salted(blob) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => format!("(not readable: {error})"),
        }
    }

    /// Puts addresses where accounts stand.
    fn name(&self, line: &mut Line, event: &Event) -> Result<(), AuditError> {
        let name = |id: AccountId| -> Result<Option<String>, AuditError> {
            Ok(self.view.account(id)?.map(|account| account.address.to_string()))
        };
        for Named { id, address } in &mut line.accounts {
            *address = name(*id)?;
        }
        let Some(record) = &event.record else { return Ok(()) };
        match record.actor.principal {
            Principal::Account(id) => line.actor = name(id)?.unwrap_or_else(|| line.actor.clone()),
            Principal::Person(id) => {
                let told = name(id)?.map(|address| format!("token of {address}"));
                line.actor = told.unwrap_or_else(|| line.actor.clone());
            }
            _ => {}
        }
        if let Some(id) = record.actor.on_behalf_of {
            line.on_behalf_of = name(id)?.or_else(|| line.on_behalf_of.clone());
        }
        Ok(())
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MOST_TOLD) {
        Some((end, _)) => format!("{}\u{2026}", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The next lines that are asked for. Blocks.
///
/// # Errors
/// The log or the state cannot be read.
pub fn page<L: Beside>(log: &L, asked: &Asked) -> Result<Page, AuditError> {
    let end = log.end();
    let mut from = first_at(log, asked.from)?;
    if let Some(after) = asked.after {
        from = from.max(LogIndex(after.0.saturating_add(1)));
    }
    let upto = end.0.saturating_sub(1);
    let begins = begins(log)?;
    let mut page = Page { items: Vec::new(), next: None, upto, begins };
    let (mut looked, limit) = (0, asked.limit.clamp(1, MOST));
    while from < end {
        let entries = log.read(from..end, READ)?;
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            if is_past(entry, asked.until) {
                return Ok(page);
            }
            from = LogIndex(entry.id.index.0.saturating_add(1));
            looked += entry.payload.len();
            page.items.extend(line(log, entry, asked)?);
            if page.items.len() >= limit || looked >= LOOK {
                page.next = Some(entry.id.index.0).filter(|_| from < end);
                return Ok(page);
            }
        }
    }
    Ok(page)
}

fn begins<L: Beside>(log: &L) -> Result<Begins, AuditError> {
    let first = log.first();
    let time = match first < log.end() {
        true => log.read(first..LogIndex(first.0.saturating_add(1)), 0)?.pop(),
        false => None,
    };
    let time = time.map(|entry| rfc3339(entry.time));
    Ok(Begins { log: first.0, time, history: log.history()? })
}

fn line<L: Beside>(log: &L, entry: &LogEntry, asked: &Asked) -> Result<Option<Line>, AuditError> {
    let Some(event) = Event::of(entry).filter(|event| asked.filter.takes(event)) else {
        return Ok(None);
    };
    let touched = log.touched(&event);
    if !asked.filter.takes_of(&touched) {
        return Ok(None);
    }
    log.complete(Line::of(&event, &touched), &event, asked)
}
