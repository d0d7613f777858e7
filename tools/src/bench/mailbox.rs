//! What a client does with a large mailbox.

use std::time::Duration;

use anyhow::{Context, bail};

use super::imap::Client;
use super::lmtp::{Load, NEEDLE, NEEDLE_EVERY, Until};
use super::mix::{Mix, Sizes};
use super::report::{Cell, Table};
use super::server::Server;
use super::{PASSWORD, READER, millis, process};

/// Connections that fill the mailbox.
const FILLERS: usize = 8;

/// What must come back.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Wanted {
    Anything,
    Fetches,
    Needles,
}

/// An operation of a client: what it is called, its command, what must come back, how often.
const OPERATIONS: [(&str, &str, Wanted, usize); 10] = [
    ("SELECT, the first", "SELECT INBOX", Wanted::Anything, 1),
    ("SELECT", "SELECT INBOX", Wanted::Anything, 5),
    ("FETCH 1:* FLAGS", "FETCH 1:* (UID FLAGS)", Wanted::Fetches, 3),
    ("FETCH 1:* ENVELOPE, the first", "FETCH 1:* (ENVELOPE)", Wanted::Fetches, 1),
    ("FETCH 1:* ENVELOPE", "FETCH 1:* (ENVELOPE)", Wanted::Fetches, 3),
    ("FETCH 1:* all bodies", "FETCH 1:* (BODY.PEEK[])", Wanted::Fetches, 1),
    ("STORE 1:* +FLAGS", "STORE 1:* +FLAGS (\\Flagged)", Wanted::Fetches, 1),
    ("STORE 1:* -FLAGS", "STORE 1:* -FLAGS (\\Flagged)", Wanted::Fetches, 1),
    ("SEARCH SUBJECT", "SEARCH SUBJECT xylophone", Wanted::Needles, 3),
    ("SEARCH TEXT", "SEARCH TEXT xylophone", Wanted::Needles, 1),
];

/// One operation's median.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figure {
    took: Duration,
    cpu: Duration,
    octets: u64,
}

/// Fills the reader's INBOX; answers the messages a second.
pub(super) fn fill(server: &Server, mix: &Mix, emails: u64) -> anyhow::Result<f64> {
    let load = Load {
        address: server.lmtp,
        pid: server.pid(),
        connections: FILLERS,
        sizes: Sizes::Mailbox,
        until: Until::Count(emails),
        mix,
    };
    Ok(load.run().context("filling the mailbox")?.rate())
}

/// Every operation in turn over one connection.
pub(super) fn measure(server: &Server, emails: u64) -> anyhow::Result<Vec<Figure>> {
    debug_assert_eq!(NEEDLE, "xylophone");
    let mut client = Client::login(server.imap, &(server.login)(READER), PASSWORD, false)?;
    let each = OPERATIONS.iter().map(|(_, command, wanted, times)| {
        let mut figures = Vec::new();
        for _ in 0..*times {
            figures.push(one(server, &mut client, command, *wanted, emails)?);
        }
        figures.sort_by_key(|figure: &Figure| figure.took);
        figures.get(figures.len() / 2).copied().context("an operation was not run")
    });
    each.collect()
}

fn one(
    server: &Server,
    client: &mut Client,
    command: &str,
    wanted: Wanted,
    emails: u64,
) -> anyhow::Result<Figure> {
    let before = process::cpu(server.pid());
    let answer = client.command(command)?;
    let cpu = process::cpu(server.pid()).saturating_sub(before);
    let right = match wanted {
        Wanted::Anything => true,
        Wanted::Fetches => answer.fetches == emails,
        Wanted::Needles => answer.found == emails.div_ceil(NEEDLE_EVERY),
    };
    if !right {
        bail!("{command} was answered wrongly by {}: {answer:?}", server.name);
    }
    Ok(Figure { took: answer.took, cpu, octets: answer.octets })
}

/// The operations of all servers side by side; the first is the one that others are compared with.
pub(super) fn table(emails: u64, servers: &[(String, Vec<Figure>)]) -> Table {
    let mut columns = vec!["operation".to_string()];
    for (at, (name, _)) in servers.iter().enumerate() {
        columns.extend([format!("{name} ms"), format!("{name} CPU ms")]);
        if at > 0 {
            columns.push(format!("{name} ÷ Redoubt"));
        } else {
            columns.push("MB/s".into());
        }
    }
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let note = format!(
        "One INBOX with {emails} emails of 4 and 20 KiB, one connection on loopback without TLS, \
         each answer read to its end; the median where an operation was repeated. Without a search \
         index in any server. CPU is the server's, counted in steps of 10 ms."
    );
    let mut table = Table::new("imap", "IMAP", note, &columns);
    for (at, (name, ..)) in OPERATIONS.iter().enumerate() {
        let figures = servers.iter().map(|(_, figures)| figures.get(at).copied());
        let figures: Vec<Option<Figure>> = figures.collect();
        table.row(row(name, &figures));
    }
    table
}

fn row(name: &str, figures: &[Option<Figure>]) -> Vec<Cell> {
    let ours = figures.first().copied().flatten();
    let mut cells = vec![Cell::text(name)];
    for (at, figure) in figures.iter().enumerate() {
        let Some(figure) = figure else {
            cells.extend([Cell::Nothing, Cell::Nothing, Cell::Nothing]);
            continue;
        };
        cells.push(Cell::Number(millis(figure.took), 1));
        cells.push(Cell::Number(millis(figure.cpu), 0));
        cells.push(match ours {
            _ if at == 0 => Cell::Number(figure.octets as f64 / 1e6 / figure.took.as_secs_f64(), 1),
            Some(ours) => Cell::Number(figure.took.as_secs_f64() / ours.took.as_secs_f64(), 1),
            None => Cell::Nothing,
        });
    }
    cells
}
