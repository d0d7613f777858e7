//! `redoubt discover QUERY --account A|--domain D|--all [--as-of T]`, `discover list|show|cancel`

use std::time::Duration;

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{OperationId, Timestamp};
use redoubt_search::discover::Phase;
use redoubt_store::travel::Which;

use super::Common;
use super::backup_expire::duration;
use super::discover_wait::{so_far, wait};
use super::past::{Wish, short};
use crate::admin::client::{Client, encode};
use crate::admin::discovery::wire::{Begun, HitLine, Hits, JobLine, PurgedAnswer, SearchWish};
use crate::exit::{Exit, Failure};
use crate::output;

/// Hits that are printed if nobody says how many.
const SHOWN: usize = 100;

/// Search many accounts, live and in history: first how many, then which. The search is a record
/// in the log, is pinned to an index, goes on in the background, and survives a restart.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Discover {
    #[command(subcommand)]
    verb: Option<DiscoverVerb>,
    #[command(flatten)]
    ask: Ask,
    /// Print at most so many of what was found.
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    limit: usize,
    /// Do not wait for the end.
    #[arg(long)]
    background: bool,
}

/// What is looked for, and in whose mail.
#[derive(Debug, Clone, Args)]
pub struct Ask {
    /// What to look for, in the language of docs/search.md: from:bob subject:"Q 3" after:2026-11-01,
    /// and plain words for any text; "" is everything.
    query: Option<String>,
    #[command(flatten)]
    scope: Scope,
    /// Why: it is kept with the record.
    #[arg(long)]
    reason: Option<String>,
}

/// Whose mail, and which.
#[derive(Debug, Clone, Args)]
pub struct Scope {
    /// In this account, deleted ones too: an address or id; may be given more than once.
    #[arg(long, value_name = "ACCOUNT", conflicts_with = "all")]
    account: Vec<String>,
    /// In all accounts of this domain; may be given more than once.
    #[arg(long, value_name = "DOMAIN", conflicts_with = "all")]
    domain: Vec<String>,
    /// In all accounts.
    #[arg(long)]
    all: bool,
    /// In a matter, by name or id: in its custodians' accounts, or those of them that are named.
    #[arg(long, value_name = "MATTER", conflicts_with_all = ["all", "domain"])]
    matter: Option<String>,
    /// What stood there at a time or index: 2026-11-20T14:00:00Z, "yesterday 14:00", -2h, @INDEX
    #[arg(long, visible_alias = "asof", value_name = "TIME|INDEX", allow_hyphen_values = true)]
    as_of: Option<String>,
    /// Only what is there: nothing that was expunged.
    #[arg(long, conflicts_with = "deleted")]
    live: bool,
    /// Only what was expunged.
    #[arg(long)]
    deleted: bool,
}

impl Scope {
    /// Whether any mail is named.
    pub fn is_given(&self) -> bool {
        self.all || !self.account.is_empty() || !self.domain.is_empty() || self.matter.is_some()
    }

    /// The call that begins a search.
    ///
    /// # Errors
    /// A moment that does not read.
    pub fn wish(&self, query: &str, reason: Option<String>) -> anyhow::Result<SearchWish> {
        let which = match (self.deleted, self.live) {
            (true, _) => Some(Which::Expunged),
            (_, true) => Some(Which::There),
            _ => None,
        };
        let read = Wish::read(query.to_owned())?;
        Ok(SearchWish {
            as_of: read.at(self.as_of.as_deref())?,
            query: read.query,
            zone: Some(read.zone),
            accounts: self.account.clone(),
            domains: self.domain.clone(),
            all: self.all,
            matter: self.matter.clone(),
            which,
            reason,
        })
    }
}

#[derive(Debug, Subcommand)]
enum DiscoverVerb {
    /// List searches and exports of this node
    List,
    /// Show a search or export, how far it is, and what it found
    Show(Show),
    /// Stop a search or export
    Cancel {
        /// By its id.
        job: OperationId,
    },
    /// Remove what this node keeps of searches and exports that have ended
    Remove(Remove),
}

#[derive(Debug, Args)]
struct Remove {
    /// By their ids.
    #[arg(required_unless_present = "ended_before")]
    jobs: Vec<OperationId>,
    /// All that ended so long ago: 90d, 12w, 36h.
    #[arg(long, value_name = "AGE", value_parser = duration)]
    ended_before: Option<Duration>,
}

#[derive(Debug, Args)]
struct Show {
    /// By its id.
    job: OperationId,
    /// Print what it found, from a place on that the page before ended with.
    #[arg(long)]
    hits: bool,
    /// Print what of it has been purged from the history since.
    #[arg(long, conflicts_with = "hits")]
    purged: bool,
    /// Where the page before ended.
    #[arg(long, value_name = "PLACE", default_value_t = 0)]
    after: u64,
    /// Print at most so many.
    #[arg(long, value_name = "N", default_value_t = SHOWN)]
    limit: usize,
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: Discover) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb.verb {
        None => search(common, &client, &verb.ask, verb.limit, verb.background).await,
        Some(DiscoverVerb::List) => list(common, &client).await,
        Some(DiscoverVerb::Show(show)) if show.hits => {
            print_hits(common, &client, show.job, show.after, show.limit).await?;
            Ok(Exit::Done)
        }
        Some(DiscoverVerb::Show(show)) if show.purged => print_purged(common, &client, &show).await,
        Some(DiscoverVerb::Show(show)) => show_job(common, &client, show.job).await,
        Some(DiscoverVerb::Cancel { job }) => {
            let path = format!("/v1/discovery/jobs/{job}/cancel");
            let (): () = client.send(Method::POST, &path, &()).await?;
            show_job(common, &client, job).await
        }
        Some(DiscoverVerb::Remove(remove)) => removed(common, &client, &remove).await,
    }
}

fn before(age: Duration) -> Timestamp {
    let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
    Timestamp(Timestamp::now().0.saturating_sub(age))
}

/// Removes jobs that have ended, by id or by age.
async fn removed(common: &Common, client: &Client, remove: &Remove) -> anyhow::Result<Exit> {
    let mut jobs = remove.jobs.clone();
    if let Some(age) = remove.ended_before {
        let bound = rfc3339(before(age));
        let all: Vec<JobLine> = client.get("/v1/discovery/jobs").await?;
        let old = |job: &&JobLine| job.ended.as_ref().is_some_and(|ended| *ended < bound);
        jobs.extend(all.iter().filter(old).map(|job| job.job));
    }
    if jobs.is_empty() {
        output::object(common.json, &serde_json::json!({ "removed": 0 }))?;
        return Ok(Exit::Done);
    }
    let names: Vec<String> = jobs.iter().map(ToString::to_string).collect();
    let plan = format!("what was found and kept here goes, of {}", names.join(", "));
    output::confirm(&plan, common.yes)?;
    for job in &jobs {
        let path = format!("/v1/discovery/jobs/{job}");
        client.send::<_, ()>(Method::DELETE, &path, &()).await?;
    }
    output::object(common.json, &serde_json::json!({ "removed": jobs.len() }))?;
    Ok(Exit::Done)
}

/// Begins a search; says what it is pinned to.
///
/// # Errors
/// Those of the server.
pub async fn begin(common: &Common, client: &Client, wish: &SearchWish) -> anyhow::Result<Begun> {
    let begun: Begun = client.send(Method::POST, "/v1/discovery/searches", wish).await?;
    if !common.json {
        let Begun { job, accounts, pinned, pinned_time, as_of } = &begun;
        let accounts = counted(*accounts, "account");
        println!("search {job}: {accounts}, pinned to entry {pinned} ({pinned_time})");
        if as_of != pinned {
            println!("mail as of entry {as_of}");
        }
    }
    Ok(begun)
}

async fn search(
    common: &Common,
    client: &Client,
    ask: &Ask,
    limit: usize,
    background: bool,
) -> anyhow::Result<Exit> {
    let query = ask.query.as_deref();
    let query = query.ok_or_else(|| Failure::usage("say what to look for; \"\" is everything"))?;
    let begun = begin(common, client, &ask.scope.wish(query, ask.reason.clone())?).await?;
    if background {
        if common.json {
            output::json_lines([&begun])?;
        }
        return Ok(Exit::Done);
    }
    let job = wait(common, client, begun.job).await?;
    told(common, &job)?;
    print_hits(common, client, job.job, 0, limit).await?;
    Ok(exit_of(&job))
}

/// What came of a job.
///
/// # Errors
/// When standard output is closed.
pub fn told(common: &Common, job: &JobLine) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines([job]);
    }
    let what = if job.work == "search" { "found" } else { "exported" };
    println!("{} {what}", counted(job.found, "email"));
    if job.failed > 0 {
        println!("{} not exported: failed.jsonl says which and why", counted(job.failed, "email"));
    }
    if job.unproven > 0 {
        let emails = counted(job.unproven, "email");
        println!("{emails} not proven in all: `redoubt verify-export` says which and why");
    }
    for what in &job.not_searched {
        let email = what.email.map_or_else(String::new, |email| format!(", email {email}"));
        println!("not searched: account {}{email}: {}", what.account, what.why);
    }
    let more = job.not_searched_count.saturating_sub(job.not_searched.len() as u64);
    if more > 0 {
        println!("not searched: and {more} more");
    }
    match job.phase {
        Phase::Failed => println!("it could not go on: {}", job.why.as_deref().unwrap_or_default()),
        Phase::Cancelled => println!("it was stopped before its end"),
        _ => {}
    }
    Ok(())
}

/// The exit code of what came of a job.
pub fn exit_of(job: &JobLine) -> Exit {
    match job.phase {
        Phase::Failed => Exit::Failed,
        Phase::Cancelled => Exit::Partly,
        _ if job.failed + job.not_searched_count + job.unproven > 0 => Exit::Partly,
        _ => Exit::Done,
    }
}

pub(super) fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

async fn list(common: &Common, client: &Client) -> anyhow::Result<Exit> {
    let jobs: Vec<JobLine> = client.get("/v1/discovery/jobs").await?;
    if common.json {
        output::json_lines(&jobs)?;
        return Ok(Exit::Done);
    }
    let row = |job: &JobLine| {
        [
            job.job.to_string(),
            job.work.clone(),
            phase(job.phase).to_owned(),
            job.begun.clone(),
            job.by.clone(),
            job.scope.join(" "),
            job.found.to_string(),
            short(&job.query, 40),
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    output::table(["job", "work", "state", "begun", "by", "scope", "found", "query"], &rows)?;
    Ok(Exit::Done)
}

fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Asked | Phase::Running => "running",
        Phase::Ending => "ending",
        Phase::Completed => "completed",
        Phase::Cancelled => "cancelled",
        Phase::Failed => "failed",
    }
}

async fn show_job(common: &Common, client: &Client, job: OperationId) -> anyhow::Result<Exit> {
    let job: JobLine = client.get(&format!("/v1/discovery/jobs/{job}")).await?;
    if !common.json {
        let JobLine { work, query, accounts, accounts_done, pinned, pinned_time, .. } = &job;
        println!("{work} {}: {}", job.job, phase(job.phase));
        println!("query {query:?} of {}", job.scope.join(" "));
        println!("{accounts_done} of {}, {} looked at", counted(*accounts, "account"), job.looked);
        println!("pinned to entry {pinned} ({pinned_time}), mail as of entry {}", job.as_of);
        println!("asked {} by {}", job.begun, job.by);
        if let Some(matter) = job.matter {
            println!("of matter {matter}");
        }
        if let Some(reason) = &job.reason {
            println!("reason {reason:?}");
        }
        if !job.phase.has_ended() {
            println!("{}", so_far(&job));
        }
        if let (Some(search), Some(out)) = (job.search, &job.out) {
            println!("of search {search}, to {}", out.display());
        }
    }
    told(common, &job)?;
    Ok(match job.phase.has_ended() {
        true => exit_of(&job),
        false => Exit::Done,
    })
}

async fn print_hits(
    common: &Common,
    client: &Client,
    job: OperationId,
    after: u64,
    limit: usize,
) -> anyhow::Result<()> {
    let mut table = output::Table::new(HEADING);
    let (mut next, mut left) = (Some(after), limit);
    while let Some(from) = next.filter(|_| left > 0) {
        let page = encode(&from.to_string());
        let path = format!("/v1/discovery/jobs/{job}/hits?after={page}&limit={}", left.min(500));
        let hits: Hits = client.get(&path).await?;
        print_page(common, &mut table, &hits.items)?;
        left = left.saturating_sub(hits.items.len());
        next = hits.next;
    }
    if let Some(next) = next.filter(|_| !common.json && limit > 0) {
        println!("more: redoubt discover show {job} --hits --after {next}");
    }
    Ok(())
}

const HEADING: [&str; 8] =
    ["account", "mailbox", "uid", "email", "received", "from", "subject", "expunged"];

fn print_page(
    common: &Common,
    table: &mut output::Table<8>,
    items: &[HitLine],
) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(items);
    }
    let row = |hit: &HitLine| {
        let expunged = match (&hit.expunged, hit.purged) {
            (_, true) => "purged".to_owned(),
            (expunged, _) => expunged.clone().unwrap_or_else(|| "-".to_owned()),
        };
        [
            hit.account.clone(),
            hit.mailbox.clone(),
            hit.uid.to_string(),
            hit.email_id.clone(),
            hit.received.clone().unwrap_or_default(),
            short(&hit.from, 32),
            short(&hit.subject, 40),
            expunged,
        ]
    };
    let rows: Vec<_> = items.iter().map(row).collect();
    if rows.is_empty() { Ok(()) } else { table.rows(&rows) }
}

async fn print_purged(common: &Common, client: &Client, show: &Show) -> anyhow::Result<Exit> {
    let mut table = output::Table::new(HEADING);
    let (mut next, mut count) = (Some(show.after), 0_u64);
    while let Some(from) = next {
        let path = format!("/v1/discovery/jobs/{}/purged?after={from}", show.job);
        let page: PurgedAnswer = client.get(&path).await?;
        count += page.items.len() as u64;
        print_page(common, &mut table, &page.items)?;
        next = page.next;
    }
    if !common.json {
        println!("{} of what it found left the history since", counted(count, "email"));
    }
    Ok(Exit::Done)
}
