//! `redoubt show ACCOUNT EMAILID|MAILBOX/UID [--at T] [--raw|--headers]`

use clap::Args;

use super::Common;
use super::past::{At, Why, flags, path, plain, tell};
use crate::admin::client::encode;
use crate::admin::travel::wire::Shown;
use crate::exit::Exit;
use crate::output;

/// An email, now or at any moment of its history.
#[derive(Debug, Args)]
pub struct Show {
    /// Whose: an address or id.
    account: String,
    /// Which email: its id (e1f-0), or MAILBOX/UID.
    #[arg(value_name = "EMAILID|MAILBOX/UID")]
    email: String,
    /// When.
    #[command(flatten)]
    at: At,
    /// Why.
    #[command(flatten)]
    why: Why,
    /// The message itself, byte by byte, to standard output.
    #[arg(long)]
    raw: bool,
    /// Its header, byte by byte, to standard output.
    #[arg(long, conflicts_with = "raw")]
    headers: bool,
}

/// # Errors
/// Those of the server, and moments that do not read.
pub async fn run(common: &Common, verb: Show) -> anyhow::Result<Exit> {
    let client = common.client()?;
    let at = verb.at.moment()?;
    let mut query = format!("what={}&at={}", encode(&verb.email), encode(&at));
    if let Some(reason) = &verb.why.reason {
        query += &format!("&reason={}", encode(reason));
    }
    if verb.raw || verb.headers {
        let call = path(&verb.account, "content");
        let out = std::io::stdout().lock();
        client.stream(&format!("{call}?{query}&headers={}", verb.headers), out).await?;
        return Ok(Exit::Done);
    }
    let shown: Shown = client.get(&format!("{}?{query}", path(&verb.account, "email"))).await?;
    if common.json {
        output::json_lines([shown])?;
        return Ok(Exit::Done);
    }
    tell(std::slice::from_ref(&shown.as_of));
    output::table(["what", "is"], &rows(shown))?;
    Ok(Exit::Done)
}

fn rows(shown: Shown) -> Vec<[String; 2]> {
    let email = shown.email;
    let rows = [
        ("email", email.email_id),
        ("thread", email.thread_id),
        ("stands in", shown.places.join(", ")),
        ("flags", flags(&email.flags)),
        ("received", email.received),
        ("saved", email.saved),
        ("size", output::bytes(email.size)),
        ("modseq", email.modseq.to_string()),
        ("date", shown.date),
        ("from", email.from),
        ("to", shown.to.join(", ")),
        ("cc", shown.cc.join(", ")),
        ("subject", email.subject),
        ("message-id", shown.message_id),
        ("begins", shown.preview),
        ("blob", email.blob),
    ];
    let told = rows.into_iter().filter(|(_, text)| !text.is_empty());
    told.map(|(name, text)| [name.to_owned(), plain(text)]).collect()
}
