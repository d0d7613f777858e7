//! What wins over what, rule by rule, told as stories over `apply` alone: each line is a record
//! and what came of it. docs/holds.md is their page.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::sync::Arc;

use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::apply::{APPLY_VERSION, Position, apply};
use redoubt_store::check::check;
use redoubt_store::storage::MemStorage;
use redoubt_store::view::{TrimAt, View};

const DAY: u64 = 86_400;
const ALICE: AccountId = AccountId(1);
const BOB: AccountId = AccountId(2);
const INBOX: MailboxId = MailboxId(1);

/// A state, and what is told of it. At its end every invariant holds.
struct Tale {
    storage: MemStorage,
    index: u64,
    clock: i64,
}

impl Drop for Tale {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(check(&self.view(), &|_| Ok(()), 20).unwrap(), []);
        }
    }
}

impl Tale {
    /// alice@example.org and bob@example.net.
    fn new() -> Self {
        let mut tale = Self { storage: MemStorage::new(), index: 0, clock: 1_700_000_000_000 };
        tale.done(Change::Version(Version { apply: APPLY_VERSION }));
        for domain in ["example.org", "example.net"] {
            let (domain, settings) = (domain.to_owned(), DomainSettings::default());
            tale.done(Change::DomainAdd(DomainAdd { domain, settings }));
        }
        assert_eq!(tale.account("alice@example.org"), ALICE);
        assert_eq!(tale.account("bob@example.net"), BOB);
        tale
    }

    fn by(&mut self, principal: Principal, change: Change) -> Result<Done, Rejection> {
        self.index += 1;
        let index = LogIndex(self.index);
        let operation = OperationId(u128::from(self.index).to_le_bytes());
        let actor = Actor { principal, on_behalf_of: None, from: None };
        let time = Timestamp(self.clock);
        let record = Record { stamp: time, operation, actor, why: Why::default(), change };
        let position = Position { index, term: Term(1), time, mark: Vec::new() };
        apply(&mut self.storage, &position, &record).unwrap().result
    }

    fn tell(&mut self, change: Change) -> Result<Done, Rejection> {
        self.by(Principal::LocalUser(0), change)
    }

    fn done(&mut self, change: Change) -> Done {
        self.tell(change).unwrap()
    }

    fn view(&self) -> View {
        View::new(Arc::new(self.storage.clone())).unwrap()
    }

    fn days(&mut self, days: u64) {
        self.clock += (days * DAY * 1000) as i64;
    }

    fn account(&mut self, address: &str) -> AccountId {
        let (local, domain) = address.split_once('@').unwrap();
        let address = Address { local: local.into(), domain: domain.into() };
        let settings = AccountSettings::default();
        match self.done(Change::AccountAdd(AccountAdd { address, settings, password: None })) {
            Done::Account(id) => id,
            other => panic!("{other:?}"),
        }
    }

    fn rename(&mut self, account: AccountId, address: &str) {
        let (local, domain) = address.split_once('@').unwrap();
        let address = Address { local: local.into(), domain: domain.into() };
        self.done(Change::AccountRename(AccountRename { account, address }));
    }

    /// A message of some content into INBOX: its email and UID.
    fn mail(&mut self, account: AccountId, n: u8) -> (EmailId, Uid) {
        let message = Message {
            blob: BlobId([n; 32]),
            original: BlobId([n; 32]),
            size: 100,
            thread: ThreadKeys::default(),
        };
        let item = AppendItem {
            message,
            received: Timestamp(0),
            flags: Flags::NONE,
            keywords: Vec::new(),
            uid: None,
            operation: None,
        };
        let append = Append { account, mailbox: INBOX, items: vec![item] };
        match self.done(Change::Append(append)) {
            Done::Arrived(arrived) => {
                let arrived = arrived[0].clone().unwrap();
                (arrived.email, arrived.uid)
            }
            other => panic!("{other:?}"),
        }
    }

    fn expunge(&mut self, account: AccountId, uid: Uid) {
        let (mailbox, uids) = (INBOX, vec![uid]);
        self.done(Change::Expunge(Expunge { account, mailbox, uids, only_deleted: false }));
    }

    fn hold(&mut self, scope: HoldScope, days: u64) -> HoldId {
        let set = HoldSet { delay: days * DAY, ..HoldSet::over(scope) };
        match self.done(Change::HoldSet(set)) {
            Done::Hold(hold) => hold,
            other => panic!("{other:?}"),
        }
    }

    fn query(&mut self, over: HoldOver, days: u64) -> HoldId {
        let text = "subject:report".to_owned();
        self.hold(HoldScope::Query(HoldQuery { over, text }), days)
    }

    /// Raises an account's floor to now.
    fn floor(&mut self, account: AccountId) -> Result<Done, Rejection> {
        let (floor, time) = (LogIndex(self.index), Timestamp(self.clock));
        self.tell(Change::HistoryFloor(HistoryFloor { account, floor, time }))
    }

    /// Drops what an account's floor lets go.
    fn trim(&mut self, account: AccountId) -> Result<u32, Rejection> {
        let (mut at, mut dropped) = (Some(TrimAt::default()), 0);
        while let Some(from) = at {
            let (rows, next) = self.view().trimmable(account, from, 100).unwrap();
            at = next;
            if !rows.is_empty() {
                match self.tell(Change::HistoryTrim(HistoryTrim { account, rows }))? {
                    Done::Trimmed(rows) => dropped += rows,
                    other => panic!("{other:?}"),
                }
            }
        }
        Ok(dropped)
    }

    /// A query's hold over an account is judged up to an email; these are held.
    fn judged(
        &mut self,
        hold: HoldId,
        account: AccountId,
        upto: EmailId,
        marks: &[(EmailId, Held)],
    ) -> Result<(), Rejection> {
        let after = self.view().judged(hold, account).unwrap().upto;
        let judged = vec![Judged { account, after, upto, marks: marks.to_vec() }];
        match self.tell(Change::HoldMarks(HoldMarks { hold, judged }))? {
            Done::Marked(mut answers) => answers.remove(0),
            other => panic!("{other:?}"),
        }
    }

    fn is_there(&self, account: AccountId, email: EmailId) -> bool {
        self.view().email_ever(account, email).unwrap().is_some()
    }

    fn die(&mut self, decided: LogIndex, blob: u8) -> Result<Done, Rejection> {
        let blobs = vec![BlobId([blob; 32])];
        self.tell(Change::BlobsDead(BlobsDead { blobs, decided }))
    }
}

fn held<T>(hold: HoldId) -> Result<T, Rejection> {
    Err(Rejection::Held(hold))
}

// --------------------------------------------------- 1. a hold beats everything

#[test]
fn a_hold_keeps_what_its_account_expunges() {
    let mut tale = Tale::new();
    let (mail, uid) = tale.mail(ALICE, 1);
    let (gone, other) = tale.mail(BOB, 2);
    let hold = tale.hold(HoldScope::Account(ALICE), 0);
    tale.expunge(ALICE, uid);
    tale.expunge(BOB, other);
    tale.mail(ALICE, 3);
    assert_eq!(tale.floor(ALICE), held(hold));
    tale.floor(BOB).unwrap();
    tale.trim(BOB).unwrap();
    assert!(tale.is_there(ALICE, mail) && !tale.is_there(BOB, gone));
    // The directory says who was who: any hold keeps it.
    assert_eq!(tale.floor(AccountId(0)), held(hold));
}

#[test]
fn any_one_of_many_holds_suffices() {
    let mut tale = Tale::new();
    let first = tale.hold(HoldScope::Account(ALICE), 0);
    let second = tale.hold(HoldScope::Domain("example.org".into()), 0);
    let (mail, uid) = tale.mail(ALICE, 1);
    tale.expunge(ALICE, uid);
    assert_eq!(tale.floor(ALICE), held(first));
    tale.done(Change::HoldRelease(HoldRelease::of(first)));
    assert_eq!(tale.floor(ALICE), held(second));
    assert_eq!(tale.view().email_held_by(ALICE, mail).unwrap(), [second]);
    tale.done(Change::HoldRelease(HoldRelease::of(second)));
    tale.floor(ALICE).unwrap();
    tale.trim(ALICE).unwrap();
    assert!(!tale.is_there(ALICE, mail));
}

#[test]
fn an_account_that_is_deleted_under_a_hold_is_hidden_and_kept() {
    let mut tale = Tale::new();
    let (mail, uid) = tale.mail(ALICE, 1);
    let hold = tale.hold(HoldScope::Domain("example.org".into()), 0);
    tale.done(Change::AccountDelete(AccountDelete { account: ALICE }));
    assert!(tale.view().account(ALICE).unwrap().is_none(), "nobody finds it");
    let sweep = AccountSweep { account: ALICE, mailbox: INBOX, uids: vec![uid] };
    tale.done(Change::AccountSweep(sweep));
    // Its domain may go, and come back as somebody else's.
    tale.done(Change::DomainRemove(DomainRemove { domain: "example.org".into() }));
    assert_eq!(tale.floor(ALICE), held(hold));
    assert!(tale.is_there(ALICE, mail));
    assert_eq!(tale.view().held_by(ALICE).unwrap(), Some(hold));
}

#[test]
fn a_hold_before_a_purge_that_is_under_way_wins() {
    let mut tale = Tale::new();
    let (mail, uid) = tale.mail(ALICE, 1);
    let (_, lost) = tale.mail(ALICE, 2);
    tale.expunge(ALICE, uid);
    tale.expunge(ALICE, lost);
    // The floor is up, and what it lets go is named: then the hold comes.
    tale.floor(ALICE).unwrap();
    let (rows, _) = tale.view().trimmable(ALICE, TrimAt::default(), 100).unwrap();
    assert!(!rows.is_empty());
    let hold = tale.hold(HoldScope::Account(ALICE), 0);
    let trim = Change::HistoryTrim(HistoryTrim { account: ALICE, rows });
    assert_eq!(tale.tell(trim.clone()), held(hold), "decided before, applied after: refused");
    assert!(tale.is_there(ALICE, mail));
    // The same the other way about: what went before the hold is gone.
    tale.done(Change::HoldRelease(HoldRelease::of(hold)));
    tale.done(trim);
    assert!(!tale.is_there(ALICE, mail));
    let decided = LogIndex(tale.index);
    tale.hold(HoldScope::Account(BOB), 0);
    assert_eq!(tale.die(decided, 1), Err(Rejection::HeldSince));
    let decided = LogIndex(tale.index);
    assert_eq!(tale.die(decided, 1), Ok(Done::Dead(vec![Ok(())])));
}

// ------------------------------------------------ 2. over whom, and continuous

#[test]
fn who_comes_into_a_held_domain_is_held_and_who_leaves_stays_held() {
    let mut tale = Tale::new();
    let hold = tale.hold(HoldScope::Domain("example.org".into()), 0);
    let carol = tale.account("carol@example.org");
    assert_eq!(tale.floor(carol), held(hold), "who is added is held");
    tale.floor(BOB).unwrap();
    tale.rename(BOB, "bob@example.org");
    assert_eq!(tale.floor(BOB), held(hold), "who moves in is held");
    tale.rename(ALICE, "alice@example.net");
    tale.rename(BOB, "bob@example.net");
    for account in [ALICE, BOB] {
        assert_eq!(tale.floor(account), held(hold), "who leaves stays held");
    }
    let found = tale.view().hold(hold).unwrap().unwrap();
    assert_eq!(tale.view().reached_by(&found).unwrap(), [ALICE, BOB, carol]);
    tale.done(Change::HoldRelease(HoldRelease::of(hold)));
    for account in [ALICE, BOB, carol] {
        tale.floor(account).unwrap();
    }
}

#[test]
fn an_alias_in_a_held_domain_holds_nobody() {
    let mut tale = Tale::new();
    let alias = Address { local: "b".into(), domain: "example.org".into() };
    tale.done(Change::AliasAdd(AliasAdd { account: BOB, alias }));
    tale.hold(HoldScope::Domain("example.org".into()), 0);
    tale.floor(BOB).unwrap();
}

#[test]
fn what_a_query_has_not_judged_counts_as_held() {
    let mut tale = Tale::new();
    let (first, uid) = tale.mail(ALICE, 1);
    let (second, _) = tale.mail(ALICE, 2);
    let hold = tale.query(HoldOver::Domain("example.org".into()), 0);
    let held_by = |tale: &Tale, email| tale.view().email_held_by(ALICE, email).unwrap();
    assert_eq!((held_by(&tale, first), held_by(&tale, second)), (vec![hold], vec![hold]));
    assert_eq!(tale.floor(ALICE), held(hold));
    tale.judged(hold, ALICE, first, &[]).unwrap();
    assert_eq!((held_by(&tale, first), held_by(&tale, second)), (vec![], vec![hold]));
    tale.judged(hold, ALICE, second, &[]).unwrap();
    tale.expunge(ALICE, uid);
    // All is judged and nothing is held: the account is as any other.
    tale.floor(ALICE).unwrap();
    let (third, _) = tale.mail(ALICE, 3);
    assert_eq!(tale.floor(ALICE), held(hold), "until the next comes");
    tale.judged(hold, ALICE, third, &[(third, Held::Unread)]).unwrap();
    assert_eq!(held_by(&tale, third), [hold], "what cannot be read may match");
}

#[test]
fn what_matched_stays_held_whatever_becomes_of_it() {
    let mut tale = Tale::new();
    let (mail, uid) = tale.mail(ALICE, 1);
    let hold = tale.query(HoldOver::Accounts(vec![ALICE]), 0);
    tale.judged(hold, ALICE, mail, &[(mail, Held::Matches)]).unwrap();
    let flags = SetFlags {
        account: ALICE,
        mailbox: INBOX,
        reader: ALICE,
        uids: vec![uid],
        how: FlagChange::Add,
        flags: Flags::DELETED,
        keywords: Vec::new(),
        unchanged_since: None,
    };
    tale.done(Change::SetFlags(flags));
    let items = vec![Placed { uid, email: mail }];
    let to = MailboxId(5);
    tale.done(Change::Move(Move { account: ALICE, from: INBOX, to, items }));
    tale.rename(ALICE, "alice@example.net");
    tale.done(Change::AccountDelete(AccountDelete { account: ALICE }));
    assert_eq!(tale.view().email_held_by(ALICE, mail).unwrap(), [hold]);
    assert_eq!(tale.floor(ALICE), held(hold));
    // Nobody judges it again, and nobody judges past what comes next.
    assert_eq!(tale.judged(hold, ALICE, mail, &[]), Err(Rejection::MarkedSince));
    assert!(matches!(tale.judged(hold, BOB, mail, &[]), Err(Rejection::Hold(_))));
    tale.done(Change::HoldRelease(HoldRelease::of(hold)));
    tale.floor(ALICE).unwrap();
}

#[test]
fn two_leaders_judge_as_one() {
    let mut tale = Tale::new();
    let (mail, _) = tale.mail(ALICE, 1);
    let (next, _) = tale.mail(ALICE, 2);
    let hold = tale.query(HoldOver::All, 0);
    let one =
        Judged { account: ALICE, after: None, upto: next, marks: vec![(mail, Held::Matches)] };
    let other = Judged { account: ALICE, after: None, upto: next, marks: vec![] };
    let marks = |judged| Change::HoldMarks(HoldMarks { hold, judged });
    assert_eq!(tale.done(marks(vec![one])), Done::Marked(vec![Ok(())]));
    let late = Done::Marked(vec![Err(Rejection::MarkedSince)]);
    assert_eq!(tale.done(marks(vec![other])), late, "the log says who was first");
    assert_eq!(tale.view().email_held_by(ALICE, mail).unwrap(), [hold]);
}

// ------------------------------------------------------- 3. a release is delayed

#[test]
fn a_release_ends_nothing_before_its_delay_is_over() {
    let mut tale = Tale::new();
    let hold = tale.hold(HoldScope::Account(ALICE), 30);
    let end = Change::HoldEnd(HoldEnd { hold });
    assert!(matches!(tale.tell(end.clone()), Err(Rejection::Hold(_))), "nobody has released it");
    tale.done(Change::HoldRelease(HoldRelease { hold, delay: DAY }));
    assert!(matches!(tale.tell(end.clone()), Err(Rejection::Hold(_))), "the longer delay counts");
    assert_eq!(tale.floor(ALICE), held(hold));
    tale.days(29);
    assert!(matches!(tale.tell(end.clone()), Err(Rejection::Hold(_))));
    tale.days(1);
    assert_eq!(tale.floor(ALICE), held(hold), "in force until its end is in the log");
    assert_eq!(tale.done(end), Done::More(false));
    tale.floor(ALICE).unwrap();
    let again = Change::HoldRelease(HoldRelease::of(hold));
    assert!(matches!(tale.tell(again), Err(Rejection::NotFound(_))));
}

#[test]
fn a_release_that_is_taken_back_has_not_been() {
    let mut tale = Tale::new();
    let hold = tale.hold(HoldScope::Account(ALICE), 30);
    let release = Change::HoldRelease(HoldRelease::of(hold));
    tale.done(release.clone());
    assert!(matches!(tale.tell(release.clone()), Err(Rejection::Hold(_))), "twice");
    tale.days(20);
    tale.done(Change::HoldStays(HoldStays { hold }));
    tale.days(20);
    assert!(matches!(tale.tell(Change::HoldEnd(HoldEnd { hold })), Err(Rejection::Hold(_))));
    // The delay begins anew.
    tale.done(release);
    tale.days(29);
    assert!(matches!(tale.tell(Change::HoldEnd(HoldEnd { hold })), Err(Rejection::Hold(_))));
}

#[test]
fn before_the_delay_is_over_a_second_person_ends_a_hold() {
    let mut tale = Tale::new();
    let hold = tale.hold(HoldScope::Account(ALICE), 30);
    let (one, other) = (Principal::Person(ALICE), Principal::Person(BOB));
    let of = Approves::HoldRelease(hold);
    let say = |given| Change::Approval(Approval { of, given, note: "no need".to_owned() });
    let end = say(true);
    let grant = |account| RoleGrant { account, role: Role::Approver, domain: None };
    tale.done(Change::RoleGrant(grant(BOB)));
    let nothing = tale.by(other, end.clone());
    assert!(matches!(nothing, Err(Rejection::NotFound(_))), "nobody has released it");
    tale.done(Change::RoleRevoke(grant(BOB)));
    tale.by(one, Change::HoldRelease(HoldRelease::of(hold))).unwrap();
    tale.done(Change::RoleGrant(grant(ALICE)));
    for (by, why) in [
        (one, "who released it is no second person"),
        (other, "nor is who has not got the role"),
        (Principal::LocalUser(0), "nor root, who is known by no token"),
        (Principal::System, "nor the server"),
        (Principal::Account(BOB), "nor a user"),
    ] {
        assert!(matches!(tale.by(by, end.clone()), Err(Rejection::Approval(_))), "{why}");
    }
    tale.done(Change::RoleGrant(grant(BOB)));
    let locked = |state| {
        let settings = AccountSettings { state, ..AccountSettings::default() };
        Change::AccountSet(AccountSet { account: BOB, settings })
    };
    tale.done(locked(AccountState::Locked));
    let shut_out = tale.by(other, end.clone());
    assert!(matches!(shut_out, Err(Rejection::Approval(_))), "nor who is locked out");
    tale.done(locked(AccountState::Active));
    let own = tale.by(other, Change::HoldEnd(HoldEnd { hold }));
    assert!(matches!(own, Err(Rejection::Hold(_))), "there is one way for a second person");
    assert_eq!(tale.by(other, end), Ok(Done::More(false)));
    tale.floor(ALICE).unwrap();
    let decided = tale.view().approval(of).unwrap().unwrap();
    let decided = decided.decision().unwrap();
    assert_eq!((decided.given, decided.by, decided.note.as_str()), (true, other, "no need"));
}

/// What was refused goes on to its delay; what is released anew can be approved anew.
#[test]
fn a_second_person_can_refuse_and_a_release_that_was_taken_back_waits_for_nobody() {
    let mut tale = Tale::new();
    let hold = tale.hold(HoldScope::Account(ALICE), 30);
    let (one, other) = (Principal::Person(ALICE), Principal::Person(BOB));
    let of = Approves::HoldRelease(hold);
    let say = |given| Change::Approval(Approval { of, given, note: String::new() });
    let release = Change::HoldRelease(HoldRelease::of(hold));
    tale.done(Change::RoleGrant(RoleGrant { account: BOB, role: Role::Approver, domain: None }));
    tale.by(one, release.clone()).unwrap();
    tale.by(other, say(false)).unwrap();
    assert!(matches!(tale.by(other, say(true)), Err(Rejection::Approval(_))), "it was refused");
    assert_eq!(tale.floor(ALICE), held(hold));
    tale.done(Change::HoldStays(HoldStays { hold }));
    tale.by(one, release.clone()).unwrap();
    tale.done(Change::HoldStays(HoldStays { hold }));
    assert!(matches!(tale.by(other, say(true)), Err(Rejection::Approval(_))), "it stays");
    // Who releases it this time is the first person.
    tale.by(other, release).unwrap();
    assert!(matches!(tale.by(other, say(true)), Err(Rejection::Approval(_))));
    tale.done(Change::RoleGrant(RoleGrant { account: ALICE, role: Role::Approver, domain: None }));
    assert_eq!(tale.by(one, say(true)), Ok(Done::More(false)));
    assert_eq!(check(&tale.view(), &|_| Ok(()), 20).unwrap(), []);
}

#[test]
fn a_hold_with_many_marks_ends_piece_by_piece() {
    let mut tale = Tale::new();
    let hold = tale.query(HoldOver::All, 1);
    for _ in 0..5 {
        let mut marks = Vec::new();
        for _ in 0..500 {
            marks.push((tale.mail(ALICE, 7).0, Held::Matches));
        }
        let upto = marks[499].0;
        tale.judged(hold, ALICE, upto, &marks).unwrap();
    }
    let found = tale.view().hold(hold).unwrap().unwrap();
    assert_eq!(tale.view().hold_counts(&found).unwrap().held, 2500);
    tale.done(Change::HoldRelease(HoldRelease::of(hold)));
    tale.days(1);
    let end = Change::HoldEnd(HoldEnd { hold });
    assert_eq!(tale.done(end.clone()), Done::More(true));
    assert_eq!(check(&tale.view(), &|_| Ok(()), 20).unwrap(), []);
    let stays = Change::HoldStays(HoldStays { hold });
    assert!(matches!(tale.tell(stays), Err(Rejection::Hold(_))), "it has ended");
    assert_eq!(tale.floor(ALICE), held(hold), "until the last of it is gone");
    assert_eq!(tale.done(end), Done::More(false));
    tale.floor(ALICE).unwrap();
}

#[test]
fn what_makes_no_sense_is_refused() {
    let mut tale = Tale::new();
    let nobody = AccountId(9);
    let set = |scope| Change::HoldSet(HoldSet::over(scope));
    let account = set(HoldScope::Account(nobody));
    assert_eq!(tale.tell(account), Err(Rejection::NoSuchAccount));
    let domain = set(HoldScope::Domain("example.com".into()));
    assert_eq!(tale.tell(domain), Err(Rejection::NoSuchDomain("example.com".into())));
    let query = |over, text: &str| set(HoldScope::Query(HoldQuery { over, text: text.to_owned() }));
    for wrong in [query(HoldOver::All, " "), query(HoldOver::Accounts(Vec::new()), "a")] {
        assert!(matches!(tale.tell(wrong), Err(Rejection::Hold(_))));
    }
    let long = HoldSet { delay: u64::MAX, ..HoldSet::over(HoldScope::Account(ALICE)) };
    assert!(matches!(tale.tell(Change::HoldSet(long)), Err(Rejection::Hold(_))));
    assert_eq!(tale.view().holds().unwrap(), []);
    // What was refused has taken no number.
    assert_eq!(tale.hold(HoldScope::Account(ALICE), 0), HoldId(1));
}
