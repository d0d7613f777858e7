//! What a command comes to: the tagged response, with the codes of RFC 5530.

use std::borrow::Cow;
use std::fmt::{self, Write};

use bytes::BytesMut;
use redoubt_log::record::Rejection;
use redoubt_store::mailstore::{AuthError, Revoked, StoreError, WriteError};

use crate::stream::StreamError;

/// OK, NO or BAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    Ok,
    No,
    Bad,
}

/// A tagged response without its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: Status,
    /// The response code without its brackets.
    pub(crate) code: Option<Cow<'static, str>>,
    pub(crate) text: Cow<'static, str>,
    /// Whether HIGHESTMODSEQ is told with it, as it is when all else is told.
    pub(crate) highest: bool,
}

impl Reply {
    pub(crate) fn ok(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Ok, code: None, text: text.into(), highest: false }
    }

    pub(crate) fn no(
        code: impl Into<Cow<'static, str>>,
        text: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { status: Status::No, code: Some(code.into()), text: text.into(), highest: false }
    }

    pub(crate) fn bad(text: impl Into<Cow<'static, str>>) -> Self {
        Self { status: Status::Bad, code: None, text: text.into(), highest: false }
    }

    pub(crate) fn code(self, code: impl Into<Cow<'static, str>>) -> Self {
        Self { code: Some(code.into()), ..self }
    }

    /// With what a client of QRESYNC may take for its next resynchronisation
    /// (RFC 7162 section 3.2.7).
    pub(crate) fn with_highest_modseq(self) -> Self {
        Self { highest: true, ..self }
    }

    /// For a mailbox that is not there: the client may CREATE it and try again
    /// (RFC 9051 section 6.3.12).
    pub(crate) fn try_create() -> Self {
        Self::no("TRYCREATE", "There is no such mailbox")
    }

    pub(crate) fn nonexistent() -> Self {
        Self::no("NONEXISTENT", "There is no such mailbox")
    }

    /// Some messages that were asked for are gone (RFC 5530).
    pub(crate) fn expunge_issued() -> Self {
        Self::no("EXPUNGEISSUED", "Some of the messages are not there any more")
    }

    pub(crate) fn read_only() -> Self {
        Self::no("READ-ONLY", "The mailbox was opened read-only")
    }

    pub(crate) fn past() -> Self {
        Self::no("READ-ONLY", "This is a mailbox as it was: COPY messages out of it to have them")
    }

    /// Whether it is a NO.
    pub(crate) fn is_no(&self) -> bool {
        self.status == Status::No
    }

    /// Whether it is the server that could not do it.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self.code.as_deref(), Some("UNAVAILABLE" | "SERVERBUG" | "CONTACTADMIN"))
    }

    /// The line behind the tag.
    pub(crate) fn write(&self, out: &mut BytesMut) {
        let status = match self.status {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
        };
        let _ = match &self.code {
            Some(code) => write!(out, "{status} [{code}] {}\r\n", Text(&self.text)),
            None => write!(out, "{status} {}\r\n", Text(&self.text)),
        };
    }
}

/// Text of a response (RFC 9051 section 9, text): one line of ASCII.
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(".");
        }
        let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        self.0.chars().try_for_each(|c| f.write_char(plain(c)))
    }
}

/// Why a session ends.
#[derive(Debug)]
pub(crate) enum End {
    /// The client is gone; nothing can be said to it.
    Gone(StreamError),
    /// The client said LOGOUT and was answered.
    Logout,
    /// Said as an untagged BYE.
    Bye(Cow<'static, str>),
}

impl End {
    /// This node has been without the others for too long; another one may do better.
    pub(crate) fn cut_off() -> Self {
        Self::Bye("[UNAVAILABLE] This server is cut off from the others, try another one".into())
    }
}

impl From<Revoked> for End {
    fn from(why: Revoked) -> Self {
        // RFC 5530
        let code = match why {
            Revoked::Account => "AUTHORIZATIONFAILED",
            Revoked::Password => "EXPIRED",
        };
        Self::Bye(format!("[{code}] {why}").into())
    }
}

impl From<StreamError> for End {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::TimedOut("send") => Self::Bye("Autologout: nothing came in time".into()),
            error => Self::Gone(error),
        }
    }
}

/// Why a command does not go on: it is answered, or the session ends.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The command's tagged response.
    Reply(Reply),
    /// No more is said.
    End(End),
}

/// A command's answer.
pub(crate) type Answer = Result<Reply, Trouble>;

impl<T: Into<Reply>> From<T> for Trouble {
    fn from(reply: T) -> Self {
        Self::Reply(reply.into())
    }
}

impl From<StreamError> for Trouble {
    fn from(error: StreamError) -> Self {
        Self::End(error.into())
    }
}

impl From<End> for Trouble {
    fn from(end: End) -> Self {
        Self::End(end)
    }
}

impl From<StoreError> for Reply {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Views(_) => "SERVERBUG",
            StoreError::BelowFloor { .. } => "NONEXISTENT",
            StoreError::Blob(..) => "CONTACTADMIN",
            StoreError::Stopped(_) | StoreError::Unavailable(_) => "UNAVAILABLE",
        };
        match error {
            StoreError::Unavailable(_) => tracing::warn!(%error, "IMAP command refused"),
            StoreError::BelowFloor { .. } => {}
            _ => tracing::error!(%error, "IMAP command failed"),
        }
        Self::no(code, error.to_string())
    }
}

impl From<WriteError> for Reply {
    fn from(error: WriteError) -> Self {
        let code = match error {
            WriteError::Rejected(rejection) => return rejection.into(),
            WriteError::Store(error) => return error.into(),
            WriteError::DiskFull { .. } => "OVERQUOTA",
            WriteError::TooLarge { .. } => "TOOBIG",
            WriteError::Invalid(_) => "CANNOT",
            WriteError::Unavailable(_) | WriteError::Unknown(_) => "UNAVAILABLE",
        };
        Self::no(code, error.to_string())
    }
}

impl From<Rejection> for Reply {
    fn from(rejection: Rejection) -> Self {
        let code = match rejection {
            Rejection::Exists(_) => "ALREADYEXISTS",
            // RFC 6154 section 3
            Rejection::UseTaken(_) => "USEATTR",
            Rejection::NoSuchMailbox | Rejection::NotFound(_) => "NONEXISTENT",
            Rejection::OverQuota { .. } => "OVERQUOTA",
            Rejection::Limit(_) | Rejection::UidsExhausted => "LIMIT",
            Rejection::TooLarge { .. } => "TOOBIG",
            Rejection::Gone => "EXPUNGEISSUED",
            Rejection::NoSuchAccount | Rejection::AccountState(_) | Rejection::Archive => "NOPERM",
            _ => "CANNOT",
        };
        Self::no(code, rejection.to_string())
    }
}

impl From<AuthError> for Reply {
    fn from(error: AuthError) -> Self {
        let code = match error {
            AuthError::Store(error) => return error.into(),
            AuthError::Denied => "AUTHENTICATIONFAILED",
            AuthError::State => "AUTHORIZATIONFAILED",
            _ => "UNAVAILABLE",
        };
        Self::no(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.write(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn a_reply_is_one_line() {
        assert_eq!(written(&Reply::ok("done\r\na OK ü")), "OK done??a OK ?\r\n");
        assert_eq!(written(&Reply::ok("").code("X 1")), "OK [X 1] .\r\n");
        assert_eq!(written(&Reply::bad("no")), "BAD no\r\n");
    }

    #[test]
    fn errors_have_the_codes_of_rfc_5530() {
        let code = |reply: Reply| reply.code.unwrap_or_default().into_owned();
        let over = Rejection::OverQuota { used: 1, limit: 1 };
        assert_eq!(code(WriteError::Rejected(over).into()), "OVERQUOTA");
        assert_eq!(code(WriteError::TooLarge { size: 2, limit: 1 }.into()), "TOOBIG");
        assert_eq!(code(WriteError::Unavailable(String::new()).into()), "UNAVAILABLE");
        assert_eq!(code(StoreError::Views(String::new()).into()), "SERVERBUG");
        assert_eq!(code(AuthError::Denied.into()), "AUTHENTICATIONFAILED");
    }
}
