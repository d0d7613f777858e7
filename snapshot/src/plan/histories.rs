//! Which history goes on from which: a recovered cluster's begins behind a leap above the
//! entry of the other that it was made of, and says so in its first records.

use std::collections::BTreeMap;

use redoubt_log::id::LogIndex;
use redoubt_log::raft::{EntryKind, LEAP, LogEntry, record_of};
use redoubt_log::record::{Change, PART};

use super::PlanError;
use super::log::Log;
use crate::repo::{RepoError, Repository};

/// Entries at the beginning of a history among which is the one that says where it is from.
const BEGINNING: u64 = 16;

/// Where a history goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parent {
    /// The other history.
    pub lineage: String,
    /// Its last entry that counts.
    pub index: LogIndex,
}

impl Parent {
    /// The first entry of what goes on from it.
    pub fn child_begins(&self) -> LogIndex {
        LogIndex(self.index.0.saturating_add(LEAP).saturating_add(1))
    }
}

/// A part of a history, on the way to a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) lineage: String,
    /// Where the next one goes on; `None` for the last.
    pub(super) upto: Option<LogIndex>,
    /// Where it begins behind the one before; `None` at the beginning of all.
    pub(super) begins: Option<LogIndex>,
}

/// How a history begins.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Beginning {
    /// With nothing; or it is not there.
    Nothing,
    /// Behind a leap above another.
    On(Parent),
    /// With one account's part of another, which its log does not have.
    Part,
}

/// The histories of a repository that have a log there.
#[derive(Debug, Clone, Default)]
pub struct Histories {
    all: BTreeMap<String, Beginning>,
}

impl Histories {
    /// Reads the beginning of each.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn read(repository: &Repository) -> Result<Self, RepoError> {
        let mut all = BTreeMap::new();
        for lineage in repository.lineages().await? {
            let mut log = Log::open(repository, &lineage).await?;
            if let Some(first) = log.first() {
                let beginning = beginning(&mut log, first).await?;
                all.insert(lineage, beginning);
            } else if !repository.bases(&lineage).await?.is_empty() {
                all.insert(lineage, Beginning::Nothing);
            }
        }
        Ok(Self { all })
    }

    /// Where a history goes on from; `None` for one that began with nothing, or whose beginning
    /// is not there.
    pub fn parent(&self, lineage: &str) -> Option<&Parent> {
        match self.all.get(lineage)? {
            Beginning::On(parent) => Some(parent),
            Beginning::Nothing | Beginning::Part => None,
        }
    }

    fn parents(&self) -> impl Iterator<Item = (&String, &Parent)> {
        self.all.keys().filter_map(|name| Some((name, self.parent(name)?)))
    }

    /// Those that no other goes on from; one account's part of another only where there is
    /// nothing else.
    pub fn tips(&self) -> Vec<&str> {
        let goes_on = |name: &str| self.parents().any(|(_, parent)| parent.lineage == name);
        let ends = self.all.iter().filter(|(name, _)| !goes_on(name));
        let (parts, whole): (Vec<_>, Vec<_>) =
            ends.partition(|(_, beginning)| **beginning == Beginning::Part);
        let tips = if whole.is_empty() { parts } else { whole };
        tips.into_iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The history that was named, or the one that all others lead to.
    ///
    /// # Errors
    /// [`PlanError::Empty`], [`PlanError::Several`].
    pub fn choose(&self, wish: Option<&str>) -> Result<String, PlanError> {
        match (wish, self.tips().as_slice()) {
            (Some(wish), _) if self.all.contains_key(wish) => Ok(wish.to_owned()),
            (Some(_), _) | (None, []) => Err(PlanError::Empty),
            (None, [one]) => Ok((*one).to_owned()),
            (None, several) => Err(PlanError::Several(several.join(", "))),
        }
    }

    /// From the beginning of all to a history's end.
    pub(super) fn path(&self, lineage: &str) -> Vec<Link> {
        let (mut links, mut at, mut upto) = (Vec::new(), lineage.to_owned(), None);
        // A repository that says nonsense must not keep anybody for ever.
        while links.len() <= self.all.len() {
            let parent = self.parent(&at).cloned();
            let begins = parent.as_ref().map(Parent::child_begins);
            links.push(Link { lineage: at, upto, begins });
            let Some(parent) = parent else { break };
            (at, upto) = (parent.lineage, Some(parent.index));
        }
        links.reverse();
        links
    }

    /// What came behind an entry, along the histories that go on from it: of several the one
    /// that was made of the latest moment.
    pub(super) fn behind(&self, lineage: &str, index: LogIndex) -> Vec<Link> {
        let (mut links, mut at, mut from, mut begins) =
            (Vec::new(), lineage.to_owned(), index, None);
        while links.len() <= self.all.len() {
            let mut children: Vec<_> = self.parents().collect();
            children.retain(|(_, parent)| parent.lineage == at && parent.index >= from);
            let Some((child, parent)) = children.into_iter().max_by_key(|(_, p)| p.index) else {
                links.push(Link { lineage: at, upto: None, begins });
                break;
            };
            links.push(Link { lineage: at, upto: Some(parent.index), begins });
            begins = Some(parent.child_begins());
            (at, from) = (child.clone(), LogIndex(0));
        }
        links
    }
}

async fn beginning(log: &mut Log<'_>, first: LogIndex) -> Result<Beginning, RepoError> {
    if first == LogIndex(0) {
        return Ok(Beginning::Nothing);
    }
    let end = LogIndex(first.0.saturating_add(BEGINNING));
    let mut names = log.names.clone();
    names.sort();
    for name in names.iter().take_while(|name| name.first < end) {
        let range = match log.read(name).await {
            Err(RepoError::WrongKey { .. }) | Ok(None) => continue,
            Err(error) => return Err(error),
            Ok(Some(range)) => range,
        };
        let begun = range.entries.iter().take_while(|entry| entry.id.index < end).find_map(begun);
        match begun {
            Some(parent) if parent.lineage.contains(PART) => return Ok(Beginning::Part),
            Some(parent) if parent.child_begins() == first => return Ok(Beginning::On(parent)),
            _ => {}
        }
    }
    Ok(Beginning::Nothing)
}

fn begun(entry: &LogEntry) -> Option<Parent> {
    let record = (entry.kind == EntryKind::Record).then(|| record_of(&entry.payload).ok())??;
    match record.change {
        Change::NewLineage(new) => Some(Parent { lineage: new.from, index: new.index }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn of(all: &[(&str, Option<(&str, u64)>)]) -> Histories {
        let parent = |(lineage, index): (&str, u64)| {
            let (lineage, index) = (lineage.to_owned(), LogIndex(index));
            Parent { lineage, index }
        };
        let beginning =
            |from: Option<_>| from.map_or(Beginning::Nothing, |from| Beginning::On(parent(from)));
        let all = all.iter().map(|(name, from)| ((*name).to_owned(), beginning(*from)));
        Histories { all: all.collect() }
    }

    fn shown(links: &[Link]) -> Vec<(&str, Option<u64>)> {
        links.iter().map(|link| (link.lineage.as_str(), link.upto.map(|index| index.0))).collect()
    }

    #[test]
    fn the_one_that_all_lead_to_is_meant() {
        let chain = of(&[("a", None), ("b", Some(("a", 7))), ("c", Some(("b", LEAP + 20)))]);
        assert_eq!(chain.choose(None).unwrap(), "c");
        assert_eq!(shown(&chain.path("c")), [("a", Some(7)), ("b", Some(LEAP + 20)), ("c", None)]);
        assert_eq!(shown(&chain.path("a")), [("a", None)]);
        assert_eq!(chain.path("c")[1].begins, Some(LogIndex(LEAP + 8)));
        assert_eq!(
            shown(&chain.behind("a", LogIndex(3))),
            [("a", Some(7)), ("b", Some(LEAP + 20)), ("c", None)]
        );
        // The part of the first that the second did not go on from.
        assert_eq!(shown(&chain.behind("a", LogIndex(8))), [("a", None)]);
        let fork = of(&[("a", None), ("b", Some(("a", 7))), ("c", Some(("a", 9)))]);
        assert!(matches!(fork.choose(None), Err(PlanError::Several(_))));
        assert_eq!(fork.choose(Some("b")).unwrap(), "b");
        assert_eq!(shown(&fork.behind("a", LogIndex(3))), [("a", Some(9)), ("c", None)]);
        assert!(matches!(fork.choose(Some("x")), Err(PlanError::Empty)));
        // One account's part is nobody's heir.
        let mut beside = of(&[("a", None), ("b", None)]);
        beside.all.insert("b".to_owned(), Beginning::Part);
        assert_eq!(beside.choose(None).unwrap(), "a");
        assert_eq!(beside.choose(Some("b")).unwrap(), "b");
        // Nonsense ends.
        let round = of(&[("a", Some(("b", 1))), ("b", Some(("a", 1)))]);
        assert!(round.path("a").len() < 9 && round.behind("a", LogIndex(0)).len() < 9);
        assert!(matches!(round.choose(None), Err(PlanError::Empty)));
    }
}
