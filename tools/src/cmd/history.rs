//! `redoubt history ACCOUNT [MAILBOX|EMAILID|MAILBOX/UID] [--from T] [--to T]`

use clap::Args;
use redoubt_log::dump::rfc3339;
use redoubt_store::travel::{By, Change, Event, MailboxChange, MailboxWhat, What};

use super::Common;
use super::past::{Listing, Pages, Why, flags, moment, target};
use crate::admin::travel::wire::{HistoryPage, Told};
use crate::exit::Exit;

/// What happened, when, and by whom: to an email from its delivery to its end, to a mailbox, or
/// record by record to an account.
#[derive(Debug, Args)]
pub struct History {
    /// Whose: an address or id; the rest may stand behind it with a slash.
    #[arg(value_name = "ACCOUNT")]
    target: String,
    /// A mailbox, an email's id (e1f-0), or MAILBOX/UID; without it the whole account.
    #[arg(value_name = "MAILBOX|EMAILID|MAILBOX/UID")]
    what: Option<String>,
    /// From then on.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true, alias = "since")]
    from: Option<String>,
    /// Up to then.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true, alias = "until")]
    to: Option<String>,
    /// Why.
    #[command(flatten)]
    why: Why,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// What is told of one record in a table.
const MAX_TOLD: usize = 3;

/// # Errors
/// Those of the server, and moments that do not read.
pub async fn run(common: &Common, verb: History) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let (account, what) = target(&verb.target, verb.what);
    let from = verb.from.as_deref().map(moment).transpose()?;
    let mut pages = Pages::new(&client, &account, "history", &["from", "to"], verb.limit)
        .with("from", from)
        .with("to", Some(moment(verb.to.as_deref().unwrap_or("now"))?))
        .with("what", what)
        .with("reason", verb.why.reason);
    let mut listing = Listing::new(
        common,
        &["since", "until"],
        ["index", "time", "what", "where", "changed", "by"],
    );
    let mut left = verb.limit.unwrap_or(usize::MAX);
    while let Some(mut page) = pages.answer::<HistoryPage>().await? {
        page.events.truncate(left);
        page.changes.truncate(left);
        match page.events.is_empty() {
            true => listing.page(&page.moments, &page.changes, change)?,
            false => listing.page(&page.moments, &page.events, event)?,
        }
        let items = page.events.len() + page.changes.len();
        left = left.saturating_sub(items);
        pages.go_on(&page.moments, items, page.next);
    }
    listing.end()?;
    Ok(Exit::Done)
}

fn row(by: &By, who: &str, [what, place, changed]: [String; 3]) -> [String; 6] {
    [by.index.to_string(), rfc3339(by.time), what, place, changed, who.to_owned()]
}

fn event(told: &Told<Event>) -> [String; 6] {
    let cells = match &told.item.what {
        What::Came { place, flags: set } => [told.record.clone(), place.to_string(), flags(set)],
        What::Moved { from, to } => ["moved".into(), to.to_string(), format!("from {from}")],
        What::Flags { place, added, removed } => {
            ["flags".into(), place.to_string(), signed(added, removed)]
        }
        What::Expunged { place } => ["expunged".into(), place.to_string(), "-".into()],
        What::MailboxDeleted { place } => {
            ["expunged".into(), place.to_string(), "with its mailbox".into()]
        }
    };
    row(&told.item.by, &told.who, cells)
}

/// `+\Seen -$Later`
pub fn signed(added: &[String], removed: &[String]) -> String {
    let added = added.iter().map(|flag| format!("+{flag}"));
    added.chain(removed.iter().map(|flag| format!("-{flag}"))).collect::<Vec<_>>().join(" ")
}

fn change(told: &Told<Change>) -> [String; 6] {
    let all = told.item.account.iter().cloned().chain(told.item.mailboxes.iter().map(mailbox));
    let mut changed: Vec<String> = all.collect();
    changed.dedup();
    if changed.len() > MAX_TOLD {
        let more = changed.len() - MAX_TOLD;
        changed.truncate(MAX_TOLD);
        changed.push(format!("and {more} more"));
    }
    let mut names: Vec<&str> =
        told.item.mailboxes.iter().map(|change| change.name.as_str()).collect();
    names.dedup();
    let place = if names.is_empty() { "-".to_owned() } else { names.join(", ") };
    row(&told.item.by, &told.who, [told.record.clone(), place, changed.join("; ")])
}

fn mailbox(change: &MailboxChange) -> String {
    match &change.what {
        MailboxWhat::Created => "created".to_owned(),
        MailboxWhat::Renamed { from } => format!("was {from}"),
        MailboxWhat::Deleted => "deleted".to_owned(),
        MailboxWhat::OnlyName => "deleted, but for the name".to_owned(),
        MailboxWhat::Content { messages, unseen } => {
            let step = |(before, after): (u32, u32)| match before == after {
                true => after.to_string(),
                false => format!("{before}→{after}"),
            };
            format!("messages {}, unseen {}", step(*messages), step(*unseen))
        }
    }
}
