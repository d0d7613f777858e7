//! Holds, told as stories rule by rule, and at random against a slow, obvious evaluator: nothing
//! under a hold is ever lost.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)]

mod operations;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};

use operations::{Step, steps};
use proptest::prelude::*;
use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::apply::{Position, apply};
use redoubt_store::check::check;
use redoubt_store::view::{TrimAt, View};
use worlds::World;

const DAY: u64 = 86_400;
const DOMAINS: [&str; 2] = ["example.org", "example.net"];

/// What a query means here: half of all emails.
fn matches(email: EmailId) -> bool {
    email.sequence.0.is_multiple_of(2)
}

fn query(over: HoldOver) -> HoldScope {
    HoldScope::Query(HoldQuery { over, text: "subject:report".into() })
}

/// A record that the model is not asked about.
fn quietly(world: &mut World, actor: Actor, change: Change) -> Result<Done, Rejection> {
    world.index += 1;
    let index = LogIndex(world.index);
    let mut operation = OperationId([0xa7; 16]);
    operation.0[..8].copy_from_slice(&index.0.to_le_bytes());
    let time = Timestamp(world.clock);
    let record = Record { stamp: time, operation, actor, why: Why::default(), change };
    let position = Position { index, term: Term(1), time, mark: Vec::new() };
    // It learns what the time is.
    let nothing = Change::CheckpointMark(CheckpointMark { index, state: Hash([0; 32]) });
    world.model.apply(index, time, &Record { change: nothing, ..record.clone() });
    apply(&mut world.storage, &position, &record).unwrap().result
}

fn system(world: &mut World, change: Change) -> Result<Done, Rejection> {
    quietly(world, Actor::SYSTEM, change)
}

/// Raises floors as far as that goes, trims all that lies below, and lets blobs die.
fn lose_what_can_be_lost(world: &mut World) {
    let floor = LogIndex(world.index);
    let accounts: Vec<AccountId> = (1..12).map(AccountId).collect();
    for account in accounts.into_iter().chain([AccountId(0)]) {
        let time = Timestamp(world.clock);
        let raise = Change::HistoryFloor(HistoryFloor { account, floor, time });
        let _ = system(world, raise);
        let mut at = Some(TrimAt::default());
        while let Some(from) = at {
            let (rows, next) = world.view().trimmable(account, from, 500).unwrap();
            at = next;
            if !rows.is_empty() {
                let _ = system(world, Change::HistoryTrim(HistoryTrim { account, rows }));
            }
        }
    }
    let view = world.view();
    let blobs = view.unreferenced(None, 500).unwrap();
    let decided = view.index();
    let _ = system(world, Change::BlobsDead(BlobsDead { blobs, decided }));
}

/// Judges what is there for a hold, as the leader does; at most so many emails an account.
fn judge(world: &mut World, hold: HoldId, most: usize) {
    let view = world.view();
    let Some(found) = view.hold(hold).unwrap() else { return };
    if found.terms.scope.query().is_none() {
        return;
    }
    let mut judged = Vec::new();
    for account in view.reached_by(&found).unwrap() {
        let emails = view.unjudged(hold, account, most).unwrap();
        let Some(upto) = emails.last().copied() else { continue };
        let after = view.judged(hold, account).unwrap().upto;
        let held = emails.iter().filter(|email| matches(**email));
        let marks = held.map(|email| (*email, Held::Matches)).collect();
        judged.push(Judged { account, after, upto, marks });
    }
    if !judged.is_empty() {
        let done = system(world, Change::HoldMarks(HoldMarks { hold, judged })).unwrap();
        let Done::Marked(answers) = done else { panic!("{done:?}") };
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
}

/// A hold as somebody with a pencil keeps it.
#[derive(Debug, Clone)]
struct Pencil {
    scope: HoldScope,
    until: Option<i64>,
    /// Everybody who was under it at any time.
    accounts: BTreeSet<AccountId>,
    /// Every email that was under it at any time, with its content.
    emails: BTreeMap<(AccountId, EmailId), BlobId>,
}

/// Keeps book of what must not be lost.
#[derive(Debug, Default)]
struct Book {
    holds: BTreeMap<HoldId, Pencil>,
}

impl Book {
    /// Who is under which hold, and what is theirs, by the model's state alone.
    fn note(&mut self, world: &World) {
        let now = &world.model.now;
        let deleted = now.deleted.iter().map(|(id, (account, _))| (id, account));
        for (id, account) in now.accounts.iter().chain(deleted) {
            for hold in self.holds.values_mut() {
                let domain = &account.address.domain;
                let over = match hold.scope.reach() {
                    Reach::All => true,
                    Reach::Domain(name) => name == domain,
                    Reach::Accounts(named) => named.contains(id),
                };
                if over {
                    hold.accounts.insert(*id);
                }
                if hold.accounts.contains(id) {
                    let query = hold.scope.query().is_some();
                    let held = account.emails.iter().filter(|(e, _)| !query || matches(**e));
                    hold.emails.extend(held.map(|(email, it)| ((*id, *email), it.blob)));
                }
            }
        }
    }

    fn nothing_is_lost(&self, view: &View) {
        for (id, hold) in &self.holds {
            for ((account, email), blob) in &hold.emails {
                let data = view.email_ever(*account, *email).unwrap();
                let found = data.unwrap_or_else(|| panic!("hold {id} lost {account} {email}"));
                assert_eq!(found.blob, *blob);
                assert_eq!(view.dead_since(blob).unwrap(), None, "hold {id}: {account} {email}");
                let by = view.email_held_by(*account, *email).unwrap();
                assert!(by.contains(id), "hold {id} let go of {account} {email}");
            }
            for account in &hold.accounts {
                let over = view.holds_over(*account).unwrap();
                assert!(over.iter().any(|hold| hold.id == *id), "{account} escaped {id}");
            }
        }
    }
}

#[derive(Debug, Clone)]
enum Act {
    Set { scope: u8, account: u8, days: u64 },
    Release { pick: u8, more: u64 },
    Cancel { pick: u8 },
    End { pick: u8, early: bool },
    Judge { pick: u8, most: usize },
    Lose,
    Days(u64),
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..5_u8, 1..4_u8, 0..4_u64)
            .prop_map(|(scope, account, days)| Act::Set { scope, account, days }),
        2 => (any::<u8>(), 0..3_u64).prop_map(|(pick, more)| Act::Release { pick, more }),
        1 => any::<u8>().prop_map(|pick| Act::Cancel { pick }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(pick, early)| Act::End { pick, early }),
        3 => (any::<u8>(), 1..20_usize).prop_map(|(pick, most)| Act::Judge { pick, most }),
        4 => Just(Act::Lose),
        2 => (1..4_u64).prop_map(Act::Days),
    ]
}

struct Story {
    world: World,
    book: Book,
    lost: bool,
}

impl Story {
    fn picked(&self, pick: u8) -> HoldId {
        let all: Vec<HoldId> = self.book.holds.keys().copied().collect();
        let one = all.get(usize::from(pick) % all.len().max(1));
        one.copied().unwrap_or(HoldId(99))
    }

    /// Time never goes back.
    fn now(&self) -> i64 {
        let applied = self.world.view().applied().map_or(0, |applied| applied.time.0);
        self.world.clock.max(applied)
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Set { scope, account, days } => self.set(scope, account, days),
            Act::Release { pick, more } => self.release(pick, more),
            Act::Cancel { pick } => {
                let hold = self.picked(pick);
                let change = Change::HoldStays(HoldStays { hold });
                let done = system(&mut self.world, change).is_ok();
                let pencil = self.book.holds.get_mut(&hold);
                assert_eq!(done, pencil.is_some_and(|hold| hold.until.take().is_some()));
            }
            Act::End { pick, early } => self.end(pick, early),
            Act::Judge { pick, most } => {
                let hold = self.picked(pick);
                judge(&mut self.world, hold, most);
            }
            Act::Lose => {
                self.lost = true;
                lose_what_can_be_lost(&mut self.world);
            }
            Act::Days(days) => self.world.clock += (days * DAY * 1000) as i64,
        }
    }

    fn set(&mut self, scope: u8, account: u8, days: u64) {
        let account = AccountId(account.into());
        let domain = DOMAINS[usize::from(scope % 2)].to_owned();
        let scope = match scope {
            0 => HoldScope::Account(account),
            1 => HoldScope::Domain(domain),
            2 => query(HoldOver::Accounts(vec![account])),
            3 => query(HoldOver::Domain(domain)),
            _ => query(HoldOver::All),
        };
        let set = HoldSet { delay: days * DAY, ..HoldSet::over(scope.clone()) };
        if let Ok(Done::Hold(hold)) = system(&mut self.world, Change::HoldSet(set)) {
            let (accounts, emails) = (BTreeSet::new(), BTreeMap::new());
            let pencil = Pencil { scope, until: None, accounts, emails };
            assert!(self.book.holds.insert(hold, pencil).is_none(), "a number is given twice");
        }
    }

    fn release(&mut self, pick: u8, more: u64) {
        let hold = self.picked(pick);
        let Some(before) = self.world.view().hold(hold).unwrap() else { return };
        let change = Change::HoldRelease(HoldRelease { hold, delay: more * DAY });
        let done = system(&mut self.world, change).is_ok();
        assert_eq!(done, before.releasing.is_none());
        let delay = (more * DAY).max(before.terms.delay);
        match done {
            true if delay == 0 => drop(self.book.holds.remove(&hold)),
            true => {
                let until = self.now() + (delay * 1000) as i64;
                self.book.holds.get_mut(&hold).unwrap().until = Some(until);
            }
            false => {}
        }
    }

    /// Nobody here has the role of an approver.
    fn end(&mut self, pick: u8, early: bool) {
        let hold = self.picked(pick);
        let principal = if early { Principal::Person(AccountId(2)) } else { Principal::System };
        let actor = Actor { principal, ..Actor::SYSTEM };
        let over = self.book.holds.get(&hold).and_then(|hold| hold.until);
        let over = over.is_some_and(|until| until <= self.now());
        let done = quietly(&mut self.world, actor, Change::HoldEnd(HoldEnd { hold })).is_ok();
        assert_eq!(done, over, "hold {hold}");
        if done {
            self.book.holds.remove(&hold);
        }
    }

    fn look(&mut self) {
        self.book.note(&self.world);
        self.book.nothing_is_lost(&self.world.view());
    }
}

/// Roles are left out: who may end a hold early is told by a story of its own. So are restores
/// once history has gone that the model still has.
fn is_left_out(step: &Step, n: u64, story: &Story) -> bool {
    match operations::to_record(step, &story.world.model, n).change {
        Change::RoleGrant(_) => true,
        Change::RestoreBegin(_) | Change::RestorePiece(_) | Change::RestoreNow(_) => story.lost,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, max_shrink_iters: 200, ..Default::default() })]

    #[test]
    fn nothing_under_a_hold_is_ever_lost(
        steps in steps(20..60),
        acts in prop::collection::vec((any::<u8>(), acts()), 10..40),
    ) {
        let mut story = Story { world: World::new(), book: Book::default(), lost: false };
        let mut acts: Vec<(usize, Act)> =
            acts.into_iter().map(|(at, act)| (usize::from(at) % steps.len(), act)).collect();
        acts.sort_by_key(|(at, _)| *at);
        let mut acts = acts.into_iter().peekable();
        for (n, step) in steps.iter().enumerate() {
            let number = 1 + n as u64;
            if !is_left_out(step, number, &story) {
                story.world.step(number, step);
            }
            story.look();
            while let Some((_, act)) = acts.next_if(|(at, _)| *at <= n) {
                story.act(&act);
                story.look();
            }
        }
        lose_what_can_be_lost(&mut story.world);
        story.look();
        prop_assert_eq!(check(&story.world.view(), &|_| Ok(()), 20).unwrap(), []);
    }
}
