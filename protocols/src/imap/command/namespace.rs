//! NAMESPACE (RFC 2342).

use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;

/// One personal namespace; none of others yet.
pub(crate) fn run(session: &mut Session) -> Answer {
    session.user()?;
    session.untagged("NAMESPACE ((\"\" \"/\")) NIL NIL");
    Ok(Reply::ok("NAMESPACE done"))
}
