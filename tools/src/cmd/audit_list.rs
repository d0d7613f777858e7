//! `redoubt audit list|export`: page by page, of the running server; of a stopped one out of its
//! log alone.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use hyper::Method;
use redoubt_log::disk::RealDisk;
use redoubt_log::id::AccountId;
use redoubt_log::segment::ReadOnlyLog;
use redoubt_search::audit::{Asked, Begins, Line, OnDisk, Page, page};
use serde_json::Value;

use super::past::{moment, plain, short};
use super::{Common, audit};
use crate::admin::audit::{AuditWish, principal};
use crate::exit::{Exit, Failure, code_of};
use crate::output;

/// Lines that `list` prints if nobody says how many.
const LINES: usize = 100;
/// Lines of a page.
const PAGE: usize = 500;
/// The most characters of a cell of a table.
const CELL: usize = 60;

/// Which entries.
#[derive(Debug, Clone, Args)]
pub struct Wanted {
    /// Whose mail or settings: an address or id, also of a deleted account.
    #[arg(long, value_name = "ACCOUNT")]
    account: Vec<String>,
    /// Who did it: uid:1000, an address or id, mta, system.
    #[arg(long, value_name = "WHO")]
    actor: Vec<String>,
    /// From then on: a time, or an index and that entry itself.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true, alias = "since")]
    from: Option<String>,
    /// Up to then, included.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true, alias = "to")]
    until: Option<String>,
    /// A kind of record (discovery-begin) or a group: directory, mailbox, email, retention,
    /// restore, audit, system.
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Only what has this in its typed reason; "" for any reason.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// done, partly, refused, repeated or nothing.
    #[arg(long, value_name = "OUTCOME")]
    outcome: Option<String>,
}

/// `audit list`
#[derive(Debug, Args)]
pub struct List {
    #[command(flatten)]
    wanted: Wanted,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = LINES)]
    limit: usize,
    /// Behind this entry: where the listing before ended.
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
    /// As CSV.
    #[arg(long, conflicts_with = "json")]
    csv: bool,
}

/// `audit export`
#[derive(Debug, Args)]
pub struct Export {
    #[command(flatten)]
    wanted: Wanted,
    /// To this file, which must not be there. A signed head of the log is written beside it
    /// (FILE.head.txt), except of a stopped server.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How it is written.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
}

/// How lines are written to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// CSV with a heading (RFC 4180).
    Csv,
}

/// # Errors
/// Those of the server, and of a log that cannot be read.
pub async fn list(common: &Common, verb: List) -> anyhow::Result<Exit> {
    let how = match (common.json, verb.csv) {
        (true, _) => Some(Format::Jsonl),
        (false, true) => Some(Format::Csv),
        (false, false) => None,
    };
    let mut out = Sink::new(how, Box::new(io::stdout()));
    let mut pages = Pages::new(common, &verb.wanted, verb.after, Some(verb.limit)).await?;
    while let Some(page) = pages.next().await? {
        out.take(&page.items)?;
    }
    out.end()?;
    if let Some(after) = pages.cut_at {
        eprintln!("more: the same with --after {after}");
    }
    Ok(Exit::Done)
}

/// # Errors
/// Those of the server, of a log that cannot be read, and of the file.
pub async fn export(common: &Common, verb: Export) -> anyhow::Result<Exit> {
    let failed =
        |error: io::Error| Failure::new(Exit::Failed, format!("{}: {error}", verb.out.display()));
    let mut pages = Pages::new(common, &verb.wanted, None, None).await?;
    let file = File::create_new(&verb.out).map_err(failed)?;
    let mut sink = Sink::new(Some(verb.format), Box::new(file.try_clone().map_err(failed)?));
    let mut lines = 0;
    while let Some(page) = pages.next().await? {
        lines += page.items.len();
        sink.take(&page.items)?;
    }
    sink.end()?;
    file.sync_all().map_err(failed)?;
    if let (Source::Server(client), Some(upto)) = (&pages.source, pages.upto) {
        let head = client.text(&format!("/v1/heads?index={upto}")).await?;
        audit::write(&beside(&verb.out), &head)?;
    }
    println!("{lines} lines up to entry {}", pages.upto.unwrap_or_default());
    Ok(Exit::Done)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".head.txt");
    name.into()
}

/// Where pages come from.
enum Source {
    Server(crate::admin::client::Client),
    Disk(Box<OnDisk>, Box<Asked>),
}

struct Pages {
    source: Source,
    wish: AuditWish,
    left: Option<usize>,
    upto: Option<u64>,
    first: Option<Page>,
    ended: bool,
    /// The last line's entry, where there may be more behind it.
    cut_at: Option<u64>,
}

impl Pages {
    async fn new(
        common: &Common,
        wanted: &Wanted,
        after: Option<u64>,
        limit: Option<usize>,
    ) -> anyhow::Result<Self> {
        let mut wish = wanted.wish()?;
        (wish.after, wish.limit) = (after, Some(limit.unwrap_or(PAGE).min(PAGE)));
        let client = common.client()?;
        let (source, first) = match client.send(Method::POST, "/v1/audit", &wish).await {
            Ok(page) => (Source::Server(client), Some(page)),
            Err(error) if code_of(&error) == Exit::NotReachable => {
                (stopped(common, &wish, error)?, None)
            }
            Err(error) => return Err(error),
        };
        let ended = limit == Some(0);
        Ok(Self { source, wish, left: limit, upto: None, first, ended, cut_at: None })
    }

    async fn next(&mut self) -> anyhow::Result<Option<Page>> {
        if self.ended {
            return Ok(None);
        }
        let mut found = match self.first.take() {
            Some(page) => page,
            None => self.ask().await?,
        };
        if self.upto.is_none() {
            tell(&found.begins, matches!(self.source, Source::Server(_)));
        }
        // What comes while this is read is not in it.
        let upto = *self.upto.get_or_insert(found.upto);
        let here = found.items.len();
        found.items.retain(|line| line.index <= upto);
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(found.items.len());
            self.ended = *left == 0;
            self.cut_at = found.next.filter(|_| self.ended);
        }
        let next = found.next.filter(|next| *next < upto && here == found.items.len());
        self.ended |= next.is_none();
        self.wish.after = next;
        Ok(Some(found))
    }

    async fn ask(&mut self) -> anyhow::Result<Page> {
        self.wish.limit = Some(self.left.unwrap_or(PAGE).min(PAGE));
        match &mut self.source {
            Source::Server(client) => client.send(Method::POST, "/v1/audit", &self.wish).await,
            Source::Disk(log, asked) => {
                asked.after = self.wish.after.map(redoubt_log::id::LogIndex);
                asked.limit = self.wish.limit.unwrap_or(PAGE);
                Ok(page(&**log, asked)?)
            }
        }
    }
}

/// The log of a server that does not run.
fn stopped(common: &Common, wish: &AuditWish, away: anyhow::Error) -> anyhow::Result<Source> {
    let folder = common.config()?.data.join("shards/0/log");
    if !folder.is_dir() {
        return Err(away);
    }
    let mut asked = wish.asked().map_err(Failure::usage)?;
    if wish.reason.is_some() || wish.outcome.is_some() {
        let text = "no server runs, and the log alone has neither reasons nor outcomes: start it, \
                    or leave --reason and --outcome out";
        return Err(Failure::usage(text).into());
    }
    let unknown = |name: &str| {
        let text = "no server runs, and the log alone does not know addresses: write ids";
        Failure::usage(format!("{name}: {text} (7; for --actor account:7)"))
    };
    for name in &wish.accounts {
        let id: AccountId = name.parse().map_err(|_| unknown(name))?;
        asked.filter.accounts.push(id);
    }
    for name in &wish.actors {
        asked.filter.actors.push(principal(name).ok_or_else(|| unknown(name))?);
    }
    let log = ReadOnlyLog::open(&RealDisk, &folder)?;
    Ok(Source::Disk(Box::new(OnDisk(log)), Box::new(asked)))
}

fn tell(begins: &Begins, views: bool) {
    if begins.log > 0 {
        let time = begins.time.as_deref().unwrap_or("-");
        eprintln!("the log begins at entry {} ({time}): what was before is purged", begins.log);
    }
    if let Some(history) = begins.history.filter(|history| *history > begins.log) {
        eprintln!(
            "the history begins at entry {history}: outcomes, and what was before, are known from there on"
        );
    }
    if !views {
        eprintln!(
            "no server runs: out of the log alone, without addresses, reasons, outcomes and what was before"
        );
    }
}

impl Wanted {
    fn wish(&self) -> anyhow::Result<AuditWish> {
        Ok(AuditWish {
            accounts: self.account.clone(),
            actors: self.actor.clone(),
            kinds: self.kind.clone(),
            from: self.from.as_deref().map(moment).transpose()?,
            until: self.until.as_deref().map(moment).transpose()?,
            reason: self.reason.clone(),
            outcome: self.outcome.clone(),
            ..AuditWish::default()
        })
    }
}

/// The columns of CSV.
const COLUMNS: [&str; 15] = [
    "index",
    "time",
    "kind",
    "group",
    "actor",
    "on_behalf_of",
    "from",
    "accounts",
    "what",
    "before",
    "after",
    "reason",
    "policy",
    "outcome",
    "detail",
];

/// Where lines go, in whichever form.
enum Sink {
    Table(Box<output::Table<8>>),
    Jsonl(BufWriter<Box<dyn Write>>),
    Csv(Box<csv::Writer<Box<dyn Write>>>, bool),
}

impl Sink {
    fn new(how: Option<Format>, to: Box<dyn Write>) -> Self {
        let heading = ["index", "time", "who", "kind", "whose", "what", "outcome", "reason"];
        match how {
            None => Self::Table(Box::new(output::Table::new(heading))),
            Some(Format::Jsonl) => Self::Jsonl(BufWriter::new(to)),
            Some(Format::Csv) => {
                let mut form = csv::WriterBuilder::new();
                let writer = form.terminator(csv::Terminator::CRLF).from_writer(to);
                Self::Csv(Box::new(writer), false)
            }
        }
    }

    fn take(&mut self, lines: &[Line]) -> anyhow::Result<()> {
        match self {
            Self::Table(table) => {
                let rows: Vec<[String; 8]> = lines.iter().map(row).collect();
                table.rows(&rows)
            }
            Self::Jsonl(to) => lines.iter().try_for_each(|line| {
                serde_json::to_writer(&mut *to, line)?;
                Ok(to.write_all(b"\n")?)
            }),
            Self::Csv(to, headed) => {
                if !std::mem::replace(headed, true) {
                    to.write_record(COLUMNS).map_err(io::Error::from)?;
                }
                lines.iter().try_for_each(|line| {
                    Ok(to.write_record(cells(line)).map_err(io::Error::from)?)
                })
            }
        }
    }

    fn end(self) -> anyhow::Result<()> {
        match self {
            Self::Table(mut table) => table.rows(&[]),
            Self::Jsonl(mut to) => Ok(to.flush()?),
            Self::Csv(mut to, _) => Ok(to.flush()?),
        }
    }
}

fn row(line: &Line) -> [String; 8] {
    let or = |text: Option<&String>| text.map_or_else(|| "-".to_owned(), Clone::clone);
    let outcome = match (&line.outcome, &line.detail) {
        (Some(outcome), Some(detail)) => format!("{outcome}: {detail}"),
        (outcome, _) => or(outcome.as_ref()),
    };
    let what = match (&line.before, &line.after) {
        (None, None) => line.what.clone(),
        (before, after) => format!("{}: {} → {}", line.what, value(before), value(after)),
    };
    let cell = |text: String| plain(short(&text, CELL));
    [
        line.index.to_string(),
        line.time.clone(),
        cell(line.who()),
        line.kind.clone(),
        cell(line.whose()),
        plain(short(&what, 2 * CELL)),
        cell(outcome),
        cell(or(line.reason.as_ref())),
    ]
}

fn value(value: &Option<Value>) -> String {
    value.as_ref().map_or_else(|| "-".to_owned(), Value::to_string)
}

fn cells(line: &Line) -> [String; 15] {
    let or = |text: &Option<String>| text.clone().unwrap_or_default();
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string).unwrap_or_default();
    [
        line.index.to_string(),
        line.time.clone(),
        line.kind.clone(),
        line.group.clone(),
        line.actor.clone(),
        or(&line.on_behalf_of),
        line.from.map(|from| from.to_string()).unwrap_or_default(),
        line.whose(),
        line.what.clone(),
        json(&line.before),
        json(&line.after),
        or(&line.reason),
        or(&line.policy),
        or(&line.outcome),
        or(&line.detail),
    ]
}
