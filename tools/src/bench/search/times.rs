//! Searches of one server after the other, and how long each took.

use std::time::{Duration, Instant};

use super::mail::{self, DAYS, SENDERS};
use crate::bench::imap::Client;
use crate::bench::report::{Cell, Table};
use crate::bench::server::Server;
use crate::bench::{PASSWORD, millis, quantile, say};

/// Searches of each kind at most, each with another needle.
const TIMES: u64 = 100;
/// None is begun when those of a kind took so long.
const BUDGET: Duration = Duration::from_secs(3);
/// What is over sooner is begun once without being counted.
const QUICK: Duration = Duration::from_secs(1);

/// What is searched, with a needle by number.
type Search = (&'static str, fn(u64) -> String);

const SEARCHES: [Search; 8] = [
    ("a word of the subject", |n| format!("SUBJECT n{}", n * 97 + 11)),
    ("a rare word of the body", |n| format!("BODY {}", mail::rare(n))),
    ("a frequent word of the body", |n| format!("BODY {}", mail::word(n % 20))),
    ("part of a rare word", |n| {
        let word = mail::rare(n);
        format!("BODY {}", word.get(1..word.len() - 1).unwrap_or_default())
    }),
    ("over two words", |n| {
        let word = mail::rare(n);
        format!("BODY \"{} {}\"", word.get(2..).unwrap_or_default(), mail::word(n % 5))
    }),
    ("TEXT, part of a word", |n| format!("TEXT {}", mail::rare(n).get(1..).unwrap_or_default())),
    ("a sender", |n| format!("FROM sender{}@", n % SENDERS)),
    ("a day of the Date", |n| format!("SENTON {}", mail::day(n * 13 % DAYS).1)),
];

/// What else is asked of the whole mailbox.
const OTHERS: [(&str, &str); 4] = [
    ("SORT by date", "UID SORT (DATE) UTF-8 ALL"),
    ("SORT by subject", "UID SORT (SUBJECT) UTF-8 ALL"),
    ("THREAD by references", "UID THREAD REFERENCES UTF-8 ALL"),
    ("SORT by date of a sender's", "UID SORT (DATE) UTF-8 FROM sender7@"),
];

/// A word with a typing error, which only a server without an index of its own for that looks
/// through everything for.
const FUZZY: (&str, &str) = ("FUZZY, a word of the body", "UID SEARCH FUZZY BODY zqbonex");

#[derive(Debug)]
struct Row {
    what: &'static str,
    server: String,
    times: u64,
    median: Duration,
    high: Duration,
    /// Found by the first, which every server is asked.
    first: u64,
    found: u64,
    /// Whether all that match must be found, and nothing else.
    exact: bool,
}

/// What was measured of a mailbox.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: Vec<Row>,
}

impl Rows {
    /// Measures a server, `how` standing before each key.
    pub(super) fn measure(&mut self, name: &str, server: &Server, how: &str) -> anyhow::Result<()> {
        let mut client = selected(server)?;
        // What a server builds at the first of each kind is not what a search takes.
        for key in ["SUBJECT zzzz", "FROM zzzz", "SENTON 1-Jan-2019"] {
            client.command(&format!("UID SEARCH {how}{key}"))?;
        }
        for (what, search) in SEARCHES {
            let command = |number| format!("UID SEARCH {how}{}", search(number));
            self.add(what, name, &mut client, is_exact(name), &command)?;
        }
        Ok(())
    }

    /// Measures what is no plain SEARCH.
    pub(super) fn measure_others(
        &mut self,
        name: &str,
        server: &Server,
        fuzzy: bool,
    ) -> anyhow::Result<()> {
        let mut client = selected(server)?;
        for (what, command) in OTHERS.into_iter().chain(fuzzy.then_some(FUZZY)) {
            self.add(what, name, &mut client, true, &|_| command.to_owned())?;
        }
        Ok(())
    }

    fn add(
        &mut self,
        what: &'static str,
        server: &str,
        client: &mut Client,
        exact: bool,
        command: &dyn Fn(u64) -> String,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let first = client.command(&command(0))?;
        let (mut all, mut found) = (Vec::new(), 0);
        if first.took >= QUICK {
            (all, found) = (vec![first.took], first.found);
        }
        while (all.len() as u64) < TIMES && began.elapsed() < BUDGET {
            let answer = client.command(&command(all.len() as u64))?;
            all.push(answer.took);
            found += answer.found;
        }
        all.sort_unstable();
        let (median, high) = (quantile(&all, 0.5), quantile(&all, 0.99));
        let (times, first, server) = (all.len() as u64, first.found, server.to_owned());
        let row = Row { what, server, times, median, high, first, found, exact };
        say(&format!(
            "    {what} | {} | {times} times | {:.1} found | p50 {:.2} ms | p99 {:.2} ms",
            row.server,
            row.each(),
            millis(median),
            millis(high)
        ));
        self.rows.push(row);
        Ok(())
    }

    fn ours(&self, what: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.what == what && row.server == "Redoubt")
    }

    /// Where servers that search exactly found something else than Redoubt by its index.
    pub(super) fn differing(&self) -> Vec<String> {
        let differs = |row: &Row| {
            let ours = self.ours(row.what).filter(|ours| ours.first != row.first && row.exact)?;
            let Row { what, server, first, .. } = row;
            Some(format!("{what}: Redoubt finds {}, {server} {first}", ours.first))
        };
        self.rows.iter().filter_map(differs).collect()
    }

    /// Search by search, server by server.
    pub(super) fn table(&self, emails: u64) -> Table {
        let note = format!(
            "In an INBOX of {emails} emails of some 3.5 kB over one connection on loopback, the \
             same mail and client for all: up to {TIMES} different needles of each kind, fewer \
             where that takes longer than {} s. From the command to the tagged response, caches \
             warm. Found is what one answer names, the mean over the needles; a server told with \
             \"words\" has a notion of its own of what matches.",
            BUDGET.as_secs()
        );
        let columns = ["search", "server", "times", "found", "p50 ms", "p99 ms", "÷ Redoubt"];
        let title = format!("Searches of {emails} emails");
        let mut table = Table::new("search", title, note, &columns);
        let mut kinds: Vec<&str> = Vec::new();
        for row in &self.rows {
            if !kinds.contains(&row.what) {
                kinds.push(row.what);
            }
        }
        for kind in kinds {
            let ours = self.ours(kind).map(|row| millis(row.median));
            for row in self.rows.iter().filter(|row| row.what == kind) {
                table.row(row.cells(ours));
            }
        }
        table
    }
}

impl Row {
    fn each(&self) -> f64 {
        self.found as f64 / self.times.max(1) as f64
    }

    fn cells(&self, ours: Option<f64>) -> Vec<Cell> {
        let ratio = ours.map(|ours| millis(self.median) / ours.max(1e-6));
        let server =
            if self.exact { self.server.clone() } else { format!("{}, words", self.server) };
        vec![
            Cell::text(self.what),
            Cell::text(server),
            Cell::count(self.times),
            Cell::Number(self.each(), 1),
            Cell::Number(millis(self.median), 2),
            Cell::Number(millis(self.high), 2),
            ratio.map_or(Cell::Nothing, |ratio| Cell::Number(ratio, 1)),
        ]
    }
}

/// Whether a server finds exactly what SEARCH says: indexes of others have a notion of their own.
fn is_exact(name: &str) -> bool {
    !name.contains("apian")
}

fn selected(server: &Server) -> anyhow::Result<Client> {
    let mut client = Client::login(server.imap, &(server.login)(0), PASSWORD, false)?;
    client.command("SELECT INBOX")?;
    Ok(client)
}
