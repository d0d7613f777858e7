//! A node that has many emails takes load, and others join it meanwhile.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use redoubt_store::mailstore::Mailstore;

use super::super::beside::Beside;
use super::super::large::build_of;
use super::super::mix::{Mix, Random};
use super::super::processor::Confined;
use super::super::report::{Cell, Table};
use super::super::{millis, node, quantile, say};
use super::nodes::Nodes;
use super::traffic::{Answered, Traffic};
use super::{UNDER_LOAD, longest_pause, pauses};
use crate::config::KeepLog;

/// How long the load goes on before a node joins: what it is compared with.
const BEFORE: Duration = Duration::from_secs(15);
/// A pause that is told of one by one.
const LONG: Duration = Duration::from_millis(70);
/// About how many octets an email has.
const SIZE: usize = 2048;
/// The log is purged up to the older of so many checkpoints.
const CHECKPOINTS: usize = 2;
/// What of a node's folder a node that joins gets.
const GIVEN: [&str; 3] = ["shards/0/blobs", "shards/0/views", "shards/0/log"];

/// What brings a new node where the others are.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// The log was purged: its beginning is a checkpoint.
    Checkpoint,
    /// The log is whole.
    Log,
}

impl Way {
    const ALL: [Self; 2] = [Self::Checkpoint, Self::Log];

    fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "by a checkpoint",
            Self::Log => "by the whole log",
        }
    }

    /// Makes a node that was filled one that others join in this way.
    async fn prepare(self, data: &Path) -> anyhow::Result<()> {
        let Self::Checkpoint = self else { return Ok(()) };
        let mut config = node::config(data);
        config.store.keep_log = KeepLog::Checkpoint;
        let mailstore = Mailstore::open(crate::server::options(&config)).await?;
        let mut taken = Ok(());
        for _ in 0..CHECKPOINTS {
            taken = taken.and(mailstore.checkpoint().await.map(drop));
        }
        mailstore.shutdown().await;
        Ok(taken?)
    }

    /// Refuses a node that joined in another way.
    fn check(self, data: &Path) -> anyhow::Result<()> {
        let images = std::fs::read_dir(data.join("shards/0/base"));
        if images.is_ok_and(|mut images| images.next().is_some())
            != matches!(self, Self::Checkpoint)
        {
            bail!("the node did not join {}", self.name());
        }
        Ok(())
    }
}

/// How deliveries went for a while.
#[derive(Debug)]
struct Course {
    /// Rising.
    latencies: Vec<Duration>,
    pause: Duration,
    took: Duration,
}

impl Course {
    fn of(answered: &[Answered], from: Instant, to: Instant) -> Self {
        let upto: Vec<Answered> =
            answered.iter().copied().filter(|one| one.answered <= to).collect();
        let within = upto.iter().filter(|one| one.answered >= from);
        let mut latencies: Vec<Duration> = within.map(|one| one.answered - one.sent).collect();
        latencies.sort_unstable();
        // Also the one that had not ended yet.
        let last = upto.last().map_or(to - from, |last| to - last.answered.max(from));
        let pause = longest_pause(&upto, from).max(last);
        Self { latencies, pause, took: to - from }
    }

    /// How it went, beside the longest sync of the bare loop.
    fn row(&self, what: &str, sync: Duration) -> Vec<Cell> {
        let at = |part| Cell::Number(millis(quantile(&self.latencies, part)), 2);
        let rate = self.latencies.len() as f64 / self.took.as_secs_f64().max(1e-3);
        let longest = [self.pause, sync].map(|time| Cell::Number(millis(time), 0));
        [vec![Cell::text(what), Cell::Number(rate, 0), at(0.5), at(0.99)], longest.into()].concat()
    }
}

/// What a node that joined got, in which time.
fn given(took: Duration, bytes: u64) -> [Cell; 3] {
    let rate = bytes as f64 / 1e6 / took.as_secs_f64().max(1e-3);
    [
        Cell::Number(took.as_secs_f64(), 1),
        Cell::Number(bytes as f64 / 1e6, 0),
        Cell::Number(rate, 1),
    ]
}

/// What joins what.
#[derive(Debug, Clone, Copy)]
pub(in crate::bench) struct Joins<'a> {
    /// Emails that are there.
    pub(in crate::bench) emails: u64,
    /// Deliveries a second; `None` for as many as can be.
    pub(in crate::bench) rate: Option<u32>,
    /// Where those that join write, where that is not with the others.
    pub(in crate::bench) others: Option<&'a Path>,
    /// Whether each node is confined to a processor of its own; the load is beside the first.
    pub(in crate::bench) apart: bool,
}

impl Joins<'_> {
    /// Confines what is started while this is there, if it shall be.
    fn confined(self, node: usize) -> anyhow::Result<Option<Confined>> {
        self.apart.then(|| Confined::to(node)).transpose()
    }
}

/// Fills a node, then lets two others join, one after the other, while mail comes in; once for
/// each way. The table, and how many were acknowledged.
pub(super) fn measure(dir: &Path, joins: Joins<'_>) -> anyhow::Result<(Table, String)> {
    let (mut table, mut counted) = (table(joins), (0_u64, 0_u64));
    for way in Way::ALL {
        let name = format!("{way:?}").to_lowercase();
        let own = dir.join(&name);
        let apart = joins.others.map_or_else(|| own.clone(), |others| others.join(&name));
        if joins.others.is_some() {
            std::fs::create_dir(&apart).with_context(|| format!("{}", apart.display()))?;
        }
        let measured = measure_way(&own, &apart, joins, way);
        // The disk need not have room for both.
        for dir in [&own, &apart].into_iter().filter(|dir| dir.exists()) {
            std::fs::remove_dir_all(dir)?;
        }
        let (rows, (answered, again)) = measured?;
        rows.into_iter().for_each(|row| table.row(row));
        counted = (counted.0 + answered, counted.1 + again);
    }
    let (answered, again) = counted;
    let counted = format!(
        "While nodes joined {answered} messages were acknowledged, {again} tries were made again."
    );
    Ok((table, counted))
}

/// Rows of the table, and how many messages were acknowledged and tried again.
type Measured = (Vec<Vec<Cell>>, (u64, u64));

fn measure_way(dir: &Path, others: &Path, joins: Joins<'_>, way: Way) -> anyhow::Result<Measured> {
    let Joins { emails, rate, .. } = joins;
    let first = dir.join("j0");
    let others = ["j1", "j2"].map(|name| others.join(name));
    say(&format!("  a node of {emails} emails is filled; others join {}", way.name()));
    fill(&first, emails, way).context("filling it")?;
    let beside = Beside::start(&dir.join("beside"))?;
    let confined = joins.confined(0)?;
    let mut nodes = Nodes::found(&first)?;
    let traffic = Traffic::start_sharing(UNDER_LOAD, vec![Some(nodes.server(0)?.lmtp)], rate);
    drop(confined);
    let rows = others.iter().enumerate().map(|(at, data)| {
        if !has_room_for_another(&first, data) {
            say(&format!("  node {} does not join: the disk has no room for it", at + 2));
            return Ok(Vec::new());
        }
        say(&format!("  node {} joins under load", at + 2));
        let _confined = joins.confined(at + 1)?;
        let what = format!("node {} joins {}", at + 2, way.name());
        let rows = join(&mut nodes, (&traffic, &beside), data, &what)?;
        way.check(data)?;
        // It took minutes, and what follows may fail.
        rows.iter().for_each(|row| say(&format!("    {}", one_line(row))));
        Ok(Vec::from(rows))
    });
    let rows = rows.collect::<anyhow::Result<Vec<_>>>();
    let counted = traffic.end();
    beside.end()?;
    let rows: Vec<_> = rows?.into_iter().flatten().collect();
    if rows.is_empty() {
        bail!("the disk has no room for a node that joins");
    }
    Ok((rows, counted))
}

fn one_line(row: &[Cell]) -> String {
    row.iter().map(Cell::print).collect::<Vec<_>>().join(" | ")
}

fn fill(data: &Path, emails: u64, way: Way) -> anyhow::Result<()> {
    let mix = Mix::new();
    let content = |number: u64| {
        let token = format!("{number:x}.joining");
        mix.message(&mut Random::new(number + 1), &token, &format!("Report {number}"), SIZE)
    };
    let runtime = tokio::runtime::Handle::current();
    std::fs::create_dir_all(data.parent().unwrap_or(data))?;
    runtime.block_on(node::prepare(data))?;
    runtime.block_on(build_of(data, emails, content))?;
    runtime.block_on(way.prepare(data))
}

fn join(
    nodes: &mut Nodes,
    (traffic, beside): (&Traffic, &Beside),
    data: &Path,
    what: &str,
) -> anyhow::Result<[Vec<Cell>; 2]> {
    let began = Instant::now();
    std::thread::sleep(BEFORE);
    let joins = Instant::now();
    let took = nodes.join(data, 0)?;
    let joined = Instant::now();
    let answered = traffic.answered();
    let row = |what: String, from, to| {
        Course::of(&answered, from, to).row(&what, beside.longest(from, to))
    };
    let before = row(format!("before {what}"), began, joins);
    let during = row(format!("while {what}"), joins, joined);
    for (at, long) in pauses(&answered, joins).filter(|(_, long)| *long >= LONG) {
        say(&format!("    {:.1} s after the join began: {:.0} ms", at.as_secs_f64(), millis(long)));
    }
    let given = given(took, size(data));
    let nothing = [Cell::Nothing, Cell::Nothing, Cell::Nothing];
    Ok([[before, nothing.into()].concat(), [during, given.into()].concat()])
}

/// Whether another like the first would leave some of the disk free, beyond what nodes keep in
/// reserve.
fn has_room_for_another(first: &Path, other: &Path) -> bool {
    let Ok(disk) = rustix::fs::statvfs(other.parent().unwrap_or(other)) else { return true };
    let (free, whole) = (disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize);
    free > size(first) + size(first) / 4 + whole / 10
}

/// Octets on the disk of what a node that joined was given.
fn size(data: &Path) -> u64 {
    GIVEN.iter().map(|part| folder_size(&data.join(part))).sum()
}

fn folder_size(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_size(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    entries.filter_map(Result::ok).map(size).sum()
}

fn table(Joins { emails, rate, others, apart }: Joins<'_>) -> Table {
    let held = rate.map_or_else(String::new, |rate| format!(", {rate} messages a second at most"));
    let disk = if others.is_some() { ", those that join on a disk of their own" } else { "" };
    let processors =
        if apart { "confined to a processor each" } else { "sharing all its processors" };
    let note = format!(
        "A node of {emails} emails of some {SIZE} octets takes mail over {UNDER_LOAD} connections{held}, \
         of fifty messages 49 with an attachment that others have too; a second node joins it, then a third; once with a log that begins at a checkpoint, once with a log that is whole. Before: {} s. While: from the start of the new \
         node's process until it votes. The pause is the longest time between two 250s; beside it the \
         longest `fdatasync` of a bare loop on the first node's disk, which writes 4 KiB a hundred \
         times a second and nothing else: how long the disk itself stood still. MB are \
         what the new node then has on its disk in packs, views and log. The nodes, on one \
         machine, are {processors}{disk}.",
        BEFORE.as_secs()
    );
    let columns = [
        "what",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "longest pause ms",
        "bare sync's longest ms",
        "seconds to join",
        "MB",
        "MB/s",
    ];
    Table::new("join_under_load", "A node joins under load", note, &columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_course_counts_what_was_answered_in_it_and_the_pause_that_reaches_its_end() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let answered: Vec<Answered> = [(0, 10), (10, 30), (40, 50), (50, 70), (80, 300)]
            .map(|(sent, answered)| Answered { sent: at(sent), answered: at(answered) })
            .into();
        let course = Course::of(&answered, at(20), at(200));
        assert_eq!(course.latencies, [10, 20, 20].map(Duration::from_millis));
        assert_eq!(course.pause, Duration::from_millis(130));
        let quiet = Course::of(&answered, at(20), at(75));
        assert_eq!(quiet.pause, Duration::from_millis(20));
    }
}
