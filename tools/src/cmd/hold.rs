//! `redoubt hold set|list|show|move|release|cancel|approve`

use clap::{Args, Subcommand};
use hyper::Method;

use super::Common;
use super::approval::Word;
use super::class::{seconds, time};
use super::past::short;
use crate::admin::client::Client;
use crate::admin::holds_wire::{
    HoldLine, HoldMade, HoldShown, HoldState, HoldWish, MoveWish, ReleaseWish,
};
use crate::exit::Exit;
use crate::output;

/// What to do with holds. HOLD is a number.
#[derive(Debug, Subcommand)]
pub enum HoldVerb {
    /// Keep what is there and what will come, whoever deletes it and whatever is configured
    Set(Set),
    /// List holds
    List,
    /// Show a hold, and what it comes to
    Show {
        /// Its number.
        hold: u64,
    },
    /// Say that a hold is for another matter from now on: an open one
    Move {
        /// Its number.
        hold: u64,
        /// The matter's name or id.
        #[arg(long)]
        matter: String,
    },
    /// Release a hold: it ends after the delay that it was set with
    Release {
        /// Its number.
        hold: u64,
        /// A longer delay, such as 60d; a shorter one changes nothing.
        #[arg(long, value_name = "TIME")]
        delay: Option<String>,
    },
    /// Take a release back: the hold stays
    Cancel {
        /// Its number.
        hold: u64,
    },
    /// End a released hold before its delay is over, as another person than who released it
    Approve {
        /// Its number.
        hold: u64,
        /// What is said of it.
        #[command(flatten)]
        word: Word,
    },
}

/// What a hold says.
#[derive(Debug, Clone, Args)]
pub struct Set {
    /// The account's address or id; with --query several.
    #[arg(long, value_name = "ACCOUNT")]
    account: Vec<String>,
    /// All accounts of a domain, those too that come into it later.
    #[arg(long)]
    domain: Option<String>,
    /// All accounts; with --query only.
    #[arg(long)]
    all: bool,
    /// Only what matches a query.
    #[arg(long)]
    query: Option<String>,
    /// What it is called.
    #[arg(long, default_value = "")]
    name: String,
    /// Why it is set: it is kept with the record.
    #[arg(long, default_value = "")]
    reason: String,
    /// The matter that it is for: a name or id.
    #[arg(long)]
    matter: Option<String>,
    /// For how long it stays in force once it is released, such as 60d; what
    /// `retention.hold_delay_days` says without this.
    #[arg(long, value_name = "TIME")]
    delay: Option<String>,
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: HoldVerb) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        HoldVerb::Set(set) => {
            let made: HoldMade = client.send(Method::POST, "/v1/holds", &set.wish()?).await?;
            match common.json {
                true => output::json_lines([made])?,
                false => println!("hold {}", made.hold),
            }
        }
        HoldVerb::List => list(common, client.get("/v1/holds").await?)?,
        HoldVerb::Show { hold } => show(common, client.get(&path(hold)).await?)?,
        HoldVerb::Release { hold, delay } => release(common, &client, hold, delay).await?,
        HoldVerb::Move { hold, matter } => {
            let wish = MoveWish { matter };
            client.send::<_, ()>(Method::POST, &format!("{}/move", path(hold)), &wish).await?;
        }
        HoldVerb::Cancel { hold } => {
            client.send::<_, ()>(Method::POST, &format!("{}/cancel", path(hold)), &()).await?;
        }
        HoldVerb::Approve { hold, word } => {
            word.say(common, &client, &format!("hold:{hold}")).await?;
        }
    }
    Ok(Exit::Done)
}

impl Set {
    fn wish(self) -> anyhow::Result<HoldWish> {
        let Self { account, domain, all, query, name, reason, matter, delay } = self;
        let delay = delay.as_deref().map(seconds).transpose()?;
        Ok(HoldWish { accounts: account, domain, all, query, name, reason, matter, delay })
    }
}

async fn release(
    common: &Common,
    client: &Client,
    hold: u64,
    delay: Option<String>,
) -> anyhow::Result<()> {
    let delay = delay.as_deref().map(seconds).transpose()?;
    let now: HoldShown = client.get(&path(hold)).await?;
    let stays = time(now.line.delay.max(delay.unwrap_or(0)));
    let over = &now.line.over;
    output::confirm(&format!("hold {hold} over {over} ends after {stays}"), common.yes)?;
    let wish = ReleaseWish { delay };
    client.send(Method::POST, &format!("{}/release", path(hold)), &wish).await
}

fn path(hold: u64) -> String {
    format!("/v1/holds/{hold}")
}

fn list(common: &Common, lines: Vec<HoldLine>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(lines);
    }
    table(lines)
}

pub(super) fn table(lines: Vec<HoldLine>) -> anyhow::Result<()> {
    let row = |line: HoldLine| {
        let state = state(&line);
        let query = line.query.unwrap_or_else(|| "-".to_owned());
        let matter = line.matter.map_or_else(|| "-".to_owned(), |matter| matter.to_string());
        let reason = short(&line.reason, 40);
        [line.hold.to_string(), line.name, line.over, query, matter, reason, line.set, state]
    };
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    output::table(["hold", "name", "over", "query", "matter", "reason", "set", "state"], &rows)
}

fn state(line: &HoldLine) -> String {
    match (line.state, &line.until) {
        (HoldState::Releasing, Some(until)) => format!("releasing until {until}"),
        (HoldState::Ending, _) => "ending".to_owned(),
        _ => "held".to_owned(),
    }
}

fn show(common: &Common, shown: HoldShown) -> anyhow::Result<()> {
    output::object(common.json, &shown)
}
