//! One connection of an MTA: packets in, a message rebuilt, an answer at its end.

use std::net::IpAddr;

use bytes::Bytes;
use redoubt_log::record::Actor;
use redoubt_store::mailstore::{Envelope, Sent, WriteError};

use super::Capturer;
use super::packet::{Command, MAX_PACKET, Malformed, parse, take, write};
use crate::stream::{Connection, StreamError};

/// The version that we speak.
const VERSION: u32 = 6;
/// The oldest version that has what we need.
const OLDEST: u32 = 2;

/// What is not sent to us (libmilter's `mfdef.h`, SMFIP_*): unknown commands.
const NO_UNKNOWN: u32 = 0x100;
/// Commands that we do not answer: headers, and with version 6 all that carries no verdict.
const NO_REPLY: u32 = 0x80 | 0x1000 | 0x2000 | 0x4000 | 0x8000 | 0x1_0000 | 0x4_0000 | 0x8_0000;
/// Header values come with the white space behind the colon.
const LEADING_SPACE: u32 = 0x10_0000;

/// Octets of a message's envelope: addresses and parameters.
const MAX_ENVELOPE: usize = 4 << 20;

/// A message as it comes.
struct Message<T> {
    sent: Sent,
    octets: usize,
    /// What went wrong on the way; the rest is passed over then.
    content: Result<T, WriteError>,
}

/// See the module. Invariant: a message is there from MAIL on, up to its end.
pub(super) struct Session<'a, C: Capturer> {
    capturer: &'a C,
    connection: Connection,
    /// Commands that the MTA does not wait for, as bits.
    unanswered: u32,
    leading_space: bool,
    client_name: String,
    client_address: Option<IpAddr>,
    helo: String,
    tls: bool,
    authenticated: Option<String>,
    message: Option<Message<C::Content>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Go,
    Close,
}

#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    Malformed(#[from] Malformed),
    #[error("the MTA speaks version {0}, and at least {OLDEST} is needed")]
    Version(u32),
}

impl<'a, C: Capturer> Session<'a, C> {
    pub(super) fn new(capturer: &'a C, connection: Connection) -> Self {
        Self {
            capturer,
            connection,
            unanswered: 0,
            leading_space: false,
            client_name: String::new(),
            client_address: None,
            helo: String::new(),
            tls: false,
            authenticated: None,
            message: None,
        }
    }

    pub(super) async fn run(mut self) {
        let ended = loop {
            match self.step().await {
                Ok(Next::Go) => {}
                Ok(Next::Close) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        match ended {
            Err(Ended::Stream(error)) => tracing::debug!(%error, "milter connection ended"),
            Err(error) => tracing::warn!(%error, "milter connection ended"),
            Ok(()) => {}
        }
        self.connection.close().await;
    }

    async fn step(&mut self) -> Result<Next, Ended> {
        let Some((letter, data)) = take(self.connection.input())? else {
            return Ok(self.more().await?);
        };
        self.connection.stats().commands.add(1);
        let command = parse(letter, &data)?;
        let next = self.command(command).await?;
        self.connection.relieve().await?;
        Ok(next)
    }

    /// Sends what waits, then reads. Between two messages is where a shutdown ends it.
    async fn more(&mut self) -> Result<Next, StreamError> {
        self.connection.flush().await?;
        let limits = self.connection.limits().clone();
        let idle = self.message.is_none() && self.connection.input().is_empty();
        if idle {
            self.connection.shrink();
        }
        let limit = if idle { limits.idle_timeout } else { limits.receive_timeout };
        let shutdown = self.connection.shutdown_token();
        tokio::select! {
            biased;
            () = shutdown.cancelled(), if idle => Ok(Next::Close),
            filled = self.connection.fill_within(limit) => filled.map(|_| Next::Go),
        }
    }

    async fn command(&mut self, command: Command) -> Result<Next, Ended> {
        match command {
            Command::Negotiate { version, protocol, .. } => self.negotiate(version, protocol)?,
            Command::Macros { of, values } => self.macros(of, values),
            Command::Connect(name, address) => {
                (self.client_name, self.client_address) = (name, address);
                (self.helo, self.tls) = (String::new(), false);
                self.go_on(0x1000);
            }
            Command::Helo(name) => {
                self.helo = name;
                self.go_on(0x2000);
            }
            Command::Mail(texts) => {
                self.begin(texts);
                self.go_on(0x4000);
            }
            Command::Recipient(texts) => {
                self.recipient(texts);
                self.go_on(0x8000);
            }
            Command::Data => self.go_on(0x1_0000),
            Command::Header(name, value) => {
                let line = self.header(&name, &value);
                self.add(&line).await;
                self.go_on(0x80);
            }
            Command::EndOfHeader => {
                self.add(b"\r\n").await;
                self.go_on(0x4_0000);
            }
            Command::Body(piece) => {
                self.add(&piece).await;
                self.go_on(0x8_0000);
            }
            Command::EndOfBody(piece) => self.end(piece).await,
            Command::Abort => self.forget(),
            Command::QuitAndGoOn => {
                self.forget();
                (self.client_name, self.client_address) = (String::new(), None);
            }
            Command::Quit => return Ok(Next::Close),
            Command::Other(b'U') => self.go_on(0x2_0000),
            Command::Other(_) => {}
        }
        Ok(Next::Go)
    }

    fn negotiate(&mut self, version: u32, protocol: u32) -> Result<(), Ended> {
        if version < OLDEST {
            return Err(Ended::Version(version));
        }
        // Recipients that were rejected are not asked for (SMFIP_RCPT_REJ): they get nothing.
        let wished = protocol & (NO_UNKNOWN | NO_REPLY | LEADING_SPACE);
        self.unanswered = wished & NO_REPLY;
        self.leading_space = wished & LEADING_SPACE != 0;
        let numbers = [version.min(VERSION), 0, wished].map(u32::to_be_bytes);
        write(self.connection.output(), b'O', numbers.as_flattened());
        Ok(())
    }

    /// Says that the MTA may go on, where it waits for that.
    fn go_on(&mut self, command: u32) {
        if self.unanswered & command == 0 {
            write(self.connection.output(), b'c', &[]);
        }
    }

    fn macros(&mut self, of: u8, values: Vec<(String, String)>) {
        let tls = values.iter().any(|(name, value)| name == "tls_version" && !value.is_empty());
        self.tls |= tls;
        if of == b'M' {
            let found = values.into_iter().find(|(name, _)| name == "auth_authen");
            self.authenticated = found.map(|(_, value)| value).filter(|value| !value.is_empty());
        }
    }

    fn begin(&mut self, mut texts: Vec<String>) {
        let octets = texts.iter().map(String::len).sum();
        let parameters = texts.split_off(1.min(texts.len()));
        let sender = texts.pop().unwrap_or_default();
        let envelope = Envelope {
            sender: bare(&sender).to_owned(),
            parameters,
            client_name: self.helo.clone(),
            client_address: self.client_address,
            tls: self.tls,
        };
        let authenticated = self.authenticated.take();
        let sent = Sent { envelope, authenticated, ..Sent::default() };
        self.message = Some(Message { sent, octets, content: Ok(self.capturer.begin()) });
    }

    fn recipient(&mut self, texts: Vec<String>) {
        let (Some(message), Some(address)) = (&mut self.message, texts.into_iter().next()) else {
            return;
        };
        message.octets = message.octets.saturating_add(address.len());
        if message.octets > MAX_ENVELOPE {
            let why = format!("an envelope has {MAX_ENVELOPE} octets at most");
            message.content = Err(WriteError::Invalid(why));
            return;
        }
        message.sent.recipients.push(bare(&address).to_owned());
    }

    /// A field as it stood in the message.
    fn header(&self, name: &[u8], value: &[u8]) -> Vec<u8> {
        let mut line = Vec::with_capacity(name.len() + value.len() + 4);
        line.extend_from_slice(name);
        line.push(b':');
        if !self.leading_space {
            line.push(b' ');
        }
        // Folds come with a line feed alone.
        for octet in value {
            if *octet == b'\n' && line.last() != Some(&b'\r') {
                line.push(b'\r');
            }
            line.push(*octet);
        }
        line.extend_from_slice(b"\r\n");
        line
    }

    async fn add(&mut self, octets: &[u8]) {
        let Some(message) = &mut self.message else { return };
        if let Ok(content) = &mut message.content
            && !octets.is_empty()
            && let Err(error) = C::write(content, octets).await
        {
            message.content = Err(error);
        }
    }

    fn forget(&mut self) {
        (self.message, self.authenticated) = (None, None);
    }

    async fn end(&mut self, piece: Bytes) {
        self.add(&piece).await;
        let answer = match self.message.take() {
            None => Err(WriteError::Invalid("a message without a sender".to_owned())),
            Some(Message { sent, content, .. }) => {
                let actor = Actor::mta(self.client_address);
                self.capturer.capture(actor, sent, content).await
            }
        };
        let output = self.connection.output();
        match &answer {
            Ok(_) => write(output, b'a', &[]),
            Err(WriteError::TooLarge { .. }) => {
                write(output, b'y', b"552 5.3.4 the message is too large to be captured\0");
            }
            Err(error) => {
                tracing::warn!(%error, "a message that is sent was not captured");
                write(output, b'y', b"451 4.3.2 the message cannot be captured now, try again\0");
            }
        }
        if answer.is_err() {
            self.connection.stats().failures.add(1);
        }
    }
}

/// An address without its brackets.
fn bare(path: &str) -> &str {
    let path = path.trim();
    path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path)
}

const _: () = assert!(MAX_PACKET >= 65_536);
