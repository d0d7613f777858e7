//! RENAME (RFC 9051 section 6.3.6).

use crate::imap::history;
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::MailboxName;

/// Gives a mailbox another name. INBOX's mail moves into a new mailbox instead.
pub(crate) async fn run(session: &mut Session, from: MailboxName, to: MailboxName) -> Answer {
    let user = session.user()?;
    history::refuse(&from)?;
    history::refuse(&to)?;
    let store = &session.imap.store;
    store.rename_mailbox(&user.actor, user.account, from.as_str(), to.as_str()).await?;
    Ok(Reply::ok("RENAME done"))
}
