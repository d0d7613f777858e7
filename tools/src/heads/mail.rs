//! The sink that is mail: one message a head, handed to a relay by SMTP (RFC 5321) or LMTP
//! (RFC 2033). No TLS and no login: the relay is the site's own, on this machine or beside it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// The most octets of a reply.
const MAX_REPLY: u64 = 64 * 1024;
/// Characters of a line of base64 (RFC 2045 section 6.8).
const LINE: usize = 76;

/// Where mail is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relay {
    lmtp: bool,
    address: String,
}

impl FromStr for Relay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("{text:?} is no relay: write \"smtp://HOST:PORT\" or \"lmtp://HOST:PORT\"");
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (lmtp, port) = match scheme {
            "smtp" => (false, 25),
            "lmtp" => (true, 24),
            _ => return Err(wrong()),
        };
        let rest = rest.trim_end_matches('/');
        let plain = !rest.is_empty() && !rest.contains(['/', '@', ' ']);
        let bare = !rest.ends_with(']') && rest.contains(':');
        let address = if bare { rest.to_owned() } else { format!("{rest}:{port}") };
        plain.then_some(Self { lmtp, address }).ok_or_else(wrong)
    }
}

impl fmt::Display for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.lmtp { "lmtp" } else { "smtp" }, self.address)
    }
}

/// Whether an address can stand between angle brackets.
pub fn is_address(text: &str) -> bool {
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>');
    text.contains('@') && text.len() <= 254 && text.is_ascii() && !text.contains(odd)
}

/// From whom, to whom, and what.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The name that this machine gives itself.
    pub hostname: String,
    /// The sender.
    pub from: String,
    /// The recipient.
    pub to: String,
    /// Its subject, in ASCII.
    pub subject: String,
    /// RFC 5322's date.
    pub date: String,
    /// What it says.
    pub text: String,
}

impl Letter {
    /// The message, with CRLF.
    fn message(&self) -> String {
        let Self { hostname, from, to, subject, date, text } = self;
        let id = blake3::hash(text.as_bytes()).to_hex();
        let mut message = format!(
            "From: <{from}>\r\nTo: <{to}>\r\nSubject: {subject}\r\nDate: {date}\r\n\
             Message-ID: <{id}@{hostname}>\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        );
        let coded = STANDARD.encode(text);
        let mut rest = coded.as_str();
        while let Some((line, more)) =
            rest.split_at_checked(LINE.min(rest.len())).filter(|p| !p.0.is_empty())
        {
            message += line;
            message += "\r\n";
            rest = more;
        }
        message
    }
}

/// Hands a letter over; `Ok` when the relay has taken it.
///
/// # Errors
/// What the relay said, or why there is none.
pub async fn send(relay: &Relay, letter: &Letter) -> Result<(), String> {
    let stream = TcpStream::connect(&relay.address).await;
    let stream = stream.map_err(|error| format!("{relay} is not reached: {error}"))?;
    let mut talk = Talk { stream: BufReader::new(stream), relay };
    talk.expect("its greeting", 220).await?;
    let hello = if relay.lmtp { "LHLO" } else { "EHLO" };
    talk.say(&format!("{hello} {}", letter.hostname), 250).await?;
    talk.say(&format!("MAIL FROM:<{}>", letter.from), 250).await?;
    talk.say(&format!("RCPT TO:<{}>", letter.to), 250).await?;
    talk.say("DATA", 354).await?;
    // No line of it begins with a dot: fields, and base64.
    talk.write(&letter.message()).await?;
    talk.say(".", 250).await?;
    // It has been taken; whether the farewell is heard does not matter.
    let _ = talk.say("QUIT", 221).await;
    Ok(())
}

struct Talk<'r> {
    stream: BufReader<TcpStream>,
    relay: &'r Relay,
}

impl Talk<'_> {
    async fn write(&mut self, text: &str) -> Result<(), String> {
        let written = self.stream.get_mut().write_all(text.as_bytes()).await;
        written.map_err(|error| format!("{}: {error}", self.relay))
    }

    async fn say(&mut self, line: &str, wanted: u16) -> Result<(), String> {
        self.write(&format!("{line}\r\n")).await?;
        self.expect(line, wanted).await
    }

    /// Reads a reply, which may have several lines (RFC 5321 section 4.2.1).
    async fn expect(&mut self, to: &str, wanted: u16) -> Result<(), String> {
        let relay = self.relay;
        let mut limited = (&mut self.stream).take(MAX_REPLY);
        loop {
            let mut line = String::new();
            let read = limited.read_line(&mut line).await;
            match read.map_err(|error| format!("{relay}: {error}"))? {
                0 => return Err(format!("{relay} ended without an answer to {to}")),
                _ if line.get(3..4) == Some("-") => {}
                _ => {
                    let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).unwrap_or(0);
                    let fits = code == wanted || (code == 251 && wanted == 250);
                    let said = || format!("{relay} answered to {to}: {}", line.trim_end());
                    return fits.then_some(()).ok_or_else(said);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn relays_read() {
        let read = |text: &str| text.parse::<Relay>().map(|relay| relay.to_string());
        assert_eq!(read("smtp://mail.example.org").unwrap(), "smtp://mail.example.org:25");
        assert_eq!(read("lmtp://127.0.0.1:7025").unwrap(), "lmtp://127.0.0.1:7025");
        assert_eq!(read("smtp://[::1]").unwrap(), "smtp://[::1]:25");
        for wrong in ["", "mail:25", "smtps://mail", "smtp://", "smtp://a@b", "smtp://a/b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(is_address("audit@example.org"));
        for wrong in ["audit", "a@b>\r\nRCPT", "a b@c", "<a@b>"] {
            assert!(!is_address(wrong), "{wrong}");
        }
    }

    #[test]
    fn lines_are_short_and_none_begins_with_a_dot() {
        let letter = Letter {
            hostname: "mail.example.org".into(),
            from: "a@example.org".into(),
            to: "b@example.org".into(),
            subject: "head".into(),
            date: "Thu, 1 Jan 1970 00:00:00 +0000".into(),
            text: ".\u{2014} head\n".repeat(40),
        };
        let message = letter.message();
        assert!(message.split("\r\n").all(|line| line.len() <= 100 && !line.starts_with('.')));
        assert!(!message.replace("\r\n", "").contains(['\r', '\n']));
        let body: String = message.split("\r\n\r\n").nth(1).unwrap().split("\r\n").collect();
        assert_eq!(STANDARD.decode(body).unwrap(), letter.text.as_bytes());
    }
}
