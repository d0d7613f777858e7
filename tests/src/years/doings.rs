//! What people and their administrators do in years: anything, by a seed.

use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_log::world::sim::Host;

use super::ledger::{DAY, Gone, Ledger};

pub const DOMAINS: [&str; 2] = ["example.org", "example.com"];
const NAMES: [&str; 5] = ["A", "B", "C", "Kept", "Spare"];
const EVENTS: [&str; 2] = ["left", "closed"];
const USES: [SpecialUse; 2] = [SpecialUse::Trash, SpecialUse::Sent];

/// What comes next, and who does it.
pub fn next(host: &Host, ledger: &mut Ledger) -> Option<(Actor, Change)> {
    let system = |change| Some((Actor::SYSTEM, change));
    match host.pick(0..100) {
        0..20 => system(deliver(host, ledger)?),
        20..28 => append(host, ledger),
        28..72 => {
            let account = account(host, ledger)?;
            Some((Actor::account(account, None), user(host, ledger, account)?))
        }
        72..86 => system(policy(host, ledger)?),
        86..94 => system(hold(host, ledger)?),
        _ => system(directory(host, ledger)?),
    }
}

fn of<'t, T>(host: &Host, list: &'t [T]) -> Option<&'t T> {
    list.get(host.pick(0..list.len() as u64) as usize)
}

fn account(host: &Host, ledger: &Ledger) -> Option<AccountId> {
    let live = ledger.accounts.iter().filter(|(_, account)| account.deleted_at.is_none());
    let live: Vec<AccountId> = live.map(|(id, _)| *id).collect();
    of(host, &live).copied()
}

fn mailbox(host: &Host, ledger: &Ledger, a: AccountId) -> Option<MailboxId> {
    let there = ledger.accounts[&a].mailboxes.iter().filter(|(_, m)| m.gone.is_none());
    let there: Vec<MailboxId> = there.map(|(id, _)| *id).collect();
    of(host, &there).copied()
}

/// Some content comes more than once.
fn message(host: &Host, ledger: &mut Ledger) -> Message {
    let n = ledger.index + u64::from(host.pick(0..4) == 0) * 7;
    let blob = BlobId::of(&n.to_le_bytes());
    if n.is_multiple_of(4) {
        ledger.mergers.insert(blob);
    }
    let thread = ThreadKeys { message_ids: Vec::new(), subject: ThreadKey([0; 16]) };
    Message { blob, original: blob, size: 100, thread }
}

fn deliver(host: &Host, ledger: &mut Ledger) -> Option<Change> {
    let mut to = vec![account(host, ledger)?];
    to.extend(account(host, ledger).filter(|other| *other != to[0]));
    let to = to.into_iter().map(|account| Recipient {
        account,
        mailbox: mailbox(host, ledger, account).unwrap(),
        operation: None,
        flags: Flags::NONE,
        keywords: Vec::new(),
    });
    let recipients = to.collect();
    let envelope = BlobId::of(b"envelope");
    let received = Timestamp(ledger.now);
    Some(Change::Deliver(Deliver {
        message: message(host, ledger),
        received,
        envelope,
        recipients,
    }))
}

fn append(host: &Host, ledger: &mut Ledger) -> Option<(Actor, Change)> {
    let account = account(host, ledger)?;
    let mailbox = mailbox(host, ledger, account)?;
    let far = (host.pick(0..400) as i64 - 300) * DAY;
    let item = AppendItem {
        message: message(host, ledger),
        received: Timestamp(ledger.now + far),
        flags: if host.pick(0..3) == 0 { Flags::DRAFT } else { Flags::NONE },
        keywords: if host.pick(0..3) == 0 { vec!["x".to_owned()] } else { Vec::new() },
        uid: None,
        operation: None,
    };
    let append = Append { account, mailbox, items: vec![item] };
    Some((Actor::account(account, None), Change::Append(append)))
}

/// Something of a user's own.
fn user(host: &Host, ledger: &Ledger, account: AccountId) -> Option<Change> {
    if host.pick(0..4) == 0 {
        return mailboxes(host, ledger, account);
    }
    let mailboxes = &ledger.accounts[&account].mailboxes;
    let mut there = Vec::new();
    for ((_, email), mail) in ledger.mails.iter().filter(|(key, _)| key.0 == account) {
        let live = mail.places.iter().filter(|place| place.until.is_none());
        for place in live.filter(|place| mailboxes[&place.mailbox].gone.is_none()) {
            there.push((place.mailbox, Placed { uid: place.uid, email: *email }));
        }
    }
    let (from, item) = *of(host, &there)?;
    let uids = vec![item.uid];
    match host.pick(0..8) {
        0..2 => {
            let expunge = Expunge { account, mailbox: from, uids, only_deleted: false };
            Some(Change::Expunge(expunge))
        }
        2..6 => {
            let to = mailbox(host, ledger, account).filter(|to| *to != from)?;
            let items = vec![item];
            Some(match host.pick(0..3) {
                0 => Change::Copy(Copy { account, from, to, items }),
                _ => Change::Move(Move { account, from, to, items }),
            })
        }
        what => {
            let (flags, keywords) = match what {
                6 => (Flags::NONE, vec!["x".to_owned()]),
                _ => (Flags::DRAFT, Vec::new()),
            };
            let adds = host.random();
            Some(Change::SetFlags(SetFlags {
                account,
                mailbox: from,
                reader: account,
                uids,
                how: if adds { FlagChange::Add } else { FlagChange::Remove },
                flags,
                keywords,
                unchanged_since: None,
            }))
        }
    }
}

fn mailboxes(host: &Host, ledger: &Ledger, account: AccountId) -> Option<Change> {
    let all = &ledger.accounts[&account].mailboxes;
    let mailbox = mailbox(host, ledger, account)?;
    let name = (*of(host, &NAMES)?).to_owned();
    let parents = |id: &MailboxId| {
        let below = format!("{}/", all[id].name);
        all.values().any(|other| other.gone.is_none() && other.name.starts_with(&below))
    };
    let top = !all[&mailbox].name.contains('/') && mailbox != redoubt_store::mailbox::INBOX;
    match host.pick(0..6) {
        0..3 => {
            let used = |wished| all.values().any(|m| m.special_use == Some(wished));
            let special_use = of(host, &USES).copied().filter(|wished| !used(*wished));
            let special_use = special_use.filter(|_| host.random());
            let parent = Some(mailbox).filter(|_| top && host.pick(0..3) == 0);
            Some(Change::MailboxCreate(MailboxCreate { account, parent, name, special_use }))
        }
        3 if top => {
            Some(Change::MailboxRename(MailboxRename { account, mailbox, parent: None, name }))
        }
        4 if !parents(&mailbox) => Some(Change::MailboxDelete(MailboxDelete { account, mailbox })),
        _ => None,
    }
}

// -------------------------------------------------------------------- policies

fn policy(host: &Host, ledger: &Ledger) -> Option<Change> {
    let open = ledger.policies.iter().filter(|(_, policy)| !policy.has_ended());
    let open: Vec<PolicyId> = open.map(|(id, _)| *id).collect();
    if open.len() < 3 || (open.len() < 9 && host.pick(0..3) == 0) {
        let settings = settings(host, ledger)?;
        return Some(Change::PolicySet(PolicySet { policy: None, settings }));
    }
    let policy = *of(host, &open)?;
    let known = &ledger.policies[&policy];
    match host.pick(0..8) {
        0..2 => {
            let mut settings = known.settings.clone();
            settings.floor = settings.floor.map(|_| time(host));
            settings.delete = settings.delete.map(|_| time(host));
            Some(Change::PolicySet(PolicySet { policy: Some(policy), settings }))
        }
        2 => Some(Change::PolicyLock(PolicyLock { policy })).filter(|_| host.pick(0..4) == 0),
        3 => Some(Change::PolicyRemove(PolicyRemove { policy })),
        4 => {
            let account = account(host, ledger)?;
            let name = (*of(host, &EVENTS)?).to_owned();
            let time = Timestamp(ledger.now - host.pick(0..20) as i64 * DAY);
            Some(Change::RetentionEvent(RetentionEvent { account, name, time }))
        }
        _ => label(host, ledger),
    }
}

fn label(host: &Host, ledger: &Ledger) -> Option<Change> {
    let is_label = |settings: &PolicySettings| settings.anchor == PolicyAnchor::Labelled;
    let labels = ledger.policies.iter().filter(|(_, p)| !p.has_ended() && is_label(&p.settings));
    let labels: Vec<PolicyId> = labels.map(|(id, _)| *id).collect();
    let known = ledger.mails.iter().filter(|(_, mail)| mail.gone == Gone::No);
    let known: Vec<(AccountId, EmailId)> = known.map(|(key, _)| *key).collect();
    let (account, email) = *of(host, &known)?;
    let label = Label { account, policy: *of(host, &labels)?, emails: vec![email] };
    Some(if host.pick(0..4) == 0 { Change::Unlabel(label) } else { Change::Label(label) })
}

/// In seconds: from a day to two years.
fn time(host: &Host) -> u64 {
    let days = match host.pick(0..3) {
        0 => host.pick(1..20),
        1 => host.pick(1..120),
        _ => host.pick(1..700),
    };
    days * 24 * 3600
}

fn settings(host: &Host, ledger: &Ledger) -> Option<PolicySettings> {
    let mailbox = match host.pick(0..6) {
        0 => Some(PolicyMailbox::Named("A".to_owned())),
        1 => Some(PolicyMailbox::Named((*of(host, &NAMES)?).to_owned())),
        2 => Some(PolicyMailbox::Use(*of(host, &USES)?)),
        _ => None,
    };
    let direction = match host.pick(0..6) {
        0 => Some(PolicyDirection::Received),
        1 => Some(PolicyDirection::Sent),
        _ => None,
    };
    let whose = match host.pick(0..6) {
        0 => PolicyWhose::Account(account(host, ledger)?),
        1 => PolicyWhose::Domain((*of(host, &DOMAINS)?).to_owned()),
        2 => PolicyWhose::Class(ClassId(host.pick(1..3))),
        _ => PolicyWhose::All,
    };
    let tag = Some("X".to_owned()).filter(|_| host.pick(0..6) == 0);
    let anchor = match host.pick(0..8) {
        0 => PolicyAnchor::Sent,
        1..3 => PolicyAnchor::Saved,
        3 => PolicyAnchor::Labelled,
        4 => PolicyAnchor::Event((*of(host, &EVENTS)?).to_owned()),
        _ => PolicyAnchor::Received,
    };
    let asks = anchor != PolicyAnchor::Labelled && host.pick(0..4) == 0;
    let query = asks.then(|| "subject:merger".to_owned());
    let kind = if anchor == PolicyAnchor::Labelled { 0 } else { host.pick(0..5) };
    Some(PolicySettings {
        name: format!("p{}", ledger.index),
        scope: PolicyScope { whose, mailbox, tag, direction, query },
        anchor,
        floor: (kind < 3).then(|| time(host)),
        delete: (kind > 1).then(|| time(host)),
        drafts: host.random(),
        review: false,
        daily: (host.pick(0..5) == 0).then(|| host.pick(1..4) as u32),
    })
}

// ----------------------------------------------------------------------- holds

fn hold(host: &Host, ledger: &Ledger) -> Option<Change> {
    let holds: Vec<HoldId> = ledger.holds.keys().copied().collect();
    if holds.len() < 2 && host.pick(0..3) > 0 {
        let account = account(host, ledger)?;
        let over = match host.pick(0..3) {
            0 => HoldOver::All,
            1 => HoldOver::Domain((*of(host, &DOMAINS)?).to_owned()),
            _ => HoldOver::Accounts(vec![account]),
        };
        let scope = match host.pick(0..4) {
            0 => HoldScope::Account(account),
            1 => HoldScope::Domain((*of(host, &DOMAINS)?).to_owned()),
            _ => HoldScope::Query(HoldQuery { over, text: "subject:merger".to_owned() }),
        };
        let delay = host.pick(1..40) * 24 * 3600;
        return Some(Change::HoldSet(HoldSet { delay, ..HoldSet::over(scope) }));
    }
    let hold = *of(host, &holds)?;
    match ledger.holds[&hold].releasing {
        true if host.pick(0..6) == 0 => Some(Change::HoldStays(HoldStays { hold })),
        true => None,
        false => Some(Change::HoldRelease(HoldRelease::of(hold))),
    }
}

// ------------------------------------------------------------------- directory

fn directory(host: &Host, ledger: &Ledger) -> Option<Change> {
    let id = account(host, ledger)?;
    let domain = (*of(host, &DOMAINS)?).to_owned();
    let class = Some(ClassId(host.pick(1..3))).filter(|_| host.random());
    match host.pick(0..7) {
        0..2 => {
            let address = Address { local: format!("u{}n{}", id.0, ledger.index), domain };
            Some(Change::AccountRename(AccountRename { account: id, address }))
        }
        2..4 => {
            Some(Change::AccountClass(AccountClass { account: id, class, own: Limits::default() }))
        }
        4..6 => Some(Change::DomainClass(DomainClass { domain, class })),
        _ => {
            let deleted = ledger.accounts.values().any(|account| account.deleted_at.is_some());
            let spare = !deleted && host.pick(0..4) == 0;
            spare.then_some(Change::AccountDelete(AccountDelete { account: id }))
        }
    }
}
