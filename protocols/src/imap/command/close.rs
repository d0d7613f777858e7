//! CLOSE and UNSELECT (RFC 9051 sections 6.4.1 and 6.4.2).

use crate::imap::command::expunge;
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;

/// Removes what is marked `\Deleted`, silently, and leaves the mailbox.
pub(crate) async fn run(session: &mut Session) -> Answer {
    if !session.selected()?.read_only {
        expunge::remove(session, None).await?;
    }
    session.selected = None;
    Ok(Reply::ok("CLOSE done"))
}

/// Leaves the mailbox and changes nothing.
pub(crate) fn unselect(session: &mut Session) -> Answer {
    session.selected()?;
    session.selected = None;
    Ok(Reply::ok("UNSELECT done"))
}
