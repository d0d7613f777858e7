//! A whole group in one process and one thread, under virtual time, from a seed:
//! the real log, blobs, Raft and `apply` over simulated disks and a simulated
//! network, with clients that work and faults that happen. The same seed is the
//! same run.

mod behind;
mod clients;
mod faults;
mod ledger;
mod levels;
mod machine;
mod members;
mod net;
mod plan;
mod restored;
mod retained;
mod runner;
mod upkeep;
mod watched;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{LogIndex, NodeId};
use redoubt_log::raft::{LEVEL, Start};
use redoubt_log::world::sim::{self, Host};
use redoubt_store::check::check;
use redoubt_store::view::View;

pub use faults::Fault;
pub use ledger::{Counts, Ledger};
pub use machine::{Machine, Options};
pub use net::Net;
pub use plan::Plan;
pub use runner::{catches, hold, is_replay, seeds};

use crate::model::{Model, agree_above};
use machine::read_all;

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The same for the same run only.
    pub trace: u64,
    /// How much it saw.
    pub counts: Counts,
}

/// The group of a run. Clones are the same.
#[derive(Clone)]
pub struct Group(Arc<State>);

struct State {
    main: Host,
    ledger: Ledger,
    machines: Mutex<Vec<Machine>>,
    /// The last id that a node got.
    last_id: Mutex<u64>,
    /// Who votes, while nobody changes that.
    voters: Mutex<Option<BTreeSet<NodeId>>>,
    net: Option<Net>,
    plan: Plan,
    levels: levels::Levels,
    over: AtomicBool,
    seen: Mutex<BTreeSet<Fault>>,
}

/// Runs a seed.
///
/// # Errors
/// The first thing that must not be.
pub fn run(plan: &Plan, seed: u64) -> Result<Run, String> {
    let plan = plan.clone();
    let ran = sim::run(seed, |main| async move {
        let group = Group::new(&main, &plan);
        group.play(&plan).await;
        let counts = group.ledger().counts();
        group.0.ledger.broken().map_or(Ok(Run { trace: main.trace(), counts }), Err)
    });
    ran.map_err(|error| error.to_string())?
}

impl Group {
    fn new(main: &Host, plan: &Plan) -> Self {
        if let Some(rule) = plan.mutation {
            main.break_rule(rule);
        }
        let group = Self(Arc::new(State {
            main: main.clone(),
            ledger: Ledger::new(main.clone(), !plan.faults.contains(&Fault::Clock)),
            machines: Mutex::default(),
            last_id: Mutex::default(),
            voters: Mutex::default(),
            net: (plan.nodes > 1).then(|| Net::new(main)),
            plan: plan.clone(),
            levels: levels::Levels::default(),
            over: AtomicBool::new(false),
            seen: Mutex::default(),
        }));
        for number in 1..=plan.nodes {
            // The one that is founded with must be able to lead.
            group.new_machine(number > 1 && number > plan.nodes - plan.light);
        }
        group
    }

    /// One more machine, switched off, with an id that nobody had.
    pub fn new_machine(&self, light: bool) -> Machine {
        let id = {
            let mut last = self.0.last_id.lock();
            *last += 1;
            NodeId(*last)
        };
        let plan = &self.0.plan;
        let options = Options {
            start: if id.0 == 1 { Start::Found } else { Start::Join },
            packs_unsynced: plan.packs_unsynced,
            net: self.0.net.clone(),
            light,
            level: if plan.mixed { levels::first(self, id.0) } else { LEVEL },
            purging: plan.purging,
            retaining: plan.retaining,
            rate: if plan.purging { self.main().pick(20_000..2_000_000) } else { 0 },
        };
        let machine = Machine::new(id, self.main(), self.ledger(), options);
        if let Some(net) = &self.0.net {
            net.add(&machine);
        }
        self.0.machines.lock().push(machine.clone());
        machine
    }

    /// A machine is thrown away.
    pub fn scrap(&self, machine: &Machine) {
        machine.kill(false);
        self.0.machines.lock().retain(|other| other.id() != machine.id());
    }

    /// The network, if there is one.
    pub fn net(&self) -> Option<Net> {
        self.0.net.clone()
    }

    /// The fewest voters that it goes down to, and the most nodes.
    pub fn size(&self) -> (usize, usize) {
        let plan = &self.0.plan;
        (plan.fewest, plan.most)
    }

    /// What is known of the level of a mixed group.
    fn levels(&self) -> levels::Levels {
        self.0.levels.clone()
    }

    /// Who votes; `None` while that changes.
    pub fn set_voters(&self, voters: Option<BTreeSet<NodeId>>) {
        *self.0.voters.lock() = voters;
    }

    /// Whose node says that it leads, in the newest term.
    pub fn leader(&self) -> Option<Machine> {
        let leads = |machine: &Machine| {
            let status = machine.running()?.node.status();
            (status.leader == Some(machine.id())).then_some(status.term)
        };
        let machines = self.machines().into_iter();
        machines.filter_map(|m| Some((leads(&m)?, m))).max_by_key(|(term, _)| *term).map(|(_, m)| m)
    }

    /// Where everything that is no node runs.
    pub fn main(&self) -> &Host {
        &self.0.main
    }

    /// What must hold.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// All machines.
    pub fn machines(&self) -> Vec<Machine> {
        self.0.machines.lock().clone()
    }

    /// Some machine whose node is up and serves clients.
    pub fn any(&self) -> Option<Machine> {
        let mut up = self.machines();
        up.retain(|machine| machine.running().is_some() && !machine.is_light());
        let place = self.main().pick(0..up.len() as u64) as usize;
        up.get(place).cloned()
    }

    /// Whether clients should end.
    pub fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed) || self.0.ledger.broken().is_some()
    }

    /// How it is, for people.
    fn describe(&self) -> String {
        let (now, polls) = (self.main().elapsed(), self.main().polls());
        let nodes = self.machines().into_iter().map(|machine| {
            let status = machine.running().map(|running| {
                let s = running.node.status();
                let applied = s.applied.map(|applied| applied.id);
                (s.term, s.leader, s.last, s.committed, applied, s.stopped)
            });
            format!("\n    {} on {} {status:?}", machine.id(), machine.is_on())
        });
        let nodes: String = nodes.collect();
        format!("{now:?}, {polls} polls, {:?}{nodes}", self.ledger().counts())
    }

    /// Notes that a fault has happened.
    pub fn saw(&self, fault: Fault) {
        let mut seen = self.0.seen.lock();
        seen.insert(fault);
        let faults = seen.len() as u64;
        self.ledger().count(|counts| counts.faults = faults);
    }

    /// What was acknowledged must be on the disks of a quorum, whatever happens now.
    pub fn check_quorum(&self, index: LogIndex) {
        if self.main().pick(0..8) != 0 {
            return;
        }
        let Some(voters) = self.0.voters.lock().clone() else { return };
        let machines = self.machines();
        let keeps = |machine: &&Machine| voters.contains(&machine.id()) && machine.keeps(index);
        let (keep, of) = (machines.iter().filter(keeps).count(), voters.len());
        if keep <= of / 2 {
            self.ledger().violation(format!("{keep} of {of} would keep {index}, acknowledged"));
        }
    }

    async fn play(&self, plan: &Plan) {
        self.machines().iter().for_each(Machine::start);
        let watcher = self.main().spawn(watch(self.clone()));
        self.set_voters(Some(BTreeSet::from([NodeId(1)])));
        for machine in self.machines().iter().skip(1) {
            if !members::grow(self, machine).await {
                return self.ledger().violation(format!("node {} cannot join", machine.id()));
            }
        }
        for change in clients::directory() {
            clients::settle(self, clients::Wish::Plain(change)).await;
        }
        let clients: Vec<_> =
            (0..plan.clients).map(|_| self.main().spawn(clients::client(self.clone()))).collect();
        let trouble = self.main().spawn(faults::trouble(self.clone(), plan.faults));
        let press = plan.mixed.then(|| self.main().spawn(levels::press(self.clone())));
        let keepers = plan.retaining.then(|| {
            let keep = self.main().spawn(retained::keep(self.clone()));
            [keep, self.main().spawn(retained::again(self.clone()))]
        });
        self.pass(plan.time).await;
        self.0.over.store(true, Ordering::Relaxed);
        for client in clients {
            let _ = client.await;
        }
        let _ = trouble.await;
        if let Some(press) = press {
            let _ = press.await;
        }
        for keeper in keepers.into_iter().flatten() {
            let _ = keeper.await;
        }
        self.finish().await;
        watcher.abort();
    }

    /// Lets time pass, until something is wrong.
    async fn pass(&self, time: Duration) {
        let end = self.main().elapsed() + time;
        while self.main().elapsed() < end && self.ledger().broken().is_none() {
            self.main().rest(Duration::from_millis(5)).await;
        }
    }

    /// Everything is put right: the group must work again, and agree.
    async fn finish(&self) {
        self.heal();
        self.0.over.store(false, Ordering::Relaxed);
        if !self.within(Duration::from_secs(60), self.works()).await {
            return self.ledger().violation("a healed group does not work again within a minute");
        }
        if self.0.plan.mixed && !self.within(Duration::from_secs(60), levels::finish(self)).await {
            return self.ledger().violation("the level is not raised within a minute");
        }
        if !self.within(Duration::from_secs(60), self.agreement()).await {
            return self.ledger().violation("a healed group does not agree within a minute");
        }
        if !self.within(Duration::from_secs(60), self.repaired()).await {
            return self.ledger().violation("peers do not give within a minute what is missing");
        }
        self.0.over.store(true, Ordering::Relaxed);
        if self.ledger().broken().is_none() {
            self.check_end();
        }
    }

    fn heal(&self) {
        if let Some(net) = &self.0.net {
            net.mend();
        }
        for machine in self.machines() {
            machine.host().pause(false);
            machine.disk().set_total(1 << 40);
            machine.disk().heal();
            machine.host().set_sync_time(0..4);
            if machine.running().is_none_or(|running| running.node.status().stopped.is_some()) {
                machine.kill(false);
                machine.start();
            }
        }
    }

    async fn within(&self, time: Duration, work: impl Future<Output = ()>) -> bool {
        let clock = self.pass(time);
        tokio::select! {
            biased;
            () = work => true,
            () = clock => self.ledger().broken().is_some(),
        }
    }

    async fn works(&self) {
        let change = clients::directory().remove(0);
        let done = |fate| matches!(fate, clients::Fate::Done(_));
        while !done(clients::settle(self, clients::Wish::Plain(change.clone())).await) {
            self.main().rest(Duration::from_millis(50)).await;
        }
        while clients::read(self).await.is_none() {
            self.main().rest(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all have applied the same.
    async fn agreement(&self) {
        loop {
            self.scrap_strangers();
            let all = self.machines();
            let applied: BTreeSet<_> = all.iter().map(Machine::applied).collect();
            let up = all.iter().all(|machine| machine.running().is_some());
            if up && applied.len() == 1 && applied.first() >= Some(&self.ledger().floor()) {
                return;
            }
            self.main().rest(Duration::from_millis(10)).await;
        }
    }

    /// What a node took a snapshot without, since its source could not read it, it asks others
    /// for, as a store does.
    async fn repaired(&self) {
        // What may be dead is nobody's to repair here.
        for machine in self.machines().into_iter().filter(|_| !self.0.plan.retaining) {
            while self.ledger().broken().is_none() {
                let bad = machine.running().and_then(|running| running.blobs.damaged(1).pop());
                let Some(bad) = bad else { break };
                machine
                    .with(|_, running| async move { running.node.fetch_blob(bad.id).await })
                    .await;
                self.main().rest(Duration::from_millis(10)).await;
            }
        }
    }

    /// A change that was begun and not answered may have been done or not.
    fn scrap_strangers(&self) {
        let Some(running) = self.leader().and_then(|leader| leader.running()) else { return };
        let cluster = running.node.cluster();
        for machine in self.machines() {
            if self.0.net.is_some() && cluster.member(machine.id()).is_none() {
                self.scrap(&machine);
            }
        }
    }

    /// Every node has the same state, which is what the model makes of the
    /// history, and every blob that the history names.
    fn check_end(&self) {
        let mut model = Model::new();
        let mut blobs = BTreeSet::new();
        for applied in self.ledger().history() {
            if let Some(record) = &applied.record {
                model.apply(applied.id.index, applied.time, record);
                blobs.extend(record.blobs());
            }
        }
        if self.0.plan.retaining {
            retained::check_end(self);
            blobs.clear();
        }
        for machine in self.machines() {
            self.check_blobs(&machine, &blobs);
            if machine.is_light() {
                continue;
            }
            let view = View::new(Arc::new(machine.views().now())).unwrap();
            agree_above(&view, &model.now, &model.floors);
            let wrong = check(&view, &|_| Ok(()), 20).unwrap();
            if !wrong.is_empty() {
                self.ledger().violation(format!("node {}: {wrong:?}", machine.id()));
            }
        }
    }

    fn check_blobs(&self, machine: &Machine, blobs: &BTreeSet<redoubt_log::id::BlobId>) {
        let Some(running) = machine.running() else { return };
        for blob in blobs {
            if let Err(error) = machine::whole(&running.blobs, *blob) {
                self.ledger().violation(format!("node {} at the end: {error}", machine.id()));
            }
        }
    }
}

/// Says something of a run while `WATCH` is set.
fn tell(what: impl FnOnce() -> String) {
    if std::env::var_os("WATCH").is_some() {
        eprintln!("{}", what());
    }
}

/// Looks at every node, over and over.
async fn watch(group: Group) {
    loop {
        for machine in group.machines() {
            look(&group, &machine);
        }
        if group.main().elapsed().as_millis() % 500 < 7 {
            tell(|| group.describe());
        }
        group.main().rest(Duration::from_millis(7)).await;
    }
}

fn look(group: &Group, machine: &Machine) {
    let Some(running) = machine.running() else { return };
    let status = running.node.status();
    if let Some(leader) = status.leader {
        group.ledger().leads(status.term, leader);
    }
    let end = status.last.map_or(0, |last| last.index.0 + 1);
    let first = status.purged.map_or(0, |id| id.index.0 + 1).max(end.saturating_sub(3));
    for entry in read_all(&running.log, first, end).unwrap_or_default() {
        group.ledger().logged(machine.id(), &entry);
    }
}

/// Where a machine's files are, for tests that look at them.
pub fn folder() -> &'static Path {
    Path::new("/node")
}
