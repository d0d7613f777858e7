//! The archive beside deliveries, a recovery, and `doveadm backup` of the same mail beside it.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::lmtp::{Load, Run, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Report, Table};
use super::server::Server;
use super::{COMPARED, READER, WARM_UP, dovecot, millis, node, process, quantile, say, user, verb};

/// Rounds of each of the two loads, in turns.
const ROUNDS: usize = 3;
/// Between two looks at the lag.
const LOOK: Duration = Duration::from_millis(20);
/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(600);

/// Measures all of it; each part that fails is named in the report.
pub(super) fn measure(
    dir: &Path,
    mix: &Mix,
    time: Duration,
    emails: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    std::fs::create_dir_all(dir)?;
    let key = dir.join("key");
    verb::say(dir, &["backup", "keys", "init", text(&key)?])?;
    say("  deliveries with the archive and without");
    report.add(cost(dir, mix, time)?);
    say("  a backup and its recovery");
    let mut table = moved();
    let raw = redoubt(dir, mix, emails, &mut table)?;
    match beside(dir, mix, emails, raw, &mut table) {
        Ok(()) => {}
        Err(error) => report.fail("doveadm backup", &error),
    }
    report.add(table);
    Ok(())
}

// ------------------------------------------------------------------------ cost

fn start(dir: &Path, name: &str, archives: bool) -> anyhow::Result<Server> {
    let data = dir.join(name);
    let (repository, key) = (dir.join(format!("{name}-repository")), dir.join("key"));
    let environment = [
        ("REDOUBT_LISTEN_PEER", "off"),
        ("REDOUBT_BACKUP_REPOSITORY", text(&repository)?),
        ("REDOUBT_BACKUP_KEY_FILE", text(&key)?),
    ];
    node::start_with(&data, if archives { &environment } else { &environment[..1] }, &[])
}

fn cost(dir: &Path, mix: &Mix, time: Duration) -> anyhow::Result<Table> {
    let loads = [("without", false), ("with", true)];
    let runtime = tokio::runtime::Handle::current();
    for (name, _) in loads {
        runtime.block_on(node::prepare(&dir.join(name)))?;
    }
    let (mut runs, mut lags) = ([Vec::new(), Vec::new()], Vec::new());
    for _ in 0..ROUNDS {
        for ((name, archives), runs) in loads.into_iter().zip(&mut runs) {
            let mut server = start(dir, name, archives)?;
            let data = dir.join(name);
            let (run, mut lag) = loaded(&server, &data, mix, time, archives)?;
            runs.push(run);
            lags.append(&mut lag);
            server.stop()?;
        }
    }
    lags.sort_unstable();
    Ok(cost_table(&runs, &lags))
}

/// A load, and how far the archive was behind meanwhile.
fn loaded(
    server: &Server,
    data: &Path,
    mix: &Mix,
    time: Duration,
    archives: bool,
) -> anyhow::Result<(Run, Vec<Duration>)> {
    let until = Until::Time { warm_up: WARM_UP, measured: time };
    let (address, pid, connections) = (server.lmtp, server.pid(), COMPARED);
    let load = Load { address, pid, connections, sizes: Sizes::Mail, until, mix };
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| if archives { watch(data, &ended) } else { Vec::new() });
        let run = load.run();
        ended.store(true, Ordering::Relaxed);
        let lags = looks.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        Ok((run?, lags))
    })
}

fn watch(data: &Path, ended: &AtomicBool) -> Vec<Duration> {
    let mut lags = Vec::new();
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return lags;
    };
    let client = crate::admin::client::Client::new(node::config(data).admin_socket());
    let name = "redoubt_archive_lag_seconds ";
    while !ended.load(Ordering::Relaxed) {
        let text = runtime.block_on(client.text("/metrics")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let lag = line.and_then(|value| value.trim().parse::<f64>().ok());
        lags.extend(lag.map(|seconds| Duration::from_secs_f64(seconds.max(0.0))));
        std::thread::sleep(LOOK);
    }
    lags
}

fn cost_table(runs: &[Vec<Run>; 2], lags: &[Duration]) -> Table {
    let note = format!(
        "LMTP over loopback, {COMPARED} connections. {} Two servers, one of which archives into a \
         repository on the same disk, encrypted; {ROUNDS} rounds of each in turns, the median \
         round. The lag is how old the oldest record is that is not in the repository, looked at \
         every {} ms.",
        Sizes::MAIL,
        LOOK.as_millis()
    );
    let columns =
        ["what", "deliveries/s", "p50 ms", "p99 ms", "÷ without", "lag p50 ms", "lag p99 ms"];
    let mut table = Table::new("archive", "Deliveries with the archive", note, &columns);
    let [without, with] = runs.each_ref().map(|runs| median(runs));
    let base = without.map_or(1.0, Run::rate);
    for (what, run) in [("without", without), ("with", with)] {
        let Some(run) = run else { continue };
        let at = |part| Cell::Number(millis(quantile(&run.latencies, part)), 2);
        let lag = |part| match what {
            "with" => Cell::Number(millis(quantile(lags, part)), 0),
            _ => Cell::Nothing,
        };
        table.row(vec![
            Cell::text(what),
            Cell::Number(run.rate(), 0),
            at(0.5),
            at(0.99),
            Cell::Number(run.rate() / base, 2),
            lag(0.5),
            lag(0.99),
        ]);
    }
    table
}

fn median(runs: &[Run]) -> Option<&Run> {
    let mut runs: Vec<&Run> = runs.iter().collect();
    runs.sort_by(|a, b| a.rate().total_cmp(&b.rate()));
    runs.get(runs.len() / 2).copied()
}

// ------------------------------------------------------- there and back again

/// How much mail there is.
#[derive(Debug, Clone, Copy)]
struct Raw {
    emails: u64,
    bytes: u64,
}

fn moved() -> Table {
    let note = "The same messages in one account, made by one load. MB are those of the messages as \
                they came; ÷ raw is what was written to them. Redoubt's repository is encrypted and \
                every byte is verified at a recovery; cp is followed by `sync`.";
    let columns = ["what", "seconds", "emails/s", "MB/s", "MB written", "÷ raw"];
    Table::new("backup", "Backup and recovery", note, &columns)
}

fn row(table: &mut Table, what: &str, raw: Raw, took: Duration, written: Option<u64>) {
    let seconds = took.as_secs_f64().max(1e-3);
    let written = written.map(|bytes| bytes as f64);
    table.row(vec![
        Cell::text(what),
        Cell::Number(seconds, 2),
        Cell::Number(raw.emails as f64 / seconds, 0),
        Cell::Number(raw.bytes as f64 / 1e6 / seconds, 1),
        written.map_or(Cell::Nothing, |bytes| Cell::Number(bytes / 1e6, 0)),
        written.map_or(Cell::Nothing, |bytes| Cell::Number(bytes / raw.bytes as f64, 2)),
    ]);
}

fn fill(server: &Server, mix: &Mix, emails: u64) -> anyhow::Result<Raw> {
    let (address, pid, connections) = (server.lmtp, server.pid(), COMPARED);
    let (sizes, until) = (Sizes::Mail, Until::Count(emails));
    let run = Load { address, pid, connections, sizes, until, mix }.run()?;
    Ok(Raw { emails: run.messages, bytes: run.bytes })
}

fn redoubt(dir: &Path, mix: &Mix, emails: u64, table: &mut Table) -> anyhow::Result<Raw> {
    let data = dir.join("moved");
    tokio::runtime::Handle::current().block_on(node::prepare(&data))?;
    let mut server = start(dir, "moved", false)?;
    let raw = fill(&server, mix, emails)?;
    server.stop()?;
    let began = Instant::now();
    let mut server = start(dir, "moved", true)?;
    archived(&data, began)?;
    let took = began.elapsed();
    let repository = dir.join("moved-repository");
    row(table, "Redoubt: into an empty repository", raw, took, Some(allocated(&repository)));
    let (from, key) = (text(&repository)?.to_owned(), text(&dir.join("key"))?.to_owned());
    let at = ["--from", &from, "--key", &key];
    let took = verb::say(&data, &["backup", "start"])?.took;
    row(table, "Redoubt: a base beside it, online", raw, took, None);
    server.stop()?;
    let verify = ["backup", "verify", "--level", "data"];
    let took = verb::say(&data, &[&verify[..], &at].concat())?.took;
    row(table, "Redoubt: verify, every byte", raw, took, None);
    let into = dir.join("recovered");
    let recover = ["--yes", "recover", "--at", "latest", "--into", text(&into)?];
    let took = verb::say(&data, &[&recover[..], &at].concat())?.took;
    row(table, "Redoubt: recover", raw, took, None);
    Ok(raw)
}

/// Waits until everything that is applied is in the repository.
fn archived(data: &Path, began: Instant) -> anyhow::Result<()> {
    let applied = node::applied(data)?;
    loop {
        let said = verb::say(data, &["--json", "archive", "status"]);
        let text = said.map(|said| said.text).unwrap_or_default();
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        if status.get("index").and_then(serde_json::Value::as_u64) >= Some(applied) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            bail!("the archive is not there after {} s: {text}", PATIENCE.as_secs());
        }
        std::thread::sleep(LOOK);
    }
}

// ---------------------------------------------------------------------- beside

fn beside(dir: &Path, mix: &Mix, emails: u64, same: Raw, table: &mut Table) -> anyhow::Result<()> {
    dovecot::version().context("dovecot-lmtpd or dovecot-imapd is not installed")?;
    let home = dir.join("dovecot");
    let mut server = dovecot::start(&home, "maildir")?;
    let raw = fill(&server, mix, emails)?;
    if raw.bytes.abs_diff(same.bytes) * 100 > same.bytes {
        bail!("that is other mail: {} octets, not {}", raw.bytes, same.bytes);
    }
    let copies = home.join("mail/copies");
    let name = user(READER);
    let target = format!("maildir:{}", copies.join("doveadm").display());
    let conf = home.join("dovecot.conf");
    let backup = ["-c", text(&conf)?, "backup", "-u", &name, &target];
    let took = program("doveadm", &backup)?;
    let written = Some(allocated(&copies.join("doveadm")));
    row(table, "Dovecot: doveadm backup, Maildir", raw, took, written);
    server.stop()?;
    let local = name.split('@').next().unwrap_or_default();
    let (from, to) = (home.join("mail").join(local), copies.join("cp"));
    std::fs::create_dir_all(&copies)?;
    let took =
        program("cp", &["-a", text(&from)?, text(&to)?])? + program("sync", &["-f", text(&to)?])?;
    row(table, "cp -a of that Maildir", raw, took, Some(allocated(&to)));
    Ok(())
}

fn program(name: &str, arguments: &[&str]) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let output = Command::new(name).args(arguments).output().context(name.to_owned())?;
    if !output.status.success() {
        bail!("{name} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(began.elapsed())
}

fn allocated(dir: &Path) -> u64 {
    process::room(dir).allocated
}

fn text(path: &Path) -> anyhow::Result<&str> {
    path.to_str().context("a path that is no UTF-8")
}
