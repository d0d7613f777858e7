//! The log of a history: one chain over all of it, which goes through the bases, and every
//! blob that it names.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{BlobId, Hash, LogIndex};

use super::spans::spans;
use super::{History, Level, Looked, Report, Seen};
use crate::recover::blobs_of;
use crate::repo::RepoError;
use crate::repo::forget::Forgettings;
use crate::repo::names::{self, RangeName};
use crate::repo::pack::Catalogue;
use crate::repo::range::Range;

/// What is known of a log while it is read.
#[derive(Default)]
struct Log {
    sound: Vec<RangeName>,
    /// Names are taken for what they say.
    by_name: bool,
    /// The last entry when all was listed.
    end: LogIndex,
    wanted: BTreeSet<BlobId>,
    /// The entry behind the range before, and the chain before it.
    next: Option<(LogIndex, Hash)>,
    /// The times of entries at the end of ranges and at bases.
    times: BTreeMap<LogIndex, i64>,
}

/// Reads the log of a history, and its bases; for the lowest level only its ends.
pub(super) async fn history(
    looked: &Looked<'_>,
    lineage: &str,
    report: &mut Report,
) -> Result<(History, Seen), RepoError> {
    let repository = looked.repository;
    let bases = super::bases::bases(looked, lineage, report).await?;
    let floor = repository.floor(lineage).await?;
    let mut names = looked.early(&names::log_of(lineage), RangeName::parse);
    names.retain(|name| Some(name.last) > floor);
    let end = names.iter().map(|name| name.last).max().unwrap_or_default();
    let mut log = Log { by_name: looked.level < Level::Chain, end, ..Log::default() };
    let mut wanted = names.clone();
    if log.by_name {
        log.sound.clone_from(&names);
        wanted = ends(&names);
    }
    for name in &wanted {
        match repository.range_or_larger(lineage, name).await {
            Ok(range) => {
                log.wants(&range, &looked.forgotten)?;
                log.take(name, lineage, &range, &bases, report);
            }
            // It was expired since it was listed.
            Err(RepoError::Missing(_)) if repository.floor(lineage).await? >= Some(name.last) => {}
            Err(error) => {
                log.sound.retain(|other| other != name);
                report.take(error, || affects(&bases, &names, name))?;
            }
        }
    }
    let floor = repository.floor(lineage).await?;
    names.retain(|name| Some(name.last) > floor);
    log.times.extend(bases.values().map(|base| (base.index(), base.time().0)));
    closure(&looked.catalogue, &log.wanted, &format!("the log of {lineage}"), report);
    let mut history = History {
        lineage: lineage.to_owned(),
        floor,
        first: names.iter().map(|name| name.first).min(),
        last: log.sound.iter().map(|name| name.last).max(),
        ranges: names.len() as u64,
        bases: bases.values().map(super::BaseRow::of).collect(),
        ..History::default()
    };
    history.time = history.last.and_then(|last| log.times.get(&last).copied());
    history.spans = spans(&bases.keys().copied().collect(), &log.sound);
    for span in &mut history.spans {
        span.first_time = log.times.get(&span.first).copied();
        span.last_time = log.times.get(&span.last).copied();
    }
    gaps(&history, &log.sound, &names, report);
    Ok((history, bases))
}

impl Log {
    /// The blobs that a range names, but for those that were forgotten since.
    fn wants(&mut self, range: &Range, forgotten: &Forgettings) -> Result<(), RepoError> {
        // A larger range may have what came since all was listed, and its blobs were not.
        let entries = range.entries.iter().filter(|entry| entry.id.index <= self.end);
        for entry in entries {
            let blobs = blobs_of(std::slice::from_ref(entry), self.end)?.into_iter();
            self.wanted.extend(blobs.filter(|blob| !forgotten.allow(blob, entry.id.index)));
        }
        Ok(())
    }

    fn take(
        &mut self,
        name: &RangeName,
        lineage: &str,
        range: &Range,
        bases: &Seen,
        report: &mut Report,
    ) {
        let Some((first, last)) = range.ends() else { return };
        if self.next.is_some_and(|(next, chain)| first.id.index == next && range.before != chain) {
            report.found(&name.name(lineage), "it does not continue the chain before it");
        }
        self.next = Some((LogIndex(last.id.index.0.saturating_add(1)), last.chain));
        self.check_bases(lineage, range, bases, report);
        self.times.insert(first.id.index, first.time.0);
        self.times.insert(last.id.index, last.time.0);
        if !self.by_name {
            self.sound.push(name.clone());
        }
    }

    /// A base is of the history that the log tells.
    fn check_bases(&mut self, lineage: &str, range: &Range, bases: &Seen, report: &mut Report) {
        let Some((first, last)) = range.ends() else { return };
        let before = LogIndex(first.id.index.0.saturating_sub(1));
        for (index, base) in bases.range(before..=last.id.index) {
            let at = index.0.checked_sub(first.id.index.0).and_then(|n| usize::try_from(n).ok());
            let chain = match at {
                Some(n) => range.entries.get(n).map(|entry| entry.chain),
                None => Some(range.before),
            };
            if chain.is_some_and(|chain| chain != base.manifest.chain) {
                let problem = "it has another chain than the log at its entry";
                report.found(&base.name().name(lineage), problem);
            }
        }
    }
}

/// The first range and the last.
fn ends(names: &[RangeName]) -> Vec<RangeName> {
    let last = names.iter().max_by_key(|name| name.last);
    let ends: BTreeSet<&RangeName> = names.iter().min().into_iter().chain(last).collect();
    ends.into_iter().cloned().collect()
}

/// What cannot be had without a range.
fn affects(bases: &Seen, names: &[RangeName], name: &RangeName) -> String {
    let newest = names.iter().map(|name| name.last).max().unwrap_or(name.last);
    let next = bases.keys().find(|index| **index >= name.first);
    let last = next.map_or(newest, |next| LogIndex(next.0.saturating_sub(1)));
    format!("moments from entry {} to {last}, unless another range has them", name.first)
}

/// From the floor on nothing is missing up to the end.
fn gaps(history: &History, sound: &[RangeName], names: &[RangeName], report: &mut Report) {
    let log = names::log_of(&history.lineage);
    let Some(end) = names.iter().map(|name| name.last).max() else { return };
    let begin = history.floor.map_or(0, |floor| floor.0.saturating_add(1));
    if let Err(index) = crate::plan::cover(sound, LogIndex(begin), end) {
        let next = history.bases.iter().find(|base| base.index >= index);
        let last = next.map_or(end, |base| LogIndex(base.index.0.saturating_sub(1)));
        let affects = format!("moments from entry {index} to {last}");
        report.affecting(&log, format!("entry {index} is in no sound range"), affects);
        if begin == 0 && index == LogIndex(0) {
            // Whoever sees the log alone cannot tell which of the two is missing.
            let floors = names::floors_of(&history.lineage);
            report.found(&floors, "nothing there says that the log does not begin at entry 0");
        }
    }
    if history.spans.is_empty() {
        let problem = "the log does not begin at entry 0, and there is no sound base";
        report.affecting(&names::bases_of(&history.lineage), problem, "all of this history");
    }
}

/// Every blob is there, and the parts that it is put together from.
pub(super) fn closure(
    catalogue: &Catalogue,
    wanted: &BTreeSet<BlobId>,
    whose: &str,
    report: &mut Report,
) {
    let mut missing = BTreeSet::new();
    for id in wanted {
        match catalogue.head(id) {
            None => drop(missing.insert(*id)),
            Some(head) => {
                let lacks = |part: &&BlobId| catalogue.head(part).is_none();
                missing.extend(head.parts.iter().filter(lacks));
            }
        }
    }
    if let Some(first) = missing.first() {
        let count = missing.len();
        let problem = format!("{count} blobs of {whose} are in no pack, the first is {first}");
        report.affecting(names::INDEX, problem, format!("emails of {whose}"));
    }
}
