//! An MTA's side of a milter's connection (Sendmail's mail filter protocol, version 6):
//! enough to show it a message and hear the verdict.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The longest answer that is read.
const LONGEST: u32 = 64 * 1024;

/// What a milter says at a message's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The MTA goes on.
    Accepted,
    /// The MTA's client is told this.
    Replied(String),
    /// The client shall try again (451), or is refused (5xx), in the MTA's own words.
    Other(char),
}

impl Verdict {
    /// Whether the client shall try again.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Accepted => false,
            Self::Replied(text) => text.starts_with('4'),
            Self::Other(letter) => *letter == 't',
        }
    }
}

/// Shows a message with one header field to the milter at an address.
pub fn show(at: SocketAddr, from: &str, to: &[&str], subject: &str) -> Result<Verdict> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(&packet(b'O', [6_u32, 0, 0x1f_ffff].map(u32::to_be_bytes).as_flattened()))?;
    let (letter, _) = answer(&mut stream)?;
    if letter != b'O' {
        return Err(Error::new(ErrorKind::InvalidData, "no negotiation"));
    }
    let mut told = vec![
        packet(b'C', b"client.example\x004\x12\x34127.0.0.1\0"),
        packet(b'H', b"client.example\0"),
        packet(b'M', format!("<{from}>\0").as_bytes()),
    ];
    told.extend(to.iter().map(|to| packet(b'R', format!("<{to}>\0").as_bytes())));
    told.extend([
        packet(b'T', b""),
        packet(b'L', format!("Subject\0 {subject}\0").as_bytes()),
        packet(b'N', b""),
        packet(b'B', b"shown to a milter\r\n"),
        packet(b'E', b""),
    ]);
    stream.write_all(&told.concat())?;
    Ok(match answer(&mut stream)? {
        (b'a' | b'c', _) => Verdict::Accepted,
        (b'y', text) => {
            Verdict::Replied(String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned())
        }
        (letter, _) => Verdict::Other(char::from(letter)),
    })
}

fn packet(letter: u8, data: &[u8]) -> Vec<u8> {
    let length = u32::try_from(data.len() + 1).expect("a short packet");
    [&length.to_be_bytes()[..], &[letter], data].concat()
}

fn answer(stream: &mut TcpStream) -> Result<(u8, Vec<u8>)> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if !(1..=LONGEST).contains(&length) {
        return Err(Error::new(ErrorKind::InvalidData, format!("{length} octets")));
    }
    let mut octets = vec![0; length as usize];
    stream.read_exact(&mut octets)?;
    let data = octets.split_off(1);
    Ok((octets[0], data))
}
