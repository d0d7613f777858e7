//! The thread that judges. It follows the log to know whose mail is new, and asks the state what
//! of it is not judged: so it may begin anywhere, and what it forgets is only where to look first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use redoubt_log::id::{AccountId, EmailId, HoldId, LogIndex};
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::{Change, Held, HoldMarks, Judged};
use redoubt_store::mailstore::{Mailstore, StoreError, WriteError};
use redoubt_store::pauses::Ending;
use redoubt_store::view::{Hold, View};
use tokio::runtime::Handle;

use super::judge::{Judge, Now};
use super::{HoldQueryError, read};
use crate::facts::FactsError;
use crate::index::pace::{Pace, yield_to_all};
use crate::query::Query;
use crate::texts::{Texts, TextsError};

/// How long to wait where there is nothing new, and after an error.
const TICK: Duration = Duration::from_millis(250);
const RETRY: Duration = Duration::from_secs(5);
/// Emails that one record judges.
const BATCH: usize = 500;
/// Accounts that one record names.
const ACCOUNTS: usize = 200;
/// Octets of the log that are looked at in one go.
const PIECE: usize = 1024 * 1024;

/// What it works with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The store.
    pub store: Mailstore,
    /// Texts of attachments, where they are extracted.
    pub texts: Option<Arc<dyn Texts>>,
}

/// Judges for as long as it is not closed. Clones share it.
#[derive(Debug, Clone)]
pub struct HoldJudge(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    store: Mailstore,
    texts: Now,
    runtime: Handle,
    ending: Ending,
    woken: Condvar,
    sleeps: Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// How it leaves the processor to who delivers.
    pace: Mutex<Pace>,
}

#[derive(Debug, thiserror::Error)]
enum WorkError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Facts(#[from] FactsError),
    #[error("it is to end")]
    Ending,
}

/// Where there is something to look at.
#[derive(Debug, Default)]
struct Followed {
    /// Everything up to this entry was looked at.
    upto: Option<LogIndex>,
    /// Queries by hold, with the accounts that may have something new.
    holds: BTreeMap<HoldId, (Query, BTreeSet<AccountId>)>,
    /// Holds whose query this program does not read: they hold everything.
    unread: BTreeSet<HoldId>,
}

impl HoldJudge {
    /// Begins to work. Within a runtime.
    ///
    /// # Errors
    /// No thread can be had.
    pub fn start(options: Options) -> std::io::Result<Self> {
        let Options { store, texts } = options;
        let pace = Mutex::new(Pace::new(store.applied()));
        let this = Self(Arc::new(Inner {
            store,
            texts: Now(texts),
            runtime: Handle::current(),
            ending: Ending::default(),
            woken: Condvar::new(),
            sleeps: Mutex::new(()),
            thread: Mutex::default(),
            pace,
        }));
        let worker = this.clone();
        let thread = thread::Builder::new().name("holds".into()).spawn(move || worker.run())?;
        *this.0.thread.lock() = Some(thread);
        Ok(this)
    }

    /// Ends it, and waits for that. Blocks.
    pub fn close(&self) {
        self.0.ending.begin();
        self.0.woken.notify_all();
        let thread = self.0.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that judges what is held had panicked");
        }
    }

    fn run(&self) {
        // Nothing waits for this thread: what is not judged yet is held.
        yield_to_all();
        let mut followed = Followed::default();
        while !self.0.ending.has_begun() {
            let wait = match self.turn(&mut followed) {
                Ok(()) => TICK,
                Err(WorkError::Ending) => return,
                Err(error) => {
                    tracing::debug!(%error, "what is held is judged later");
                    RETRY
                }
            };
            self.sleep(wait);
        }
    }

    /// Ends early when it is closed.
    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut sleeps = self.0.sleeps.lock();
        while !self.0.ending.has_begun() && !self.0.woken.wait_until(&mut sleeps, end).timed_out() {
        }
    }

    fn turn(&self, followed: &mut Followed) -> Result<(), WorkError> {
        if !self.0.store.node().is_leader() {
            // Who leads meanwhile judges.
            *followed = Followed::default();
            return Ok(());
        }
        let applied = self.0.store.applied();
        if followed.upto == Some(applied) {
            return Ok(());
        }
        self.follow(followed, applied)?;
        let holds: Vec<HoldId> = followed.holds.keys().copied().collect();
        for hold in holds {
            let Some((query, accounts)) = followed.holds.get_mut(&hold) else { continue };
            while !accounts.is_empty() {
                self.record(hold, query, accounts)?;
            }
        }
        followed.upto = Some(applied);
        Ok(())
    }

    /// Finds whose mail is new, and which holds are.
    fn follow(&self, followed: &mut Followed, applied: LogIndex) -> Result<(), WorkError> {
        let view = self.0.store.local_view()?;
        let touched = if followed.holds.is_empty() {
            Some(BTreeSet::new())
        } else {
            self.touched(followed.upto, applied)
        };
        let holds = view.holds()?;
        let there = |id: &HoldId| holds.iter().any(|hold| hold.id == *id);
        followed.holds.retain(|id, _| there(id));
        followed.unread.retain(|id| there(id));
        for hold in &holds {
            let Some(query) = hold.terms.scope.query() else { continue };
            match followed.holds.get_mut(&hold.id) {
                Some((_, accounts)) => match &touched {
                    Some(touched) => accounts.extend(touched),
                    None => accounts.extend(view.reached_by(hold)?),
                },
                None if followed.unread.contains(&hold.id) => {}
                None => match read(&query.text, hold.set) {
                    Ok(query) => {
                        let accounts = view.reached_by(hold)?.into_iter().collect();
                        followed.holds.insert(hold.id, (query, accounts));
                    }
                    Err(error) => unread(followed, hold, &error),
                },
            }
        }
        Ok(())
    }

    /// Accounts that something came to; `None` where that is not to be told.
    fn touched(&self, after: Option<LogIndex>, upto: LogIndex) -> Option<BTreeSet<AccountId>> {
        let (mut next, mut touched) = (after?.0.checked_add(1)?, BTreeSet::new());
        while next <= upto.0 {
            let range = LogIndex(next)..LogIndex(upto.0.checked_add(1)?);
            let entries = self.0.store.node().read(range, PIECE).ok()?;
            if entries.first().is_none_or(|entry| entry.id.index.0 != next) {
                return None;
            }
            for entry in &entries {
                touched.extend(accounts_of(entry)?);
                next = entry.id.index.0.checked_add(1)?;
            }
        }
        Some(touched)
    }

    /// Judges emails for one record. Accounts of which all are judged go from the list.
    fn record(
        &self,
        hold: HoldId,
        query: &Query,
        accounts: &mut BTreeSet<AccountId>,
    ) -> Result<(), WorkError> {
        let view = self.0.store.local_view()?;
        let (mut room, mut judged, mut done) = (BATCH, Vec::new(), Vec::new());
        if view.hold(hold)?.is_none_or(|hold| hold.releasing.is_some_and(|r| r.ending)) {
            accounts.clear();
            return Ok(());
        }
        for account in accounts.iter().copied() {
            if room == 0 || judged.len() >= ACCOUNTS {
                break;
            }
            let emails = view.unjudged(hold, account, room)?;
            if emails.is_empty() || !is_over(&view, hold, account)? {
                done.push(account);
                continue;
            }
            room = room.saturating_sub(emails.len());
            judged.extend(self.judge(&view, query, (hold, account), &emails)?);
        }
        self.record_marks(hold, judged)?;
        accounts.retain(|account| !done.contains(account));
        Ok(())
    }

    fn judge(
        &self,
        view: &View,
        query: &Query,
        (hold, account): (HoldId, AccountId),
        emails: &[EmailId],
    ) -> Result<Option<Judged>, WorkError> {
        let Some(upto) = emails.last().copied() else { return Ok(None) };
        let judge = Judge { view, reader: &self.0.store, texts: &self.0.texts };
        let mut marks: Vec<(EmailId, Held)> = Vec::new();
        for email in emails {
            if self.0.ending.has_begun() {
                return Err(WorkError::Ending);
            }
            self.0.pace.lock().rest(self.0.store.applied(), false);
            let held = judge.judge(query, account, *email).map_err(|error| self.ended(error))?;
            marks.extend(held.map(|held| (*email, held)));
        }
        let after = view.judged(hold, account)?.upto;
        Ok(Some(Judged { account, after, upto, marks }))
    }

    /// What the end makes impossible is no error.
    fn ended(&self, error: FactsError) -> WorkError {
        match &error {
            FactsError::Texts(TextsError::Pool(_)) if self.0.ending.has_begun() => {
                WorkError::Ending
            }
            _ => error.into(),
        }
    }

    fn record_marks(&self, hold: HoldId, judged: Vec<Judged>) -> Result<(), WorkError> {
        if judged.is_empty() {
            return Ok(());
        }
        let marks = self.0.store.hold_marks(HoldMarks { hold, judged });
        for answer in self.0.runtime.block_on(marks)? {
            if let Err(why) = answer {
                // Somebody else has judged them, or the account came back elsewhere.
                tracing::debug!(%hold, %why, "what was judged is not taken");
            }
        }
        Ok(())
    }
}

/// An account may have been renamed away before the hold reached it.
fn is_over(view: &View, hold: HoldId, account: AccountId) -> Result<bool, StoreError> {
    Ok(view.holds_over(account)?.iter().any(|over| over.id == hold))
}

fn unread(followed: &mut Followed, hold: &Hold, error: &HoldQueryError) {
    tracing::error!(hold = %hold.id, %error, "the query of a hold is not read: it holds all");
    followed.unread.insert(hold.id);
}

/// Whose mail a record may have brought, or brought under a hold; `None`: anybody's.
fn accounts_of(entry: &LogEntry) -> Option<Vec<AccountId>> {
    if entry.kind != EntryKind::Record {
        return Some(Vec::new());
    }
    let record = record_of(&entry.payload).ok()?;
    match &record.change {
        Change::Deliver(r) => Some(r.recipients.iter().map(|to| to.account).collect()),
        Change::DeliverCaptured(r) => {
            let to = r.deliver.recipients.iter().map(|to| to.account);
            Some(to.chain(r.archives.iter().copied()).collect())
        }
        Change::Capture(r) => Some(r.archives.clone()),
        Change::Append(r) => Some(vec![r.account]),
        Change::AccountRename(r) => Some(vec![r.account]),
        Change::RestoreNow(r) => Some(vec![r.account]),
        Change::RestorePiece(_) | Change::NewLineage(_) | Change::HoldsKept(_) => None,
        _ => Some(Vec::new()),
    }
}
