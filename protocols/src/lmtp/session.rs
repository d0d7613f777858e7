//! One LMTP session: lines in, commands run, replies out.

use std::time::Duration;

use redoubt_store::mailstore::{DeliveryRecipient, Envelope};
use tokio::time::Instant;

use super::command::{self, Next, Verb};
use super::deliverer::Deliverer;
use super::line::{self, Line};
use super::reply::{Reply, reply};
use super::{LmtpOptions, OverQuota};
use crate::stream::{Connection, StreamError};

/// A message's envelope as it grows.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Sender and parameters; the client's part is filled in at DATA.
    pub(super) envelope: Envelope,
    /// Whether SMTPUTF8 was asked for.
    pub(super) utf8: bool,
    /// What MAIL said of the size.
    pub(super) size: Option<u64>,
    pub(super) recipients: Vec<DeliveryRecipient>,
    /// By recipient.
    pub(super) over_quota: Vec<OverQuota>,
}

fn cut_off() -> Reply {
    reply(421, "4.3.2", "this server is cut off from the others, try another one")
}

/// What a trusted proxy says of its client (XCLIENT), beside its address.
#[derive(Debug, Default)]
pub(super) struct Proxied {
    /// Its name in DNS.
    pub(super) name: Option<String>,
    /// How it called itself there.
    pub(super) helo: Option<String>,
}

/// One client's session. Invariant: a transaction is there only behind LHLO, and
/// nothing from before STARTTLS is there after it.
pub(super) struct Session<'a, D> {
    pub(super) deliverer: &'a D,
    pub(super) options: &'a LmtpOptions,
    pub(super) connection: Connection,
    pub(super) client_name: Option<String>,
    pub(super) proxied: Proxied,
    pub(super) transaction: Option<Transaction>,
    pub(super) messages: u64,
    /// Unreadable commands in a row.
    unreadable: u32,
    /// When a line that has begun must be whole.
    deadline: Option<Instant>,
}

impl<'a, D: Deliverer> Session<'a, D> {
    pub(super) fn new(deliverer: &'a D, options: &'a LmtpOptions, connection: Connection) -> Self {
        Self {
            deliverer,
            options,
            connection,
            client_name: None,
            proxied: Proxied::default(),
            transaction: None,
            messages: 0,
            unreadable: 0,
            deadline: None,
        }
    }

    pub(super) async fn run(mut self) {
        if self.deliverer.cut_off().is_now() {
            // Where a server refuses so, an MTA tries the next one (RFC 5321 section 3.1).
            self.say(&cut_off());
            return self.connection.close().await;
        }
        self.greet();
        let ended = loop {
            match self.step().await {
                Ok(Next::Go) => {}
                Ok(Next::Close) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, peer = ?self.connection.peer().ip(), "LMTP session ended");
            if matches!(error, StreamError::TimedOut("send")) {
                self.say(&reply(421, "4.4.2", "too slow, closing"));
            }
        }
        self.connection.close().await;
    }

    pub(super) fn greet(&mut self) {
        let greeting = format!("220 {} LMTP Redoubt\r\n", self.options.hostname);
        self.connection.queue(greeting.as_bytes());
    }

    pub(super) fn say(&mut self, reply: &Reply) {
        if reply.is_ours() {
            self.connection.stats().failures.add(1);
        }
        self.connection.queue(reply.line().as_bytes());
    }

    /// Says this and ends the session.
    pub(super) fn close(&mut self, reply: &Reply) -> Next {
        self.say(reply);
        Next::Close
    }

    /// Back to where LHLO leaves a session.
    pub(super) fn reset(&mut self) {
        self.transaction = None;
    }

    async fn step(&mut self) -> Result<Next, StreamError> {
        match line::take(self.connection.input(), self.options.max_line) {
            Line::Whole(line) => {
                self.deadline = None;
                self.command(&line).await
            }
            Line::Partial => self.more().await,
            Line::TooLong => Ok(self.close(&reply(500, "5.5.2", "the line is too long, closing"))),
            Line::Bare => Ok(self.close(&reply(500, "5.5.2", "lines end with CRLF, closing"))),
        }
    }

    async fn command(&mut self, line: &[u8]) -> Result<Next, StreamError> {
        self.connection.stats().commands.add(1);
        self.connection.relieve().await?;
        let Some((verb, arguments)) = std::str::from_utf8(line).ok().and_then(Verb::parse) else {
            return Ok(self.unreadable(&reply(500, "5.5.1", "no such command")));
        };
        self.unreadable = 0;
        command::run(self, verb, arguments).await
    }

    /// For what cannot be read; too many of these in a row end the session.
    fn unreadable(&mut self, answer: &Reply) -> Next {
        self.unreadable += 1;
        if self.unreadable >= self.connection.limits().bad_commands {
            return self.close(&reply(421, "4.7.0", "too many errors, closing"));
        }
        self.say(answer);
        Next::Go
    }

    /// Sends what waits, then reads: so replies to pipelined commands go together.
    async fn more(&mut self) -> Result<Next, StreamError> {
        if self.connection.input().is_empty() {
            return self.idle().await;
        }
        self.connection.flush().await?;
        let limit = self.connection.limits().receive_timeout;
        let deadline = *self.deadline.get_or_insert_with(|| Instant::now() + limit);
        let left = deadline.saturating_duration_since(Instant::now());
        self.connection.fill_within(left.max(Duration::from_millis(1))).await?;
        Ok(Next::Go)
    }

    /// Between two commands: the place where a shutdown ends the session.
    async fn idle(&mut self) -> Result<Next, StreamError> {
        self.connection.flush().await?;
        self.connection.shrink();
        let shutdown = self.connection.shutdown_token();
        let mut alone = self.deliverer.cut_off();
        let limit = self.options.command_timeout;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {
                Ok(self.close(&reply(421, "4.3.2", "shutting down, connect again later")))
            }
            () = alone.happens() => Ok(self.close(&cut_off())),
            filled = self.connection.fill_within(limit) => filled.map(|_| Next::Go),
        }
    }
}
