//! Packets of the milter protocol, as Postfix and Sendmail send them: a length of four octets,
//! big-endian, that counts what follows; a command's letter; its data, which is numbers and
//! texts that end with a zero. Total: any octets are read, or refused, in bounds.

use std::net::IpAddr;

use bytes::{Buf, Bytes, BytesMut};

/// Octets of the longest packet, its letter counted. A header of Postfix has 102,400 by default,
/// a piece of a body 65,535.
pub const MAX_PACKET: usize = 1 << 20;
/// Octets before a packet: its length.
const PREFIX: usize = 4;
/// Texts in one packet.
const MAX_TEXTS: usize = 1000;

/// A packet that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Nothing, or more than a packet may have.
    #[error("a packet of {0} octets: there are 1 to {MAX_PACKET}")]
    Length(usize),
    /// The data are not what its command has.
    #[error("the data of command {0:?} do not read")]
    Data(char),
}

/// What an MTA tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// What it speaks, can have done to mail, and can leave out.
    Negotiate {
        /// The protocol's version.
        version: u32,
        /// Bits of what a filter may do to mail.
        actions: u32,
        /// Bits of what may be left out, and how texts are sent.
        protocol: u32,
    },
    /// Values for the command that follows, by name.
    Macros {
        /// That command's letter.
        of: u8,
        /// Names without braces, and values.
        values: Vec<(String, String)>,
    },
    /// A client has connected: its name, and its address if it has one.
    Connect(String, Option<IpAddr>),
    /// HELO or EHLO.
    Helo(String),
    /// MAIL: the sender, then parameters.
    Mail(Vec<String>),
    /// RCPT: a recipient, then parameters.
    Recipient(Vec<String>),
    /// DATA.
    Data,
    /// A header field: its name and its value, folds and all.
    Header(Bytes, Bytes),
    /// The header ends.
    EndOfHeader,
    /// A piece of the body.
    Body(Bytes),
    /// The message ends, perhaps with a last piece.
    EndOfBody(Bytes),
    /// This message goes no further.
    Abort,
    /// The connection ends.
    Quit,
    /// This SMTP session ends, another one comes over this connection.
    QuitAndGoOn,
    /// Anything else, by its letter: of no interest.
    Other(u8),
}

/// Takes a packet out of what has come; `None` if it is not whole yet.
///
/// # Errors
/// Its length is none.
pub fn take(input: &mut BytesMut) -> Result<Option<(u8, Bytes)>, Malformed> {
    let Some(prefix) = input.first_chunk::<PREFIX>() else { return Ok(None) };
    let length = u32::from_be_bytes(*prefix) as usize;
    if !(1..=MAX_PACKET).contains(&length) {
        return Err(Malformed::Length(length));
    }
    if input.len() < PREFIX + length {
        return Ok(None);
    }
    input.advance(PREFIX);
    let mut packet = input.split_to(length).freeze();
    Ok(Some((packet.get_u8(), packet)))
}

/// Reads a packet's data.
///
/// # Errors
/// They are not what its command has.
pub fn parse(letter: u8, data: &Bytes) -> Result<Command, Malformed> {
    let wrong = || Malformed::Data(char::from(letter));
    let read = match letter {
        b'O' => negotiate(data),
        b'D' => macros(data),
        b'C' => connect(data),
        b'H' => texts(data).and_then(|texts| texts.into_iter().next()).map(Command::Helo),
        b'M' => texts(data).filter(|texts| !texts.is_empty()).map(Command::Mail),
        b'R' => texts(data).filter(|texts| !texts.is_empty()).map(Command::Recipient),
        b'L' => header(data),
        b'T' => Some(Command::Data),
        b'N' => Some(Command::EndOfHeader),
        b'B' => Some(Command::Body(data.clone())),
        b'E' => Some(Command::EndOfBody(data.clone())),
        b'A' => Some(Command::Abort),
        b'Q' => Some(Command::Quit),
        b'K' => Some(Command::QuitAndGoOn),
        other => Some(Command::Other(other)),
    };
    read.ok_or_else(wrong)
}

fn negotiate(data: &Bytes) -> Option<Command> {
    let (numbers, _) = data.as_chunks::<4>();
    let number = |at: usize| numbers.get(at).map(|octets| u32::from_be_bytes(*octets));
    Some(Command::Negotiate { version: number(0)?, actions: number(1)?, protocol: number(2)? })
}

fn macros(data: &Bytes) -> Option<Command> {
    let (of, rest) = data.split_first()?;
    let texts = texts(rest)?;
    let pairs = texts.as_chunks::<2>().0.iter();
    let name = |name: &str| name.trim_start_matches('{').trim_end_matches('}').to_owned();
    let values = pairs.map(|[key, value]| (name(key), value.clone())).collect();
    Some(Command::Macros { of: *of, values })
}

fn connect(data: &Bytes) -> Option<Command> {
    let end = memchr::memchr(0, data)?;
    let (name, rest) = (text(data.get(..end)?), data.get(end + 1..)?);
    let (family, rest) = rest.split_first()?;
    if !matches!(family, b'4' | b'6') {
        return Some(Command::Connect(name, None));
    }
    // A port of two octets stands before the address.
    let address = texts(rest.get(2..)?)?.into_iter().next()?;
    let address = address.strip_prefix("IPv6:").unwrap_or(&address).parse().ok();
    Some(Command::Connect(name, address))
}

fn header(data: &Bytes) -> Option<Command> {
    let name = memchr::memchr(0, data)?;
    let value = name + 1 + memchr::memchr(0, data.get(name + 1..)?)?;
    Some(Command::Header(data.slice(..name), data.slice(name + 1..value)))
}

/// Texts that end with zeros, all of the data; one that has no end is none.
fn texts(data: &[u8]) -> Option<Vec<String>> {
    let body = match data.split_last() {
        None => return Some(Vec::new()),
        Some((0, body)) => body,
        Some(_) => return None,
    };
    let texts = body.split(|octet| *octet == 0).take(MAX_TEXTS + 1);
    let texts: Vec<String> = texts.map(text).collect();
    (texts.len() <= MAX_TEXTS).then_some(texts)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// A packet to the MTA.
pub(super) fn write(output: &mut BytesMut, letter: u8, data: &[u8]) {
    let length = u32::try_from(data.len() + 1).unwrap_or(u32::MAX);
    output.extend_from_slice(&length.to_be_bytes());
    output.extend_from_slice(&[letter]);
    output.extend_from_slice(data);
}
