//! Deliveries that are captured into an archive account, beside deliveries that are not.

use std::path::Path;
use std::time::Duration;

use super::lmtp::{Load, Run, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Table};
use super::{COMPARED, WARM_UP, millis, node, quantile, say};

/// Rounds of each, in turns.
const ROUNDS: usize = 5;
/// What rules there are.
const KINDS: [(&str, bool); 2] = [("without", false), ("all into one archive", true)];

/// Each kind in a data directory of its own.
pub(super) fn measure(dir: &Path, mix: &Mix, time: Duration) -> anyhow::Result<Table> {
    let runtime = tokio::runtime::Handle::current();
    for (at, (_, captured)) in KINDS.iter().enumerate() {
        let data = dir.join(at.to_string());
        runtime.block_on(node::prepare(&data))?;
        if *captured {
            runtime.block_on(node::capture_all(&data))?;
        }
    }
    let mut rounds: [Vec<Run>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (at, ((name, _), rounds)) in KINDS.iter().zip(&mut rounds).enumerate() {
            let run = round(&dir.join(at.to_string()), mix, time)?;
            say(&format!("    {name}: {:.0} deliveries/s", run.rate()));
            rounds.push(run);
        }
    }
    Ok(table(&mut rounds))
}

fn round(data: &Path, mix: &Mix, time: Duration) -> anyhow::Result<Run> {
    let mut server = node::start(data)?;
    let until = Until::Time { warm_up: WARM_UP, measured: time };
    let (address, pid, connections) = (server.lmtp, server.pid(), COMPARED);
    let run = Load { address, pid, connections, sizes: Sizes::Mail, until, mix }.run()?;
    server.stop()?;
    Ok(run)
}

fn table(rounds: &mut [Vec<Run>; 2]) -> Table {
    let note = format!(
        "LMTP over loopback, {COMPARED} connections. {} Two servers, {ROUNDS} rounds of each in \
         turns, the median round. Captured is every message, into one archive account, in the \
         record that delivers it.",
        Sizes::MAIL
    );
    let columns = ["capture", "deliveries/s", "p50 ms", "p99 ms", "÷ without", "CPU ms"];
    let mut table = Table::new("capture_cost", "Deliveries that are captured", note, &columns);
    let mut base = None;
    for ((name, _), rounds) in KINDS.iter().zip(rounds) {
        rounds.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
        let Some(run) = rounds.get(rounds.len() / 2) else { continue };
        let base = *base.get_or_insert(run.rate());
        let at = |part| Cell::Number(millis(quantile(&run.latencies, part)), 2);
        table.row(vec![
            Cell::text(*name),
            Cell::Number(run.rate(), 0),
            at(0.5),
            at(0.99),
            Cell::Number(run.rate() / base, 2),
            Cell::Number(millis(run.server) / run.messages.max(1) as f64, 3),
        ]);
    }
    table
}
