//! What a recovery is made of: listing and target → a base, and ranges of one history after the
//! other.
//! Every range that is needed is read and found sound here: a recovery refuses before it
//! writes.

mod histories;
mod log;
mod way;

use redoubt_log::id::{LogIndex, Timestamp};
use serde::Serialize;

pub use histories::{Histories, Parent};
pub(crate) use log::Log;
pub use log::cover;

use crate::repo::base::Description;
use crate::repo::names::RangeName;
use crate::repo::range::Range;
use crate::repo::{RepoError, Repository};
use way::Way;

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

/// A part of one history that is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Of which history.
    pub lineage: String,
    /// Whether it begins behind a leap above the stage before.
    pub leaps: bool,
    /// Its last entry that counts.
    pub upto: LogIndex,
    /// Ranges that have its entries, and others.
    pub ranges: Vec<RangeName>,
}

/// What a recovery will do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// Of which history the moment is.
    pub lineage: String,
    /// Up to and with this entry.
    pub index: LogIndex,
    /// Its effective time.
    pub time: Timestamp,
    /// The last entry that the repository has behind it, in whichever history goes on from here.
    pub newest: LogIndex,
    /// That entry's effective time.
    pub newest_time: Timestamp,
    /// The state that it begins with; `None` for the beginning of all.
    #[serde(skip)]
    pub base: Option<Box<Description>>,
    /// What leads to the moment.
    #[serde(skip)]
    pub stages: Vec<Stage>,
    /// What came later: of that only counts what binds those who go back.
    #[serde(skip)]
    pub later: Vec<Stage>,
    /// The first entry of what came later that is missing or damaged: what binds is known up to
    /// there.
    pub blind: Option<LogIndex>,
    /// Ranges that are damaged, and whose entries others have.
    pub damaged: Vec<String>,
}

impl Plan {
    /// Whether nothing that the repository has is left out.
    pub fn is_latest(&self) -> bool {
        self.later.is_empty() && self.blind.is_none()
    }

    /// Ranges of the log that are read.
    pub fn ranges(&self) -> usize {
        self.stages.iter().map(|stage| stage.ranges.len()).sum()
    }

    /// Entries that are applied on the way to the moment.
    pub fn entries(&self) -> u64 {
        entries(&self.stages)
    }
}

/// Entries in some stages, about: ranges may overlap.
pub(crate) fn entries(stages: &[Stage]) -> u64 {
    let of = |stage: &Stage| {
        let all = stage.ranges.iter().map(|name| {
            let end = name.last.min(stage.upto).0.saturating_add(1);
            end.saturating_sub(name.first.0)
        });
        all.sum::<u64>()
    };
    stages.iter().map(of).sum()
}

/// Which history is meant: the one that was named, or the one that all others lead to.
///
/// # Errors
/// [`PlanError::Empty`], [`PlanError::Several`].
pub async fn lineage(repository: &Repository, wish: Option<&str>) -> Result<String, PlanError> {
    Histories::read(repository).await?.choose(wish)
}

/// What it takes to get to the target on the way to a history's end. Reads each range that is
/// needed, and `look`s at it.
///
/// # Errors
/// See [`PlanError`].
pub async fn plan(
    repository: &Repository,
    lineage: &str,
    target: Target,
    look: &mut (dyn FnMut(&Range) + Send),
) -> Result<Plan, PlanError> {
    let histories = Histories::read(repository).await?;
    let mut way = Way::open(repository, histories.path(lineage)).await?;
    let (number, index) = way.find(target).await?;
    let mut time = Timestamp(i64::MIN);
    let mut note = |range: &Range| {
        look(range);
        let upto = range.entries.iter().take_while(|entry| entry.id.index <= index);
        time = upto.last().map_or(time, |entry| entry.time.max(time));
    };
    let (base, stages) = way.stages(number, index, &mut note).await?;
    let base = base.map(Box::new);
    let time = base.as_ref().map_or(time, |base| time.max(base.time()));
    let mut damaged = way.damaged();
    let lineage = stages.last().map(|stage| stage.lineage.clone()).unwrap_or_default();
    let links = histories.behind(&lineage, index);
    let mut rest = Way::open(repository, links).await?;
    let mut newest_time = time;
    let mut note = |range: &Range| {
        newest_time = range.ends().map_or(newest_time, |(_, last)| last.time.max(newest_time));
    };
    let (later, blind) = rest.later(index, &mut note).await?;
    for what in rest.damaged() {
        if !damaged.contains(&what) {
            damaged.push(what);
        }
    }
    let newest = later.last().map_or(index, |stage| stage.upto);
    Ok(Plan { lineage, index, time, newest, newest_time, base, stages, later, blind, damaged })
}
