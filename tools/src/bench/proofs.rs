//! Proofs: what they add to an export, and how fast an export and the log are verified.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};

use super::lmtp::{Load, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Table};
use super::{COMPARED, node, process, verb};

/// What finds all of the mail: nobody has read any.
const ALL: &str = "is:unread";

/// Delivers mail, exports all of it with its proofs, and verifies that and the log.
pub(super) fn measure(dir: &Path, mix: &Mix, emails: u64) -> anyhow::Result<Table> {
    let runtime = tokio::runtime::Handle::current();
    let data = dir.join("data");
    runtime.block_on(node::prepare(&data))?;
    let mut server = node::start(&data)?;
    let (address, pid, connections) = (server.lmtp, server.pid(), COMPARED);
    let until = Until::Count(emails);
    Load { address, pid, connections, sizes: Sizes::Mail, until, mix }.run()?;
    let took = proven(dir, &data, emails)?;
    server.stop()?;
    Ok(table(emails, &took))
}

struct Took {
    exported: Duration,
    octets: u64,
    proofs: u64,
    verified: Duration,
    records: u64,
    log: Duration,
}

fn proven(dir: &Path, data: &Path, emails: u64) -> anyhow::Result<Took> {
    let at = |name: &str| -> anyhow::Result<String> {
        Ok(dir.join(name).to_str().context("a path that is no UTF-8")?.to_owned())
    };
    let (out, keys, head) = (at("export")?, at("keys.txt")?, at("head.txt")?);
    let export = ["export", ALL, "--all", "--format", "eml", "--reason", "bench", "--out", &out];
    let exported = verb::say(data, &export)?.took;
    verb::say(data, &["audit", "keys", "--out", &keys])?;
    verb::say(data, &["audit", "head", "--out", &head])?;
    let files = std::fs::read_to_string(dir.join("export/files.jsonl"))?;
    if (files.lines().count() as u64) < emails {
        bail!("less was exported than {emails} emails");
    }
    let verified = verb::say(data, &["verify-export", &out, "--key", &keys])?.took;
    let records = node::applied(data)?;
    let log = verb::say(data, &["audit", "verify", "--offline", "--from", &head])?.took;
    let octets = process::room(Path::new(&out)).length;
    let proofs = process::room(&dir.join("export/proof")).length;
    Ok(Took { exported, octets, proofs, verified, records, log })
}

fn table(emails: u64, took: &Took) -> Table {
    let note = format!(
        "{emails} emails delivered over LMTP. {} All exported as files with their records and \
         proofs (`export --format eml`), the export verified against the node's keys \
         (`verify-export`: every file hashed, every record proven), and the whole log held to a \
         head (`audit verify --offline`).",
        Sizes::MAIL
    );
    let mut table = Table::new("proofs", "Proofs", note, &["what", "value", "unit"]);
    let mut row = |what: &str, value: f64, digits: usize, unit: &str| {
        table.row(vec![Cell::text(what), Cell::Number(value, digits), Cell::text(unit)]);
    };
    let (emails, seconds) = (emails as f64, Duration::as_secs_f64);
    let octets = took.octets as f64;
    row("export", seconds(&took.exported), 2, "s");
    row("export", emails / seconds(&took.exported), 0, "emails/s");
    row("an export's octets for an email", octets / emails, 0, "octets");
    row("of these record and proof", took.proofs as f64 / emails, 0, "octets");
    row("verify-export", seconds(&took.verified), 2, "s");
    row("verify-export", emails / seconds(&took.verified), 0, "emails/s");
    row("verify-export", octets / 1e6 / seconds(&took.verified), 0, "MB/s");
    row("audit verify", took.records as f64 / seconds(&took.log), 0, "records/s");
    table
}
