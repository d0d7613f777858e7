//! Whether a log is still the one of which heads were kept: chain and tree are computed anew from
//! its entries, and each head must be what the log was at its size. docs/audit.md.

use redoubt_log::audit::Entries;
use redoubt_log::chain::{Head, content, leaf};
use redoubt_log::id::{Hash, LogIndex};
use redoubt_log::segment::LogEntry;
use serde::{Deserialize, Serialize};

use super::page::AuditError;
use crate::heads::{Checkpoint, PublicKey, SignedHead};

/// Octets of the log that are read at one time.
const READ: usize = 4 << 20;
/// The most heads that are checked at one time.
pub const MOST_HEADS: usize = 100_000;

/// What a log is to a head that was kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fits {
    /// The log begins with exactly what the head was signed over.
    Yes,
    /// Something up to there is not what it was.
    Differs,
    /// The log ends before it.
    BeyondEnd,
    /// The log begins behind it, so that nothing can be said.
    BeforeLog,
    /// It is of another history.
    OtherHistory,
    /// None of the given keys signed it.
    NotSigned,
}

/// A head, and what the log is to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// After which entry it was signed.
    pub index: u64,
    /// Entries that it is over.
    pub size: u64,
    /// That entry's time.
    pub time: String,
    /// Whether the log fits.
    pub fits: Fits,
}

/// Between which heads the first thing was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// Up to this entry all is as it was; absent: no earlier head fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Something up to this entry is not as it was.
    pub upto: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// All heads, by their size.
    pub heads: Vec<Checked>,
    /// Where the first thing differs, if one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub difference: Option<Difference>,
    /// Where the log is not even in itself what it says, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
    /// The first entry that was read.
    pub first: u64,
    /// Entries that were read.
    pub entries: u64,
    /// The last entry.
    pub last: Option<u64>,
    /// The root over all of them, as it is now.
    pub root: Hash,
}

impl Report {
    /// Whether every head fits.
    pub fn proven(&self) -> bool {
        self.broken.is_none() && self.heads.iter().all(|head| head.fits == Fits::Yes)
    }

    /// Whether all that is missing is what the log has not any more.
    pub fn only_before(&self) -> bool {
        let fine = |head: &Checked| matches!(head.fits, Fits::Yes | Fits::BeforeLog);
        self.broken.is_none() && self.heads.iter().all(fine)
    }
}

/// What a log is held to.
#[derive(Debug, Clone, Default)]
pub struct Held {
    /// Heads that were kept outside.
    pub heads: Vec<SignedHead>,
    /// Keys that were kept outside; none: whoever kept the heads vouches for them.
    pub keys: Option<Vec<PublicKey>>,
    /// The name of the log, where it is known.
    pub origin: Option<String>,
}

/// Holds a log to heads. `base` is the log's head before its first entry. Blocks, and reads all
/// of the log.
///
/// # Errors
/// The log cannot be read.
pub fn verify<L>(log: &L, base: Head, held: &Held) -> Result<Report, AuditError>
where
    L: Entries<Error = AuditError>,
{
    let mut heads: Vec<&SignedHead> = held.heads.iter().collect();
    heads.sort_by_key(|head| head.checkpoint.size);
    let mut walk = Walk::begin(log.first(), base);
    let mut checked = Vec::with_capacity(heads.len());
    for SignedHead { checkpoint, .. } in heads.iter().copied() {
        let size = checkpoint.size;
        while walk.head.tree.size() < size && walk.broken.is_none() && walk.more(log, size)? {}
        checked.push(told(checkpoint, walk.fits(checkpoint)));
    }
    while walk.broken.is_none() && walk.more(log, u64::MAX)? {}
    for (told, head) in checked.iter_mut().zip(&heads) {
        told.fits = held.first_of(head).unwrap_or(told.fits);
    }
    let difference = difference(&checked);
    Ok(Report {
        heads: checked,
        difference,
        broken: walk.broken,
        first: log.first().0,
        entries: walk.next.0.saturating_sub(log.first().0),
        last: walk.next.0.checked_sub(1),
        root: walk.head.root(),
    })
}

impl Held {
    /// What is said of a head before the log is looked at.
    fn first_of(&self, head: &SignedHead) -> Option<Fits> {
        let unsigned = self.keys.as_ref().is_some_and(|keys| head.signed_by(keys).is_none());
        let other = self.origin.as_ref().is_some_and(|origin| *origin != head.checkpoint.origin);
        match (unsigned, other) {
            (true, _) => Some(Fits::NotSigned),
            (false, true) => Some(Fits::OtherHistory),
            (false, false) => None,
        }
    }
}

fn told(checkpoint: &Checkpoint, fits: Fits) -> Checked {
    let Checkpoint { index, size, time, .. } = checkpoint;
    Checked { index: index.0, size: *size, time: time.clone(), fits }
}

fn difference(checked: &[Checked]) -> Option<Difference> {
    let wrong = checked.iter().position(|head| head.fits == Fits::Differs)?;
    let before = checked.iter().take(wrong).rfind(|head| head.fits == Fits::Yes);
    let upto = checked.get(wrong)?.index;
    Some(Difference { after: before.map(|head| head.index), upto })
}

/// The log as far as it was read.
struct Walk {
    head: Head,
    base: u64,
    next: LogIndex,
    broken: Option<String>,
}

impl Walk {
    fn begin(first: LogIndex, base: Head) -> Self {
        Self { base: base.tree.size(), head: base, next: first, broken: None }
    }

    /// Reads on, at most to this size; `false` at the end.
    fn more<L>(&mut self, log: &L, size: u64) -> Result<bool, AuditError>
    where
        L: Entries<Error = AuditError>,
    {
        let left = size.saturating_sub(self.head.tree.size());
        let end = LogIndex(self.next.0.saturating_add(left)).min(log.end());
        if self.next >= end {
            return Ok(false);
        }
        let entries = log.read(self.next..end, READ)?;
        let read = !entries.is_empty();
        for entry in &entries {
            self.take(entry);
            if self.broken.is_some() {
                break;
            }
        }
        Ok(read)
    }

    fn take(&mut self, entry: &LogEntry) {
        let index = entry.id.index;
        if index != self.next || entry.position != self.head.tree.size() {
            self.broken = Some(format!("entry {} is not where it must be", self.next));
            return;
        }
        let content = content(&entry.payload);
        let leaf = leaf(entry.id.term, index, entry.kind as u8, entry.time, &content);
        self.head.push(entry.time, &leaf);
        if self.head.chain != entry.chain {
            self.broken = Some(format!("the chain is broken at entry {index}"));
        }
        self.next = LogIndex(index.0.saturating_add(1));
    }

    fn fits(&self, kept: &Checkpoint) -> Fits {
        let size = self.head.tree.size();
        if kept.size < self.base {
            return Fits::BeforeLog;
        }
        match kept.size > size {
            true if self.broken.is_some() => Fits::Differs,
            true => Fits::BeyondEnd,
            false => match self.head.root() == kept.root && self.is_last(kept.index) {
                true => Fits::Yes,
                false => Fits::Differs,
            },
        }
    }

    fn is_last(&self, index: LogIndex) -> bool {
        self.next.0.checked_sub(1) == Some(index.0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ops::Range;

    use redoubt_log::id::{Term, Timestamp};
    use redoubt_log::segment::{EntryKind, LogId};
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::heads::note::{origin, sign};

    struct Log(Vec<LogEntry>);

    /// A log of these payloads, hashed as a log is.
    fn log(payloads: &[&str]) -> Log {
        let mut head = Head::default();
        let mut entries = Vec::new();
        for (n, payload) in payloads.iter().enumerate() {
            let id = LogId { term: Term(1), index: LogIndex(n as u64) };
            let position = head.tree.size();
            let content = content(payload.as_bytes());
            let leaf = leaf(id.term, id.index, EntryKind::Record as u8, Timestamp(1), &content);
            head.push(Timestamp(1), &leaf);
            let (kind, time, stamp) = (EntryKind::Record, Timestamp(1), Timestamp(1));
            let payload = payload.as_bytes().to_vec().into();
            entries.push(LogEntry { id, kind, time, stamp, payload, chain: head.chain, position });
        }
        Log(entries)
    }

    impl Entries for Log {
        type Error = AuditError;

        fn first(&self) -> LogIndex {
            LogIndex(0)
        }

        fn end(&self) -> LogIndex {
            LogIndex(self.0.len() as u64)
        }

        fn read(&self, range: Range<LogIndex>, _: usize) -> Result<Vec<LogEntry>, AuditError> {
            let at = |index: LogIndex| usize::try_from(index.0).unwrap();
            Ok(self.0.get(at(range.start)..at(range.end)).unwrap().to_vec())
        }
    }

    fn pair() -> (Ed25519KeyPair, PublicKey) {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let key = pair.public_key().as_ref().try_into().unwrap();
        (pair, PublicKey { name: origin("ab"), key })
    }

    /// The head of a log over its first entries.
    fn head(log: &Log, size: usize) -> SignedHead {
        let mut head = Head::default();
        for entry in log.0.iter().take(size) {
            let content = content(&entry.payload);
            let id = entry.id;
            head.push(entry.time, &leaf(id.term, id.index, entry.kind as u8, entry.time, &content));
        }
        let (pair, public) = pair();
        let index = LogIndex(size as u64 - 1);
        sign(Checkpoint::new("ab", size as u64, head.root(), index, Timestamp(1)), &pair, &public)
    }

    fn held(heads: Vec<SignedHead>) -> Held {
        Held { heads, keys: Some(vec![pair().1]), origin: Some(origin("ab")) }
    }

    fn fits(report: &Report) -> Vec<Fits> {
        report.heads.iter().map(|head| head.fits).collect()
    }

    #[test]
    fn a_change_is_found_between_two_heads() {
        let before = log(&["a", "b", "c", "d", "e"]);
        let heads = held(vec![head(&before, 5), head(&before, 2), head(&before, 4)]);
        let report = verify(&before, Head::default(), &heads).unwrap();
        assert!(report.proven());
        assert_eq!((report.entries, report.last), (5, Some(4)));
        let altered = log(&["a", "b", "X", "d", "e", "f"]);
        let report = verify(&altered, Head::default(), &heads).unwrap();
        assert_eq!(fits(&report), [Fits::Yes, Fits::Differs, Fits::Differs]);
        assert_eq!(report.difference, Some(Difference { after: Some(1), upto: 3 }));
        let altered = log(&["X", "b"]);
        let report = verify(&altered, Head::default(), &heads).unwrap();
        assert_eq!(fits(&report), [Fits::Differs, Fits::BeyondEnd, Fits::BeyondEnd]);
        assert_eq!(report.difference, Some(Difference { after: None, upto: 1 }));
        assert!(verify(&altered, Head::default(), &held(Vec::new())).unwrap().proven());
    }

    #[test]
    fn a_log_that_is_cut_short_or_of_another_history_is_told() {
        let whole = log(&["a", "b", "c"]);
        let short = log(&["a", "b"]);
        let report = verify(&short, Head::default(), &held(vec![head(&whole, 3)])).unwrap();
        assert_eq!(fits(&report), [Fits::BeyondEnd]);
        assert!(!report.proven() && !report.only_before());
        let other = Held { origin: Some(origin("cd")), ..held(vec![head(&whole, 3)]) };
        let report = verify(&whole, Head::default(), &other).unwrap();
        assert_eq!(fits(&report), [Fits::OtherHistory]);
        let unsigned = Held { keys: Some(Vec::new()), ..held(vec![head(&whole, 3)]) };
        let report = verify(&whole, Head::default(), &unsigned).unwrap();
        assert_eq!(fits(&report), [Fits::NotSigned]);
    }

    #[test]
    fn a_chain_that_does_not_fit_is_told() {
        let mut broken = log(&["a", "b", "c"]);
        let heads = held(vec![head(&broken, 3)]);
        if let Some(entry) = broken.0.get_mut(1) {
            entry.payload = "X".into();
        }
        let report = verify(&broken, Head::default(), &heads).unwrap();
        assert!(report.broken.as_ref().is_some_and(|why| why.contains("entry 1")), "{report:?}");
        assert!(!report.proven() && !report.only_before());
    }
}
