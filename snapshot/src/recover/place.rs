//! The folder beside the one that was asked for, in which all is made.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redoubt_log::id::LogIndex;
use redoubt_log::record::Address;
use redoubt_store::mailstore::{Layout, Lock};
use serde::{Deserialize, Serialize};

use super::RecoverError;
use crate::plan::Plan;
use crate::repo::Repository;

/// Says what is being recovered, so that only the same goes on with what was fetched.
const MARK: &str = "recovering.json";
/// What is kept of a try that was killed: content, which has its own hash as name.
const BLOBS: &str = "shards/0/blobs";

/// What is being recovered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    repository: String,
    lineage: String,
    index: LogIndex,
    account: Option<Address>,
}

fn io(path: &Path) -> impl Fn(io::Error) -> RecoverError + '_ {
    move |error| RecoverError::Io { path: path.display().to_string(), error }
}

/// The place for a recovery, with what an earlier try of the same one has fetched.
pub(super) fn begin(
    repository: &Repository,
    plan: &Plan,
    account: Option<&Address>,
    into: &Path,
) -> Result<PathBuf, RecoverError> {
    let name = into.file_name().map(|name| name.to_string_lossy().into_owned());
    let place = into.with_file_name(format!(".{}.recovering", name.unwrap_or_default()));
    let (repository, lineage) = (repository.marker().id.clone(), plan.lineage.clone());
    let mark = Mark { repository, lineage, index: plan.index, account: account.cloned() };
    let mark = serde_json::to_vec(&mark).map_err(io::Error::from).map_err(io(&place))?;
    if place.exists() {
        // Another process at work there is not to lose the ground.
        drop(Lock::take(&Layout::new(&place))?);
    }
    match fs::read(place.join(MARK)) {
        Ok(there) if there == mark => keep_blobs(&place).map_err(io(&place))?,
        _ => clear(&place)?,
    }
    make_private(&place).and_then(|()| fs::write(place.join(MARK), mark)).map_err(io(&place))?;
    Ok(place)
}

fn make_private(place: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(place)
}

/// The state is made anew.
fn keep_blobs(place: &Path) -> io::Result<()> {
    let aside = place.join("blobs");
    if place.join(BLOBS).is_dir() && !aside.exists() {
        fs::rename(place.join(BLOBS), &aside)?;
    }
    for entry in fs::read_dir(place)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            _ if entry.path() == aside => {}
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    if aside.exists() {
        make_private(&place.join("shards/0"))?;
        fs::rename(aside, place.join(BLOBS))?;
    }
    Ok(())
}

/// Gives what was made its name, durably.
pub(super) fn end(place: &Path, into: &Path) -> Result<(), RecoverError> {
    fs::remove_file(place.join(MARK)).map_err(io(place))?;
    fs::rename(place, into).map_err(io(into))?;
    let parent = into.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = File::open(parent.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
    synced.map_err(io(into))
}

/// Removes what was made.
pub(super) fn clear(place: &Path) -> Result<(), RecoverError> {
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io(place)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn of_a_try_that_was_killed_only_the_content_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path();
        for (file, kept) in [
            ("shards/0/blobs/0001.pack", true),
            ("shards/0/blobs/index/x", true),
            ("shards/0/views/CURRENT", false),
            ("keys/shard-0.secret", false),
            ("LOCK", false),
        ] {
            let path = place.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            // Killed in the middle of it, and once more.
            keep_blobs(place).unwrap();
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            keep_blobs(place).unwrap();
            assert_eq!(path.exists(), kept, "{file}");
        }
        fs::rename(place.join(BLOBS), place.join("blobs")).unwrap();
        keep_blobs(place).unwrap();
        assert!(place.join("shards/0/blobs/0001.pack").exists());
    }
}
