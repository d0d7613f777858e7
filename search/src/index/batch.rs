//! Documents that are being gathered for one commit, and the writers that take them.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lru::LruCache;
use redoubt_log::id::{AccountId, EmailId, LogIndex};
use tantivy::query::doc_predicate_query::{DocPredicateQuery, FunctionPredicate};
use tantivy::{IndexWriter, SegmentReader, TantivyDocument, Term};

use super::document::Draft;
use super::folder::{Folder, Home, commit};
use super::follower::FollowError;
use super::marks::{Mark, Marks};
use super::read::{Ids, ReadError};
use super::schema::Fields;

/// Emails of one commit at most.
const EMAILS: u64 = 500;
/// Octets of text of one commit at most, or a little more.
const OCTETS: usize = 4 * 1024 * 1024;
/// Emails of one commit where an account is built anew.
const EMAILS_AT_ONCE: u64 = 5000;
/// Octets of that.
const OCTETS_AT_ONCE: usize = 32 * 1024 * 1024;

/// What is added to one folder and not committed.
#[derive(Debug, Default)]
pub(super) struct Batch {
    folder: Option<(Home, Fields)>,
    marks: Marks,
    emails: u64,
    octets: usize,
    /// Many commits follow each other: fewer of them are enough.
    committed: u32,
}

impl Batch {
    /// Adds to a folder.
    pub(super) fn begin(folder: &Folder) -> Self {
        let marks = folder.shown().marks.clone();
        Self { folder: Some((folder.home, folder.fields)), marks, ..Self::default() }
    }

    pub(super) fn home(&self) -> Option<Home> {
        self.folder.map(|(home, _)| home)
    }

    pub(super) fn fields(&self) -> Result<Fields, ReadError> {
        self.folder.map(|(_, fields)| fields).ok_or(ReadError::Odd("a batch of no folder"))
    }

    /// How far an account is in it, if it adds to this folder.
    pub(super) fn mark(&self, home: Home, account: AccountId) -> Option<Mark> {
        (self.home() == Some(home)).then(|| self.marks.of(account))
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    pub(super) fn added(
        &mut self,
        account: AccountId,
        email: EmailId,
        at: LogIndex,
        draft: &Draft,
    ) {
        let mark = self.marks.accounts.entry(account).or_default();
        mark.advance(email, 1, at);
        if draft.unread {
            mark.lacks_texts();
        }
        self.emails += 1;
        self.octets += draft.size;
    }

    /// Whether it is time to commit.
    pub(super) fn is_full(&self) -> bool {
        let (emails, octets) = match self.committed {
            0..4 => (EMAILS, OCTETS),
            _ => (EMAILS_AT_ONCE, OCTETS_AT_ONCE),
        };
        self.emails >= emails || self.octets >= octets
    }

    /// Whether there is nothing to commit.
    pub(super) fn is_clean(&self) -> bool {
        self.emails == 0
    }

    pub(super) fn committed(&mut self) {
        (self.emails, self.octets) = (0, 0);
        self.committed = self.committed.saturating_add(1);
    }
}

/// Documents that take the place of others in one commit.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) documents: Vec<(EmailId, Draft)>,
    octets: usize,
}

impl Chunk {
    pub(super) fn add(&mut self, email: EmailId, draft: Draft) {
        self.octets += draft.size;
        self.documents.push((email, draft));
    }

    /// Whether it is time to commit.
    pub(super) fn is_full(&self) -> bool {
        self.documents.len() as u64 >= EMAILS_AT_ONCE || self.octets >= OCTETS
    }
}

struct Writer {
    writer: IndexWriter,
    large: bool,
    used: Instant,
}

/// The writers that are open, the latest used last. Bounded: each has memory and threads.
pub(super) struct Writers {
    open: LruCache<Home, Writer>,
    idle: Duration,
}

impl Writers {
    pub(super) fn new(most: NonZeroUsize, idle: Duration) -> Self {
        Self { open: LruCache::new(most), idle }
    }

    /// A writer for this folder is open.
    pub(super) fn open(&mut self, folder: &Arc<Folder>, large: bool) -> Result<(), ReadError> {
        if self.open.get(&folder.home).is_none() {
            let writer = Writer { writer: folder.writer(large)?, large, used: Instant::now() };
            self.open.push(folder.home, writer);
        }
        Ok(())
    }

    fn of(&mut self, home: Home) -> Result<&mut IndexWriter, ReadError> {
        let writer = self.open.get_mut(&home).ok_or(ReadError::Odd("no writer is open"))?;
        writer.used = Instant::now();
        Ok(&mut writer.writer)
    }

    pub(super) fn add(&mut self, home: Home, document: TantivyDocument) -> Result<(), FollowError> {
        self.of(home)?.add_document(document).map_err(ReadError::from)?;
        Ok(())
    }

    /// Deletes all documents that have a term.
    pub(super) fn delete(&mut self, home: Home, term: Term) -> Result<(), FollowError> {
        self.of(home)?.delete_term(term);
        Ok(())
    }

    /// Deletes documents of an account by their emails.
    pub(super) fn delete_emails(
        &mut self,
        home: Home,
        account: AccountId,
        emails: HashSet<EmailId>,
    ) -> Result<(), FollowError> {
        let emails = Arc::new(emails);
        let predicate = FunctionPredicate::from(move |segment: &SegmentReader| {
            let emails = emails.clone();
            let ids = Ids::open(segment)
                .map_err(|error| tantivy::TantivyError::InternalError(error.to_string()))?;
            Ok(move |doc: u32| {
                ids.account(doc) == Some(account)
                    && ids.email(doc).is_some_and(|email| emails.contains(&email))
            })
        });
        let query: DocPredicateQuery = predicate.into();
        self.of(home)?.delete_query(Box::new(query)).map_err(ReadError::from)?;
        Ok(())
    }

    pub(super) fn commit(&mut self, home: Home, marks: &Marks) -> Result<(), FollowError> {
        Ok(commit(self.of(home)?, marks)?)
    }

    /// Segments that have deleted documents are written anew without them.
    pub(super) fn purge(&mut self, home: Home) -> Result<(), FollowError> {
        let writer = self.of(home)?;
        let metas = writer.index().searchable_segment_metas().map_err(ReadError::from)?;
        for meta in metas.iter().filter(|meta| meta.has_deletes()) {
            writer.merge(&[meta.id()]).wait().map_err(ReadError::from)?;
        }
        Ok(())
    }

    /// Files that no commit has any more go now.
    pub(super) fn sweep(&mut self, home: Home) -> Result<(), FollowError> {
        self.of(home)?.garbage_collect_files().wait().map_err(ReadError::from)?;
        Ok(())
    }

    /// What was not committed is gone.
    pub(super) fn drop_of(&mut self, home: Home) {
        self.open.pop(&home);
    }

    /// Closes a writer with much memory when what it was opened for is done, and its merges are.
    pub(super) fn finish_large(&mut self, home: Home) -> Result<(), ReadError> {
        if self.open.peek(&home).is_some_and(|writer| writer.large)
            && let Some(writer) = self.open.pop(&home)
        {
            writer.writer.wait_merging_threads()?;
        }
        Ok(())
    }

    /// Closes those that nothing was added to for a while.
    pub(super) fn close_idle(&mut self) {
        while self.open.peek_lru().is_some_and(|(_, writer)| writer.used.elapsed() > self.idle) {
            self.open.pop_lru();
        }
    }
}
