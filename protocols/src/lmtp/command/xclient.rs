//! XCLIENT (Postfix's XCLIENT_README): a trusted proxy says whose mail it brings.
//! The session begins anew, as if that client had connected itself.

use std::net::IpAddr;

use super::super::deliverer::Deliverer;
use super::super::reply::{Reply, reply, reply_with};
use super::super::session::Session;
use super::{Next, lhlo};

/// What LHLO says of it.
pub(super) const ATTRIBUTES: &str = "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT";
/// Octets of a value.
const MAX_VALUE: usize = 255;
/// Attributes of one command.
const MAX_ATTRIBUTES: usize = 16;

/// What was said of the client. `Some(None)` is "not known".
#[derive(Debug, Default, PartialEq, Eq)]
struct Client {
    address: Option<Option<IpAddr>>,
    name: Option<Option<String>>,
    helo: Option<Option<String>>,
}

pub(super) fn run<D: Deliverer>(session: &mut Session<'_, D>, arguments: &str) -> Next {
    match allowed(session).and_then(|()| Client::parse(arguments)) {
        Ok(client) => take(session, client),
        Err(answer) => {
            session.say(&answer);
            Next::Go
        }
    }
}

fn allowed<D: Deliverer>(session: &Session<'_, D>) -> Result<(), Reply> {
    if session.transaction.is_some() {
        return Err(reply(503, "5.5.1", "a transaction is under way"));
    }
    match session.connection.peer().trusted {
        true => Ok(()),
        false => Err(reply(550, "5.7.0", "you are not trusted to speak for others")),
    }
}

fn take<D: Deliverer>(session: &mut Session<'_, D>, client: Client) -> Next {
    session.reset();
    session.client_name = None;
    if let Some(name) = client.name {
        session.proxied.name = name;
    }
    if let Some(helo) = client.helo {
        session.proxied.helo = helo;
    }
    let counted = match client.address {
        Some(Some(address)) => session.connection.set_original(address),
        Some(None) => {
            session.connection.set_unknown();
            Ok(())
        }
        None => Ok(()),
    };
    if let Err(refusal) = counted {
        session.connection.stats().refused.add(1);
        return session.close(&reply_with(421, "4.7.0", refusal.to_string()));
    }
    session.greet();
    Next::Go
}

impl Client {
    fn parse(arguments: &str) -> Result<Self, Reply> {
        let words: Vec<&str> = arguments.split(' ').filter(|word| !word.is_empty()).collect();
        if !(1..=MAX_ATTRIBUTES).contains(&words.len()) {
            return Err(reply(501, "5.5.4", "syntax: XCLIENT attribute=value ..."));
        }
        let mut client = Self::default();
        for word in words {
            client.attribute(word)?;
        }
        Ok(client)
    }

    fn attribute(&mut self, word: &str) -> Result<(), Reply> {
        let wrong = || reply_with(501, "5.5.4", format!("cannot take {word}"));
        let (name, value) = word.split_once('=').ok_or_else(wrong)?;
        let value = known(value).ok_or_else(wrong)?;
        match name.to_ascii_uppercase().as_str() {
            "ADDR" => {
                let address = value.map(|value| address(&value).ok_or_else(wrong));
                self.address = Some(address.transpose()?);
            }
            "NAME" => self.name = Some(host(value).ok_or_else(wrong)?),
            "HELO" => self.helo = Some(host(value).ok_or_else(wrong)?),
            "PORT" | "PROTO" | "LOGIN" | "DESTADDR" | "DESTPORT" => {}
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

/// A value as it is meant; `Some(None)` for those that stand for "not known".
fn known(value: &str) -> Option<Option<String>> {
    match value.to_ascii_uppercase().as_str() {
        "[UNAVAILABLE]" | "[TEMPUNAVAIL]" => Some(None),
        _ => xtext(value).map(Some),
    }
}

/// What can stand in Received as it is.
fn host(value: Option<String>) -> Option<Option<String>> {
    match value {
        Some(name) if !lhlo::is_name(&name) => None,
        value => Some(value),
    }
}

/// `192.0.2.1` or `IPV6:2001:db8::1`.
fn address(value: &str) -> Option<IpAddr> {
    match value.split_at_checked(5) {
        Some((tag, rest)) if tag.eq_ignore_ascii_case("IPv6:") => {
            rest.parse().ok().filter(IpAddr::is_ipv6)
        }
        _ => value.parse().ok(),
    }
}

/// RFC 3461 section 4: printable ASCII, anything else as `+` and two hexadecimal digits.
fn xtext(value: &str) -> Option<String> {
    if value.is_empty() || value.len() > MAX_VALUE * 3 {
        return None;
    }
    let mut octets = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((octet, tail)) = rest.split_first() {
        rest = match octet {
            b'+' => {
                let (digits, tail) = tail.split_at_checked(2)?;
                let plain = digits.iter().all(u8::is_ascii_hexdigit);
                let digits = std::str::from_utf8(digits).ok().filter(|_| plain)?;
                octets.push(u8::from_str_radix(digits, 16).ok()?);
                tail
            }
            b'=' => return None,
            octet if octet.is_ascii_graphic() => {
                octets.push(*octet);
                tail
            }
            _ => return None,
        };
    }
    String::from_utf8(octets).ok().filter(|text| text.len() <= MAX_VALUE)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn attributes_are_read() {
        let client = Client::parse("ADDR=192.0.2.1 name=mx.example.net HELO=h LOGIN=a+40b PORT=9");
        let expected = Client {
            address: Some(Some([192, 0, 2, 1].into())),
            name: Some(Some("mx.example.net".into())),
            helo: Some(Some("h".into())),
        };
        assert_eq!(client, Ok(expected));
        let client = Client::parse("ADDR=[UNAVAILABLE] NAME=[TEMPUNAVAIL]").unwrap();
        assert_eq!((client.address, client.name, client.helo), (Some(None), Some(None), None));
        let client = Client::parse("ADDR=IPV6:2001:db8::1").unwrap();
        assert_eq!(client.address, Some(Some("2001:db8::1".parse().unwrap())));
    }

    #[test]
    fn others_are_refused() {
        let long = format!("NAME={}", "x".repeat(MAX_VALUE + 1));
        let many = "PORT=1 ".repeat(MAX_ATTRIBUTES + 1);
        for wrong in [
            "",
            "ADDR",
            "ADDR=",
            "ADDR=192.0.2",
            "ADDR=IPV6:192.0.2.1",
            "ADDR=192.0.2.1 WHAT=1",
            "NAME=a+0D+0Ab",
            "NAME=a+4",
            "NAME=a+ZZ",
            "NAME=a=b",
            "HELO=<x>",
            "HELO=ü",
            long.as_str(),
            many.as_str(),
        ] {
            assert!(Client::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
