//! STARTTLS (RFC 9051 section 6.2.1).

use crate::imap::reply::{End, Reply};
use crate::imap::session::Session;
use crate::imap::types::Tag;

/// Answers, drops whatever came behind the command in the clear, then shakes hands.
pub(crate) async fn run(session: &mut Session, tag: &Tag) -> Result<(), End> {
    if session.user.is_some() || !session.conn.can_start_tls() {
        session.tagged(tag, &Reply::bad("TLS cannot be started now"));
        return Ok(());
    }
    session.tagged(tag, &Reply::ok("Begin the TLS handshake"));
    session.conn.flush().await?;
    session.framer.discard(session.conn.input());
    session.conn.start_tls().await.map_err(End::Gone)
}
