//! Three nodes under full load for long: does anybody stand for election without a cause?

use std::path::Path;
use std::time::{Duration, Instant};

use super::super::report::{Cell, Table};
use super::super::{millis, node, say};
use super::UNDER_LOAD;
use super::nodes::Nodes;
use super::traffic::{Tally, Traffic};

/// A line is said so often.
const LINE: Duration = Duration::from_secs(60);
/// Load that is not counted: nodes that have just joined hand over and open their files.
const BEFORE: Duration = Duration::from_secs(5);
/// It ends early where the disk has less: what else is on it should not suffer.
const DISK: f64 = (16_u64 << 30) as f64;

/// What a node has counted of leadership since it was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    term: u64,
    leaders: u64,
}

/// How it went.
#[derive(Debug)]
pub(in super::super) struct Steady {
    took: Duration,
    wanted: Duration,
    tally: Tally,
    /// By node, since it began.
    changes: Vec<Seen>,
}

/// Lets three nodes take mail for so long, a line a minute on standard error.
pub(in super::super) fn measure(dir: &Path, wanted: Duration) -> anyhow::Result<Steady> {
    let [first, others @ ..] = ["s0", "s1", "s2"].map(|name| dir.join(name));
    tokio::runtime::Handle::current().block_on(node::prepare(&first))?;
    let mut nodes = Nodes::found(&first)?;
    for data in &others {
        nodes.join(data, 0)?;
    }
    nodes.settled()?;
    let traffic = Traffic::start_long(UNDER_LOAD, nodes.take_mail()?);
    std::thread::sleep(BEFORE);
    let steady = watch(&nodes, &traffic, wanted);
    traffic.end();
    steady
}

fn watch(nodes: &Nodes, traffic: &Traffic, wanted: Duration) -> anyhow::Result<Steady> {
    let (began, mut tally) = (Instant::now(), Tally::default());
    traffic.tally();
    let before = seen(nodes)?;
    loop {
        let left = wanted.saturating_sub(began.elapsed());
        if left.is_zero() || room(nodes)? < DISK {
            tally += traffic.tally();
            let (took, changes) = (began.elapsed(), since(&seen(nodes)?, &before));
            return Ok(Steady { took, wanted, tally, changes });
        }
        let line = Instant::now();
        std::thread::sleep(left.min(LINE));
        let lately = traffic.tally();
        tally += lately;
        tell(began.elapsed(), line.elapsed(), &lately, &since(&seen(nodes)?, &before));
    }
}

fn seen(nodes: &Nodes) -> anyhow::Result<Vec<Seen>> {
    nodes.running().map(|number| seen_by(nodes, number)).collect()
}

fn seen_by(nodes: &Nodes, number: usize) -> anyhow::Result<Seen> {
    let counted = nodes.counted(number)?;
    let whole = |name: &str| counted.get(name).map(|value| value as u64);
    Ok(Seen { term: whole("redoubt_term")?, leaders: whole("redoubt_cluster_elections_total")? })
}

/// Octets free on the disk.
fn room(nodes: &Nodes) -> anyhow::Result<f64> {
    nodes.counted(0)?.get("redoubt_disk_free_bytes")
}

fn tell(at: Duration, line: Duration, lately: &Tally, changes: &[Seen]) {
    let rate = lately.answered as f64 / line.as_secs_f64().max(1e-3);
    let changes: Vec<String> =
        changes.iter().map(|seen| format!("{}/{}", seen.term, seen.leaders)).collect();
    say(&format!(
        "  {:>5.0} s: {rate:.0} a second, {} tries again, longest pause {:.0} ms, changes of \
         term/leader by node {}",
        at.as_secs_f64(),
        lately.again,
        millis(lately.pause),
        changes.join(" "),
    ));
}

impl Seen {
    fn since(self, before: Self) -> Self {
        Self { term: self.term - before.term, leaders: self.leaders - before.leaders }
    }
}

fn since(after: &[Seen], before: &[Seen]) -> Vec<Seen> {
    after.iter().zip(before).map(|(after, before)| after.since(*before)).collect()
}

impl Steady {
    /// What was not as it must be: elections, or an end before the time.
    pub(in super::super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        if self.changes.iter().any(|seen| seen.term + seen.leaders > 0) {
            wrong.push("Under full load terms or leaders changed without a cause.".into());
        }
        if self.took < self.wanted {
            let (took, wanted) = (self.took.as_secs(), self.wanted.as_secs());
            wrong.push(format!("The disk was full after {took} of {wanted} s of full load."));
        }
        wrong
    }

    pub(in super::super) fn into_table(self) -> Table {
        let note = format!(
            "Three nodes, {UNDER_LOAD} connections spread over them that deliver all the time. Of \
             fifty messages one is of the mix above; the others have little text and one of 64 \
             attachments of 27 KiB, which are stored once: so an hour of it fits on a disk. The \
             pause is the longest time between two 250s. The nodes share this machine's \
             processors and its disk."
        );
        let mut table = Table::new("steady", "Under full load for long", note, &["what", "value"]);
        let mut row = |what: String, value| table.row(vec![Cell::Text(what), value]);
        let seconds = self.took.as_secs_f64();
        row("seconds".into(), Cell::Number(seconds, 0));
        row("messages acknowledged".into(), Cell::count(self.tally.answered));
        row("deliveries/s".into(), Cell::Number(self.tally.answered as f64 / seconds.max(1e-3), 0));
        row("tries made again".into(), Cell::count(self.tally.again));
        row("longest pause ms".into(), Cell::Number(millis(self.tally.pause), 0));
        for (at, seen) in self.changes.iter().enumerate() {
            row(format!("changes of term, node {}", at + 1), Cell::count(seen.term));
            row(format!("changes of leader, node {}", at + 1), Cell::count(seen.leaders));
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_or_a_full_disk_is_wrong() {
        let seen = |term, leaders| Seen { term, leaders };
        let hour = Duration::from_secs(3600);
        let steady = |took, changes: &[Seen]| Steady {
            took,
            wanted: hour,
            tally: Tally::default(),
            changes: changes.to_vec(),
        };
        let changed = since(&[seen(3, 5), seen(4, 6)], &[seen(3, 4), seen(3, 6)]);
        assert_eq!(changed, [seen(0, 1), seen(1, 0)]);
        assert!(steady(hour, &[seen(0, 0); 3]).wrong().is_empty());
        assert_eq!(steady(hour, &changed[..1]).wrong().len(), 1);
        assert_eq!(steady(hour, &changed[1..]).wrong().len(), 1);
        assert_eq!(steady(hour / 2, &[seen(0, 0); 3]).wrong().len(), 1);
    }
}
