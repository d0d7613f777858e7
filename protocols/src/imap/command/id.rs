//! ID (RFC 2971).

use std::net::IpAddr;

use crate::imap::reply::{Answer, End, Reply};
use crate::imap::session::Session;
use crate::imap::types::IdField;

/// Says who we are. Before the login a trusted proxy may say who the client is: once, unless
/// that client is trusted too.
pub(crate) fn run(session: &mut Session, fields: &[IdField]) -> Answer {
    if session.user.is_none()
        && let Some(original) = original(fields)
        && let Err(refusal) = session.conn.set_original(original)
    {
        session.conn.stats().refused.add(1);
        return Err(End::Bye(refusal.to_string().into()).into());
    }
    session.untagged(concat!(
        "ID (\"name\" \"Redoubt\" \"version\" \"",
        env!("CARGO_PKG_VERSION"),
        "\")"
    ));
    Ok(Reply::ok("ID done"))
}

fn original(fields: &[IdField]) -> Option<IpAddr> {
    let named = |(name, _): &&IdField| name.eq_ignore_ascii_case("x-originating-ip");
    let value = fields.iter().find(named)?.1.as_ref()?;
    // As some write IPv6 addresses in SMTP (RFC 5321 section 4.1.3), or in URLs.
    let bare = value.trim_start_matches('[').trim_end_matches(']');
    let bare = match bare.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => rest,
        _ => bare,
    };
    bare.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_original_address_is_found() {
        let field = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let fields = [field("name", None), field("X-Originating-IP", Some("192.0.2.4"))];
        assert_eq!(original(&fields), Some(IpAddr::from([192, 0, 2, 4])));
        for text in ["2001:db8::1", "[2001:db8::1]", "IPv6:2001:db8::1", "[IPV6:2001:db8::1]"] {
            let found = original(&[field("x-originating-ip", Some(text))]);
            assert_eq!(found, Some("2001:db8::1".parse().unwrap()), "{text}");
        }
        for text in ["nonsense", "", "[]", "192.0.2.4, 192.0.2.5", "IPv6:"] {
            assert_eq!(original(&[field("x-originating-ip", Some(text))]), None, "{text}");
        }
    }
}
