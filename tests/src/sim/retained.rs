//! Histories that are let go while everything goes wrong: floors rise, emails leave the
//! history, blobs die, their bytes go on each node, and the same mail comes again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::{AccountId, BlobId, EmailId, HoldId, LogIndex, MailboxId, Timestamp, Uid};
use redoubt_log::raft::{Deadness, LEVEL};
use redoubt_log::record::*;
use redoubt_log::world::sim::Host;
use redoubt_store::mailstore::StoreError;
use redoubt_store::reclaim::{Reclaimer, State};
use redoubt_store::sim::SimViews;
use redoubt_store::view::{TrimAt, View};

use super::Group;
use super::clients::{ACCOUNTS, Fate, Wish, read, settle};
use super::ledger::Ledger;
use super::machine::{Machine, Running, whole};
use crate::model::Model;

/// Messages that come over and over.
const MESSAGES: u64 = 60;

// ---------------------------------------------------------------- the leader's part

/// Raises floors, trims behind them, lets blobs die, and holds, as a leader does.
pub(super) async fn keep(group: Group) {
    let main = group.main().clone();
    let mut holds = Vec::new();
    begin(&group).await;
    while !group.is_over() {
        main.rest(Duration::from_millis(main.pick(10..200))).await;
        let Some(view) = read(&group).await else { continue };
        match main.pick(0..8) {
            0..2 => floor(&group, &view, &holds).await,
            2..5 => trim(&group, &view).await,
            5..7 => die(&group, &view).await,
            _ => hold(&group, &mut holds).await,
        }
    }
}

async fn begin(group: &Group) {
    let version = Change::Version(Version { apply: LEVEL });
    while !group.is_over() && !is_done(settle(group, Wish::Plain(version.clone())).await) {
        group.main().rest(Duration::from_millis(50)).await;
    }
    while !group.is_over() {
        let counted = read(group).await.and_then(|view| view.references_counted().unwrap());
        if counted.is_some() {
            return;
        }
        settle(group, Wish::Plain(Change::CountReferences(CountReferences {}))).await;
    }
}

fn is_done(fate: Fate) -> bool {
    matches!(fate, Fate::Done(_))
}

/// Of an account that is held more often than of others: that must be refused.
async fn floor(group: &Group, view: &View, holds: &[(HoldId, AccountId)]) {
    let (main, now) = (group.main(), view.index());
    let held = holds.last().filter(|_| main.random()).map(|(_, account)| *account);
    let account = held.unwrap_or_else(|| AccountId(main.pick(0..ACCOUNTS + 1)));
    let (floor, time) = (LogIndex(now.0.saturating_sub(main.pick(0..40))), Timestamp(0));
    let wish = HistoryFloor { account, floor, time };
    settle(group, Wish::Plain(Change::HistoryFloor(wish))).await;
}

async fn trim(group: &Group, view: &View) {
    for account in (0..=ACCOUNTS).map(AccountId) {
        let mut at = Some(TrimAt::default());
        while let Some(from) = at {
            let (rows, next) = view.trimmable(account, from, 400).unwrap();
            at = next;
            if !rows.is_empty() {
                let trim = HistoryTrim { account, rows };
                settle(group, Wish::Plain(Change::HistoryTrim(trim))).await;
            }
        }
    }
}

async fn die(group: &Group, view: &View) {
    let blobs = view.unreferenced(None, 60).unwrap();
    if !blobs.is_empty() {
        let dead = BlobsDead { blobs, decided: view.index() };
        settle(group, Wish::Plain(Change::BlobsDead(dead))).await;
    }
}

async fn hold(group: &Group, holds: &mut Vec<(HoldId, AccountId)>) {
    let main = group.main();
    if holds.len() > 1 || (!holds.is_empty() && main.pick(0..3) > 0) {
        let (hold, _) = holds.remove(0);
        settle(group, Wish::Plain(Change::HoldRelease(HoldRelease::of(hold)))).await;
        return;
    }
    let account = AccountId(main.pick(1..ACCOUNTS + 1));
    let set = Change::HoldSet(HoldSet::over(HoldScope::Account(account)));
    if let Fate::Done(Outcome { result: Ok(Done::Hold(hold)), .. }) =
        settle(group, Wish::Plain(set)).await
    {
        holds.push((hold, account));
    }
}

/// A client whose mail is the same again and again, and soon expunged: best what is dead, and
/// may be about to go.
pub(super) async fn again(group: Group) {
    let main = group.main().clone();
    let ids: Vec<BlobId> = (0..MESSAGES).map(|n| BlobId::of(&message(n))).collect();
    while !group.is_over() {
        main.rest(Duration::from_millis(main.pick(5..60))).await;
        let view = if main.random() { read(&group).await } else { None };
        let dead = |n: &u64| {
            let view = view.as_ref();
            view.is_some_and(|view| view.dead_since(&ids[*n as usize]).unwrap().is_some())
        };
        let dead: Vec<u64> = (0..MESSAGES).filter(dead).collect();
        let wish = match main.pick(0..3) {
            _ if !dead.is_empty() => {
                let n = dead[main.pick(0..dead.len() as u64) as usize];
                Wish::Deliver(message(n), vec![main.pick(1..ACCOUNTS + 1)])
            }
            0 => Wish::Plain(Change::Expunge(Expunge {
                account: AccountId(main.pick(1..ACCOUNTS + 1)),
                mailbox: MailboxId(1),
                uids: (0..40).filter_map(|_| Uid::new(main.pick(1..400) as u32)).collect(),
                only_deleted: false,
            })),
            _ => Wish::Deliver(message(main.pick(0..MESSAGES)), vec![main.pick(1..ACCOUNTS + 1)]),
        };
        settle(&group, wish).await;
    }
}

/// Some share their body with others.
fn message(n: u64) -> Vec<u8> {
    let body = (n % 7) as u8;
    let octets = (0..(n % 4 * 700 + 60) as usize).map(|at| (at as u8).wrapping_mul(body * 2 + 1));
    [b"again".to_vec(), vec![n as u8; 3], octets.collect()].concat()
}

// ---------------------------------------------------------------- each node's part

/// What a simulated node has applied.
#[derive(Debug)]
struct Here {
    views: SimViews,
    running: Running,
}

impl State for Here {
    fn view(&self) -> Result<View, StoreError> {
        View::new(Arc::new(self.views.now()))
    }

    fn applied(&self) -> Option<LogIndex> {
        self.views.applied().ok()?
    }

    fn bound(&self) -> Option<LogIndex> {
        let mut bound = self.applied()?;
        if let Some(bases) = &self.running.bases {
            let oldest = bases.list().ok()?.iter().map(|base| base.state.id.index).min();
            bound = bound.min(oldest.unwrap_or(bound));
        }
        Some(bound.min(self.running.node.snapshot_floor().unwrap_or(bound)))
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.views.flush();
        Ok(())
    }

    fn pace(&self, _: u64) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

#[derive(Debug)]
struct Dead(SimViews);

impl Deadness for Dead {
    fn since(&self, blob: &BlobId) -> Option<LogIndex> {
        View::new(Arc::new(self.0.now())).ok()?.dead_since(blob).ok()?
    }
}

/// Takes the bytes of dead blobs out of a node's packs, for as long as it runs.
pub(super) async fn reclaim(host: Host, machine: Machine, running: Running, ledger: Ledger) {
    let views = machine.views().clone();
    running.node.know_dead(Arc::new(Dead(views.clone())));
    let (blobs, log) = (running.blobs.clone(), running.log.clone());
    let state = Arc::new(Here { views, running: running.clone() });
    while running.node.status().stopped.is_none() {
        host.rest(Duration::from_millis(host.pick(20..600))).await;
        let share = if host.random() { 1 } else { 25 };
        let (blobs, log, state) = (blobs.clone(), log.clone(), state.clone());
        let round = Reclaimer { blobs, log, state, share }.round().await;
        // What fails on a bad disk is tried again, as in a node.
        let done = round.unwrap_or_default();
        ledger.count(|counts| counts.packs_removed += done.packs);
        // The power goes off right behind it.
        if done.moved > 0 && host.pick(0..4) == 0 {
            machine.blink();
        }
    }
}

// ---------------------------------------------------------------- at the end

/// What no view at a floor or above shows any more may be gone; everything else reads on every
/// node, and floors are where the model has them.
pub(super) fn check_end(group: &Group) {
    let (model, needed) = needed(group.ledger());
    for machine in group.machines() {
        let Some(running) = machine.running() else { continue };
        for blob in &needed {
            if let Err(error) = whole(&running.blobs, *blob) {
                let what = format!("node {} at the end: {blob}: {error}", machine.id());
                group.ledger().violation(what);
            }
        }
        if machine.is_light() {
            continue;
        }
        let view = View::new(Arc::new(machine.views().now())).unwrap();
        for account in (0..=ACCOUNTS).map(AccountId) {
            let floor = view.history_floor(account).unwrap().map(|row| row.floor);
            if floor != model.floors.get(&account).copied() {
                let what = format!("node {}: account {account} begins at {floor:?}", machine.id());
                group.ledger().violation(what);
            }
        }
    }
}

type Live = BTreeMap<(AccountId, EmailId), BlobId>;

/// The model at the end, and the blobs that a view may show.
fn needed(ledger: &Ledger) -> (Model, BTreeSet<BlobId>) {
    let (mut model, mut before) = (Model::new(), Live::new());
    let mut gone: Vec<(AccountId, LogIndex, BlobId)> = Vec::new();
    for applied in ledger.history() {
        let Some(record) = &applied.record else { continue };
        model.apply(applied.id.index, applied.time, record);
        let now = live(&model);
        let left = before.iter().filter(|(email, _)| !now.contains_key(email));
        gone.extend(left.map(|((account, _), blob)| (*account, applied.id.index, *blob)));
        before = now;
    }
    let shown = gone.into_iter().filter(|(account, at, _)| *at > model.floor(*account));
    let needed = shown.map(|(_, _, blob)| blob).chain(before.into_values()).collect();
    (model, needed)
}

fn live(model: &Model) -> Live {
    let accounts = model.now.accounts.iter();
    let emails = accounts.flat_map(|(id, account)| {
        account.emails.iter().map(|(email, data)| ((*id, *email), data.blob))
    });
    emails.collect()
}
