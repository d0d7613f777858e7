//! A mailbox far larger than anybody should have.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use redoubt_log::record::{Actor, Flags};
use redoubt_store::mailstore::{MailboxRef, Mailstore, NewMessage};

use super::imap::Client;
use super::report::{Cell, Table};
use super::{PASSWORD, millis, node, process, user};

/// Messages in one record.
const BATCH: u64 = 1000;

/// Fills an INBOX through the store's interface, then opens it by IMAP in a fresh process.
pub(super) async fn measure(data: &Path, emails: u64) -> anyhow::Result<Table> {
    node::prepare(data).await?;
    let built = build(data, emails).await?;
    let data = data.to_owned();
    tokio::task::spawn_blocking(move || open(&data, emails, built)).await?
}

async fn build(data: &Path, emails: u64) -> anyhow::Result<Duration> {
    build_of(data, emails, |number| tiny(number).into_bytes()).await
}

/// Fills an INBOX of a new store with tiny emails, and measures it.
pub(super) async fn with_tiny(
    data: &Path,
    emails: u64,
    work: fn(&Path, u64) -> anyhow::Result<Table>,
) -> anyhow::Result<Table> {
    node::prepare(data).await?;
    build(data, emails).await?;
    let data = data.to_owned();
    tokio::task::spawn_blocking(move || work(&data, emails)).await?
}

/// Fills the first account's INBOX with emails of this content; how long it took.
pub(super) async fn build_of(
    data: &Path,
    emails: u64,
    content: impl Fn(u64) -> Vec<u8>,
) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mailstore = Mailstore::open(crate::server::options(&node::config(data))).await?;
    let filled = fill(&mailstore, emails, &content).await;
    mailstore.shutdown().await;
    filled?;
    Ok(began.elapsed())
}

/// Two batches on the way: one is taken in while the other becomes durable.
async fn fill(
    mailstore: &Mailstore,
    emails: u64,
    content: &impl Fn(u64) -> Vec<u8>,
) -> anyhow::Result<()> {
    let account = node::account(mailstore).await?;
    let view = mailstore.view().await?;
    let inbox = tokio::task::spawn_blocking(move || view.mailbox_named(account, "INBOX")).await??;
    let inbox = MailboxRef { account, mailbox: inbox.context("no INBOX")?.id };
    let half = emails / 2;
    let batches = |from: u64, to: u64| async move {
        let mut next = from;
        while next < to {
            let end = (next + BATCH).min(to);
            append(mailstore, inbox, (next..end).map(content)).await?;
            next = end;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(batches(0, half), batches(half, emails))?;
    Ok(())
}

pub(super) async fn append(
    mailstore: &Mailstore,
    inbox: MailboxRef,
    emails: impl Iterator<Item = Vec<u8>>,
) -> anyhow::Result<()> {
    let mut items = Vec::new();
    for email in emails {
        let mut content = mailstore.spool();
        content.write(&email).await?;
        items.push(NewMessage {
            content,
            received: None,
            flags: Flags::NONE,
            keywords: Vec::new(),
            uid: None,
            operation: None,
        });
    }
    let answers = mailstore.append(&Actor::SYSTEM, inbox, items).await?;
    answers.into_iter().try_for_each(|answer| answer.map(drop)).map_err(Into::into)
}

pub(super) fn tiny(number: u64) -> String {
    format!(
        "From: <sender@example.net>\r\nTo: <reader@example.org>\r\nSubject: Tick {number}\r\n\
         Message-ID: <{number}@example.net>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n\
         {number}\r\n"
    )
}

fn open(data: &Path, emails: u64, built: Duration) -> anyhow::Result<Table> {
    let began = Instant::now();
    let mut server = node::start(data)?;
    let started = began.elapsed();
    let before = process::memory(server.pid());
    let mut client = Client::login(server.imap, &user(0), PASSWORD, false)?;
    let first = client.command("SELECT INBOX")?.took;
    let after = process::memory(server.pid());
    let again = client.command("SELECT INBOX")?.took;
    let flags = client.command("FETCH 1:* (UID FLAGS)")?;
    if flags.fetches != emails {
        bail!("{} of {emails} emails came back", flags.fetches);
    }
    let page = client.command(&format!("FETCH {}:* (UID FLAGS ENVELOPE)", emails.max(50) - 49))?;
    let end = process::memory(server.pid());
    server.stop()?;
    let note = format!(
        "An INBOX of {emails} emails of some 200 octets, appended through the store's interface \
         in the same machine's process, {BATCH} in a record; then opened by IMAP in a freshly \
         started server."
    );
    let mut table = Table::new("large", "A large mailbox", note, &["what", "value", "unit"]);
    let mut row = |what: &str, value: f64, digits: usize, unit: &str| {
        table.row(vec![Cell::text(what), Cell::Number(value, digits), Cell::text(unit)]);
    };
    let mib = |bytes: u64| bytes as f64 / 1048576.0;
    row("emails", emails as f64, 0, "");
    row("built, appends a second", emails as f64 / built.as_secs_f64(), 0, "1/s");
    row("start of the server until ready", millis(started), 0, "ms");
    row("SELECT, the first", millis(first), 1, "ms");
    row("SELECT again", millis(again), 1, "ms");
    row("FETCH of the last 50 (UID FLAGS ENVELOPE)", millis(page.took), 1, "ms");
    row("FETCH 1:* (UID FLAGS)", millis(flags.took), 0, "ms");
    row("memory before the login", mib(before), 1, "MiB");
    row("memory with the mailbox selected", mib(after), 1, "MiB");
    row("memory after all of this", mib(end), 1, "MiB");
    Ok(table)
}
