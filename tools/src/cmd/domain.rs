//! `redoubt domain add|list|show|set|remove`

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::record::{DomainSettings, JunkHeader};
use redoubt_store::view;
use serde::Serialize;

use super::Common;
use crate::admin::client::{Client, encode};
use crate::admin::wire::{DomainBody, DomainClassBody};
use crate::exit::{Exit, Failure};
use crate::output;

/// What to do with domains.
#[derive(Debug, Subcommand)]
pub enum Domain {
    /// Serve another domain
    Add {
        /// Its name.
        name: String,
        /// Succeed when it is there already.
        #[arg(long)]
        if_missing: bool,
        /// Its settings.
        #[command(flatten)]
        settings: Settings,
    },
    /// List all domains
    List,
    /// Show a domain with its settings
    Show {
        /// Its name.
        name: String,
    },
    /// Change settings; what is not named stays
    Set {
        /// Its name.
        name: String,
        /// Its settings.
        #[command(flatten)]
        settings: Settings,
    },
    /// Remove a domain that has no accounts and aliases
    Remove {
        /// Its name.
        name: String,
    },
}

/// Settings of a domain.
#[derive(Debug, Clone, Default, Args)]
pub struct Settings {
    /// The character between user and detail, or `none`.
    #[arg(long, value_name = "CHAR|none")]
    subaddress: Option<String>,
    /// The account that gets what no other address takes, or `none`.
    #[arg(long, value_name = "ACCOUNT|none")]
    catch_all: Option<String>,
    /// File messages with this header into Junk: `X-Spam-Flag: YES`, `X-Spam:` for any value, or `none`.
    #[arg(long, value_name = "HEADER|none")]
    junk_header: Option<String>,
    /// Give an MTA's retry within the hour the first outcome.
    #[arg(long)]
    recognise_retry: Option<bool>,
    /// Bytes for accounts without a quota of their own, or `none`.
    #[arg(long, value_name = "BYTES|none")]
    quota: Option<String>,
    /// Defer mail that is over quota instead of refusing it.
    #[arg(long)]
    over_quota_defers: Option<bool>,
    /// The class of service of accounts without one of their own, or `none`.
    #[arg(long, value_name = "CLASS|none")]
    class: Option<String>,
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: Domain) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        Domain::Add { name, if_missing, settings } => {
            let there =
                list(&client).await?.iter().any(|domain| domain.name.eq_ignore_ascii_case(&name));
            if !(there && if_missing) {
                let class = settings.class.clone();
                let settings = settings.apply(&client, DomainSettings::default()).await?;
                let body = DomainBody { name, settings };
                client.send::<_, ()>(Method::POST, "/v1/domains", &body).await?;
                classify(&client, &body.name, class).await?;
            }
        }
        Domain::List => print_list(common, list(&client).await?)?,
        Domain::Show { name } => {
            let domain: view::Domain = client.get(&path(&name)).await?;
            let class: DomainClassBody = client.get(&class_path(&name)).await?;
            output::object(common.json, &Shown { domain, class })?;
        }
        Domain::Set { name, settings } => {
            let now: view::Domain = client.get(&path(&name)).await?;
            let class = settings.class.clone();
            let settings = settings.apply(&client, now.settings).await?;
            let body = DomainBody { name: name.clone(), settings };
            client.send::<_, ()>(Method::PUT, &path(&name), &body).await?;
            classify(&client, &name, class).await?;
        }
        Domain::Remove { name } => {
            output::confirm(&format!("domain {name} is removed"), common.yes)?;
            client.send::<_, ()>(Method::DELETE, &path(&name), &()).await?;
        }
    }
    Ok(Exit::Done)
}

fn path(name: &str) -> String {
    format!("/v1/domains/{}", encode(name))
}

fn class_path(name: &str) -> String {
    format!("{}/class", path(name))
}

/// A domain with its class.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    domain: view::Domain,
    #[serde(flatten)]
    class: DomainClassBody,
}

async fn classify(client: &Client, name: &str, class: Option<String>) -> anyhow::Result<()> {
    let Some(class) = class else { return Ok(()) };
    client.send::<_, ()>(Method::PUT, &class_path(name), &DomainClassBody { class }).await
}

async fn list(client: &Client) -> anyhow::Result<Vec<view::Domain>> {
    client.get("/v1/domains").await
}

fn print_list(common: &Common, domains: Vec<view::Domain>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(domains);
    }
    let rows: Vec<_> = domains.into_iter().map(|domain| [domain.name]).collect();
    output::table(["domain"], &rows)
}

impl Settings {
    async fn apply(
        self,
        client: &Client,
        mut now: DomainSettings,
    ) -> anyhow::Result<DomainSettings> {
        if let Some(text) = self.subaddress {
            now.subaddress_separator = separator(&text)?;
        }
        if let Some(account) = self.catch_all {
            now.catch_all = match account.as_str() {
                "none" => None,
                name => Some(super::account::find(client, name).await?.id),
            };
        }
        if let Some(text) = self.junk_header {
            now.junk_header = junk_header(&text)?;
        }
        if let Some(quota) = self.quota {
            now.default_quota = super::account::quota(&quota)?;
        }
        now.retry_recognised = self.recognise_retry.unwrap_or(now.retry_recognised);
        now.over_quota_defers = self.over_quota_defers.unwrap_or(now.over_quota_defers);
        Ok(now)
    }
}

fn separator(text: &str) -> anyhow::Result<Option<char>> {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        _ if text == "none" => Ok(None),
        (Some(one), None) => Ok(Some(one)),
        _ => Err(Failure::usage("--subaddress takes one character, or none").into()),
    }
}

fn junk_header(text: &str) -> anyhow::Result<Option<JunkHeader>> {
    if text == "none" {
        return Ok(None);
    }
    let (name, value) = text
        .split_once(':')
        .ok_or_else(|| Failure::usage("--junk-header takes `Name: value` or `Name:`"))?;
    let header = JunkHeader { name: name.trim().into(), value_prefix: value.trim().into() };
    Ok(Some(header))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn settings_read() {
        assert_eq!(separator("-").unwrap(), Some('-'));
        assert_eq!(separator("none").unwrap(), None);
        assert!(separator("++").is_err());
        let header = junk_header("X-Spam-Flag: YES").unwrap().unwrap();
        assert_eq!((header.name.as_str(), header.value_prefix.as_str()), ("X-Spam-Flag", "YES"));
        assert!(junk_header("X-Spam-Flag").is_err());
    }
}
