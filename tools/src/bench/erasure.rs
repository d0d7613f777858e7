//! An account is erased: how soon no view has it, and how soon no file of the node has.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::bail;
use hyper::Method;

use super::report::{Cell, Table};
use super::{large, node, user};
use crate::admin::client::Client;
use crate::admin::erasures::wire::{EraseBegun, EraseLine, EraseWish, Subject};
use crate::config::Config;

/// How long it may take at all.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);

/// Fills an INBOX, and erases all of the account.
pub(super) fn measure(data: &Path, emails: u64) -> anyhow::Result<Table> {
    let runtime = tokio::runtime::Handle::current();
    runtime.block_on(node::prepare(data))?;
    runtime.block_on(large::build_of(data, emails, |n| large::tiny(n).into_bytes()))?;
    let mut server = node::start(data)?;
    let socket = Config { data: data.to_owned(), ..Config::default() }.admin_socket();
    let client = Client::new(socket);
    let took = runtime.block_on(erase(&client))?;
    server.stop()?;
    Ok(table(&took))
}

struct Took {
    erased: u64,
    planned: Duration,
    gone: Duration,
    reached: Duration,
}

async fn erase(client: &Client) -> anyhow::Result<Took> {
    let account = user(0);
    let subject = Subject { account, whole: true, ..Subject::default() };
    let began = Instant::now();
    let _: serde_json::Value = client.send(Method::POST, "/v1/erasures/plan", &subject).await?;
    let planned = began.elapsed();
    let began = Instant::now();
    let wish = EraseWish { subject, reason: "bench".into(), review: false };
    let begun: EraseBegun = client.send(Method::POST, "/v1/erasures", &wish).await?;
    let path = format!("/v1/erasures/{}", begun.erasure);
    let mut gone = None;
    while began.elapsed() < PATIENCE {
        tokio::time::sleep(LOOK).await;
        let line: EraseLine = client.get(&path).await?;
        if line.looked_at == line.emails {
            gone.get_or_insert(began.elapsed());
        }
        if let Some(gone) = gone.filter(|_| line.complete) {
            let (erased, reached) = (line.erased, began.elapsed());
            return Ok(Took { erased, planned, gone, reached });
        }
    }
    bail!("the erasure was not complete within {} s", PATIENCE.as_secs())
}

fn table(took: &Took) -> Table {
    let note = format!(
        "All {} emails of one account, of some hundred octets each, erased by one command: until \
         no view has one, now or then; and until no image, pack, index or text of the node has.",
        took.erased
    );
    let mut table = Table::new("erasure", "Erasure", note, &["what", "value", "unit"]);
    let mut row = |what: &str, value: f64, digits: usize, unit: &str| {
        table.row(vec![Cell::text(what), Cell::Number(value, digits), Cell::text(unit)]);
    };
    let rate = |time: Duration| took.erased as f64 / time.as_secs_f64();
    row("plan", took.planned.as_secs_f64() * 1e3, 0, "ms");
    row("gone from all views after", took.gone.as_secs_f64(), 2, "s");
    row("rate", rate(took.gone), 0, "emails/s");
    row("reached on the node after", took.reached.as_secs_f64(), 2, "s");
    row("rate of all of it", rate(took.reached), 0, "emails/s");
    table
}
