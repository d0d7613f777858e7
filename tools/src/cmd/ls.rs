//! `redoubt ls ACCOUNT[/MAILBOX] [--at T]`

use clap::Args;

use super::Common;
use super::past::{At, Listing, Pages, Why, flags, short, target};
use crate::admin::travel::wire::{EmailLine, MailboxLine};
use crate::exit::Exit;
use crate::output;

/// An account's mailboxes, or the emails of one, now or at any moment of its history.
#[derive(Debug, Args)]
pub struct Ls {
    /// An account (address or id), or ACCOUNT/MAILBOX.
    #[arg(value_name = "ACCOUNT[/MAILBOX]")]
    target: String,
    /// The mailbox, if it does not stand behind the account.
    mailbox: Option<String>,
    /// When.
    #[command(flatten)]
    at: At,
    /// Why.
    #[command(flatten)]
    why: Why,
    /// At most so many emails.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// # Errors
/// Those of the server, and moments that do not read.
pub async fn run(common: &Common, verb: Ls) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let at = Some(verb.at.moment()?);
    let (account, mailbox) = target(&verb.target, verb.mailbox);
    match mailbox {
        None => {
            let pages = Pages::new(&client, &account, "mailboxes", &["at"], None)
                .with("at", at)
                .with("reason", verb.why.reason);
            mailboxes(common, pages).await?;
        }
        Some(mailbox) => {
            let pages = Pages::new(&client, &account, "emails", &["at"], verb.limit);
            let pages = pages.with("reason", verb.why.reason);
            emails(common, pages.with("at", at).with("mailbox", Some(mailbox))).await?;
        }
    }
    Ok(Exit::Done)
}

async fn mailboxes(common: &Common, mut pages: Pages<'_>) -> anyhow::Result<()> {
    let heading = ["id", "mailbox", "use", "messages", "unseen", "size", "uidvalidity", "uidnext"];
    let mut listing = Listing::new(common, &["as_of"], heading);
    while let Some(page) = pages.next::<MailboxLine>().await? {
        listing.page(&page.moments, &page.items, |mailbox| {
            [
                mailbox.mailbox_id.clone(),
                mailbox.mailbox.clone(),
                mailbox.special_use.map_or_else(|| "-".into(), |special| format!("{special:?}")),
                mailbox.messages.to_string(),
                mailbox.unseen.to_string(),
                output::bytes(mailbox.size),
                mailbox.uid_validity.to_string(),
                mailbox.uid_next.to_string(),
            ]
        })?;
    }
    listing.end()
}

async fn emails(common: &Common, mut pages: Pages<'_>) -> anyhow::Result<()> {
    let heading = ["uid", "received", "from", "subject", "flags", "size", "email"];
    let mut listing = Listing::new(common, &["as_of"], heading);
    while let Some(page) = pages.next::<EmailLine>().await? {
        listing.page(&page.moments, &page.items, |email| {
            [
                email.uid.to_string(),
                email.received.clone(),
                short(&email.from, 32),
                short(&email.subject, 48),
                flags(&email.flags),
                output::bytes(email.size),
                email.email_id.clone(),
            ]
        })?;
    }
    listing.end()
}
