//! Policies: how fast emails are judged, and how a round ends that has nothing to do.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::report::{Cell, Table};
use super::server::Server;
use super::{large, millis, node, process, user};

/// Policies that bind beside the one that is simulated.
const OTHERS: usize = 9;

/// Fills an INBOX and judges it.
pub(super) async fn measure(data: &Path, emails: u64) -> anyhow::Result<Table> {
    large::with_tiny(data, emails, work).await
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
        let said = ["policy", "add", &name, "--tag", &tag, "--keep", "1d", "--account", &whose];
        verb(data, &said)?;
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
    let (said, took) = verb(data, &["policy", "simulate", "--all", "--delete", "1d"])?;
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

/// Says a verb; its last line, and how long it took.
fn verb(data: &Path, arguments: &[&str]) -> anyhow::Result<(Value, Duration)> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("--data").arg(data).args(["--json", "--yes"]).args(arguments);
    let began = Instant::now();
    let output = command.output()?;
    let took = began.elapsed();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok((serde_json::from_str(text.lines().last().unwrap_or_default())?, took))
}
