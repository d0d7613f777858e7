//! A search over many accounts: its first page and its end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::Method;
use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address, Change, DomainAdd, DomainSettings,
};
use redoubt_store::mailstore::{MailboxRef, Mailstore};

use super::report::{Cell, Table};
use super::search::{indexed, mail, once};
use super::server::Server;
use super::{DOMAIN, large, millis, node, process, quantile, say};
use crate::admin::client::Client;
use crate::admin::discovery::wire::{Begun, Hits, JobLine, SearchWish};

/// Accounts that the emails are spread over.
const ACCOUNTS: u64 = 2000;
/// Words of an email.
const WORDS: u64 = 100;
/// Searches of each kind after the first.
const TIMES: usize = 5;
/// Hits of a page.
const PAGE: usize = 100;
/// Between two looks at a search.
const LOOK: Duration = Duration::from_millis(5);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What is measured, and the query.
type Measured = (&'static str, fn() -> String);

/// What is looked for.
const QUERIES: [Measured; 6] = [
    ("nothing is found", || "content:nothinglikethis".into()),
    ("a rare word", || mail::rare(77)),
    ("a sender", || "from:sender7@example.net".into()),
    ("a sender in a year", || "from:sender7@example.net date:2021".into()),
    ("a frequent word", || format!("subject:{}", mail::word(2))),
    // Last: it opens most of all messages.
    ("a phrase of frequent words", || format!("body:\"{} {}\"", mail::word(3), mail::word(1))),
];

/// Fills accounts, or takes those of an earlier run, and searches all of them.
pub(super) fn measure(dir: &Path, emails: u64) -> anyhow::Result<Table> {
    let runtime = tokio::runtime::Handle::current();
    std::fs::create_dir_all(dir)?;
    let data = dir.join(format!("discovery-{emails}"));
    once(&data, "filled", || runtime.block_on(fill(&data, emails)))?;
    let built = once(&data, "indexed", || {
        say("  they are indexed");
        let (mut server, _) = indexed(&data, emails)?;
        server.stop()
    })?;
    let mut server = node::start(&data)?;
    let table = searches(&data, &server, emails, built);
    server.stop()?;
    table
}

async fn fill(data: &Path, emails: u64) -> anyhow::Result<()> {
    say(&format!("  {ACCOUNTS} accounts are filled with {emails} emails"));
    crate::server::make_data_directory(data)?;
    let mailstore = Mailstore::open(crate::server::options(&node::config(data))).await?;
    let filled = accounts(&mailstore, emails).await;
    mailstore.shutdown().await;
    filled
}

async fn accounts(mailstore: &Mailstore, emails: u64) -> anyhow::Result<()> {
    let domain = DomainAdd { domain: DOMAIN.into(), settings: DomainSettings::default() };
    submit(mailstore, Change::DomainAdd(domain)).await?;
    // Several on the way: one is taken in while another becomes durable.
    let every = |first: u64| async move {
        for number in (first..ACCOUNTS).step_by(4) {
            account(mailstore, number, emails / ACCOUNTS).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(every(0), every(1), every(2), every(3))?;
    Ok(())
}

async fn account(mailstore: &Mailstore, number: u64, emails: u64) -> anyhow::Result<()> {
    let add = AccountAdd {
        address: Address { local: format!("d{number}"), domain: DOMAIN.into() },
        settings: AccountSettings::default(),
        password: None,
    };
    submit(mailstore, Change::AccountAdd(add)).await?;
    let (view, name) = (mailstore.view().await?, format!("d{number}@{DOMAIN}"));
    let found = tokio::task::spawn_blocking(move || -> anyhow::Result<(AccountId, _)> {
        let account = view.login(&name, DOMAIN)?.context("an account is not there")?.id;
        Ok((account, view.mailbox_named(account, "INBOX")?.context("no INBOX")?.id))
    });
    let (account, mailbox) = found.await??;
    let numbers = number * emails..(number + 1) * emails;
    let content = numbers.map(|number| mail::email_of(number, WORDS));
    large::append(mailstore, MailboxRef { account, mailbox }, content).await
}

async fn submit(mailstore: &Mailstore, change: Change) -> anyhow::Result<()> {
    let outcome = mailstore.submit(&Actor::SYSTEM, OperationId::random(), change).await?;
    outcome.result.map(drop).map_err(Into::into)
}

/// How one search went.
struct Searched {
    page: Duration,
    total: Duration,
    found: u64,
    looked: u64,
}

fn searches(data: &Path, server: &Server, emails: u64, built: f64) -> anyhow::Result<Table> {
    let mut table = table(emails, built);
    let client = Client::new(node::config(data).admin_socket());
    for (what, query) in QUERIES {
        let query = query();
        let before = process::cpu(server.pid());
        let first = match one(&client, &query) {
            Ok(first) => first,
            Err(error) => {
                say(&format!("    {what} was not measured: {error:#}"));
                continue;
            }
        };
        let mut all = Vec::new();
        while all.len() < TIMES && first.total < PATIENCE / 10 {
            all.push(one(&client, &query)?);
        }
        let cpu = process::cpu(server.pid()).saturating_sub(before) / (all.len() as u32 + 1);
        let cells = cells(what, &first, &all, cpu);
        let line: Vec<String> = cells.iter().map(Cell::print).collect();
        say(&format!("    {}", line.join(" | ")));
        table.row(cells);
    }
    Ok(table)
}

fn one(client: &Client, query: &str) -> anyhow::Result<Searched> {
    tokio::runtime::Handle::current().block_on(search(client, query))
}

async fn search(client: &Client, query: &str) -> anyhow::Result<Searched> {
    let wish = SearchWish {
        matter: None,
        query: query.into(),
        zone: None,
        accounts: Vec::new(),
        domains: Vec::new(),
        all: true,
        as_of: None,
        which: None,
        reason: None,
    };
    let began = Instant::now();
    let begun: Begun = client.send(Method::POST, "/v1/discovery/searches", &wish).await?;
    let mut page = None;
    loop {
        let job: JobLine = client.get(&format!("/v1/discovery/jobs/{}", begun.job)).await?;
        let ended = job.phase.has_ended();
        let total = began.elapsed();
        if page.is_none() && (ended || job.found >= PAGE as u64) {
            let path = format!("/v1/discovery/jobs/{}/hits?limit={PAGE}", begun.job);
            let hits: Hits = client.get(&path).await?;
            if ended || hits.items.len() >= PAGE {
                page = Some(began.elapsed());
            }
        }
        if ended {
            if let Some(why) = job.why {
                bail!("{query}: {why}");
            }
            let page = page.unwrap_or(total);
            return Ok(Searched { page, total, found: job.found, looked: job.looked });
        }
        if total > PATIENCE {
            bail!(
                "{query}: {} of {} accounts after {} s",
                job.accounts_done,
                job.accounts,
                total.as_secs()
            );
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn cells(what: &str, first: &Searched, all: &[Searched], cpu: Duration) -> Vec<Cell> {
    let of = |what: fn(&Searched) -> Duration| {
        let mut times: Vec<Duration> = all.iter().map(what).collect();
        times.sort_unstable();
        match times.is_empty() {
            true => Cell::Nothing,
            false => Cell::Number(millis(quantile(&times, 0.5)), 0),
        }
    };
    vec![
        Cell::text(what),
        Cell::count(first.found),
        Cell::count(first.looked),
        Cell::Number(millis(first.page), 0),
        Cell::Number(millis(first.total), 0),
        of(|searched| searched.page),
        of(|searched| searched.total),
        Cell::Number(millis(cpu), 0),
    ]
}

fn table(emails: u64, built: f64) -> Table {
    let note = format!(
        "{ACCOUNTS} accounts with {emails} emails of some {WORDS} words in all, indexed in \
         {built:.0} s. A search over all of them by the admin API, live mail and history: from the \
         call that begins it (its record in the log is before all else) until the first {PAGE} of \
         what it found are answered, or all if that are fewer, and until it ended (its second \
         record is in the log). The first of a kind, the first row's in a server that was just \
         started, and the median of {TIMES} more."
    );
    let columns = [
        "query",
        "found",
        "looked at",
        "first: page ms",
        "first: end ms",
        "page ms",
        "end ms",
        "CPU ms",
    ];
    Table::new("discovery", "Discovery", note, &columns)
}
