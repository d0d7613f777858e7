//! AUTHENTICATE PLAIN (RFC 9051 section 6.2.2, RFC 4616), with an initial response (RFC 4959).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::{Authenticate, Secret};

/// AUTHENTICATE; PLAIN is the one mechanism so far.
pub(crate) async fn run(session: &mut Session, authenticate: Authenticate) -> Answer {
    session.before_login()?;
    if authenticate.mechanism != "PLAIN" {
        return Ok(Reply::no("CANNOT", "This mechanism is not offered"));
    }
    let message = match authenticate.initial {
        Some(initial) => initial,
        None => response(session).await??,
    };
    let plain = Plain::read(&message.0)?;
    session.authenticate(plain.name, plain.password).await
}

async fn response(session: &mut Session) -> Result<Result<Secret, Reply>, crate::imap::reply::End> {
    session.continuation("").await?;
    let line = session.line().await?;
    Ok(match line.as_ref() {
        b"*" => Err(Reply::bad("AUTHENTICATE was cancelled")),
        text => {
            STANDARD.decode(text).map(Secret).map_err(|_| Reply::bad("The response is not base64"))
        }
    })
}

struct Plain<'a> {
    name: &'a str,
    password: &'a [u8],
}

impl<'a> Plain<'a> {
    /// `[authzid] NUL authcid NUL passwd`. Nobody may act as another yet.
    fn read(message: &'a [u8]) -> Result<Self, Reply> {
        let malformed = || Reply::bad("This is no PLAIN message");
        let mut fields = message.splitn(3, |octet| *octet == 0);
        let mut field = || fields.next().ok_or_else(malformed);
        let (authorization, name, password) = (field()?, field()?, field()?);
        if name.is_empty() || password.is_empty() || password.contains(&0) {
            return Err(malformed());
        }
        if !authorization.is_empty() && authorization != name {
            return Err(Reply::no("AUTHORIZATIONFAILED", "You may not act as another user"));
        }
        let name = std::str::from_utf8(name).map_err(|_| malformed())?;
        Ok(Self { name, password })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn plain_messages_read() {
        let plain = Plain::read(b"\0alice\0secret").unwrap();
        assert_eq!((plain.name, plain.password), ("alice", b"secret".as_slice()));
        assert!(Plain::read(b"alice\0alice\0secret").is_ok());
        let other = Plain::read(b"bob\0alice\0secret").err().unwrap();
        assert_eq!(other.code.as_deref(), Some("AUTHORIZATIONFAILED"));
    }

    #[test]
    fn others_are_refused() {
        for wrong in [b"".as_slice(), b"\0a", b"\0a\0", b"\0\0x", b"\0a\0x\0", b"\0\xff\0x"] {
            assert!(Plain::read(wrong).is_err(), "{wrong:?}");
        }
    }
}
