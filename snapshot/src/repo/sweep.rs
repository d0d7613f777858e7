//! What says that something is gone, or goes, on purpose: sweeps, floors, marks of bases
//! and pins.
//!
//! A sweep names objects long before they are removed. Who writes looks at the sweeps
//! at least each [`LOOK_AGAIN`], and from then on counts on nothing that one names;
//! what is named is removed [`GRACE`] later, and only if nothing names it then. So nobody
//! has to lock anything, and a writer that was asleep is the only one that could be late.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redoubt_log::id::LogIndex;
use serde::{Deserialize, Serialize};

use super::names::{self, BaseName, SWEEPS};
use super::seal::Kind;
use super::{Created, RepoError, Repository};

/// How long before its removal an object is named.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);
/// How old may be what a writer knows of sweeps.
pub const LOOK_AGAIN: Duration = Duration::from_secs(3600);
/// The most objects that one sweep names.
pub const MOST: usize = 100_000;

/// What is to be removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sweep {
    /// Bases, by their whole names, at once.
    pub bases: BTreeSet<String>,
    /// Up to and with which entry nothing is kept of a history, at once.
    pub floors: BTreeMap<String, LogIndex>,
    /// Packs and pieces that nothing names, after [`GRACE`].
    pub later: BTreeSet<String>,
}

/// The sweeps of a repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sweeps {
    /// The highest number, 0 for none.
    pub newest: u32,
    /// Each that is not done, with when it was made by the clock of the repository.
    pub open: BTreeMap<u32, (Sweep, i64)>,
}

impl Sweeps {
    /// Whether nobody may count on an object.
    pub fn names(&self, object: &str) -> bool {
        self.open.values().any(|(sweep, _)| sweep.later.contains(object))
    }
}

impl Repository {
    /// Numbers of all sweeps, with when each was made.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn sweep_numbers(&self) -> Result<BTreeMap<u32, i64>, RepoError> {
        let listed = self.objects().list(SWEEPS, None).await?;
        let number = |object: &super::Listed| u32::from_str_radix(object.last(), 16).ok();
        Ok(listed.iter().filter_map(|object| Some((number(object)?, object.made))).collect())
    }

    /// All sweeps. One that was done meanwhile is none.
    ///
    /// # Errors
    /// [`RepoError::Damaged`], [`RepoError::Unreachable`].
    pub async fn sweeps(&self) -> Result<Sweeps, RepoError> {
        let mut sweeps = Sweeps::default();
        for (number, made) in self.sweep_numbers().await? {
            sweeps.newest = number;
            match self.sweep(number).await {
                Ok(sweep) => drop(sweeps.open.insert(number, (sweep, made))),
                Err(RepoError::Missing(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(sweeps)
    }

    /// One sweep.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn sweep(&self, number: u32) -> Result<Sweep, RepoError> {
        let name = names::sweep(number);
        let bytes = self.get(Kind::Sweep, &name).await?;
        serde_json::from_slice(&bytes).map_err(|error| RepoError::damaged(&name, error))
    }

    /// Begins a sweep: of several at one time one gets the number, and the others fail.
    ///
    /// # Errors
    /// [`RepoError::Conflict`] when another one has the number.
    pub async fn begin_sweep(&self, number: u32, sweep: &Sweep) -> Result<(), RepoError> {
        let name = names::sweep(number);
        let json = serde_json::to_vec(sweep).map_err(|error| RepoError::damaged(&name, error))?;
        match self.put(Kind::Sweep, &name, &json).await? {
            Created::New => Ok(()),
            Created::Exists => Err(RepoError::Conflict(name)),
        }
    }

    /// Says that nothing is kept of a history up to and with an entry.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn put_floor(&self, lineage: &str, index: LogIndex) -> Result<(), RepoError> {
        self.mark(&names::floor(lineage, index)).await
    }

    /// Up to and with which entry nothing is kept of a history; `None`: it begins at entry 0.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn floor(&self, lineage: &str) -> Result<Option<LogIndex>, RepoError> {
        let listed = self.objects().list(&names::floors_of(lineage), None).await?;
        Ok(listed.iter().filter_map(|object| object.last().parse().ok().map(LogIndex)).max())
    }

    /// Keeps a base from being expired.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn pin(&self, lineage: &str, base: &BaseName) -> Result<(), RepoError> {
        self.mark(&names::pin(lineage, base)).await
    }

    /// Undoes [`Repository::pin`].
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn unpin(&self, lineage: &str, base: &BaseName) -> Result<(), RepoError> {
        self.objects().delete(&names::pin(lineage, base)).await
    }

    /// The bases of a history that are pinned.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn pins(&self, lineage: &str) -> Result<BTreeSet<BaseName>, RepoError> {
        let listed = self.objects().list(&names::pins_of(lineage), None).await?;
        Ok(listed.iter().filter_map(|object| BaseName::parse(object.last())).collect())
    }

    /// An object that says all by its name.
    pub(crate) async fn mark(&self, name: &str) -> Result<(), RepoError> {
        self.put(Kind::Mark, name, &[]).await.map(drop)
    }
}
