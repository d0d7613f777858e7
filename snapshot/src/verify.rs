//! Whether the repository is what it should be: files, chain, data.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{BlobId, LogIndex};
use serde::{Deserialize, Serialize};

use crate::plan::cover;
use crate::recover::blobs_of;
use crate::repo::names::{self, IndexName};
use crate::repo::pack::Catalogue;
use crate::repo::seal::{HEADER_BYTES, TRAILER_BYTES, look, unhex};
use crate::repo::{RepoError, Repository};

/// How much is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every pack of an index is there, with the length that it should have; indexes read.
    Files,
    /// Also: the log is one chain, and has every blob that it names.
    #[default]
    Chain,
    /// Also: every octet of every pack is read, and each blob opens.
    Data,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Which object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
}

/// A history in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Its name.
    pub lineage: String,
    /// The first entry that can be had.
    pub first: Option<LogIndex>,
    /// The last entry up to which all can be had.
    pub last: Option<LogIndex>,
    /// That entry's effective time, in milliseconds since 1970.
    pub time: Option<i64>,
    /// Ranges that hold its log.
    pub ranges: u64,
}

/// What verifying came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Objects in the repository.
    pub objects: u64,
    /// Their octets.
    pub bytes: u64,
    /// Octets that were read of packs.
    pub read: u64,
    /// Blobs that are there as a whole.
    pub blobs: u64,
    /// Histories.
    pub histories: Vec<History>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    fn found(&mut self, object: &str, problem: impl ToString) {
        let finding = Finding { object: object.to_owned(), problem: problem.to_string() };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// What the object's own error is; what the repository does not answer ends it all.
    fn take(&mut self, error: RepoError) -> Result<(), RepoError> {
        match &error {
            RepoError::Damaged { name, .. } | RepoError::Missing(name) => {
                let name = name.clone();
                self.found(&name, error);
                Ok(())
            }
            RepoError::WrongKey { .. } => {
                self.found("keys", error);
                Ok(())
            }
            _ => Err(error),
        }
    }
}

/// A part of the packs: the `n`th of `of` parts, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// Which part.
    pub n: u8,
    /// Of how many.
    pub of: u8,
}

impl Subset {
    /// Reads `n/of`.
    pub fn parse(text: &str) -> Option<Self> {
        let (n, of) = text.split_once('/')?;
        let (n, of) = (n.parse().ok()?, of.parse().ok()?);
        (1..=of).contains(&n).then_some(Self { n, of })
    }

    fn has(self, pack: &[u8; 16]) -> bool {
        let [first, ..] = pack;
        first % self.of == self.n - 1
    }
}

/// Looks at all of the repository; with a subset, at the octets of a part of its packs.
///
/// # Errors
/// [`RepoError::Unreachable`]; what is wrong with objects is in the report.
pub async fn verify(
    repository: &Repository,
    level: Level,
    subset: Option<Subset>,
) -> Result<Report, RepoError> {
    let mut report = Report::default();
    let listed = repository.objects().list("", None).await?;
    let sizes: BTreeMap<String, u64> =
        listed.into_iter().map(|object| (object.name, object.size)).collect();
    report.objects = sizes.len() as u64;
    report.bytes = sizes.values().sum();
    let (catalogue, indexes) = files(repository, &sizes, &mut report).await?;
    report.blobs = catalogue.ids().filter(|id| catalogue.head(id).is_some()).count() as u64;
    if level >= Level::Chain {
        for lineage in lineages(repository, &sizes, &mut report).await? {
            let before = report.findings.len();
            let history = chain(repository, &lineage, &catalogue, &mut report).await?;
            report.histories.push(history);
            if report.findings.iter().skip(before).any(|finding| finding.object == names::INDEX) {
                orphans(&sizes, &mut report);
            }
        }
    }
    if level >= Level::Data {
        for index in indexes.iter().filter(|index| subset.is_none_or(|part| part.has(&index.pack)))
        {
            data(repository, index, &mut report).await?;
        }
    }
    report.findings.sort();
    Ok(report)
}

/// Histories that have a log or a secret. The secret reads.
async fn lineages(
    repository: &Repository,
    sizes: &BTreeMap<String, u64>,
    report: &mut Report,
) -> Result<BTreeSet<String>, RepoError> {
    let of = |name: &String| {
        let mut parts = name.split('/');
        let known = matches!(parts.next(), Some("log" | "secrets"));
        parts.next().filter(|_| known).map(str::to_owned)
    };
    let lineages: BTreeSet<String> = sizes.keys().filter_map(of).collect();
    for lineage in &lineages {
        if let Err(error) = repository.secret(lineage).await {
            report.take(error)?;
        }
    }
    Ok(lineages)
}

/// Keys and indexes read; packs are as long as their indexes say.
async fn files(
    repository: &Repository,
    sizes: &BTreeMap<String, u64>,
    report: &mut Report,
) -> Result<(Catalogue, Vec<IndexName>), RepoError> {
    for name in sizes.keys().filter(|name| name.starts_with("keys/")) {
        let bytes = repository.objects().get(name).await?;
        if let Err(error) = look(name, &bytes) {
            report.take(error)?;
        }
    }
    let (mut catalogue, mut sound) = (Catalogue::default(), Vec::new());
    for index in repository.indexes().await? {
        let pack = names::pack(&index.pack);
        let pieces = match repository.index(&index).await {
            Ok(pieces) => pieces,
            Err(error) => {
                report.take(error)?;
                continue;
            }
        };
        let end = pieces.iter().map(|piece| piece.end(repository.is_encrypted())).max();
        let least = end.unwrap_or(0) + (HEADER_BYTES + TRAILER_BYTES) as u64;
        match sizes.get(&pack) {
            None => report.found(&pack, "it is missing"),
            Some(size) if *size < least => report.found(&pack, "it was cut"),
            Some(_) => sound.push(index),
        }
        catalogue.add(index.pack, pieces);
    }
    Ok((catalogue, sound))
}

/// A crash leaves packs without an index too; where blobs are missing they tell which.
fn orphans(sizes: &BTreeMap<String, u64>, report: &mut Report) {
    let indexes: BTreeSet<[u8; 16]> = sizes
        .keys()
        .filter_map(|name| IndexName::parse(name.strip_prefix("index/")?))
        .map(|index| index.pack)
        .collect();
    for name in sizes.keys().filter(|name| name.starts_with("packs/")) {
        let id = name.rsplit('/').next().and_then(unhex);
        if let Some(pack) = id.filter(|id| !indexes.contains(id)) {
            let index = IndexName { pack, generation: 0 }.name();
            report.found(&index, "it is missing, and its pack is there");
        }
    }
}

/// One chain from the first entry to the last, with all its blobs.
async fn chain(
    repository: &Repository,
    lineage: &str,
    catalogue: &Catalogue,
    report: &mut Report,
) -> Result<History, RepoError> {
    let names = repository.ranges(lineage, None).await?;
    let mut sound = Vec::with_capacity(names.len());
    let (mut before, mut wanted) = (None, BTreeSet::new());
    let (mut last, mut time) = (None, None);
    for name in &names {
        let range = match repository.range(lineage, name).await {
            Ok(range) => range,
            Err(error) => {
                report.take(error)?;
                continue;
            }
        };
        wanted.extend(blobs_of(&range.entries, LogIndex(u64::MAX))?);
        let Some((begin, end)) = range.ends() else { continue };
        if before.is_some_and(|(next, chain)| begin.id.index == next && range.before != chain) {
            report.found(&name.name(lineage), "it does not continue the chain before it");
        }
        before = Some((LogIndex(end.id.index.0.saturating_add(1)), end.chain));
        sound.push(name.clone());
        (last, time) = (last.max(Some(end.id.index)), time.max(Some(end.time.0)));
    }
    let first = names.iter().map(|name| name.first).min();
    // Bases are for later: until then the log alone gives the state.
    if let Some(end) = last
        && let Err(index) = cover(&sound, LogIndex(0), end)
    {
        report.found(&names::log_of(lineage), format!("entry {index} is in no sound range"));
    }
    closure(catalogue, &wanted, report);
    let ranges = names.len() as u64;
    Ok(History { lineage: lineage.to_owned(), first, last, time, ranges })
}

fn closure(catalogue: &Catalogue, wanted: &BTreeSet<BlobId>, report: &mut Report) {
    let mut missing = BTreeSet::new();
    for id in wanted {
        match catalogue.head(id) {
            None => drop(missing.insert(*id)),
            Some(head) => {
                let lacks = |part: &&BlobId| catalogue.head(part).is_none();
                missing.extend(head.parts.iter().filter(lacks));
            }
        }
    }
    if let Some(first) = missing.first() {
        let problem =
            format!("{} blobs of the log are in no pack, the first is {first}", missing.len());
        report.found(names::INDEX, problem);
    }
}

/// Every octet of a pack, and each of its pieces.
async fn data(
    repository: &Repository,
    index: &IndexName,
    report: &mut Report,
) -> Result<(), RepoError> {
    let name = names::pack(&index.pack);
    let checked = async {
        let bytes = repository.objects().get(&name).await?;
        look(&name, &bytes)?;
        repository.open_pieces(&index.pack, &repository.index(index).await?, &bytes)?;
        Ok(bytes.len() as u64)
    };
    match checked.await {
        Ok(read) => report.read += read,
        Err(error) => report.take(error)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subsets_are_parts_of_a_whole() {
        assert_eq!(Subset::parse("2/7"), Some(Subset { n: 2, of: 7 }));
        for wrong in ["", "0/7", "8/7", "1", "1/0", "a/b", "1/2/3"] {
            assert_eq!(Subset::parse(wrong), None, "{wrong}");
        }
        for first in 0..=255 {
            let parts = (1..=7).filter(|n| Subset { n: *n, of: 7 }.has(&[first; 16])).count();
            assert_eq!(parts, 1);
        }
    }
}
