//! The bases of a history: descriptions, pieces, and every blob that their states name.

use std::collections::BTreeSet;

use super::log::closure;
use super::{Level, Looked, Report, Seen};
use crate::repo::base::Description;
use crate::repo::names::{self, BaseName};
use crate::repo::seal::Kind;
use crate::repo::{RepoError, Repository};

/// The bases that are whole.
pub(super) async fn bases(
    looked: &Looked<'_>,
    lineage: &str,
    report: &mut Report,
) -> Result<Seen, RepoError> {
    let repository = looked.repository;
    let names = looked.early(&names::bases_of(lineage), BaseName::parse);
    marks(looked, lineage, &names, report).await?;
    let mut sound = Seen::new();
    for name in names {
        let affects = || affected(&name);
        match repository.base(lineage, &name).await {
            Err(RepoError::Missing(_)) if is_expired(repository, lineage, &name).await? => {}
            Err(error) => report.take(error, affects)?,
            Ok(base) => {
                if is_whole(looked, &base, report).await? {
                    sound.insert(base.index(), base);
                }
            }
        }
    }
    Ok(sound)
}

/// Whether a base was expired since it was listed.
async fn is_expired(
    repository: &Repository,
    lineage: &str,
    name: &BaseName,
) -> Result<bool, RepoError> {
    let (sweeps, text) = (repository.sweeps().await?, name.name(lineage));
    Ok(sweeps.open.values().any(|(sweep, _)| sweep.bases.contains(&text)))
}

fn affected(name: &BaseName) -> String {
    format!("the base of entry {}, and moments that only it begins", name.index)
}

async fn is_whole(
    looked: &Looked<'_>,
    base: &Description,
    report: &mut Report,
) -> Result<bool, RepoError> {
    let (affects, before) = (|| affected(&base.name()), report.findings.len());
    for error in looked.repository.lacks(base, &looked.pieces) {
        report.take(error, affects)?;
    }
    if report.findings.len() == before && looked.level >= Level::Chain {
        match looked.repository.base_blobs(base).await {
            Err(error) => report.take(error, affects)?,
            Ok(mut blobs) => {
                blobs.retain(|blob| !looked.forgotten.allow(blob, base.index()));
                let whose = format!("the base of entry {}", base.index());
                closure(&looked.catalogue, &blobs, &whose, report);
            }
        }
    }
    Ok(report.findings.len() == before)
}

/// A base that was finished has a description, and one that has one is marked.
async fn marks(
    looked: &Looked<'_>,
    lineage: &str,
    bases: &[BaseName],
    report: &mut Report,
) -> Result<(), RepoError> {
    let marked = looked.early(&names::taken_of(lineage), BaseName::parse);
    let marked: BTreeSet<BaseName> = marked.into_iter().collect();
    let there: BTreeSet<BaseName> = bases.iter().cloned().collect();
    for name in marked.difference(&there).filter(|name| !looked.is_swept(lineage, name)) {
        let problem = "it is missing: the base was finished once, and not expired";
        report.affecting(&name.name(lineage), problem, affected(name));
    }
    for name in there.difference(&marked) {
        // The mark of one that was finished at this moment came after it.
        if looked.repository.objects().has(&names::taken(lineage, name)).await? {
            continue;
        }
        let problem = "it is missing: without it nobody notices when the base goes; \
                       the next base makes it again";
        report.found(&names::taken(lineage, name), problem);
    }
    Ok(())
}

/// Objects that say all by their names read.
pub(super) async fn read_marks(looked: &Looked<'_>, report: &mut Report) -> Result<(), RepoError> {
    let of_marks = |name: &&String| {
        ["taken/", "floors/", "pins/", "checks/"].iter().any(|folder| name.starts_with(folder))
    };
    for name in looked.sizes.keys().filter(of_marks) {
        match looked.repository.get(Kind::Mark, name).await {
            // What is gone since it was listed went on purpose, or is missed by what it marks.
            Ok(_) | Err(RepoError::Missing(_)) => {}
            Err(error) => report.take(error, || "what it says by its name".to_owned())?,
        }
    }
    Ok(())
}

/// Every octet of the pieces that bases name, each once.
pub(super) async fn data(
    repository: &Repository,
    base: &Description,
    done: &mut BTreeSet<names::PieceName>,
    wanted: impl Fn(&names::PieceName) -> bool,
    report: &mut Report,
) -> Result<(), RepoError> {
    for piece in base.pieces().filter(|piece| wanted(&piece.name)) {
        if !done.insert(piece.name) {
            continue;
        }
        match repository.piece_of(piece).await {
            Ok(octets) => report.read += octets.len() as u64,
            Err(error) => report.take(error, || affected(&base.name()))?,
        }
    }
    Ok(())
}
