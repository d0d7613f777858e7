//! Checks an export, without a server: that all of it is as it was written, and where it is from.
//!
//! The manifest's hash stands in a record, that record and those of the emails under the head's
//! root, and the head is signed by a key or is one that is known from elsewhere. Who has neither
//! can only say that everything fits together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Component, Path};

use redoubt_log::id::{AccountId, BlobId, Hash, LogIndex};
use redoubt_log::record::{Change, DiscoveryEnd};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::brought::{Brought, brought, record_of};
use super::files::Hasher;
use super::manifest::MAX_MANIFEST;
use super::{Digests, FORMAT, FileLine, Item, Manifest, VERSION, mbox};
use crate::heads::note::MAX_NOTE;
use crate::heads::{Checkpoint, Consistency, Proven, PublicKey, SignedHead};

/// The most octets of a line: an entry of the log in base64, with its proof.
const MAX_LINE: u64 = 8 << 20;
/// The most octets of a message.
const MAX_MESSAGE: u64 = 4 << 30;
/// What is told of one kind of trouble; the rest is counted.
const TOLD: usize = 1000;
/// Files that `files.jsonl` does not name.
const OWN: [&str; 4] = ["manifest.json", "files.jsonl", "proof/head.txt", "proof/records.jsonl"];

/// By what an export's head is trusted.
#[derive(Debug, Clone)]
pub enum Trust {
    /// One of these keys must have signed it.
    Keys(Vec<PublicKey>),
    /// It must be this one.
    Head(Box<SignedHead>),
    /// The log that it is of must have become the one with this later head.
    Later(Box<Consistency>),
    /// By nothing.
    Nobody,
}

/// What an export is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// All of it is as it was written, and every email is in the log of which the head is.
    Proven,
    /// As above, but records of some emails were not proven when the export was made.
    PartlyProven,
    /// Everything fits together; nothing says where it comes from.
    OriginNotProven,
    /// Something was altered, added or removed.
    Broken,
}

/// What a check came to.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What it is worth.
    pub verdict: Verdict,
    /// What was altered, added or is missing.
    pub problems: Vec<String>,
    /// How many problems there are in all.
    pub problem_count: u64,
    /// Emails whose records are not proven, each with why.
    pub unproven: Vec<String>,
    /// How many these are in all.
    pub unproven_count: u64,
    /// Emails looked at.
    pub emails: u64,
    /// Files looked at.
    pub files: u64,
    /// Records proven.
    pub records: u64,
    /// The head, as far as it reads.
    pub head: Option<String>,
    /// The description, as far as it reads.
    pub manifest: Option<Manifest>,
}

/// Checks the export in a folder. `progress` is told how many octets were read.
///
/// # Errors
/// When the folder cannot be read at all.
pub fn verify(dir: &Path, trust: &Trust, progress: &mut dyn FnMut(u64)) -> std::io::Result<Report> {
    fs::read_dir(dir)?;
    let mut check = Check {
        dir,
        problems: Told::default(),
        unproven: Told::default(),
        files: HashMap::new(),
        named: HashMap::new(),
        records: BTreeMap::new(),
        manifest: None,
        head: None,
        own: BTreeSet::new(),
        emails: 0,
        proven: 0,
        buffer: vec![0; 128 * 1024],
        progress,
    };
    let trusted = check.all(trust);
    Ok(check.report(trusted))
}

#[derive(Debug, Default)]
struct Told {
    told: Vec<String>,
    count: u64,
}

impl Told {
    fn tell(&mut self, what: String) {
        self.count += 1;
        if self.told.len() < TOLD {
            self.told.push(what);
        }
    }
}

struct Check<'a> {
    dir: &'a Path,
    problems: Told,
    unproven: Told,
    /// Files that are listed, by name: BLAKE3 as listed.
    files: HashMap<String, String>,
    /// Records that emails name, and have no proof.
    named: HashMap<u64, String>,
    /// Records that are proven.
    records: BTreeMap<u64, Brought>,
    manifest: Option<(Manifest, Hash)>,
    head: Option<SignedHead>,
    /// Records that no email needs to name.
    own: BTreeSet<u64>,
    emails: u64,
    proven: u64,
    buffer: Vec<u8>,
    progress: &'a mut dyn FnMut(u64),
}

impl Check<'_> {
    fn wrong(&mut self, what: impl Into<String>) {
        self.problems.tell(what.into());
    }

    fn all(&mut self, trust: &Trust) -> bool {
        self.manifest();
        self.files();
        self.added();
        let trusted = self.head(trust);
        self.records();
        self.emails();
        trusted
    }

    fn report(self, trusted: bool) -> Report {
        let verdict = match (self.problems.count, trusted, self.unproven.count) {
            (1.., _, _) => Verdict::Broken,
            (0, false, _) => Verdict::OriginNotProven,
            (0, true, 1..) => Verdict::PartlyProven,
            (0, true, 0) => Verdict::Proven,
        };
        let head = self.head.map(|head| head.checkpoint);
        let head = head.map(|h| format!("{}, entry {}, {}", h.origin, h.index, h.time));
        Report {
            verdict,
            problems: self.problems.told,
            problem_count: self.problems.count,
            unproven: self.unproven.told,
            unproven_count: self.unproven.count,
            emails: self.emails,
            files: self.files.len() as u64,
            records: self.proven,
            head,
            manifest: self.manifest.map(|(manifest, _)| manifest),
        }
    }

    /// A small file, as text.
    fn small(&mut self, name: &str, most: u64) -> Option<String> {
        let mut octets = Vec::new();
        let read = File::open(self.dir.join(name))
            .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut octets));
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.wrong(format!("{name} is missing"));
                return None;
            }
            Err(error) => {
                self.wrong(format!("{name} cannot be read: {error}"));
                return None;
            }
            Ok(_) => {}
        }
        let text = String::from_utf8(octets).ok().filter(|text| text.len() as u64 <= most);
        if text.is_none() {
            self.wrong(format!("{name} was altered: it is no text of its kind"));
        }
        text
    }

    fn manifest(&mut self) {
        let Some(text) = self.small("manifest.json", MAX_MANIFEST) else { return };
        let hash = Hash(*blake3::hash(text.as_bytes()).as_bytes());
        match serde_json::from_str::<Manifest>(&text) {
            Ok(manifest) if manifest.format != FORMAT || manifest.version > VERSION => {
                let Manifest { format, version, .. } = manifest;
                self.wrong(format!(
                    "manifest.json is of {format} version {version}: this program knows {FORMAT} \
                     up to version {VERSION}"
                ));
            }
            Ok(manifest) => self.manifest = Some((manifest, hash)),
            Err(error) => self.wrong(format!("manifest.json was altered: {error}")),
        }
    }

    // --------------------------------------------------------------- files

    fn files(&mut self) {
        let Some(digests) = self.digests("files.jsonl") else {
            self.wrong("files.jsonl is missing");
            return;
        };
        let listed = self.manifest.as_ref().map(|(m, _)| (m.files.clone(), m.file_count));
        if listed.as_ref().is_some_and(|(files, _)| *files != digests) {
            self.wrong("files.jsonl was altered: the manifest gives it another hash");
        }
        let mut count = 0;
        self.lines("files.jsonl", &mut |check, line: FileLine| {
            count += 1;
            check.file(line);
        });
        if let Some((_, listed)) = listed.filter(|(_, listed)| *listed != count) {
            self.wrong(format!("files.jsonl names {count} files, the manifest says {listed}"));
        }
    }

    fn file(&mut self, line: FileLine) {
        let FileLine { path, digests } = line;
        if !is_below(&path) {
            return self.wrong(format!("files.jsonl names {path:?}, which is not in the export"));
        }
        match self.digests(&path) {
            None => self.wrong(format!("{path} is missing")),
            Some(found) if found != digests => {
                let (was, is) = (&digests.blake3, &found.blake3);
                self.wrong(format!("{path} was altered: BLAKE3 was {was}, is {is}"));
            }
            Some(_) => {}
        }
        if self.files.insert(path.clone(), digests.blake3).is_some() {
            self.wrong(format!("files.jsonl names {path} twice"));
        }
    }

    /// What a file has; `None` where there is none.
    fn digests(&mut self, name: &str) -> Option<Digests> {
        let path = self.dir.join(name);
        if !path.symlink_metadata().ok()?.is_file() {
            return None;
        }
        let mut file = File::open(path).ok()?;
        let mut hasher = Hasher::default();
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => return Some(hasher.digests()),
                Ok(read) => {
                    hasher.update(self.buffer.get(..read).unwrap_or_default());
                    (self.progress)(read as u64);
                }
                Err(error) => {
                    self.wrong(format!("{name} cannot be read: {error}"));
                    return None;
                }
            }
        }
    }

    /// Everything in the folder is named.
    fn added(&mut self) {
        let mut open = vec![String::new()];
        while let Some(folder) = open.pop() {
            let entries = match fs::read_dir(self.dir.join(&folder)) {
                Ok(entries) => entries,
                Err(error) => {
                    self.wrong(format!("{folder} cannot be read: {error}"));
                    continue;
                }
            };
            for entry in entries.filter_map(Result::ok) {
                let name = entry.file_name().to_string_lossy().into_owned();
                let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(name),
                    Ok(kind) if kind.is_file() && self.knows(&name) => {}
                    _ => self.wrong(format!("{name} was added: the export did not have it")),
                }
            }
        }
    }

    fn knows(&self, name: &str) -> bool {
        OWN.contains(&name) || self.files.contains_key(name)
    }

    /// Shows the lines of a file of JSON, each written as this program writes it.
    fn lines<T: DeserializeOwned + Serialize>(
        &mut self,
        name: &str,
        look: &mut dyn FnMut(&mut Self, T),
    ) {
        let Ok(file) = File::open(self.dir.join(name)) else { return };
        let (mut file, mut number) = (BufReader::new(file), 0_u64);
        loop {
            number += 1;
            let mut line = Vec::new();
            match (&mut file).take(MAX_LINE).read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return self.wrong(format!("{name} cannot be read: {error}")),
            }
            match read_line::<T>(&line) {
                Some(object) => look(self, object),
                None => self.wrong(format!("{name} was altered: line {number} does not read")),
            }
        }
    }

    // --------------------------------------------------------------- proof

    /// Whether the head is to be trusted.
    fn head(&mut self, trust: &Trust) -> bool {
        let Some(text) = self.small("proof/head.txt", MAX_NOTE as u64) else { return false };
        let head = match SignedHead::read(&text) {
            Ok(head) => head,
            Err(error) => {
                self.wrong(format!("proof/head.txt was altered: {error}"));
                return false;
            }
        };
        let trusted = match trust {
            Trust::Nobody => false,
            Trust::Keys(keys) => {
                let signed = head.signed_by(keys).is_some();
                if !signed {
                    self.wrong(
                        "proof/head.txt is not signed by the given key: it, or all of the export, \
                         was made by somebody else",
                    );
                }
                signed
            }
            Trust::Head(known) => {
                let same = known.checkpoint == head.checkpoint;
                if !same {
                    self.other(&head.checkpoint, &known.checkpoint);
                }
                same
            }
            Trust::Later(later) => match later.shows(&head.checkpoint) {
                Ok(()) => true,
                Err(error) => {
                    self.wrong(format!("proof/head.txt: {error}"));
                    false
                }
            },
        };
        let lineage = self.manifest.as_ref().map(|(m, _)| crate::heads::origin(&m.about.lineage));
        if lineage.is_some_and(|lineage| lineage != head.checkpoint.origin) {
            self.wrong("proof/head.txt is of another log than the manifest says");
        }
        self.head = Some(head);
        trusted
    }

    fn other(&mut self, is: &Checkpoint, known: &Checkpoint) {
        let (Checkpoint { origin, size, .. }, was) = (is, known);
        let hint = match origin == &was.origin && *size < was.size {
            true => "; `redoubt audit consistency` shows whether the one is the other's beginning",
            false => "",
        };
        self.wrong(format!(
            "proof/head.txt is another head than the given one: {origin} at {size} leaves, not \
             {} at {}{hint}",
            was.origin, was.size
        ));
    }

    fn records(&mut self) {
        if !self.dir.join("proof/records.jsonl").is_file() {
            return self.wrong("proof/records.jsonl is missing");
        }
        let mut last = None;
        self.lines("proof/records.jsonl", &mut |check, line: Proven| {
            if last.is_some_and(|last| line.index <= last) {
                check.wrong(format!("proof/records.jsonl was altered: {} comes again", line.index));
            }
            last = Some(line.index);
            check.record(line);
        });
        let Some((manifest, hash)) = &self.manifest else { return };
        if self.own.is_empty() {
            let (job, hash) = (manifest.about.job.clone(), *hash);
            self.wrong(format!(
                "manifest.json was altered: no record of the log says that export {job} has a \
                 manifest with BLAKE3 {hash}"
            ));
        }
    }

    fn record(&mut self, line: Proven) {
        let index = line.index;
        let proof = match (line.proof, line.unproven) {
            (Some(proof), None) => proof,
            (None, Some(why)) => {
                self.named.insert(index, why);
                return;
            }
            _ => return self.wrong(format!("proof/records.jsonl was altered: record {index}")),
        };
        let head = self.head.as_ref().map(|head| &head.checkpoint);
        let holds = head.is_some_and(|head| proof.holds(LogIndex(index), head.size, &head.root));
        if !holds {
            return self.wrong(format!("record {index} is not in the log that the head is of"));
        }
        self.proven += 1;
        if proof.content.is_some() {
            return self.withheld(index);
        }
        let Some(record) = record_of(&proof.octets().unwrap_or_default()) else {
            return self.wrong(format!("record {index} does not read: use a newer program"));
        };
        if let Change::DiscoveryEnd(end) = &record.change
            && self.is_own(end)
        {
            self.own.insert(index);
        }
        self.records.insert(index, brought(&record.change));
    }

    /// That it is there is proven; what it says was left out.
    fn withheld(&mut self, index: u64) {
        if self.manifest.as_ref().is_some_and(|(manifest, _)| !manifest.about.without_records) {
            let what = "the manifest does not say that records were left out";
            return self.wrong(format!("proof/records.jsonl was altered: record {index}: {what}"));
        }
        self.named.insert(index, "it is in the log; what it says was left out".to_owned());
    }

    /// Whether this is the record that says what the export's manifest is.
    fn is_own(&self, end: &DiscoveryEnd) -> bool {
        self.manifest.as_ref().is_some_and(|(manifest, hash)| {
            let counts = manifest.counts;
            end.job.to_string() == manifest.about.job
                && end.manifest == Some(*hash)
                && (end.found, end.failed) == (counts.exported, counts.failed)
        })
    }

    // -------------------------------------------------------------- emails

    fn emails(&mut self) {
        let mut needed = BTreeSet::new();
        self.lines("emails.jsonl", &mut |check, item: Item| {
            needed.extend(item.records.iter().copied());
            check.emails += 1;
            check.email(&item);
        });
        let known: Vec<u64> = self.records.keys().chain(self.named.keys()).copied().collect();
        let more = known.into_iter().filter(|i| !needed.contains(i) && !self.own.contains(i));
        for index in more.collect::<Vec<_>>() {
            self.wrong(format!("proof/records.jsonl has record {index}, which no email needs"));
        }
        let counted = self.manifest.as_ref().map(|(manifest, _)| manifest.counts.exported);
        if let Some(counted) = counted.filter(|counted| *counted != self.emails) {
            let emails = self.emails;
            self.wrong(format!("emails.jsonl has {emails} emails, the manifest says {counted}"));
        }
    }

    fn email(&mut self, item: &Item) {
        let control = &item.control;
        let Ok(blob) = item.blob.parse::<BlobId>() else {
            return self.wrong(format!("emails.jsonl was altered: {control} has no hash"));
        };
        if let Err(what) = self.octets(item, &blob) {
            self.wrong(format!("{control}: {what}"));
        }
        let (mut proven, mut why) = (false, None);
        if item.records.is_empty() {
            why = Some("its history was let go before it was exported".to_owned());
        }
        for index in &item.records {
            match (self.records.get(index), self.named.get(index)) {
                (Some(record), _) => {
                    let whose = AccountId(item.account_id);
                    proven |= record.iter().any(|(b, a)| *b == blob && a.contains(&whose));
                }
                (None, Some(reason)) => why = Some(format!("record {index}: {reason}")),
                (None, None) => {
                    let what = format!("{control}: record {index} is missing from the proof");
                    self.problems.tell(what);
                }
            }
        }
        match (proven, why) {
            (_, Some(why)) => self.unproven.tell(format!("{control}: {why}")),
            (false, None) => {
                let why = "the record that brought it was let go from the history before";
                self.unproven.tell(format!("{control}: {why}"));
            }
            (true, None) => {}
        }
    }

    /// The octets in the export are those that the log names.
    fn octets(&mut self, item: &Item, blob: &BlobId) -> Result<(), String> {
        let Some(file) = &item.file else { return Ok(()) };
        let listed = self.files.get(file).ok_or(format!("{file} is not in the export"))?;
        let Some(range) = mbox::range(item.offset, item.length) else {
            let same = *listed == item.blob;
            return same.then_some(()).ok_or(format!("{file} does not have its octets"));
        };
        let wrong = || format!("{file} does not have its octets at {}", range.start);
        if range.end - range.start > MAX_MESSAGE {
            return Err(wrong());
        }
        let mut quoted = Vec::new();
        let mut open = File::open(self.dir.join(file)).map_err(|error| error.to_string())?;
        open.seek(SeekFrom::Start(range.start)).map_err(|error| error.to_string())?;
        let taken = open.take(range.end - range.start).read_to_end(&mut quoted);
        taken.map_err(|error| error.to_string())?;
        let octets = mbox::unquoted(&quoted).ok_or_else(wrong)?;
        (blake3::hash(&octets).as_bytes() == &blob.0).then_some(()).ok_or_else(wrong)
    }
}

fn read_line<T: DeserializeOwned + Serialize>(line: &[u8]) -> Option<T> {
    let line = line.strip_suffix(b"\n")?;
    let object: T = serde_json::from_slice(line).ok()?;
    (serde_json::to_vec(&object).ok()? == line).then_some(object)
}

/// Whether a name stays in the folder.
fn is_below(name: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    !name.is_empty() && Path::new(name).components().all(plain)
}
