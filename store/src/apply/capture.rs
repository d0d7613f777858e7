//! Capture: what the rules want kept goes into archive accounts, in the record that delivers or
//! reports it. All archives that the rules want must be able to take it before anything is
//! written; otherwise whoever brought it is put off, so that nothing goes by unseen.

use std::collections::BTreeSet;

use redoubt_log::id::{AccountId, BlobId, CaptureId, EmailId, OperationId, ThreadId, Timestamp};
use redoubt_log::record::{
    AccountState, Arrival, Capture, CaptureParty, CaptureRemove, CaptureRule, CaptureScope,
    CaptureSet, CaptureSource, Deliver, Done, Flags, Message, Rejection, ThreadKeys,
};

use super::deliver::email_data;
use super::operations::{ANY_MAILBOX, DELIVERY_LIFE, first_arrival, remember_item};
use super::placing::{self, Marks};
use super::work::Work;
use super::{Ruled, Stop, domain, settle};
use crate::captures::{Party, Way, covers};
use crate::email::{bounded_keys, thread};
use crate::keys::{Key, Meta, Object, Parts, captures};
use crate::mailbox::{
    INBOX, KEYWORD_DELIVERED, KEYWORD_JOURNAL, KEYWORD_SENT, KEYWORD_UNREAD, plan_keywords,
};
use crate::rows::{CaptureRow, CapturedRow, EmailData, Volume};
use crate::storage::{StorageError, Table, decode};

/// Rules that there may be.
const MAX_RULES: usize = 1000;

pub(crate) fn set(work: &mut Work<'_>, record: &CaptureSet) -> Ruled<Done> {
    let rule = &record.rule;
    check(work, rule)?;
    let there = rules(work)?;
    if there.len() >= MAX_RULES {
        return Err(Rejection::Limit(format!("{MAX_RULES} capture rules")).into());
    }
    if let Some((id, _)) = there.iter().find(|(_, other)| other == rule) {
        return Err(Rejection::Exists(format!("capture rule {id}")).into());
    }
    let key = Key::Meta(Meta::NextCapture);
    let id: u64 = work.tx.get(&key)?.unwrap_or(1);
    let next = id.checked_add(1).ok_or(Rejection::Limit("capture rule ids".to_owned()))?;
    work.tx.put(&key, &next)?;
    let id = CaptureId(id);
    let row = CaptureRow { rule: rule.clone(), set: work.time };
    work.tx.save(&Key::Capture(id), &Object::Capture(id), &row)?;
    Ok(Done::Capture(id))
}

/// What a rule names is there, and goes into an archive.
fn check(work: &mut Work<'_>, rule: &CaptureRule) -> Ruled<()> {
    if !is_archive(work, rule.archive)? {
        let what = format!("archive account {}: `account add --archive`", rule.archive);
        return Err(Rejection::NotFound(what).into());
    }
    match &rule.scope {
        CaptureScope::All | CaptureScope::Journal => Ok(()),
        CaptureScope::Domain(name) => domain::need(work, name),
        CaptureScope::Class(class) => super::class::need(work, *class),
        CaptureScope::Account(account) => match is_archive(work, *account)? {
            true => Err(Rejection::Archive.into()),
            false => Ok(()),
        },
    }
}

fn is_archive(work: &mut Work<'_>, account: AccountId) -> Ruled<bool> {
    Ok(work.account(account)?.row.get().settings.state == AccountState::Archive)
}

pub(crate) fn remove(work: &mut Work<'_>, record: CaptureRemove) -> Ruled<Done> {
    let key = Key::Capture(record.rule);
    if work.tx.get_raw(&key)?.is_none() {
        return Err(Rejection::NotFound(format!("capture rule {}", record.rule)).into());
    }
    work.tx.drop(&key, &Object::Capture(record.rule));
    Ok(Done::Unit)
}

/// All rules. Where there never was one, nothing is looked through.
fn rules(work: &Work<'_>) -> Result<Vec<(CaptureId, CaptureRule)>, StorageError> {
    if work.tx.get_raw(&Key::Meta(Meta::NextCapture))?.is_none() {
        return Ok(Vec::new());
    }
    let rows = work.tx.scan(Table::Directory, &captures().range(), MAX_RULES)?;
    let read = |(key, value): (Vec<u8>, Vec<u8>)| {
        let id = Parts::new(key.get(1..).unwrap_or_default()).u64();
        let id = id.ok_or_else(|| StorageError::corrupt(Table::Directory, &key, "no rule"))?;
        let row: CaptureRow = decode(Table::Directory, &key, &value)?;
        Ok((CaptureId(id), row.rule))
    };
    rows.into_iter().map(read).collect()
}

/// Rejects what would take from a rule what it names.
pub(crate) fn unneeded(work: &Work<'_>, named: impl Fn(&CaptureRule) -> bool) -> Ruled<()> {
    match rules(work)?.into_iter().find(|(_, rule)| named(rule)) {
        Some((id, _)) => Err(Rejection::CaptureRule(id).into()),
        None => Ok(()),
    }
}

/// What one record captures.
#[derive(Debug)]
pub(crate) struct Capturing<'r> {
    rules: Vec<CaptureRule>,
    /// The archives that the record names.
    named: &'r [AccountId],
    /// Those that it goes into.
    wanted: BTreeSet<AccountId>,
    /// Whose mail is captured.
    of: Vec<CaptureParty>,
    /// Whose mail is put off.
    refused: Vec<CaptureParty>,
}

impl<'r> Capturing<'r> {
    pub(crate) fn begin(work: &Work<'_>, named: &'r [AccountId]) -> Result<Self, StorageError> {
        let rules = rules(work)?.into_iter().map(|(_, rule)| rule).collect();
        Ok(Self { rules, named, wanted: BTreeSet::new(), of: Vec::new(), refused: Vec::new() })
    }

    /// Mail to an account is captured, once nothing else keeps it from being delivered.
    pub(crate) fn take(&mut self, work: &mut Work<'_>, account: AccountId) -> Ruled<()> {
        if self.rules.is_empty() {
            return Ok(());
        }
        let domain = work.account(account)?.row.get().address.domain.clone();
        let party = CaptureParty { account: Some(account), domain };
        let archives = self.archives(work, &party, Way::Delivered)?;
        if let Err(refused) = self.ready(work, &archives) {
            self.refused.push(party);
            return Err(refused);
        }
        if !archives.is_empty() {
            self.of.push(party);
            self.wanted.extend(archives);
        }
        Ok(())
    }

    fn archives(
        &self,
        work: &mut Work<'_>,
        party: &CaptureParty,
        way: Way,
    ) -> Ruled<BTreeSet<AccountId>> {
        let classes = self.rules.iter().any(|r| matches!(r.scope, CaptureScope::Class(_)));
        let class = match party.account.filter(|_| classes) {
            Some(account) => work.class_of(account, &party.domain)?,
            None => None,
        };
        let party = Party { account: party.account, domain: &party.domain, class };
        let fitting = self.rules.iter().filter(|rule| covers(rule, &party, way));
        Ok(fitting.map(|rule| rule.archive).collect())
    }

    /// Whether all archives can take a message, and the record names them.
    fn ready(&self, work: &mut Work<'_>, archives: &BTreeSet<AccountId>) -> Ruled<()> {
        for archive in archives {
            let why = match settle(can_take(work, *archive))? {
                Err(rejection) => format!("archive account {archive}: {rejection}"),
                Ok(()) if !self.named.contains(archive) => {
                    "the rules have changed meanwhile, try again".to_owned()
                }
                Ok(()) => continue,
            };
            return Err(Rejection::NotCaptured(why).into());
        }
        Ok(())
    }

    /// What was delivered goes into the archives.
    pub(crate) fn delivered(self, work: &mut Work<'_>, record: &Deliver) -> Ruled<()> {
        let Deliver { message, received, envelope, .. } = record;
        let content =
            Content { message, received: *received, envelope: *envelope, word: KEYWORD_DELIVERED };
        for archive in &self.wanted {
            content.put(work, *archive)?;
        }
        let size = message.size;
        count(work, &self.of, |row| row.delivered.add(size))?;
        count(work, &self.refused, |row| row.refused = row.refused.saturating_add(1))
    }
}

fn can_take(work: &mut Work<'_>, archive: AccountId) -> Ruled<()> {
    if !is_archive(work, archive)? {
        return Err(Rejection::NotFound("archive account".to_owned()).into());
    }
    let mailbox = work.selectable(archive, INBOX)?;
    placing::check_uid(mailbox.counters.get().uid_next, None)?;
    Ok(())
}

/// What is put into archives.
struct Content<'r> {
    message: &'r Message,
    received: Timestamp,
    envelope: BlobId,
    word: &'static str,
}

impl Content<'_> {
    /// One email more in an archive. A quota keeps nothing out.
    fn put(&self, work: &mut Work<'_>, a: AccountId) -> Ruled<Arrival> {
        let keys: ThreadKeys = bounded_keys(&self.message.thread);
        let email = EmailId { sequence: work.sequence(a)?, ordinal: 0 };
        let thread = thread(&mut work.tx, a, &keys, ThreadId(email))?;
        let data = EmailData {
            envelope: Some(self.envelope),
            ..email_data(self.message, self.received, &keys, thread)
        };
        placing::bring(work, a, email, data)?;
        let row = work.mailbox(a, INBOX)?.row.get();
        let keywords = plan_keywords(row, &[self.word.to_owned()]).unwrap_or_default();
        placing::place(work, a, INBOX, email, Marks { flags: Flags::NONE, keywords }, None)
    }
}

/// What a milter or a journal report shows. An answer for each archive, or why none took it.
pub(crate) fn capture(work: &mut Work<'_>, record: &Capture) -> Ruled<Done> {
    let mut capturing = Capturing::begin(work, &record.archives)?;
    let wanted = capturing.of_source(work, &record.source)?;
    if let Err(refused) = settle(capturing.ready(work, &wanted))? {
        count(work, &capturing.of, |row| row.refused = row.refused.saturating_add(1))?;
        return Ok(Done::Arrived(vec![Err(refused)]));
    }
    let Capture { message, received, envelope, retry, source, .. } = record;
    let word = match source {
        CaptureSource::Sent(_) => KEYWORD_SENT,
        CaptureSource::Journal { parsed: true } => KEYWORD_JOURNAL,
        CaptureSource::Journal { parsed: false } => KEYWORD_UNREAD,
    };
    let content = Content { message, received: *received, envelope: *envelope, word };
    let (mut answers, mut new) = (Vec::with_capacity(wanted.len()), Vec::new());
    for archive in wanted {
        let (arrival, came) = once(work, &content, archive, *retry)?;
        answers.push(Ok(arrival));
        new.extend(came.then_some(archive));
    }
    tally(work, record, &capturing.of, &new)?;
    Ok(Done::Arrived(answers))
}

impl Capturing<'_> {
    fn of_source(
        &mut self,
        work: &mut Work<'_>,
        source: &CaptureSource,
    ) -> Ruled<BTreeSet<AccountId>> {
        let mut wanted = BTreeSet::new();
        match source {
            CaptureSource::Sent(parties) => {
                for party in parties {
                    let archives = self.archives(work, party, Way::Sent)?;
                    if !archives.is_empty() {
                        self.of.push(party.clone());
                    }
                    wanted.extend(archives);
                }
            }
            CaptureSource::Journal { .. } => {
                let journals = self.rules.iter().filter(|r| r.scope == CaptureScope::Journal);
                let journals: BTreeSet<_> = journals.map(|rule| rule.archive).collect();
                wanted.extend(self.named.iter().copied().filter(|a| journals.contains(a)));
            }
        }
        Ok(wanted)
    }
}

/// Into an archive, unless a try before this one brought it there.
fn once(
    work: &mut Work<'_>,
    content: &Content<'_>,
    archive: AccountId,
    retry: OperationId,
) -> Ruled<(Arrival, bool)> {
    if let Some(first) = first_arrival(work, retry, archive, ANY_MAILBOX)? {
        return Ok((first, false));
    }
    let arrival = content.put(work, archive)?;
    remember_item(work, retry, (archive, ANY_MAILBOX), arrival, DELIVERY_LIFE)?;
    Ok((arrival, true))
}

fn tally(
    work: &mut Work<'_>,
    record: &Capture,
    of: &[CaptureParty],
    new: &[AccountId],
) -> Ruled<()> {
    let size = record.message.size;
    let to = |row: &mut CapturedRow, of: fn(&mut CapturedRow) -> &mut Volume| of(row).add(size);
    match record.source {
        _ if new.is_empty() => Ok(()),
        CaptureSource::Sent(_) => count(work, of, |row| to(row, |row| &mut row.sent)),
        CaptureSource::Journal { parsed } => {
            for archive in new {
                change(work, &Key::Captured(*archive), |row| match parsed {
                    true => to(row, |row| &mut row.journal),
                    false => to(row, |row| &mut row.unread),
                })?;
            }
            Ok(())
        }
    }
}

/// Counts for each account, and once for each domain.
fn count(work: &mut Work<'_>, of: &[CaptureParty], one: impl Fn(&mut CapturedRow)) -> Ruled<()> {
    let accounts: BTreeSet<AccountId> = of.iter().filter_map(|party| party.account).collect();
    let domains: BTreeSet<&str> = of.iter().map(|party| party.domain.as_str()).collect();
    for account in accounts {
        if work.tx.get_raw(&Key::Account(account))?.is_some() {
            change(work, &Key::Captured(account), &one)?;
        }
    }
    for name in domains {
        if work.tx.get_raw(&Key::Domain(name))?.is_some() {
            change(work, &Key::DomainCaptured(name), &one)?;
        }
    }
    Ok(())
}

fn change(work: &mut Work<'_>, key: &Key<'_>, one: impl Fn(&mut CapturedRow)) -> Ruled<()> {
    let mut row: CapturedRow = work.tx.get(key)?.unwrap_or_default();
    one(&mut row);
    work.tx.put(key, &row).map_err(Stop::Broken)
}
