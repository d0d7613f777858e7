//! `redoubt import --account A [--mailbox M] PATH`
//!
//! Every message has an operation id made of the account, the mailbox and its
//! octets' place and hash, and what is done is written down in a journal: an
//! import that was cut off goes on where it was.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use bytes::{BufMut, BytesMut};
use clap::Args;
use hyper::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use redoubt_log::id::{OperationId, Timestamp};
use redoubt_store::mime;

use super::Common;
use crate::admin::client::{Client, encode};
use crate::admin::wire::{ImportHead, Imported};
use crate::exit::{Exit, Failure};
use crate::import::{Item, Place, Unreadable, detect, mbox};
use crate::output;

/// Messages of one call.
const BATCH_MESSAGES: usize = 200;
/// Octets of one call, unless a single message is larger.
const BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Without a terminal a line is printed this often.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Takes over mail with flags, dates and, where the new mailbox has not used them, UIDs.
#[derive(Debug, Args)]
pub struct Import {
    /// Whose mail it becomes: an address or id.
    #[arg(long)]
    account: String,
    /// Where the top of the source goes; what lies below keeps its names.
    #[arg(long, default_value = "INBOX")]
    mailbox: String,
    /// What is already done, so that the import can go on after a break; by
    /// default beside the source in the state folder of the user.
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// An mbox file, a Maildir, an EML file or a folder with EML files.
    path: PathBuf,
}

/// # Errors
/// When the source cannot be read, or the server breaks off.
pub async fn run(common: &Common, verb: Import) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let account = super::account::find(&client, &verb.account).await?;
    let path = verb.path.canonicalize().with_context(|| verb.path.display().to_string())?;
    let source = detect(&path, &verb.mailbox).with_context(|| verb.path.display().to_string())?;
    let journal = match &verb.journal {
        Some(file) => file.clone(),
        None => default_journal(&account.id.to_string(), &verb.mailbox, &path)?,
    };
    let journal = Journal::open(&journal)?;
    if !common.json {
        println!("{}: {} messages in a {}", verb.path.display(), source.items.len(), source.kind);
    }
    let progress = Progress::new(source.items.len() as u64);
    let account = account.id.to_string();
    let mut importer = Importer {
        client,
        account,
        journal,
        progress,
        failed: source.unreadable,
        done: 0,
        skipped: 0,
        moved: 0,
    };
    importer.all(&source.items).await?;
    importer.report(common)
}

struct Importer {
    client: Client,
    account: String,
    journal: Journal,
    progress: Progress,
    failed: Vec<Unreadable>,
    done: u64,
    skipped: u64,
    /// Messages whose UID was taken.
    moved: u64,
}

/// Messages that go in one call.
#[derive(Default)]
struct Batch<'a> {
    items: Vec<(&'a Item, OperationId)>,
    body: BytesMut,
}

impl Importer {
    async fn all(&mut self, items: &[Item]) -> anyhow::Result<()> {
        let mut batch = Batch::default();
        for item in items {
            let Some((message, operation)) = self.load(item) else { continue };
            let other = batch.items.first().is_some_and(|(first, _)| first.mailbox != item.mailbox);
            let full = batch.items.len() >= BATCH_MESSAGES
                || batch.body.len() + message.len() > BATCH_BYTES;
            if !batch.items.is_empty() && (other || full) {
                self.send(std::mem::take(&mut batch)).await?;
            }
            add(&mut batch, item, operation, &message)?;
        }
        self.send(batch).await
    }

    /// Reads a message; `None` when it is done already or cannot be read.
    fn load(&mut self, item: &Item) -> Option<(Vec<u8>, OperationId)> {
        let message = match read(&item.place) {
            Ok(message) => message,
            Err(error) => {
                self.fail(item, error.to_string());
                return None;
            }
        };
        let operation = operation(&self.account, item, &message);
        if self.journal.has(operation) {
            self.skipped += 1;
            self.progress.step();
            return None;
        }
        Some((message, operation))
    }

    fn fail(&mut self, item: &Item, reason: String) {
        self.failed.push(Unreadable { place: item.place.name(), reason });
        self.progress.step();
    }

    async fn send(&mut self, batch: Batch<'_>) -> anyhow::Result<()> {
        let Some((first, _)) = batch.items.first() else { return Ok(()) };
        let path =
            format!("/v1/accounts/{}/import?mailbox={}", self.account, encode(&first.mailbox));
        let body = batch.body.freeze();
        match self.client.call::<Vec<Imported>>(Method::POST, &path, body.clone()).await {
            Ok(answers) => self.note(&batch.items, answers),
            Err(error) if broken_off(&error) => Err(error),
            Err(error) if batch.items.len() == 1 => {
                if let Some((item, _)) = batch.items.first() {
                    self.fail(item, format!("{error:#}"));
                }
                Ok(())
            }
            // A batch is taken whole or not at all: find out which messages are in the way.
            Err(_) => self.one_by_one(&batch.items).await,
        }
    }

    async fn one_by_one(&mut self, items: &[(&Item, OperationId)]) -> anyhow::Result<()> {
        for (item, operation) in items {
            let Some((message, _)) = self.load(item) else { continue };
            let mut batch = Batch::default();
            add(&mut batch, item, *operation, &message)?;
            Box::pin(self.send(batch)).await?;
        }
        Ok(())
    }

    fn note(
        &mut self,
        items: &[(&Item, OperationId)],
        answers: Vec<Imported>,
    ) -> anyhow::Result<()> {
        for ((item, operation), answer) in items.iter().zip(answers) {
            if let Some(error) = answer.error {
                self.fail(item, error);
                continue;
            }
            self.journal.add(*operation)?;
            self.moved += u64::from(item.uid.is_some() && item.uid != answer.uid);
            self.done += 1;
            self.progress.step();
        }
        self.journal.flush()
    }

    fn report(self, common: &Common) -> anyhow::Result<Exit> {
        self.progress.end();
        let Self { done, skipped, moved, failed, .. } = self;
        if common.json {
            output::json_lines(&failed)?;
            println!(
                "{}",
                serde_json::json!({
                    "imported": done, "skipped": skipped, "failed": failed.len(), "new_uid": moved
                })
            );
        } else {
            for Unreadable { place, reason } in &failed {
                println!("not imported: {place}: {reason}");
            }
            println!(
                "{done} imported, {skipped} were there already, {} not imported",
                failed.len()
            );
            if moved > 0 {
                println!("{moved} got a new UID, since theirs were used in the mailbox already");
            }
        }
        Ok(if failed.is_empty() { Exit::Done } else { Exit::Partly })
    }
}

fn broken_off(error: &anyhow::Error) -> bool {
    crate::exit::code_of(error) == Exit::NotReachable
}

fn read(place: &Place) -> io::Result<Vec<u8>> {
    let message = match place {
        Place::File(path) => std::fs::read(path),
        Place::Mbox { path, start, len } => mbox::read(path, *start, *len),
    };
    message.map(with_crlf)
}

/// Programs keep mail with the line ends of their system. A message whose first
/// line ends with LF alone gets the CRLF that it came with (RFC 5322 section 2.1)
/// and that clients count on; one that has CRLF stays as it is, byte by byte.
fn with_crlf(message: Vec<u8>) -> Vec<u8> {
    let first = memchr::memchr(b'\n', &message);
    let bare = first.is_some_and(|at| !message.get(..at).is_some_and(|line| line.ends_with(b"\r")));
    if !bare {
        return message;
    }
    let mut out = Vec::with_capacity(message.len() + message.len() / 32);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) if !text.ends_with(b"\r") => {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            _ => out.extend_from_slice(line),
        }
    }
    out
}

/// The same message from the same place is the same operation.
fn operation(account: &str, item: &Item, message: &[u8]) -> OperationId {
    let mut hasher = blake3::Hasher::new();
    for part in [account, &item.mailbox, &item.place.name()] {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.update(message);
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    OperationId(id)
}

fn add<'a>(
    batch: &mut Batch<'a>,
    item: &'a Item,
    operation: OperationId,
    message: &[u8],
) -> anyhow::Result<()> {
    let (flags, keywords) = match item.place {
        Place::Mbox { .. } => mbox::header_flags(message),
        Place::File(_) => (item.flags, item.keywords.clone()),
    };
    let head = ImportHead {
        size: message.len() as u64,
        flags: flags.0,
        keywords,
        received: item.received.or_else(|| header_date(message)),
        uid: item.uid,
        operation,
    };
    let head = serde_json::to_vec(&head)?;
    batch.body.put_u32_le(u32::try_from(head.len())?);
    batch.body.put_slice(&head);
    batch.body.put_slice(message);
    batch.items.push((item, operation));
    Ok(())
}

/// The moment at which the last server took it (its newest Received), else its Date.
fn header_date(message: &[u8]) -> Option<Timestamp> {
    let received = mime::first(message, "Received").and_then(|field| {
        let date = field.value.rsplit(|byte| *byte == b';').next()?;
        mime::sent_date(date)
    });
    let sent = || mime::sent_date(mime::first(message, "Date")?.value);
    received.or_else(sent).map(|date| date.time)
}

/// Operation ids that are done, one a line.
struct Journal {
    file: File,
    done: HashSet<OperationId>,
}

impl Journal {
    fn open(path: &Path) -> anyhow::Result<Self> {
        let context = || format!("the journal {}", path.display());
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(context)?;
        }
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).read(true).open(path).with_context(context)?;
        let lines = BufReader::new(&file).lines();
        // A line that was cut off by a crash does not count: its message is sent
        // again and recognised by its operation id.
        let done = lines.map_while(Result::ok).filter_map(|line| line.parse().ok()).collect();
        Ok(Self { file, done })
    }

    fn has(&self, operation: OperationId) -> bool {
        self.done.contains(&operation)
    }

    fn add(&mut self, operation: OperationId) -> anyhow::Result<()> {
        self.done.insert(operation);
        Ok(writeln!(self.file, "{operation}")?)
    }

    fn flush(&self) -> anyhow::Result<()> {
        Ok(self.file.sync_data()?)
    }
}

fn default_journal(account: &str, mailbox: &str, path: &Path) -> anyhow::Result<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")));
    let state = state.ok_or_else(|| Failure::usage("no HOME: name a journal with --journal"))?;
    let key = blake3::hash(format!("{account}\n{mailbox}\n{}", path.display()).as_bytes());
    Ok(state.join("redoubt").join(format!("import-{}", key.to_hex().get(..16).unwrap_or_default())))
}

/// A bar with rate and ETA on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
    printed: Instant,
    started: Instant,
    total: u64,
}

impl Progress {
    fn new(total: u64) -> Self {
        let terminal = io::stderr().is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = "{wide_bar} {pos}/{len} messages, {per_sec}, {eta} left";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style);
        let now = Instant::now();
        Self { bar, terminal, printed: now, started: now, total }
    }

    fn step(&mut self) {
        self.bar.inc(1);
        if !self.terminal && self.printed.elapsed() >= LINE_EVERY {
            self.printed = Instant::now();
            self.line();
        }
    }

    fn line(&self) {
        let position = self.bar.position();
        let rate = position as f64 / self.started.elapsed().as_secs_f64().max(0.001);
        let left = self.total.saturating_sub(position) as f64 / rate.max(0.001);
        eprintln!("{position} of {} messages, {rate:.0} a second, {left:.0} s left", self.total);
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}
