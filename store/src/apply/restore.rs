//! What the history holds comes back. An email keeps its id, its thread and its
//! dates; its placements get new UIDs, MODSEQs and SAVEDATEs, since a UID that
//! vanished must not return.
//!
//! What an email is, is read from the history, where erasures have been applied,
//! and not from the record. A step that finds what it wanted changes nothing, so
//! that a plan can be made and run again. No step rejects the record: what it
//! cannot do is its own answer.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, EmailId, MailboxId, ModSeq, OperationId, Uid};
use redoubt_log::record::{
    AccountState, Actor, Arrival, Done, Flags, Keyword, MailboxCreate, MailboxDelete,
    MailboxRename, Rejection, RestoreAudit, RestoreBegin, RestoreEmail, RestoreEnded, RestoreNow,
    RestoreOptions, RestorePiece, RestorePlace, RestoreStep, RestoreTo, Restored, SpecialUse,
    Subscribe,
};

use super::placing::{self, Marks, Place};
use super::work::Work;
use super::{Ruled, Stop, account, mailbox, operations, policy, settle, subscribe};
use crate::email::thread;
use crate::keys::{Key, Object, restoring};
use crate::mailbox::{INBOX, KeywordPlan, find, is_inbox, plan_keywords};
use crate::rows::{
    EmailData, EmailRow, MailboxState, PlacementRow, RestoreEnd, RestoreMadeRow, RestorePieceRow,
    RestoreRow, Standing, Version,
};
use crate::storage::{KeyRange, Order, StorageError, Table, decode};

fn refused(why: &str) -> Stop {
    Stop::Rejected(Rejection::Restore(why.to_owned()))
}

pub(crate) fn begin(work: &mut Work<'_>, actor: &Actor, record: &RestoreBegin) -> Ruled<Done> {
    work.deleted_too = true;
    if work.account(record.account)?.row.get().settings.state == AccountState::Archive {
        return Err(Rejection::Archive.into());
    }
    if let Some(other) = work.tx.get::<OperationId>(&Key::Restoring(record.account))? {
        let why = format!("restore {other} of this account is not done: `redoubt restore list`");
        return Err(Rejection::Restore(why).into());
    }
    if work.tx.get_raw(&Key::Restore(record.restore))?.is_some() {
        return Err(refused("a restore has this id already"));
    }
    work.tx.put(&Key::Restoring(record.account), &record.restore)?;
    work.tx.put(&Key::Restore(record.restore), &row(work, actor, record))?;
    Ok(Done::Unit)
}

/// Rejects what would take from an account what a restore that is under way needs.
pub(crate) fn check(work: &Work<'_>, account: AccountId) -> Ruled<()> {
    for (key, value) in work.tx.scan(Table::Operation, &restoring(), usize::MAX)? {
        let id: OperationId = decode(Table::Operation, &key, &value)?;
        let row: Option<RestoreRow> = work.tx.get(&Key::Restore(id))?;
        if row.is_some_and(|row| row.source == account || row.account == account) {
            let why = format!("restore {id} of its history is not done: `redoubt restore list`");
            return Err(Rejection::Floor(why).into());
        }
    }
    Ok(())
}

fn row(work: &Work<'_>, actor: &Actor, record: &RestoreBegin) -> RestoreRow {
    RestoreRow {
        account: record.account,
        source: record.source,
        mode: record.mode,
        at: record.at,
        until: record.until,
        wish: Some(record.wish),
        plan: record.plan.clone(),
        steps: record.steps,
        done: 0,
        counts: Default::default(),
        options: record.options,
        actor: actor.clone(),
        index: work.index,
        begun: work.time,
        ended: None,
    }
}

pub(crate) fn piece(work: &mut Work<'_>, record: &RestorePiece) -> Ruled<Done> {
    work.deleted_too = true;
    let key = Key::Restore(record.restore);
    let row: Option<RestoreRow> = work.tx.get(&key)?;
    let mut row = row.ok_or_else(|| refused("there is no such restore"))?;
    if row.ended.is_some() || row.account != record.account {
        return Err(refused("this restore has ended"));
    }
    let count = record.steps.len() as u64;
    if record.first != row.done || row.done.saturating_add(count) > row.steps {
        return Err(refused("these are not the restore's next steps"));
    }
    let run = Run { account: row.account, restore: record.restore, options: row.options };
    let outcomes = run.steps(work, &record.steps)?;
    outcomes.iter().for_each(|outcome| row.counts.count(outcome));
    row.done += count;
    work.tx.put(&key, &row)?;
    keep(work, record.restore, record.first, outcomes.clone())?;
    Ok(Done::Restored(outcomes))
}

pub(crate) fn now(work: &mut Work<'_>, actor: &Actor, record: &RestoreNow) -> Ruled<Done> {
    work.account(record.account)?;
    let key = Key::Restore(record.restore);
    if work.tx.get_raw(&key)?.is_some() {
        return Err(refused("a restore has this id already"));
    }
    let (account, restore, options) = (record.account, record.restore, record.options);
    let outcomes = Run { account, restore, options }.steps(work, &record.steps)?;
    let mut row = RestoreRow {
        account,
        source: record.source,
        mode: redoubt_log::record::RestoreMode::Email,
        at: record.at,
        until: None,
        wish: None,
        plan: Vec::new(),
        steps: outcomes.len() as u64,
        done: outcomes.len() as u64,
        counts: Default::default(),
        options,
        actor: actor.clone(),
        index: work.index,
        begun: work.time,
        ended: None,
    };
    outcomes.iter().for_each(|outcome| row.counts.count(outcome));
    end(work, restore, row, RestoreEnded::Completed)?;
    keep(work, restore, 0, outcomes.clone())?;
    Ok(Done::Restored(outcomes))
}

pub(crate) fn audit(work: &mut Work<'_>, record: &RestoreAudit) -> Ruled<Done> {
    let row: Option<RestoreRow> = work.tx.get(&Key::Restore(record.restore))?;
    let row = row.ok_or_else(|| refused("there is no such restore"))?;
    if row.ended.is_some() || row.account != record.account {
        return Err(refused("this restore has ended"));
    }
    if row.counts != record.counts {
        return Err(refused("these are not the restore's counts"));
    }
    if record.ended == RestoreEnded::Completed && row.done < row.steps {
        return Err(refused("steps of the restore are left to do"));
    }
    work.tx.delete(&Key::Restoring(row.account));
    end(work, record.restore, row, record.ended)?;
    Ok(Done::Unit)
}

/// The row is kept for as long as outcomes of restores are.
fn end(
    work: &mut Work<'_>,
    restore: OperationId,
    mut row: RestoreRow,
    how: RestoreEnded,
) -> Ruled<()> {
    let expires = operations::after(work.time, operations::RESTORE_LIFE);
    row.ended = Some(RestoreEnd { how, index: work.index, time: work.time, expires });
    let key = Key::Restore(restore);
    work.tx.put(&key, &row)?;
    Ok(operations::expires(work, &key, expires)?)
}

fn keep(
    work: &mut Work<'_>,
    restore: OperationId,
    first: u64,
    outcomes: Vec<Restored>,
) -> Ruled<()> {
    let expires = operations::after(work.time, operations::RESTORE_LIFE);
    let key = Key::RestorePiece(restore, first);
    work.tx.put(&key, &RestorePieceRow { expires, outcomes })?;
    Ok(operations::expires(work, &key, expires)?)
}

/// A restore at work.
#[derive(Debug, Clone, Copy)]
struct Run {
    account: AccountId,
    restore: OperationId,
    options: RestoreOptions,
}

impl Run {
    fn steps(self, work: &mut Work<'_>, steps: &[RestoreStep]) -> Ruled<Vec<Restored>> {
        let mut outcomes = Vec::with_capacity(steps.len());
        for (ordinal, step) in (0u32..).zip(steps) {
            let outcome = settle(self.step(work, step, ordinal))?;
            outcomes.push(outcome.unwrap_or_else(answer_of));
        }
        Ok(outcomes)
    }

    fn step(self, work: &mut Work<'_>, step: &RestoreStep, ordinal: u32) -> Ruled<Restored> {
        let a = self.account;
        let state = work.account(a)?.row.get().settings.state;
        if state == AccountState::Deleted && !matches!(step, RestoreStep::Account { .. }) {
            return Err(Rejection::NoSuchAccount.into());
        }
        match step {
            RestoreStep::Account { address, settings } => {
                match account::undelete(work, a, address, settings)? {
                    true => Ok(Restored::Created(None)),
                    false => Ok(Restored::Merged),
                }
            }
            RestoreStep::Mailbox { slot, parent, name, special_use } => {
                self.mailbox(work, *slot, *parent, name, *special_use)
            }
            RestoreStep::Rename { mailbox, parent, name } => {
                self.rename(work, *mailbox, *parent, name)
            }
            RestoreStep::Delete { mailbox } => delete(work, a, *mailbox),
            RestoreStep::Subscribe { name, subscribed } => self.subscribe(work, name, *subscribed),
            RestoreStep::Email(email) => self.email(work, email, ordinal),
            RestoreStep::Flags { mailbox, uid, email, modseq, flags, keywords } => {
                let place = Place { account: a, mailbox: *mailbox, uid: *uid };
                put_flags(work, place, *email, *modseq, *flags, keywords)
            }
            RestoreStep::Move { from, uid, email, to, flags, keywords } => {
                let place = Place { account: a, mailbox: *from, uid: *uid };
                self.move_back(work, place, *email, *to, *flags, keywords)
            }
            RestoreStep::Expunge { mailbox, uid, email } => {
                let place = Place { account: a, mailbox: *mailbox, uid: *uid };
                match standing(work, place, *email)? {
                    Some(row) => {
                        placing::remove(work, place, &row).map(|_| Restored::Changed(None))
                    }
                    None => Ok(Restored::Merged),
                }
            }
        }
    }

    /// The mailbox that a step means; INBOX for one that is gone, where that was asked for.
    fn target(self, work: &mut Work<'_>, to: RestoreTo) -> Ruled<MailboxId> {
        let found = self.named(work, to).and_then(|id| {
            work.selectable(self.account, id)?;
            Ok(id)
        });
        match settle(found)? {
            Ok(id) => Ok(id),
            Err(_) if self.options.inbox_if_gone => {
                work.selectable(self.account, INBOX)?;
                Ok(INBOX)
            }
            Err(rejection) => Err(rejection.into()),
        }
    }

    fn named(self, work: &mut Work<'_>, to: RestoreTo) -> Ruled<MailboxId> {
        let id = match to {
            RestoreTo::Mailbox(id) => id,
            RestoreTo::Made(slot) => {
                let key = Key::RestoreMade(self.restore, slot);
                let row: Option<RestoreMadeRow> = work.tx.get(&key)?;
                row.ok_or(Rejection::NoSuchMailbox)?.mailbox
            }
        };
        work.named(self.account, id)?;
        Ok(id)
    }

    fn parent(self, work: &mut Work<'_>, to: Option<RestoreTo>) -> Ruled<Option<MailboxId>> {
        to.map(|to| self.named(work, to)).transpose()
    }

    fn mailbox(
        self,
        work: &mut Work<'_>,
        slot: u32,
        parent: Option<RestoreTo>,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Ruled<Restored> {
        let a = self.account;
        let parent = self.parent(work, parent)?;
        if parent.is_none() && is_inbox(name) {
            self.made(work, slot, INBOX)?;
            return Ok(Restored::Merged);
        }
        if let Some(id) = mailbox::named(work, a, parent, name)?
            && work.named(a, id)?.row.get().state == MailboxState::Live
        {
            self.made(work, slot, id)?;
            return Ok(Restored::Merged);
        }
        let free = settle(mailbox::check_use(work, a, special_use))?.is_ok();
        let special_use = special_use.filter(|_| free);
        let create = MailboxCreate { account: a, parent, name: name.to_owned(), special_use };
        if let Done::Mailbox(id, _) = mailbox::create(work, &create)? {
            self.made(work, slot, id)?;
        }
        Ok(Restored::Created(None))
    }

    fn made(self, work: &mut Work<'_>, slot: u32, mailbox: MailboxId) -> Ruled<()> {
        let expires = operations::after(work.time, operations::RESTORE_LIFE);
        let key = Key::RestoreMade(self.restore, slot);
        work.tx.put(&key, &RestoreMadeRow { expires, mailbox })?;
        Ok(operations::expires(work, &key, expires)?)
    }

    fn rename(
        self,
        work: &mut Work<'_>,
        m: MailboxId,
        parent: Option<RestoreTo>,
        name: &str,
    ) -> Ruled<Restored> {
        let parent = self.parent(work, parent)?;
        let row = work.named(self.account, m)?.row.get();
        if (row.parent, row.name.as_str()) == (parent, name) {
            return Ok(Restored::Merged);
        }
        let name = name.to_owned();
        let rename = MailboxRename { account: self.account, mailbox: m, parent, name };
        match settle(mailbox::rename(work, &rename))? {
            Ok(_) => Ok(Restored::Changed(None)),
            Err(taken @ Rejection::Exists(_)) => Ok(Restored::Skipped(taken)),
            Err(rejection) => Err(rejection.into()),
        }
    }

    fn subscribe(self, work: &mut Work<'_>, name: &str, subscribed: bool) -> Ruled<Restored> {
        let a = self.account;
        if work.tx.get_raw(&Key::Subscription(a, name))?.is_some() == subscribed {
            return Ok(Restored::Merged);
        }
        let name = name.to_owned();
        subscribe::subscribe(work, &Subscribe { account: a, name, subscribed })?;
        Ok(Restored::Changed(None))
    }

    fn email(self, work: &mut Work<'_>, step: &RestoreEmail, ordinal: u32) -> Ruled<Restored> {
        let data = from_history(work, step.from, step.email)?.ok_or(Rejection::Gone)?;
        if (data.blob, data.envelope) != (step.blob, step.envelope) {
            return Err(Rejection::Gone.into());
        }
        let id = self.id(work, step, &data, ordinal)?;
        let live = work.tx.get_raw(&Key::Email(self.account, id))?.is_some();
        let wanted = self.wanted(work, step, id, live)?;
        if wanted.is_empty() {
            return Ok(Restored::Merged);
        }
        self.check(work, &wanted)?;
        if !live {
            self.bring(work, step, id, data)?;
        }
        let mut first: Option<Arrival> = None;
        for (m, place) in wanted {
            let keywords =
                plan_keywords(work.mailbox(self.account, m)?.row.get(), &place.keywords)?;
            let marks = Marks { flags: place.flags, keywords };
            let arrival = placing::place(work, self.account, m, id, marks, None)?;
            first = first.or(Some(arrival));
        }
        Ok(Restored::Created(first))
    }

    /// Which email of this account it is: the same, one with the same bytes and received
    /// time, or a new one.
    fn id(
        self,
        work: &mut Work<'_>,
        step: &RestoreEmail,
        data: &EmailData,
        ordinal: u32,
    ) -> Ruled<EmailId> {
        if step.from == self.account {
            return Ok(step.email);
        }
        if let Some(twin) = step.twin {
            let row: Option<EmailRow> = work.tx.get(&Key::Email(self.account, twin))?;
            let same =
                |row: &EmailRow| (row.data.blob, row.data.received) == (data.blob, data.received);
            if row.as_ref().is_some_and(same) {
                return Ok(twin);
            }
        }
        Ok(EmailId { sequence: work.sequence(self.account)?, ordinal })
    }

    /// The placements that are not there, each with its mailbox. One that has no mailbox
    /// to stand in is left out, unless none has.
    fn wanted<'s>(
        self,
        work: &mut Work<'_>,
        step: &'s RestoreEmail,
        id: EmailId,
        live: bool,
    ) -> Ruled<Vec<(MailboxId, &'s RestorePlace)>> {
        let mut wanted = Vec::new();
        let (mut stand, mut why) = (false, None);
        for place in &step.places {
            let m = match settle(self.target(work, place.to))? {
                Ok(m) => m,
                Err(rejection) => {
                    why = Some(rejection);
                    continue;
                }
            };
            stand = true;
            if !live || open(work, self.account, id, m)? < place.copies.max(1) {
                wanted.push((m, place));
            }
        }
        match why {
            Some(rejection) if !stand => Err(rejection.into()),
            _ => Ok(wanted),
        }
    }

    /// Whatever may be rejected is, before the first change.
    fn check(self, work: &mut Work<'_>, wanted: &[(MailboxId, &RestorePlace)]) -> Ruled<()> {
        let mut together: BTreeMap<MailboxId, (u64, Vec<Keyword>)> = BTreeMap::new();
        for (m, place) in wanted {
            let (count, keywords) = together.entry(*m).or_default();
            *count += 1;
            keywords.extend(place.keywords.iter().cloned());
        }
        for (m, (count, keywords)) in together {
            let target = work.mailbox(self.account, m)?;
            plan_keywords(target.row.get(), &keywords)?;
            let last = target.counters.get().uid_next.saturating_add(count - 1);
            placing::check_uid(last, None)?;
        }
        Ok(())
    }

    fn bring(
        self,
        work: &mut Work<'_>,
        step: &RestoreEmail,
        id: EmailId,
        mut data: EmailData,
    ) -> Ruled<()> {
        let a = self.account;
        if !self.options.over_quota {
            work.account(a)?.has_room(data.size)?;
        }
        if step.from != a {
            let own = redoubt_log::id::ThreadId(id);
            data.thread = thread(&mut work.tx, a, &data.keys, own)?;
        }
        placing::bring(work, a, id, data)
    }

    fn move_back(
        self,
        work: &mut Work<'_>,
        place: Place,
        email: EmailId,
        to: RestoreTo,
        flags: Flags,
        keywords: &[Keyword],
    ) -> Ruled<Restored> {
        let to = self.target(work, to)?;
        let Some(row) = standing(work, place, email)? else {
            return Ok(Restored::Skipped(Rejection::Gone));
        };
        if to == place.mailbox {
            return Ok(Restored::Merged);
        }
        let target = work.mailbox(self.account, to)?;
        let keywords = plan_keywords(target.row.get(), keywords)?;
        placing::check_uid(target.counters.get().uid_next, None)?;
        let marks = Marks { flags, keywords };
        policy::capture(work, self.account, email)?;
        let arrival = placing::place(work, self.account, to, email, marks, None)?;
        placing::go(work, place, &row)?;
        Ok(Restored::Changed(Some(arrival)))
    }
}

/// What a rejection of one step is to whoever asked.
fn answer_of(rejection: Rejection) -> Restored {
    match rejection {
        changed @ Rejection::Modified(_) => Restored::Skipped(changed),
        other => Restored::Failed(other),
    }
}

fn delete(work: &mut Work<'_>, a: AccountId, m: MailboxId) -> Ruled<Restored> {
    match settle(mailbox::delete(work, &MailboxDelete { account: a, mailbox: m }))? {
        Ok(_) => Ok(Restored::Changed(None)),
        Err(Rejection::NoSuchMailbox) => Ok(Restored::Merged),
        Err(rejection) => Err(rejection.into()),
    }
}

/// The placement, if it is still this email's.
fn standing(work: &Work<'_>, place: Place, email: EmailId) -> Ruled<Option<PlacementRow>> {
    let row = settle(placing::find(work, place))?.ok();
    Ok(row.filter(|row| row.email == email))
}

fn put_flags(
    work: &mut Work<'_>,
    place: Place,
    email: EmailId,
    modseq: ModSeq,
    flags: Flags,
    keywords: &[Keyword],
) -> Ruled<Restored> {
    let target = work.selectable(place.account, place.mailbox)?.row.get();
    let plan = plan_keywords(target, keywords)?;
    let Some(old) = standing(work, place, email)? else {
        return Ok(Restored::Skipped(Rejection::Gone));
    };
    let flags = placing::known(flags);
    if (old.version.flags, &old.version.keywords) == (flags, &plan.keywords) {
        return Ok(Restored::Merged);
    }
    if old.version.modseq > modseq {
        return Err(Rejection::Modified(old.version.modseq).into());
    }
    learn(work, place, &plan)?;
    placing::change(work, place, &old, flags, plan.keywords)?;
    Ok(Restored::Changed(None))
}

fn learn(work: &mut Work<'_>, place: Place, plan: &KeywordPlan) -> Ruled<()> {
    let row = &mut work.mailbox(place.account, place.mailbox)?.row;
    let new = plan.new.iter().filter(|k| find(&row.get().keywords, k).is_none());
    let new: Vec<Keyword> = new.cloned().collect();
    if !new.is_empty() {
        row.change().keywords.extend(new);
    }
    Ok(())
}

/// Placements that a live email has in a mailbox.
fn open(work: &Work<'_>, a: AccountId, email: EmailId, m: MailboxId) -> Result<u32, StorageError> {
    let from = Key::EmailPlacement(a, email, m, Uid::MIN).bytes();
    // Behind the account and the email stands the mailbox, then the UID.
    let range = KeyRange::prefix(from.get(..from.len() - 4).unwrap_or_default());
    let mut count = 0;
    for (key, value) in work.tx.scan(Table::EmailPlacement, &range, usize::MAX)? {
        let standing: Standing = decode(Table::EmailPlacement, &key, &value)?;
        count += u32::from(standing.until.is_none());
    }
    Ok(count)
}

/// What an email was when it was last there.
fn from_history(
    work: &Work<'_>,
    a: AccountId,
    email: EmailId,
) -> Result<Option<EmailData>, StorageError> {
    let live: Option<EmailRow> = work.tx.get(&Key::Email(a, email))?;
    if let Some(row) = live {
        return Ok(Some(row.data));
    }
    let mut found = None;
    let versions = Object::Email(a, email).versions();
    work.tx.base().visit(Table::History, &versions, Order::Falling, &mut |key, value| {
        let version = Version::decode(value)
            .ok_or_else(|| StorageError::corrupt(Table::History, key, "no version"))?;
        let Some(value) = version else { return Ok(ControlFlow::Continue(())) };
        found = Some(decode(Table::History, key, value)?);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}
