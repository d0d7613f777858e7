//! ID (RFC 2971).

use std::net::IpAddr;

use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::IdField;

/// Says who we are. A trusted proxy may say who the client is.
pub(crate) fn run(session: &mut Session, fields: &[IdField]) -> Answer {
    let peer = session.conn.peer();
    if peer.trusted
        && session.user.is_none()
        && let Some(original) = original(fields)
    {
        session.conn.set_original(original);
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
    fields.iter().find(named)?.1.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_address_is_found() {
        let field = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let fields = [field("name", None), field("X-Originating-IP", Some("192.0.2.4"))];
        assert_eq!(original(&fields), Some(IpAddr::from([192, 0, 2, 4])));
        assert_eq!(original(&[field("x-originating-ip", Some("nonsense"))]), None);
    }
}
