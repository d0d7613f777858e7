//! Ranges of the log: entries one behind the other, from one chain to the next.

use redoubt_log::chain;
use redoubt_log::id::{Hash, LogIndex, Term, Timestamp};
use redoubt_log::raft::{EntryKind, LogEntry, LogId};

use super::names::{RangeName, short};
use super::seal::{Cut, Kind};
use super::{Created, RepoError, Repository};

/// Octets before the entries.
const FIXED: usize = 16 + 8 + 8 + 8 + 32 + 8;
/// The most entries in one range.
pub const MAX_ENTRIES: u64 = 10_000;
/// The most octets of payload in one range.
pub const MAX_RANGE: usize = 16 << 20;

/// Entries of one history, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// The chain before its first entry.
    pub before: Hash,
    /// The effective time before its first entry.
    pub time_before: Timestamp,
    /// At least one, by rising index, without gaps.
    pub entries: Vec<LogEntry>,
}

impl Range {
    /// Its first and last entry.
    pub fn ends(&self) -> Option<(&LogEntry, &LogEntry)> {
        Some((self.entries.first()?, self.entries.last()?))
    }

    /// Its first entry; 0 for one without entries.
    pub fn first(&self) -> LogIndex {
        self.entries.first().map_or(LogIndex(0), |entry| entry.id.index)
    }

    /// Its name; `None` for one without entries.
    pub fn name(&self) -> Option<RangeName> {
        let (first, last) = self.ends()?;
        let (first, chain) = (first.id.index, short(&last.chain));
        Some(RangeName { first, last: last.id.index, chain })
    }

    fn encode(&self, lineage: &[u8; 16]) -> Vec<u8> {
        let Some((first, last)) = self.ends() else { return Vec::new() };
        let payload: usize = self.entries.iter().map(|entry| entry.payload.len() + 29).sum();
        let mut bytes = Vec::with_capacity(FIXED + payload);
        bytes.extend_from_slice(lineage);
        for number in [first.id.index.0, last.id.index.0, first.position] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.before.0);
        bytes.extend_from_slice(&self.time_before.0.to_le_bytes());
        self.entries.iter().for_each(|entry| encode_entry(entry, &mut bytes));
        bytes
    }
}

fn encode_entry(entry: &LogEntry, bytes: &mut Vec<u8>) {
    bytes.extend_from_slice(&entry.id.term.0.to_le_bytes());
    bytes.push(entry.kind as u8);
    bytes.extend_from_slice(&entry.stamp.0.to_le_bytes());
    bytes.extend_from_slice(&entry.time.0.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(entry.payload.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(&entry.payload);
}

/// Reads a range: each entry follows on the one before, and the chain over them
/// ends as the name says.
fn decode(name: &RangeName, lineage: &[u8; 16], bytes: &[u8]) -> Result<Range, &'static str> {
    let mut at = Cut(bytes);
    let short_of = "it was cut";
    if at.array::<16>().ok_or(short_of)? != *lineage {
        return Err("it is of another history");
    }
    let first = LogIndex(at.u64().ok_or(short_of)?);
    let last = LogIndex(at.u64().ok_or(short_of)?);
    let mut position = at.u64().ok_or(short_of)?;
    let before = Hash(at.array().ok_or(short_of)?);
    let time_before = Timestamp(at.i64().ok_or(short_of)?);
    if (first, last) != (name.first, name.last) {
        return Err("its name says other entries than it has");
    }
    let (mut chain, mut time, mut next) = (before, time_before, first.0);
    let mut entries = Vec::new();
    while !at.0.is_empty() {
        let entry = entry(&mut at, next, position, &mut chain).ok_or(short_of)?;
        if entry.time < time {
            return Err("its entries' times do not rise");
        }
        time = entry.time;
        (next, position) = (next.saturating_add(1), position.saturating_add(1));
        entries.push(entry);
    }
    match next == last.0.saturating_add(1) && short(&chain) == name.chain {
        true => Ok(Range { before, time_before, entries }),
        false => Err("its entries do not have the chain that its name says"),
    }
}

fn entry(at: &mut Cut<'_>, index: u64, position: u64, chain: &mut Hash) -> Option<LogEntry> {
    let id = LogId { term: Term(at.u64()?), index: LogIndex(index) };
    let number = at.u8()?;
    let kind = EntryKind::from_number(number)?;
    let (stamp, time) = (Timestamp(at.i64()?), Timestamp(at.i64()?));
    let len = at.u32()? as usize;
    let payload = at.take(len)?;
    let leaf = chain::leaf(id.term, id.index, number, time, &chain::content(payload));
    *chain = chain::link(chain, &leaf);
    let payload = bytes::Bytes::copy_from_slice(payload);
    Some(LogEntry { id, kind, time, stamp, payload, chain: *chain, position })
}

fn lineage_bytes(lineage: &str) -> Result<[u8; 16], RepoError> {
    let wrong = || RepoError::damaged(lineage, "a lineage has 32 hexadecimal digits");
    super::seal::unhex(lineage).ok_or_else(wrong)
}

impl Repository {
    /// Writes a range; the blobs that it names must be there.
    ///
    /// # Errors
    /// [`RepoError::Conflict`], [`RepoError::Unreachable`].
    pub async fn put_range(&self, lineage: &str, range: &Range) -> Result<Created, RepoError> {
        let empty = || RepoError::Source("a range without entries".to_owned());
        let name = range.name().ok_or_else(empty)?;
        let bytes = range.encode(&lineage_bytes(lineage)?);
        self.put(Kind::Range, &name.name(lineage), &bytes).await
    }

    /// Reads a range, verified.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn range(&self, lineage: &str, name: &RangeName) -> Result<Range, RepoError> {
        let text = name.name(lineage);
        let bytes = self.get(Kind::Range, &text).await?;
        let range = decode(name, &lineage_bytes(lineage)?, &bytes);
        range.map_err(|problem| RepoError::damaged(&text, problem))
    }

    /// A range; where it went since it was listed, the larger one that has all of it.
    ///
    /// # Errors
    /// [`RepoError::Missing`] where there is none, [`RepoError::Damaged`].
    pub async fn range_or_larger(
        &self,
        lineage: &str,
        name: &RangeName,
    ) -> Result<Range, RepoError> {
        let missing = match self.range(lineage, name).await {
            Err(error @ RepoError::Missing(_)) => error,
            read => return read,
        };
        let from = LogIndex(name.first.0.saturating_sub(MAX_ENTRIES));
        let names = self.ranges_from(lineage, from).await?;
        let has = |other: &&RangeName| other.first <= name.first && other.last >= name.last;
        match names.iter().find(has) {
            Some(larger) => self.range(lineage, larger).await,
            None => Err(missing),
        }
    }

    /// The ranges of a history that begin at an entry or behind it, by their names.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn ranges_from(
        &self,
        lineage: &str,
        from: LogIndex,
    ) -> Result<Vec<RangeName>, RepoError> {
        // Sorts before the name of any range that begins there.
        let after = format!("{}/{:020}", super::names::log_of(lineage), from.0);
        let listed = self.objects.list(&super::names::log_of(lineage), Some(&after)).await?;
        Ok(listed.iter().filter_map(|object| RangeName::parse(object.last())).collect())
    }

    /// The ranges of a history by their names, from the one behind `after` on.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn ranges(
        &self,
        lineage: &str,
        after: Option<&RangeName>,
    ) -> Result<Vec<RangeName>, RepoError> {
        let after = after.map(|name| name.name(lineage));
        let listed = self.objects.list(&super::names::log_of(lineage), after.as_deref()).await?;
        Ok(listed.iter().filter_map(|object| RangeName::parse(object.last())).collect())
    }
}
