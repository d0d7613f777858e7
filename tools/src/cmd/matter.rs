//! `redoubt matter add|list|show|set|close|reopen|member|custodian|note`

use clap::Subcommand;
use hyper::Method;
use redoubt_log::id::MatterId;
use redoubt_log::record::{DiscoveryEnded, DiscoveryWork, MatterRole};

use super::Common;
use crate::admin::client::{Client, encode};
use crate::admin::matters::wire::{
    CustodianWish, MatterJobLine, MatterLine, MatterPatch, MatterWhole, MatterWish, MemberWish,
    NoteWish,
};
use crate::exit::Exit;
use crate::output;

/// What to do with matters. MATTER is a name or an id.
#[derive(Debug, Subcommand)]
pub enum MatterVerb {
    /// Make a matter: who makes it by a token leads it
    Add {
        /// What it is called.
        name: String,
        /// What it is about.
        #[arg(long, default_value = "")]
        about: String,
        /// A second person has to approve each export.
        #[arg(long)]
        review_exports: bool,
    },
    /// List the matters that you are a member of
    List,
    /// Show a matter: members, custodians, holds, searches and exports, notes
    Show {
        /// Its name or id.
        matter: String,
    },
    /// Change it; what is not named stays
    Set {
        /// Its name or id.
        matter: String,
        /// What it is called from now on.
        #[arg(long)]
        name: Option<String>,
        /// What it is about.
        #[arg(long)]
        about: Option<String>,
        /// Whether a second person has to approve each export.
        #[arg(long, value_name = "yes|no", value_parser = yes_or_no)]
        review_exports: Option<bool>,
    },
    /// Nothing is searched or exported in it any more; its members see what was found
    Close {
        /// Its name or id.
        matter: String,
    },
    /// Open it again
    Reopen {
        /// Its name or id.
        matter: String,
    },
    /// Say who works on it
    #[command(subcommand)]
    Member(Member),
    /// Say whose mail it is about
    #[command(subcommand)]
    Custodian(Custodian),
    /// Write a note; it stays as it is for ever
    Note {
        /// Its name or id.
        matter: String,
        /// What is to be remembered.
        text: String,
    },
}

/// Who works on a matter.
#[derive(Debug, Subcommand)]
pub enum Member {
    /// Somebody becomes a member, or another one
    Add {
        /// The matter's name or id.
        matter: String,
        /// An address or id.
        account: String,
        /// reader: sees what was found; reviewer: searches and exports too; lead: says who is a
        /// member too.
        #[arg(value_parser = role)]
        role: MatterRole,
    },
    /// Somebody is a member no more
    Remove {
        /// The matter's name or id.
        matter: String,
        /// An address or id.
        account: String,
    },
}

/// Whose mail a matter is about.
#[derive(Debug, Subcommand)]
pub enum Custodian {
    /// An account's mail, deleted accounts' too, is what it is about
    Add {
        /// The matter's name or id.
        matter: String,
        /// Addresses or ids.
        #[arg(required = true)]
        accounts: Vec<String>,
    },
    /// It is not any more; what was found stays found
    Remove {
        /// The matter's name or id.
        matter: String,
        /// Addresses or ids.
        #[arg(required = true)]
        accounts: Vec<String>,
    },
}

fn yes_or_no(text: &str) -> Result<bool, String> {
    match text {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("say yes or no".to_owned()),
    }
}

fn role(text: &str) -> Result<MatterRole, String> {
    let all = [MatterRole::Reader, MatterRole::Reviewer, MatterRole::Lead];
    let found = all.into_iter().find(|role| role.name() == text);
    found.ok_or_else(|| "there are reader, reviewer and lead".to_owned())
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: MatterVerb) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        MatterVerb::Add { name, about, review_exports } => {
            let wish = MatterWish { name, about, review_exports };
            let id: MatterId = client.send(Method::POST, "/v1/matters", &wish).await?;
            output::object(common.json, &serde_json::json!({ "matter": id }))?;
        }
        MatterVerb::List => list(common, &client).await?,
        MatterVerb::Show { matter } => show(common, &client, &matter).await?,
        MatterVerb::Set { matter, name, about, review_exports } => {
            let patch = MatterPatch { name, about, review_exports, closed: None };
            client.send::<_, ()>(Method::PATCH, &path(&matter), &patch).await?;
        }
        MatterVerb::Close { matter } => close(&client, &matter, true).await?,
        MatterVerb::Reopen { matter } => close(&client, &matter, false).await?,
        MatterVerb::Member(Member::Add { matter, account, role }) => {
            member(&client, &matter, MemberWish { account, role: Some(role) }).await?;
        }
        MatterVerb::Member(Member::Remove { matter, account }) => {
            member(&client, &matter, MemberWish { account, role: None }).await?;
        }
        MatterVerb::Custodian(Custodian::Add { matter, accounts }) => {
            custodians(&client, &matter, accounts, true).await?;
        }
        MatterVerb::Custodian(Custodian::Remove { matter, accounts }) => {
            custodians(&client, &matter, accounts, false).await?;
        }
        MatterVerb::Note { matter, text } => {
            let path = format!("{}/notes", path(&matter));
            client.send::<_, ()>(Method::POST, &path, &NoteWish { text }).await?;
        }
    }
    Ok(Exit::Done)
}

fn path(matter: &str) -> String {
    format!("/v1/matters/{}", encode(matter))
}

async fn close(client: &Client, matter: &str, closed: bool) -> anyhow::Result<()> {
    let patch = MatterPatch { closed: Some(closed), ..MatterPatch::default() };
    client.send::<_, ()>(Method::PATCH, &path(matter), &patch).await
}

async fn member(client: &Client, matter: &str, wish: MemberWish) -> anyhow::Result<()> {
    let path = format!("{}/members", path(matter));
    client.send::<_, ()>(Method::POST, &path, &wish).await
}

async fn custodians(
    client: &Client,
    matter: &str,
    accounts: Vec<String>,
    is: bool,
) -> anyhow::Result<()> {
    let path = format!("{}/custodians", path(matter));
    for account in accounts {
        client.send::<_, ()>(Method::POST, &path, &CustodianWish { account, is }).await?;
    }
    Ok(())
}

async fn list(common: &Common, client: &Client) -> anyhow::Result<()> {
    let lines: Vec<MatterLine> = client.get("/v1/matters").await?;
    if common.json {
        return output::json_lines(lines);
    }
    let row = |line: MatterLine| {
        let own = line.own.map_or("-", MatterRole::name);
        [line.id.to_string(), line.name, state(line.closed).to_owned(), own.to_owned(), line.opened]
    };
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    output::table(["id", "name", "state", "you are", "opened"], &rows)
}

fn state(closed: bool) -> &'static str {
    if closed { "closed" } else { "open" }
}

async fn show(common: &Common, client: &Client, matter: &str) -> anyhow::Result<()> {
    let matter: MatterWhole = client.get(&path(matter)).await?;
    if common.json {
        return output::json_lines([matter]);
    }
    let MatterWhole { line, about, review_exports, members, custodians, holds, jobs, notes } =
        matter;
    println!("matter {} {:?}: {}", line.id, line.name, state(line.closed));
    println!("opened {} by {}", line.opened, line.by);
    if !about.is_empty() {
        println!("{about}");
    }
    if review_exports {
        println!("a second person has to approve each export");
    }
    println!();
    let rows: Vec<_> =
        members.into_iter().map(|m| [m.account, m.role.to_string(), m.since]).collect();
    output::table(["member", "role", "since"], &rows)?;
    println!();
    let rows: Vec<_> = custodians.into_iter().map(|c| [c.account, c.since]).collect();
    output::table(["custodian", "since"], &rows)?;
    println!();
    super::hold::table(holds)?;
    println!();
    let rows: Vec<_> = jobs.into_iter().map(job).collect();
    output::table(["job", "work", "of", "by", "begun", "pinned", "came to"], &rows)?;
    for note in notes {
        println!("\nnote {}, {} by {}:\n{}", note.number, note.time, note.by, note.text);
    }
    Ok(())
}

fn job(line: MatterJobLine) -> [String; 7] {
    let ended = line.end.map_or_else(
        || "not ended".to_owned(),
        |end| match end.ended {
            DiscoveryEnded::Completed => format!("{} emails", end.found),
            DiscoveryEnded::Cancelled => "stopped".to_owned(),
            DiscoveryEnded::Failed => "failed".to_owned(),
        },
    );
    let work = match line.work {
        DiscoveryWork::Search => "search",
        DiscoveryWork::Export => "export",
    };
    [
        line.job.to_string(),
        work.to_owned(),
        line.of.map_or_else(|| "-".to_owned(), |of| of.to_string()),
        line.by,
        line.begun,
        line.pinned.to_string(),
        ended,
    ]
}
