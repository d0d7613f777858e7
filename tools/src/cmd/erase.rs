//! `redoubt erase plan|begin|approve|list|show`

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::id::{EmailId, OperationId};
use redoubt_store::rows::ErasureState;
use serde_json::Value;

use super::Common;
use super::approval::Word;
use super::discover::counted;
use super::past::{Wish, short};
use crate::admin::client::{Client, encode};
use crate::admin::erasures::wire::{EraseBegun, EraseLine, EraseWish, KeptLine, Subject};
use crate::exit::{Exit, Failure};
use crate::output;

/// Let mail go for good, with all that is known of it: docs/erasure.md.
#[derive(Debug, Subcommand)]
pub enum Erase {
    /// Say what an erasure would do, and what it could not
    Plan(Which),
    /// Erase: shown first, and done with --yes
    Begin(Begin),
    /// Let an erasure go on that waits for a second person, or end it
    #[command(visible_alias = "review")]
    Approve {
        /// By its id.
        erasure: OperationId,
        /// What is said of it.
        #[command(flatten)]
        word: Word,
    },
    /// All erasures, the newest first
    List,
    /// How far an erasure is, on each node and in each place; exits 3 while anything waits
    #[command(visible_alias = "status")]
    Show {
        /// By its id.
        erasure: OperationId,
        /// Which emails were kept, and why.
        #[arg(long)]
        kept: bool,
    },
}

/// Whose mail, and which of it.
#[derive(Debug, Args)]
pub struct Which {
    /// Whose: an address or an id, of a deleted account too.
    account: String,
    /// What to look for, live and in history, in the language of docs/search.md.
    query: Option<String>,
    /// A single email, by its id; may be given more than once.
    #[arg(long = "email", value_name = "EMAILID")]
    emails: Vec<EmailId>,
    /// All that there is of the account.
    #[arg(long, conflicts_with_all = ["query", "emails"])]
    whole: bool,
}

/// An erasure to begin.
#[derive(Debug, Args)]
pub struct Begin {
    #[command(flatten)]
    which: Which,
    /// Why: it is kept with the record.
    #[arg(long)]
    reason: String,
    /// Wait until a second person approves it.
    #[arg(long)]
    review: bool,
}

impl Which {
    fn subject(&self) -> anyhow::Result<Subject> {
        if self.query.is_none() && self.emails.is_empty() && !self.whole {
            return Err(Failure::usage("say which mail: a query, --email or --whole").into());
        }
        let (query, zone) = match &self.query {
            Some(query) => {
                let wish = Wish::read(query.clone())?;
                (Some(wish.query), Some(wish.zone))
            }
            None => (None, None),
        };
        let (account, emails, whole) = (self.account.clone(), self.emails.clone(), self.whole);
        Ok(Subject { account, query, zone, emails, whole })
    }
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: Erase) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        Erase::Plan(which) => {
            let plan = plan(&client, &which.subject()?).await?;
            output::object(common.json, &plan)?;
            Ok(Exit::Done)
        }
        Erase::Begin(wish) => begin(common, &client, wish).await,
        Erase::Approve { erasure, word } => {
            word.say(common, &client, &format!("erasure:{erasure}")).await?;
            Ok(Exit::Done)
        }
        Erase::List => list(common, &client).await,
        Erase::Show { erasure, kept: true } => kept(common, &client, erasure).await,
        Erase::Show { erasure, .. } => show(common, &client, erasure).await,
    }
}

async fn plan(client: &Client, subject: &Subject) -> anyhow::Result<Value> {
    client.send(Method::POST, "/v1/erasures/plan", subject).await
}

async fn begin(common: &Common, client: &Client, wish: Begin) -> anyhow::Result<Exit> {
    let Begin { which, reason, review } = wish;
    let subject = which.subject()?;
    let planned = plan(client, &subject).await?;
    let number = |name: &str| planned.get(name).and_then(Value::as_u64).unwrap_or(0);
    let held = planned.get("held").and_then(Value::as_object);
    let held: u64 = held.into_iter().flat_map(|held| held.values()).filter_map(Value::as_u64).sum();
    let text = format!(
        "{} of {} go for good, {} octets; {held} under a hold stay",
        counted(number("emails"), "email"),
        subject.account,
        number("bytes"),
    );
    output::confirm(&text, common.yes)?;
    let wish = EraseWish { subject, reason, review };
    let begun: EraseBegun = client.send(Method::POST, "/v1/erasures", &wish).await?;
    if common.json {
        output::json_lines([&begun])?;
    } else {
        println!("erasure {}: {}", begun.erasure, counted(begun.emails, "email"));
    }
    Ok(Exit::Done)
}

fn state(line: &EraseLine) -> &'static str {
    match line.state {
        ErasureState::Review => "waits for a second person",
        ErasureState::Working => "working",
        ErasureState::Declined => "declined",
        ErasureState::Done if line.complete => "complete",
        ErasureState::Done => "done, nodes follow",
    }
}

async fn list(common: &Common, client: &Client) -> anyhow::Result<Exit> {
    let lines: Vec<EraseLine> = client.get("/v1/erasures").await?;
    if common.json {
        output::json_lines(&lines)?;
        return Ok(Exit::Done);
    }
    let row = |line: &EraseLine| {
        [
            line.erasure.to_string(),
            line.account.clone(),
            state(line).to_owned(),
            line.erased.to_string(),
            line.kept.to_string(),
            line.begun.clone(),
            line.by.clone(),
            short(line.reason.as_deref().unwrap_or_default(), 40),
        ]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    output::table(
        ["erasure", "account", "state", "erased", "kept", "begun", "by", "reason"],
        &rows,
    )?;
    Ok(Exit::Done)
}

async fn show(common: &Common, client: &Client, erasure: OperationId) -> anyhow::Result<Exit> {
    let line: EraseLine = client.get(&format!("/v1/erasures/{erasure}")).await?;
    let exit = if line.complete && line.kept == 0 { Exit::Done } else { Exit::Partly };
    if common.json {
        output::json_lines([&line])?;
        return Ok(exit);
    }
    println!("erasure {}: {}", line.erasure, state(&line));
    println!("of {}, begun {} by {} (entry {})", line.account, line.begun, line.by, line.index);
    if let Some(reason) = &line.reason {
        println!("reason {reason:?}");
    }
    if let Some(decided) = &line.decided {
        println!("{}", decided.told());
    }
    let (erased, kept) = (line.erased, line.kept);
    println!("{} of {} looked at, {erased} erased, {kept} kept", line.looked_at, line.emails);
    for node in &line.nodes {
        match &node.reported {
            None => println!("node {}: has not reported yet", node.node),
            Some(at) => println!("node {}: reported {at}", node.node),
        }
        for place in &node.places {
            let stays = match place.stays {
                0 => String::new(),
                n => format!("; {n} stay, others have them too"),
            };
            let said = place
                .pending
                .as_ref()
                .map_or("reached".to_owned(), |why| format!("pending: {why}"));
            println!("  {}: {said}{stays}", place.place);
        }
    }
    Ok(exit)
}

async fn kept(common: &Common, client: &Client, erasure: OperationId) -> anyhow::Result<Exit> {
    let mut after: Option<EmailId> = None;
    loop {
        let from =
            after.map_or(String::new(), |after| format!("?after={}", encode(&after.to_string())));
        let page: Vec<KeptLine> = client.get(&format!("/v1/erasures/{erasure}/kept{from}")).await?;
        let Some(last) = page.last() else { return Ok(Exit::Done) };
        after = Some(last.email);
        if common.json {
            output::json_lines(&page)?;
        } else {
            page.iter().for_each(|line| println!("{}: {}", line.email, line.why));
        }
    }
}
