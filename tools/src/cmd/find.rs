//! `redoubt find ACCOUNT QUERY [--at T] [--in-history|--deleted]`

use clap::Args;
use redoubt_store::travel::Which;
use serde::Serialize;

use super::Common;
use super::past::{At, Listing, Pages, Why, Wish, flags, short};
use crate::admin::travel::wire::FoundLine;
use crate::exit::Exit;

/// Emails that a query finds: words of any text, from:bob to:alice subject:"Q 3" after:2026-11-01
/// is:unread attachment:pdf and more, with AND, OR, NOT or -, and brackets: docs/search.md.
#[derive(Debug, Args)]
pub struct Find {
    /// Whose: an address or id.
    account: String,
    /// What to look for; nothing is everything. What begins with - stands behind --
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    /// When.
    #[command(flatten)]
    at: At,
    /// Only in this mailbox.
    #[arg(long)]
    mailbox: Option<String>,
    /// Emails too that were expunged before, with when and by whom.
    #[arg(long)]
    in_history: bool,
    /// Only emails that were expunged before, with when and by whom.
    #[arg(long, conflicts_with = "in_history")]
    deleted: bool,
    /// Why.
    #[command(flatten)]
    why: Why,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// # Errors
/// Those of the server, and queries and moments that do not read.
pub async fn run(common: &Common, verb: Find) -> anyhow::Result<Exit> {
    let wish = Wish::read(verb.query.join(" "))?;
    let at = wish.at(verb.at.written())?.unwrap_or_else(|| "now".to_owned());
    let client = common.client()?;
    let which = match (verb.deleted, verb.in_history || wish.looks_back) {
        (true, _) => Which::Expunged,
        (_, true) => Which::Both,
        _ => Which::There,
    };
    let pages = Pages::new(&client, &verb.account, "find", &["at"], verb.limit)
        .with("at", Some(at))
        .with("query", Some(wish.query))
        .with("zone", Some(wish.zone))
        .with("which", Some(word(which)?))
        .with("mailbox", verb.mailbox)
        .with("reason", verb.why.reason);
    match which {
        Which::There => there(common, pages).await?,
        _ => history(common, pages).await?,
    }
    Ok(Exit::Done)
}

fn word(which: impl Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_value(which)?.as_str().unwrap_or_default().to_owned())
}

async fn there(common: &Common, mut pages: Pages<'_>) -> anyhow::Result<()> {
    let heading = ["mailbox", "uid", "received", "from", "subject", "flags", "email"];
    let mut listing = Listing::new(common, &["as_of"], heading);
    while let Some(page) = pages.next::<FoundLine>().await? {
        listing.page(&page.moments, &page.items, |found| {
            let email = &found.email;
            [
                email.mailbox.clone(),
                email.uid.to_string(),
                email.received.clone(),
                short(&email.from, 32),
                short(&email.subject, 48),
                flags(&email.flags),
                email.email_id.clone(),
            ]
        })?;
    }
    listing.end()
}

async fn history(common: &Common, mut pages: Pages<'_>) -> anyhow::Result<()> {
    let heading =
        ["mailbox", "uid", "email", "from", "subject", "saved", "expunged", "index", "by"];
    let mut listing = Listing::new(common, &["as_of"], heading);
    while let Some(page) = pages.next::<FoundLine>().await? {
        listing.page(&page.moments, &page.items, |found| {
            let email = &found.email;
            let [when, index, who] = match &found.expunged {
                None => ["-", "-", "-"].map(str::to_owned),
                Some(gone) => {
                    let by = &gone.item.by;
                    let how = if gone.item.with_mailbox { " (with its mailbox)" } else { "" };
                    let time = redoubt_log::dump::rfc3339(by.time);
                    [time, by.index.to_string(), format!("{}{how}", gone.who)]
                }
            };
            [
                email.mailbox.clone(),
                email.uid.to_string(),
                email.email_id.clone(),
                short(&email.from, 32),
                short(&email.subject, 40),
                email.saved.clone(),
                when,
                index,
                who,
            ]
        })?;
    }
    listing.end()
}
