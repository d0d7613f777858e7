//! `redoubt alias add|list|show|remove`

use clap::Subcommand;
use hyper::Method;

use super::Common;
use crate::admin::client::{Client, encode};
use crate::admin::wire::AliasBody;
use crate::exit::Exit;
use crate::output;

/// What to do with aliases.
#[derive(Debug, Subcommand)]
pub enum Alias {
    /// Another name for an account
    Add {
        /// The other name.
        alias: String,
        /// The account's address or id.
        account: String,
        /// Succeed when it stands for that account already.
        #[arg(long)]
        if_missing: bool,
    },
    /// List all aliases
    List,
    /// Show what an alias stands for
    Show {
        /// The alias.
        alias: String,
    },
    /// Remove an alias
    Remove {
        /// The alias.
        alias: String,
    },
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: Alias) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        Alias::Add { alias, account, if_missing } => {
            if !(if_missing && stands_for(&client, &alias, &account).await) {
                let body = AliasBody { alias, account };
                client.send::<_, ()>(Method::POST, "/v1/aliases", &body).await?;
            }
        }
        Alias::List => print(common, client.get("/v1/aliases").await?)?,
        Alias::Show { alias } => {
            print(common, vec![client.get(&path(&alias)).await?])?;
        }
        Alias::Remove { alias } => {
            client.send::<_, ()>(Method::DELETE, &path(&alias), &()).await?;
        }
    }
    Ok(Exit::Done)
}

fn path(alias: &str) -> String {
    format!("/v1/aliases/{}", encode(alias))
}

/// Whether the alias is there and is this account's, however both are written.
async fn stands_for(client: &Client, alias: &str, account: &str) -> bool {
    let found = client.get::<AliasBody>(&path(alias)).await;
    let account = super::account::find(client, account).await;
    matches!((found, account), (Ok(found), Ok(account)) if found.account == account.address.to_string())
}

fn print(common: &Common, aliases: Vec<AliasBody>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(aliases);
    }
    let rows: Vec<_> = aliases.into_iter().map(|body| [body.alias, body.account]).collect();
    output::table(["alias", "account"], &rows)
}
