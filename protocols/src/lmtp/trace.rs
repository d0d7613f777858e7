//! The lines that are put before a message (RFC 5321 section 4.4).

use bytes::Bytes;
use jiff::tz::TimeZone;
use redoubt_log::id::Timestamp;
use redoubt_store::mailstore::Envelope;

/// Return-Path and Received. `name` is the client's in DNS, where a proxy told it; `only` is
/// the recipient where there is only one: with several, none learns of the others.
pub(super) fn lines(
    envelope: &Envelope,
    name: Option<&str>,
    hostname: &str,
    id: u64,
    only: Option<&str>,
    now: Timestamp,
) -> Bytes {
    let Envelope { sender, client_name, .. } = envelope;
    let name = name.map(|name| format!("{name} ")).unwrap_or_default();
    let from = envelope.client_address.map(|ip| match ip {
        std::net::IpAddr::V4(ip) => format!(" ({name}[{ip}])"),
        std::net::IpAddr::V6(ip) => format!(" ({name}[IPv6:{ip}])"),
    });
    let recipient = only.map(|address| format!("\r\n\tfor <{address}>"));
    let lines = format!(
        "Return-Path: <{sender}>\r\nReceived: from {client_name}{}\r\n\tby {hostname} (Redoubt) with {} \
         id {id:016x}{};\r\n\t{}\r\n",
        from.unwrap_or_default(),
        with(envelope),
        recipient.unwrap_or_default(),
        date(now),
    );
    lines.into()
}

/// The name of the protocol (RFC 3848, RFC 6531 section 4.3).
fn with(envelope: &Envelope) -> &'static str {
    let utf8 = envelope.parameters.iter().any(|word| word.eq_ignore_ascii_case("SMTPUTF8"));
    match (utf8, envelope.tls) {
        (false, false) => "LMTP",
        (false, true) => "LMTPS",
        (true, false) => "UTF8LMTP",
        (true, true) => "UTF8LMTPS",
    }
}

fn date(now: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(now.seconds()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    jiff::fmt::rfc2822::to_string(&time.to_zoned(TimeZone::UTC)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_rfc_says() {
        let envelope = Envelope {
            sender: "a@b".into(),
            client_name: "mx.example.net".into(),
            client_address: Some([192, 0, 2, 1].into()),
            parameters: vec!["SMTPUTF8".into()],
            tls: true,
        };
        let lines = lines(
            &envelope,
            Some("out.example.net"),
            "mail.example.org",
            255,
            Some("alice@x"),
            Timestamp(1_800_000_000_500),
        );
        let expected = "Return-Path: <a@b>\r\nReceived: from mx.example.net (out.example.net [192.0.2.1])\r\n\tby \
            mail.example.org (Redoubt) with UTF8LMTPS id 00000000000000ff\r\n\tfor <alice@x>;\r\n\t\
            Fri, 15 Jan 2027 08:00:00 +0000\r\n";
        assert_eq!(lines, expected);
    }
}
