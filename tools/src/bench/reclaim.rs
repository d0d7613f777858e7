//! Dead mail leaves the packs, and what that costs deliveries meanwhile.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::imap::Client;
use super::lmtp::{Load, Run, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Table};
use super::server::Server;
use super::{COMPARED, PASSWORD, WARM_UP, large, millis, node, quantile, user};

/// Of so many emails that follow each other one stays.
const OF: u64 = 4;
/// Ranges of UIDs in one command.
const RANGES: usize = 400;
/// How long packs must have been left alone to be done with, and to begin at all.
const QUIET: Duration = Duration::from_secs(15);
const BEGINS: Duration = Duration::from_secs(180);
/// Between two looks at the packs.
const LOOK: Duration = Duration::from_millis(200);

/// The packs that were there at first, as they go.
struct Went {
    began: Instant,
    octets: u64,
    left: u64,
    first: Option<Duration>,
    last: Duration,
}

/// Fills an INBOX, expunges three of four emails, and measures deliveries before, and while
/// what is dead goes.
pub(super) fn measure(
    data: &Path,
    mix: &Mix,
    emails: u64,
    time: Duration,
) -> anyhow::Result<Table> {
    let runtime = tokio::runtime::Handle::current();
    runtime.block_on(node::prepare(data))?;
    runtime.block_on(large::build_of(data, emails, body))?;
    let mut server = node::start(data)?;
    expunge(&server, emails)?;
    let before = load(&server, mix, time)?;
    server.stop()?;
    let old = packs(data)?;
    let environment = [("REDOUBT_LISTEN_PEER", "off"), ("REDOUBT_HISTORY_KEEP", "1s")];
    let mut server = node::start_with(data, &environment, &[])?;
    let (went, meanwhile) = std::thread::scope(|scope| {
        let loaded = scope.spawn(|| load(&server, mix, time));
        let went = watch(data, &old);
        let loaded = loaded.join().map_err(|_| anyhow::anyhow!("the load panicked"));
        anyhow::Ok((went?, loaded??))
    })?;
    server.stop()?;
    Ok(table(emails, &went, [("before", before), ("meanwhile", meanwhile)]))
}

/// Some 16 KiB that hardly compress.
fn body(number: u64) -> Vec<u8> {
    let mut text = large::tiny(number);
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for _ in 0..210 {
        for _ in 0..5 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(number | 1);
            text.push_str(&format!("{state:016x}"));
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}

fn expunge(server: &Server, emails: u64) -> anyhow::Result<()> {
    let mut client = Client::login(server.imap, &user(0), PASSWORD, false)?;
    client.command("SELECT INBOX")?;
    let ranges: Vec<String> = (1..=emails)
        .step_by(OF as usize)
        .map(|from| format!("{from}:{}", (from + OF - 2).min(emails)))
        .collect();
    for some in ranges.chunks(RANGES) {
        client.command(&format!("STORE {} +FLAGS.SILENT (\\Deleted)", some.join(",")))?;
    }
    client.command("EXPUNGE").map(drop)
}

fn load(server: &Server, mix: &Mix, time: Duration) -> anyhow::Result<Run> {
    let until = Until::Time { warm_up: WARM_UP, measured: time };
    let (address, pid) = (server.lmtp, server.pid());
    Load { address, pid, connections: COMPARED, sizes: Sizes::Mail, until, mix }.run()
}

fn packs(data: &Path) -> anyhow::Result<BTreeSet<PathBuf>> {
    let dir = data.join("shards/0/blobs");
    let files = std::fs::read_dir(&dir).with_context(|| dir.display().to_string())?;
    let paths = files.map(|file| Ok(file?.path()));
    let paths: Vec<PathBuf> = paths.collect::<std::io::Result<_>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "pack")).collect())
}

fn octets(packs: &BTreeSet<PathBuf>) -> u64 {
    packs.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|file| file.len()).sum()
}

/// Until the packs of before go no more.
fn watch(data: &Path, old: &BTreeSet<PathBuf>) -> anyhow::Result<Went> {
    let (began, all) = (Instant::now(), octets(old));
    let mut went = Went { began, octets: all, left: all, first: None, last: Duration::ZERO };
    loop {
        std::thread::sleep(LOOK);
        let (left, now) = (octets(old), went.began.elapsed());
        if left < went.left {
            (went.left, went.last) = (left, now);
            went.first.get_or_insert(now);
        }
        match went.first {
            None if now > BEGINS => bail!("nothing went from {}", data.display()),
            Some(_) if now > went.last + QUIET => return Ok(went),
            _ => {}
        }
    }
}

fn table(emails: u64, went: &Went, loads: [(&str, Run); 2]) -> Table {
    let note = format!(
        "{emails} emails of some 17 KiB that hardly compress; of {OF} that follow each other one \
         stays. `history.keep` is one second: floors, trimming, deaths and the packs written anew \
         all come at once, at most 32 MiB a second of what stays. Deliveries by {COMPARED} \
         connections, before and meanwhile."
    );
    let mut table = Table::new("reclaim", "Dead mail", note, &["what", "value", "unit"]);
    let mut row = |what: String, value: f64, digits: usize, unit: &str| {
        table.row(vec![Cell::text(what), Cell::Number(value, digits), Cell::text(unit)]);
    };
    let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
    let first = went.first.unwrap_or_default();
    let gone = went.octets.saturating_sub(went.left);
    let time = went.last.saturating_sub(first).max(LOOK);
    row("packs before".into(), mib(went.octets), 0, "MiB");
    row("packs that went".into(), mib(gone), 0, "MiB");
    row("from the start to the first pack".into(), first.as_secs_f64(), 1, "s");
    row("from the first to the last".into(), time.as_secs_f64(), 1, "s");
    row("rate".into(), mib(gone) / time.as_secs_f64(), 1, "MiB/s");
    for (when, run) in loads {
        row(format!("deliveries {when}"), run.rate(), 0, "1/s");
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let took = millis(quantile(&run.latencies, part));
            row(format!("deliveries {when}, {name}"), took, 2, "ms");
        }
    }
    table
}
