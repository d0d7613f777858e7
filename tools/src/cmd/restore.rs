//! `redoubt restore email|undelete|rewind|account|copy|list|show|resume|cancel`

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Zoned;
use redoubt_log::id::OperationId;
use redoubt_log::record::RestoreMode;
use redoubt_store::moment::Moment;
use serde_json::Value;

use super::Common;
use super::past::Wish;
use crate::admin::client::{Client, encode};
use crate::admin::restore_wire::{OutcomeLine, RestoreAsk, RestoreBody, RestorePlan};
use crate::exit::{Exit, Failure};
use crate::output;

/// How often the server is asked how far it has come; sooner at first, for one email takes
/// milliseconds.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// When it is asked for the second time.
const ASK_SOON: Duration = Duration::from_millis(2);
/// How often a line says so where there is no terminal.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long a server that does not answer is asked again: it may be starting, or electing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Emails of a search that one restore takes at most.
const MAX_FOUND: usize = 200_000;

/// Bring back what was: emails, deleted mail and mailboxes, a whole account, a moment.
/// More than one email, and whatever is not only emails, is shown first and done with --yes.
/// TIME|INDEX: 2026-11-20T14:00:00Z, "2026-11-20 14:00", "yesterday 14:00", -2h, @INDEX.
#[derive(Debug, Subcommand)]
pub enum Restore {
    /// Emails, by their ids, their places, or a search in the history
    Email(EmailArgs),
    /// What was deleted in an interval: emails, and mailboxes with what they held
    Undelete(UndeleteArgs),
    /// An account or a mailbox as it was; what came later stays
    Rewind(RewindArgs),
    /// A deleted account, with its id, its mail and its credentials
    Account(AccountArgs),
    /// An account as of a moment, into a new one
    Copy(CopyArgs),
    /// Restores of the last 90 days, the newest first
    List,
    /// What came of a restore, step by step
    Show {
        /// Its id.
        id: OperationId,
        /// Only what was skipped or failed.
        #[arg(long)]
        problems: bool,
    },
    /// Go on with a restore at once, and wait for it
    Resume {
        /// Its id.
        id: OperationId,
    },
    /// Stop a restore; what was done stays
    Cancel {
        /// Its id.
        id: OperationId,
    },
}

/// How it is done.
#[derive(Debug, Args)]
pub struct How {
    /// Beyond the account's quota too.
    #[arg(long)]
    over_quota: bool,
    /// Into INBOX where a mailbox is deleted again meanwhile.
    #[arg(long)]
    inbox_if_gone: bool,
    /// Do not wait for the end; `redoubt restore show` says how far it has come.
    #[arg(long)]
    no_wait: bool,
}

/// `redoubt restore email`
#[derive(Debug, Args)]
pub struct EmailArgs {
    /// Whose: an address or id.
    account: String,
    /// Emails: EMAILID or MAILBOX/UID.
    #[arg(required_unless_present = "find")]
    emails: Vec<String>,
    /// Emails that match, as `redoubt find` finds them; without --at in all of the history.
    #[arg(long, value_name = "QUERY", conflicts_with = "emails")]
    find: Option<String>,
    /// As they were then; without it as they were last.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true)]
    at: Option<String>,
    /// Into this mailbox, made if it is not there.
    #[arg(long, value_name = "MAILBOX")]
    into: Option<String>,
    /// Into this account.
    #[arg(long, value_name = "ACCOUNT")]
    to: Option<String>,
    /// Flags and keywords of what is there too.
    #[arg(long)]
    flags: bool,
    /// How.
    #[command(flatten)]
    how: How,
}

/// `redoubt restore undelete`
#[derive(Debug, Args)]
pub struct UndeleteArgs {
    /// Whose: an address or id.
    account: String,
    /// What was deleted after this.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true)]
    since: String,
    /// What was deleted up to this; now without it.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true)]
    until: Option<String>,
    /// What this actor deleted: an account, uid:N, mta or system.
    #[arg(long, value_name = "ACTOR")]
    by: Option<String>,
    /// Only of this mailbox and those below it, by its name then or now.
    #[arg(long)]
    mailbox: Option<String>,
    /// How.
    #[command(flatten)]
    how: How,
}

/// What of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Only {
    /// Flags and keywords.
    Flags,
}

/// `redoubt restore rewind`
#[derive(Debug, Args)]
pub struct RewindArgs {
    /// Whose: an address or id.
    account: String,
    /// Back to when.
    #[arg(
        long,
        value_name = "TIME|INDEX",
        allow_hyphen_values = true,
        required_unless_present = "by"
    )]
    at: Option<String>,
    /// Only this mailbox, by its name then.
    #[arg(long)]
    mailbox: Option<String>,
    /// Only emails that match, of those that were there then.
    #[arg(long, value_name = "QUERY")]
    find: Option<String>,
    /// Only flags and keywords.
    #[arg(long, value_enum)]
    only: Option<Only>,
    /// What came later goes.
    #[arg(long)]
    exact: bool,
    /// Undo what this actor did between --from and --to: an account, uid:N, mta or system.
    #[arg(long, value_name = "ACTOR", conflicts_with = "at", requires = "from")]
    by: Option<String>,
    /// The beginning of what is undone.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true, requires = "by")]
    from: Option<String>,
    /// The end of what is undone; now without it.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true, requires = "by")]
    to: Option<String>,
    /// How.
    #[command(flatten)]
    how: How,
}

/// `redoubt restore account`
#[derive(Debug, Args)]
pub struct AccountArgs {
    /// Which: the address it had, or its id.
    account: String,
    /// Under another address.
    #[arg(long = "as", value_name = "ADDRESS")]
    new: Option<String>,
    /// How.
    #[command(flatten)]
    how: How,
}

/// `redoubt restore copy`
#[derive(Debug, Args)]
pub struct CopyArgs {
    /// Whose: an address or id; a deleted account too.
    account: String,
    /// As of when.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true)]
    at: String,
    /// The address of the new account; it gets no password.
    #[arg(long = "as", value_name = "NEW")]
    new: String,
    /// How.
    #[command(flatten)]
    how: How,
}

fn ask(mode: RestoreMode, account: String, how: &How) -> RestoreAsk {
    RestoreAsk {
        mode,
        account,
        emails: Vec::new(),
        only_emails: false,
        at: None,
        since: None,
        until: None,
        by: None,
        mailbox: None,
        into: None,
        to: None,
        new: None,
        flags: false,
        only_flags: false,
        exact: false,
        over_quota: how.over_quota,
        inbox_if_gone: how.inbox_if_gone,
    }
}

/// A moment as the server reads it: times of this machine's zone are in UTC then.
fn moment(text: &str) -> anyhow::Result<String> {
    let moment = Moment::parse(text, &Zoned::now());
    Ok(moment.map_err(|error| Failure::usage(error.to_string()))?.to_string())
}

fn moments(text: Option<&str>) -> anyhow::Result<Option<String>> {
    text.map(moment).transpose()
}

/// # Errors
/// Those of the server, and [`Exit::NeedsYes`] where a plan was only shown.
pub async fn run(common: &Common, verb: Restore) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let (ask, how) = match verb {
        Restore::List => return list(common, &client).await,
        Restore::Show { id, problems } => return show(common, &client, id, problems).await,
        Restore::Resume { id } => {
            let path = format!("/v1/restores/{id}/resume");
            client.send::<_, RestoreBody>(Method::POST, &path, &()).await?;
            return wait(common, &client, id).await;
        }
        Restore::Cancel { id } => {
            let path = format!("/v1/restores/{id}/cancel");
            client.send::<_, ()>(Method::POST, &path, &()).await?;
            return Ok(Exit::Done);
        }
        Restore::Email(args) => email(&client, args).await?,
        Restore::Undelete(args) => undelete(args)?,
        Restore::Rewind(args) => rewind(&client, args).await?,
        Restore::Account(args) => {
            let mut ask = ask(RestoreMode::Account, args.account, &args.how);
            ask.new = args.new;
            (ask, args.how)
        }
        Restore::Copy(args) => {
            let mut ask = ask(RestoreMode::Copy, args.account, &args.how);
            (ask.at, ask.new) = (Some(moment(&args.at)?), Some(args.new));
            (ask, args.how)
        }
    };
    do_it(common, &client, ask, &how).await
}

async fn email(client: &Client, args: EmailArgs) -> anyhow::Result<(RestoreAsk, How)> {
    let mut ask = ask(RestoreMode::Email, args.account, &args.how);
    ask.at = moments(args.at.as_deref())?;
    ask.emails = match &args.find {
        Some(query) => {
            let wish = Wish::read(query.clone())?;
            ask.at = wish.at(args.at.as_deref())?;
            find(client, &ask.account, &wish, ask.at.as_deref()).await?
        }
        None => args.emails,
    };
    (ask.into, ask.to, ask.flags) = (args.into, args.to, args.flags);
    Ok((ask, args.how))
}

fn undelete(args: UndeleteArgs) -> anyhow::Result<(RestoreAsk, How)> {
    let mut ask = ask(RestoreMode::Undelete, args.account, &args.how);
    ask.since = Some(moment(&args.since)?);
    ask.until = moments(args.until.as_deref())?;
    (ask.by, ask.mailbox) = (args.by, args.mailbox);
    Ok((ask, args.how))
}

async fn rewind(client: &Client, args: RewindArgs) -> anyhow::Result<(RestoreAsk, How)> {
    let mut ask = ask(RestoreMode::Rewind, args.account, &args.how);
    ask.at = moments(args.at.as_deref())?;
    ask.since = moments(args.from.as_deref())?;
    ask.until = moments(args.to.as_deref())?;
    if let Some(query) = &args.find {
        let wish = Wish::read(query.clone())?;
        let at = wish.at(args.at.as_deref().or(args.from.as_deref()))?;
        ask.emails = find(client, &ask.account, &wish, at.as_deref()).await?;
        ask.only_emails = true;
    }
    (ask.by, ask.mailbox, ask.exact) = (args.by, args.mailbox, args.exact);
    ask.only_flags = args.only == Some(Only::Flags);
    Ok((ask, args.how))
}

/// The ids of emails that match, of a moment or of all of the history.
async fn find(
    client: &Client,
    account: &str,
    wish: &Wish,
    at: Option<&str>,
) -> anyhow::Result<Vec<String>> {
    let Wish { query, zone, looks_back, .. } = wish;
    let there = if *looks_back { "both" } else { "there" };
    let (which, at) = at.map_or(("both", "now"), |at| (there, at));
    let path = format!("/v1/accounts/{}/travel/find", encode(account));
    let asked = format!("query={}&zone={}", encode(query), encode(zone));
    let path = format!("{path}?{asked}&which={which}&at={}", encode(at));
    let mut ids: Vec<String> = Vec::new();
    let mut seen = std::collections::BTreeSet::new();
    let mut after = String::new();
    loop {
        let page: Value = client.get(&format!("{path}{after}")).await?;
        for item in page.get("items").and_then(Value::as_array).into_iter().flatten() {
            if let Some(id) = item.get("email_id").and_then(Value::as_str)
                && seen.insert(id.to_owned())
            {
                ids.push(id.to_owned());
            }
        }
        if ids.len() > MAX_FOUND {
            let text = format!("more than {MAX_FOUND} emails match: say more, or use `rewind`");
            return Err(Failure::usage(text).into());
        }
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={}", encode(next)),
            None if ids.is_empty() => {
                let text = format!("no email matches {query:?}; `redoubt find` searches the same");
                return Err(Failure::new(Exit::Failed, text).into());
            }
            None => return Ok(ids),
        }
    }
}

/// Shows the plan where more than one email is concerned, then does it.
async fn do_it(
    common: &Common,
    client: &Client,
    ask: RestoreAsk,
    how: &How,
) -> anyhow::Result<Exit> {
    let one = ask.mode == RestoreMode::Email && ask.emails.len() == 1;
    let mut ask = ask;
    if !one || ask.at.is_some() {
        let plan: RestorePlan = client.send(Method::POST, "/v1/restores/plan", &ask).await?;
        match (one, common.yes, common.json) {
            (false, false, _) => print_plan(common, &plan)?,
            (_, _, false) => print_moments(&plan),
            _ => {}
        }
        // What is done is what was shown, should the server have gone on meanwhile.
        for moment in &plan.moments {
            let index = Some(format!("@{}", moment.index));
            match moment.what.as_str() {
                "since" | "from" => ask.since = index,
                "until" | "to" => ask.until = index,
                _ => ask.at = index,
            }
        }
        if !one {
            output::confirm("", common.yes)?;
        }
    }
    let id: OperationId = client.send(Method::POST, "/v1/restores", &ask).await?;
    if how.no_wait {
        output::object(common.json, &serde_json::json!({ "id": id }))?;
        return Ok(Exit::Done);
    }
    wait(common, client, id).await
}

fn print_moments(plan: &RestorePlan) {
    for moment in &plan.moments {
        println!("{}: {} (index {})", moment.what, moment.time, moment.index);
    }
}

fn print_plan(common: &Common, plan: &RestorePlan) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines([plan]);
    }
    print_moments(plan);
    let row = |line: &redoubt_store::restore::Line| {
        [line.what.clone(), line.mailbox.clone(), line.count.to_string()]
    };
    let rows: Vec<_> = plan.summary.lines.iter().map(row).collect();
    output::table(["what", "mailbox", "count"], &rows)?;
    println!(
        "{} emails, {} steps; what is there already stays as it is",
        plan.summary.emails, plan.summary.steps
    );
    Ok(())
}

/// Waits for the end, and says what came of it.
async fn wait(common: &Common, client: &Client, id: OperationId) -> anyhow::Result<Exit> {
    let mut progress: Option<Progress> = None;
    let mut pause = ASK_SOON;
    let body = loop {
        let body = patiently(client, id).await?;
        if body.state != "running" {
            break body;
        }
        progress.get_or_insert_with(|| Progress::new(&body)).tell(&body);
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(ASK_EVERY);
    };
    if let Some(progress) = progress {
        progress.bar.finish_and_clear();
    }
    if common.json {
        output::json_lines([&body])?;
    } else {
        told(&body);
    }
    let whole = body.counts.failed == 0 && body.state == "completed";
    Ok(if whole { Exit::Done } else { Exit::Partly })
}

/// The restore goes on while the server that is asked is away, or starts again.
async fn patiently(client: &Client, id: OperationId) -> anyhow::Result<RestoreBody> {
    let began = Instant::now();
    loop {
        let answer = client.get(&format!("/v1/restores/{id}")).await;
        let away = |error: &anyhow::Error| {
            let failure = error.downcast_ref::<Failure>();
            failure.is_some_and(|failure| failure.exit == Exit::NotReachable)
        };
        match answer {
            Err(error) if away(&error) && began.elapsed() < PATIENCE => {
                tokio::time::sleep(ASK_EVERY).await;
            }
            answer => return answer,
        }
    }
}

fn told(body: &RestoreBody) {
    let counts = &body.counts;
    println!(
        "restore {}: {}: {} created, {} changed, {} merged, {} skipped, {} failed",
        body.id,
        body.state,
        counts.created,
        counts.changed,
        counts.merged,
        counts.skipped,
        counts.failed
    );
    if counts.failed + counts.skipped > 0 {
        println!("`redoubt restore show {} --problems` says why", body.id);
    }
}

/// A bar with rate and ETA on a terminal, a line now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    terminal: bool,
    printed: Instant,
}

impl Progress {
    fn new(body: &RestoreBody) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target =
            if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let template = "{wide_bar} {pos}/{len} steps, {per_sec}, {eta} left";
        let style =
            ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(body.steps), target).with_style(style);
        Self { bar, terminal, printed: Instant::now() }
    }

    fn tell(&mut self, body: &RestoreBody) {
        self.bar.set_position(body.done);
        if !self.terminal && self.printed.elapsed() > TELL_EVERY {
            self.printed = Instant::now();
            let _ = writeln!(std::io::stderr(), "{} of {} steps", body.done, body.steps);
        }
    }
}

async fn list(common: &Common, client: &Client) -> anyhow::Result<Exit> {
    let all: Vec<RestoreBody> = client.get("/v1/restores").await?;
    if common.json {
        output::json_lines(all)?;
        return Ok(Exit::Done);
    }
    let row = |body: RestoreBody| {
        [
            body.id.to_string(),
            format!("{:?}", body.mode).to_lowercase(),
            body.account,
            body.state,
            format!("{}/{}", body.done, body.steps),
            body.counts.failed.to_string(),
            body.begun,
            body.by,
        ]
    };
    let rows: Vec<_> = all.into_iter().map(row).collect();
    output::table(["id", "mode", "account", "state", "steps", "failed", "begun", "by"], &rows)?;
    Ok(Exit::Done)
}

async fn show(
    common: &Common,
    client: &Client,
    id: OperationId,
    problems: bool,
) -> anyhow::Result<Exit> {
    let body: RestoreBody = client.get(&format!("/v1/restores/{id}")).await?;
    match common.json {
        true => output::json_lines([&body])?,
        false => told(&body),
    }
    let mut from = 0;
    let mut rows = Vec::new();
    loop {
        let path = format!("/v1/restores/{id}/outcomes?from={from}");
        let mut page: Vec<OutcomeLine> = client.get(&path).await?;
        let Some(last) = page.last() else { break };
        from = last.step + 1;
        page.retain(|line| !problems || line.why.is_some());
        match common.json {
            true => output::json_lines(page)?,
            false => rows.extend(page.into_iter().map(outcome_row)),
        }
    }
    if !common.json && !rows.is_empty() {
        output::table(["step", "what", "of", "outcome", "now", "why"], &rows)?;
    }
    Ok(Exit::Done)
}

fn outcome_row(line: OutcomeLine) -> [String; 6] {
    let now = match (line.mailbox, line.uid) {
        (Some(mailbox), Some(uid)) => format!("{mailbox}/{uid}"),
        _ => "-".to_owned(),
    };
    let why = line.why.unwrap_or_else(|| "-".to_owned());
    [line.step.to_string(), line.what, line.of, line.outcome, now, why]
}
