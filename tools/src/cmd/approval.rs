//! `redoubt approval list|give|refuse`, and the same word for the verbs of what waits.

use clap::{Args, Subcommand};
use hyper::Method;

use super::Common;
use crate::admin::approvals::{ApprovalLine, DecisionWish};
use crate::admin::client::{Client, encode};
use crate::exit::Exit;
use crate::output;

/// What a second person decides.
#[derive(Debug, Subcommand)]
pub enum ApprovalVerb {
    /// List what waits for a second person: exports, releases of holds, policies, erasures
    List {
        /// What was decided too, and what ended otherwise.
        #[arg(long)]
        all: bool,
    },
    /// Let it be: it goes on at once
    Give(Decide),
    /// It is not done
    Refuse(Decide),
}

/// Which, and why.
#[derive(Debug, Args)]
pub struct Decide {
    /// As `approval list` names it; of exports and erasures the id suffices.
    #[arg(value_name = "WHAT")]
    of: String,
    /// Why: it is kept with the record.
    #[arg(long, default_value = "")]
    note: String,
}

/// What a second person says of something that a verb of its own names.
#[derive(Debug, Clone, Args)]
pub struct Word {
    /// It is not done.
    #[arg(long, visible_alias = "decline")]
    refuse: bool,
    /// Why: it is kept with the record.
    #[arg(long, default_value = "")]
    note: String,
}

impl Word {
    /// # Errors
    /// Those of the server.
    pub async fn say(self, common: &Common, client: &Client, of: &str) -> anyhow::Result<()> {
        decide(common, client, of, !self.refuse, self.note).await
    }
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: ApprovalVerb) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        ApprovalVerb::List { all } => list(common, &client, all).await?,
        ApprovalVerb::Give(Decide { of, note }) => {
            decide(common, &client, &of, true, note).await?;
        }
        ApprovalVerb::Refuse(Decide { of, note }) => {
            decide(common, &client, &of, false, note).await?;
        }
    }
    Ok(Exit::Done)
}

/// Says first what comes of it, and who asked.
async fn decide(
    common: &Common,
    client: &Client,
    of: &str,
    given: bool,
    note: String,
) -> anyhow::Result<()> {
    let path = format!("/v1/approvals/{}", encode(of));
    let line: ApprovalLine = client.get(&path).await?;
    if given {
        output::confirm(&format!("{}, as {} has asked", line.then, line.by), common.yes)?;
    }
    let wish = DecisionWish { given, note };
    client.send::<_, ()>(Method::POST, &path, &wish).await?;
    if !common.json {
        println!("{}: {}", line.of, if given { "approved" } else { "refused" });
    }
    Ok(())
}

async fn list(common: &Common, client: &Client, all: bool) -> anyhow::Result<()> {
    let mut lines: Vec<ApprovalLine> = client.get("/v1/approvals").await?;
    lines.retain(|line| all || (line.decided.is_none() && line.over.is_none()));
    if common.json {
        return output::json_lines(lines);
    }
    let row = |line: ApprovalLine| {
        let state = match (&line.decided, &line.over) {
            (Some(decided), _) => decided.told(),
            (None, Some(since)) => format!("over since {since}"),
            (None, None) => "waits".to_owned(),
        };
        [line.of, line.then, line.by, line.asked, state]
    };
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    output::table(["what", "if approved", "asked by", "asked", "state"], &rows)
}
