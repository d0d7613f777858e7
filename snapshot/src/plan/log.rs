//! A history's log in the repository, read without trusting what is damaged.

use std::collections::BTreeSet;

use redoubt_log::id::{LogIndex, Timestamp};

use super::PlanError;
use crate::archive::Reached;
use crate::repo::names::RangeName;
use crate::repo::range::Range;
use crate::repo::{RepoError, Repository};

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

/// The ranges of one history that read so far as was tried.
#[derive(Debug, Clone)]
pub(crate) struct Log<'a> {
    repository: &'a Repository,
    pub(super) lineage: String,
    pub(super) names: Vec<RangeName>,
    pub(super) damaged: Vec<String>,
    /// The last entry that any range claims to have.
    claimed: Option<LogIndex>,
}

impl<'a> Log<'a> {
    pub(crate) async fn open(repository: &'a Repository, lineage: &str) -> Result<Self, RepoError> {
        let names = repository.ranges(lineage, None).await?;
        let claimed = names.iter().map(|name| name.last).max();
        let (lineage, damaged) = (lineage.to_owned(), Vec::new());
        Ok(Self { repository, lineage, names, damaged, claimed })
    }

    /// The first entry that any range has.
    pub(crate) fn first(&self) -> Option<LogIndex> {
        self.names.iter().map(|name| name.first).min()
    }

    /// The first entry behind the last range that may be read, where another claims to have it.
    pub(super) fn damaged_end(&self) -> Option<LogIndex> {
        let last = self.names.iter().map(|name| name.last).max();
        let next = last.map_or(0, |last| last.0.saturating_add(1));
        (self.claimed > last).then_some(LogIndex(next))
    }

    /// One range; `None` when it is damaged, and is not counted on any more.
    pub(super) async fn read(&mut self, name: &RangeName) -> Result<Option<Range>, RepoError> {
        match self.repository.range_or_larger(&self.lineage, name).await {
            Ok(range) => Ok(Some(range)),
            Err(error @ (RepoError::Damaged { .. } | RepoError::Missing(_))) => {
                self.damaged.push(error.to_string());
                self.names.retain(|other| other != name);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn gap(&self, index: LogIndex) -> PlanError {
        PlanError::Gap { index, damaged: self.damaged.clone() }
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
            let names = cover(&self.names, from, to).map_err(|index| self.gap(index))?;
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
    pub(super) async fn at_time(&mut self, time: Timestamp) -> Result<Option<LogIndex>, RepoError> {
        self.names.sort_by_key(|name| (name.last, name.first));
        let (mut low, mut high, mut found) = (0, self.names.len(), None);
        while low < high {
            let middle = low + (high - low) / 2;
            let Some(name) = self.names.get(middle).cloned() else { break };
            let Some(range) = self.read(&name).await? else {
                high -= 1;
                continue;
            };
            let until = range.entries.iter().take_while(|entry| entry.time <= time).last();
            found = found.max(until.map(|entry| entry.id.index));
            match range.ends() {
                Some((_, last)) if last.time <= time => low = middle + 1,
                _ => high = middle,
            }
        }
        Ok(found)
    }

    /// The last entry that reads.
    pub(crate) async fn newest(&mut self) -> Result<Option<Reached>, RepoError> {
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
