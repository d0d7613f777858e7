//! The way to a moment, history by history, from the newest base on that serves.

use redoubt_log::id::{LogIndex, Timestamp};
use redoubt_store::apply::APPLY_VERSION;

use super::histories::Link;
use super::{Log, PlanError, Stage, Target};
use crate::archive::Reached;
use crate::repo::base::Description;
use crate::repo::names::BaseName;
use crate::repo::range::Range;
use crate::repo::{RepoError, Repository};

/// Looks at each range that is read.
type Look<'l> = &'l mut (dyn FnMut(&Range) + Send);

/// A part of a history, its log and its bases by rising index.
struct Part<'a> {
    link: Link,
    log: Log<'a>,
    bases: Vec<BaseName>,
}

/// Histories one behind the other.
pub(super) struct Way<'a> {
    repository: &'a Repository,
    parts: Vec<Part<'a>>,
    /// What is wrong with bases that were passed over.
    damaged: Vec<String>,
}

impl Part<'_> {
    /// The first entry that may be had.
    fn first(&self) -> Option<LogIndex> {
        let first = self.log.first().into_iter().chain(self.bases.first().map(|base| base.index));
        self.link.begins.or(first.min())
    }
}

impl<'a> Way<'a> {
    pub(super) async fn open(
        repository: &'a Repository,
        links: Vec<Link>,
    ) -> Result<Self, PlanError> {
        let mut parts = Vec::with_capacity(links.len());
        for link in links {
            let log = Log::open(repository, &link.lineage).await?;
            let bases = repository.bases(&link.lineage).await?;
            parts.push(Part { link, log, bases });
        }
        Ok(Self { repository, parts, damaged: Vec::new() })
    }

    /// Ranges and bases that were found damaged.
    pub(super) fn damaged(&self) -> Vec<String> {
        let logs = self.parts.iter().flat_map(|part| part.log.damaged.clone());
        logs.chain(self.damaged.clone()).collect()
    }

    /// In which history the target is, and its index.
    pub(super) async fn find(&mut self, target: Target) -> Result<(usize, LogIndex), PlanError> {
        let newest = self.newest().await?.ok_or(PlanError::Empty)?;
        let found = match target {
            Target::Latest => Some((self.parts.len() - 1, newest.index)),
            Target::Index(index) => self.with(index, newest.index),
            Target::Time(time) => self.at_time(time).await?,
        };
        let found = found.ok_or_else(|| self.outside(newest, target))?;
        match self.parts.last().and_then(|part| Some(part.log.gap(part.log.damaged_end()?))) {
            // Damage at the end of the log must not pass for its end.
            Some(gap) if !matches!(target, Target::Index(_)) && found.1 == newest.index => Err(gap),
            _ => Ok(found),
        }
    }

    /// The end of the last history: of its log, or of a base where that is all that is left.
    async fn newest(&mut self) -> Result<Option<Reached>, PlanError> {
        let Some(part) = self.parts.last_mut() else { return Ok(None) };
        let log = part.log.newest().await?;
        let newer = |base: &BaseName| Some(base.index) > log.map(|log| log.index);
        if !part.bases.last().is_some_and(newer) {
            return Ok(log);
        }
        let (lineage, last) = (&part.link.lineage, LogIndex(u64::MAX));
        let base = self.repository.newest_base(lineage, last, &mut self.damaged).await?;
        let base = base.map(|base| {
            let (index, chain, time) = (base.index(), base.manifest.chain, base.time());
            Reached { index, chain, time }
        });
        Ok(log.into_iter().chain(base).max_by_key(|reached| reached.index))
    }

    /// The last entry of a time or before, in the last history that has one.
    async fn at_time(&mut self, time: Timestamp) -> Result<Option<(usize, LogIndex)>, PlanError> {
        for (number, part) in self.parts.iter_mut().enumerate().rev() {
            let mut found = part.log.at_time(time).await?;
            for name in part.bases.iter().rev() {
                if Some(name.index) <= found {
                    break;
                }
                match self.repository.base(&part.link.lineage, name).await {
                    Ok(base) if base.time() <= time => found = Some(name.index),
                    Ok(_) | Err(RepoError::Damaged { .. } | RepoError::Missing(_)) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(index) = found {
                return Ok(Some((number, part.link.upto.map_or(index, |upto| index.min(upto)))));
            }
        }
        Ok(None)
    }

    /// The last history on the way that has an index.
    fn with(&self, index: LogIndex, newest: LogIndex) -> Option<(usize, LogIndex)> {
        let has = |part: &Part<'_>| {
            let first = part.first().unwrap_or_default();
            (first..=part.link.upto.unwrap_or(newest)).contains(&index)
        };
        self.parts.iter().rposition(has).map(|number| (number, index))
    }

    fn outside(&self, newest: Reached, target: Target) -> PlanError {
        let wanted = match target {
            Target::Latest => "the latest".to_owned(),
            Target::Index(index) => format!("entry {index}"),
            Target::Time(time) => redoubt_log::dump::rfc3339(time),
        };
        let last = format!("entry {}, {}", newest.index, redoubt_log::dump::rfc3339(newest.time));
        let first = self.parts.first().and_then(Part::first).unwrap_or_default();
        PlanError::Outside { first: format!("entry {first}"), last, wanted }
    }

    /// From the newest base that serves, or the beginning of all, up to an entry of a history on
    /// the way.
    pub(super) async fn stages(
        &mut self,
        number: usize,
        index: LogIndex,
        look: Look<'_>,
    ) -> Result<(Option<Description>, Vec<Stage>), PlanError> {
        let mut gap = None;
        for n in (0..=number).rev() {
            let Some(part) = self.parts.get(n) else { continue };
            let lineage = part.link.lineage.clone();
            let mut at = part.link.upto.filter(|_| n < number).or(Some(index));
            let there = !part.bases.is_empty();
            while let Some(upto) = at.filter(|_| there) {
                let base = self.repository.newest_base(&lineage, upto, &mut self.damaged).await?;
                let Some(base) = base else { break };
                let next = LogIndex(base.index().0.saturating_add(1));
                match self.ranges((n, next), (number, index), look).await {
                    Ok(stages) if base.level <= APPLY_VERSION => return Ok((Some(base), stages)),
                    Ok(_) => self.damaged.push(too_new(&base)),
                    Err(error @ PlanError::Gap { .. }) => gap = gap.or(Some(error)),
                    Err(error) => return Err(error),
                }
                at = base.index().0.checked_sub(1).map(LogIndex);
            }
        }
        match self.ranges((0, LogIndex(0)), (number, index), look).await {
            Err(error @ PlanError::Gap { .. }) => Err(gap.unwrap_or(error)),
            stages => Ok((None, stages?)),
        }
    }

    /// Ranges from an entry of one history up to an entry of another.
    async fn ranges(
        &mut self,
        (n, from): (usize, LogIndex),
        (number, index): (usize, LogIndex),
        look: Look<'_>,
    ) -> Result<Vec<Stage>, PlanError> {
        let mut stages = Vec::new();
        for (k, part) in self.parts.iter_mut().enumerate().take(number + 1).skip(n) {
            let upto = part.link.upto.filter(|_| k < number).unwrap_or(index);
            let from = if k == n { from } else { part.link.begins.unwrap_or_default() };
            let ranges = part.log.sound(from, upto, look).await?;
            let lineage = part.link.lineage.clone();
            stages.push(Stage { lineage, leaps: k > n, upto, ranges });
        }
        Ok(stages)
    }

    /// What comes behind an entry of the first history, and where what is missing begins.
    pub(super) async fn later(
        &mut self,
        index: LogIndex,
        look: Look<'_>,
    ) -> Result<(Vec<Stage>, Option<LogIndex>), PlanError> {
        let (mut stages, mut blind) = (Vec::new(), None);
        for Part { link, log, .. } in &mut self.parts {
            let from = link.begins.unwrap_or(LogIndex(index.0.saturating_add(1)));
            let newest = log.newest().await?.map(|newest| newest.index);
            let Some(mut upto) = link.upto.or(newest).filter(|upto| *upto >= from) else {
                continue;
            };
            let ranges = loop {
                match log.sound(from, upto, look).await {
                    Err(PlanError::Gap { index, .. }) if index > from => {
                        (upto, blind) = (LogIndex(index.0 - 1), Some(index));
                    }
                    Err(PlanError::Gap { index, .. }) => return Ok((stages, Some(index))),
                    ranges => break ranges?,
                }
            };
            let (lineage, leaps) = (link.lineage.clone(), link.begins.is_some());
            stages.push(Stage { lineage, leaps, upto, ranges });
            if blind.is_some() {
                break;
            }
        }
        let end = self.parts.last().filter(|_| blind.is_none());
        let cut = end.and_then(|part| part.log.damaged_end());
        Ok((stages, blind.or(cut)))
    }
}

fn too_new(base: &Description) -> String {
    let (name, level) = (base.name().name(&base.lineage), base.level);
    format!(
        "{name} is of level {level}, and this program follows {APPLY_VERSION}: take a newer one"
    )
}
