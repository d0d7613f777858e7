//! One index on the disk: a bucket that small accounts share, or that of one large account.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use redoubt_log::id::{AccountId, EmailId};
use tantivy::index::SegmentId;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::schema::Schema;
use tantivy::{Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, SegmentReader};

use super::flat::Flat;
use super::gentle::Gentle;
use super::marks::Marks;
use super::read::{Ids, ReadError, emails_having};
use super::schema::{self, Code, Fields, VERSION};
use super::scribe;

/// Accounts that share a bucket.
const SHARING: u64 = 64;

/// Which index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Home {
    /// That of neighbouring accounts.
    Bucket(u64),
    /// An account's own.
    Own(AccountId),
}

impl Home {
    /// The bucket of an account.
    pub(super) fn shared(account: AccountId) -> Self {
        Self::Bucket(account.0 / SHARING)
    }

    /// The folder's name.
    pub(super) fn name(self) -> String {
        match self {
            Self::Bucket(number) => format!("b-{number:x}"),
            Self::Own(account) => format!("a-{:x}", account.0),
        }
    }

    /// What [`Home::name`] gave.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (kind, number) = name.split_at_checked(2)?;
        let number = u64::from_str_radix(number, 16).ok()?;
        match kind {
            "b-" => Some(Self::Bucket(number)),
            "a-" => Some(Self::Own(AccountId(number))),
            _ => None,
        }
    }
}

/// What queries read: documents and marks of one commit, or documents of a later one.
pub(super) struct Shown {
    pub(super) searcher: Searcher,
    pub(super) marks: Marks,
    /// The files that they are read from.
    pub(super) files: Vec<Part>,
}

/// A file of an index, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    name: PathBuf,
    pub(super) len: u64,
}

/// An open index.
pub(super) struct Folder {
    pub(super) home: Home,
    pub(super) fields: Fields,
    path: PathBuf,
    index: Index,
    reader: IndexReader,
    shown: RwLock<Arc<Shown>>,
    flats: Mutex<HashMap<(SegmentId, u8), Arc<Flat>>>,
    broken: AtomicBool,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Folder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Folder {
    /// Opens an index; `None` when there is none. With `verify`, every octet of it is checked.
    pub(super) fn open(
        root: &Path,
        home: Home,
        lineage: &str,
        verify: bool,
    ) -> Result<Option<Self>, ReadError> {
        let path = root.join(home.name());
        if !path.exists() {
            return Ok(None);
        }
        let index = Index::open(Gentle::open(&path)?)?;
        if verify {
            parts(&path, &index)?.iter().try_for_each(|part| check(&path, &index, part))?;
        }
        let (schema, fields) = schema::schema();
        // As it is written: what a schema leaves unsaid reads otherwise than it was made.
        let written = |schema: &Schema| serde_json::to_value(schema).ok();
        if written(&index.schema()) != written(&schema) {
            return Err(ReadError::Odd("another schema"));
        }
        Self::of(path, home, index, fields, lineage).map(Some)
    }

    /// Makes an index where there is none.
    pub(super) fn create(root: &Path, home: Home, lineage: &str) -> Result<Self, ReadError> {
        let path = root.join(home.name());
        fs::create_dir_all(&path)?;
        let (schema, fields) = schema::schema();
        let directory = Gentle::open(&path)?;
        let builder = Index::builder().schema(schema).settings(schema::settings());
        let mut index = builder.open_or_create(directory)?;
        schema::prepare(&mut index);
        let marks = Marks { version: VERSION, lineage: lineage.to_owned(), ..Marks::default() };
        let mut writer: IndexWriter = index.writer_with_num_threads(1, SMALL)?;
        commit(&mut writer, &marks)?;
        writer.wait_merging_threads()?;
        Self::of(path, home, index, fields, lineage)
    }

    fn of(
        path: PathBuf,
        home: Home,
        mut index: Index,
        fields: Fields,
        lineage: &str,
    ) -> Result<Self, ReadError> {
        schema::prepare(&mut index);
        // Marks first: documents may be of a later commit, never marks.
        let marks = believed(read_marks(&index)?, lineage)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let searcher = reader.searcher();
        searcher.segment_readers().iter().try_for_each(fits)?;
        let files = parts(&path, &index)?;
        let shown = RwLock::new(Arc::new(Shown { searcher, marks, files }));
        Ok(Self {
            home,
            fields,
            path,
            index,
            reader,
            shown,
            flats: Mutex::default(),
            broken: AtomicBool::new(false),
        })
    }

    /// How far an index has come by what its last commit says, without opening the rest of it.
    pub(super) fn peek(root: &Path, home: Home, lineage: &str) -> Result<Option<Marks>, ReadError> {
        let path = root.join(home.name());
        if !path.exists() {
            return Ok(None);
        }
        let marks = read_marks(&Index::open(Gentle::open(&path)?)?)?;
        believed(marks, lineage).map(Some)
    }

    /// What queries read now.
    pub(super) fn shown(&self) -> Arc<Shown> {
        self.shown.read().clone()
    }

    /// Shows what was committed.
    pub(super) fn reload(&self) -> Result<(), ReadError> {
        let marks = read_marks(&self.index)?;
        self.reader.reload()?;
        let searcher = self.reader.searcher();
        let there: Vec<SegmentId> =
            searcher.segment_readers().iter().map(SegmentReader::segment_id).collect();
        self.warm(&searcher)?;
        let files = parts(&self.path, &self.index)?;
        *self.shown.write() = Arc::new(Shown { searcher, marks, files });
        self.flats.lock().retain(|(segment, _), _| there.contains(segment));
        Ok(())
    }

    /// Where substrings were looked for, no query after a commit or merge makes a list of terms.
    fn warm(&self, searcher: &Searcher) -> Result<(), ReadError> {
        let codes: BTreeSet<u8> = self.flats.lock().keys().map(|(_, code)| *code).collect();
        for code in codes.into_iter().map(Code) {
            for reader in searcher.segment_readers() {
                self.flat(reader, code)?;
            }
        }
        Ok(())
    }

    /// Reads a file of it whole. One that a merge did away with meanwhile is none of it any more.
    pub(super) fn check(&self, part: &Part) -> Result<(), ReadError> {
        check(&self.path, &self.index, part)
    }

    /// Whether all its files are there, as long as they were.
    pub(super) fn is_whole(&self) -> Result<bool, ReadError> {
        let shown = self.shown();
        let mut changed = shown.files.iter().filter(|part| !part.is_there(&self.path));
        match changed.next() {
            None => Ok(true),
            Some(part) => Ok(!is_listed(&self.index, part)?),
        }
    }

    /// A writer; `large` for much at once.
    pub(super) fn writer(&self, large: bool) -> Result<IndexWriter, ReadError> {
        let options = IndexWriterOptions::builder()
            .num_worker_threads(1)
            .num_merge_threads(1)
            .memory_budget_per_thread(if large { LARGE } else { SMALL })
            .build();
        let writer: IndexWriter = self.index.writer_with_options(options)?;
        let mut policy = LogMergePolicy::default();
        policy.set_min_layer_size(64);
        policy.set_min_num_segments(8);
        policy.set_del_docs_ratio_before_merge(0.3);
        writer.set_merge_policy(Box::new(policy));
        Ok(writer)
    }

    /// The emails of an account that have documents.
    pub(super) fn emails(&self, account: AccountId) -> Result<Vec<EmailId>, ReadError> {
        let mut emails = Vec::new();
        for reader in self.shown().searcher.segment_readers() {
            let ids = Ids::open(reader)?;
            let of = |doc: &u32| ids.account(*doc) == Some(account);
            emails.extend(reader.doc_ids_alive().filter(of).filter_map(|doc| ids.email(doc)));
        }
        Ok(emails)
    }

    /// The emails of an account whose documents have one of these terms, rising.
    pub(super) fn emails_having(
        &self,
        account: AccountId,
        terms: &[&str],
    ) -> Result<Vec<EmailId>, ReadError> {
        let mut emails = Vec::new();
        for reader in self.shown().searcher.segment_readers() {
            emails.extend(emails_having(reader, self.fields, account, terms)?);
        }
        emails.sort_unstable();
        emails.dedup();
        Ok(emails)
    }

    /// The terms of a segment in one code as one stretch, made when first asked for.
    pub(super) fn flat(&self, reader: &SegmentReader, code: Code) -> Result<Arc<Flat>, ReadError> {
        let key = (reader.segment_id(), code.0);
        if let Some(flat) = self.flats.lock().get(&key) {
            return Ok(flat.clone());
        }
        let terms = reader.inverted_index(self.fields.terms)?;
        let flat = Arc::new(Flat::of(terms.terms(), code)?);
        self.flats.lock().insert(key, flat.clone());
        Ok(flat)
    }

    /// Octets of the flat lists of terms.
    pub(super) fn flat_size(&self) -> usize {
        self.flats.lock().values().map(|flat| flat.size()).sum()
    }

    /// Frees the flat lists of terms.
    pub(super) fn forget_flats(&self) {
        self.flats.lock().clear();
    }

    /// Nothing of it is believed any more.
    pub(super) fn condemn(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether it was condemned.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}

/// Memory of a writer that takes in what comes: tantivy takes no less.
pub(super) const SMALL: usize = 15_000_000;
/// Memory of one that builds much at once.
pub(super) const LARGE: usize = 100_000_000;

/// Documents and marks, together or not at all.
pub(super) fn commit(writer: &mut IndexWriter, marks: &Marks) -> Result<(), ReadError> {
    let mut prepared = writer.prepare_commit()?;
    prepared.set_payload(&marks.encode());
    prepared.commit()?;
    Ok(())
}

impl Part {
    fn is_there(&self, folder: &Path) -> bool {
        fs::metadata(folder.join(&self.name)).is_ok_and(|meta| meta.len() == self.len)
    }
}

/// The files of the last commit, without those that it might have and has not.
fn parts(folder: &Path, index: &Index) -> Result<Vec<Part>, ReadError> {
    let mut parts = Vec::new();
    for name in index.load_metas()?.list_segment_files() {
        match fs::metadata(folder.join(&name)) {
            Ok(meta) => parts.push(Part { name, len: meta.len() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(parts)
}

fn is_listed(index: &Index, part: &Part) -> Result<bool, ReadError> {
    Ok(index.load_metas()?.list_segment_files().contains(&part.name))
}

/// Length first: what is mapped beyond a file's end must not be read.
fn check(folder: &Path, index: &Index, part: &Part) -> Result<(), ReadError> {
    let whole = part.is_there(folder)
        && index.directory().validate_checksum(&part.name).is_ok_and(|is_right| is_right);
    match whole || !is_listed(index, part)? {
        true => Ok(()),
        false => Err(ReadError::Odd("a file is damaged, or gone")),
    }
}

fn read_marks(index: &Index) -> Result<Marks, ReadError> {
    let payload = index.load_metas()?.payload.unwrap_or_default();
    Marks::decode(&payload).ok_or(ReadError::Odd("no marks, or damaged ones"))
}

fn believed(marks: Marks, lineage: &str) -> Result<Marks, ReadError> {
    match marks.version == VERSION && marks.lineage == lineage {
        true => Ok(marks),
        false => Err(ReadError::Odd("it is of another layout or another history")),
    }
}

/// Whether a segment has as many documents as it says.
fn fits(reader: &SegmentReader) -> Result<(), ReadError> {
    if Ids::open(reader)?.count() != reader.max_doc() {
        return Err(ReadError::Odd("not as many documents as there should be"));
    }
    Ok(())
}

/// Throws an index away.
pub(super) fn remove(root: &Path, home: Home) -> io::Result<()> {
    let folder = root.join(home.name());
    match scribe::ask(move || fs::remove_dir_all(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
