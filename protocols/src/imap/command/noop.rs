//! NOOP and CHECK (RFC 9051 section 6.1.2, RFC 3501 section 6.4.1): the client polls.

use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;

/// Tells whatever happened.
pub(crate) async fn run(session: &mut Session) -> Answer {
    session.mark_dirty();
    session.sync(true).await?;
    Ok(Reply::ok("NOOP done"))
}

/// Like NOOP; only in a mailbox. There is nothing to be flushed: all is committed.
pub(crate) async fn check(session: &mut Session) -> Answer {
    session.selected()?;
    session.mark_dirty();
    session.sync(true).await?;
    Ok(Reply::ok("CHECK done"))
}
