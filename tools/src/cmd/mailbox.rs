//! `redoubt mailbox create|list|rename|delete`

use clap::{Subcommand, ValueEnum};
use hyper::Method;
use redoubt_log::record::SpecialUse;
use redoubt_store::view;

use super::Common;
use crate::admin::client::{Client, encode};
use crate::admin::wire::{NewMailbox, RenameMailbox};
use crate::exit::Exit;
use crate::output;

/// What to do with mailboxes. Names have `/` between their levels.
#[derive(Debug, Subcommand)]
pub enum Mailbox {
    /// Make a mailbox, and those above it that are missing
    Create {
        /// Whose: an address or id.
        account: String,
        /// Its name.
        name: String,
        /// Its use (RFC 6154).
        #[arg(long, value_enum)]
        special_use: Option<Use>,
    },
    /// List an account's mailboxes
    List {
        /// Whose: an address or id.
        account: String,
    },
    /// Rename a mailbox with all below it
    Rename {
        /// Whose: an address or id.
        account: String,
        /// Its name now.
        from: String,
        /// Its name from now on.
        to: String,
    },
    /// Delete a mailbox and what is in it; it stays in the history
    Delete {
        /// Whose: an address or id.
        account: String,
        /// Its name.
        name: String,
    },
}

/// What a mailbox is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs)]
pub enum Use {
    Archive,
    Drafts,
    Junk,
    Sent,
    Trash,
}

impl From<Use> for SpecialUse {
    fn from(value: Use) -> Self {
        match value {
            Use::Archive => Self::Archive,
            Use::Drafts => Self::Drafts,
            Use::Junk => Self::Junk,
            Use::Sent => Self::Sent,
            Use::Trash => Self::Trash,
        }
    }
}

/// # Errors
/// Those of the server.
pub async fn run(common: &Common, verb: Mailbox) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        Mailbox::Create { account, name, special_use } => {
            let body = NewMailbox { name, special_use: special_use.map(Into::into) };
            let made: view::Mailbox = client.send(Method::POST, &path(&account), &body).await?;
            print(common, vec![made])?;
        }
        Mailbox::List { account } => print(common, client.get(&path(&account)).await?)?,
        Mailbox::Rename { account, from, to } => {
            let path = format!("{}/rename", path(&account));
            client.send::<_, ()>(Method::POST, &path, &RenameMailbox { from, to }).await?;
        }
        Mailbox::Delete { account, name } => delete(common, &client, &account, &name).await?,
    }
    Ok(Exit::Done)
}

fn path(account: &str) -> String {
    format!("/v1/accounts/{}/mailboxes", encode(account))
}

async fn delete(common: &Common, client: &Client, account: &str, name: &str) -> anyhow::Result<()> {
    let all: Vec<view::Mailbox> = client.get(&path(account)).await?;
    let messages = all.iter().find(|mailbox| mailbox.name == name).map_or(0, |m| m.messages);
    let plan = format!("mailbox {name} of {account} is deleted with its {messages} messages");
    output::confirm(&plan, common.yes)?;
    let path = format!("{}?name={}", path(account), encode(name));
    client.send(Method::DELETE, &path, &()).await
}

fn print(common: &Common, mailboxes: Vec<view::Mailbox>) -> anyhow::Result<()> {
    if common.json {
        return output::json_lines(mailboxes);
    }
    let rows: Vec<_> = mailboxes.into_iter().map(row).collect();
    output::table(["id", "mailbox", "use", "messages", "unseen", "size", "uidnext"], &rows)
}

fn row(mailbox: view::Mailbox) -> [String; 7] {
    [
        mailbox.id.object_id(),
        mailbox.name,
        mailbox.special_use.map_or_else(|| "-".into(), |special_use| format!("{special_use:?}")),
        mailbox.messages.to_string(),
        mailbox.unseen.to_string(),
        output::bytes(mailbox.size),
        mailbox.uid_next.to_string(),
    ]
}
