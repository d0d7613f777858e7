//! Deliveries under holds and without: what a query holds is judged behind them.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use redoubt_log::id::OperationId;
use redoubt_log::record::{Actor, Change, HoldOver, HoldQuery, HoldScope, HoldSet};
use redoubt_store::mailstore::Mailstore;

use super::lmtp::{Load, NEEDLE, Run, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Table};
use super::{COMPARED, DOMAIN, WARM_UP, millis, node, quantile, say, verb};

/// Rounds of each, in turns.
const ROUNDS: usize = 3;

/// What is over the accounts that the load goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Domain,
    Query,
}

const KINDS: [(Kind, &str); 3] = [
    (Kind::None, "no hold"),
    (Kind::Domain, "a hold over the domain"),
    (Kind::Query, "a query over all accounts"),
];

struct Round {
    run: Run,
    judged: u64,
}

/// Each kind in a data directory of its own.
pub(super) fn measure(dir: &Path, time: Duration) -> anyhow::Result<Table> {
    let mix = Mix::new();
    let runtime = tokio::runtime::Handle::current();
    let mut rounds: [Vec<Round>; 3] = Default::default();
    for (kind, _) in KINDS {
        runtime.block_on(prepare(&folder(dir, kind), kind))?;
    }
    for _ in 0..ROUNDS {
        for ((kind, name), rounds) in KINDS.iter().zip(&mut rounds) {
            let round = round(&folder(dir, *kind), *kind, &mix, time)?;
            let p99 = millis(quantile(&round.run.latencies, 0.99));
            say(&format!("    {name}: {:.0} deliveries/s, p99 {p99:.2} ms", round.run.rate()));
            rounds.push(round);
        }
    }
    Ok(table(&mut rounds))
}

fn folder(dir: &Path, kind: Kind) -> std::path::PathBuf {
    dir.join(format!("{kind:?}").to_lowercase())
}

async fn prepare(data: &Path, kind: Kind) -> anyhow::Result<()> {
    node::prepare(data).await?;
    let scope = match kind {
        Kind::None => return Ok(()),
        Kind::Domain => HoldScope::Domain(DOMAIN.to_owned()),
        Kind::Query => {
            let (over, text) = (HoldOver::All, format!("from:bob OR {NEEDLE}"));
            HoldScope::Query(HoldQuery { over, text })
        }
    };
    let mailstore = Mailstore::open(crate::server::options(&node::config(data))).await?;
    let set = Change::HoldSet(HoldSet::over(scope));
    let outcome = mailstore.submit(&Actor::SYSTEM, OperationId::random(), set).await;
    mailstore.shutdown().await;
    Ok(outcome?.result.map(drop)?)
}

fn round(data: &Path, kind: Kind, mix: &Mix, time: Duration) -> anyhow::Result<Round> {
    let mut server = node::start_with(data, &[("REDOUBT_LISTEN_PEER", "off")], &[])?;
    let before = unjudged(data, kind)?;
    let until = Until::Time { warm_up: WARM_UP, measured: time };
    let (address, pid, connections) = (server.lmtp, server.pid(), COMPARED);
    let run = Load { address, pid, connections, sizes: Sizes::Mail, until, mix }.run()?;
    let behind = unjudged(data, kind)?;
    server.stop()?;
    let judged = (before + run.messages).saturating_sub(behind);
    Ok(Round { judged: if kind == Kind::Query { judged } else { 0 }, run })
}

/// Emails that the hold's query has not judged yet.
fn unjudged(data: &Path, kind: Kind) -> anyhow::Result<u64> {
    if kind != Kind::Query {
        return Ok(0);
    }
    let shown = verb::say(data, &["--json", "hold", "show", "1"])?.json()?;
    shown.get("unjudged").and_then(serde_json::Value::as_u64).context("hold 1 says nothing")
}

fn table(rounds: &mut [Vec<Round>; 3]) -> Table {
    let note = format!(
        "LMTP over loopback, {COMPARED} connections. {} Three servers, {ROUNDS} rounds of each in \
         turns, the median round by its p99. Judged are emails in the round by its end, a second; \
         the others wait, and are held until then.",
        Sizes::MAIL
    );
    let columns = ["holds", "deliveries/s", "p50 ms", "p99 ms", "p99 more, ms", "judged/s"];
    let mut table = Table::new("holds", "Deliveries under holds", note, &columns);
    let mut base = None;
    for ((_, name), rounds) in KINDS.iter().zip(rounds) {
        let p99 = |round: &Round| quantile(&round.run.latencies, 0.99);
        rounds.sort_by_key(p99);
        let Some(round) = rounds.get(rounds.len() / 2) else { continue };
        let late = millis(p99(round));
        let base = *base.get_or_insert(late);
        let took = (round.run.elapsed + WARM_UP).as_secs_f64();
        table.row(vec![
            Cell::text(*name),
            Cell::Number(round.run.rate(), 0),
            Cell::Number(millis(quantile(&round.run.latencies, 0.5)), 2),
            Cell::Number(late, 2),
            Cell::Number(late - base, 2),
            Cell::Number(round.judged as f64 / took, 0),
        ]);
    }
    table
}
