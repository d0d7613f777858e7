//! `redoubt class add|list|show|set|remove`

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::record::{ClassSettings, Limits};

use super::Common;
use super::account::quota;
use crate::admin::client::{Client, encode};
use crate::admin::wire::{ClassBody, ClassLine, LimitsPatch};
use crate::config::KeepHistory;
use crate::exit::{Exit, Failure};
use crate::output;

/// What to do with classes of service. CLASS is a name or an id.
#[derive(Debug, Subcommand)]
pub enum Class {
    /// Make a class
    Add {
        /// What it is called.
        name: String,
        /// Succeed when there is a class of this name.
        #[arg(long)]
        if_missing: bool,
        /// What it says.
        #[command(flatten)]
        says: Says,
    },
    /// List all classes, with how many accounts and which domains have them
    List,
    /// Show a class
    Show {
        /// Its name or id.
        class: String,
    },
    /// Change what it says; what is not named stays
    Set {
        /// Its name or id.
        class: String,
        /// What it is called from now on.
        #[arg(long)]
        name: Option<String>,
        /// What it says.
        #[command(flatten)]
        says: Says,
    },
    /// Remove a class: who has it has none
    Remove {
        /// Its name or id.
        class: String,
    },
}

/// What a class says.
#[derive(Debug, Clone, Default, Args)]
pub struct Says {
    /// Bytes of mail an account, with K, M, G or T; `none` leaves it to the domain.
    #[arg(long, value_name = "BYTES|none")]
    quota: Option<String>,
    /// Its limits.
    #[command(flatten)]
    limits: LimitArgs,
}

/// Limits of a class or an account.
#[derive(Debug, Clone, Default, Args)]
pub struct LimitArgs {
    /// For how long history is kept: a number with s, m, h or d, `forever`, or `none` to leave it
    /// to who is asked next.
    #[arg(long, value_name = "TIME|forever|none")]
    history: Option<String>,
    /// Octets of the largest message, with K, M or G, or `none`.
    #[arg(long, value_name = "BYTES|none")]
    largest_message: Option<String>,
    /// Mailboxes that an account may have, or `none`.
    #[arg(long, value_name = "NUMBER|none")]
    mailboxes: Option<String>,
}

impl LimitArgs {
    /// What is to change.
    ///
    /// # Errors
    /// Wrong usage.
    pub fn patch(&self) -> anyhow::Result<LimitsPatch> {
        Ok(LimitsPatch {
            history: self.history.as_deref().map(history).transpose()?,
            largest_message: self.largest_message.as_deref().map(quota).transpose()?,
            mailboxes: self.mailboxes.as_deref().map(number).transpose()?,
        })
    }
}

fn number(text: &str) -> anyhow::Result<Option<u32>> {
    if text == "none" {
        return Ok(None);
    }
    let wrong = |_| Failure::usage(format!("{text:?} is not a number of mailboxes, nor none"));
    Ok(Some(text.parse().map_err(wrong)?))
}

/// Seconds of history.
fn history(text: &str) -> anyhow::Result<Option<u64>> {
    match text {
        "none" => Ok(None),
        "forever" => Ok(Some(Limits::FOREVER)),
        text => seconds(text).map(Some),
    }
}

/// A time such as `90d`, in seconds.
///
/// # Errors
/// Wrong usage.
pub fn seconds(text: &str) -> anyhow::Result<u64> {
    match KeepHistory::try_from(text.to_owned()) {
        Ok(KeepHistory(Some(time))) => Ok(time.as_secs()),
        _ => Err(Failure::usage(format!("{text:?} is no time such as 12h or 90d")).into()),
    }
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: Class) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        Class::Add { name, if_missing, says } => {
            if !(if_missing && find(&client, &name).await.is_ok()) {
                let body = ClassBody { name, settings: says.over(ClassSettings::default())? };
                let _: serde_json::Value = client.send(Method::POST, "/v1/classes", &body).await?;
            }
        }
        Class::List => print(common, client.get("/v1/classes").await?)?,
        Class::Show { class } => print(common, vec![find(&client, &class).await?])?,
        Class::Set { class, name, says } => {
            let now = find(&client, &class).await?;
            let name = name.unwrap_or(now.name);
            let body = ClassBody { name, settings: says.over(now.settings)? };
            client.send::<_, ()>(Method::PUT, &path(&class), &body).await?;
        }
        Class::Remove { class } => remove(common, &client, &class).await?,
    }
    Ok(Exit::Done)
}

impl Says {
    fn over(&self, now: ClassSettings) -> anyhow::Result<ClassSettings> {
        let quota = self.quota.as_deref().map(quota).transpose()?;
        let limits = self.limits.patch()?.over(now.limits);
        Ok(ClassSettings { quota: quota.unwrap_or(now.quota), limits })
    }
}

async fn remove(common: &Common, client: &Client, class: &str) -> anyhow::Result<()> {
    let now = find(client, class).await?;
    let (name, accounts, domains) = (&now.name, now.accounts, now.domains.len());
    let plan =
        format!("class {name} is removed; {accounts} accounts and {domains} domains have it");
    output::confirm(&plan, common.yes)?;
    client.send::<_, ()>(Method::DELETE, &path(class), &()).await
}

fn path(class: &str) -> String {
    format!("/v1/classes/{}", encode(class))
}

async fn find(client: &Client, class: &str) -> anyhow::Result<ClassLine> {
    client.get(&path(class)).await
}

fn print(common: &Common, lines: Vec<ClassLine>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(lines);
    }
    let rows: Vec<_> = lines.into_iter().map(row).collect();
    let heading =
        ["id", "name", "quota", "history", "largest message", "mailboxes", "accounts", "domains"];
    output::table(heading, &rows)
}

fn row(line: ClassLine) -> [String; 8] {
    let ClassSettings { quota, limits } = line.settings;
    let bytes = |value: Option<u64>| value.map_or_else(|| "-".into(), output::bytes);
    [
        line.id.to_string(),
        line.name,
        bytes(quota),
        limits.history.map_or_else(|| "-".into(), time),
        bytes(limits.largest_message),
        limits.mailboxes.map_or_else(|| "-".into(), |most| most.to_string()),
        line.accounts.to_string(),
        line.domains.join(" "),
    ]
}

/// Seconds as people write them.
pub fn time(seconds: u64) -> String {
    match seconds {
        Limits::FOREVER => "forever".to_owned(),
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn limits_read() {
        let limits = LimitArgs {
            history: Some("forever".into()),
            largest_message: Some("10M".into()),
            mailboxes: Some("none".into()),
        };
        let now = Limits { history: None, largest_message: None, mailboxes: Some(7) };
        let over = limits.patch().unwrap().over(now);
        let forever = Some(Limits::FOREVER);
        assert_eq!(
            over,
            Limits { history: forever, largest_message: Some(10 << 20), mailboxes: None }
        );
        assert_eq!(LimitArgs::default().patch().unwrap().over(now), now);
        assert_eq!(history_of("90d"), Some(90 * 86_400));
        assert!(history("soon").is_err() && number("many").is_err());
        assert_eq!([time(86_400), time(7200), time(5)], ["1d", "2h", "5s"]);
    }

    fn history_of(text: &str) -> Option<u64> {
        history(text).unwrap()
    }
}
