//! LOGOUT (RFC 9051 section 6.1.3).

use crate::imap::reply::{End, Reply};
use crate::imap::session::Session;
use crate::imap::types::Tag;

/// Says good-bye, then the tagged OK.
pub(crate) fn run(session: &mut Session, tag: &Tag) -> End {
    session.untagged("BYE Good-bye");
    session.tagged(tag, &Reply::ok("LOGOUT done"));
    End::Logout
}
