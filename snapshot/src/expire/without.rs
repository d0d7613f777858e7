//! Bases that go although the wishes of who expires would keep them, since something was erased
//! that they have; and pieces of bases that nothing names any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{ExpireError, Plan, WHOLE, ranges};
use crate::repo::names::{BaseName, PIECES, PieceName};
use crate::repo::sweep::MOST;
use crate::repo::{Listed, RepoError, Repository};

/// What goes so that nothing is left of some bases, which another one must be able to stand in
/// for; and pieces that no base names, made up to a moment by the clock of where the repository
/// lies. With `grace`, pieces are named now and removed when that has passed.
///
/// # Errors
/// See [`ExpireError`].
pub async fn without(
    repository: &Repository,
    gone: &BTreeSet<(String, BaseName)>,
    made: i64,
    grace: Duration,
) -> Result<Plan, ExpireError> {
    let mut plan = Plan { sweeps: repository.sweeps().await?, ..Plan::default() };
    plan.bases = gone.iter().map(|(lineage, base)| base.name(lineage)).collect();
    let pieces = repository.objects().list(PIECES, None).await?;
    let live = floors(repository, gone, &mut plan).await?;
    let log = repository.objects().list("log", None).await?;
    plan.ranges = ranges(&log, &plan);
    let named = plan.sweeps.open.values().map(|(_, named)| *named);
    let now = pieces.iter().chain(&log).map(|object| object.made).chain(named).max();
    plan.due_pieces(&pieces, &live, now.unwrap_or(0).saturating_sub(millis(grace)));
    let nobodys = |piece: &&Listed| {
        let name = &piece.name;
        piece.made <= made && !live.contains(name) && !plan.sweeps.names(name)
    };
    let later = pieces.iter().filter(nobodys).map(|piece| (piece.name.clone(), piece.size));
    plan.later = later.take(MOST).collect();
    Ok(plan)
}

fn millis(grace: Duration) -> i64 {
    i64::try_from(grace.as_millis()).unwrap_or(i64::MAX)
}

/// Where histories begin without the bases; gives the pieces that the others name.
async fn floors(
    repository: &Repository,
    gone: &BTreeSet<(String, BaseName)>,
    plan: &mut Plan,
) -> Result<BTreeSet<String>, RepoError> {
    let mut live = BTreeSet::new();
    for lineage in repository.lineages().await? {
        let swept = |base: &BaseName| {
            let name = base.name(&lineage);
            plan.sweeps.open.values().any(|(sweep, _)| sweep.bases.contains(&name))
        };
        let mut left = repository.bases(&lineage).await?;
        left.retain(|base| !gone.contains(&(lineage.clone(), base.clone())) && !swept(base));
        for base in &left {
            let base = repository.base(&lineage, base).await?;
            live.extend(base.pieces().map(|piece| piece.name.name()));
        }
        // From entry 0 on the log needs none.
        let floor = repository.floor(&lineage).await?.filter(|floor| floor.0 > 0);
        let Some(floor) = floor.filter(|_| gone.iter().any(|(of, _)| *of == lineage)) else {
            continue;
        };
        match left.iter().map(|base| base.index).find(|index| *index >= floor) {
            Some(first) if first > floor => drop(plan.floors.insert(lineage, first)),
            Some(_) => {}
            None => {
                plan.floors.insert(lineage.clone(), WHOLE);
                plan.histories.insert(lineage);
            }
        }
    }
    plan.begins = plan.floors.iter().map(|(lineage, floor)| (lineage.clone(), *floor)).collect();
    Ok(live)
}

impl Plan {
    /// Pieces that were named up to a moment go; packs are for whoever expires.
    fn due_pieces(&mut self, pieces: &[Listed], live: &BTreeSet<String>, upto: i64) {
        let there: BTreeMap<&str, u64> =
            pieces.iter().map(|piece| (piece.name.as_str(), piece.size)).collect();
        for (sweep, named) in self.sweeps.open.values() {
            for name in &sweep.later {
                let last = name.rsplit('/').next().unwrap_or_default();
                let piece = PieceName::parse(last).is_some_and(|piece| piece.name() == *name);
                match there.get(name.as_str()).filter(|_| piece) {
                    None if name.starts_with(PIECES) => {}
                    Some(_) if live.contains(name) => drop(self.spared.insert(name.clone())),
                    Some(size) if *named <= upto => {
                        self.now.insert(name.clone(), *size);
                    }
                    _ => drop(self.waiting.insert(name.clone())),
                }
            }
        }
    }

    /// When the last of what was named may go, by the clock of where the repository lies, in
    /// milliseconds since 1970; `None`: nothing waits.
    pub fn last_due(&self, grace: Duration) -> Option<i64> {
        let waits = |name: &String| name.starts_with(PIECES) && self.waiting.contains(name);
        let sweeps = self.sweeps.open.values().filter(|(sweep, _)| sweep.later.iter().any(waits));
        sweeps.map(|(_, named)| named.saturating_add(millis(grace))).max()
    }

    /// Pieces that wait until they may go.
    pub fn waiting_pieces(&self) -> usize {
        self.waiting.iter().filter(|name| name.starts_with(PIECES)).count()
    }
}
