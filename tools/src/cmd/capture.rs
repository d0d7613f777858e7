//! `redoubt capture rule add|list|remove`, `redoubt capture status`

use clap::{Args, Subcommand, ValueEnum};
use hyper::Method;
use redoubt_log::id::CaptureId;
use redoubt_log::record::CaptureDirection;
use redoubt_store::rows::Volume;

use super::Common;
use crate::admin::client::{Client, encode};
use crate::admin::wire::{CaptureBody, CaptureLine, CaptureStatus, Captured, ScopeBody};
use crate::exit::{Exit, Failure};
use crate::output;

/// What to do with capture.
#[derive(Debug, Subcommand)]
pub enum Capture {
    /// Whose mail goes into which archive account
    #[command(subcommand)]
    Rule(Rule),
    /// Show what was captured, by domain, by account and from journal reports
    Status,
}

/// What to do with capture rules.
#[derive(Debug, Subcommand)]
pub enum Rule {
    /// Capture mail from now on
    Add(Add),
    /// List all rules
    List,
    /// Capture by this rule no more; what was captured stays
    Remove {
        /// Its number.
        rule: String,
    },
}

/// A new rule.
#[derive(Debug, Args)]
pub struct Add {
    /// Whose mail.
    #[command(flatten)]
    scope: Scope,
    /// Which of it.
    #[arg(long, value_enum, default_value = "both")]
    direction: Direction,
    /// The archive account that it goes into: its address or id.
    #[arg(long, value_name = "ACCOUNT")]
    into: String,
}

/// Whose mail a rule is over: one of these.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Scope {
    /// Everybody's.
    #[arg(long)]
    all: bool,
    /// That of a domain's addresses.
    #[arg(long)]
    domain: Option<String>,
    /// That of accounts with this class of service.
    #[arg(long)]
    class: Option<String>,
    /// That of one account.
    #[arg(long)]
    account: Option<String>,
    /// Journal reports of another server, which it delivers to the archive account's address.
    #[arg(long)]
    journal: bool,
}

/// Which mail of theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// What is delivered to them.
    Delivered,
    /// What they send, as a milter shows it.
    Sent,
    /// Both.
    Both,
}

impl From<Direction> for CaptureDirection {
    fn from(direction: Direction) -> Self {
        match direction {
            Direction::Delivered => Self::Delivered,
            Direction::Sent => Self::Sent,
            Direction::Both => Self::Both,
        }
    }
}

impl Scope {
    fn body(self) -> ScopeBody {
        match (self.domain, self.class, self.account) {
            (Some(domain), _, _) => ScopeBody::Domain(domain),
            (_, Some(class), _) => ScopeBody::Class(class),
            (_, _, Some(account)) => ScopeBody::Account(account),
            _ if self.journal => ScopeBody::Journal,
            _ => ScopeBody::All,
        }
    }
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: Capture) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        Capture::Rule(Rule::Add(add)) => {
            let (scope, direction) = (add.scope.body(), add.direction.into());
            let body = CaptureBody { scope, direction, archive: add.into };
            let id: CaptureId = client.send(Method::POST, "/v1/captures", &body).await?;
            match common.json {
                true => output::json_lines([serde_json::json!({ "id": id })])?,
                false => println!("capture rule {id}"),
            }
        }
        Capture::Rule(Rule::List) => list(common, client.get("/v1/captures").await?)?,
        Capture::Rule(Rule::Remove { rule }) => remove(common, &client, &rule).await?,
        Capture::Status => status(common, client.get("/v1/captured").await?)?,
    }
    Ok(Exit::Done)
}

async fn remove(common: &Common, client: &Client, rule: &str) -> anyhow::Result<()> {
    let rules: Vec<CaptureLine> = client.get("/v1/captures").await?;
    let found = rules.into_iter().find(|line| line.id.to_string() == rule);
    let none = || Failure::usage(format!("there is no capture rule {rule}: `capture rule list`"));
    let [_, scope, direction, archive] = row(found.ok_or_else(none)?);
    let plan = format!(
        "from now on mail of {scope} ({direction}) is not captured into {archive} by rule {rule}"
    );
    output::confirm(&plan, common.yes)?;
    let path = format!("/v1/captures/{}", encode(rule));
    client.send::<_, ()>(Method::DELETE, &path, &()).await
}

fn list(common: &Common, lines: Vec<CaptureLine>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(lines);
    }
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    output::table(["id", "mail of", "direction", "into"], &rows)
}

fn row(line: CaptureLine) -> [String; 4] {
    let CaptureBody { scope, direction, archive } = line.rule;
    let (scope, direction) = match scope {
        ScopeBody::All => ("all".to_owned(), direction),
        ScopeBody::Domain(domain) => (format!("domain {domain}"), direction),
        ScopeBody::Class(class) => (format!("class {class}"), direction),
        ScopeBody::Account(account) => (format!("account {account}"), direction),
        ScopeBody::Journal => ("journal reports".to_owned(), CaptureDirection::Both),
    };
    [line.id.to_string(), scope, format!("{direction:?}").to_lowercase(), archive]
}

fn status(common: &Common, status: CaptureStatus) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines([status]);
    }
    let kinds =
        [("domain", status.domains), ("account", status.accounts), ("archive", status.archives)];
    let lines = kinds.into_iter().flat_map(|(kind, lines)| {
        lines.into_iter().map(move |Captured { name, captured }| {
            [
                kind.to_owned(),
                name,
                volume(captured.delivered),
                volume(captured.sent),
                volume(captured.journal),
                volume(captured.unread),
                captured.refused.to_string(),
            ]
        })
    });
    let rows: Vec<_> = lines.collect();
    output::table(
        ["of", "name", "delivered", "sent", "journal", "journal unread", "put off"],
        &rows,
    )
}

fn volume(volume: Volume) -> String {
    format!("{} ({})", volume.messages, output::bytes(volume.octets))
}
