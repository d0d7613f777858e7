//! LMTP (RFC 2033): how mail comes in. A status per recipient that is the truth:
//! 2xx only once the mailstore has said that the message is kept.
//!
//! PIPELINING (RFC 2920), 8BITMIME (RFC 6152), SMTPUTF8 (RFC 6531),
//! ENHANCEDSTATUSCODES (RFC 2034), SIZE (RFC 1870), STARTTLS (RFC 3207).
//!
//! Lines end with CRLF and with nothing else (RFC 5321 section 2.3.8): a command
//! with a bare CR or LF is refused and the connection closed; data ends at CRLF.CRLF
//! alone, and a message with a bare CR or LF is refused unless
//! [`LmtpOptions::bare_newlines`] says to keep it as it is.

use std::sync::Arc;
use std::time::Duration;

use crate::limits::Refusal;
use crate::server::Protocol;
use crate::stream::Connection;

mod command;
mod deliverer;
mod line;
mod path;
mod reply;
mod session;
#[cfg(test)]
mod tests;
mod trace;
mod unstuff;

pub use deliverer::{Deliverer, Found, MailstoreDeliverer};
use session::Session;

/// What to do with a message that has a CR or LF on its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BareNewlines {
    /// Refuse it: 554 5.6.0.
    #[default]
    Refuse,
    /// Keep its octets as they are; they end no line.
    Keep,
}

/// What an MTA hears when a mailbox is over quota: a setting of the domain.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OverQuota {
    /// 552 5.2.2: the sender hears of it at once.
    #[default]
    Refuse,
    /// 452 4.2.2: the MTA tries again.
    Defer,
}

/// How LMTP is spoken, beside the connection's [`crate::limits::Limits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LmtpOptions {
    /// Our name in the greeting and in Received.
    pub hostname: String,
    /// Octets of the largest message: SIZE.
    pub max_message: u64,
    /// Recipients of one message.
    pub max_recipients: usize,
    /// Octets of all recipients' addresses of one message.
    pub max_recipient_octets: usize,
    /// Octets of a command line, CRLF not counted.
    pub max_line: usize,
    /// Messages over one connection.
    pub max_messages: u64,
    /// All of a message's data comes within this time, however slowly.
    pub message_timeout: Duration,
    /// A session that does nothing is closed after this long (RFC 5321 section 4.5.3.2.7).
    pub command_timeout: Duration,
    /// What to do with bare CR and LF.
    pub bare_newlines: BareNewlines,
}

impl Default for LmtpOptions {
    fn default() -> Self {
        Self {
            hostname: "localhost".into(),
            max_message: 100 << 20,
            max_recipients: 1_000,
            max_recipient_octets: 256 << 10,
            max_line: 4096,
            max_messages: 1_000_000,
            message_timeout: Duration::from_secs(3600),
            command_timeout: Duration::from_secs(300),
            bare_newlines: BareNewlines::default(),
        }
    }
}

/// LMTP over a mailstore.
#[derive(Debug)]
pub struct Lmtp<D> {
    deliverer: D,
    options: LmtpOptions,
}

impl<D: Deliverer> Lmtp<D> {
    /// LMTP that hands messages to `deliverer`.
    pub fn new(deliverer: D, options: LmtpOptions) -> Self {
        Self { deliverer, options }
    }
}

impl<D: Deliverer> Protocol for Lmtp<D> {
    async fn serve(self: Arc<Self>, connection: Connection) {
        Session::new(&self.deliverer, &self.options, connection).run().await;
    }

    fn refuse(&self, refusal: Refusal) -> String {
        format!("421 4.3.2 {} {refusal}\r\n", self.options.hostname)
    }
}
