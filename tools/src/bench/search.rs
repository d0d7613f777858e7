//! SEARCH with an index, without one, and Dovecot's beside them.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::Value;

use super::imap::Client;
use super::owner::Owner;
use super::report::{Cell, Table};
use super::search_mail::{self, DAYS, SENDERS};
use super::server::Server;
use super::{PASSWORD, dovecot, large, millis, node, process, quantile, user};

/// Searches of each kind by an index.
const TIMES: u64 = 100;
/// The same where every message is looked through.
const TIMES_SCANNED: u64 = 3;

/// How long it may take to index everything.
const PATIENCE: Duration = Duration::from_secs(1800);

/// What is searched, with a needle by number.
type Search = (&'static str, fn(u64) -> String);

const SEARCHES: [Search; 8] = [
    ("a word of the subject", |n| format!("SUBJECT n{}", n * 97 + 11)),
    ("a rare word of the body", |n| format!("BODY {}", search_mail::rare(n))),
    ("a frequent word of the body", |n| format!("BODY {}", search_mail::word(n % 20))),
    ("part of a rare word", |n| {
        let word = search_mail::rare(n);
        format!("BODY {}", word.get(1..word.len() - 1).unwrap_or_default())
    }),
    ("over two words", |n| {
        let word = search_mail::rare(n);
        format!("BODY \"{} {}\"", word.get(2..).unwrap_or_default(), search_mail::word(n % 5))
    }),
    ("TEXT, part of a word", |n| {
        format!("TEXT {}", search_mail::rare(n).get(1..).unwrap_or_default())
    }),
    ("a sender", |n| format!("FROM sender{}@", n % SENDERS)),
    ("a day of the Date", |n| format!("SENTON {}", search_mail::day(n * 13 % DAYS).1)),
];

/// One server's times of one search.
struct Times {
    median: Duration,
    high: Duration,
    found: u64,
}

/// Measures mailboxes of these sizes; with Dovecot where it is installed.
pub(super) async fn measure(dir: &Path, sizes: &[u64], format: &str) -> anyhow::Result<Vec<Table>> {
    let mut tables = Vec::new();
    for emails in sizes {
        let data = dir.join(emails.to_string());
        node::prepare(&data).await?;
        large::build_of(&data, *emails, search_mail::email).await?;
        let (emails, format) = (*emails, format.to_owned());
        let both = tokio::task::spawn_blocking(move || work(&data, emails, &format));
        tables.extend(both.await??);
    }
    Ok(tables)
}

fn work(data: &Path, emails: u64, format: &str) -> anyhow::Result<[Table; 2]> {
    let (mut server, built) = indexed(data, emails)?;
    let ours = searches(&server, TIMES)?;
    let memory = process::memory(server.pid());
    server.stop()?;
    let off = [("REDOUBT_SEARCH_INDEX", "false"), ("REDOUBT_LISTEN_PEER", "off")];
    let mut server = node::start_with(data, &off, &[])?;
    let scanned = searches(&server, TIMES_SCANNED)?;
    server.stop()?;
    for ((name, _), (ours, scanned)) in SEARCHES.iter().zip(ours.iter().zip(&scanned)) {
        if ours.found < scanned.found {
            bail!("{name}: an index found {} where there are {}", ours.found, scanned.found);
        }
    }
    let other = match dovecot::version() {
        Some(_) => Some(beside(&data.with_extension("dovecot"), emails, format)?),
        None => None,
    };
    Ok([times(emails, &ours, &scanned, other.as_deref()), built.table(emails, memory)])
}

/// What indexing took.
pub(super) struct Built {
    took: Duration,
    cpu: Duration,
    text: u64,
    disk: u64,
}

/// Starts a server and waits until everything is indexed.
pub(super) fn indexed(data: &Path, emails: u64) -> anyhow::Result<(Server, Built)> {
    let began = Instant::now();
    let server = node::start(data)?;
    let before = process::cpu(server.pid());
    loop {
        let status = status(data)?;
        let number = |name: &str| status.get(name).and_then(Value::as_u64);
        if number("emails") >= Some(emails) && number("accounts_behind") == Some(0) {
            let took = began.elapsed();
            let cpu = process::cpu(server.pid()).saturating_sub(before);
            let text = number("text_bytes").unwrap_or_default();
            let disk = octets(&data.join("shards/0/index"));
            return Ok((server, Built { took, cpu, text, disk }));
        }
        if began.elapsed() > PATIENCE {
            bail!("{emails} emails are not indexed after {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn status(data: &Path) -> anyhow::Result<Value> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg("--data").arg(data).args(["--json", "status"]).output()?;
    let status: Value = serde_json::from_slice(&output.stdout)?;
    status.get("index").cloned().context("the server keeps no index")
}

fn octets(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => octets(&entry.path()),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn searches(server: &Server, times: u64) -> anyhow::Result<Vec<Times>> {
    let mut client = Client::login(server.imap, &(server.login)(0), PASSWORD, false)?;
    client.command("SELECT INBOX")?;
    SEARCHES.iter().map(|(_, search)| repeated(&mut client, *search, times)).collect()
}

fn repeated(client: &mut Client, search: fn(u64) -> String, times: u64) -> anyhow::Result<Times> {
    // What is opened once is not what a search takes.
    client.command(&format!("UID SEARCH {}", search(times)))?;
    let (mut all, mut found) = (Vec::new(), 0);
    for number in 0..times {
        let answer = client.command(&format!("UID SEARCH {}", search(number)))?;
        all.push(answer.took);
        found += answer.found;
    }
    all.sort_unstable();
    Ok(Times { median: quantile(&all, 0.5), high: quantile(&all, 0.99), found })
}

/// Dovecot over the same emails.
fn beside(dir: &Path, emails: u64, format: &str) -> anyhow::Result<Vec<Times>> {
    // Written where its maildir is, which is what costs least.
    let inbox = dir.join("mail").join(user(0).split('@').next().unwrap_or_default());
    let owner = Owner::find()?;
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(inbox.join(part))?;
    }
    for number in 0..emails {
        let name = format!("{}.M{number}.bench:2,", 1_600_000_000 + number);
        fs::write(inbox.join("cur").join(name), search_mail::email(number))?;
    }
    owner.give(&dir.join("mail"))?;
    give_all(&owner, &inbox)?;
    if format != "maildir" {
        bail!("this part gives Dovecot its mail as a maildir: leave --dovecot-format out");
    }
    let mut server = dovecot::start(dir, "maildir")?;
    let times = searches(&server, TIMES_SCANNED)?;
    server.stop()?;
    Ok(times)
}

fn give_all(owner: &Owner, folder: &Path) -> anyhow::Result<()> {
    owner.give(folder)?;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => give_all(owner, &path)?,
            false => owner.give(&path)?,
        }
    }
    Ok(())
}

fn times(emails: u64, ours: &[Times], scanned: &[Times], other: Option<&[Times]>) -> Table {
    let note = format!(
        "UID SEARCH of an INBOX of {emails} emails of some 3.5 kB over one connection: the index, \
         {TIMES} different needles of each kind; the same server without an index, and Dovecot \
         without one (its own caches warm), {TIMES_SCANNED} each. From the command to the tagged response."
    );
    let columns = [
        "search",
        "found by one",
        "index p50 ms",
        "index p99 ms",
        "scan p50 ms",
        "Dovecot p50 ms",
        "Dovecot ÷ index",
    ];
    let mut table = Table::new("search", format!("SEARCH of {emails} emails"), note, &columns);
    for (at, (name, _)) in SEARCHES.iter().enumerate() {
        let (Some(ours), Some(scanned)) = (ours.get(at), scanned.get(at)) else { continue };
        let other = other.and_then(|other| other.get(at)).map(|times| millis(times.median));
        let number = |value: Option<f64>, digits| {
            value.map_or(Cell::Nothing, |value| Cell::Number(value, digits))
        };
        table.row(vec![
            Cell::text(*name),
            Cell::Number(ours.found as f64 / TIMES as f64, 1),
            Cell::Number(millis(ours.median), 2),
            Cell::Number(millis(ours.high), 2),
            Cell::Number(millis(scanned.median), 0),
            number(other, 0),
            number(other.map(|other| other / millis(ours.median)), 0),
        ]);
    }
    table
}

impl Built {
    fn table(&self, emails: u64, memory: u64) -> Table {
        let note = "From the start of a server whose index was not there until everything was \
                    indexed, nothing else being done. Text is what is decoded of headers and bodies.";
        let title = format!("Indexing {emails} emails");
        let mut table = Table::new("indexing", title, note, &["what", "value", "unit"]);
        let mut row = |what: &str, value: f64, digits: usize, unit: &str| {
            table.row(vec![Cell::text(what), Cell::Number(value, digits), Cell::text(unit)]);
        };
        let (seconds, text) = (self.took.as_secs_f64(), self.text as f64);
        row("emails a second", emails as f64 / seconds, 0, "1/s");
        row("text", text / 1e6 / seconds, 1, "MB/s");
        row("CPU of an email", millis(self.cpu) / emails as f64, 2, "ms");
        row("index, share of the text", self.disk as f64 / text * 100.0, 0, "%");
        row("index", self.disk as f64 / 1e6, 1, "MB");
        row("memory of the server after the searches", memory as f64 / 1_048_576.0, 0, "MiB");
        table
    }
}
