//! `redoubt diff ACCOUNT[/MAILBOX] T1 [T2]`

use clap::Args;
use redoubt_store::travel::Difference;

use super::Common;
use super::history::signed;
use super::past::{Listing, Pages, Why, flags, moment, target};
use crate::exit::{Exit, Failure};

/// What is different between two moments: `+` added, `-` removed, `M` flags changed, `→` moved;
/// mailboxes too.
#[derive(Debug, Args)]
pub struct Diff {
    /// An account (address or id), or ACCOUNT/MAILBOX.
    #[arg(value_name = "ACCOUNT[/MAILBOX]")]
    target: String,
    /// The earlier moment (or the mailbox, if it does not stand behind the account).
    #[arg(value_name = "T1", allow_hyphen_values = true)]
    first: Option<String>,
    /// The later moment; without it now.
    #[arg(value_name = "T2", allow_hyphen_values = true)]
    second: Option<String>,
    /// The later moment, where a mailbox stands first.
    #[arg(hide = true, allow_hyphen_values = true)]
    third: Option<String>,
    /// The earlier moment, by name.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true)]
    since: Option<String>,
    /// The later moment, by name.
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true)]
    until: Option<String>,
    /// Why.
    #[command(flatten)]
    why: Why,
    /// At most so many.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// # Errors
/// Those of the server, and moments that do not read.
pub async fn run(common: &Common, verb: Diff) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let (limit, reason) = (verb.limit, verb.why.reason.clone());
    let asked = asked(verb)?;
    let mut pages = Pages::new(&client, &asked.account, "diff", &["from", "to"], limit)
        .with("from", Some(asked.from))
        .with("to", Some(asked.to))
        .with("mailbox", asked.mailbox)
        .with("reason", reason);
    let mut listing = Listing::new(common, &["since", "until"], ["", "where", "email", "what"]);
    while let Some(page) = pages.next::<Difference>().await? {
        listing.page(&page.moments, &page.items, row)?;
    }
    listing.end()?;
    Ok(Exit::Done)
}

/// What is compared.
struct Asked {
    account: String,
    mailbox: Option<String>,
    from: String,
    to: String,
}

/// Moments stand one behind the other or have names; before them may stand a mailbox.
fn asked(verb: Diff) -> anyhow::Result<Asked> {
    let beside: Vec<String> = [verb.first, verb.second, verb.third].into_iter().flatten().collect();
    let named = verb.since.is_some();
    let mut beside = beside.into_iter();
    let (mailbox, times) = match (beside.len(), named) {
        (0, _) => (None, Vec::new()),
        (1, true) | (3, false) => (beside.next(), beside.collect()),
        (2, false) => {
            let first = beside.next().unwrap_or_default();
            match moment(&first) {
                Ok(_) => (None, std::iter::once(first).chain(beside).collect()),
                Err(_) => (Some(first), beside.collect::<Vec<_>>()),
            }
        }
        (1, false) => (None, beside.collect()),
        _ => {
            return Err(
                Failure::usage("moments stand there twice, with and without --since").into()
            );
        }
    };
    let mut times = times.into_iter();
    let from = verb.since.or_else(|| times.next());
    let from = from.ok_or_else(|| Failure::usage("from when? redoubt diff ACCOUNT T1 [T2]"))?;
    let to = verb.until.or_else(|| times.next());
    let (account, mailbox) = target(&verb.target, mailbox);
    let to = moment(to.as_deref().unwrap_or("now"))?;
    Ok(Asked { account, mailbox, from: moment(&from)?, to })
}

fn row(difference: &Difference) -> [String; 4] {
    let cells = |mark: &str, place: String, email: String, what: String| {
        [mark.to_owned(), place, email, what]
    };
    let none = || "-".to_owned();
    match difference {
        Difference::MailboxAdded { name } => cells("+", format!("{name}/"), none(), none()),
        Difference::MailboxRemoved { name } => cells("-", format!("{name}/"), none(), none()),
        Difference::MailboxMoved { from, to } => {
            cells("→", format!("{from}/"), none(), format!("{to}/"))
        }
        Difference::Added { place, email, flags: set } => {
            cells("+", place.to_string(), email.to_string(), flags(set))
        }
        Difference::Removed { place, email, flags: set } => {
            cells("-", place.to_string(), email.to_string(), flags(set))
        }
        Difference::Flags { place, email, added, removed } => {
            cells("M", place.to_string(), email.to_string(), signed(added, removed))
        }
        Difference::Moved { from, to, email, .. } => {
            cells("→", from.to_string(), email.to_string(), to.to_string())
        }
    }
}
