//! `redoubt role grant|revoke|list|table`

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::record::Role;

use super::Common;
use crate::admin::client::Client;
use crate::admin::roles::table;
use crate::admin::roles::wire::{GrantBody, GrantLine};
use crate::exit::{Exit, Failure};
use crate::output;

/// What to do with roles.
#[derive(Debug, Subcommand)]
pub enum RoleVerb {
    /// Give somebody a role
    Grant(Grant),
    /// Somebody has a role no more
    Revoke(Grant),
    /// List who has which role
    List,
    /// Show which role may say which verbs
    Table,
}

/// Who, which, and over what.
#[derive(Debug, Args)]
pub struct Grant {
    /// The account's address or id.
    account: String,
    /// Which role: operator, domain-admin, discovery, compliance, approver or auditor.
    #[arg(value_parser = role)]
    role: Role,
    /// Over this domain alone (domain-admin and discovery); over all without it.
    #[arg(long)]
    domain: Option<String>,
}

fn role(text: &str) -> Result<Role, String> {
    let names = Role::ALL.map(Role::name).join(", ");
    let found = Role::ALL.into_iter().find(|role| role.name() == text);
    found.ok_or_else(|| format!("there are the roles {names}"))
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: RoleVerb) -> anyhow::Result<Exit> {
    match verb {
        RoleVerb::Grant(grant) => grant.send(&common.client()?, "/v1/roles").await?,
        RoleVerb::Revoke(grant) => grant.send(&common.client()?, "/v1/roles/revoke").await?,
        RoleVerb::List => list(common).await?,
        RoleVerb::Table if common.json => {
            return Err(Failure::usage("the table is for people: leave out --json").into());
        }
        RoleVerb::Table => print!("{}", table::markdown()),
    }
    Ok(Exit::Done)
}

impl Grant {
    async fn send(self, client: &Client, path: &str) -> anyhow::Result<()> {
        let Self { account, role, domain } = self;
        client.send::<_, ()>(Method::POST, path, &GrantBody { account, role, domain }).await
    }
}

async fn list(common: &Common) -> anyhow::Result<()> {
    let lines: Vec<GrantLine> = common.client()?.get("/v1/roles").await?;
    if common.json {
        return output::json_lines(lines);
    }
    let row = |line: GrantLine| {
        let over = line.domain.unwrap_or_else(|| "all domains".to_owned());
        [line.account, line.role.to_string(), over, line.since, line.index.to_string()]
    };
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    output::table(["account", "role", "over", "since", "entry"], &rows)
}
