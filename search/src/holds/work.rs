//! The thread that judges. It follows the log to know whose mail is new, and asks the state what
//! of it is not judged: so it may begin anywhere, and what it forgets is only where to look first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use redoubt_log::id::{AccountId, EmailId, HoldId, LogIndex, PolicyId, Timestamp};
use redoubt_log::raft::{EntryKind, LogEntry, record_of};
use redoubt_log::record::{Change, Held, HoldMarks, Judged, PolicyMatched, PolicySettings};
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

/// Whose query it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Asker {
    Hold(HoldId),
    /// A policy's, by the version that says it.
    Policy(PolicyId, u32),
}

impl std::fmt::Display for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hold(hold) => write!(f, "hold {hold}"),
            Self::Policy(policy, version) => write!(f, "policy {policy}, version {version}"),
        }
    }
}

/// A query, and whom it is asked of.
struct Asked {
    asker: Asker,
    text: String,
    set: Timestamp,
    over: Over,
}

/// Whose mail a query is over.
enum Over {
    Hold(Box<Hold>),
    Policy(Box<PolicySettings>),
}

impl Asked {
    fn accounts(&self, view: &View) -> Result<Vec<AccountId>, StoreError> {
        match &self.over {
            Over::Hold(hold) => view.reached_by(hold),
            Over::Policy(settings) => view.under(settings),
        }
    }
}

/// All queries that are asked as of a view.
fn asked(view: &View) -> Result<Vec<Asked>, StoreError> {
    let mut all = Vec::new();
    for hold in view.holds()? {
        let Some(query) = hold.terms.scope.query() else { continue };
        let (asker, text, set) = (Asker::Hold(hold.id), query.text.clone(), hold.set);
        all.push(Asked { asker, text, set, over: Over::Hold(Box::new(hold)) });
    }
    for policy in view.policies()? {
        let Some(version) = policy.newest() else { continue };
        let Some(settings) = &version.settings else { continue };
        let Some(text) = settings.scope.query.clone() else { continue };
        let asker = Asker::Policy(policy.id, version.number);
        let over = Over::Policy(Box::new(settings.clone()));
        all.push(Asked { asker, text, set: version.set, over });
    }
    Ok(all)
}

/// Where there is something to look at.
#[derive(Debug, Default)]
struct Followed {
    /// Everything up to this entry was looked at.
    upto: Option<LogIndex>,
    /// Queries, with the accounts that may have something new.
    asked: BTreeMap<Asker, (Query, BTreeSet<AccountId>)>,
    /// Those that this program does not read: what is not judged is held, and kept.
    unread: BTreeSet<Asker>,
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
        let askers: Vec<Asker> = followed.asked.keys().copied().collect();
        for asker in askers {
            let Some((query, accounts)) = followed.asked.get_mut(&asker) else { continue };
            while !accounts.is_empty() {
                match asker {
                    Asker::Hold(hold) => self.record(hold, query, accounts)?,
                    Asker::Policy(policy, version) => {
                        self.record_found((policy, version), query, accounts)?;
                    }
                }
            }
        }
        followed.upto = Some(applied);
        Ok(())
    }

    /// Finds whose mail is new, and which queries are.
    fn follow(&self, followed: &mut Followed, applied: LogIndex) -> Result<(), WorkError> {
        let view = self.0.store.local_view()?;
        let touched = if followed.asked.is_empty() {
            Some(BTreeSet::new())
        } else {
            self.touched(followed.upto, applied)
        };
        let all = asked(&view)?;
        let there = |asker: &Asker| all.iter().any(|asked| asked.asker == *asker);
        followed.asked.retain(|asker, _| there(asker));
        followed.unread.retain(there);
        for asked in &all {
            match followed.asked.get_mut(&asked.asker) {
                Some((_, accounts)) => match &touched {
                    Some(touched) => accounts.extend(touched),
                    None => accounts.extend(asked.accounts(&view)?),
                },
                None if followed.unread.contains(&asked.asker) => {}
                None => match read(&asked.text, asked.set) {
                    Ok(query) => {
                        let accounts = asked.accounts(&view)?.into_iter().collect();
                        followed.asked.insert(asked.asker, (query, accounts));
                    }
                    Err(error) => unread(followed, asked.asker, &error),
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
        let marks = self.found(view, query, account, emails)?;
        let after = view.judged(hold, account)?.upto;
        Ok(Some(Judged { account, after, upto, marks }))
    }

    /// What a query finds among some emails, and of what it cannot tell.
    fn found(
        &self,
        view: &View,
        query: &Query,
        account: AccountId,
        emails: &[EmailId],
    ) -> Result<Vec<(EmailId, Held)>, WorkError> {
        let judge = Judge { view, reader: &self.0.store, texts: &self.0.texts };
        let mut found: Vec<(EmailId, Held)> = Vec::new();
        for email in emails {
            if self.0.ending.has_begun() {
                return Err(WorkError::Ending);
            }
            self.0.pace.lock().rest(self.0.store.applied(), false);
            let how = judge.judge(query, account, *email).map_err(|error| self.ended(error))?;
            found.extend(how.map(|how| (*email, how)));
        }
        Ok(found)
    }

    /// Asks a policy's query of one account's emails, for one record.
    fn record_found(
        &self,
        (policy, version): (PolicyId, u32),
        query: &Query,
        accounts: &mut BTreeSet<AccountId>,
    ) -> Result<(), WorkError> {
        let Some(account) = accounts.first().copied() else { return Ok(()) };
        let view = self.0.store.local_view()?;
        let policies = view.policies()?;
        let newest = policies.iter().find(|known| known.id == policy).and_then(|it| it.newest());
        let said = newest.filter(|newest| newest.number == version);
        let Some(said) = said.and_then(|newest| newest.settings.as_ref()) else {
            // Another version is asked by the next turn.
            accounts.clear();
            return Ok(());
        };
        let emails = match view.is_under(said, account)? {
            true => view.unasked((policy, version), account, BATCH)?,
            false => Vec::new(),
        };
        let Some(last) = emails.last() else {
            accounts.remove(&account);
            return Ok(());
        };
        let (upto, emails) = (last.sequence, self.found(&view, query, account, &emails)?);
        let matched = PolicyMatched { policy, version, account, emails, upto };
        match self.0.runtime.block_on(self.0.store.policy_matched(matched)) {
            Ok(()) => Ok(()),
            Err(WriteError::Rejected(why)) => {
                // Somebody else has asked, or another version is asked by now.
                tracing::debug!(%policy, %why, "what was found is not taken");
                accounts.remove(&account);
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
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

fn unread(followed: &mut Followed, asker: Asker, error: &HoldQueryError) {
    tracing::error!(%asker, %error, "a query is not read: it holds and keeps all");
    followed.unread.insert(asker);
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
        Change::RestorePiece(_)
        | Change::NewLineage(_)
        | Change::HoldsKept(_)
        | Change::PoliciesKept(_)
        | Change::AccountClass(_)
        | Change::DomainClass(_) => None,
        _ => Some(Vec::new()),
    }
}
