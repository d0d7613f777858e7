//! STARTTLS (RFC 3207): everything from before is forgotten.

use super::super::deliverer::Deliverer;
use super::super::reply::reply;
use super::super::session::Session;
use super::Next;
use crate::stream::StreamError;

pub(super) async fn run<D: Deliverer>(
    session: &mut Session<'_, D>,
    arguments: &str,
) -> Result<Next, StreamError> {
    if !arguments.is_empty() {
        session.say(&reply(501, "5.5.4", "STARTTLS has no arguments"));
        return Ok(Next::Go);
    }
    if !session.connection.can_start_tls() {
        session.say(&reply(503, "5.5.1", "no TLS to start here"));
        return Ok(Next::Go);
    }
    session.say(&reply(220, "2.0.0", "go on with TLS"));
    session.connection.flush().await?;
    // Drops what was pipelined behind the command (RFC 3207 section 4.2).
    session.connection.start_tls().await?;
    session.client_name = None;
    session.reset();
    Ok(Next::Go)
}
