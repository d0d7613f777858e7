//! Policies: how fast emails are judged, and how a round ends that has nothing to do.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

use super::lmtp::{Load, Run, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Table};
use super::server::Server;
use super::{COMPARED, WARM_UP, large, millis, node, process, quantile, user, verb};

/// Policies that bind beside the one that is simulated.
const OTHERS: usize = 9;
/// What judges every email, and does nothing.
const SIMULATE: [&str; 7] = ["--json", "--yes", "policy", "simulate", "--all", "--delete", "1d"];

/// Fills an INBOX and judges it.
pub(super) async fn measure(
    data: &Path,
    emails: u64,
    time: Duration,
) -> anyhow::Result<Vec<Table>> {
    let judged = large::with_tiny(data, emails, work).await?;
    let data = data.to_owned();
    let beside = tokio::task::spawn_blocking(move || beside(&data, time)).await??;
    Ok(vec![judged, beside])
}

/// Deliveries alone, and while every email is judged again and again.
fn beside(data: &Path, time: Duration) -> anyhow::Result<Table> {
    let mix = Mix::new();
    let mut server = node::start(data)?;
    let alone = load(&server, &mix, time)?;
    let done = AtomicBool::new(false);
    let (meanwhile, rounds) = std::thread::scope(|scope| {
        let judges = scope.spawn(|| {
            let mut rounds = 0_u64;
            while !done.load(Ordering::Relaxed) {
                verb::say(data, &SIMULATE)?;
                rounds += 1;
            }
            anyhow::Ok(rounds)
        });
        let run = load(&server, &mix, time);
        done.store(true, Ordering::Relaxed);
        let rounds = judges.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?;
        anyhow::Ok((run?, rounds?))
    })?;
    server.stop()?;
    Ok(beside_table(&alone, &meanwhile, rounds))
}

fn load(server: &Server, mix: &Mix, time: Duration) -> anyhow::Result<Run> {
    let until = Until::Time { warm_up: WARM_UP, measured: time };
    let (address, pid, connections) = (server.lmtp, server.pid(), COMPARED);
    Load { address, pid, connections, sizes: Sizes::Mail, until, mix }.run()
}

fn beside_table(alone: &Run, meanwhile: &Run, rounds: u64) -> Table {
    let note = format!(
        "LMTP over loopback, {COMPARED} connections. {} One server: alone, then while every email \
         is judged, {rounds} times one behind the other.",
        Sizes::MAIL
    );
    let columns = ["deliveries", "deliveries/s", "p50 ms", "p99 ms", "÷ alone"];
    let title = "Deliveries beside policies";
    let mut table = Table::new("policies_beside", title, note, &columns);
    for (name, run) in [("alone", alone), ("while emails are judged", meanwhile)] {
        let at = |part| Cell::Number(millis(quantile(&run.latencies, part)), 2);
        table.row(vec![
            Cell::text(name),
            Cell::Number(run.rate(), 0),
            at(0.5),
            at(0.99),
            Cell::Number(run.rate() / alone.rate(), 2),
        ]);
    }
    table
}

fn work(data: &Path, emails: u64) -> anyhow::Result<Table> {
    let note = format!(
        "An INBOX of {emails} emails of some 200 octets. `redoubt policy simulate --all --delete \
         1d`, from its start to its end: what is known of each email is read, and judged. The \
         others are over a keyword, which no email has. CPU is the server's."
    );
    let columns = ["what", "emails", "ms", "emails/s", "CPU ms"];
    let mut table = Table::new("policies", "Policies", note, &columns);
    let mut server = node::start(data)?;
    simulate(data, &server, &mut table, "one policy", emails)?;
    for n in 0..OTHERS {
        let (name, tag) = (format!("p{n}"), format!("k{n}"));
        let whose = user(0);
        let said =
            ["--yes", "policy", "add", &name, "--tag", &tag, "--keep", "1d", "--account", &whose];
        verb::say(data, &said)?;
    }
    let what = format!("beside {OTHERS} others");
    simulate(data, &server, &mut table, &what, emails)?;
    server.stop()?;
    Ok(table)
}

fn simulate(
    data: &Path,
    server: &Server,
    table: &mut Table,
    what: &str,
    emails: u64,
) -> anyhow::Result<()> {
    let before = process::cpu(server.pid());
    let said = verb::say(data, &SIMULATE)?;
    let (said, took) = (said.json()?, said.took);
    let cpu = process::cpu(server.pid()).saturating_sub(before);
    let judged = said.get("emails").and_then(Value::as_u64).context("no emails are counted")?;
    if judged < emails {
        bail!("{judged} emails were judged instead of {emails}");
    }
    table.row(vec![
        Cell::text(what),
        Cell::count(judged),
        Cell::Number(millis(took), 0),
        Cell::Number(judged as f64 / took.as_secs_f64().max(1e-6), 0),
        Cell::Number(millis(cpu), 0),
    ]);
    Ok(())
}
