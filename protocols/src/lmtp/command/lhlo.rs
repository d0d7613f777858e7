//! LHLO (RFC 2033 section 4.1): who the client is, and what we can.

use super::super::deliverer::Deliverer;
use super::super::reply::{Reply, reply};
use super::super::session::Session;
use super::xclient;

/// Octets of a client's name (RFC 1035 section 2.3.4).
const MAX_NAME: usize = 255;

pub(super) fn run<D: Deliverer>(
    session: &mut Session<'_, D>,
    arguments: &str,
) -> Result<(), Reply> {
    let name = arguments.trim_matches(' ');
    if !is_name(name) {
        return Err(reply(501, "5.5.4", "syntax: LHLO and a domain or address literal"));
    }
    session.reset();
    session.client_name = Some(name.to_owned());
    let mut can = vec![
        session.options.hostname.clone(),
        "PIPELINING".into(),
        format!("SIZE {}", session.options.max_message),
        "8BITMIME".into(),
        "SMTPUTF8".into(),
    ];
    if session.connection.can_start_tls() {
        can.push("STARTTLS".into());
    }
    if session.connection.peer().trusted {
        can.push(xclient::ATTRIBUTES.into());
    }
    for line in can {
        session.connection.queue(format!("250-{line}\r\n").as_bytes());
    }
    // RFC 2034 section 3: this reply itself has no enhanced code.
    session.connection.queue(b"250 ENHANCEDSTATUSCODES\r\n");
    Ok(())
}

/// What can stand in Received as it is.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b".-_:[]".contains(&octet);
    let plain = |c: char| !c.is_ascii() && !c.is_control() || c.is_ascii() && plain(c as u8);
    !name.is_empty() && name.len() <= MAX_NAME && name.chars().all(plain)
}
