//! Random operations: small numbers that are resolved against the model's state,
//! so that most hit something and some miss.

use std::collections::BTreeSet;
use std::ops::Range;

use proptest::prelude::*;
use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_tests::model::{Model, State};

mod matters;

use matters::{MatterWhat, matter_change, matters};

/// What happens, by small numbers.
#[derive(Debug, Clone)]
pub struct Step {
    what: What,
    time: u8,
    operation: u8,
    own: bool,
}

#[derive(Debug, Clone)]
struct Marks {
    flags: u8,
    keywords: Vec<u8>,
}

#[derive(Debug, Clone)]
enum What {
    Domain {
        how: u8,
        name: u8,
        quota: Option<u16>,
        catch_all: u8,
    },
    Account {
        how: u8,
        account: u8,
        address: u8,
        state: u8,
        quota: Option<u16>,
    },
    Alias {
        add: bool,
        account: u8,
        address: u8,
    },
    Credential {
        set: bool,
        account: u8,
        name: u8,
    },
    Class {
        how: u8,
        class: u8,
        name: u8,
        quota: Option<u16>,
        largest: Option<u8>,
        most: Option<u8>,
    },
    Classed {
        account: u8,
        class: u8,
        largest: Option<u8>,
        domain: Option<u8>,
    },
    Role {
        give: bool,
        account: u8,
        role: u8,
        domain: Option<u8>,
    },
    Matter(MatterWhat),
    Token {
        add: bool,
        account: u8,
        token: u8,
        until: u8,
    },
    Rule {
        scope: u8,
        direction: u8,
        archive: u8,
        remove: Option<u8>,
    },
    Capture {
        size: u8,
        ids: Vec<u8>,
        retry: u8,
        senders: Vec<(u8, u8)>,
        journal: Option<bool>,
        named: bool,
    },
    Create {
        account: u8,
        parent: u8,
        name: u8,
        special_use: u8,
    },
    Rename {
        account: u8,
        mailbox: u8,
        parent: u8,
        name: u8,
    },
    Delete {
        account: u8,
        mailbox: u8,
    },
    Subscribe {
        account: u8,
        name: u8,
        subscribed: bool,
    },
    Renumber {
        account: u8,
        mailboxes: Vec<u8>,
        skip: u8,
        validity: bool,
    },
    Deliver {
        size: u8,
        ids: Vec<u8>,
        subject: u8,
        to: Vec<(u8, u8, Marks, u8)>,
    },
    Append {
        account: u8,
        mailbox: u8,
        items: Vec<(u8, u8, u8, Marks, Option<u32>)>,
    },
    Copy {
        account: u8,
        from: u8,
        to: u8,
        uids: Vec<u8>,
        leave: bool,
        lie: bool,
    },
    Flags {
        account: u8,
        mailbox: u8,
        reader: u8,
        uids: Vec<u8>,
        how: u8,
        marks: Marks,
        since: u8,
    },
    Expunge {
        account: u8,
        mailbox: u8,
        uids: Vec<u8>,
        only_deleted: bool,
    },
    Level,
    Gone {
        account: u8,
        mailbox: Option<u8>,
        uids: Vec<u8>,
    },
    Back {
        account: u8,
        from: u8,
        what: u8,
        mailbox: u8,
        to: u8,
        pick: u8,
        marks: Marks,
    },
}

fn marks() -> impl Strategy<Value = Marks> {
    (0u8..32, prop::collection::vec(0u8..8, 0..3))
        .prop_map(|(flags, keywords)| Marks { flags, keywords })
}

fn uids() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..9, 0..5)
}

fn directory() -> impl Strategy<Value = What> {
    let quota = || prop::option::weighted(0.3, 100u16..2000);
    prop_oneof![
        (0u8..3, 0u8..4, quota(), 0u8..5).prop_map(|(how, name, quota, catch_all)| What::Domain {
            how,
            name,
            quota,
            catch_all
        }),
        (0u8..3, 0u8..5, 0u8..9, 0u8..8, quota()).prop_map(
            |(how, account, address, state, quota)| What::Account {
                how,
                account,
                address,
                state,
                quota
            }
        ),
        (any::<bool>(), 0u8..5, 0u8..9).prop_map(|(add, account, address)| What::Alias {
            add,
            account,
            address
        }),
        (any::<bool>(), 0u8..5, 0u8..3).prop_map(|(set, account, name)| What::Credential {
            set,
            account,
            name
        }),
    ]
}

fn classes() -> impl Strategy<Value = What> {
    let small = |range| prop::option::weighted(0.4, range);
    let quota = || prop::option::weighted(0.3, 100u16..2000);
    let class = (0u8..3, 0u8..4, 0u8..5, quota(), small(20u8..100), small(4u8..12));
    prop_oneof![
        class.prop_map(|(how, class, name, quota, largest, most)| What::Class {
            how,
            class,
            name,
            quota,
            largest,
            most
        }),
        (0u8..5, 0u8..4, small(20u8..100), small(0u8..4)).prop_map(
            |(account, class, largest, domain)| What::Classed { account, class, largest, domain }
        ),
        (any::<bool>(), 0u8..5, 0u8..6, small(0u8..4))
            .prop_map(|(give, account, role, domain)| What::Role { give, account, role, domain }),
        (any::<bool>(), 0u8..5, 0u8..4, 0u8..3)
            .prop_map(|(add, account, token, until)| What::Token { add, account, token, until }),
    ]
}

/// Account 4 is an archive from the beginning, and others may be.
fn captures() -> impl Strategy<Value = What> {
    let senders = prop::collection::vec((0u8..5, 0u8..4), 0..3);
    let journal = prop::option::weighted(0.3, any::<bool>());
    let ids = prop::collection::vec(0u8..6, 0..4);
    prop_oneof![
        (0u8..9, 0u8..3, 2u8..5, prop::option::weighted(0.3, 0u8..6)).prop_map(
            |(scope, direction, archive, remove)| What::Rule { scope, direction, archive, remove }
        ),
        (0u8..100, ids, 0u8..4, senders, journal, prop::bool::weighted(0.8)).prop_map(
            |(size, ids, retry, senders, journal, named)| What::Capture {
                size,
                ids,
                retry,
                senders,
                journal,
                named
            }
        ),
    ]
}

fn tree() -> impl Strategy<Value = What> {
    prop_oneof![
        3 => (0u8..4, 0u8..14, 0u8..10, 0u8..20).prop_map(
            |(account, parent, name, special_use)| What::Create { account, parent, name, special_use }
        ),
        2 => (0u8..4, 0u8..14, 0u8..14, 0u8..10).prop_map(
            |(account, mailbox, parent, name)| What::Rename { account, mailbox, parent, name }
        ),
        2 => (0u8..4, 0u8..14).prop_map(|(account, mailbox)| What::Delete { account, mailbox }),
        1 => (0u8..4, 0u8..10, any::<bool>()).prop_map(
            |(account, name, subscribed)| What::Subscribe { account, name, subscribed }
        ),
        1 => (0u8..4, prop::collection::vec(0u8..14, 0..4), 0u8..3, any::<bool>()).prop_map(
            |(account, mailboxes, skip, validity)| What::Renumber {
                account, mailboxes, skip, validity
            }
        ),
    ]
}

fn mail() -> impl Strategy<Value = What> {
    let ids = || prop::collection::vec(0u8..6, 0..4);
    let to = || prop::collection::vec((0u8..4, 0u8..14, marks(), 0u8..6), 1..4);
    let wish = || prop::option::weighted(0.2, prop_oneof![3 => 1u32..12, 1 => Just(u32::MAX)]);
    let item = move || (0u8..100, 0u8..6, 0u8..8, marks(), wish());
    prop_oneof![
        4 => (0u8..100, ids(), 0u8..2, to())
            .prop_map(|(size, ids, subject, to)| What::Deliver { size, ids, subject, to }),
        3 => (0u8..4, 0u8..14, prop::collection::vec(item(), 1..4))
            .prop_map(|(account, mailbox, items)| What::Append { account, mailbox, items }),
        4 => (0u8..4, 0u8..14, 0u8..14, uids(), any::<bool>(), prop::bool::weighted(0.1)).prop_map(
            |(account, from, to, uids, leave, lie)| What::Copy { account, from, to, uids, leave, lie }
        ),
        4 => (0u8..4, 0u8..14, 0u8..4, uids(), 0u8..3, marks(), 0u8..12).prop_map(
            |(account, mailbox, reader, uids, how, marks, since)| What::Flags {
                account, mailbox, reader, uids, how, marks, since
            }
        ),
        3 => (0u8..4, 0u8..14, uids(), any::<bool>()).prop_map(
            |(account, mailbox, uids, only_deleted)| What::Expunge {
                account, mailbox, uids, only_deleted
            }
        ),
    ]
}

fn back() -> impl Strategy<Value = What> {
    let gone = (0u8..4, prop::option::weighted(0.6, 0u8..8), uids());
    let again = (0u8..4, 0u8..6, 0u8..9, 0u8..14, 0u8..14, any::<u8>(), marks());
    prop_oneof![
        1 => gone.prop_map(|(account, mailbox, uids)| What::Gone { account, mailbox, uids }),
        4 => again.prop_map(|(account, from, what, mailbox, to, pick, marks)| {
            What::Back { account, from, what, mailbox, to, pick, marks }
        }),
    ]
}

/// A beginning with two domains and three accounts, then anything.
pub fn steps(count: Range<usize>) -> impl Strategy<Value = Vec<Step>> {
    let what = prop_oneof![
        2 => directory(), 2 => classes(), 2 => captures(), 3 => matters().prop_map(What::Matter),
        6 => tree(), 24 => mail(), 5 => back()
    ];
    let step = (what, any::<u8>(), any::<u8>(), any::<bool>())
        .prop_map(|(what, time, operation, own)| Step { what, time, operation, own });
    prop::collection::vec(step, count).prop_map(|rest| {
        let mut steps: Vec<Step> = beginning().into_iter().map(plain).collect();
        steps.extend(rest);
        steps
    })
}

fn plain(what: What) -> Step {
    Step { what, time: 0, operation: 255, own: false }
}

fn beginning() -> Vec<What> {
    let domain = |name| What::Domain { how: 0, name, quota: None, catch_all: 0 };
    let account = |address| What::Account { how: 0, account: 0, address, state: 7, quota: None };
    let archive = What::Account { how: 0, account: 0, address: 4, state: 2, quota: Some(1) };
    let rule = What::Rule { scope: 0, direction: 0, archive: 3, remove: None };
    vec![What::Level, domain(0), domain(1), account(0), account(1), account(3), archive, rule]
}

impl Step {
    /// Milliseconds since the step before.
    pub fn passes(&self) -> i64 {
        match self.time {
            0..=9 => -5_000,
            10..=249 => i64::from(self.time) * 10,
            250..=253 => 50 * 60 * 1000,
            254..=255 => 13 * 3600 * 1000,
        }
    }
}

fn account(n: u8) -> AccountId {
    AccountId(u64::from(n) + u64::from(n < 4))
}

fn mailbox(n: u8) -> MailboxId {
    MailboxId(u32::from(if n == 0 { 1 } else { n }))
}

fn domain(n: u8) -> String {
    ["example.org", "example.net", "xn--bcher-kva.example", "Not A Domain"][n as usize].into()
}

fn address(n: u8) -> Address {
    let local = ["alice", "bob", "Upper"][usize::from(n % 3)];
    Address { local: local.into(), domain: domain((n / 3) % 3) }
}

fn name(n: u8) -> String {
    ["A", "b", "B", "Caf\u{e9}", "inbox", "", "a/b", "Old", "#x", "New"][n as usize].into()
}

fn keywords(list: &[u8]) -> Vec<Keyword> {
    let all = ["$Forwarded", "$forwarded", "work", "Work", "WORK", "x", "Y", "bad one"];
    list.iter().map(|n| all[*n as usize].to_owned()).collect()
}

fn blob(n: u64) -> BlobId {
    BlobId::of(&n.to_le_bytes())
}

fn key(n: u8) -> ThreadKey {
    ThreadKey([n; 16])
}

fn message(n: u64, size: u8, ids: &[u8], subject: u8) -> Message {
    let mut message_ids: Vec<ThreadKey> = ids.iter().map(|id| key(*id)).collect();
    message_ids.dedup();
    let thread = ThreadKeys { message_ids, subject: key(100 + subject) };
    Message { blob: blob(n), original: blob(n), size: u64::from(size), thread }
}

fn operation(kind: u8, n: u8) -> OperationId {
    let mut bytes = [n; 16];
    bytes[0] = kind;
    OperationId(bytes)
}

/// UIDs by their place in the mailbox; some that are not there.
fn resolve(state: &State, a: AccountId, m: MailboxId, places: &[u8]) -> Vec<Uid> {
    let there = state.accounts.get(&a).and_then(|account| account.mailbox(m));
    let there: Vec<Uid> = there.iter().flat_map(|m| m.messages.iter().map(|p| p.uid)).collect();
    let uid = |place: &u8| {
        let missing = Uid::new(u32::from(*place) + 1).unwrap();
        there.get(usize::from(*place)).copied().unwrap_or(missing)
    };
    places.iter().map(uid).collect()
}

fn placed(state: &State, a: AccountId, m: MailboxId, uid: Uid, lie: bool) -> Placed {
    let account = state.accounts.get(&a);
    let there = account.and_then(|account| account.mailbox(m));
    let email = there.and_then(|m| m.messages.iter().find(|p| p.uid == uid)).map(|p| p.email);
    Placed { uid, email: email.filter(|_| !lie).unwrap_or_default() }
}

/// The record of a step.
pub fn to_record(step: &Step, model: &Model, n: u64) -> Record {
    let change = match &step.what {
        What::Back { .. } => Change::RestoreNow(restore(&step.what, model, n)),
        what => change(what, &model.now, n),
    };
    let person = Actor { principal: Principal::Person(account(1)), ..Actor::SYSTEM };
    let actor = match (&change, step.own) {
        (_, true) if matches!(step.what, What::Matter(_)) => person,
        (Change::Copy(r), true) => Actor::account(r.account, None),
        (Change::SetFlags(r), true) => Actor::account(r.account, None),
        (Change::MailboxCreate(r), true) => Actor::account(r.account, None),
        _ => Actor::SYSTEM,
    };
    let mut fresh = [0xee; 16];
    fresh[..8].copy_from_slice(&n.to_le_bytes());
    // One in sixteen is a retry of an earlier record, by its operation.
    let operation = match step.operation {
        0..16 => operation(1, step.operation % 4),
        _ => OperationId(fresh),
    };
    Record { stamp: Timestamp(0), operation, actor, why: Why::default(), change }
}

fn change(what: &What, state: &State, n: u64) -> Change {
    match what.clone() {
        What::Domain { how, name, quota, catch_all } => domain_change(how, name, quota, catch_all),
        What::Account { how, account: a, address: at, state, quota } => {
            account_change(how, account(a), address(at), state, quota)
        }
        What::Alias { add: true, account: a, address: at } => {
            Change::AliasAdd(AliasAdd { alias: address(at), account: account(a) })
        }
        What::Alias { address: at, .. } => Change::AliasRemove(AliasRemove { alias: address(at) }),
        What::Credential { set: true, account: a, name } => Change::CredentialSet(CredentialSet {
            account: account(a),
            name: format!("c{name}"),
            phc: format!("$argon2id${n}"),
        }),
        What::Credential { account: a, name, .. } => Change::CredentialRemove(CredentialRemove {
            account: account(a),
            name: format!("c{name}"),
        }),
        what @ (What::Class { .. } | What::Classed { .. }) => class_change(what),
        what @ (What::Rule { .. } | What::Capture { .. }) => capture_change(what, state, n),
        what @ (What::Role { .. } | What::Token { .. }) => role_change(what, n),
        What::Matter(what) => matter_change(what, blob(n)),
        What::Create { account: a, parent, name: called, special_use } => {
            Change::MailboxCreate(MailboxCreate {
                account: account(a),
                parent: (parent > 5).then_some(mailbox(parent)),
                name: name(called),
                special_use: [SpecialUse::Sent, SpecialUse::Archive]
                    .get(special_use as usize)
                    .copied(),
            })
        }
        What::Rename { account: a, mailbox: m, parent, name: called } => {
            Change::MailboxRename(MailboxRename {
                account: account(a),
                mailbox: mailbox(m),
                parent: (parent > 5).then_some(mailbox(parent)),
                name: name(called),
            })
        }
        What::Delete { account: a, mailbox: m } => {
            Change::MailboxDelete(MailboxDelete { account: account(a), mailbox: mailbox(m) })
        }
        What::Renumber { account: a, mailboxes, skip, validity } => Change::Renumber(Renumber {
            account: account(a),
            mailboxes: mailboxes.into_iter().map(mailbox).collect(),
            skip: [0, 1 << 20, u32::MAX - 40][skip as usize],
            validity,
        }),
        What::Subscribe { account: a, name: called, subscribed } => {
            Change::Subscribe(Subscribe { account: account(a), name: name(called), subscribed })
        }
        What::Level => Change::Version(Version { apply: 3 }),
        What::Gone { account: a, mailbox: None, .. } => {
            Change::AccountDelete(AccountDelete { account: account(a) })
        }
        What::Gone { account: a, mailbox: Some(m), uids } => {
            let uids = uids.iter().map(|uid| Uid::new(u32::from(*uid) + 1).unwrap()).collect();
            let (account, mailbox) = (account(a), mailbox(m));
            Change::AccountSweep(AccountSweep { account, mailbox, uids })
        }
        what => mail_change(what, state, n),
    }
}

/// Emails of any moment, live or not, of this account or another.
fn known_emails(model: &Model, a: AccountId) -> Vec<(EmailId, BlobId)> {
    let all = model.past.values().filter_map(|state| state.accounts.get(&a));
    let mut emails: Vec<_> = all
        .flat_map(|account| account.emails.iter().map(|(id, email)| (*id, email.blob)))
        .collect();
    emails.sort();
    emails.dedup();
    emails
}

fn restore(what: &What, model: &Model, n: u64) -> RestoreNow {
    let What::Back { account: a, from, what, mailbox: m, to, pick, marks } = what.clone() else {
        unreachable!("not a restore")
    };
    let (account, source) = (account(a), if from < 4 { account(a) } else { account(from - 4) });
    let emails = known_emails(model, source);
    let (email, blob) =
        emails.get(usize::from(pick) % emails.len().max(1)).copied().unwrap_or_default();
    let there = model.now.accounts.get(&account).and_then(|a| a.mailbox(mailbox(m)));
    let message = there.and_then(|m| m.messages.get(usize::from(pick) % m.messages.len().max(1)));
    let (uid, placed) = message.map_or((Uid::MIN, email), |m| (m.uid, m.email));
    let (flags, words) = (Flags(marks.flags), keywords(&marks.keywords));
    let slot = RestoreTo::Made(u32::from(pick % 2));
    let target = if to > 10 { slot } else { RestoreTo::Mailbox(mailbox(to)) };
    let parent = (to > 5).then_some(target);
    let place = |to, copies| RestorePlace { to, flags, keywords: words.clone(), copies };
    let twin = model
        .now
        .accounts
        .get(&account)
        .and_then(|a| a.emails.iter().find(|(_, e)| e.blob == blob).map(|(id, _)| *id));
    let known = blob;
    let last = match what {
        0..4 => RestoreStep::Email(RestoreEmail {
            from: source,
            email,
            blob: known,
            envelope: model.envelope(source, email),
            twin: twin.filter(|_| pick % 3 > 0),
            places: vec![place(target, 1), place(slot, u32::from(pick % 3))],
        }),
        4 => {
            let modseq = ModSeq(n * u64::from(pick) / 64);
            let mailbox = mailbox(m);
            RestoreStep::Flags { mailbox, uid, email: placed, modseq, flags, keywords: words }
        }
        5 => RestoreStep::Move {
            from: mailbox(m),
            uid,
            email: placed,
            to: target,
            flags,
            keywords: words,
        },
        6 => RestoreStep::Expunge { mailbox: mailbox(m), uid, email: placed },
        7 => RestoreStep::Rename { mailbox: mailbox(m), parent, name: name(pick % 10) },
        _ => RestoreStep::Subscribe { name: name(pick % 4), subscribed: pick > 99 },
    };
    let made = RestoreStep::Mailbox {
        slot: u32::from(pick % 2),
        parent: (m > 5).then_some(RestoreTo::Mailbox(mailbox(m))),
        name: name(pick % 10),
        special_use: Some(SpecialUse::Sent),
    };
    let mut restore = [7; 16];
    restore[..8].copy_from_slice(&n.to_le_bytes());
    let options = RestoreOptions { over_quota: pick > 100, inbox_if_gone: pick % 4 == 0 };
    let steps = vec![undeleted(model, account, pick), made, last];
    RestoreNow { restore: OperationId(restore), account, source, at: None, steps, options }
}

/// An account that is there: nothing to do. `RestoreNow` never meets a deleted one.
fn undeleted(model: &Model, a: AccountId, pick: u8) -> RestoreStep {
    let there = model.now.accounts.get(&a);
    let address = there.map_or(address(pick), |account| account.address.clone());
    let settings = there.map(|account| account.settings.clone()).unwrap_or_default();
    RestoreStep::Account { address, settings }
}

fn domain_change(how: u8, name: u8, quota: Option<u16>, catch_all: u8) -> Change {
    let settings = DomainSettings {
        default_quota: quota.map(u64::from),
        catch_all: (catch_all > 0).then_some(account(catch_all)),
        ..DomainSettings::default()
    };
    let domain = domain(name);
    match how {
        0 => Change::DomainAdd(DomainAdd { domain, settings }),
        1 => Change::DomainSet(DomainSet { domain, settings }),
        _ => Change::DomainRemove(DomainRemove { domain }),
    }
}

fn class_change(what: What) -> Change {
    let class_of = |n: u8| ClassId(u64::from(n));
    let limits = |largest: Option<u8>, most: Option<u8>| Limits {
        history: None,
        largest_message: largest.map(u64::from),
        mailboxes: most.map(u32::from),
    };
    match what {
        What::Class { how, class, name, quota, largest, most } => {
            let name = ["a", "b", "C", "12", ""][name as usize].to_owned();
            let limits = limits(largest, most);
            let settings = ClassSettings { quota: quota.map(u64::from), limits };
            match how {
                0 => Change::ClassAdd(ClassAdd { name, settings }),
                1 => Change::ClassSet(ClassSet { class: class_of(class), name, settings }),
                _ => Change::ClassRemove(ClassRemove { class: class_of(class) }),
            }
        }
        What::Classed { account: a, class, largest, domain: None } => {
            let class = (class > 0).then(|| class_of(class));
            let own = limits(largest, None);
            Change::AccountClass(AccountClass { account: account(a), class, own })
        }
        What::Classed { class, domain: Some(of), .. } => {
            let class = (class > 0).then(|| class_of(class));
            Change::DomainClass(DomainClass { domain: domain(of), class })
        }
        _ => unreachable!(),
    }
}

fn capture_change(what: What, state: &State, n: u64) -> Change {
    let archives = || state.rules.values().map(|rule| rule.archive);
    match what {
        What::Rule { remove: Some(rule), .. } => {
            Change::CaptureRemove(CaptureRemove { rule: CaptureId(u64::from(rule) + 1) })
        }
        What::Rule { scope, direction, archive, .. } => {
            let scope = match scope {
                0..3 => CaptureScope::Domain(domain(scope)),
                3 => CaptureScope::All,
                4 => CaptureScope::Class(ClassId(1)),
                5 => CaptureScope::Journal,
                _ => CaptureScope::Account(account(scope - 6)),
            };
            let direction =
                [CaptureDirection::Delivered, CaptureDirection::Sent, CaptureDirection::Both]
                    [usize::from(direction)];
            let rule = CaptureRule { scope, direction, archive: account(archive) };
            Change::CaptureSet(CaptureSet { rule })
        }
        What::Capture { size, ids, retry, senders, journal, named } => {
            let party = |(a, of): (u8, u8)| CaptureParty {
                account: (a > 0).then(|| account(a)),
                domain: domain(of),
            };
            let senders = senders.into_iter().map(party).collect();
            let source = match journal {
                Some(parsed) => CaptureSource::Journal { parsed },
                None => CaptureSource::Sent(senders),
            };
            Change::Capture(Capture {
                message: message(n, size, &ids, 0),
                received: Timestamp(n as i64),
                envelope: blob(n + 1_000_000),
                retry: operation(4, retry),
                source,
                archives: archives().filter(|_| named).collect(),
            })
        }
        _ => unreachable!(),
    }
}

fn role_change(what: What, n: u64) -> Change {
    match what {
        What::Role { give, account: a, role, domain: over } => {
            let role = Role::ALL[usize::from(role)];
            let grant = RoleGrant { account: account(a), role, domain: over.map(domain) };
            match give {
                true => Change::RoleGrant(grant),
                false => Change::RoleRevoke(grant),
            }
        }
        What::Token { add: true, account: a, token, until } => {
            let expires = (until > 0).then(|| Timestamp(n as i64 * 1000 * i64::from(until)));
            let (token, name) = (Hash([token; 32]), "laptop".to_owned());
            Change::PersonalTokenAdd(PersonalTokenAdd { token, account: account(a), name, expires })
        }
        What::Token { token, .. } => {
            Change::PersonalTokenRevoke(PersonalTokenRevoke { token: Hash([token; 32]) })
        }
        _ => unreachable!(),
    }
}

fn account_change(
    how: u8,
    account: AccountId,
    address: Address,
    state: u8,
    quota: Option<u16>,
) -> Change {
    let state = match state {
        0 => AccountState::Closed,
        1 => AccountState::Locked,
        2 => AccountState::Archive,
        _ => AccountState::Active,
    };
    let settings = AccountSettings { state, quota: quota.map(u64::from), ..Default::default() };
    match how {
        0 => Change::AccountAdd(AccountAdd { address, settings, password: Some("$x".into()) }),
        1 => Change::AccountSet(AccountSet { account, settings }),
        _ => Change::AccountRename(AccountRename { account, address }),
    }
}

fn mail_change(what: What, state: &State, n: u64) -> Change {
    match what {
        What::Deliver { size, ids, subject, to } => {
            let deliver = Deliver {
                message: message(n, size, &ids, subject),
                received: Timestamp(n as i64),
                envelope: blob(n + 1_000_000),
                recipients: to.into_iter().map(recipient).collect(),
            };
            let archives: BTreeSet<_> = state.rules.values().map(|rule| rule.archive).collect();
            // Some are proposed by whoever knows of no rule.
            match archives.is_empty() || size % 8 == 0 {
                true => Change::Deliver(deliver),
                false => {
                    let archives = archives.into_iter().collect();
                    Change::DeliverCaptured(DeliverCaptured { deliver, archives })
                }
            }
        }
        What::Append { account: a, mailbox: m, items } => Change::Append(Append {
            account: account(a),
            mailbox: mailbox(m),
            items: (0..).zip(items).map(|(k, item)| append_item(n * 10 + k, item)).collect(),
        }),
        What::Copy { account: a, from, to, uids, leave, lie } => {
            let (account, from, to) = (account(a), mailbox(from), mailbox(to));
            let uids = resolve(state, account, from, &uids);
            let items =
                uids.into_iter().map(|uid| placed(state, account, from, uid, lie)).collect();
            match leave {
                true => Change::Move(Move { account, from, to, items }),
                false => Change::Copy(Copy { account, from, to, items }),
            }
        }
        What::Flags { account: a, mailbox: m, reader, uids, how, marks, since } => {
            Change::SetFlags(SetFlags {
                account: account(a),
                mailbox: mailbox(m),
                reader: if reader == 0 { account(a) } else { account(reader) },
                uids: resolve(state, account(a), mailbox(m), &uids),
                how: [FlagChange::Add, FlagChange::Remove, FlagChange::Replace][how as usize],
                flags: Flags(marks.flags),
                keywords: keywords(&marks.keywords),
                unchanged_since: (since < 6).then_some(ModSeq(n * u64::from(since) / 3)),
            })
        }
        What::Expunge { account: a, mailbox: m, uids, only_deleted } => Change::Expunge(Expunge {
            account: account(a),
            mailbox: mailbox(m),
            uids: resolve(state, account(a), mailbox(m), &uids),
            only_deleted,
        }),
        _ => unreachable!("not mail"),
    }
}

fn recipient((a, m, marks, retry): (u8, u8, Marks, u8)) -> Recipient {
    Recipient {
        account: account(a),
        mailbox: mailbox(m),
        operation: (retry < 3).then_some(operation(2, retry)),
        flags: Flags(marks.flags),
        keywords: keywords(&marks.keywords),
    }
}

fn append_item(
    n: u64,
    (size, id, retry, marks, uid): (u8, u8, u8, Marks, Option<u32>),
) -> AppendItem {
    AppendItem {
        message: message(n, size, &[id], 0),
        received: Timestamp(n as i64),
        flags: Flags(marks.flags),
        keywords: keywords(&marks.keywords),
        uid: uid.and_then(Uid::new),
        operation: (retry < 3).then_some(operation(3, retry)),
    }
}
