//! SEARCH by an index and without one, and that of others beside it, on the same mail.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::report::{Cell, Report, Table};
use super::server::Server;
use super::{large, millis, node, process, say};

mod cost;
pub(super) mod mail;
mod others;
mod times;

pub(in crate::bench) use cost::measure as cost;
use times::Rows;

/// How long it may take to index everything, and without any email being indexed meanwhile.
const PATIENCE: Duration = Duration::from_secs(1800);
const STILL: Duration = Duration::from_secs(120);
/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(100);
/// Emails up to which Redoubt is measured without its index too.
const SCANNED: u64 = 20_000;
/// Emails up to which others are measured too.
const COMPARED: u64 = 200_000;

/// Measures mailboxes of these sizes, below a folder in which mail may be from an earlier run.
pub(super) fn measure(dir: &Path, sizes: &[u64], cyrus: &Path, report: &mut Report) {
    for emails in sizes {
        let dir = dir.join(emails.to_string());
        if let Err(error) = of_size(&dir, *emails, cyrus, report) {
            report.fail(&format!("searches of {emails} emails"), &error);
        }
    }
}

fn of_size(dir: &Path, emails: u64, cyrus: &Path, report: &mut Report) -> anyhow::Result<()> {
    fs::create_dir_all(dir)?;
    let mut rows = Rows::default();
    let mut built = built_table(emails);
    let measured = redoubt(&dir.join("redoubt"), emails, &mut rows, &mut built);
    if measured.is_ok() && emails <= COMPARED {
        for (name, failed) in others::measure(dir, emails, cyrus, &mut rows, &mut built) {
            report.fail(&format!("{name}, {emails} emails"), &failed);
        }
    }
    rows.differing().into_iter().for_each(|what| report.wrong(what));
    report.add(built);
    report.add(rows.table(emails));
    measured
}

fn redoubt(data: &Path, emails: u64, rows: &mut Rows, table: &mut Table) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Handle::current();
    once(data, "filled", || {
        say(&format!("  Redoubt is filled with {emails} emails"));
        runtime.block_on(node::prepare(data))?;
        runtime.block_on(large::build_of(data, emails, mail::email)).map(drop)
    })?;
    let index = data.join("shards/0/index");
    if index.exists() {
        fs::remove_dir_all(&index)?;
    }
    say("  Redoubt indexes");
    let (mut server, built) = indexed(data, emails)?;
    built.row(emails, table);
    let searched = rows.measure("Redoubt", &server, "");
    let searched = searched.and_then(|()| rows.measure_others("Redoubt", &server, true));
    server.stop()?;
    searched?;
    if emails <= SCANNED {
        let off = [("REDOUBT_SEARCH_INDEX", "false"), ("REDOUBT_LISTEN_PEER", "off")];
        let mut server = node::start_with(data, &off, &[])?;
        let searched = rows.measure("Redoubt without index", &server, "");
        server.stop()?;
        searched?;
    }
    Ok(())
}

/// Does what takes long where no earlier run did it. How many seconds it took, then or now.
pub(super) fn once(
    dir: &Path,
    what: &str,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let file = dir.join(format!("bench-{what}"));
    if let Ok(text) = fs::read_to_string(&file) {
        return Ok(text.trim().parse()?);
    }
    let began = Instant::now();
    work()?;
    let took = began.elapsed().as_secs_f64();
    fs::write(file, took.to_string())?;
    Ok(took)
}

/// What indexing took.
pub(super) struct Built {
    took: Duration,
    cpu: Duration,
    text: u64,
    disk: u64,
    memory: u64,
}

/// Starts a server and waits until everything is indexed.
pub(super) fn indexed(data: &Path, emails: u64) -> anyhow::Result<(Server, Built)> {
    // Of an earlier run that was broken off.
    let index = data.join("shards/0/index");
    if index.exists() {
        fs::remove_dir_all(&index)?;
    }
    let began = Instant::now();
    let server = node::start(data)?;
    let before = process::cpu(server.pid());
    let (mut memory, mut last) = (0, (0, began));
    loop {
        let status = status(data)?;
        let number = |name: &str| status.get(name).and_then(Value::as_u64);
        memory = memory.max(process::own_memory(server.pid()));
        let done = number("emails").unwrap_or_default();
        if done >= emails && number("accounts_behind") == Some(0) {
            let took = began.elapsed();
            let cpu = process::cpu(server.pid()).saturating_sub(before);
            let text = number("text_bytes").unwrap_or_default();
            let disk = octets(&index);
            return Ok((server, Built { took, cpu, text, disk, memory }));
        }
        if done > last.0 {
            last = (done, Instant::now());
        }
        if began.elapsed() > PATIENCE || last.1.elapsed() > STILL {
            bail!(
                "{done} of {emails} emails are indexed after {} s, none of them in the last {} s",
                began.elapsed().as_secs(),
                last.1.elapsed().as_secs()
            );
        }
        std::thread::sleep(LOOK);
    }
}

fn status(data: &Path) -> anyhow::Result<Value> {
    let client = crate::admin::client::Client::new(node::config(data).admin_socket());
    let status: Value = tokio::runtime::Handle::current().block_on(client.get("/v1/status"))?;
    status.get("index").cloned().context("the server keeps no index")
}

fn octets(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => octets(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn built_table(emails: u64) -> Table {
    let note = "Redoubt: from the start of a server whose index was not there until everything was \
                indexed, nothing else being done; text is what is decoded of headers and bodies, \
                memory the most that the process had of its own, without what is mapped from \
                files. Dovecot: `doveadm index` with fts-xapian (partial=3 full=20). Cyrus: \
                `squatter` with Xapian. Their share is that of Redoubt's text.";
    let columns = [
        "what",
        "seconds",
        "emails/s",
        "text MB/s",
        "CPU ms an email",
        "MB",
        "÷ text",
        "MiB of memory",
    ];
    Table::new("indexing", format!("Indexing {emails} emails"), note, &columns)
}

impl Built {
    fn row(&self, emails: u64, table: &mut Table) {
        let (seconds, text) = (self.took.as_secs_f64(), self.text as f64);
        let cells = vec![
            Cell::text("Redoubt"),
            Cell::Number(seconds, 1),
            Cell::Number(emails as f64 / seconds, 0),
            Cell::Number(text / 1e6 / seconds, 1),
            Cell::Number(millis(self.cpu) / emails as f64, 2),
            Cell::Number(self.disk as f64 / 1e6, 1),
            Cell::Number(self.disk as f64 / text, 2),
            Cell::Number(self.memory as f64 / 1_048_576.0, 0),
        ];
        told(table, cells);
    }
}

/// Adds a row, and prints it at once: what follows may take long, or fail.
fn told(table: &mut Table, cells: Vec<Cell>) {
    let line: Vec<String> = cells.iter().map(Cell::print).collect();
    say(&format!("    {}", line.join(" | ")));
    table.row(cells);
}
