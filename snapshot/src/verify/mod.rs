//! Whether the repository is what it should be: files, chain, data, and a scratch restore.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::LogIndex;
use serde::{Deserialize, Serialize};

use crate::repo::base::{Counts, Description, Sizes};
use crate::repo::forget::Forgettings;
use crate::repo::names::{self, BaseName, IndexName, PieceName};
use crate::repo::pack::Catalogue;
use crate::repo::seal::{HEADER_BYTES, TRAILER_BYTES, look, unhex};
use crate::repo::sweep::Sweeps;
use crate::repo::{RepoError, Repository};

mod bases;
mod log;
mod restored;
mod spans;

pub use restored::{Restored, verify_restored};
pub use spans::{Span, spans};

/// How much is looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Every pack and every piece of a base is there, with the length that it should have;
    /// indexes and descriptions read.
    Files,
    /// Also: the log is one chain, which goes through the bases, and both have every blob
    /// that they name.
    #[default]
    Chain,
    /// Also: every octet of every pack and piece is read, and each blob opens.
    Data,
    /// Also: a scratch restore has at each mark the state that the log recorded.
    Restore,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Which object.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
    /// What cannot be had because of it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affects: Option<String>,
}

/// Whether a history can be recovered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As far as it was looked at.
    Ok,
    /// Some of it; findings say what not.
    Mixed,
    /// Nothing of it.
    #[default]
    Error,
}

/// A base, in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRow {
    /// Its name: index and the beginning of the chain.
    pub name: String,
    /// The index that it is of.
    pub index: LogIndex,
    /// That entry's effective time, in milliseconds since 1970.
    pub time: i64,
    /// When it was begun.
    pub begun: i64,
    /// When it was finished.
    pub ended: i64,
    /// Whether it is to stay.
    pub pinned: bool,
    /// What it holds.
    pub counts: Counts,
    /// What it takes.
    pub sizes: Sizes,
}

impl BaseRow {
    fn of(base: &Description) -> Self {
        let name = base.name().name(&base.lineage);
        Self {
            name: name.rsplit('/').next().unwrap_or_default().to_owned(),
            index: base.index(),
            time: base.time().0,
            begun: base.begun,
            ended: base.ended,
            pinned: false,
            counts: base.counts,
            sizes: base.sizes,
        }
    }
}

/// A history in the repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Its name.
    pub lineage: String,
    /// Whether it can be recovered.
    pub status: Status,
    /// The first entry in a range.
    pub first: Option<LogIndex>,
    /// The last one.
    pub last: Option<LogIndex>,
    /// That entry's effective time, in milliseconds since 1970.
    pub time: Option<i64>,
    /// Ranges that hold its log.
    pub ranges: u64,
    /// Up to and with which entry nothing is kept on purpose.
    pub floor: Option<LogIndex>,
    /// Moments that can be had.
    pub spans: Vec<Span>,
    /// Its bases that are whole.
    pub bases: Vec<BaseRow>,
}

/// What verifying came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Objects in the repository.
    pub objects: u64,
    /// Their octets.
    pub bytes: u64,
    /// Octets that were read of packs and pieces.
    pub read: u64,
    /// Blobs that are there as a whole.
    pub blobs: u64,
    /// Octets of mail for each octet here, by the newest base; without one by the blobs.
    pub ratio: Option<f64>,
    /// Histories.
    pub histories: Vec<History>,
    /// What a scratch restore came to.
    #[serde(default)]
    pub restored: Option<Restored>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Every base that is whole, with its history.
    pub fn bases(&self) -> impl Iterator<Item = (&History, &BaseRow)> {
        self.histories.iter().flat_map(|history| history.bases.iter().map(move |b| (history, b)))
    }

    fn found(&mut self, object: &str, problem: impl ToString) {
        self.add(object, problem.to_string(), None);
    }

    fn affecting(&mut self, object: &str, problem: impl ToString, affects: impl ToString) {
        self.add(object, problem.to_string(), Some(affects.to_string()));
    }

    fn add(&mut self, object: &str, problem: String, affects: Option<String>) {
        let finding = Finding { object: object.to_owned(), problem, affects };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
    }

    /// What the object's own error is; what the repository does not answer ends it all.
    fn take(&mut self, error: RepoError, affects: impl Fn() -> String) -> Result<(), RepoError> {
        match &error {
            RepoError::Damaged { name, .. } | RepoError::Missing(name) => {
                let name = name.clone();
                self.affecting(&name, error, affects());
                Ok(())
            }
            RepoError::WrongKey { .. } => {
                self.affecting("keys", error, affects());
                Ok(())
            }
            _ => Err(error),
        }
    }

    /// A history's status by what was found, its own bases and ranges or what all share.
    fn judge(&mut self) {
        let findings = &self.findings;
        for history in &mut self.histories {
            let other = |object: &str| {
                object.split('/').nth(1).is_some_and(|lineage| {
                    lineage.len() == 32
                        && lineage != history.lineage
                        && !object.starts_with("index")
                })
            };
            let sound = findings.iter().all(|finding| other(&finding.object));
            history.status = match (history.spans.is_empty(), sound) {
                (true, _) => Status::Error,
                (false, true) => Status::Ok,
                (false, false) => Status::Mixed,
            };
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

    fn has(self, id: &[u8]) -> bool {
        id.first().is_some_and(|first| first % self.of == self.n - 1)
    }
}

/// The whole bases of a history, by index.
type Seen = BTreeMap<LogIndex, Description>;

/// What is known before anything but names and indexes was read.
struct Looked<'a> {
    repository: &'a Repository,
    level: Level,
    /// Marks of bases, bases and ranges, listed in this order before all else: what they name
    /// was there before them.
    early: BTreeSet<String>,
    sizes: BTreeMap<String, u64>,
    pieces: BTreeMap<PieceName, u64>,
    sweeps: Sweeps,
    catalogue: Catalogue,
    forgotten: Forgettings,
}

impl Looked<'_> {
    /// The names in a folder that were listed first, read.
    fn early<T>(&self, folder: &str, parse: impl Fn(&str) -> Option<T>) -> Vec<T> {
        let from = format!("{folder}/");
        let names = self.early.range(from.clone()..).take_while(|name| name.starts_with(&from));
        names.filter_map(|name| parse(name.rsplit('/').next()?)).collect()
    }

    /// Whether a pack was expired since it was listed, or its index written anew.
    async fn went(&self, index: &IndexName) -> Result<bool, RepoError> {
        let next = IndexName { generation: index.generation.saturating_add(1), ..*index };
        let swept = self.sweeps.names(&names::pack(&index.pack));
        Ok(swept || self.repository.objects().has(&next.name()).await?)
    }

    /// Whether a base is being expired.
    fn is_swept(&self, lineage: &str, base: &BaseName) -> bool {
        let name = base.name(lineage);
        self.sweeps.open.values().any(|(sweep, _)| sweep.bases.contains(&name))
    }
}

/// Times that a repository is looked at again in which something was forgotten meanwhile.
const AGAIN: usize = 3;

/// Looks at all of the repository; with a subset, at the octets of a part of its packs.
///
/// # Errors
/// [`RepoError::Unreachable`]; what is wrong with objects is in the report.
pub async fn verify(
    repository: &Repository,
    level: Level,
    subset: Option<Subset>,
) -> Result<Report, RepoError> {
    for _ in 0..AGAIN {
        let before = repository.indexes().await?;
        let report = look_at(repository, level, subset).await?;
        let after: BTreeSet<IndexName> = repository.indexes().await?.into_iter().collect();
        if report.findings.is_empty() || before.iter().all(|index| after.contains(index)) {
            return Ok(report);
        }
    }
    look_at(repository, level, subset).await
}

async fn look_at(
    repository: &Repository,
    level: Level,
    subset: Option<Subset>,
) -> Result<Report, RepoError> {
    let mut report = Report::default();
    let mut looked = list(repository, level).await?;
    report.objects = looked.sizes.len() as u64;
    report.bytes = looked.sizes.values().sum();
    looked.sweeps = sweeps(repository, &mut report).await?;
    match repository.forgettings().await {
        Ok(forgotten) => looked.forgotten = forgotten,
        Err(error) => report.take(error, || "what was erased".to_owned())?,
    }
    let indexes = files(&mut looked, &mut report).await?;
    let blobs = looked.catalogue.ids().filter(|id| looked.catalogue.head(id).is_some());
    report.blobs = blobs.count() as u64;
    bases::read_marks(&looked, &mut report).await?;
    let mut bases = Vec::new();
    for lineage in lineages(&looked, &mut report).await? {
        let before = report.findings.len();
        let (mut history, seen) = log::history(&looked, &lineage, &mut report).await?;
        pinned(repository, &mut history).await?;
        report.histories.push(history);
        bases.extend(seen.into_values());
        if report.findings.iter().skip(before).any(|finding| finding.object == names::INDEX) {
            orphans(&looked.sizes, &mut report);
        }
    }
    if level >= Level::Data {
        octets(&looked, &indexes, &bases, subset, &mut report).await?;
    }
    report.ratio = ratio(&report, &looked.catalogue);
    report.findings.sort();
    report.judge();
    Ok(report)
}

/// Lists so that an archive, a base or an expiry beside makes nothing look as if it was lost.
async fn list(repository: &Repository, level: Level) -> Result<Looked<'_>, RepoError> {
    let mut early = BTreeSet::new();
    for folder in ["taken", "bases", "log"] {
        let listed = repository.objects().list(folder, None).await?;
        early.extend(listed.into_iter().map(|object| object.name));
    }
    let listed = repository.objects().list("", None).await?;
    let sizes: BTreeMap<String, u64> =
        listed.into_iter().map(|object| (object.name, object.size)).collect();
    let (pieces, sweeps, catalogue) = (pieces(&sizes), Sweeps::default(), Catalogue::default());
    let forgotten = Forgettings::default();
    Ok(Looked { repository, level, early, sizes, pieces, sweeps, catalogue, forgotten })
}

fn pieces(sizes: &BTreeMap<String, u64>) -> BTreeMap<PieceName, u64> {
    let piece = |(name, size): (&String, &u64)| {
        let last = name.strip_prefix("pieces/")?.rsplit('/').next()?;
        Some((PieceName::parse(last)?, *size))
    };
    sizes.iter().filter_map(piece).collect()
}

async fn sweeps(repository: &Repository, report: &mut Report) -> Result<Sweeps, RepoError> {
    let mut sweeps = Sweeps::default();
    for (number, made) in repository.sweep_numbers().await? {
        match repository.sweep(number).await {
            Ok(sweep) => drop(sweeps.open.insert(number, (sweep, made))),
            // Done meanwhile.
            Err(RepoError::Missing(_)) => {}
            Err(error) => report.take(error, || "what is to be removed".to_owned())?,
        }
        sweeps.newest = number;
    }
    Ok(sweeps)
}

async fn pinned(repository: &Repository, history: &mut History) -> Result<(), RepoError> {
    let pins = repository.pins(&history.lineage).await?;
    for base in &mut history.bases {
        base.pinned = BaseName::parse(&base.name).is_some_and(|name| pins.contains(&name));
    }
    Ok(())
}

async fn octets(
    looked: &Looked<'_>,
    indexes: &[IndexName],
    bases: &[Description],
    subset: Option<Subset>,
    report: &mut Report,
) -> Result<(), RepoError> {
    let wanted = |id: &[u8]| subset.is_none_or(|part| part.has(id));
    for index in indexes.iter().filter(|index| wanted(&index.pack)) {
        data(looked, index, report).await?;
    }
    let mut done = BTreeSet::new();
    for base in bases {
        bases::data(looked.repository, base, &mut done, |name| wanted(&name.id), report).await?;
    }
    Ok(())
}

/// Octets of mail for each octet in the repository.
fn ratio(report: &Report, catalogue: &Catalogue) -> Option<f64> {
    let bases = report.histories.iter().flat_map(|history| &history.bases);
    let newest = bases.max_by_key(|base| base.ended).map(|base| base.counts.raw_bytes);
    let raw = newest.unwrap_or_else(|| catalogue.raw_bytes());
    (report.bytes > 0 && raw > 0).then(|| raw as f64 / report.bytes as f64)
}

/// Histories that have anything. The secret reads.
async fn lineages(looked: &Looked<'_>, report: &mut Report) -> Result<BTreeSet<String>, RepoError> {
    let of = |name: &String| {
        let mut parts = name.split('/');
        let known = matches!(parts.next(), Some("log" | "secrets" | "bases" | "taken" | "floors"));
        parts.next().filter(|_| known).map(str::to_owned)
    };
    let lineages: BTreeSet<String> = looked.sizes.keys().filter_map(of).collect();
    for lineage in &lineages {
        if let Err(error) = looked.repository.secret(lineage).await {
            report.take(error, || "all of this history".to_owned())?;
        }
    }
    Ok(lineages)
}

/// What is lost with a key or an index.
const AFFECTED: &str = "whatever it opens";

fn lost(pieces: &[crate::repo::pack::Piece]) -> String {
    format!("{} blobs, and the emails that have them", pieces.len())
}

/// Keys and indexes read; packs are as long as their indexes say.
async fn files(looked: &mut Looked<'_>, report: &mut Report) -> Result<Vec<IndexName>, RepoError> {
    let repository = looked.repository;
    for name in looked.sizes.keys().filter(|name| name.starts_with("keys/")) {
        let bytes = repository.objects().get(name).await?;
        if let Err(error) = look(name, &bytes) {
            report.take(error, || AFFECTED.to_owned())?;
        }
    }
    let mut sound = Vec::new();
    for index in newest_indexes(&looked.sizes) {
        let pack = names::pack(&index.pack);
        let pieces = match repository.index(&index).await {
            Ok(pieces) => pieces,
            // It went, or one of the next generation took its place.
            Err(RepoError::Missing(_)) if looked.went(&index).await? => continue,
            Err(error) => {
                report.take(error, || AFFECTED.to_owned())?;
                continue;
            }
        };
        let end = pieces.iter().map(|piece| piece.end(repository.is_encrypted())).max();
        let least = end.unwrap_or(0) + (HEADER_BYTES + TRAILER_BYTES) as u64;
        match looked.sizes.get(&pack) {
            None if looked.sweeps.names(&pack) => continue,
            None => report.affecting(&pack, "it is missing", lost(&pieces)),
            Some(size) if *size < least => report.affecting(&pack, "it was cut", lost(&pieces)),
            Some(_) => sound.push(index),
        }
        looked.catalogue.add(index.pack, pieces);
    }
    Ok(sound)
}

/// The newest index of each pack.
fn newest_indexes(sizes: &BTreeMap<String, u64>) -> Vec<IndexName> {
    let mut newest: BTreeMap<[u8; 16], IndexName> = BTreeMap::new();
    for name in sizes.keys().filter_map(|name| name.strip_prefix("index/")) {
        if let Some(index) = IndexName::parse(name) {
            let known = newest.entry(index.pack).or_insert(index);
            *known = index.max(*known);
        }
    }
    newest.into_values().collect()
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

/// Every octet of a pack, and each of its pieces.
async fn data(
    looked: &Looked<'_>,
    index: &IndexName,
    report: &mut Report,
) -> Result<(), RepoError> {
    let (repository, name) = (looked.repository, names::pack(&index.pack));
    let checked = async {
        let bytes = repository.objects().get(&name).await?;
        look(&name, &bytes)?;
        repository.open_pieces(&index.pack, &repository.index(index).await?, &bytes)?;
        Ok(bytes.len() as u64)
    };
    match checked.await {
        Ok(read) => report.read += read,
        Err(RepoError::Missing(_)) if looked.went(index).await? => {}
        Err(error) => report.take(error, || "blobs of this pack".to_owned())?,
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
