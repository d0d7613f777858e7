//! tantivy indexes of emails: small accounts share one, behind a term of the account; a large
//! account has its own. Derived state: it can be removed at any time and is built again.
//!
//! One document per account and email, with its words; where an email stands and what flags it
//! has is joined from the views, so that a change of flags never touches an index. What was
//! extracted from attachments comes into the document when it is there. Documents and
//! how far they reach ([`marks`](self)) are committed together, so that following the log goes on
//! exactly where a crash left it. What has come since is the tail: a query names it, and whoever
//! asks looks through it.

mod attached;
mod batch;
mod contents;
mod document;
mod flat;
mod folder;
mod follower;
mod gentle;
mod imap;
mod marks;
mod nearly;
pub(crate) mod pace;
mod read;
mod schema;
mod scope;
mod scribe;
mod scrub;
mod shelf;
mod state;
#[cfg(test)]
mod tests;
mod tokens;

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::view::View;

use crate::ask::Ask;
use crate::texts::Texts;
use folder::{Folder, Home, Shown};
use follower::{Command, Done, Follower};
use read::{ReadError, Segment};
use shelf::{Shelf, guarded};
use state::State;

pub use contents::{Contents, contents};
pub use follower::FollowError;
pub use imap::Narrowed;
pub use scope::{Discovery, Scope};
pub use state::Status;

/// How an index is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// Emails from which on an account has an index of its own.
    pub own: u64,
    /// Emails of a bucket from which on its largest accounts leave it sooner.
    pub bucket: u64,
    /// Changes of a folder's accounts after which it is written at once.
    pub least: u32,
    /// How long a change waits at most until then.
    pub wait: Duration,
    /// Writers open at one time.
    pub writers: NonZeroUsize,
    /// How long a writer stays open without work.
    pub idle: Duration,
    /// Folders open at one time.
    pub folders: NonZeroUsize,
    /// Octets of memory for lists of terms in which substrings are looked for.
    pub terms: usize,
    /// How often documents of emails that the history let go are looked for.
    pub collect: Duration,
    /// How long after every octet of the indexes was checked that begins again; zero is never.
    pub scrub: Duration,
    /// Octets a second that it reads.
    pub scrub_rate: u64,
    /// What was extracted from attachments; without it emails with attachments are candidates
    /// whenever that is asked for.
    pub texts: Option<Arc<dyn Texts>>,
}

impl Default for Options {
    fn default() -> Self {
        const FOUR: NonZeroUsize = NonZeroUsize::MIN.saturating_add(3);
        Self {
            own: 10_000,
            bucket: 50_000,
            least: 50,
            wait: Duration::from_secs(30),
            writers: FOUR,
            idle: Duration::from_secs(10),
            folders: NonZeroUsize::MIN.saturating_add(255),
            terms: 256 * 1024 * 1024,
            collect: Duration::from_secs(3600),
            scrub: Duration::from_secs(7 * 24 * 3600),
            scrub_rate: 8 * 1024 * 1024,
            texts: None,
        }
    }
}

/// An index did not open.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// Its folder cannot be made or read, or no thread begun.
    #[error("the index at {0} cannot be opened: {1}; it may be removed, and is built again")]
    Folder(String, std::io::Error),
    /// A light voter keeps none.
    #[error("a light voter keeps no index: ask another node")]
    Light,
}

/// What matches in one account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Whose.
    pub account: AccountId,
    /// Emails that match, rising, live or gone: whoever asks joins them with a view.
    pub sure: Vec<EmailId>,
    /// Emails that may match, rising: to be confirmed.
    pub maybe: Vec<EmailId>,
    /// Emails that are not indexed yet, rising: to be looked through.
    pub tail: Vec<EmailId>,
}

impl Found {
    /// Whether nothing needs to be confirmed.
    pub fn exact(&self) -> bool {
        self.maybe.is_empty() && self.tail.is_empty()
    }

    /// All that may match.
    pub fn candidates(&self) -> impl Iterator<Item = EmailId> {
        self.sure.iter().chain(&self.maybe).chain(&self.tail).copied()
    }
}

/// What an index answers: every email that matches is among it, and perhaps others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// By account, in the scope's order; accounts without a candidate too.
    pub accounts: Vec<Found>,
}

impl Answer {
    /// Whether nothing needs to be confirmed.
    pub fn exact(&self) -> bool {
        self.accounts.iter().all(Found::exact)
    }
}

struct Inner {
    store: Mailstore,
    shelf: Arc<Shelf>,
    state: Arc<State>,
    commands: Sender<Command>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// The index of a node. Clones share it. It ends with [`Index::close`] or its last clone.
#[derive(Clone)]
pub struct Index {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("shelf", &self.inner.shelf).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.state.close();
    }
}

impl Index {
    /// Opens the index in a folder, made if it is not there, and begins to follow the log.
    ///
    /// # Errors
    /// [`IndexError`]. What is damaged inside is no error: it is built anew.
    pub fn open(store: Mailstore, folder: &Path, options: Options) -> Result<Self, IndexError> {
        if store.is_light() {
            return Err(IndexError::Light);
        }
        let failed = |error| IndexError::Folder(folder.display().to_string(), error);
        scribe::start().map_err(failed)?;
        let lineage = store.identity().lineage.clone();
        let shelf = Shelf::open(folder, lineage, options.folders, options.terms);
        let shelf = Arc::new(shelf.map_err(failed)?);
        let state = Arc::<State>::default();
        let (commands, orders) = channel();
        let follower = Follower::new(store.clone(), shelf.clone(), state.clone(), options, orders);
        let thread = std::thread::Builder::new().name("index".into());
        let thread = thread.spawn(move || follower.run()).map_err(failed)?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { store, shelf, state, commands, thread }) })
    }

    /// Everything that matches, in accounts of the scope. Blocks.
    ///
    /// # Errors
    /// When the views cannot be read. A damaged index is none: all emails are tail then.
    pub fn answer(&self, scope: &Scope, ask: &Ask) -> Result<Answer, StoreError> {
        let view = self.inner.store.local_view()?;
        let one = |account: &AccountId| self.found(&view, *account, ask);
        let accounts = scope.accounts().iter().map(one).collect::<Result<_, _>>()?;
        Ok(Answer { accounts })
    }

    /// What matches in one account, where no more than so many emails wait to be indexed: else
    /// nothing is looked up, and there is no answer. Blocks.
    ///
    /// # Errors
    /// As [`Index::answer`].
    pub fn answer_unless_behind(
        &self,
        account: AccountId,
        ask: &Ask,
        most: usize,
    ) -> Result<Option<Found>, StoreError> {
        let view = self.inner.store.local_view()?;
        let through = self.reader(account).through();
        if view.emails_ever(account, through, most.saturating_add(1))?.len() > most {
            self.inner.state.want(account);
            return Ok(None);
        }
        self.found(&view, account, ask).map(Some)
    }

    fn found(&self, view: &View, account: AccountId, ask: &Ask) -> Result<Found, StoreError> {
        let reader = self.reader(account);
        let (through, found) = match reader.answer(ask) {
            Some(found) => (reader.through(), found),
            None => (None, Found { account, ..Found::default() }),
        };
        let tail = match ask {
            Ask::Nothing => Vec::new(),
            _ => view.emails_ever(account, through, usize::MAX)?,
        };
        if !tail.is_empty() {
            self.inner.state.want(account);
        }
        Ok(Found { tail, ..found })
    }

    /// One account's index as it is now, for several questions at one moment. Blocks.
    pub fn reader(&self, account: AccountId) -> Reader {
        self.inner.state.asked();
        let folder = self.inner.shelf.serving(account).map(|(folder, _)| folder);
        let shown = folder.map(|folder| (folder.shown(), folder));
        Reader { index: self.clone(), account, shown }
    }

    /// Builds the index anew, or that of one account, behind the scene: until it is done, emails
    /// are looked through instead. Blocks until what was there is thrown away.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn rebuild(&self, account: Option<AccountId>) -> Result<(), FollowError> {
        self.order(|done| Command::Rebuild(account, done))
    }

    /// Indexes everything that is applied. Blocks until that is done.
    ///
    /// # Errors
    /// [`FollowError`]; it is tried again behind the scene.
    pub fn flush(&self) -> Result<(), FollowError> {
        self.order(Command::Flush)
    }

    /// Deletes what is indexed of emails that the history has let go, which is done now and then
    /// anyway. Blocks.
    ///
    /// # Errors
    /// [`FollowError`]; it is tried again behind the scene.
    pub fn collect(&self) -> Result<(), FollowError> {
        self.order(Command::Collect)
    }

    /// Deletes what is indexed of emails, and writes their segments anew, so that no file has a
    /// word that only they had. Blocks.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn erase(&self, account: AccountId, emails: &[EmailId]) -> Result<(), FollowError> {
        let emails = emails.iter().copied().collect();
        self.order(|done| Command::Erase(account, emails, done))
    }

    /// Checks every octet of the indexes that are in use, which is done now and then anyway, and
    /// slowly. What is damaged is built anew behind the scene. Blocks.
    ///
    /// # Errors
    /// [`FollowError`].
    pub fn scrub(&self) -> Result<(), FollowError> {
        self.order(Command::Scrub)
    }

    fn order(&self, command: impl FnOnce(Done) -> Command) -> Result<(), FollowError> {
        let (done, result): (Done, Receiver<_>) = sync_channel(1);
        let _hurry = self.inner.state.hurried();
        let sent = self.inner.commands.send(command(done));
        sent.map_err(|_| FollowError::Closing)?;
        result.recv().unwrap_or(Err(FollowError::Closing))
    }

    /// Numbers for whoever watches the node.
    pub fn status(&self) -> Status {
        self.inner.state.status()
    }

    /// Ends following the log. Blocks until the thread has ended, which then holds no store.
    pub fn close(&self) {
        self.inner.state.close();
        if let Some(thread) = self.inner.thread.lock().take() {
            // One that panicked has ended too.
            let _ = thread.join();
        }
    }
}

/// One account's index at one moment.
pub struct Reader {
    index: Index,
    account: AccountId,
    shown: Option<(Arc<Shown>, Arc<Folder>)>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("account", &self.account).finish_non_exhaustive()
    }
}

impl Reader {
    /// The last email that is indexed: those behind it are the tail. `None`: all are.
    pub fn through(&self) -> Option<EmailId> {
        let (shown, _) = self.shown.as_ref()?;
        shown.marks.of(self.account).through()
    }

    /// What matches of what is indexed; `None` when there is no index that can be read, so that
    /// all emails are tail. Blocks.
    pub fn answer(&self, ask: &Ask) -> Option<Found> {
        let (shown, folder) = self.shown.as_ref()?;
        let shelf = &self.index.inner.shelf;
        let found = guarded(|| self.read(shown, folder, ask));
        shelf.trim_flats(folder);
        match found {
            Ok(found) if !folder.is_broken() => Some(found),
            Ok(_) => None,
            Err(error) => {
                shelf.condemn(folder.home, &error);
                None
            }
        }
    }

    fn read(&self, shown: &Shown, folder: &Folder, ask: &Ask) -> Result<Found, ReadError> {
        let mut found = Found { account: self.account, ..Found::default() };
        let mark = shown.marks.of(self.account);
        let (through, stale) = (mark.through(), mark.is_stale());
        let whole = folder.home == Home::Own(self.account);
        for reader in shown.searcher.segment_readers() {
            let flat = |code| folder.flat(reader, code);
            let fields = folder.fields;
            let segment = Segment::open(reader, fields, self.account, whole, stale, &flat)?;
            let sets = segment.answer(ask)?;
            found.maybe.extend(segment.emails(&(&sets.may - &sets.sure))?);
            found.sure.extend(segment.emails(&sets.sure)?);
        }
        for emails in [&mut found.sure, &mut found.maybe] {
            // Documents may be of a later commit than the marks: they are tail then.
            emails.retain(|email| Some(*email) <= through);
            emails.sort_unstable();
        }
        Ok(found)
    }
}
