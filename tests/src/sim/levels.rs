//! Nodes of different releases: records that the older ones do not know wait
//! until the level is raised, and that waits for every member.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::raft::LEVEL;
use redoubt_log::record::{Change, RestoreNow, RestoreOptions, Version};

use super::Group;
use super::clients::{Fate, Wish, settle};
use super::machine::Machine;

/// The release before.
const OLD: u32 = LEVEL - 1;
/// Within which time after a downgrade nobody raises the level: what the node said
/// of itself before still counts for some seconds.
const REMEMBERED: Duration = Duration::from_secs(12);

/// What is known of the level. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct Levels(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The level is, or may be, raised: no node goes back any more.
    raised: AtomicBool,
    /// Somebody is trying to raise it.
    raising: AtomicBool,
    downgraded: Mutex<Option<Duration>>,
}

impl Levels {
    fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::Relaxed)
    }

    fn may_raise(&self, now: Duration) -> bool {
        self.0.downgraded.lock().is_none_or(|at| now > at + REMEMBERED)
    }
}

/// The level that a machine of a mixed group begins with.
pub(super) fn first(group: &Group, number: u64) -> u32 {
    match number == 1 || group.main().random() {
        true => OLD,
        false => LEVEL,
    }
}

/// Asks again and again for what must wait.
pub(super) async fn press(group: Group) {
    let main = group.main().clone();
    while !group.is_over() {
        main.rest(Duration::from_millis(main.pick(20..600))).await;
        match main.random() {
            true => drop(raise(&group).await),
            false => drop(news(&group).await),
        }
    }
}

/// Tries to raise the level; whether it is now.
async fn raise(group: &Group) -> bool {
    let levels = group.levels();
    if !levels.may_raise(group.main().elapsed()) {
        return false;
    }
    levels.0.raising.store(true, Ordering::Relaxed);
    let fate = settle(group, Wish::Plain(Change::Version(Version { apply: LEVEL }))).await;
    levels.0.raising.store(false, Ordering::Relaxed);
    match fate {
        Fate::Refused => group.ledger().count(|counts| counts.refused += 1),
        Fate::Unknown => levels.0.raised.store(true, Ordering::Relaxed),
        Fate::Done(_) => {
            levels.0.raised.store(true, Ordering::Relaxed);
            if let Some(old) = group.machines().iter().find(|machine| machine.level() < LEVEL) {
                let what = "does not know the level that the cluster was raised to";
                group.ledger().violation(format!("node {} {what}", old.id()));
            }
        }
    }
    matches!(fate, Fate::Done(_))
}

/// Proposes a record of a kind that older programs do not know; whether it was done.
async fn news(group: &Group) -> bool {
    let (restore, account) = (OperationId(group.main().random()), AccountId(1));
    let (at, options) = (None, RestoreOptions::default());
    let now = RestoreNow { restore, account, source: account, at, steps: Vec::new(), options };
    let raised = group.levels().0.raised.load(Ordering::Relaxed);
    let raising = group.levels().0.raising.load(Ordering::Relaxed);
    match settle(group, Wish::Plain(Change::RestoreNow(now))).await {
        Fate::Refused => group.ledger().count(|counts| counts.refused += 1),
        Fate::Unknown => {}
        Fate::Done(outcome) if outcome.result.is_err() => {}
        Fate::Done(_) if raised || raising || group.levels().is_raised() => return true,
        Fate::Done(outcome) => {
            let what = "a record of a new kind was taken before the level was raised";
            group.ledger().violation(format!("{what}, at {}", outcome.index));
        }
    }
    false
}

/// A machine gets a newer program.
pub(super) async fn upgrade(group: &Group, machine: &Machine) {
    if machine.level() < LEVEL {
        exchange(group, machine, LEVEL).await;
    }
}

/// A machine gets the older program again, as long as that is allowed.
pub(super) async fn downgrade(group: &Group, machine: &Machine) {
    let levels = group.levels();
    if levels.is_raised() || levels.0.raising.load(Ordering::Relaxed) || machine.level() == OLD {
        return;
    }
    *levels.0.downgraded.lock() = Some(group.main().elapsed());
    exchange(group, machine, OLD).await;
}

async fn exchange(group: &Group, machine: &Machine, level: u32) {
    let main = group.main();
    machine.kill(main.random());
    machine.set_level(level);
    group.ledger().count(|counts| counts.exchanged += 1);
    main.rest(Duration::from_millis(main.pick(5..500))).await;
    machine.start();
}

/// With every node upgraded the level can be raised, new records are taken, and
/// an older program is let in no more.
pub(super) async fn finish(group: &Group) {
    for machine in group.machines() {
        upgrade(group, &machine).await;
    }
    while !(raise(group).await && news(group).await) {
        if group.ledger().broken().is_some() {
            return;
        }
        group.main().rest(Duration::from_millis(100)).await;
    }
    let machines = group.machines();
    let machine = &machines[group.main().pick(0..machines.len() as u64) as usize];
    too_old(group, machine).await;
}

async fn too_old(group: &Group, machine: &Machine) {
    exchange(group, machine, OLD).await;
    machine.set_sick(true);
    let last = machine.running().and_then(|running| running.log.last());
    group.main().rest(Duration::from_millis(1500)).await;
    let now = machine.running().and_then(|running| running.log.last());
    let came_up = machine.running().is_some_and(|running| running.node.is_leader());
    if came_up || (last.is_some() && now > last) {
        let id = machine.id();
        group.ledger().violation(format!("node {id} is too old, and takes part: {last:?} {now:?}"));
    }
    exchange(group, machine, LEVEL).await;
}
