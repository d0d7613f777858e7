//! Log entries for people and for scripts: pure functions from an entry to a
//! line or to JSON. Secrets (password hashes, salts) are left out.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::id::{AccountId, BlobId, Hash, LogIndex, OperationId, Term, Timestamp};
use crate::raft::{record_of, voters_of};
use crate::record::{
    Actor, CaptureRule, CaptureScope, CaptureSet, CaptureSource, Change, HoldSet, Label,
    LoginCount, Logins, MailboxNamed, NamedChange, Principal, Reach, Record, Right, RoleGrant,
};
use crate::segment::{EntryKind, LogEntry};

/// An entry, readable. As JSON it is this structure; as a line see [`fmt::Display`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dumped {
    /// Its position.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
    /// The effective time, in UTC (RFC 3339).
    pub time: String,
    /// `blank`, `membership`, or the kind of the record.
    pub kind: &'static str,
    /// Who did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What makes a retry safe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<OperationId>,
    /// The blobs that it names.
    pub blobs: Vec<BlobId>,
    /// What it is about, in a few words; why it does not decode, if it does not.
    pub summary: String,
    /// The running chain after it.
    pub chain: Hash,
    /// All of the change but secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub change: Option<Value>,
}

/// An entry, readable. One that does not decode says so and is no error.
pub fn entry(entry: &LogEntry) -> Dumped {
    let dumped = Dumped {
        index: entry.id.index,
        term: entry.id.term,
        time: rfc3339(entry.time),
        kind: "blank",
        actor: None,
        operation: None,
        blobs: Vec::new(),
        summary: String::new(),
        chain: entry.chain,
        change: None,
    };
    match entry.kind {
        EntryKind::Blank => dumped,
        EntryKind::Membership => membership(&entry.payload, dumped),
        EntryKind::Record => match record_of(&entry.payload) {
            Ok(found) => record(&found, dumped),
            Err(error) => Dumped { kind: "unknown", summary: error.to_string(), ..dumped },
        },
    }
}

/// An entry as one line of JSON.
///
/// # Errors
/// Never in practice: what is dumped has no map with keys that are no strings.
pub fn json(found: &LogEntry) -> Result<String, serde_json::Error> {
    serde_json::to_string(&entry(found))
}

impl fmt::Display for Dumped {
    /// Index, term, time and kind, then what there is of actor, operation, blobs
    /// and summary. Blobs are cut to 12 digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.index, self.term, self.time, self.kind)?;
        if let Some(actor) = &self.actor {
            write!(f, " by {actor}")?;
        }
        if let Some(operation) = &self.operation {
            write!(f, " op {operation}")?;
        }
        for (n, blob) in self.blobs.iter().enumerate() {
            write!(f, "{}{:.12}", if n == 0 { " blobs " } else { "," }, blob.to_string())?;
        }
        match self.summary.is_empty() {
            true => Ok(()),
            false => write!(f, ": {}", self.summary),
        }
    }
}

/// Milliseconds as RFC 3339 in UTC; as they are where no calendar has them.
pub fn rfc3339(time: Timestamp) -> String {
    match jiff::Timestamp::from_millisecond(time.0) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => format!("{} ms", time.0),
    }
}

fn membership(payload: &[u8], dumped: Dumped) -> Dumped {
    let summary = match voters_of(payload) {
        Ok(voters) => {
            let voters: Vec<String> = voters.iter().map(ToString::to_string).collect();
            format!("voters {}", voters.join(", "))
        }
        Err(error) => error.to_string(),
    };
    Dumped { kind: "membership", summary, ..dumped }
}

fn record(record: &Record, dumped: Dumped) -> Dumped {
    let (kind, summary) = describe(&record.change);
    Dumped {
        kind,
        actor: Some(actor(&record.actor)),
        operation: Some(record.operation),
        blobs: record.blobs().into_iter().collect(),
        summary: one_line(&summary),
        change: serde_json::to_value(without_secrets(record.change.clone())).ok(),
        ..dumped
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// Who did something: `system`, `mta`, `account 7`, `uid 1000`.
pub fn principal(principal: &Principal) -> String {
    match principal {
        Principal::System => "system".to_owned(),
        Principal::Mta => "mta".to_owned(),
        Principal::Account(account) => format!("account {account}"),
        Principal::LocalUser(uid) => format!("uid {uid}"),
        Principal::Person(account) => format!("token of account {account}"),
    }
}

/// The name of an entry's kind and what it is about, on one line.
pub(crate) fn told(entry: &LogEntry, record: Option<&Record>) -> (&'static str, String) {
    let Some(record) = record else {
        let dumped = self::entry(entry);
        return (dumped.kind, dumped.summary);
    };
    let (kind, summary) = describe(&record.change);
    (kind, one_line(&summary))
}

fn actor(actor: &Actor) -> String {
    let mut text = principal(&actor.principal);
    if let Some(account) = actor.on_behalf_of {
        text += &format!(" for account {account}");
    }
    if let Some(from) = actor.from {
        text += &format!(" from {from}");
    }
    text
}

const SECRET: &str = "(left out)";

fn without_secrets(mut change: Change) -> Change {
    match &mut change {
        Change::AccountAdd(add) => add.password = add.password.take().map(|_| SECRET.to_owned()),
        Change::CredentialSet(set) => SECRET.clone_into(&mut set.phc),
        Change::RightsKept(kept) => kept.rights.iter_mut().for_each(without_secret),
        _ => {}
    }
    change
}

fn without_secret(right: &mut Right) {
    if let Right::Password { is: Some((phc, _)), .. } = right {
        SECRET.clone_into(phc);
    }
}

/// The name of a kind and what it is about.
fn describe(change: &Change) -> (&'static str, String) {
    match change {
        Change::DomainAdd(add) => ("domain-add", add.domain.clone()),
        Change::DomainSet(set) => ("domain-set", set.domain.clone()),
        Change::DomainRemove(remove) => ("domain-remove", remove.domain.clone()),
        Change::AccountAdd(add) => ("account-add", add.address.to_string()),
        Change::AccountSet(set) => {
            ("account-set", format!("account {}: {:?}", set.account, set.settings.state))
        }
        Change::AccountRename(rename) => {
            ("account-rename", format!("account {} to {}", rename.account, rename.address))
        }
        Change::AliasAdd(add) => {
            ("alias-add", format!("{} for account {}", add.alias, add.account))
        }
        Change::AliasRemove(remove) => ("alias-remove", remove.alias.to_string()),
        Change::CredentialSet(set) => {
            ("credential-set", format!("account {}, {:?}", set.account, set.name))
        }
        Change::CredentialRemove(remove) => {
            ("credential-remove", format!("account {}, {:?}", remove.account, remove.name))
        }
        Change::AccountDelete(delete) => ("account-delete", format!("account {}", delete.account)),
        Change::AccountSweep(sweep) => {
            let (uids, mailbox) = (sweep.uids.len(), sweep.mailbox.object_id());
            ("account-sweep", format!("account {}, {mailbox}, {uids} UIDs", sweep.account))
        }
        _ => describe_mail(change),
    }
}

fn describe_named(named: &MailboxNamed) -> String {
    let MailboxNamed { account, mailbox, name, then } = named;
    let id = mailbox.object_id();
    match then {
        NamedChange::Rename { name: to, .. } => {
            format!("account {account}, {id} {name:?} to {to:?}")
        }
        NamedChange::Delete => format!("account {account}, {id} {name:?} goes"),
    }
}

fn describe_mail(change: &Change) -> (&'static str, String) {
    match change {
        Change::MailboxCreate(create) => {
            ("mailbox-create", format!("account {}, {:?}", create.account, create.name))
        }
        Change::MailboxRename(rename) => {
            let id = rename.mailbox.object_id();
            ("mailbox-rename", format!("account {}, {id} to {:?}", rename.account, rename.name))
        }
        Change::MailboxDelete(delete) => (
            "mailbox-delete",
            format!("account {}, {}", delete.account, delete.mailbox.object_id()),
        ),
        Change::MailboxNamed(named) => ("mailbox-named", describe_named(named)),
        Change::Subscribe(subscribe) => {
            let how = if subscribe.subscribed { "on" } else { "off" };
            ("subscribe", format!("account {}, {:?} {how}", subscribe.account, subscribe.name))
        }
        Change::Deliver(deliver) => {
            let accounts = ids(deliver.recipients.iter().map(|to| to.account));
            let size = deliver.message.size;
            ("deliver", format!("{size} octets to accounts {accounts}"))
        }
        Change::DeliverCaptured(captured) => {
            let accounts = captured.deliver.recipients.iter().map(|to| to.account);
            let (accounts, archives) = (ids(accounts), ids(captured.archives.iter().copied()));
            let size = captured.deliver.message.size;
            let what = format!("{size} octets to accounts {accounts}, captured into {archives}");
            ("deliver-captured", what)
        }
        Change::Append(append) => {
            let (items, to) = (append.items.len(), append.mailbox.object_id());
            ("append", format!("account {}, {items} to {to}", append.account))
        }
        _ => describe_placements(change),
    }
}

fn describe_placements(change: &Change) -> (&'static str, String) {
    match change {
        Change::Copy(copy) => {
            let (from, to) = (copy.from.object_id(), copy.to.object_id());
            ("copy", format!("account {}, {} from {from} to {to}", copy.account, copy.items.len()))
        }
        Change::Move(moved) => {
            let (from, to) = (moved.from.object_id(), moved.to.object_id());
            (
                "move",
                format!("account {}, {} from {from} to {to}", moved.account, moved.items.len()),
            )
        }
        Change::SetFlags(set) => {
            let (uids, mailbox) = (set.uids.len(), set.mailbox.object_id());
            let text = format!("account {}, {mailbox}, {uids} UIDs, {:?}", set.account, set.how);
            ("set-flags", text)
        }
        Change::Expunge(expunge) => {
            let (uids, mailbox) = (expunge.uids.len(), expunge.mailbox.object_id());
            ("expunge", format!("account {}, {mailbox}, {uids} UIDs", expunge.account))
        }
        _ => describe_restores(change),
    }
}

fn describe_restores(change: &Change) -> (&'static str, String) {
    match change {
        Change::RestoreBegin(begin) => {
            let (account, steps, mode) = (begin.account, begin.steps, begin.mode);
            (
                "restore-begin",
                format!("{}: {mode:?}, account {account}, {steps} steps", begin.restore),
            )
        }
        Change::RestorePiece(piece) => {
            let (first, steps) = (piece.first, piece.steps.len());
            ("restore-piece", format!("{}: {steps} steps from {first}", piece.restore))
        }
        Change::RestoreNow(now) => {
            let (account, steps) = (now.account, now.steps.len());
            ("restore-now", format!("{}: account {account}, {steps} steps", now.restore))
        }
        Change::RestoreAudit(audit) => {
            let (steps, ended) = (audit.counts.total(), audit.ended);
            ("restore-audit", format!("{}: {ended:?} after {steps} steps", audit.restore))
        }
        _ => describe_classes(change),
    }
}

fn describe_classes(change: &Change) -> (&'static str, String) {
    let class = |class: &Option<_>| match class {
        Some(class) => format!("class {class}"),
        None => "no class".to_owned(),
    };
    match change {
        Change::ClassAdd(add) => ("class-add", add.name.clone()),
        Change::ClassSet(set) => ("class-set", format!("class {}: {}", set.class, set.name)),
        Change::ClassRemove(gone) => ("class-remove", format!("class {}", gone.class)),
        Change::AccountClass(set) => {
            ("account-class", format!("account {}: {}", set.account, class(&set.class)))
        }
        Change::DomainClass(set) => {
            ("domain-class", format!("{}: {}", set.domain, class(&set.class)))
        }
        _ => describe_captures(change),
    }
}

fn ids(accounts: impl Iterator<Item = AccountId>) -> String {
    accounts.map(|account| account.to_string()).collect::<Vec<_>>().join(", ")
}

fn describe_captures(change: &Change) -> (&'static str, String) {
    match change {
        Change::CaptureSet(CaptureSet { rule }) => {
            let CaptureRule { scope, direction, archive } = rule;
            let scope = match scope {
                CaptureScope::All => "all accounts".to_owned(),
                CaptureScope::Domain(domain) => format!("domain {domain}"),
                CaptureScope::Class(class) => format!("class {class}"),
                CaptureScope::Account(account) => format!("account {account}"),
                CaptureScope::Journal => "journal reports".to_owned(),
            };
            ("capture-set", format!("{scope}, {direction:?}, into account {archive}"))
        }
        Change::CaptureRemove(gone) => ("capture-remove", format!("rule {}", gone.rule)),
        Change::Capture(capture) => {
            let from = match capture.source {
                CaptureSource::Sent(_) => "sent",
                CaptureSource::Journal { parsed: true } => "of a journal report",
                CaptureSource::Journal { parsed: false } => "a journal report as it came",
            };
            let (size, archives) = (capture.message.size, ids(capture.archives.iter().copied()));
            ("capture", format!("{size} octets, {from}, into accounts {archives}"))
        }
        _ => describe_roles(change),
    }
}

fn describe_roles(change: &Change) -> (&'static str, String) {
    let grant = |grant: &RoleGrant| {
        let over = grant.domain.as_deref().unwrap_or("all domains");
        format!("{} to account {} over {over}", grant.role, grant.account)
    };
    match change {
        Change::RoleGrant(granted) => ("role-grant", grant(granted)),
        Change::RoleRevoke(revoked) => ("role-revoke", grant(revoked)),
        Change::PersonalTokenAdd(add) => {
            ("personal-token-add", format!("{} of account {}", add.token, add.account))
        }
        Change::PersonalTokenRevoke(gone) => ("personal-token-revoke", gone.token.to_string()),
        _ => describe_audit(change),
    }
}

fn describe_audit(change: &Change) -> (&'static str, String) {
    match change {
        Change::DiscoveryBegin(begin) => {
            let (job, work, pinned) = (begin.job, begin.work, begin.pinned);
            let of = begin.matter.map_or_else(String::new, |matter| format!(", matter {matter}"));
            ("discovery-begin", format!("{job}: {work:?} as of entry {pinned}{of}"))
        }
        Change::DiscoveryEnd(end) => {
            let (found, failed, ended) = (end.found, end.failed, end.ended);
            ("discovery-end", format!("{}: {ended:?}, {found} found, {failed} failed", end.job))
        }
        Change::DiscoveryRemove(gone) => ("discovery-remove", gone.job.to_string()),
        Change::DiscoveryLook(look) => {
            ("discovery-look", format!("{}: {} from {} on", look.job, look.limit, look.after))
        }
        Change::MailRead(read) => {
            ("mail-read", format!("account {}, {:?}", read.account, read.how))
        }
        Change::Logins(logins) => ("logins", describe_logins(logins)),
        Change::Refused(r) => {
            let times = if r.times > 1 { format!(", {} times", r.times) } else { String::new() };
            ("refused", format!("{} {}: {}{times}", r.verb, r.object, r.reason))
        }
        Change::HeadKey(key) => ("head-key", format!("node {}: {}", key.node, key.key)),
        _ => describe_matters(change),
    }
}

fn describe_matters(change: &Change) -> (&'static str, String) {
    match change {
        Change::MatterAdd(add) => ("matter-add", add.name.clone()),
        Change::MatterSet(set) => {
            let closed = if set.settings.closed { ", closed" } else { "" };
            ("matter-set", format!("matter {}: {}{closed}", set.matter, set.name))
        }
        Change::MatterMember(member) => {
            let role = member.role.map_or("no member", |role| role.name());
            (
                "matter-member",
                format!("matter {}: account {}, {role}", member.matter, member.account),
            )
        }
        Change::MatterCustodian(of) => {
            let how = if of.is { "" } else { ", no more" };
            ("matter-custodian", format!("matter {}: account {}{how}", of.matter, of.account))
        }
        Change::MatterNote(note) => {
            ("matter-note", format!("matter {}: {} octets", note.matter, note.text.len()))
        }
        Change::Approval(of) => {
            let how = if of.given { "approved" } else { "refused" };
            ("approval", format!("{}: {how}", of.of))
        }
        _ => describe_system(change),
    }
}

fn describe_logins(logins: &Logins) -> String {
    let sum = |of: fn(&LoginCount) -> u32| -> u64 {
        logins.counts.iter().map(|count| u64::from(of(count))).sum()
    };
    let (good, failed) = (sum(|count| count.good), sum(|count| count.failed));
    let left = logins.left_out;
    let more = if left > 0 { format!(", {left} more not told apart") } else { String::new() };
    format!("node {}: {good} logins, {failed} failed{more}", logins.node)
}

fn describe_system(change: &Change) -> (&'static str, String) {
    match change {
        Change::Version(version) => ("version", version.apply.to_string()),
        Change::CheckpointMark(mark) => ("checkpoint-mark", format!("entry {}", mark.index)),
        Change::TokenAdd(add) => ("token-add", format!("until {}", rfc3339(add.expires))),
        Change::NodeAdd(add) => {
            ("node-add", format!("at {}{}", add.address, if add.light { ", light" } else { "" }))
        }
        Change::NodeRemove(remove) => ("node-remove", format!("node {}", remove.node)),
        Change::Archived(archived) => ("archived", format!("entry {}", archived.index)),
        Change::NewLineage(new) => ("new-lineage", format!("from {} at {}", new.from, new.index)),
        Change::Renumber(renumber) => {
            let (account, mailboxes) = (renumber.account, renumber.mailboxes.len());
            ("renumber", format!("account {account}, {mailboxes} mailboxes, {}", renumber.skip))
        }
        Change::RightsKept(kept) => ("rights-kept", format!("{} rights", kept.rights.len())),
        _ => describe_retention(change),
    }
}

/// What a hold is over, and why.
fn held(set: &HoldSet) -> String {
    let over = match set.scope.reach() {
        Reach::Accounts([account]) => format!("account {account}"),
        Reach::Accounts(accounts) => format!("{} accounts", accounts.len()),
        Reach::Domain(domain) => format!("domain {domain}"),
        Reach::All => "all accounts".to_owned(),
    };
    let query = set.scope.query().map_or_else(String::new, |query| format!(", {}", query.text));
    let reason = match set.reason.as_str() {
        "" => String::new(),
        reason => format!(", reason {reason:?}"),
    };
    format!("{over}{query}{reason}")
}

fn describe_retention(change: &Change) -> (&'static str, String) {
    match change {
        Change::HistoryFloor(r) => {
            ("history-floor", format!("account {}, from entry {}", r.account, r.floor))
        }
        Change::HistoryTrim(r) => {
            ("history-trim", format!("account {}, {} places", r.account, r.rows.len()))
        }
        Change::HoldSet(set) => ("hold-set", held(set)),
        Change::HoldRelease(r) => ("hold-release", format!("hold {}", r.hold)),
        Change::HoldStays(r) => ("hold-stays", format!("hold {}", r.hold)),
        Change::HoldEnd(r) => ("hold-end", format!("hold {}", r.hold)),
        Change::HoldMove(r) => ("hold-move", format!("hold {}: matter {}", r.hold, r.matter)),
        Change::HoldMarks(r) => {
            let (accounts, held) = (r.judged.len(), r.judged.iter().map(|one| one.marks.len()));
            let held: usize = held.sum();
            ("hold-marks", format!("hold {}, {accounts} accounts, {held} emails are held", r.hold))
        }
        Change::HoldsKept(r) => ("holds-kept", format!("{} holds", r.holds.len())),
        Change::CountReferences(_) => ("count-references", String::new()),
        Change::BlobsDead(r) => {
            ("blobs-dead", format!("{} blobs, decided at entry {}", r.blobs.len(), r.decided))
        }
        _ => describe_policies(change),
    }
}

fn describe_policies(change: &Change) -> (&'static str, String) {
    let labelled = |r: &Label| {
        format!("policy {} on {} emails of account {}", r.policy, r.emails.len(), r.account)
    };
    match change {
        Change::PolicySet(r) => ("policy-set", r.settings.name.clone()),
        Change::PolicyLock(r) => ("policy-lock", format!("policy {}", r.policy)),
        Change::PolicyRemove(r) => ("policy-remove", format!("policy {}", r.policy)),
        Change::Label(r) => ("label", labelled(r)),
        Change::Unlabel(r) => ("unlabel", labelled(r)),
        Change::RetentionEvent(r) => (
            "retention-event",
            format!("account {}, {:?} at {}", r.account, r.name, rfc3339(r.time)),
        ),
        Change::PurgePolicy(r) => {
            let (policy, version, emails) = (r.policy, r.version, r.items.len());
            let what = format!("account {}, {emails} emails", r.account);
            ("purge-policy", format!("{what}, policy {policy}, version {version}"))
        }
        Change::PolicyMatched(r) => {
            let (policy, version, emails) = (r.policy, r.version, r.emails.len());
            let what = format!("account {}, {emails} emails", r.account);
            ("policy-matched", format!("{what}, policy {policy}, version {version}"))
        }
        Change::PoliciesKept(r) => ("policies-kept", format!("{} policies", r.policies.len())),
        _ => describe_erasure(change),
    }
}

fn describe_erasure(change: &Change) -> (&'static str, String) {
    match change {
        Change::EraseBegin(r) => {
            let review = if r.review { ", waits for a second person" } else { "" };
            let (erasure, account, emails) = (r.erasure, r.account, r.emails);
            ("erase-begin", format!("{erasure}: account {account}, {emails} emails{review}"))
        }
        Change::ErasePiece(r) => {
            let (account, emails) = (r.account, r.emails.len());
            ("erase-piece", format!("{}: account {account}, {emails} emails", r.erasure))
        }
        Change::EraseReport(r) => {
            let waiting = r.places.iter().filter(|place| place.pending.is_some()).count();
            let (node, places) = (r.node, r.places.len());
            let text = format!("{}: node {node}, {places} places, {waiting} pending", r.erasure);
            ("erase-report", text)
        }
        Change::ErasuresKept(r) => {
            let (account, emails) = (r.account, r.emails.len());
            ("erasures-kept", format!("{}: account {account}, {emails} emails", r.erasure))
        }
        _ => ("unknown", format!("kind {:#06x}", change.kind())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::codec::encode_record;
    use crate::record::{AccountAdd, AccountSettings, Address, Deliver, Message, Recipient};
    use crate::record::{Flags, ThreadKeys};
    use crate::segment::LogId;

    fn logged(change: Change) -> LogEntry {
        let record = Record {
            stamp: Timestamp(0),
            operation: OperationId([7; 16]),
            actor: Actor::mta("192.0.2.1".parse().ok()),
            why: crate::record::Why::default(),
            change,
        };
        let payload = [vec![0; 16], encode_record(&record).unwrap()].concat();
        of(EntryKind::Record, payload)
    }

    fn of(kind: EntryKind, payload: Vec<u8>) -> LogEntry {
        LogEntry {
            id: LogId { term: Term(3), index: LogIndex(12) },
            kind,
            time: Timestamp(1_700_000_000_123),
            stamp: Timestamp(0),
            payload: payload.into(),
            chain: Hash([1; 32]),
            position: 12,
        }
    }

    fn delivery() -> Change {
        Change::Deliver(Deliver {
            message: Message {
                blob: BlobId([0xab; 32]),
                original: BlobId([0xab; 32]),
                size: 1234,
                thread: ThreadKeys::default(),
            },
            received: Timestamp(0),
            envelope: BlobId([0xcd; 32]),
            recipients: vec![Recipient {
                account: AccountId(5),
                mailbox: crate::id::MailboxId(1),
                operation: None,
                flags: Flags::NONE,
                keywords: Vec::new(),
            }],
        })
    }

    #[test]
    fn a_delivery_is_one_line() {
        assert_eq!(
            entry(&logged(delivery())).to_string(),
            "12 3 2023-11-14T22:13:20.123Z deliver by mta from 192.0.2.1 \
             op 07070707070707070707070707070707 blobs abababababab,cdcdcdcdcdcd: \
             1234 octets to accounts 5"
        );
        let json: Value = serde_json::from_str(&json(&logged(delivery())).unwrap()).unwrap();
        assert_eq!(json["index"], 12);
        assert_eq!(json["change"]["Deliver"]["message"]["size"], 1234);
        assert_eq!(json["blobs"][0], "ab".repeat(32));
    }

    #[test]
    fn password_hashes_stay_inside() {
        let change = Change::AccountAdd(AccountAdd {
            address: Address { local: "a\nb".into(), domain: "example.org".into() },
            settings: AccountSettings::default(),
            password: Some("$argon2id$secret".into()),
        });
        let entry = logged(change);
        assert!(!json(&entry).unwrap().contains("argon2id"));
        let line = super::entry(&entry).to_string();
        assert!(line.ends_with("account-add by mta from 192.0.2.1 op 07070707070707070707070707070707: a\u{fffd}b@example.org"));
    }

    #[test]
    fn what_does_not_decode_says_so() {
        let bad = entry(&of(EntryKind::Record, [vec![0; 16], vec![0xff; 9]].concat()));
        assert_eq!(bad.kind, "unknown");
        assert!(bad.summary.contains("0xffff"), "{}", bad.summary);
        assert_eq!(entry(&of(EntryKind::Membership, vec![0xff])).kind, "membership");
        assert!(entry(&of(EntryKind::Blank, Vec::new())).to_string().ends_with("Z blank"));
    }
}
