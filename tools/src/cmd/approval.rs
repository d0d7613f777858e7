//! `redoubt approval list|give|refuse`

use clap::Subcommand;
use hyper::Method;
use redoubt_log::id::OperationId;

use super::Common;
use crate::admin::client::Client;
use crate::admin::matters::wire::{ApprovalLine, DecisionWish};
use crate::exit::Exit;
use crate::output;

/// What a second person decides.
#[derive(Debug, Subcommand)]
pub enum ApprovalVerb {
    /// List what waits for a second person
    List {
        /// What was decided too.
        #[arg(long)]
        all: bool,
    },
    /// Let it be: it goes on at once
    Give(Decide),
    /// It is not done
    Refuse(Decide),
}

/// Which, and why.
#[derive(Debug, clap::Args)]
pub struct Decide {
    /// The export, by its id.
    job: OperationId,
    /// Why: it is kept with the record.
    #[arg(long, default_value = "")]
    note: String,
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: ApprovalVerb) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        ApprovalVerb::List { all } => list(common, &client, all).await?,
        ApprovalVerb::Give(decide) => decide.send(&client, true).await?,
        ApprovalVerb::Refuse(decide) => decide.send(&client, false).await?,
    }
    Ok(Exit::Done)
}

impl Decide {
    async fn send(self, client: &Client, given: bool) -> anyhow::Result<()> {
        let path = format!("/v1/approvals/{}", self.job);
        let wish = DecisionWish { given, note: self.note };
        client.send::<_, ()>(Method::POST, &path, &wish).await
    }
}

async fn list(common: &Common, client: &Client, all: bool) -> anyhow::Result<()> {
    let mut lines: Vec<ApprovalLine> = client.get("/v1/approvals").await?;
    lines.retain(|line| all || line.decided.is_none());
    if common.json {
        return output::json_lines(lines);
    }
    let row = |line: ApprovalLine| {
        let decided = line.decided.map_or_else(
            || "waits".to_owned(),
            |of| format!("{} by {}", if of.given { "given" } else { "refused" }, of.by),
        );
        let emails = line.found.map_or_else(|| "-".to_owned(), |found| found.to_string());
        [line.job.to_string(), line.name, emails, line.by, line.asked, decided]
    };
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    output::table(["export", "matter", "emails", "by", "asked", "decision"], &rows)
}
