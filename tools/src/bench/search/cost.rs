//! Deliveries beside indexing and without.

use std::path::Path;
use std::time::Duration;

use super::status;
use crate::bench::lmtp::{Load, Run, Until};
use crate::bench::mix::{Mix, Sizes};
use crate::bench::report::{Cell, Table};
use crate::bench::{COMPARED, WARM_UP, millis, node, process, quantile, say};

/// Rounds of each, in turns.
const ROUNDS: usize = 3;

/// What runs beside the deliveries.
const KINDS: [(&str, &[(&str, &str)]); 3] = [
    ("without", &[("REDOUBT_SEARCH_INDEX", "false"), ("REDOUBT_EXTRACT_WORKERS", "0")]),
    ("with the index", &[("REDOUBT_EXTRACT_WORKERS", "0")]),
    ("with the index and texts of attachments", &[]),
];

struct Round {
    run: Run,
    indexed: u64,
    memory: u64,
}

/// Each kind in a data directory of its own.
pub(in crate::bench) fn measure(dir: &Path, time: Duration) -> anyhow::Result<Table> {
    let mix = Mix::new();
    let runtime = tokio::runtime::Handle::current();
    let mut rounds: [Vec<Round>; 3] = Default::default();
    for at in 0..KINDS.len() {
        runtime.block_on(node::prepare(&dir.join(at.to_string())))?;
    }
    for _ in 0..ROUNDS {
        for (at, ((name, environment), rounds)) in KINDS.iter().zip(&mut rounds).enumerate() {
            let round = round(&dir.join(at.to_string()), environment, &mix, time)?;
            say(&format!("    {name}: {:.0} deliveries/s", round.run.rate()));
            rounds.push(round);
        }
    }
    Ok(table(&mut rounds))
}

fn round(
    data: &Path,
    environment: &[(&str, &str)],
    mix: &Mix,
    time: Duration,
) -> anyhow::Result<Round> {
    let environment = [&[("REDOUBT_LISTEN_PEER", "off")], environment].concat();
    let mut server = node::start_with(data, &environment, &[])?;
    let until = Until::Time { warm_up: WARM_UP, measured: time };
    let (address, pid, connections) = (server.lmtp, server.pid(), COMPARED);
    let run = Load { address, pid, connections, sizes: Sizes::Mail, until, mix }.run()?;
    let memory = process::own_memory(pid);
    let indexed = status(data).ok().and_then(|status| status.get("emails")?.as_u64());
    server.stop()?;
    Ok(Round { run, indexed: indexed.unwrap_or_default(), memory })
}

fn table(rounds: &mut [Vec<Round>; 3]) -> Table {
    let note = format!(
        "LMTP over loopback, {COMPARED} connections. {} Three servers, {ROUNDS} rounds of each in \
         turns, the median round. Deliveries come faster than they can be indexed: it is behind \
         all the time, and what it had not indexed in the rounds before is there too. Indexed are emails in the round by its end, a second.",
        Sizes::MAIL
    );
    let columns = [
        "indexing",
        "deliveries/s",
        "p50 ms",
        "p99 ms",
        "÷ without",
        "CPU ms",
        "indexed/s",
        "MiB of memory",
    ];
    let mut table = Table::new("indexing_cost", "Deliveries beside indexing", note, &columns);
    let mut base = None;
    for ((name, _), rounds) in KINDS.iter().zip(rounds) {
        rounds.sort_by(|one, other| one.run.rate().total_cmp(&other.run.rate()));
        let Some(Round { run, indexed, memory }) = rounds.get(rounds.len() / 2) else { continue };
        let base = *base.get_or_insert(run.rate());
        let at = |part| Cell::Number(millis(quantile(&run.latencies, part)), 2);
        let took = (run.elapsed + WARM_UP).as_secs_f64();
        table.row(vec![
            Cell::text(*name),
            Cell::Number(run.rate(), 0),
            at(0.5),
            at(0.99),
            Cell::Number(run.rate() / base, 2),
            Cell::Number(millis(run.server) / run.messages.max(1) as f64, 3),
            Cell::Number(*indexed as f64 / took, 0),
            Cell::Number(*memory as f64 / 1_048_576.0, 0),
        ]);
    }
    table
}
