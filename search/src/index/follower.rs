//! Follows the log: emails that came are indexed behind the scene, in batches, by one thread that
//! yields to everything else.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redoubt_log::id::{AccountId, EmailId, LogIndex};
use redoubt_store::changes::Touched;
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::view::View;
use tantivy::Term;
use tantivy::schema::Field;

use super::Options;
use super::attached::extracted;
use super::batch::{Batch, Writers};
use super::document::draft;
use super::folder::Home;
use super::pace::{Pace, yield_to_all};
use super::read::ReadError;
use super::schema::account_term;
use super::scrub::{Scrub, missing};
use super::shelf::{Shelf, guarded};
use super::state::State;

/// How often it looks for what is due.
const TICK: Duration = Duration::from_millis(200);
/// How long it leaves alone what failed.
const RETRY: Duration = Duration::from_secs(5);
/// How long changes are gathered that are no more than enough for a batch.
const GATHER: Duration = Duration::from_secs(2);
/// So many times enough is much.
const MUCH: u32 = 10;
/// Emails looked up at one time.
const PAGE: usize = 500;
/// How often it looks whether folders are still there.
const LOOK: Duration = Duration::from_secs(30);

/// What it is asked for.
#[derive(Debug)]
pub(super) enum Command {
    /// Throw away what is there, of all or of one account.
    Rebuild(Option<AccountId>, Done),
    /// Index everything that is applied.
    Flush(Done),
    /// Delete documents of emails that the history has let go.
    Collect(Done),
    /// Delete documents of emails, and every trace of them in files.
    Erase(AccountId, HashSet<EmailId>, Done),
    /// Check every octet.
    Scrub(Done),
}

/// Where it says that a command is done.
pub(super) type Done = std::sync::mpsc::SyncSender<Result<(), FollowError>>;

/// Why something was not indexed; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The index cannot be written.
    #[error("the index cannot be written: {0}")]
    Index(String),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index is being closed.
    #[error("the index is being closed")]
    Closing,
}

impl From<ReadError> for FollowError {
    fn from(error: ReadError) -> Self {
        Self::Index(error.to_string())
    }
}

/// What is to be indexed in one folder.
#[derive(Debug)]
struct Due {
    accounts: BTreeSet<AccountId>,
    records: u32,
    at: Instant,
    since: Instant,
    /// Whether someone had to look through what is due.
    wanted: bool,
}

/// The thread's state.
pub(super) struct Follower {
    pub(super) store: Mailstore,
    pub(super) shelf: Arc<Shelf>,
    pub(super) state: Arc<State>,
    pub(super) touched: Arc<Touched>,
    pub(super) options: Options,
    pub(super) commands: Receiver<Command>,
    pub(super) writers: Writers,
    due: BTreeMap<Home, Due>,
    /// Folders with emails whose texts may come, and when to look for them.
    pub(super) awaiting: BTreeMap<Home, Instant>,
    collected: Instant,
    looked: Instant,
    scrub: Scrub,
    /// Floors that were there when documents were collected last.
    floors: HashMap<AccountId, LogIndex>,
    applied: LogIndex,
    pub(super) pace: Pace,
    /// Whether someone waits for what is being indexed.
    hurry: bool,
}

impl Follower {
    pub(super) fn new(
        store: Mailstore,
        shelf: Arc<Shelf>,
        state: Arc<State>,
        options: Options,
        commands: Receiver<Command>,
    ) -> Self {
        let touched = store.follow();
        let writers = Writers::new(options.writers, options.idle);
        let now = Instant::now();
        let scrub = Scrub::new(options.scrub, options.scrub_rate);
        let pace = Pace::new(store.applied());
        Self {
            store,
            shelf,
            state,
            touched,
            options,
            commands,
            writers,
            due: BTreeMap::new(),
            awaiting: BTreeMap::new(),
            collected: now,
            looked: now,
            scrub,
            floors: HashMap::new(),
            applied: LogIndex(0),
            pace,
            hurry: false,
        }
    }

    /// Runs until the index is closed.
    pub(super) fn run(mut self) {
        yield_to_all();
        self.said("what is there", |follower| follower.look_at_all());
        self.look_for_awaiting();
        while !self.state.is_closing() {
            match self.commands.recv_timeout(TICK) {
                Ok(command) => self.obey(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            self.turn();
        }
    }

    fn obey(&mut self, command: Command) {
        let (result, done) = match command {
            Command::Rebuild(account, done) => (self.rebuild(account), done),
            Command::Flush(done) => (self.flush(), done),
            Command::Collect(done) => (self.collect(), done),
            Command::Erase(account, emails, done) => (self.erase(account, &emails), done),
            Command::Scrub(done) => {
                missing(&self.shelf);
                Scrub::all(&self.shelf);
                (Ok(()), done)
            }
        };
        self.tell();
        // Who asked may be gone.
        let _ = done.send(result);
    }

    fn turn(&mut self) {
        self.said("what was touched", Self::take_touched);
        self.said("a damaged index", Self::repair);
        let now = Instant::now();
        let is_due = |due: &Due| due.at <= now;
        let room = (self.due.is_empty() && self.awaiting.is_empty()) || self.has_room();
        let homes: Vec<Home> =
            self.due.iter().filter(|(_, due)| is_due(due)).map(|(home, _)| *home).collect();
        for home in homes.into_iter().filter(|_| room) {
            self.index(home);
        }
        if room {
            self.said("texts of attachments", |follower| follower.take_texts(false));
        }
        if self.collected.elapsed() >= self.options.collect {
            self.said("documents of what went", Self::collect);
        }
        if self.looked.elapsed() >= LOOK {
            self.looked = now;
            missing(&self.shelf);
            self.state.set_size(self.shelf.size());
        }
        self.scrub.turn(&self.shelf);
        self.writers.close_idle();
        self.tell();
    }

    /// Whether the disk has more room than is kept for what must not be lost.
    fn has_room(&self) -> bool {
        let status = self.store.status();
        status.disk_free > status.disk_reserve
    }

    fn said(&mut self, what: &str, work: impl FnOnce(&mut Self) -> Result<(), FollowError>) {
        if let Err(error) = work(self)
            && !self.state.is_closing()
        {
            tracing::warn!(%error, "indexing stopped at {what} and goes on later");
        }
    }

    fn tell(&self) {
        let oldest = self.due.values().map(|due| due.since).min();
        let accounts = self.due.values().map(|due| due.accounts.len() as u64).sum();
        let position = oldest.is_none().then_some(self.applied);
        self.state.set_behind(accounts, oldest, position);
    }

    // ------------------------------------------------------------ what is due

    fn take_touched(&mut self) -> Result<(), FollowError> {
        // Read before, so that everything up to it is among what is taken by the next turn.
        let applied = self.store.applied();
        let since = self.touched.take();
        if since.all {
            self.look_at_all()?;
        }
        for (account, records) in since.accounts {
            self.is_touched(account, records);
        }
        for account in self.state.take_wanted() {
            if let Some(due) = self.due.get_mut(&self.home(account)) {
                (due.at, due.wanted) = (Instant::now(), true);
            }
        }
        self.applied = applied;
        Ok(())
    }

    /// Where an account's next emails go.
    fn home(&self, account: AccountId) -> Home {
        match self.shelf.has_own(account) {
            true => Home::Own(account),
            false => Home::shared(account),
        }
    }

    fn is_touched(&mut self, account: AccountId, records: u32) {
        let (now, options) = (Instant::now(), &self.options);
        let due = self.due.entry(self.home(account)).or_insert_with(|| Due {
            accounts: BTreeSet::new(),
            records: 0,
            at: now + options.wait,
            since: now,
            wanted: false,
        });
        due.accounts.insert(account);
        due.records = due.records.saturating_add(records);
        if due.records >= options.least.saturating_mul(MUCH) {
            due.at = due.at.min(now);
        } else if due.records >= options.least {
            due.at = due.at.min(due.since + GATHER);
        }
    }

    /// Finds every account that has emails which are not indexed.
    fn look_at_all(&mut self) -> Result<(), FollowError> {
        let view = self.store.local_view()?;
        let accounts = every_account(&view)?;
        for account in accounts {
            if self.state.is_closing() {
                return Err(FollowError::Closing);
            }
            if self.is_behind(&view, account)? {
                self.is_touched(account, u32::MAX);
            }
        }
        Ok(())
    }

    fn is_behind(&self, view: &View, account: AccountId) -> Result<bool, FollowError> {
        let home = self.home(account);
        let mark = self.shelf.peek(home).of(account);
        if mark.through().is_some_and(|last| last.sequence > sequence(view, account)) {
            self.shelf.condemn(home, &ReadError::Odd("it is ahead of the log"));
            return Ok(true);
        }
        Ok(!view.emails_ever(account, mark.through(), 1)?.is_empty())
    }

    // ------------------------------------------------------------ indexing

    /// Indexes what is due in one folder.
    fn index(&mut self, home: Home) {
        let Some(due) = self.due.remove(&home) else { return };
        let accounts = due.accounts.clone();
        self.hurry = due.wanted;
        let done = self.index_accounts(home, &accounts);
        self.hurry = false;
        let Err(error) = done else { return };
        // What it took in and did not commit must not come with the next commit.
        self.writers.drop_of(home);
        if self.state.is_closing() {
            return;
        }
        tracing::warn!(folder = home.name(), %error, "emails are indexed later");
        if let FollowError::Index(_) = &error {
            self.shelf.suspect(home);
        }
        self.due.insert(home, Due { at: Instant::now() + RETRY, ..due });
    }

    fn index_accounts(
        &mut self,
        home: Home,
        accounts: &BTreeSet<AccountId>,
    ) -> Result<(), FollowError> {
        self.pace.begin();
        let view = self.store.local_view()?;
        let mut batch = Batch::default();
        for account in accounts {
            self.index_account(&view, home, *account, &mut batch)?;
        }
        self.commit(&mut batch)
    }

    fn index_account(
        &mut self,
        view: &View,
        home: Home,
        account: AccountId,
        batch: &mut Batch,
    ) -> Result<(), FollowError> {
        let mut through = match batch.mark(home, account) {
            Some(mark) => mark.through(),
            None => self.shelf.folder(home).and_then(|f| f.shown().marks.of(account).through()),
        };
        loop {
            let emails = view.emails_ever(account, through, PAGE)?;
            let Some(last) = emails.last().copied() else { break };
            if self.is_large(view, home, account, through, emails.len())? {
                // What the bucket has serves until the account's own index has come as far.
                self.shelf.make(Home::Own(account))?;
                self.state.fault("own made")?;
                self.is_touched(account, u32::MAX);
                return Ok(());
            }
            for email in emails {
                self.add(view, home, account, email, batch)?;
                if batch.is_full() {
                    self.commit(batch)?;
                }
            }
            through = Some(last);
        }
        if let Home::Own(_) = home {
            self.commit(batch)?;
            self.state.fault("before leaving")?;
            self.leave_bucket(account)?;
            self.state.fault("after leaving")?;
            self.writers.finish_large(home)?;
        }
        Ok(())
    }

    /// Whether an account in a bucket is to have an index of its own, with `coming` emails that
    /// are about to be added, or a whole page of them and perhaps more.
    fn is_large(
        &self,
        view: &View,
        home: Home,
        account: AccountId,
        through: Option<EmailId>,
        coming: usize,
    ) -> Result<bool, FollowError> {
        let Home::Bucket(_) = home else { return Ok(false) };
        let marks = self.shelf.peek(home);
        let crowded = marks.emails() > self.options.bucket;
        let most = if crowded { self.options.own / 5 } else { self.options.own };
        let there = marks.of(account).emails;
        if coming < PAGE || there.saturating_add(coming as u64) > most {
            return Ok(there.saturating_add(coming as u64) > most);
        }
        let room = usize::try_from(most.saturating_sub(there)).unwrap_or(usize::MAX);
        Ok(view.emails_ever(account, through, room.saturating_add(1))?.len() > room)
    }

    fn add(
        &mut self,
        view: &View,
        home: Home,
        account: AccountId,
        email: EmailId,
        batch: &mut Batch,
    ) -> Result<(), FollowError> {
        if self.state.is_closing() {
            return Err(FollowError::Closing);
        }
        if batch.home() != Some(home) {
            self.commit(batch)?;
            let folder = self.shelf.make(home)?;
            *batch = Batch::begin(&folder);
            let is_new = batch.marks().emails() == 0;
            self.writers.open(&folder, is_new && matches!(home, Home::Own(_)))?;
        }
        let data = view.email_ever(account, email)?;
        let content = match &data {
            Some(data) => match self.store.blob(&data.blob) {
                Ok(content) => Some(content),
                Err(StoreError::Blob(..)) => None,
                Err(error) => return Err(error.into()),
            },
            None => None,
        };
        let fields = batch.fields()?;
        let texts = self.options.texts.as_deref();
        let words = || extracted(texts?, &data.as_ref()?.blob);
        let made = |content| Ok(draft(fields, account, email, data.as_ref(), content, words));
        // A message that cannot be taken apart is a candidate always.
        let draft = guarded(|| made(content.as_deref())).or_else(|_| made(None))?;
        self.state.indexed(draft.size);
        self.state.attached(draft.read);
        batch.added(account, email, view.index(), &draft);
        self.writers.add(home, draft.document)?;
        self.rest();
        Ok(())
    }

    /// Leaves the processor to those that bring mail.
    pub(super) fn rest(&mut self) {
        let hurry = self.hurry || self.state.is_hurried() || self.state.is_closing();
        self.pace.rest(self.store.applied(), hurry);
    }

    fn commit(&mut self, batch: &mut Batch) -> Result<(), FollowError> {
        let Some(home) = batch.home() else { return Ok(()) };
        if batch.is_clean() {
            return Ok(());
        }
        self.state.fault("before commit")?;
        self.writers.commit(home, batch.marks())?;
        self.state.fault("after commit")?;
        batch.committed();
        self.state.committed();
        self.show(home)?;
        self.awaits_texts(home);
        self.rest();
        Ok(())
    }

    pub(super) fn show(&self, home: Home) -> Result<(), FollowError> {
        if let Some(folder) = self.shelf.folder(home) {
            guarded(|| folder.reload())?;
            self.shelf.trim_flats(&folder);
        }
        Ok(())
    }

    /// The account's own index has come as far: what the bucket has of it goes.
    fn leave_bucket(&mut self, account: AccountId) -> Result<(), FollowError> {
        let home = Home::shared(account);
        let Some(folder) = self.shelf.folder(home) else { return Ok(()) };
        let mut marks = folder.shown().marks.clone();
        if marks.accounts.remove(&account).is_none() {
            return Ok(());
        }
        self.writers.open(&folder, false)?;
        self.writers.delete(home, account_of(folder.fields.terms, account))?;
        self.writers.commit(home, &marks)?;
        self.show(home)
    }

    // ------------------------------------------------- what went or is damaged

    /// Builds anew what was found damaged.
    fn repair(&mut self) -> Result<(), FollowError> {
        for home in self.shelf.damaged() {
            let lost = self.discard(home)?;
            self.state.rebuilt();
            lost.into_iter().for_each(|account| self.is_touched(account, u32::MAX));
        }
        Ok(())
    }

    /// Throws an index away. Answers whose it was.
    fn discard(&mut self, home: Home) -> Result<Vec<AccountId>, FollowError> {
        self.writers.drop_of(home);
        self.due.remove(&home);
        self.shelf.discard(home)?;
        Ok(match home {
            Home::Own(account) => vec![account],
            Home::Bucket(_) => {
                let view = self.store.local_view()?;
                let all = every_account(&view)?.into_iter();
                all.filter(|account| Home::shared(*account) == home).collect()
            }
        })
    }

    fn rebuild(&mut self, account: Option<AccountId>) -> Result<(), FollowError> {
        let Some(account) = account else {
            for home in self.shelf.homes() {
                self.discard(home)?;
            }
            return self.look_at_all();
        };
        if self.shelf.has_own(account) {
            self.discard(Home::Own(account))?;
        }
        self.leave_bucket(account)?;
        self.is_touched(account, u32::MAX);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), FollowError> {
        self.take_touched()?;
        self.repair()?;
        while let Some(home) = self.due.keys().next().copied() {
            if self.state.is_closing() {
                return Err(FollowError::Closing);
            }
            let Some(due) = self.due.remove(&home) else { continue };
            if let Err(error) = self.index_accounts(home, &due.accounts) {
                self.writers.drop_of(home);
                self.due.insert(home, due);
                return Err(error);
            }
        }
        self.take_texts(true)?;
        self.tell();
        Ok(())
    }

    /// Deletes documents of emails that the history has let go.
    fn collect(&mut self) -> Result<(), FollowError> {
        self.collected = Instant::now();
        let view = self.store.local_view()?;
        for home in self.shelf.homes() {
            let accounts = self.shelf.peek(home).accounts;
            for (account, mark) in accounts {
                let floor = view.let_go(account)?;
                if let Some(floor) = floor.filter(|floor| *floor > mark.collected) {
                    self.collect_account(&view, home, account, floor)?;
                }
            }
        }
        Ok(())
    }

    fn collect_account(
        &mut self,
        view: &View,
        home: Home,
        account: AccountId,
        floor: LogIndex,
    ) -> Result<(), FollowError> {
        let Some(folder) = self.shelf.folder(home) else { return Ok(()) };
        let known: HashSet<EmailId> =
            view.emails_ever(account, None, usize::MAX)?.into_iter().collect();
        let mut gone = HashSet::new();
        for email in guarded(|| folder.emails(account))? {
            if !known.contains(&email) && view.email_ever(account, email)?.is_none() {
                gone.insert(email);
            }
        }
        let seen_before = self.floors.insert(account, floor) == Some(floor);
        if gone.is_empty() && !seen_before {
            return Ok(());
        }
        let mut marks = folder.shown().marks.clone();
        let Some(mark) = marks.accounts.get_mut(&account) else { return Ok(()) };
        mark.emails = mark.emails.saturating_sub(gone.len() as u64);
        if gone.is_empty() {
            // The pieces of trimming or purging that come behind it are through.
            mark.collected = floor;
        }
        self.writers.open(&folder, false)?;
        if !gone.is_empty() {
            self.writers.delete_emails(home, account, gone)?;
        }
        self.writers.commit(home, &marks)?;
        self.show(home)
    }
}

impl Follower {
    /// Documents go, and with them the terms that only they had: their segments are written anew.
    fn erase(&mut self, account: AccountId, emails: &HashSet<EmailId>) -> Result<(), FollowError> {
        for home in [Home::Own(account), Home::shared(account)] {
            if matches!(home, Home::Own(_)) && !self.shelf.has_own(account) {
                continue;
            }
            let Some(folder) = self.shelf.folder(home) else { continue };
            let there = guarded(|| folder.emails(account))?;
            let gone: HashSet<EmailId> =
                there.into_iter().filter(|email| emails.contains(email)).collect();
            self.writers.open(&folder, false)?;
            if !gone.is_empty() {
                let mut marks = folder.shown().marks.clone();
                if let Some(mark) = marks.accounts.get_mut(&account) {
                    mark.emails = mark.emails.saturating_sub(gone.len() as u64);
                }
                self.writers.delete_emails(home, account, gone)?;
                self.writers.commit(home, &marks)?;
                self.show(home)?;
            }
            self.writers.purge(home)?;
            self.show(home)?;
            self.writers.sweep(home)?;
        }
        Ok(())
    }
}

fn sequence(view: &View, account: AccountId) -> redoubt_log::id::Sequence {
    view.sequence(account).unwrap_or_default()
}

fn account_of(field: Field, account: AccountId) -> Term {
    Term::from_field_text(field, &account_term(account))
}

fn every_account(view: &View) -> Result<Vec<AccountId>, StoreError> {
    let mut accounts: Vec<AccountId> =
        view.deleted_accounts()?.into_iter().map(|account| account.id).collect();
    let mut after = None;
    loop {
        let page = view.accounts(after, PAGE)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        accounts.extend(page.into_iter().map(|account| account.id));
    }
    accounts.sort_unstable();
    Ok(accounts)
}
