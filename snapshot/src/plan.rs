//! What a recovery is made of: listing and target → ranges. Pure, but for the
//! headers of the ranges that a moment is looked up in.

use std::collections::BTreeSet;

use redoubt_log::id::{LogIndex, Timestamp};
use serde::Serialize;

use crate::archive::Reached;
use crate::repo::names::RangeName;
use crate::repo::range::Range;
use crate::repo::{RepoError, Repository};

/// What is to be recovered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// All that the repository has.
    Latest,
    /// Up to and with this entry.
    Index(LogIndex),
    /// Up to and with the last entry of this time or before.
    Time(Timestamp),
}

/// Why there is nothing to be done.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The repository does not give what is needed.
    #[error(transparent)]
    Repository(#[from] RepoError),
    /// There is no history in it.
    #[error("the repository holds no history: nothing was ever archived there")]
    Empty,
    /// There are several.
    #[error("the repository holds several histories, choose one with --lineage: {0}")]
    Several(String),
    /// The target is not in it.
    #[error("the repository reaches from {first} to {last}: {wanted} is outside")]
    Outside {
        /// The first moment that can be had.
        first: String,
        /// The last one.
        last: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// Ranges are missing, or damaged.
    #[error("entry {index} is in no sound range of the log{}", because(.damaged))]
    Gap {
        /// The first entry that is missing.
        index: LogIndex,
        /// What is wrong with the ranges that had it.
        damaged: Vec<String>,
    },
}

fn because(damaged: &[String]) -> String {
    match damaged {
        [] => String::new(),
        some => format!(": {}", some.join("; ")),
    }
}

/// What a recovery will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Of which history.
    pub lineage: String,
    /// Up to and with this entry.
    pub index: LogIndex,
    /// Its effective time.
    pub time: Timestamp,
    /// The last entry that the repository has.
    pub newest: LogIndex,
    /// That entry's effective time.
    pub newest_time: Timestamp,
    /// Ranges of the log that are read.
    #[serde(skip)]
    pub ranges: Vec<RangeName>,
    /// Ranges that are damaged, and whose entries others have.
    pub damaged: Vec<String>,
}

impl Plan {
    /// Whether nothing that the repository has is left out.
    pub fn is_latest(&self) -> bool {
        self.index == self.newest
    }
}

/// Ranges that have all entries of `from..=to`, each going as far as any; the first
/// entry that none has, otherwise.
///
/// # Errors
/// The first entry that is missing.
pub fn cover(
    names: &[RangeName],
    from: LogIndex,
    to: LogIndex,
) -> Result<Vec<RangeName>, LogIndex> {
    let mut sorted: Vec<&RangeName> = names.iter().collect();
    sorted.sort();
    let (mut chosen, mut next, mut best) = (Vec::new(), from, None::<&RangeName>);
    let mut rest = sorted.into_iter().peekable();
    while next <= to {
        while let Some(name) = rest.next_if(|name| name.first <= next) {
            best = best.filter(|best| best.last >= name.last).or(Some(name));
        }
        let name = best.filter(|best| best.last >= next).ok_or(next)?;
        chosen.push(name.clone());
        let Some(after) = name.last.0.checked_add(1) else { break };
        next = LogIndex(after);
    }
    Ok(chosen)
}

/// A history's log in the repository, read without trusting what is damaged.
pub(crate) struct Log<'a> {
    repository: &'a Repository,
    lineage: &'a str,
    names: Vec<RangeName>,
    pub(crate) damaged: Vec<String>,
}

impl<'a> Log<'a> {
    pub(crate) async fn open(
        repository: &'a Repository,
        lineage: &'a str,
    ) -> Result<Self, RepoError> {
        let names = repository.ranges(lineage, None).await?;
        Ok(Self { repository, lineage, names, damaged: Vec::new() })
    }

    /// The first entry that any range has.
    pub(crate) fn first(&self) -> Option<LogIndex> {
        self.names.iter().map(|name| name.first).min()
    }

    /// One range; `None` when it is damaged, and is not counted on any more.
    async fn read(&mut self, name: &RangeName) -> Result<Option<Range>, RepoError> {
        match self.repository.range(self.lineage, name).await {
            Ok(range) => Ok(Some(range)),
            Err(error @ (RepoError::Damaged { .. } | RepoError::Missing(_))) => {
                self.damaged.push(error.to_string());
                self.names.retain(|other| other != name);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn cover(&self, from: LogIndex, to: LogIndex) -> Result<Vec<RangeName>, PlanError> {
        let gap = |index| PlanError::Gap { index, damaged: self.damaged.clone() };
        cover(&self.names, from, to).map_err(gap)
    }

    /// Ranges with all entries of `from..=to`, each of which reads.
    pub(crate) async fn sound(
        &mut self,
        from: LogIndex,
        to: LogIndex,
        look: &mut (dyn FnMut(&Range) + Send),
    ) -> Result<Vec<RangeName>, PlanError> {
        let mut seen = BTreeSet::new();
        'again: loop {
            let names = self.cover(from, to)?;
            for name in &names {
                if seen.contains(name) {
                    continue;
                }
                let Some(range) = self.read(name).await? else { continue 'again };
                look(&range);
                seen.insert(name.clone());
            }
            return Ok(names);
        }
    }

    /// The last entry of a time or before, by halving.
    async fn at_time(&mut self, time: Timestamp) -> Result<Option<LogIndex>, PlanError> {
        let (Some(first), Some(last)) = (self.first(), self.newest().await?) else {
            return Ok(None);
        };
        let names = self.cover(first, last.index)?;
        let (mut low, mut high) = (0, names.len());
        let mut found = None;
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(name) = names.get(middle) else { break };
            let Some(range) = self.read(name).await? else {
                return Box::pin(self.at_time(time)).await;
            };
            let until = range.entries.iter().take_while(|entry| entry.time <= time);
            match until.last() {
                Some(entry) => {
                    found = found.max(Some(entry.id.index));
                    low = middle + 1;
                }
                None => high = middle,
            }
        }
        Ok(found)
    }

    pub(crate) async fn newest(&mut self) -> Result<Option<Reached>, PlanError> {
        loop {
            let Some(name) = self.names.iter().max_by_key(|name| name.last).cloned() else {
                return Ok(None);
            };
            if let Some(range) = self.read(&name).await? {
                let last = range.ends().map(|(_, last)| last);
                return Ok(last.map(|last| Reached {
                    index: last.id.index,
                    chain: last.chain,
                    time: last.time,
                }));
            }
        }
    }
}

/// Which history is meant: the one that was named, or the only one.
///
/// # Errors
/// [`PlanError::Empty`], [`PlanError::Several`].
pub async fn lineage(repository: &Repository, wish: Option<&str>) -> Result<String, PlanError> {
    let mut known = repository.lineages().await?;
    if let Some(wish) = wish {
        known.retain(|lineage| lineage == wish);
    }
    match known.as_slice() {
        [] => Err(PlanError::Empty),
        [one] => Ok(one.clone()),
        several => Err(PlanError::Several(several.join(", "))),
    }
}

/// What it takes to get to the target. Reads each range that is needed, and `look`s at it.
///
/// # Errors
/// See [`PlanError`].
pub async fn plan(
    repository: &Repository,
    lineage: &str,
    target: Target,
    look: &mut (dyn FnMut(&Range) + Send),
) -> Result<Plan, PlanError> {
    let mut log = Log::open(repository, lineage).await?;
    let claimed = log.names.iter().map(|name| name.last).max();
    let (Some(first), Some(newest)) = (log.first(), log.newest().await?) else {
        return Err(PlanError::Empty);
    };
    let index = match target {
        Target::Latest => Some(newest.index),
        Target::Index(index) => Some(index).filter(|index| (first..=newest.index).contains(index)),
        Target::Time(time) => log.at_time(time).await?,
    };
    let outside = || outside(first, newest, target);
    let index = index.ok_or_else(outside)?;
    // Damage at the end of the log must not pass for its end.
    let asked = matches!(target, Target::Index(_));
    if !asked && index == newest.index && claimed > Some(newest.index) {
        let index = LogIndex(newest.index.0.saturating_add(1));
        return Err(PlanError::Gap { index, damaged: log.damaged });
    }
    if first != LogIndex(0) {
        return Err(PlanError::Gap { index: LogIndex(0), damaged: log.damaged });
    }
    let mut time = newest.time;
    let mut note = |range: &Range| {
        look(range);
        let last = range.entries.iter().take_while(|entry| entry.id.index <= index).last();
        time = last.map_or(time, |entry| entry.time);
    };
    let ranges = log.sound(first, index, &mut note).await?;
    let (newest, newest_time, damaged) = (newest.index, newest.time, log.damaged);
    let lineage = lineage.to_owned();
    Ok(Plan { lineage, index, time, newest, newest_time, ranges, damaged })
}

fn outside(first: LogIndex, newest: Reached, target: Target) -> PlanError {
    let wanted = match target {
        Target::Latest => "the latest".to_owned(),
        Target::Index(index) => format!("entry {index}"),
        Target::Time(time) => redoubt_log::dump::rfc3339(time),
    };
    let last = format!("entry {}, {}", newest.index, redoubt_log::dump::rfc3339(newest.time));
    PlanError::Outside { first: format!("entry {first}"), last, wanted }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ranges: &[(u64, u64)]) -> Vec<RangeName> {
        let name = |(first, last): &(u64, u64)| RangeName {
            first: LogIndex(*first),
            last: LogIndex(*last),
            chain: [0; 8],
        };
        ranges.iter().map(name).collect()
    }

    fn covered(ranges: &[(u64, u64)], from: u64, to: u64) -> Result<Vec<(u64, u64)>, u64> {
        let chosen = cover(&names(ranges), LogIndex(from), LogIndex(to));
        let pairs = |names: Vec<RangeName>| names.iter().map(|n| (n.first.0, n.last.0)).collect();
        chosen.map(pairs).map_err(|index| index.0)
    }

    #[test]
    fn few_ranges_are_chosen_and_the_first_gap_is_named() {
        assert_eq!(covered(&[(0, 4), (5, 9)], 0, 9), Ok(vec![(0, 4), (5, 9)]));
        assert_eq!(covered(&[(0, 4), (5, 9), (0, 7), (3, 20)], 0, 15), Ok(vec![(0, 7), (3, 20)]));
        assert_eq!(covered(&[(0, 4), (2, 3), (5, 9)], 3, 4), Ok(vec![(0, 4)]));
        assert_eq!(covered(&[(0, 4), (6, 9)], 0, 9), Err(5));
        assert_eq!(covered(&[(0, 4)], 0, 9), Err(5));
        assert_eq!(covered(&[], 0, 0), Err(0));
        assert_eq!(covered(&[(0, u64::MAX)], 7, u64::MAX), Ok(vec![(0, u64::MAX)]));
    }
}
