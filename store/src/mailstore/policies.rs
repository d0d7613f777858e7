//! What policies take goes, in bounded records: looked for by whoever leads.
//!
//! Not all mail is read each time. Of each account it is known when the next email is due, from
//! the one time that all of it was read; after that only what changed since is looked at, until
//! that time comes or something changes that binds the account. This is known in memory alone: a
//! new leader reads once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};

use redoubt_log::id::{
    AccountId, EmailId, LogIndex, MailboxId, ModSeq, OperationId, PolicyId, Timestamp,
};
use redoubt_log::record::{
    Actor, Address, Change, Done, MAX_CHANGES, PolicyMatched, PurgeItem, PurgePolicy, Rejection,
    SpecialUse, Why,
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::rounds::{Leads, rest};
use super::{Inner, Mailstore, StoreError, WriteError, retention};
use crate::retention::{Facts, Policy, Until, due_places, is_unasked, judge};
use crate::view::{Mailbox, View};

/// Emails that are looked at together.
const PAGE: usize = 500;
/// Emails that one record takes.
const PIECE: usize = if MAX_CHANGES < 200 { MAX_CHANGES } else { 200 };
/// Milliseconds of a day.
const DAY: i64 = 24 * 3600 * 1000;

/// What the last round of a node that led has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRound {
    /// When it ended.
    pub ended: Timestamp,
    /// Accounts of which all mail was read.
    pub read: u64,
    /// Emails that were looked at.
    pub looked: u64,
    /// Emails that policies took.
    pub taken: u64,
    /// Emails that are due and stay for now: a daily maximum, a hold, something that changed.
    pub waiting: u64,
}

/// What rounds know of accounts, so that not all mail is read each time.
#[derive(Debug, Default)]
pub(crate) struct Accounts(BTreeMap<AccountId, Known>);

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    /// Which policies acted, and what bound the account, when it was read.
    bound: Bound,
    /// The highest MODSEQ of each mailbox.
    modseqs: BTreeMap<MailboxId, ModSeq>,
    /// When the next email is due.
    next: Option<Timestamp>,
}

/// What a decision stands on, beside the mail.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    since: LogIndex,
    /// The versions that act.
    acting: Vec<(PolicyId, u32)>,
    /// Policies are over accounts by their domain.
    address: Option<Address>,
    /// What mailboxes are called, and are for: policies are over them by that. Of one that has
    /// gone meanwhile no changes are told.
    mailboxes: BTreeMap<MailboxId, (String, Option<SpecialUse>)>,
    /// What was made and has gone between two rounds is told by this alone.
    next_mailbox: u32,
}

/// Emails to look at, and whether these are all.
enum Look {
    Nothing,
    Some(Vec<EmailId>),
    All,
}

/// Works, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>) {
    let mut known = Accounts::default();
    loop {
        let Some(inner) = store.upgrade().filter(|inner| inner.trims) else { return };
        let pause = inner.policies_every;
        drop(inner);
        tokio::time::sleep(pause).await;
        let Some(inner) = store.upgrade() else { return };
        match inner.policy_round(&mut known).await {
            Ok(Some(round)) => *inner.policies_seen.lock() = round,
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "policies take what is due later"),
        }
    }
}

impl Mailstore {
    /// Puts into the log what a policy's query has found.
    ///
    /// # Errors
    /// [`WriteError`]: also where another version is asked by now.
    pub async fn policy_matched(&self, matched: PolicyMatched) -> Result<(), WriteError> {
        let change = Change::PolicyMatched(matched);
        let done = self.inner.propose(&Actor::SYSTEM, OperationId::random(), change).await?;
        done.result.map(drop).map_err(WriteError::Rejected)
    }

    /// What the last round of policies has found, on a node that led.
    pub fn policy_round(&self) -> PolicyRound {
        *self.inner.policies_seen.lock()
    }
}

/// Policies by which something may go some time.
pub(crate) fn taking(view: &View) -> Result<Vec<Policy>, StoreError> {
    let deletes = |policy: &Policy| {
        let mut said = policy.versions.iter().filter_map(|version| version.settings.as_ref());
        said.any(|settings| settings.delete.is_some())
    };
    let policies = view.policies()?;
    Ok(if policies.iter().any(deletes) { policies } else { Vec::new() })
}

impl Inner {
    async fn policy_round(
        self: &Arc<Self>,
        known: &mut Accounts,
    ) -> Result<Option<PolicyRound>, WriteError> {
        let view = self.local_view()?;
        let policies: Arc<[Policy]> = self.work(move || taking(&view)).await??.into();
        if policies.is_empty() {
            known.0.clear();
            return Ok(None);
        }
        let mut round = None;
        if self.node.is_leader() {
            round = Some(look_through(self.as_ref(), &policies, known).await?);
        } else {
            known.0.clear();
        }
        if let Err(error) = self.reclaim().await {
            tracing::warn!(%error, "the bytes of dead blobs stay for now");
        }
        Ok(round)
    }
}

/// One round over all accounts.
pub(crate) async fn look_through<L: Leads>(
    leader: &L,
    policies: &Arc<[Policy]>,
    known: &mut Accounts,
) -> Result<PolicyRound, WriteError> {
    let mut round = PolicyRound::default();
    retention::count_references(leader).await?;
    let view = leader.view().await?;
    let accounts = leader.work(move || view.account_ids()).await??;
    known.0.retain(|account, _| accounts.binary_search(account).is_ok());
    for account in accounts {
        look_through_one(leader, account, policies, known, &mut round).await?;
    }
    if round.taken > 0 {
        retention::let_die(leader).await?;
    }
    round.ended = Timestamp::now();
    Ok(round)
}

async fn look_through_one<L: Leads>(
    leader: &L,
    account: AccountId,
    policies: &Arc<[Policy]>,
    known: &mut Accounts,
    round: &mut PolicyRound,
) -> Result<(), WriteError> {
    let view = leader.view().await?;
    let (now, before) = (Timestamp::now(), known.0.get(&account).cloned());
    let all = policies.clone();
    let looked = leader.work(move || look(&view, account, &all, before.as_ref(), now)).await??;
    let Some((mut fresh, look)) = looked else {
        known.0.remove(&account);
        return Ok(());
    };
    let emails = match look {
        Look::Nothing => {
            known.0.insert(account, fresh);
            return Ok(());
        }
        Look::Some(emails) => Some(emails),
        Look::All => {
            round.read += 1;
            None
        }
    };
    let mut pages = Pages { account, emails, at: 0, after: None };
    loop {
        let view = leader.view().await?;
        let decided = view.index();
        let (all, mut next) = (policies.clone(), pages);
        let done = leader.work(move || {
            let page = next.next(&view)?;
            let found = page.map(|page| find(&view, account, &page, &all, now)).transpose()?;
            Ok::<_, StoreError>((next, found))
        });
        let (rest, found) = done.await??;
        pages = rest;
        let Some(found) = found else { break };
        round.looked += found.looked;
        round.waiting += found.held;
        fresh.next = sooner(fresh.next, found.next);
        for (policy, version, items) in found.due {
            let left = take(leader, account, (policy, version), items, decided, round).await?;
            fresh.next = sooner(fresh.next, left);
        }
    }
    known.0.insert(account, fresh);
    Ok(())
}

/// Takes what is due, piece by piece; when to look again where something stayed.
async fn take<L: Leads>(
    leader: &L,
    account: AccountId,
    (policy, version): (PolicyId, u32),
    items: Vec<PurgeItem>,
    decided: LogIndex,
    round: &mut PolicyRound,
) -> Result<Option<Timestamp>, WriteError> {
    let mut again = None;
    for items in items.chunks(PIECE) {
        let count = items.len() as u64;
        let purge = PurgePolicy { account, policy, version, items: items.to_vec(), decided };
        let began = Instant::now();
        let why = Why { policy: Some((policy.0, version)), reason: None };
        let outcome = leader.put(Change::PurgePolicy(purge), why).await;
        rest(began).await;
        match outcome.map(|outcome| outcome.result) {
            Ok(Ok(Done::Purged(answers))) => {
                for answer in answers {
                    match answer {
                        Ok(_) => round.taken += 1,
                        // What went meanwhile is not waited for.
                        Err(Rejection::Gone) => {}
                        Err(why) => {
                            round.waiting += 1;
                            again = sooner(again, Some(later(&why)));
                        }
                    }
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(why)) | Err(WriteError::Rejected(why)) => {
                tracing::debug!(%why, "policies");
                round.waiting += count;
                again = sooner(again, Some(later(&why)));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(again)
}

/// When what was refused is tried again.
fn later(why: &Rejection) -> Timestamp {
    let now = Timestamp::now().0;
    match why {
        // A daily maximum: with the next day.
        Rejection::Limit(_) => Timestamp((now.div_euclid(DAY) + 1).saturating_mul(DAY)),
        _ => Timestamp(now),
    }
}

fn sooner(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    one.into_iter().chain(other).min()
}

/// What there is to look at in an account; `None` for one of which nothing may go.
fn look(
    view: &View,
    account: AccountId,
    policies: &[Policy],
    before: Option<&Known>,
    now: Timestamp,
) -> Result<Option<(Known, Look)>, StoreError> {
    if is_held(view, account)? {
        return Ok(None);
    }
    let mailboxes = view.mailboxes(account)?;
    let modseqs = mailboxes.iter().map(|mailbox| (mailbox.id, mailbox.highest_modseq)).collect();
    let bound = bound(view, account, policies, mailboxes, now)?;
    let mut fresh = Known { bound, modseqs, next: None };
    let Some(before) = before.filter(|before| before.bound == fresh.bound) else {
        return Ok(Some((fresh, Look::All)));
    };
    if before.next.is_some_and(|next| next <= now) {
        return Ok(Some((fresh, Look::All)));
    }
    fresh.next = before.next;
    let mut emails = BTreeSet::new();
    for (mailbox, modseq) in &fresh.modseqs {
        let since = before.modseqs.get(mailbox).copied().unwrap_or_default();
        if since >= *modseq {
            continue;
        }
        let changes = view.changed_since(account, *mailbox, since)?;
        for uid in changes.changed.into_iter().map(|(uid, _)| uid).chain(changes.vanished) {
            emails.extend(view.stood_there(account, *mailbox, uid)?);
        }
    }
    let look = match emails.is_empty() {
        true => Look::Nothing,
        false => Look::Some(emails.into_iter().collect()),
    };
    Ok(Some((fresh, look)))
}

/// Whether all of an account's mail is held. What a query holds is held email by email.
fn is_held(view: &View, account: AccountId) -> Result<bool, StoreError> {
    let holds = view.holds_over(account)?;
    Ok(holds.iter().any(|hold| hold.terms.scope.query().is_none()))
}

fn bound(
    view: &View,
    account: AccountId,
    policies: &[Policy],
    mailboxes: Vec<Mailbox>,
    now: Timestamp,
) -> Result<Bound, StoreError> {
    let acting = policies
        .iter()
        .filter_map(|policy| policy.in_force(now).map(|version| (policy.id, version.number)));
    let row = view.account_row(account)?;
    Ok(Bound {
        since: view.bound_since(account)?,
        acting: acting.collect(),
        address: row.as_ref().map(|row| row.address.clone()),
        mailboxes: mailboxes.into_iter().map(|m| (m.id, (m.name, m.special_use))).collect(),
        next_mailbox: row.map_or(0, |row| row.next_mailbox),
    })
}

/// Emails page by page: those that are named, or all of an account.
struct Pages {
    account: AccountId,
    emails: Option<Vec<EmailId>>,
    at: usize,
    after: Option<EmailId>,
}

impl Pages {
    fn next(&mut self, view: &View) -> Result<Option<Vec<EmailId>>, StoreError> {
        let page = match &self.emails {
            Some(emails) => {
                let rest = emails.get(self.at..).unwrap_or_default();
                rest.get(..PAGE.min(rest.len())).unwrap_or_default().to_vec()
            }
            None => view.emails_ever(self.account, self.after, PAGE)?,
        };
        self.at += page.len();
        self.after = page.last().copied();
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}

/// What was found among some emails.
struct Found {
    looked: u64,
    /// Emails that are due, and held by a query.
    held: u64,
    next: Option<Timestamp>,
    due: Vec<(PolicyId, u32, Vec<PurgeItem>)>,
}

fn find(
    view: &View,
    account: AccountId,
    emails: &[EmailId],
    policies: &[Policy],
    now: Timestamp,
) -> Result<Found, StoreError> {
    let mut found = Found { looked: emails.len() as u64, held: 0, next: None, due: Vec::new() };
    for facts in view.facts(account, emails)?.into_iter().flatten() {
        if policies.iter().any(|policy| is_unasked(policy, &facts)) {
            // What a query finds is told by nothing else.
            found.next = sooner(found.next, Some(now));
        }
        let verdict = judge(policies, &facts, now);
        if verdict.goes().is_none_or(|goes| goes > now) {
            // What else may come to act is a change of what binds.
            found.next = sooner(found.next, verdict.goes());
            continue;
        }
        if let Some(judged) = held(view, account, facts.email)? {
            found.held += 1;
            // The end of a hold is told by what binds the account; what a query finds is not.
            found.next = sooner(found.next, Some(now).filter(|_| !judged));
            continue;
        }
        let live = view.email(account, facts.email)?.is_some();
        let Some((policy, version, item)) = item(policies, &facts, live, now) else { continue };
        match found.due.iter_mut().find(|(id, number, _)| (*id, *number) == (policy, version)) {
            Some((_, _, items)) => items.push(item),
            None => found.due.push((policy, version, vec![item])),
        }
        // Places that are not due yet.
        let until = verdict.by.iter().filter_map(|judged| judged.deletion);
        let later = until.filter_map(|deletion| match deletion.until {
            Until::Time(time) if time > now => Some(time),
            _ => None,
        });
        found.next = sooner(found.next, later.min());
    }
    Ok(found)
}

/// Whether an email is held; by queries that have all judged it, or not yet.
fn held(view: &View, account: AccountId, email: EmailId) -> Result<Option<bool>, StoreError> {
    let holds = view.email_held_by(account, email)?;
    let mut judged = true;
    for hold in &holds {
        judged &= view.hold_mark(*hold, account, email)?.is_some();
    }
    Ok((!holds.is_empty()).then_some(judged))
}

/// What the first policy that is due takes of an email.
fn item(
    policies: &[Policy],
    facts: &Facts,
    live: bool,
    now: Timestamp,
) -> Option<(PolicyId, u32, PurgeItem)> {
    for policy in policies {
        let due = due_places(policy, facts, now);
        if let Some(version) = policy.in_force(now).filter(|_| !due.is_empty()) {
            let placements = if live { due } else { Vec::new() };
            let item = PurgeItem { email: facts.email, placements };
            return Some((policy.id, version.number, item));
        }
    }
    None
}
