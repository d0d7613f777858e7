//! Three nodes beside one: deliveries, failovers, catching up, joining.

mod joining;
mod nodes;
mod steady;
mod traffic;

use std::path::Path;
use std::time::{Duration, Instant};

use super::lmtp::{Load, Run, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Report, Table};
use super::{COMPARED, WARM_UP, millis, node, quantile, say};
pub(super) use joining::Joins;
use nodes::Nodes;
pub(super) use steady::measure as steady;
use traffic::{Answered, Traffic};

/// Connections of the load while nodes fail.
const UNDER_LOAD: usize = COMPARED;
/// How long the load goes on before each failure.
const BEFORE: Duration = Duration::from_millis(1500);
/// How long a pause in deliveries is looked for behind a transfer.
const BEHIND: Duration = Duration::from_secs(3);

/// What is measured.
pub(super) struct Wish {
    /// Measured time of each load.
    pub(super) time: Duration,
    /// Connections of each load.
    pub(super) connections: Vec<usize>,
    /// Leaders that are killed; others fail and hand over a third as often.
    pub(super) failovers: usize,
}

/// Measures all of it; each part that fails is named in the report.
pub(super) fn measure(dir: &Path, wish: &Wish, report: &mut Report) {
    match Story::begin(dir, wish) {
        Ok(story) => story.tell(report),
        Err(error) => report.fail("the cluster", &error),
    }
}

/// Lets nodes join one that has many emails and takes load.
pub(super) fn joining(dir: &Path, joins: Joins<'_>, report: &mut Report) {
    match joining::measure(dir, joins) {
        Ok((table, counted)) => {
            report.add(table);
            report.remark(counted);
        }
        Err(error) => report.fail("a node joins under load", &error),
    }
}

struct Story<'a> {
    wish: &'a Wish,
    mix: Mix,
    nodes: Nodes,
    loads: Vec<(String, usize, Run)>,
    joins: Vec<(u64, Duration)>,
}

impl<'a> Story<'a> {
    /// One node under load, then two more that join it while nothing comes in.
    fn begin(dir: &Path, wish: &'a Wish) -> anyhow::Result<Self> {
        let [first, others @ ..] = ["n0", "n1", "n2"].map(|name| dir.join(name));
        tokio::runtime::Handle::current().block_on(node::prepare(&first))?;
        let nodes = Nodes::found(&first)?;
        let (mix, loads, joins) = (Mix::new(), Vec::new(), Vec::new());
        let mut story = Self { wish, mix, nodes, loads, joins };
        say("  one node");
        story.loads("one node", 0)?;
        let emails = story.loads.iter().map(|(_, _, run)| run.messages).sum();
        for data in &others {
            say("  a node joins");
            let took = story.nodes.join(data, 0)?;
            story.joins.push((emails, took));
        }
        Ok(story)
    }

    fn tell(mut self, report: &mut Report) {
        if let Err(error) = self.three_nodes() {
            report.fail("deliveries with three nodes", &error);
        }
        report.add(deliveries(&self.loads));
        match self.failures() {
            Ok(failures) => {
                report.add(failovers(&failures.kinds));
                report.remark(failures.counted());
            }
            Err(error) => report.fail("failovers", &error),
        }
        match self.catching_up() {
            Ok(caught_up) => report.add(moving(&self.joins, &caught_up)),
            Err(error) => report.fail("catching up", &error),
        }
    }

    fn three_nodes(&mut self) -> anyhow::Result<()> {
        let leader = self.nodes.settled()?;
        say("  three nodes, at the leader");
        self.loads("three nodes, at the leader", leader)?;
        let leader = self.nodes.settled()?;
        let follower = self.nodes.running().find(|n| *n != leader).unwrap_or(leader);
        say("  three nodes, at a follower");
        self.loads("three nodes, at a follower", follower)
    }

    fn loads(&mut self, name: &str, at: usize) -> anyhow::Result<()> {
        for connections in self.wish.connections.clone() {
            let until = Until::Time { warm_up: WARM_UP, measured: self.wish.time };
            let run = self.load(at, connections, until)?;
            self.loads.push((name.into(), connections, run));
        }
        Ok(())
    }

    fn load(&self, at: usize, connections: usize, until: Until) -> anyhow::Result<Run> {
        let server = self.nodes.server(at)?;
        let (address, pid) = (server.lmtp, server.pid());
        let (sizes, mix) = (Sizes::Mail, &self.mix);
        Load { address, pid, connections, sizes, until, mix }.run()
    }

    // ------------------------------------------------------------- failures

    fn failures(&mut self) -> anyhow::Result<Failures> {
        let traffic = Traffic::start(UNDER_LOAD, self.nodes.take_mail()?);
        let some = self.wish.failovers.div_ceil(3);
        say("  leaders are killed");
        let killed = self.rounds(self.wish.failovers, &traffic, Self::kill)?;
        say("  leaders are cut off");
        let cut = self.rounds(some, &traffic, Self::cut_off)?;
        say("  leaders hand over");
        let handed = self.rounds(some, &traffic, Self::hand_over)?;
        let (answered, again) = traffic.end();
        let kinds = vec![
            ("kill -9 of the leader", "time to the next 250", killed),
            ("leader cut off", "time to the next 250", cut),
            ("planned transfer", "longest pause between two 250s", handed),
        ];
        Ok(Failures { kinds, answered, again })
    }

    fn rounds(
        &mut self,
        rounds: usize,
        traffic: &Traffic,
        fail: fn(&mut Self, usize, &Traffic) -> anyhow::Result<Duration>,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut times = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            let leader = self.nodes.settled()?;
            std::thread::sleep(BEFORE);
            times.push(fail(self, leader, traffic)?);
        }
        times.sort_unstable();
        Ok(times)
    }

    /// From the kill to the first 250 for a message that was sent after it.
    fn kill(&mut self, leader: usize, traffic: &Traffic) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let mut dead = self.nodes.kill(leader)?;
        traffic.set_node(leader, None);
        let answered = traffic.ask(leader);
        let took = first_after(traffic, began).unwrap_or(answered) - began;
        dead.child.wait()?;
        self.nodes.start(leader)?;
        traffic.set_node(leader, Some(self.nodes.server(leader)?.lmtp));
        Ok(took)
    }

    fn cut_off(&mut self, leader: usize, traffic: &Traffic) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.nodes.wires().cut(leader);
        let answered = traffic.ask(leader);
        self.nodes.wires().heal(leader);
        Ok(first_after(traffic, began).unwrap_or(answered) - began)
    }

    fn hand_over(&mut self, leader: usize, traffic: &Traffic) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.nodes.verb(leader, &["cluster", "transfer"])?;
        std::thread::sleep(BEHIND.saturating_sub(began.elapsed()));
        Ok(longest_pause(&traffic.answered(), began))
    }

    // -------------------------------------------------------------- catch up

    /// A follower is away while messages come in. How many, and how long it then took.
    fn catching_up(&mut self) -> anyhow::Result<CaughtUp> {
        say("  a node catches up");
        let leader = self.nodes.settled()?;
        let away = self.nodes.running().find(|n| *n != leader).unwrap_or(leader);
        self.nodes.stop(away)?;
        let until = Until::Time { warm_up: Duration::ZERO, measured: self.wish.time };
        let run = self.load(leader, UNDER_LOAD, until)?;
        let began = Instant::now();
        self.nodes.start(away)?;
        self.nodes.caught_up(away)?;
        Ok(CaughtUp { messages: run.messages, bytes: run.bytes, took: began.elapsed() })
    }
}

type Kind = (&'static str, &'static str, Vec<Duration>);

struct Failures {
    kinds: Vec<Kind>,
    answered: u64,
    again: u64,
}

impl Failures {
    fn counted(&self) -> String {
        format!(
            "During the failures {} messages were acknowledged, {} tries were made again.",
            self.answered, self.again
        )
    }
}

struct CaughtUp {
    messages: u64,
    bytes: u64,
    took: Duration,
}

/// When the first message was acknowledged that was sent after `began`.
fn first_after(traffic: &Traffic, began: Instant) -> Option<Instant> {
    let all = traffic.answered();
    all.iter().find(|one| one.sent >= began).map(|one| one.answered)
}

/// The longest time without an acknowledgement that touches what comes after `began`.
fn longest_pause(answered: &[Answered], began: Instant) -> Duration {
    pauses(answered, began).map(|(_, long)| long).max().unwrap_or_default()
}

/// How long after `began` each pause between two answers began, and how long it was.
fn pauses(answered: &[Answered], began: Instant) -> impl Iterator<Item = (Duration, Duration)> {
    let first = answered.partition_point(|one| one.answered < began).saturating_sub(1);
    let tail = answered.get(first..).unwrap_or_default();
    tail.iter().zip(tail.iter().skip(1)).map(move |(one, next)| {
        (one.answered.saturating_duration_since(began), next.answered - one.answered)
    })
}

// ------------------------------------------------------------------- tables

fn deliveries(loads: &[(String, usize, Run)]) -> Table {
    let note = format!(
        "LMTP over loopback, one recipient a message. {} The three nodes share the machine's \
         processors and its one disk, so that their figures are those of a third of a machine \
         each. The ratio is to one node with as many connections, in the same run.",
        Sizes::MAIL
    );
    let columns = ["what", "connections", "deliveries/s", "p50 ms", "p99 ms", "÷ one node"];
    let mut table =
        Table::new("cluster_lmtp", "Deliveries: three nodes beside one", note, &columns);
    for (name, connections, run) in loads {
        let one = loads.iter().find(|(_, count, _)| count == connections).map(|(_, _, run)| run);
        let at = |part| Cell::Number(millis(quantile(&run.latencies, part)), 2);
        table.row(vec![
            Cell::text(name),
            Cell::count(*connections as u64),
            Cell::Number(run.rate(), 0),
            at(0.5),
            at(0.99),
            one.map_or(Cell::Nothing, |one| Cell::Number(run.rate() / one.rate(), 2)),
        ]);
    }
    table
}

fn failovers(kinds: &[Kind]) -> Table {
    let note = format!(
        "Three nodes, {UNDER_LOAD} connections delivering all the time. A message that is not \
         answered 250 is sent again at another node, as an MTA does. Killed or cut off: from then \
         to the first 250 for a message that was sent later. Handed over: the longest pause in \
         the {} s behind it.",
        BEHIND.as_secs()
    );
    let columns = ["what", "measured", "times", "p50 ms", "p99 ms", "longest ms"];
    let mut table = Table::new("failover", "Failover", note, &columns);
    for (name, measured, times) in kinds {
        let at = |part| Cell::Number(millis(quantile(times, part)), 0);
        table.row(vec![
            Cell::text(*name),
            Cell::text(*measured),
            Cell::count(times.len() as u64),
            at(0.5),
            at(0.99),
            at(1.0),
        ]);
    }
    table
}

fn moving(joins: &[(u64, Duration)], caught_up: &CaughtUp) -> Table {
    let note = "A node that joins gets everything and then votes. A follower that was stopped \
                while messages came in is started again; counted from the start of its process.";
    let columns = ["what", "messages", "seconds", "messages/s", "MB/s"];
    let mut table = Table::new("catch_up", "Joining and catching up", note, &columns);
    let rate = |count: f64, took: Duration| count / took.as_secs_f64().max(1e-3);
    for (emails, took) in joins {
        table.row(vec![
            Cell::text("a new node joins"),
            Cell::count(*emails),
            Cell::Number(took.as_secs_f64(), 2),
            Cell::Number(rate(*emails as f64, *took), 0),
            Cell::Nothing,
        ]);
    }
    let CaughtUp { messages, bytes, took } = caught_up;
    table.row(vec![
        Cell::text("a follower catches up"),
        Cell::count(*messages),
        Cell::Number(took.as_secs_f64(), 2),
        Cell::Number(rate(*messages as f64, *took), 0),
        Cell::Number(rate(*bytes as f64 / 1e6, *took), 1),
    ]);
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_the_longest_gap_from_then_on() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let times = [0, 500, 510, 700, 720];
        let answered: Vec<Answered> =
            times.iter().map(|ms| Answered { sent: zero, answered: at(*ms) }).collect();
        assert_eq!(longest_pause(&answered, at(505)), Duration::from_millis(190));
        assert_eq!(longest_pause(&answered, at(100)), Duration::from_millis(500));
        assert_eq!(longest_pause(&answered, at(715)), Duration::from_millis(20));
        assert_eq!(longest_pause(&[], zero), Duration::ZERO);
    }
}
