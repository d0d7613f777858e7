//! `redoubt bench`: measures the disk, this server on it, and others beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};

mod attachment;
mod backup;
mod beside;
mod capture;
mod cluster;
mod cyrus;
mod discovery;
mod disk;
mod dovecot;
mod erasure;
mod holds;
mod idle;
mod imap;
mod large;
mod lmtp;
mod mailbox;
mod mix;
mod node;
mod owner;
mod past;
mod policies;
mod process;
mod processor;
mod proofs;
mod reclaim;
mod report;
mod restores;
mod search;
mod server;
mod verb;
pub mod wires;

pub use report::{Cell, Report, Table};

use disk::Yardstick;
use lmtp::{Load, Run, Until};
use mix::{Mix, Sizes};
use server::Server;

const DOMAIN: &str = "example.org";
const PASSWORD: &str = "secret";
/// Accounts `u0@example.org` and so on.
const ACCOUNTS: usize = 80;
/// Whose INBOX gets what loads deliver: those below. Others are left for other parts.
const LOADED: usize = 64;
/// Whose INBOX is the one that IMAP works on.
const READER: usize = LOADED;
/// Time of a load that is not counted.
const WARM_UP: Duration = Duration::from_secs(1);
/// Idle sessions where each is a process: fewer say as much.
const PROCESSES: usize = 200;
/// Connections of the load that all servers get.
const COMPARED: usize = 8;

/// The address of an account that every server under measurement has.
fn user(number: usize) -> String {
    format!("u{number}@{DOMAIN}")
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Of times that rise.
fn quantile(times: &[Duration], part: f64) -> Duration {
    let at = (times.len().saturating_sub(1)) as f64 * part;
    times.get(at.round() as usize).copied().unwrap_or_default()
}

/// Parts of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// The bare loop.
    Disk,
    /// Deliveries.
    Lmtp,
    /// A mailbox's operations.
    Imap,
    /// Memory of idle sessions.
    Idle,
    /// One attachment in many mails.
    Attachment,
    /// A very large mailbox.
    Large,
    /// A very large mailbox as it was.
    Past,
    /// Dead mail that leaves the packs.
    Reclaim,
    /// Mail that goes for good.
    Erasure,
    /// Exports with their proofs, and how they are verified.
    Proofs,
    /// Restores from the history.
    Restores,
    /// Emails judged by retention policies.
    Policies,
    /// Searches with an index and without, beside Dovecot and Cyrus.
    Search,
    /// Deliveries beside indexing and without.
    Indexing,
    /// Deliveries under holds and without.
    Holds,
    /// Searches over many accounts.
    Discovery,
    /// Deliveries that are captured, and without.
    Capture,
    /// The archive, a recovery, and `doveadm backup` beside them.
    Backup,
    /// Three nodes beside one, and what happens when they fail.
    Cluster,
    /// Nodes that join a large one under load.
    Joining,
    /// Three nodes under full load for long.
    Steady,
    /// Dovecot beside it.
    Dovecot,
    /// Cyrus beside it.
    Cyrus,
}

/// What is measured and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Everything is written below a new folder here.
    pub dir: PathBuf,
    /// Measured time of each load.
    pub time: Duration,
    /// Connections of each load.
    pub connections: Vec<usize>,
    /// Emails of the mailbox that IMAP works on.
    pub emails: u64,
    /// Idle sessions.
    pub idle: usize,
    /// Emails of the large mailbox.
    pub large: u64,
    /// Leaders of a cluster that are killed.
    pub failovers: usize,
    /// Emails of the node that another joins under load.
    pub joining: u64,
    /// Deliveries a second beside it; `None` for as many as can be.
    pub joining_rate: Option<u32>,
    /// Whether each node is confined to a processor of its own.
    pub joining_apart: bool,
    /// Where those that join write, where that is not with the others.
    pub others: Option<PathBuf>,
    /// How long three nodes are under full load.
    pub steady: Duration,
    /// Emails that are searched over many accounts.
    pub discovery: u64,
    /// Mail that is searched is kept here from run to run.
    pub mail: Option<PathBuf>,
    /// Dovecot's mailbox format.
    pub dovecot_format: String,
    /// Where Cyrus' programs are.
    pub cyrus: PathBuf,
    /// What is measured.
    pub parts: Vec<Part>,
    /// Leaves the folder behind.
    pub keep: bool,
    /// Prints each table as soon as it is measured.
    pub live: bool,
}

/// What all servers' measurements have in common, and what came of them.
struct Bench {
    options: Options,
    dir: PathBuf,
    mix: Mix,
    report: Report,
    yardstick: Yardstick,
    loads: Vec<(String, usize, Run)>,
    operations: Vec<(String, Vec<mailbox::Figure>)>,
    idles: Vec<idle::Idle>,
    attachments: Vec<attachment::Stored>,
}

/// Measures everything; parts that fail are named in the report.
///
/// # Errors
/// When the folder cannot be made.
pub async fn run(options: Options) -> anyhow::Result<Report> {
    let dir = options.dir.join(format!("redoubt-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let dir = dir.canonicalize()?;
    let keep = options.keep;
    let large = options.large;
    let with_large = options.parts.contains(&Part::Large);
    let with_past = options.parts.contains(&Part::Past);
    let with_restores = options.parts.contains(&Part::Restores);
    let with_policies = options.parts.contains(&Part::Policies);
    let (emails, time) = (options.emails, options.time);
    let bench = Bench::new(options, dir.clone());
    let report = tokio::task::spawn_blocking(move || bench.all()).await;
    let report = match report {
        Ok(mut report) => {
            if with_large {
                say("a large mailbox");
                match large::measure(&dir.join("large"), large).await {
                    Ok(table) => report.add(table),
                    Err(error) => report.fail("the large mailbox", &error),
                }
            }
            if with_past {
                say("a large mailbox as it was");
                match past::measure(&dir.join("past"), large).await {
                    Ok(table) => report.add(table),
                    Err(error) => report.fail("the large mailbox as it was", &error),
                }
            }
            if with_restores {
                say("restores");
                match restores::measure(&dir.join("restores"), large).await {
                    Ok(table) => report.add(table),
                    Err(error) => report.fail("restores", &error),
                }
            }
            if with_policies {
                say("policies");
                match policies::measure(&dir.join("policies"), emails, time).await {
                    Ok(tables) => tables.into_iter().for_each(|table| report.add(table)),
                    Err(error) => report.fail("policies", &error),
                }
            }
            Ok(report)
        }
        Err(error) => Err(error.into()),
    };
    if !keep {
        std::fs::remove_dir_all(&dir).with_context(|| dir.display().to_string())?;
    }
    report
}

/// Progress, on standard error.
fn say(what: &str) {
    eprintln!("bench: {what}");
}

impl Bench {
    fn new(options: Options, dir: PathBuf) -> Self {
        let report = if options.live { Report::live() } else { Report::default() };
        Self {
            options,
            dir,
            mix: Mix::new(),
            report,
            yardstick: Yardstick::default(),
            loads: Vec::new(),
            operations: Vec::new(),
            idles: Vec::new(),
            attachments: Vec::new(),
        }
    }

    fn wants(&self, part: Part) -> bool {
        self.options.parts.contains(&part)
    }

    fn all(mut self) -> Report {
        self.machine();
        self.part(Part::Disk, "the disk", Self::disk);
        let parts = [Part::Lmtp, Part::Imap, Part::Idle, Part::Attachment];
        if parts.iter().any(|part| self.wants(*part)) {
            self.attempt("Redoubt", Self::redoubt);
            self.part(Part::Dovecot, "Dovecot", Self::dovecot);
            self.part(Part::Cyrus, "Cyrus", Self::cyrus);
        }
        self.tables();
        self.part(Part::Backup, "backup", Self::backup);
        if self.wants(Part::Cluster) {
            say("three nodes");
            self.cluster();
        }
        if self.wants(Part::Joining) {
            say("nodes join under load");
            let options = &self.options;
            let joins = cluster::Joins {
                emails: options.joining,
                rate: options.joining_rate,
                others: options.others.as_deref(),
                apart: options.joining_apart,
            };
            cluster::joining(&self.dir.join("joining"), joins, &mut self.report);
        }
        self.part(Part::Steady, "three nodes under load for long", Self::steady);
        self.part(Part::Reclaim, "dead mail", Self::reclaim);
        self.part(Part::Erasure, "erasure", Self::erasure);
        self.part(Part::Proofs, "proofs", Self::proofs);
        self.part(Part::Search, "searches", Self::search);
        self.part(Part::Indexing, "deliveries beside indexing", Self::indexing);
        self.part(Part::Capture, "deliveries that are captured", Self::capture);
        self.part(Part::Holds, "deliveries under holds", Self::holds);
        self.part(Part::Discovery, "searches over many accounts", Self::discovery);
        self.report
    }

    fn part(&mut self, part: Part, name: &str, measure: fn(&mut Self) -> anyhow::Result<()>) {
        if self.wants(part) {
            self.attempt(name, measure);
        }
    }

    fn attempt(&mut self, name: &str, measure: fn(&mut Self) -> anyhow::Result<()>) {
        say(name);
        if let Err(error) = measure(self) {
            say(&format!("{name}: {error:#}"));
            self.report.fail(name, &error);
        }
    }

    fn machine(&mut self) {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (cpus, memory) = (read("/proc/cpuinfo"), read("/proc/meminfo"));
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name"));
        let model = model.unwrap_or("unknown").trim_start_matches(['\t', ' ', ':']);
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        self.report.machine("processors", format!("{processors} of {model}"));
        let memory = memory.lines().find_map(|line| line.strip_prefix("MemTotal:"));
        let kib: u64 = memory.and_then(|m| m.trim().strip_suffix(" kB")?.parse().ok()).unwrap_or(0);
        self.report.machine("memory", crate::output::bytes(kib * 1024));
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy().into_owned();
        self.report.machine("system", format!("Linux {release}"));
        self.report.machine("file system", file_system(&self.dir));
        let load = read("/proc/loadavg");
        let load: Vec<&str> = load.split(' ').take(2).collect();
        self.report.machine("load average at the start (1 and 5 minutes)", load.join(", "));
        self.report.machine("redoubt", env!("CARGO_PKG_VERSION"));
    }

    fn disk(&mut self) -> anyhow::Result<()> {
        let (dir, time) = (self.dir.join("disk"), self.options.time / 2);
        let (table, yardstick) =
            disk::measure(&dir, &self.mix, &self.options.connections.clone(), time)?;
        self.report.add(table);
        self.yardstick = yardstick;
        Ok(())
    }

    fn redoubt(&mut self) -> anyhow::Result<()> {
        let data = self.dir.join("redoubt");
        tokio::runtime::Handle::current().block_on(node::prepare(&data))?;
        let mut server = node::start(&data)?;
        let connections = self.options.connections.clone();
        self.loads(&server, &connections, &|| stored(&data))?;
        // A fresh process: what loads leave in the heap would hide what sessions take.
        server.stop()?;
        let mut server = node::start(&data)?;
        self.clients(&server, self.options.idle)?;
        server.stop()
    }

    fn cluster(&mut self) {
        let wish = cluster::Wish {
            time: self.options.time,
            connections: self.options.connections.clone(),
            failovers: self.options.failovers,
        };
        cluster::measure(&self.dir.join("cluster"), &wish, &mut self.report);
    }

    fn backup(&mut self) -> anyhow::Result<()> {
        let (time, emails) = (self.options.time, self.options.emails);
        backup::measure(&self.dir.join("backup"), &self.mix, time, emails, &mut self.report)
    }

    fn steady(&mut self) -> anyhow::Result<()> {
        let measured = cluster::steady(&self.dir.join("steady"), self.options.steady)?;
        let wrong = measured.wrong();
        self.report.add(measured.into_table());
        wrong.into_iter().for_each(|what| self.report.wrong(what));
        Ok(())
    }

    fn erasure(&mut self) -> anyhow::Result<()> {
        let data = self.dir.join("erasure");
        self.report.add(erasure::measure(&data, self.options.emails)?);
        Ok(())
    }

    fn proofs(&mut self) -> anyhow::Result<()> {
        let (dir, emails) = (self.dir.join("proofs"), self.options.emails);
        self.report.add(proofs::measure(&dir, &self.mix, emails)?);
        Ok(())
    }

    fn reclaim(&mut self) -> anyhow::Result<()> {
        let (data, time) = (self.dir.join("reclaim"), self.options.time);
        self.report.add(reclaim::measure(&data, &self.mix, self.options.emails, time)?);
        Ok(())
    }

    /// Where mail is that is searched.
    fn searched(&self) -> PathBuf {
        self.options.mail.clone().unwrap_or_else(|| self.dir.join("search"))
    }

    fn search(&mut self) -> anyhow::Result<()> {
        let mut sizes = vec![self.options.emails, self.options.large];
        sizes.dedup();
        let cyrus = self.options.cyrus.clone();
        search::measure(&self.searched(), &sizes, &cyrus, &mut self.report);
        Ok(())
    }

    fn indexing(&mut self) -> anyhow::Result<()> {
        let dir = self.dir.join("indexing");
        self.report.add(search::cost(&dir, self.options.time)?);
        Ok(())
    }

    fn capture(&mut self) -> anyhow::Result<()> {
        let dir = self.dir.join("capture");
        self.report.add(capture::measure(&dir, &self.mix, self.options.time)?);
        Ok(())
    }

    fn holds(&mut self) -> anyhow::Result<()> {
        self.report.add(holds::measure(&self.dir.join("holds"), self.options.time)?);
        Ok(())
    }

    fn discovery(&mut self) -> anyhow::Result<()> {
        self.report.add(discovery::measure(&self.searched(), self.options.discovery)?);
        Ok(())
    }

    fn dovecot(&mut self) -> anyhow::Result<()> {
        let version =
            dovecot::version().context("dovecot-lmtpd or dovecot-imapd is not installed")?;
        let format = self.options.dovecot_format.clone();
        self.report.machine("dovecot", format!("{version}, {format}"));
        let mut server = dovecot::start(&self.dir.join("dovecot"), &format)?;
        self.loads(&server, &[COMPARED], &|| None)?;
        self.clients(&server, self.options.idle.min(PROCESSES))?;
        server.stop()
    }

    fn cyrus(&mut self) -> anyhow::Result<()> {
        let programs = self.options.cyrus.clone();
        let version = cyrus::version(&programs)
            .with_context(|| format!("Cyrus is not below {}", programs.display()))?;
        self.report.machine("cyrus", version);
        let mut server = cyrus::start(&self.dir.join("cyrus"), &programs)?;
        self.loads(&server, &[COMPARED], &|| None)?;
        self.clients(&server, self.options.idle.min(PROCESSES))?;
        server.stop()
    }

    /// What comes in, the same for every server.
    fn loads(
        &mut self,
        server: &Server,
        connections: &[usize],
        used: attachment::Used<'_>,
    ) -> anyhow::Result<()> {
        if self.wants(Part::Attachment) {
            say("  an attachment");
            self.attachments.push(attachment::measure(server, &self.mix, used)?);
        }
        if self.wants(Part::Lmtp) {
            for connections in connections {
                say(&format!("  LMTP, {connections} connections"));
                let run = self.load(server, *connections)?;
                self.loads.push((server.name.into(), *connections, run));
            }
        }
        Ok(())
    }

    /// What readers do, the same for every server.
    fn clients(&mut self, server: &Server, idle: usize) -> anyhow::Result<()> {
        if self.wants(Part::Idle) {
            say("  idle sessions");
            self.idles.push(idle::measure(server, idle)?);
        }
        if self.wants(Part::Imap) {
            say("  IMAP");
            self.operations.push((server.name.into(), self.imap(server)?));
        }
        Ok(())
    }

    fn load(&self, server: &Server, connections: usize) -> anyhow::Result<Run> {
        let until = Until::Time { warm_up: WARM_UP, measured: self.options.time };
        let load = Load {
            address: server.lmtp,
            pid: server.pid(),
            connections,
            sizes: Sizes::Mail,
            until,
            mix: &self.mix,
        };
        load.run()
    }

    /// In a mailbox that no load has touched.
    fn imap(&self, server: &Server) -> anyhow::Result<Vec<mailbox::Figure>> {
        let rate = mailbox::fill(server, &self.mix, self.options.emails)?;
        say(&format!("  filled with {rate:.0} emails a second"));
        mailbox::measure(server, self.options.emails)
    }

    fn tables(&mut self) {
        if !self.loads.is_empty() {
            self.report.add(deliveries(&self.loads, &self.yardstick));
        }
        if !self.operations.is_empty() {
            self.report.add(mailbox::table(self.options.emails, &self.operations));
        }
        if !self.idles.is_empty() {
            self.report.add(idle::table(&self.idles));
        }
        if !self.attachments.is_empty() {
            self.report.add(attachment::table(&self.attachments));
        }
    }
}

/// Which file system, as the longest mount point above the folder says.
fn file_system(dir: &Path) -> String {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let of_line = |line: &str| {
        let mut fields = line.split(' ').skip(1);
        let (place, kind) = (fields.next()?.to_owned(), fields.next()?.to_owned());
        dir.starts_with(&place).then_some((place, kind))
    };
    let best = mounts.lines().filter_map(of_line).max_by_key(|(place, _)| place.len());
    match best {
        Some((_, kind)) if kind == "tmpfs" => "tmpfs: in memory, the figures say nothing".into(),
        Some((_, kind)) => kind,
        None => "unknown".into(),
    }
}

/// What a node's packs hold, by its own count.
fn stored(data: &Path) -> Option<u64> {
    let status = verb::say(data, &["--json", "status"]).ok()?.json().ok()?;
    status.pointer("/store/blobs/stored_bytes")?.as_u64()
}

fn deliveries(loads: &[(String, usize, Run)], yardstick: &Yardstick) -> Table {
    let note = format!(
        "LMTP over loopback, each connection one thread of the client, one recipient a message, an \
         answer only after the message is durable. {} CPU ms are the server's for one message; \
         the client's share the same processors. The ratio is that of deliveries to the bare loop \
         with as many writers.",
        Sizes::MAIL
    );
    let columns = [
        "server",
        "connections",
        "deliveries/s",
        "MB/s",
        "p50 ms",
        "p99 ms",
        "CPU ms",
        "client CPU ms",
        "÷ bare loop",
    ];
    let mut table = Table::new("lmtp", "Deliveries", note, &columns);
    for (name, connections, run) in loads {
        let each = |time: Duration| Cell::Number(millis(time) / run.messages.max(1) as f64, 3);
        let at = |part| Cell::Number(millis(quantile(&run.latencies, part)), 2);
        let ratio = yardstick.rate(*connections).map(|rate| run.rate() / rate);
        table.row(vec![
            Cell::text(name),
            Cell::text(connections.to_string()),
            Cell::Number(run.rate(), 0),
            Cell::Number(run.bytes as f64 / 1e6 / run.elapsed.as_secs_f64(), 1),
            at(0.5),
            at(0.99),
            each(run.server),
            each(run.own),
            ratio.map_or(Cell::Nothing, |ratio| Cell::Number(ratio, 2)),
        ]);
    }
    table
}

/// Refuses what cannot be measured.
///
/// # Errors
/// Says which option is out of bounds.
pub fn check(options: &Options) -> anyhow::Result<()> {
    if options.connections.iter().any(|count| !(1..=1000).contains(count)) {
        bail!("--connections takes numbers from 1 to 1000");
    }
    if options.failovers == 0 {
        bail!("--failovers takes at least 1");
    }
    if options.steady.is_zero() {
        bail!("--steady takes at least 1 second");
    }
    let none = options.large == 0 || options.joining == 0 || options.time.is_zero();
    if options.emails < 100 || none {
        bail!("--emails takes at least 100, --large, --joining and --seconds at least 1");
    }
    Ok(())
}
