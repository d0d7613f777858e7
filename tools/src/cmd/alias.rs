//! `redoubt alias add|list|show|remove`

use clap::Subcommand;
use hyper::Method;

use super::Common;
use crate::admin::client::encode;
use crate::admin::wire::AliasBody;
use crate::exit::{Exit, Failure};
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
            let all: Vec<AliasBody> = client.get("/v1/aliases").await?;
            let there = all.iter().any(|known| known.alias == alias && known.account == account);
            if !(there && if_missing) {
                let body = AliasBody { alias, account };
                client.send::<_, ()>(Method::POST, "/v1/aliases", &body).await?;
            }
        }
        Alias::List => print(common, client.get("/v1/aliases").await?)?,
        Alias::Show { alias } => {
            let all: Vec<AliasBody> = client.get("/v1/aliases").await?;
            let found: Vec<_> = all.into_iter().filter(|known| known.alias == alias).collect();
            if found.is_empty() {
                let text = format!("there is no alias {alias}; `redoubt alias list` shows all");
                return Err(Failure::new(Exit::Failed, text).into());
            }
            print(common, found)?;
        }
        Alias::Remove { alias } => {
            let path = format!("/v1/aliases/{}", encode(&alias));
            client.send::<_, ()>(Method::DELETE, &path, &()).await?;
        }
    }
    Ok(Exit::Done)
}

fn print(common: &Common, aliases: Vec<AliasBody>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(aliases);
    }
    let rows: Vec<_> = aliases.into_iter().map(|body| [body.alias, body.account]).collect();
    output::table(["alias", "account"], &rows)
}
