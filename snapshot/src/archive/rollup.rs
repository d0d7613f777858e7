//! Small ranges of the log become larger ones, so that years of seconds can be listed.
//!
//! The larger one is written and read back before a smaller one goes; what a crash, or
//! another node at the same work, leaves are ranges that overlap, which do no harm and are
//! found the next time. Nothing is ever changed.

use std::time::{Duration, Instant};

use redoubt_log::id::LogIndex;
use tokio::task::JoinHandle;

use super::{Archiver, BATCH, MOST};
use crate::repo::names::{self, RangeName, short};
use crate::repo::range::Range;
use crate::repo::{RepoError, Repository};

/// A range with fewer octets is small.
const SMALL: u64 = 256 << 10;
/// So many small ones become one.
const LEAST: usize = 32;
/// How old ranges are before that: whoever plans a recovery has read what is newer.
const REST: Duration = Duration::from_secs(3600);
/// How often there is a look.
const EVERY: Duration = Duration::from_secs(600);

/// What was done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rolled {
    /// Ranges that were made.
    pub made: u64,
    /// Ranges that went, since a larger one has all that they had.
    pub gone: u64,
}

/// The work by schedule, of the node that feeds the repository.
#[derive(Debug)]
pub(super) struct RollUp {
    looked: Instant,
    running: Option<JoinHandle<()>>,
}

impl RollUp {
    pub(super) fn new() -> Self {
        Self { looked: Instant::now(), running: None }
    }

    pub(super) fn look(&mut self, archiver: &Archiver) {
        let free = self.running.as_ref().is_none_or(JoinHandle::is_finished);
        if !free || self.looked.elapsed() < EVERY {
            return;
        }
        self.looked = Instant::now();
        let (repository, lineage) = (archiver.repository.clone(), archiver.lineage.clone());
        self.running = Some(tokio::spawn(async move {
            match roll_up(&repository, &lineage, REST).await {
                Ok(rolled) => tracing::debug!(?rolled, "small ranges became larger ones"),
                Err(error) => tracing::warn!(%error, "small ranges stay as they are"),
            }
        }));
    }
}

impl Drop for RollUp {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}

/// Makes large ranges of small ones that are older than `rest`, and removes what larger
/// ones have.
///
/// # Errors
/// [`RepoError`]: everything that was there can still be had.
pub async fn roll_up(
    repository: &Repository,
    lineage: &str,
    rest: Duration,
) -> Result<Rolled, RepoError> {
    let listed = repository.objects().list(&names::log_of(lineage), None).await?;
    let now = listed.iter().map(|object| object.made).max().unwrap_or(0);
    let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
    let old = listed.iter().filter(|object| now.saturating_sub(object.made) >= rest);
    let mut old: Vec<(RangeName, u64)> =
        old.filter_map(|object| Some((RangeName::parse(object.last())?, object.size))).collect();
    old.sort_by_key(|(name, _)| (name.first, std::cmp::Reverse(name.last)));
    let mut rolled = Rolled::default();
    for group in groups(&old) {
        if let Some(large) = merged(repository, lineage, &group).await? {
            repository.put_range(lineage, &large).await?;
            rolled.made += 1;
            rolled.gone += drop_covered(repository, lineage, &large, &group).await?;
        }
    }
    for (large, covered) in covered(&old) {
        match repository.range(lineage, &large).await {
            Ok(range) => rolled.gone += drop_covered(repository, lineage, &range, &covered).await?,
            // Whatever is wrong with it, the smaller ones are what is left.
            Err(RepoError::Damaged { .. } | RepoError::Missing(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(rolled)
}

/// Runs of small ranges that follow on each other, each of which fits into one.
fn groups(sorted: &[(RangeName, u64)]) -> Vec<Vec<RangeName>> {
    let (mut groups, mut group, mut size) = (Vec::new(), Vec::<RangeName>::new(), 0);
    for (name, octets) in sorted {
        let follows =
            group.last().is_none_or(|last| last.last.0.checked_add(1) == Some(name.first.0));
        let first = group.first().unwrap_or(name).first;
        let fits = size + octets <= BATCH as u64 && name.last.0 - first.0 < MOST;
        if !(follows && fits && *octets < SMALL) {
            groups.push(std::mem::take(&mut group));
            size = 0;
        }
        if *octets < SMALL {
            group.push(name.clone());
            size += octets;
        }
    }
    groups.push(group);
    groups.retain(|group| group.len() >= LEAST);
    groups
}

/// Ranges that have all that smaller ones have, and these.
fn covered(sorted: &[(RangeName, u64)]) -> Vec<(RangeName, Vec<RangeName>)> {
    let mut found: Vec<(RangeName, Vec<RangeName>)> = Vec::new();
    let mut large: Option<&RangeName> = None;
    for (name, _) in sorted {
        match large.filter(|large| name.last <= large.last && name != *large) {
            None => large = Some(name),
            Some(over) => match found.last_mut().filter(|(known, _)| known == over) {
                Some((_, smaller)) => smaller.push(name.clone()),
                None => found.push((over.clone(), vec![name.clone()])),
            },
        }
    }
    found
}

/// One range of several; `None` where they do not join, or one does not read.
async fn merged(
    repository: &Repository,
    lineage: &str,
    group: &[RangeName],
) -> Result<Option<Range>, RepoError> {
    let mut whole: Option<Range> = None;
    for name in group {
        let range = match repository.range(lineage, name).await {
            Ok(range) => range,
            Err(RepoError::Damaged { .. } | RepoError::Missing(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        whole = match whole {
            None => Some(range),
            Some(mut whole) => {
                let end = whole.ends().map(|(_, last)| last.chain);
                if end != Some(range.before) {
                    return Ok(None);
                }
                whole.entries.extend(range.entries);
                Some(whole)
            }
        };
    }
    Ok(whole)
}

/// Removes ranges that a larger one has, once that was read back.
async fn drop_covered(
    repository: &Repository,
    lineage: &str,
    large: &Range,
    smaller: &[RangeName],
) -> Result<u64, RepoError> {
    let Some(name) = large.name() else { return Ok(0) };
    if repository.range(lineage, &name).await? != *large {
        return Err(RepoError::damaged(&name.name(lineage), "it reads as something else"));
    }
    let mut gone = 0;
    for small in smaller.iter().filter(|small| **small != name && has(large, small)) {
        repository.objects().delete(&small.name(lineage)).await?;
        gone += 1;
    }
    Ok(gone)
}

/// Whether a range has the entries of another, up to the same chain.
fn has(large: &Range, small: &RangeName) -> bool {
    let at = |index: LogIndex| {
        let place = index.0.checked_sub(large.first().0)?;
        large.entries.get(usize::try_from(place).ok()?)
    };
    at(small.first).is_some() && at(small.last).is_some_and(|e| short(&e.chain) == small.chain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ranges: &[(u64, u64, u64)]) -> Vec<(RangeName, u64)> {
        let name = |(first, last, size): &(u64, u64, u64)| {
            let (first, last) = (LogIndex(*first), LogIndex(*last));
            (RangeName { first, last, chain: [0; 8] }, *size)
        };
        ranges.iter().map(name).collect()
    }

    fn grouped(ranges: &[(u64, u64, u64)]) -> Vec<(u64, u64)> {
        let ends = |group: Vec<RangeName>| Some((group.first()?.first.0, group.last()?.last.0));
        groups(&names(ranges)).into_iter().filter_map(ends).collect()
    }

    #[test]
    fn many_small_ranges_that_follow_on_each_other_are_one_group() {
        let seconds = |from: u64, to: u64| (from..to).map(|n| (n * 10, n * 10 + 9, 1000));
        assert_eq!(grouped(&seconds(0, 31).collect::<Vec<_>>()), []);
        assert_eq!(grouped(&seconds(0, 32).collect::<Vec<_>>()), [(0, 319)]);
        let gap: Vec<_> = seconds(0, 40).chain(seconds(41, 80)).collect();
        assert_eq!(grouped(&gap), [(0, 399), (410, 799)]);
        let large: Vec<_> =
            seconds(0, 40).chain([(400, 499, SMALL)]).chain(seconds(50, 90)).collect();
        assert_eq!(grouped(&large), [(0, 399), (500, 899)]);
        let entries: Vec<_> = (0..100).map(|n| (n * 300, n * 300 + 299, 1000)).collect();
        assert_eq!(grouped(&entries), [(0, 9899), (9900, 19799), (19800, 29699)]);
    }

    #[test]
    fn what_a_larger_range_has_is_found() {
        let mut ranges = names(&[(0, 9, 1), (0, 4, 1), (5, 9, 1), (8, 12, 1), (10, 12, 1)]);
        ranges.sort_by_key(|(name, _)| (name.first, std::cmp::Reverse(name.last)));
        let found: Vec<_> = covered(&ranges)
            .into_iter()
            .map(|(large, small)| (large.first.0, small.iter().map(|n| n.first.0).collect()))
            .collect();
        assert_eq!(found, [(0, vec![0, 5]), (8, vec![10])]);
        assert_eq!(covered(&names(&[(0, 4, 1), (5, 9, 1)])), []);
    }
}
