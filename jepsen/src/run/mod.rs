//! One run: nodes, load, faults, healing, quiet, judgement.

pub mod quiet;
pub mod watch;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use self::watch::{Reign, Sockets, Watch};
use crate::check::{self, Checked, Verdict};
use crate::fault::schedule::{Step, schedule};
use crate::fault::{Effect, Kind, PROBE};
use crate::history::{self, Dot, History};
use crate::rig::command::{done, system};
use crate::rig::node::Fall;
use crate::rig::space::Ground;
use crate::rig::{Options, Rig};
use crate::workload::{Running, Workload};

/// Load before the first fault and after the last.
const EDGE: Duration = Duration::from_secs(3);
/// Of how many nodes that ended by themselves the data is kept.
const EVIDENCE: usize = 2;
/// How often a fault that was not felt is struck again.
const AGAIN: u64 = 2;
/// How often it is looked after what goes on.
const PACE: Duration = Duration::from_millis(50);

/// What is to be done.
pub struct Plan {
    /// How many nodes.
    pub nodes: u32,
    /// How long faults are struck.
    pub time: Duration,
    /// What chance is made of.
    pub seed: u64,
    /// Which faults.
    pub kinds: Vec<Kind>,
    /// What there is to stand on.
    pub ground: Ground,
    /// The size of each node's disk.
    pub disk_bytes: u64,
    /// Within what time behind a fault the cluster must be whole again.
    pub patience: Duration,
    /// The load.
    pub workloads: Vec<Box<dyn Workload>>,
    /// Where the history and the final states are written, to be judged again.
    pub history: PathBuf,
}

/// A fault as it came to pass.
#[derive(Debug, Clone)]
pub struct Episode {
    /// Its kind.
    pub kind: Kind,
    /// When it was struck, since the start of the run.
    pub from: Duration,
    /// When it was healed.
    pub until: Duration,
    /// When all nodes were there again and agreed on a leader.
    pub whole: Option<Duration>,
    /// What exactly was done.
    pub what: String,
    /// What it did.
    pub effect: Effect,
}

/// An end of a node that nobody asked for.
#[derive(Debug, Clone)]
pub struct Ended {
    /// When it was seen.
    pub at: Duration,
    /// Which and how.
    pub fall: Fall,
    /// Whether a full disk explains it.
    pub explained: bool,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// What chance was made of.
    pub seed: u64,
    /// How many nodes.
    pub nodes: u32,
    /// What it stood on.
    pub ground: Ground,
    /// How long faults were to be struck.
    pub faults_time: Duration,
    /// How long it took from load to quiet.
    pub time: Duration,
    /// The faults.
    pub episodes: Vec<Episode>,
    /// Kinds that cannot be made here, and why.
    pub impossible: BTreeMap<Kind, &'static str>,
    /// Who led.
    pub reigns: Vec<Reign>,
    /// The rig's numbers by the ids of the cluster.
    pub ids: BTreeMap<u64, u32>,
    /// Nodes that ended by themselves.
    pub ended: Vec<Ended>,
    /// What clients did.
    pub dots: Vec<Dot>,
    /// What the checkers say.
    pub checked: Vec<Checked>,
    /// The logs of all nodes that ever were.
    pub logs: BTreeMap<u32, String>,
}

/// Everything that goes on.
struct Stage {
    rig: Rig,
    origin: Instant,
    sockets: Sockets,
    running: Vec<Box<dyn Running>>,
    episodes: Vec<Episode>,
    ended: Vec<Ended>,
    wrong: Vec<String>,
    ids: BTreeMap<u64, u32>,
    out: PathBuf,
    patience: Duration,
}

/// Runs the plan.
///
/// # Errors
/// When the rig cannot be set up. What goes wrong later is in the outcome.
pub fn run(plan: &Plan) -> io::Result<Outcome> {
    let options = Options { ground: plan.ground, seed: plan.seed, disk_bytes: plan.disk_bytes };
    let mut rig = Rig::new(options)?;
    rig.found(plan.nodes)?;
    let accounts = accounts(plan);
    accounts.iter().try_for_each(|account| rig.account(1, account))?;
    rig.account(1, PROBE)?;
    let (kinds, impossible) = possible(plan, &rig);
    let out = plan.history.parent().map(PathBuf::from).unwrap_or_default();
    let mut stage = Stage::new(rig, out, plan.patience);
    let watch = Watch::start(&stage.sockets, stage.origin);
    stage.start(plan);
    stage.wait(EDGE);
    for step in schedule(&kinds, plan.time, plan.seed) {
        stage.episode(&step);
    }
    stage.again(&kinds, plan.seed);
    let history = stage.end();
    let time = stage.origin.elapsed();
    let reigns = watch.stop();
    let checked = stage.judge(plan, &kinds, &accounts, &history);
    let logs = stage.logs();
    let dots = history.dots();
    let (seed, nodes, ground) = (plan.seed, plan.nodes, plan.ground);
    let faults_time = plan.time;
    let Stage { episodes, ended, ids, .. } = stage;
    Ok(Outcome {
        seed,
        nodes,
        ground,
        faults_time,
        time,
        episodes,
        impossible,
        reigns,
        ids,
        ended,
        dots,
        checked,
        logs,
    })
}

fn accounts(plan: &Plan) -> Vec<String> {
    let all = plan.workloads.iter().flat_map(|workload| workload.accounts());
    all.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

fn possible(plan: &Plan, rig: &Rig) -> (Vec<Kind>, BTreeMap<Kind, &'static str>) {
    let (mut kinds, mut impossible) = (Vec::new(), BTreeMap::new());
    for kind in &plan.kinds {
        match kind.possible(rig) {
            Ok(()) => kinds.push(*kind),
            Err(why) => drop(impossible.insert(*kind, why)),
        }
    }
    (kinds, impossible)
}

impl Stage {
    fn new(rig: Rig, out: PathBuf, patience: Duration) -> Self {
        let mut stage = Self {
            rig,
            origin: Instant::now(),
            sockets: Sockets::default(),
            running: Vec::new(),
            episodes: Vec::new(),
            ended: Vec::new(),
            wrong: Vec::new(),
            ids: BTreeMap::new(),
            out,
            patience,
        };
        stage.publish();
        stage
    }

    fn publish(&mut self) {
        *self.sockets.lock().unwrap() = self.rig.all().map(|node| node.admin()).collect();
        let known = self.rig.all().filter_map(|node| Some((node.id?, node.number())));
        self.ids.extend(known);
    }

    fn start(&mut self, plan: &Plan) {
        let targets = self.rig.targets();
        for (n, workload) in plan.workloads.iter().enumerate() {
            let seed = plan.seed ^ ((n as u64 + 1) << 56);
            self.running.push(workload.start(&targets, self.origin, seed));
        }
    }

    /// Looks after the nodes for so long.
    fn wait(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend();
            std::thread::park_timeout(PACE);
        }
    }

    /// Starts again, as a supervisor does, what ended by itself.
    fn tend(&mut self) {
        let explained = self.rig.all().any(|node| node.disk.is_filled());
        for fall in self.rig.fallen() {
            let node = fall.node;
            println!("{:7.1} s  node {node} ended by itself", self.origin.elapsed().as_secs_f64());
            if !explained {
                self.keep_evidence(node);
            }
            self.ended.push(Ended { at: self.origin.elapsed(), fall, explained });
            if let Err(error) = self.rig.start(node) {
                self.wrong.push(format!("node {node} cannot be started: {error}"));
            }
        }
    }

    /// What a node left on its disk, before it goes on: of the first few.
    fn keep_evidence(&self, node: u32) {
        let unexplained = self.ended.iter().filter(|ended| !ended.explained).count();
        let folder = self.out.join(format!("fallen{unexplained}-node{node}"));
        if unexplained >= EVIDENCE || std::fs::create_dir_all(&self.out).is_err() {
            return;
        }
        let _ = std::fs::remove_dir_all(&folder);
        let (from, to) = (self.rig.node(node).data(), folder.display().to_string());
        let from = from.display().to_string();
        if let Err(error) = done(system("cp", &["-a", "--sparse=always", &from, &to])) {
            println!("what node {node} left cannot be kept: {error}");
        }
    }

    /// One fault: calm, strike, keep, heal, and wait until all is whole.
    fn episode(&mut self, step: &Step) {
        self.wait(step.calm);
        let mut chance = StdRng::seed_from_u64(step.seed);
        let mut fault = step.kind.fault();
        let from = self.origin.elapsed();
        let struck = fault.strike(&mut self.rig, &mut chance);
        let what = struck.unwrap_or_else(|error| format!("it could not be struck: {error}"));
        println!("{:7.1} s  {}: {what}", from.as_secs_f64(), step.kind);
        let until = Instant::now() + step.lasts;
        while Instant::now() < until {
            // What cannot be kept up shows in what was measured.
            let _ = fault.keep(&mut self.rig, &mut chance);
            self.tend();
            std::thread::park_timeout(PACE);
        }
        let healed = fault.heal(&mut self.rig);
        let effect = healed.unwrap_or_else(|error| Effect::NotFelt(format!("healing: {error}")));
        let until = self.origin.elapsed();
        self.mend();
        let whole = self.whole();
        println!("{:7.1} s  {}", until.as_secs_f64(), effect.measured());
        if whole.is_none() {
            let (kind, patience) = (step.kind, self.patience);
            self.wrong.push(format!("not whole {patience:?} after {kind} at {from:?}: {what}"));
        }
        self.episodes.push(Episode { kind: step.kind, from, until, whole, what, effect });
    }

    /// Once more what was struck and not felt: a short run has each kind only once.
    fn again(&mut self, kinds: &[Kind], seed: u64) {
        for round in 1..=AGAIN {
            let missing: Vec<Kind> =
                kinds.iter().copied().filter(|kind| !self.felt(*kind)).collect();
            for step in schedule(&missing, Duration::from_secs(1), seed ^ round) {
                let (calm, lasts) = (Duration::from_secs(2), Duration::from_secs(6));
                self.episode(&Step { calm, lasts, ..step });
            }
        }
    }

    fn felt(&self, kind: Kind) -> bool {
        self.episodes.iter().any(|episode| episode.kind == kind && episode.effect.felt())
    }

    /// No fault outlives its episode, even one that could not be healed as it was meant to be.
    fn mend(&mut self) {
        if let Err(error) = self.rig.heal() {
            self.wrong.push(format!("the rig cannot be mended: {error}"));
        }
        self.publish();
    }

    /// Waits until all nodes are there and agree on a leader; when that was.
    fn whole(&mut self) -> Option<Duration> {
        let deadline = Instant::now() + self.patience;
        while Instant::now() < deadline {
            self.tend();
            if self.rig.is_settled() {
                return Some(self.origin.elapsed());
            }
            std::thread::park_timeout(PACE);
        }
        None
    }

    /// Heals all, lets the load find that all is well, and ends it.
    fn end(&mut self) -> History {
        self.mend();
        if self.whole().is_none() {
            self.wrong.push("the cluster is not whole at the end".into());
        }
        self.wait(EDGE);
        let mut history = History::default();
        for running in std::mem::take(&mut self.running) {
            history.merge(running.stop());
        }
        history
    }

    fn judge(
        &mut self,
        plan: &Plan,
        kinds: &[Kind],
        accounts: &[String],
        history: &History,
    ) -> Vec<Checked> {
        let mut checked = vec![self.nodes_stay(), self.recovers(), self.coverage(kinds)];
        checked.push(quiet::level(&self.rig));
        checked.extend(quiet::checks(&self.rig));
        let mut finals = Vec::new();
        let mut unread = Vec::new();
        for target in self.rig.targets().all() {
            let deadline = Instant::now() + self.patience;
            match check::read(&target, accounts, deadline) {
                Ok(state) => finals.push((target.node, state)),
                Err(why) => unread.push(format!("node {}: {why}", target.node)),
            }
        }
        let counts = [("nodes".into(), finals.len() as u64)].into();
        let verdict = if unread.is_empty() { Verdict::Valid } else { Verdict::Unknown(unread) };
        checked.push(Checked { name: "every node can be read in the end", verdict, counts });
        if let Err(error) = history::save(&plan.history, history, &finals) {
            self.wrong.push(format!("the history cannot be written: {error}"));
        }
        checked.extend(check::judge(history, &finals));
        checked
    }

    /// No node ends by itself but for a full disk, and none panics.
    fn nodes_stay(&self) -> Checked {
        let unasked = self.ended.iter().filter(|ended| !ended.explained);
        let mut wrong: Vec<String> = unasked
            .map(|ended| {
                let Fall { node, status, said } = &ended.fall;
                format!("node {node} ended by itself at {:?}: {status}\n{said}", ended.at)
            })
            .collect();
        wrong.extend(self.panics());
        let verdict = if wrong.is_empty() { Verdict::Valid } else { Verdict::Invalid(wrong) };
        let counts = [("ends".into(), self.ended.len() as u64)].into();
        Checked { name: "no node panics, or ends by itself but for a full disk", verdict, counts }
    }

    fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (node, log) in self.logs() {
            let lines = log.lines().filter(|line| line.contains("panicked at"));
            found.extend(lines.map(|line| format!("node {node}: {line}")));
        }
        found
    }

    fn recovers(&self) -> Checked {
        let wrong = self.wrong.clone();
        let verdict = if wrong.is_empty() { Verdict::Valid } else { Verdict::Invalid(wrong) };
        let counts = [("faults".into(), self.episodes.len() as u64)].into();
        Checked { name: "the cluster is whole again after each fault", verdict, counts }
    }

    /// Each kind that is possible was felt at least once.
    fn coverage(&self, kinds: &[Kind]) -> Checked {
        let missing = kinds.iter().filter(|kind| !self.felt(**kind));
        let missing: Vec<String> =
            missing.map(|kind| format!("{kind} was never felt: {}", self.tried(*kind))).collect();
        let counts = [("kinds".into(), kinds.len() as u64)].into();
        let verdict = if missing.is_empty() { Verdict::Valid } else { Verdict::Unknown(missing) };
        Checked { name: "each fault was felt", verdict, counts }
    }

    fn tried(&self, kind: Kind) -> String {
        let tries = self.episodes.iter().filter(|episode| episode.kind == kind);
        let told = tries.map(|episode| format!("{}: {}", episode.what, episode.effect.measured()));
        told.collect::<Vec<_>>().join("; ")
    }

    fn logs(&self) -> BTreeMap<u32, String> {
        let files = std::fs::read_dir(self.rig.home()).into_iter().flatten().flatten();
        let mut logs = BTreeMap::new();
        for path in files.map(|file| file.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let number = name.strip_prefix("node").and_then(|rest| rest.strip_suffix(".log"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                let log = std::fs::read(&path).unwrap_or_default();
                logs.insert(number, String::from_utf8_lossy(&log).into_owned());
            }
        }
        logs
    }
}

impl Outcome {
    /// Valid if all is; invalid if anything is; unknown otherwise.
    pub fn verdict(&self) -> Verdict {
        check::together(&self.checked)
    }
}
