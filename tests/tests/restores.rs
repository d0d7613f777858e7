//! Restores against the model: at random moments of random histories every mode
//! brings back what the model says was there, a second time changes nothing, and
//! `apply` does with each record what the model does.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)]

mod operations;
mod worlds;

use std::collections::{BTreeMap, BTreeSet};

use operations::{Step, steps};
use proptest::prelude::*;
use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::apply::APPLY_VERSION;
use redoubt_store::check::check;
use redoubt_store::restore::{EmailWish, PlanError, RewindWish, UndeleteWish, Wish, plan};
use redoubt_store::view::{TrimAt, View};
use redoubt_tests::model::{AccountM, MailboxM, Model, State};
use worlds::{Content, World, content_now, content_then, copy, folded, live};

fn holds(whole: &Content, part: &Content) -> bool {
    part.iter().all(|(key, count)| whole.get(key).is_some_and(|there| there >= count))
}

/// Where the content of a mailbox of then is to be found: under its id, or its name.
fn now_of(view: &View, id: AccountId, then: &AccountM, mailbox: &MailboxM) -> Option<MailboxId> {
    let here = view.mailbox(id, mailbox.id).unwrap().filter(|m| m.selectable);
    let named = || view.mailbox_named(id, &then.whole_name(mailbox.id)).unwrap();
    here.or_else(named).map(|m| m.id)
}

/// A mailbox whose UIDs are used up takes nothing any more.
fn is_full(outcomes: &[Restored]) -> bool {
    outcomes.iter().any(|outcome| matches!(outcome, Restored::Failed(Rejection::UidsExhausted)))
}

fn rewind(world: &World, id: AccountId, at: LogIndex, exact: bool) {
    let mut world = world.clone();
    let then = world.model.past[&at].accounts[&id].clone();
    let before = world.view();
    let wish = Wish::Rewind(RewindWish {
        account: id,
        at,
        mailbox: None,
        emails: None,
        only_flags: false,
        exact,
        by: None,
    });
    let outcomes = world.twice(&wish);
    world.all_well();
    if is_full(&outcomes) {
        return;
    }
    let view = world.view();
    let mut targets: BTreeMap<MailboxId, Content> = BTreeMap::new();
    for mailbox in live(&then) {
        let target = now_of(&view, id, &then, mailbox).expect("a mailbox of then is there");
        let all = targets.entry(target).or_default();
        for (key, count) in content_then(&then, mailbox) {
            *all.entry(key).or_default() += count;
        }
    }
    for (target, expected) in &targets {
        let found = content_now(&view, id, *target);
        match exact {
            true => assert_eq!(&found, expected, "mailbox {target} at {at}: {outcomes:?}"),
            false => assert!(holds(&found, expected), "{found:#?} lacks of {expected:#?}"),
        }
    }
    let names: BTreeSet<_> = view.subscriptions(id).unwrap().into_iter().collect();
    match exact {
        true => assert_eq!(names, then.subscriptions),
        false => {
            assert!(names.is_superset(&then.subscriptions));
            nothing_lost(&before, &view, id);
        }
    }
}

/// Emails that were live are.
fn nothing_lost(before: &View, after: &View, id: AccountId) {
    for mailbox in before.mailboxes(id).unwrap() {
        for p in before.placements(id, mailbox.id, id, Uid::MIN, Uid::MAX, 10_000).unwrap() {
            assert!(!after.placements_of(id, p.email).unwrap().is_empty(), "{} is lost", p.email);
        }
    }
}

/// Placements that were shown and are not, from one state to the next, but for what moved.
fn deleted(
    model: &Model,
    id: AccountId,
    since: LogIndex,
    until: LogIndex,
) -> Vec<(EmailId, MailboxId)> {
    let shown = |state: &State| -> BTreeSet<(MailboxId, Uid, EmailId)> {
        let account = state.accounts.get(&id);
        let all = account.into_iter().flat_map(live);
        all.flat_map(|m| m.messages.iter().map(|p| (m.id, p.uid, p.email))).collect()
    };
    let states: Vec<_> = model.past.range(since..=until).map(|(_, state)| shown(state)).collect();
    let mut found = Vec::new();
    for pair in states.windows(2) {
        let came: BTreeSet<EmailId> = pair[1].difference(&pair[0]).map(|(_, _, e)| *e).collect();
        for (mailbox, _, email) in pair[0].difference(&pair[1]) {
            if !came.contains(email) {
                found.push((*email, *mailbox));
            }
        }
    }
    found
}

fn undelete(world: &World, id: AccountId, since: LogIndex, until: LogIndex) {
    let mut world = world.clone();
    // An account that was deleted meanwhile hides all of it: that is another mode.
    let there = |state: &State| state.accounts.contains_key(&id);
    if !world.model.past.range(since..).all(|(_, state)| there(state)) {
        return;
    }
    let expected = deleted(&world.model, id, since, until);
    let before = world.view();
    let wish = UndeleteWish { account: id, since, until, by: None, mailbox: None };
    let outcomes = world.twice(&Wish::Undelete(wish));
    world.all_well();
    if is_full(&outcomes) {
        return;
    }
    let view = world.view();
    nothing_lost(&before, &view, id);
    for (email, mailbox) in expected {
        let name = world.model.past.values().rev().find_map(|state| {
            let account = state.accounts.get(&id)?;
            live(account).find(|m| m.id == mailbox).map(|_| account.whole_name(mailbox))
        });
        let here = view.mailbox(id, mailbox).unwrap().filter(|m| m.selectable);
        let target = here.or_else(|| view.mailbox_named(id, &name.unwrap()).unwrap());
        let target = target.expect("its mailbox").id;
        let stands = view.placements_of(id, email).unwrap();
        assert!(stands.iter().any(|(m, _)| *m == target), "{email} is not in {target}");
    }
    // Nothing that was not asked for: what is new stood in the history.
    for outcome in outcomes {
        assert!(!matches!(outcome, Restored::Changed(_)), "{outcome:?}");
    }
}

fn email(world: &World, id: AccountId, pick: usize) {
    let mut world = world.clone();
    let known: BTreeSet<EmailId> = world
        .model
        .past
        .values()
        .filter_map(|state| state.accounts.get(&id))
        .flat_map(|account| live(account).flat_map(|m| m.messages.iter().map(|p| p.email)))
        .collect();
    let Some(email) = known.iter().nth(pick % known.len().max(1)).copied() else { return };
    let stood = |state: &State| -> Vec<(u8, Vec<String>)> {
        let account = state.accounts.get(&id).unwrap();
        let all = live(account).flat_map(|m| m.messages.iter().filter(|p| p.email == email));
        // It does not come back marked as deleted.
        all.map(|p| (p.flags & !8, folded(&p.keywords))).collect()
    };
    let last = world
        .model
        .past
        .values()
        .rev()
        .filter(|state| state.accounts.contains_key(&id))
        .map(stood)
        .find(|stood| !stood.is_empty())
        .unwrap();
    let (emails, places) = (vec![email], Vec::new());
    let into = pick.is_multiple_of(3).then(|| "Back/to me".to_owned());
    let wish = EmailWish {
        account: id,
        emails,
        places,
        at: None,
        into: into.clone(),
        to: None,
        flags: false,
    };
    let outcomes = world.twice(&Wish::Email(wish));
    world.all_well();
    if is_full(&outcomes) {
        return;
    }
    let view = world.view();
    let stands = view.placements_of(id, email).unwrap();
    let found: Vec<(u8, Vec<String>)> = stands
        .iter()
        .map(|(m, uid)| view.placement(id, *m, id, *uid).unwrap().unwrap())
        .map(|p| (p.flags.0 & !8, folded(&p.keywords)))
        .collect();
    match into {
        Some(name) => {
            let target = view.mailbox_named(id, &name).unwrap().unwrap().id;
            assert_eq!(stands.iter().filter(|(m, _)| *m == target).count(), 1);
        }
        None => last.iter().for_each(|one| assert!(found.contains(one), "{one:?}: {found:?}")),
    }
}

fn account(world: &World, id: AccountId) {
    let mut world = world.clone();
    let there = world.model.now.accounts.contains_key(&id);
    if there {
        let deleted = world.submit(Change::AccountDelete(AccountDelete { account: id }));
        // An archive that a rule names, or that has mail, stays.
        if let Err(Rejection::CaptureRule(_) | Rejection::Archive) = deleted {
            return;
        }
        deleted.unwrap();
        sweep(&mut world, id);
        world.all_well();
    }
    let gone = world.model.now.deleted.get(&id).map(|(account, _)| account.address.clone());
    let Some(address) = gone else { return };
    let last = world.model.past.values().rev().find_map(|state| state.accounts.get(&id)).unwrap();
    let last = last.clone();
    let free = !world.model.now.accounts.values().any(|a| a.address == address)
        && !world.model.now.aliases.contains_key(&address)
        && world.model.now.domains.contains_key(&address.domain);
    let outcomes = world.twice(&Wish::Account { account: id, address: None });
    world.all_well();
    if !free {
        assert!(outcomes.iter().all(|o| matches!(o, Restored::Failed(_))), "{outcomes:?}");
        return;
    }
    let view = world.view();
    let back = view.account(id).unwrap().unwrap();
    assert_eq!((back.address, back.settings), (last.address.clone(), last.settings.clone()));
    assert_eq!(view.credentials(id).unwrap().len(), last.credentials.len());
    if is_full(&outcomes) {
        return;
    }
    for mailbox in live(&last) {
        assert_eq!(content_now(&view, id, mailbox.id), content_then(&last, mailbox));
    }
}

/// What the mailstore's sweep does: all or some of it.
fn sweep(world: &mut World, id: AccountId) {
    let held = world.model.now.deleted[&id].0.mailboxes.clone();
    for mailbox in held.iter().filter(|m| m.id.0 % 5 > 0 && !m.messages.is_empty()) {
        let uids = mailbox.messages.iter().map(|m| m.uid).collect();
        let sweep = AccountSweep { account: id, mailbox: mailbox.id, uids };
        world.submit(Change::AccountSweep(sweep)).unwrap();
    }
}

fn at_random_moments(steps: &[Step], picks: &[u16]) {
    let world = World::run(steps);
    world.all_well();
    let indexes: Vec<LogIndex> = world.model.past.keys().copied().collect();
    for pick in picks {
        let at = indexes[usize::from(*pick) % indexes.len()];
        let until = indexes[(usize::from(*pick) * 7 + 3) % indexes.len()];
        let accounts: Vec<AccountId> = world.model.past[&at].accounts.keys().copied().collect();
        let Some(id) = accounts.get(usize::from(*pick) % accounts.len().max(1)) else { continue };
        account(&world, *id);
        copy(&world, *id, at);
        // Nothing is restored into an archive.
        let now = world.model.now.accounts.get(id);
        if now.is_some_and(|now| now.settings.state != AccountState::Archive) {
            rewind(&world, *id, at, false);
            rewind(&world, *id, at, true);
            undelete(&world, *id, at.min(until), at.max(until));
            email(&world, *id, usize::from(*pick));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, max_shrink_iters: 60, ..Default::default() })]

    #[test]
    fn what_was_comes_back(steps in steps(90..150), picks in prop::collection::vec(any::<u16>(), 8)) {
        at_random_moments(&steps, &picks);
    }
}

impl World {
    fn done(&mut self, change: Change) -> Done {
        self.submit(change).unwrap()
    }

    /// With alice, her only account, and so many emails in her INBOX.
    fn with_emails(count: u64) -> Self {
        let mut world = Self::new();
        world.done(Change::Version(Version { apply: APPLY_VERSION }));
        while world.view().references_counted().unwrap().is_none() {
            world.done(Change::CountReferences(CountReferences {}));
        }
        let (domain, settings) = ("example.org".to_owned(), DomainSettings::default());
        world.done(Change::DomainAdd(DomainAdd { domain: domain.clone(), settings }));
        let address = Address { local: "alice".into(), domain };
        let settings = AccountSettings::default();
        world.done(Change::AccountAdd(AccountAdd { address, settings, password: None }));
        for n in 0..count {
            let blob = BlobId::of(&n.to_le_bytes());
            let thread = ThreadKeys { message_ids: Vec::new(), subject: ThreadKey([0; 16]) };
            let message = Message { blob, original: blob, size: 100, thread };
            let (received, flags, keywords) = (Timestamp(0), Flags::NONE, Vec::new());
            let item =
                AppendItem { message, received, flags, keywords, uid: None, operation: None };
            world.done(Change::Append(Append {
                account: ALICE,
                mailbox: INBOX,
                items: vec![item],
            }));
        }
        world
    }

    fn expunge(&mut self, uid: u32) {
        let uids = vec![Uid::new(uid).unwrap()];
        let (account, mailbox) = (ALICE, INBOX);
        self.done(Change::Expunge(Expunge { account, mailbox, uids, only_deleted: false }));
    }

    fn begin_history(&mut self, account: AccountId, floor: LogIndex) {
        let time = Timestamp(self.clock);
        self.done(Change::HistoryFloor(HistoryFloor { account, floor, time }));
    }

    fn refused(&self, wish: &Wish, what: &str) {
        match plan(&self.view(), wish) {
            Err(error @ PlanError::BelowFloor { .. }) => {
                assert!(error.to_string().contains(what), "{error}");
            }
            other => panic!("{wish:?}: {other:?}"),
        }
    }
}

const ALICE: AccountId = AccountId(1);
const INBOX: MailboxId = MailboxId(1);

/// Everything that may be dropped of an account's history is.
fn trim(world: &mut World, account: AccountId) {
    let mut at = Some(TrimAt::default());
    while let Some(from) = at {
        let (rows, next) = world.view().trimmable(account, from, 3).unwrap();
        at = next;
        if !rows.is_empty() {
            world.done(Change::HistoryTrim(HistoryTrim { account, rows }));
        }
    }
}

/// The history begins where an email was gone that was brought back since: it stays, and goes
/// only when it is gone for good.
#[test]
fn what_was_brought_back_outlives_the_history_in_which_it_was_gone() {
    let mut world = World::with_emails(2);
    let first = world.view().placement(ALICE, INBOX, ALICE, Uid::MIN).unwrap().unwrap();
    let (email, blob) = (first.email, first.blob);
    world.expunge(1);
    let gone = world.view().applied().unwrap().index;
    world.expunge(2);
    let emails = vec![email];
    let (places, at, into, to) = (Vec::new(), None, None, None);
    let wish = EmailWish { account: ALICE, emails, places, at, into, to, flags: false };
    world.twice(&Wish::Email(wish));
    world.begin_history(ALICE, gone);
    trim(&mut world, ALICE);
    let view = world.view();
    assert_eq!(view.placements_of(ALICE, email).unwrap().len(), 1);
    assert_eq!(view.referrers(&blob, 2).unwrap().len(), 1);
    assert_eq!(check(&view, &|_| Ok(()), 20).unwrap(), []);

    let uid = view.placements_of(ALICE, email).unwrap()[0].1;
    world.expunge(uid.get());
    world.begin_history(ALICE, world.view().applied().unwrap().index);
    trim(&mut world, ALICE);
    let view = world.view();
    assert_eq!(view.email_ever(ALICE, email).unwrap(), None);
    assert_eq!(view.referrers(&blob, 2).unwrap(), []);
    assert_eq!(check(&view, &|_| Ok(()), 20).unwrap(), []);
}

/// Also where no moment was named.
#[test]
fn what_was_before_the_history_begins_is_refused_and_said_so() {
    let mut world = World::with_emails(3);
    let ids: Vec<EmailId> = world
        .view()
        .placements(ALICE, INBOX, ALICE, Uid::MIN, Uid::MAX, 9)
        .unwrap()
        .iter()
        .map(|placement| placement.email)
        .collect();
    let begun = LogIndex(world.index);
    world.expunge(1);
    world.expunge(2);
    let before = LogIndex(world.index - 1);
    world.begin_history(ALICE, before);
    let email = |emails: &[EmailId], places: &[(MailboxId, Uid)]| {
        let (emails, places) = (emails.to_vec(), places.to_vec());
        let (at, into, to) = (None, None, None);
        Wish::Email(EmailWish { account: ALICE, emails, places, at, into, to, flags: false })
    };
    let undelete = |since| {
        let (until, by, mailbox) = (LogIndex(99_999), None, None);
        Wish::Undelete(UndeleteWish { account: ALICE, since, until, by, mailbox })
    };
    let unknown = EmailId { sequence: Sequence(7777), ..ids[0] };
    for trim in [false, true] {
        if trim {
            let (rows, _) = world.view().trimmable(ALICE, TrimAt::default(), 1000).unwrap();
            world.done(Change::HistoryTrim(HistoryTrim { account: ALICE, rows }));
        }
        world.refused(&email(&ids[..1], &[]), &ids[0].to_string());
        world.refused(&email(&[unknown], &[]), "if there ever was one");
        if trim {
            world.refused(&email(&[], &[(INBOX, Uid::MIN)]), "m1/1");
        }
        world.refused(&undelete(begun), &format!("account 1 at entry {begun}"));
        for known in [email(&ids[1..2], &[]), email(&ids[2..], &[]), undelete(before)] {
            plan(&world.view(), &known).unwrap();
        }
    }
}

#[test]
fn an_account_that_was_deleted_before_the_history_begins_does_not_come_back() {
    let mut world = World::with_emails(1);
    world.done(Change::AccountDelete(AccountDelete { account: ALICE }));
    let wish = Wish::Account { account: ALICE, address: None };
    plan(&world.view(), &wish).unwrap();
    world.done(Change::Version(Version { apply: APPLY_VERSION }));
    world.begin_history(ALICE, LogIndex(world.index));
    world.refused(&wish, "as it was deleted");
}
