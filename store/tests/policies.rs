//! Policies as stories of records: what they keep, what they take, and who tries to get round
//! them. The clock is the records' own.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod judging;

use std::sync::Arc;

use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::apply::{APPLY_VERSION, Position, apply};
use redoubt_store::check::check;
use redoubt_store::mailbox::INBOX;
use redoubt_store::retention::{Until, WAIT};
use redoubt_store::storage::MemStorage;
use redoubt_store::view::{TrimAt, View};

const DAY: i64 = 24 * 3600 * 1000;
const ALICE: AccountId = AccountId(1);
const BOB: AccountId = AccountId(2);
const YEAR: u64 = 365 * 24 * 3600;

struct Story {
    storage: MemStorage,
    index: u64,
    now: i64,
    actor: Actor,
}

fn domain(name: &str) -> Change {
    Change::DomainAdd(DomainAdd { domain: name.into(), settings: DomainSettings::default() })
}

fn address(local: &str, domain: &str) -> Address {
    Address { local: local.into(), domain: domain.into() }
}

fn all() -> PolicyScope {
    PolicyScope { whose: PolicyWhose::All, mailbox: None, tag: None, direction: None, query: None }
}

fn policy(name: &str, floor: Option<u64>, delete: Option<u64>) -> PolicySettings {
    PolicySettings {
        name: name.into(),
        scope: all(),
        anchor: PolicyAnchor::Received,
        floor,
        delete,
        drafts: false,
        review: false,
        daily: None,
    }
}

fn within(name: &str) -> PolicyScope {
    PolicyScope { mailbox: Some(PolicyMailbox::Named(name.into())), ..all() }
}

fn days(n: u64) -> u64 {
    n * 24 * 3600
}

impl Story {
    fn new() -> Self {
        let storage = MemStorage::new();
        let mut story = Self { storage, index: 0, now: 1_700_000_000_000, actor: Actor::SYSTEM };
        story.done(Change::Version(Version { apply: APPLY_VERSION }));
        story.done(domain("example.org"));
        story.done(domain("example.com"));
        for local in ["alice", "bob"] {
            story.done(Change::AccountAdd(AccountAdd {
                address: address(local, "example.org"),
                settings: AccountSettings::default(),
                password: None,
            }));
        }
        story
    }

    fn submit(&mut self, change: Change) -> Result<Done, Rejection> {
        self.index += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.index.to_le_bytes());
        let record = Record {
            stamp: Timestamp(self.now),
            operation: OperationId(id),
            actor: self.actor.clone(),
            why: Why::default(),
            change,
        };
        let (index, time) = (LogIndex(self.index), Timestamp(self.now));
        let position = Position { index, term: Term(1), time, mark: Vec::new() };
        apply(&mut self.storage, &position, &record).unwrap().result
    }

    fn done(&mut self, change: Change) -> Done {
        self.submit(change).unwrap()
    }

    fn by(&mut self, person: u64, change: Change) -> Result<Done, Rejection> {
        let principal = Principal::Person(AccountId(person));
        self.actor = Actor { principal, on_behalf_of: None, from: None };
        let result = self.submit(change);
        self.actor = Actor::SYSTEM;
        result
    }

    fn pass(&mut self, days: u64) {
        self.now += i64::try_from(days).unwrap() * DAY;
    }

    fn wait(&mut self) {
        self.now += WAIT;
    }

    fn view(&self) -> View {
        View::new(Arc::new(self.storage.clone())).unwrap()
    }

    fn clean(&self) {
        assert_eq!(check(&self.view(), &|_| Ok(()), 20).unwrap(), []);
    }

    fn set(&mut self, settings: PolicySettings) -> PolicyId {
        let set = PolicySet { policy: None, settings };
        match self.done(Change::PolicySet(set)) {
            Done::Policy(policy, 1) => policy,
            other => panic!("{other:?}"),
        }
    }

    fn change(&mut self, policy: PolicyId, settings: PolicySettings) -> Result<Done, Rejection> {
        self.submit(Change::PolicySet(PolicySet { policy: Some(policy), settings }))
    }

    fn message(&self) -> Message {
        let blob = BlobId::of(&self.index.to_le_bytes());
        Message {
            blob,
            original: blob,
            size: 100,
            thread: ThreadKeys { message_ids: Vec::new(), subject: ThreadKey([0; 16]) },
        }
    }

    fn deliver(&mut self, account: AccountId) -> Arrival {
        let recipient = Recipient {
            account,
            mailbox: INBOX,
            flags: Flags::NONE,
            keywords: Vec::new(),
            operation: None,
        };
        let deliver = Deliver {
            message: self.message(),
            envelope: BlobId::of(b"envelope"),
            received: Timestamp(self.now),
            recipients: vec![recipient],
        };
        match self.done(Change::Deliver(deliver)) {
            Done::Delivered(answers) => *answers[0].as_ref().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn append(&mut self, mailbox: MailboxId, flags: Flags, received: i64) -> Arrival {
        let item = AppendItem {
            message: self.message(),
            received: Timestamp(received),
            flags,
            keywords: Vec::new(),
            uid: None,
            operation: None,
        };
        self.actor = Actor::account(ALICE, None);
        let append = Append { account: ALICE, mailbox, items: vec![item] };
        let done = self.done(Change::Append(append));
        self.actor = Actor::SYSTEM;
        match done {
            Done::Arrived(answers) => *answers[0].as_ref().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn mailbox(&self, name: &str) -> MailboxId {
        let mailboxes = self.view().mailboxes(ALICE).unwrap();
        mailboxes.into_iter().find(|mailbox| mailbox.name == name).unwrap().id
    }

    fn create(&mut self, name: &str) -> MailboxId {
        let create =
            MailboxCreate { account: ALICE, parent: None, name: name.into(), special_use: None };
        match self.done(Change::MailboxCreate(create)) {
            Done::Mailbox(id, _) => id,
            other => panic!("{other:?}"),
        }
    }

    fn go(&mut self, of: &Arrival, to: MailboxId) -> Arrival {
        let items = vec![Placed { uid: of.uid, email: of.email }];
        let change = Move { account: ALICE, from: of.mailbox, to, items };
        match self.done(Change::Move(change)) {
            Done::Arrived(answers) => *answers[0].as_ref().unwrap(),
            other => panic!("{other:?}"),
        }
    }

    fn tag(&mut self, of: &Arrival, how: FlagChange, flags: Flags, keyword: &str) {
        let keywords = match keyword {
            "" => Vec::new(),
            keyword => vec![keyword.to_owned()],
        };
        self.done(Change::SetFlags(SetFlags {
            account: ALICE,
            reader: ALICE,
            mailbox: of.mailbox,
            uids: vec![of.uid],
            how,
            flags,
            keywords,
            unchanged_since: None,
        }));
    }

    fn expunge(&mut self, account: AccountId, of: &Arrival) {
        let (mailbox, uids) = (of.mailbox, vec![of.uid]);
        self.done(Change::Expunge(Expunge { account, mailbox, uids, only_deleted: false }));
    }

    /// History that is kept for no time at all: everything below now goes that may go.
    fn trim(&mut self, account: AccountId) {
        self.now += 1;
        let (floor, time) = (LogIndex(self.index), Timestamp(self.now));
        self.done(Change::HistoryFloor(HistoryFloor { account, floor, time }));
        let mut at = Some(TrimAt::default());
        while let Some(from) = at {
            let (rows, next) = self.view().trimmable(account, from, 1000).unwrap();
            at = next;
            if !rows.is_empty() {
                self.done(Change::HistoryTrim(HistoryTrim { account, rows }));
            }
        }
        self.clean();
    }

    fn is_known(&self, account: AccountId, of: &Arrival) -> bool {
        self.view().email_ever(account, of.email).unwrap().is_some()
    }

    fn floor(&self, account: AccountId, of: &Arrival) -> Option<Until> {
        let now = Timestamp(self.now);
        let (_, verdict) = self.view().retention_of(account, of.email, now).unwrap().unwrap();
        verdict.kept_by(now).map(|floor| floor.until)
    }

    /// What a worker would propose, now, for one email.
    fn purge(&mut self, account: AccountId, by: PolicyId, of: &Arrival) -> Result<(), Rejection> {
        self.purge_decided(account, by, of, self.index)
    }

    fn purge_decided(
        &mut self,
        account: AccountId,
        by: PolicyId,
        of: &Arrival,
        decided: u64,
    ) -> Result<(), Rejection> {
        let view = self.view();
        let known = view.policies().unwrap().into_iter().find(|known| known.id == by).unwrap();
        let version = known.in_force(Timestamp(self.now)).map_or(0, |version| version.number);
        let live = view.email(account, of.email).unwrap().is_some();
        let placements = if live { vec![(of.mailbox, of.uid)] } else { Vec::new() };
        let items = vec![PurgeItem { email: of.email, placements }];
        let decided = LogIndex(decided);
        let purge = PurgePolicy { account, policy: by, version, items, decided };
        match self.submit(Change::PurgePolicy(purge))? {
            Done::Purged(answers) => answers[0].clone().map(drop),
            other => panic!("{other:?}"),
        }
    }
}

fn refused<T: std::fmt::Debug>(result: Result<T, Rejection>) -> bool {
    matches!(result, Err(Rejection::Policy(_)))
}

/// Rule 4: a floor beats everything that a user or an administrator deletes.
#[test]
fn whatever_is_deleted_a_floor_keeps() {
    let mut story = Story::new();
    let [expunged, boxed, deleted] = [ALICE, ALICE, BOB].map(|account| story.deliver(account));
    let folder = story.create("Folder");
    let boxed = story.go(&boxed, folder);
    story.set(policy("all", Some(YEAR), None));
    story.expunge(ALICE, &expunged);
    story.done(Change::MailboxDelete(MailboxDelete { account: ALICE, mailbox: folder }));
    story.expunge(ALICE, &boxed);
    story.done(Change::AccountDelete(AccountDelete { account: BOB }));
    let (mailbox, uids) = (deleted.mailbox, vec![deleted.uid]);
    story.done(Change::AccountSweep(AccountSweep { account: BOB, mailbox, uids }));
    for _ in 0..3 {
        story.pass(100);
        story.trim(ALICE);
        story.trim(BOB);
        assert!(story.is_known(ALICE, &expunged) && story.is_known(ALICE, &boxed));
        assert!(story.is_known(BOB, &deleted));
    }
    // At its end it goes as all history does.
    story.pass(66);
    story.deliver(ALICE);

    story.trim(ALICE);
    assert!(!story.is_known(ALICE, &expunged) && !story.is_known(ALICE, &boxed));
    story.trim(BOB);
    assert!(!story.is_known(BOB, &deleted));
}

/// Without a policy all of that goes: the story before could fail.
#[test]
fn without_a_floor_expunged_mail_goes() {
    let mut story = Story::new();
    let mail = story.deliver(ALICE);
    story.expunge(ALICE, &mail);
    story.trim(ALICE);
    assert!(!story.is_known(ALICE, &mail));
}

/// Rule 4: once acquired a floor never leaves by move, tag, rename, flag or copy.
#[test]
fn a_floor_does_not_leave_with_what_it_hung_on() {
    let mut story = Story::new();
    let files = story.create("Files");
    let mails: Vec<Arrival> = (0..4).map(|_| story.deliver(ALICE)).collect();
    let scope = PolicyScope { tag: Some("contract".into()), ..all() };
    story.set(PolicySettings { scope, ..policy("tagged", Some(YEAR), None) });
    story.set(PolicySettings { scope: within("Files"), ..policy("files", Some(YEAR), None) });
    assert!(mails.iter().all(|mail| story.floor(ALICE, mail).is_none()));
    // A tag comes and goes.
    story.tag(&mails[0], FlagChange::Add, Flags::NONE, "Contract");
    story.tag(&mails[0], FlagChange::Replace, Flags::NONE, "");
    // In and out of the mailbox.
    let moved = story.go(&mails[1], files);
    let back = story.go(&moved, INBOX);
    // The mailbox is called otherwise.
    let renamed = story.go(&mails[2], files);
    let name = "Other".to_owned();
    story.done(Change::MailboxRename(MailboxRename {
        account: ALICE,
        mailbox: files,
        parent: None,
        name,
    }));
    assert!(story.floor(ALICE, &renamed).is_some(), "renamed");
    let later = story.go(&mails[3], files);
    assert!(story.floor(ALICE, &mails[0]).is_some(), "tag");
    assert!(story.floor(ALICE, &moved).is_some(), "moved");
    for of in [&mails[0], &back, &renamed, &later] {
        story.expunge(ALICE, of);
    }
    story.trim(ALICE);
    assert!([&mails[0], &back, &renamed].into_iter().all(|mail| story.is_known(ALICE, mail)));
    story.pass(366);
    story.deliver(ALICE);
    story.trim(ALICE);
    assert!(mails.iter().all(|mail| !story.is_known(ALICE, mail)));
}

/// The same of accounts: another class, another domain.
#[test]
fn a_floor_does_not_leave_with_the_account() {
    let mut story = Story::new();
    let settings = ClassSettings::default();
    let Done::Class(class) =
        story.done(Change::ClassAdd(ClassAdd { name: "staff".into(), settings }))
    else {
        panic!("no class")
    };
    let give = |class| {
        Change::AccountClass(AccountClass { account: ALICE, class, own: Limits::default() })
    };
    let of_domain =
        |class| Change::DomainClass(DomainClass { domain: "example.org".into(), class });
    story.done(give(Some(class)));
    story.done(of_domain(Some(class)));
    let scope = PolicyScope { whose: PolicyWhose::Class(class), ..all() };
    story.set(PolicySettings { scope, ..policy("staff", Some(YEAR), None) });
    let (alice, bob) = (story.deliver(ALICE), story.deliver(BOB));
    story.done(of_domain(None));
    story.done(give(None));
    let after = story.deliver(ALICE);
    assert!(story.floor(ALICE, &alice).is_some() && story.floor(BOB, &bob).is_some());
    assert!(story.floor(ALICE, &after).is_none(), "it came afterwards");
    let gone = story.submit(Change::ClassRemove(ClassRemove { class }));
    assert!(refused(gone), "a class that a policy is over stays");
    let scope = PolicyScope { whose: PolicyWhose::Domain("example.org".into()), ..all() };
    story.set(PolicySettings { scope, ..policy("domain", Some(2 * YEAR), None) });
    let address = address("alice", "example.com");
    story.done(Change::AccountRename(AccountRename { account: ALICE, address }));
    story.pass(400);
    assert!(story.floor(ALICE, &alice).is_some(), "by the domain that it was of");
}

/// A client's own dates and flags shorten nothing.
#[test]
fn clients_do_not_choose_what_a_floor_counts_from() {
    let mut story = Story::new();
    story.set(policy("all", Some(YEAR), None));
    let old = story.append(INBOX, Flags::NONE, 0);
    assert_eq!(story.floor(ALICE, &old), Some(Until::Time(Timestamp(story.now + 365 * DAY))));
    // A draft is free until it is none; what was delivered never is one.
    let draft = story.append(INBOX, Flags::DRAFT, story.now);
    assert_eq!(story.floor(ALICE, &draft), None);
    story.tag(&draft, FlagChange::Remove, Flags::DRAFT, "");
    assert!(story.floor(ALICE, &draft).is_some());
    story.tag(&draft, FlagChange::Add, Flags::DRAFT, "");
    assert!(story.floor(ALICE, &draft).is_some(), "no way back");
    let mail = story.deliver(ALICE);
    story.tag(&mail, FlagChange::Add, Flags::DRAFT, "");
    assert!(story.floor(ALICE, &mail).is_some());
}

/// Rules 5 and 8: what is due goes, and nothing of it stays; not before.
#[test]
fn what_is_due_goes_with_its_history() {
    let mut story = Story::new();
    let by = story.set(policy("short", None, Some(days(30))));
    let mail = story.deliver(ALICE);
    let other = story.deliver(ALICE);
    story.expunge(ALICE, &other);
    story.pass(29);
    assert!(refused(story.purge(ALICE, by, &mail)), "a day too early");
    story.pass(1);
    assert_eq!(story.purge(ALICE, by, &mail), Ok(()));
    assert_eq!(story.purge(ALICE, by, &other), Ok(()), "the expunged one too");
    assert!(!story.is_known(ALICE, &mail) && !story.is_known(ALICE, &other));
    assert_eq!(story.view().unreferenced(None, 10).unwrap().len(), 3, "two mails and an envelope");
    assert_eq!(story.purge(ALICE, by, &mail), Err(Rejection::Gone));
    let then = story.view().at(LogIndex(story.index - 4));
    assert_eq!(then.placement(ALICE, INBOX, ALICE, mail.uid).unwrap(), None, "no past shows it");
    story.clean();
    story.trim(ALICE);
}

/// Rule 5: the longest floor wins over the shortest deletion.
#[test]
fn the_longest_floor_wins_over_the_shortest_deletion() {
    let mut story = Story::new();
    let by = story.set(policy("short", None, Some(days(30))));
    story.set(policy("long", None, Some(days(60))));
    story.set(policy("keep", Some(days(40)), None));
    story.set(policy("keep longer", Some(days(50)), None));
    let mail = story.deliver(ALICE);
    let view = story.view();
    let (_, verdict) =
        view.retention_of(ALICE, mail.email, Timestamp(story.now + WAIT)).unwrap().unwrap();
    assert_eq!(verdict.goes(), Some(Timestamp(story.now + 50 * DAY)));
    assert_eq!(verdict.deletion.unwrap().policy, by);
    story.pass(49);
    assert!(matches!(story.purge(ALICE, by, &mail), Err(Rejection::Retained(_))));
    story.pass(1);
    assert_eq!(story.purge(ALICE, by, &mail), Ok(()));
}

/// Rule 8: new and shortened rules wait, longer ones do not.
#[test]
fn what_is_new_or_shorter_waits_seven_days() {
    let mut story = Story::new();
    let mail = story.deliver(ALICE);
    story.pass(100);
    let by = story.set(policy("rule", Some(days(90)), Some(days(90))));
    assert_eq!(story.purge(ALICE, by, &mail), Err(Rejection::DecidedBefore), "nothing acts yet");
    story.wait();
    story.change(by, policy("rule", Some(days(300)), Some(days(300)))).unwrap();
    assert!(story.floor(ALICE, &mail).is_some(), "what keeps longer acts at once");
    assert!(matches!(story.purge(ALICE, by, &mail), Err(Rejection::Retained(_))));
    story.change(by, policy("rule", Some(days(10)), Some(days(10)))).unwrap();
    assert!(story.floor(ALICE, &mail).is_some(), "what is shorter waits");
    story.done(Change::PolicyRemove(PolicyRemove { policy: by }));
    assert!(story.floor(ALICE, &mail).is_some(), "so does an end");
    story.wait();
    assert!(story.floor(ALICE, &mail).is_none());
    assert!(refused(story.change(by, policy("rule", None, Some(1)))), "it has ended");
}

/// Rule 7.
#[test]
fn a_locked_policy_is_extended_and_never_shortened() {
    let mut story = Story::new();
    let first = policy("law", Some(YEAR), Some(2 * YEAR));
    let by = story.set(first.clone());
    story.done(Change::PolicyLock(PolicyLock { policy: by }));
    let shorter = [
        PolicySettings { floor: Some(YEAR - 1), ..first.clone() },
        PolicySettings { floor: None, ..first.clone() },
        PolicySettings { delete: Some(2 * YEAR - 1), ..first.clone() },
        PolicySettings { scope: within("INBOX"), ..first.clone() },
        PolicySettings { anchor: PolicyAnchor::Sent, ..first.clone() },
    ];
    for shorter in shorter {
        assert!(refused(story.change(by, shorter.clone())), "{shorter:?}");
    }
    assert!(refused(story.submit(Change::PolicyRemove(PolicyRemove { policy: by }))));
    let longer = PolicySettings { floor: Some(3 * YEAR), delete: None, drafts: true, ..first };
    story.change(by, longer.clone()).unwrap();
    let fewer = PolicySettings { drafts: false, ..longer };
    assert!(refused(story.change(by, fewer)));
}

/// Rule 8: the record names what goes, and a hold, a label or a policy in between stops it.
#[test]
fn a_decision_does_not_outlive_what_it_was_made_on() {
    let mut story = Story::new();
    let by = story.set(policy("short", None, Some(days(30))));
    let label =
        PolicySettings { anchor: PolicyAnchor::Labelled, ..policy("keep", Some(days(30)), None) };
    let label = story.set(label);
    let mail = story.deliver(ALICE);
    story.pass(31);
    let decided = story.index;
    let put = Label { account: ALICE, policy: label, emails: vec![mail.email] };
    story.done(Change::Label(put.clone()));
    let late = story.purge_decided(ALICE, by, &mail, decided);
    assert_eq!(late, Err(Rejection::DecidedBefore));
    assert!(matches!(story.purge(ALICE, by, &mail), Err(Rejection::Retained(_))), "labelled");
    story.done(Change::Unlabel(put));
    let hold = HoldSet::over(HoldScope::Account(ALICE));
    let Done::Hold(hold) = story.done(Change::HoldSet(hold)) else { panic!("no hold") };
    assert!(matches!(story.purge(ALICE, by, &mail), Err(Rejection::Held(_))));
    story.done(Change::HoldRelease(HoldRelease::of(hold)));
    let decided = story.index;
    story.set(policy("another", None, Some(days(1000))));
    let late = story.purge_decided(ALICE, by, &mail, decided);
    assert_eq!(late, Err(Rejection::DecidedBefore));
    assert_eq!(story.purge(ALICE, by, &mail), Ok(()));
}

#[test]
fn a_daily_maximum_holds() {
    let mut story = Story::new();
    let short = policy("short", None, Some(days(30)));
    let by = story.set(PolicySettings { daily: Some(2), ..short });
    let mails: Vec<Arrival> = (0..3).map(|_| story.deliver(ALICE)).collect();
    story.pass(40);
    assert_eq!(story.purge(ALICE, by, &mails[0]), Ok(()));
    assert_eq!(story.purge(ALICE, by, &mails[1]), Ok(()));
    assert!(matches!(story.purge(ALICE, by, &mails[2]), Err(Rejection::Limit(_))));
    story.pass(1);
    assert_eq!(story.purge(ALICE, by, &mails[2]), Ok(()));
    assert_eq!(story.view().policy_taken(by).unwrap().all, 3);
}

#[test]
fn a_second_person_approves() {
    let mut story = Story::new();
    let settings = PolicySettings { review: true, ..policy("short", None, Some(days(30))) };
    let set = Change::PolicySet(PolicySet { policy: None, settings: settings.clone() });
    let Ok(Done::Policy(by, 1)) = story.by(1, set) else { panic!("not set") };
    let mail = story.deliver(ALICE);
    story.pass(40);
    let decide = |version, given| {
        let (of, note) = (Approves::Policy { policy: by, version }, "as agreed".to_owned());
        Change::Approval(Approval { of, given, note })
    };
    let approve = |version| decide(version, true);
    assert_eq!(story.purge(ALICE, by, &mail), Err(Rejection::DecidedBefore), "it waits");
    let no = |result| matches!(result, Err(Rejection::Approval(_)));
    assert!(no(story.submit(approve(1))), "nobody in person");
    assert!(no(story.by(1, approve(1))), "the same person");
    assert!(no(story.by(2, approve(1))), "somebody without the role");
    for person in [1, 2] {
        let account = AccountId(person);
        story.done(Change::RoleGrant(RoleGrant { account, role: Role::Approver, domain: None }));
    }
    assert!(no(story.by(1, approve(1))), "the same person, with the role");
    assert!(story.by(2, approve(1)).is_ok());
    assert!(no(story.by(2, decide(1, false))), "it is decided");
    let row = story.view().approval(Approves::Policy { policy: by, version: 1 }).unwrap().unwrap();
    let decision = row.decision().unwrap();
    let who = Principal::Person(AccountId(2));
    assert_eq!((decision.by, decision.note.as_str()), (who, "as agreed"));
    // Nor can the first take the question back alone.
    let set = PolicySettings { review: false, delete: Some(days(1)), ..settings };
    story.change(by, set).unwrap();
    let young = story.deliver(ALICE);
    story.pass(10);
    assert!(refused(story.purge(ALICE, by, &young)), "version 2 was not approved");
    assert_eq!(story.purge(ALICE, by, &mail), Ok(()));
    assert!(story.by(2, approve(2)).is_ok());
    assert_eq!(story.purge(ALICE, by, &young), Ok(()));
}

/// A version that was refused takes nothing, ever; what it keeps it keeps.
#[test]
fn a_refused_version_takes_nothing() {
    let mut story = Story::new();
    let role = Role::Approver;
    story.done(Change::RoleGrant(RoleGrant { account: AccountId(2), role, domain: None }));
    let settings = PolicySettings { review: true, ..policy("short", None, Some(days(30))) };
    let set = Change::PolicySet(PolicySet { policy: None, settings });
    let Ok(Done::Policy(by, 1)) = story.by(1, set) else { panic!("not set") };
    let mail = story.deliver(ALICE);
    let of = Approves::Policy { policy: by, version: 1 };
    let say = |given| Change::Approval(Approval { of, given, note: String::new() });
    story.by(2, say(false)).unwrap();
    story.pass(400);
    assert_eq!(story.purge(ALICE, by, &mail), Err(Rejection::DecidedBefore));
    assert!(matches!(story.by(2, say(true)), Err(Rejection::Approval(_))), "it was refused");
    let ends = Change::PolicyRemove(PolicyRemove { policy: by });
    story.by(2, ends).unwrap();
    assert_eq!(check(&story.view(), &|_| Ok(()), 20).unwrap(), []);
}

/// What stands in the trash counts from when it came there, and goes from there alone.
#[test]
fn the_trash_is_emptied_by_when_things_came_there() {
    let mut story = Story::new();
    let scope = PolicyScope { mailbox: Some(PolicyMailbox::Use(SpecialUse::Trash)), ..all() };
    let by = story.set(PolicySettings {
        scope,
        anchor: PolicyAnchor::Saved,
        ..policy("trash", None, Some(days(30)))
    });
    let mail = story.deliver(ALICE);
    story.pass(100);
    assert!(refused(story.purge(ALICE, by, &mail)), "it is not in the trash");
    let trash = story.mailbox("Trash");
    let moved = story.go(&mail, trash);
    story.pass(29);
    assert!(refused(story.purge(ALICE, by, &moved)));
    story.pass(1);
    assert_eq!(story.purge(ALICE, by, &moved), Ok(()));
    assert!(!story.is_known(ALICE, &mail));
}

#[test]
fn a_floor_counts_from_what_happened() {
    let mut story = Story::new();
    story.set(PolicySettings {
        anchor: PolicyAnchor::Event("left".into()),
        ..policy("leavers", Some(YEAR), None)
    });
    let mail = story.deliver(ALICE);
    assert_eq!(story.floor(ALICE, &mail), Some(Until::Unknown), "nobody knows when");
    let event =
        |time| RetentionEvent { account: ALICE, name: "left".into(), time: Timestamp(time) };
    let now = story.now;
    story.done(Change::RetentionEvent(event(now)));
    assert_eq!(story.floor(ALICE, &mail), Some(Until::Time(Timestamp(now + 365 * DAY))));
    assert!(refused(story.submit(Change::RetentionEvent(event(now - DAY)))), "never earlier");
    story.done(Change::RetentionEvent(event(now + DAY)));
    assert_eq!(story.floor(ALICE, &mail), Some(Until::Time(Timestamp(now + 366 * DAY))));
}

#[test]
fn what_a_query_has_not_looked_at_counts_as_found() {
    let mut story = Story::new();
    let scope = PolicyScope { query: Some("subject:contract".into()), ..all() };
    let by = story.set(PolicySettings { scope, ..policy("found", Some(YEAR), None) });
    let (found, other) = (story.deliver(ALICE), story.deliver(ALICE));
    assert_eq!(story.floor(ALICE, &found), Some(Until::Unknown));
    let upto = other.email.sequence;
    let emails = vec![(found.email, Held::Matches)];
    let matched = PolicyMatched { policy: by, version: 1, account: ALICE, emails, upto };
    story.done(Change::PolicyMatched(matched));
    assert!(matches!(story.floor(ALICE, &found), Some(Until::Time(_))));
    assert_eq!(story.floor(ALICE, &other), None);
    let later = story.deliver(ALICE);
    assert_eq!(story.floor(ALICE, &later), Some(Until::Unknown));
}

/// By a query only what it has found goes: not what it was not asked about, nor what it cannot
/// tell of.
#[test]
fn a_query_takes_what_it_has_found() {
    let mut story = Story::new();
    let scope = PolicyScope { query: Some("subject:offer".into()), ..all() };
    let settings = PolicySettings { scope, ..policy("offers", None, Some(days(1))) };
    let by = story.set(settings.clone());
    let mails = [story.deliver(ALICE), story.deliver(ALICE), story.deliver(ALICE)];
    story.wait();
    for mail in &mails {
        assert!(story.purge(ALICE, by, mail).is_err(), "it was not asked");
    }
    let emails = vec![(mails[0].email, Held::Matches), (mails[1].email, Held::Unread)];
    let upto = mails[2].email.sequence;
    let matched = PolicyMatched { policy: by, version: 1, account: ALICE, emails, upto };
    story.done(Change::PolicyMatched(matched.clone()));
    assert!(story.purge(ALICE, by, &mails[1]).is_err(), "it cannot be told");
    assert!(story.purge(ALICE, by, &mails[2]).is_err(), "it was not found");
    story.purge(ALICE, by, &mails[0]).unwrap();
    // Another version is asked anew.
    story.change(by, PolicySettings { delete: Some(days(2)), ..settings }).unwrap();
    assert_eq!(story.submit(Change::PolicyMatched(matched)), Err(Rejection::DecidedBefore));
    story.wait();
    assert!(story.purge(ALICE, by, &mails[1]).is_err());
    story.clean();
}

/// Who goes back to before a policy was locked is bound by it all the same.
#[test]
fn locked_policies_bind_a_history_that_begins_anew() {
    let mut story = Story::new();
    let settings = policy("law", Some(YEAR), None);
    let kept = KeptPolicy { policy: PolicyId(7), settings: settings.clone(), locked: true };
    let kept = PoliciesKept { policies: vec![kept], next: PolicyId(9) };
    story.done(Change::PoliciesKept(kept));
    let mail = story.deliver(ALICE);
    assert!(story.floor(ALICE, &mail).is_some());
    let shorter = PolicySettings { floor: Some(1), ..settings };
    assert!(refused(story.change(PolicyId(7), shorter)));
    assert_eq!(story.set(policy("next", Some(1), None)), PolicyId(9));
}
