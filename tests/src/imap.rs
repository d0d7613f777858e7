//! A small IMAP client, independent of the server's code: lines and literals
//! in, values out.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub use crate::values::Value;
use crate::values::{literal_length, values};

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One connection.
#[derive(Debug)]
pub struct Imap {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    tag: u32,
}

/// What a command was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// Untagged responses without `* `, literals in their place with their `{n}`.
    pub untagged: Vec<Vec<u8>>,
    /// The tagged response without its tag.
    pub tagged: String,
}

impl Imap {
    /// Connects and reads the greeting.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut client =
            Self { reader: BufReader::new(stream.try_clone()?), writer: stream, tag: 0 };
        client.response()?;
        Ok(client)
    }

    /// Connects and logs in with the password `secret`.
    ///
    /// # Errors
    /// When the server is gone or refuses.
    pub fn login(address: SocketAddr, user: &str) -> io::Result<Self> {
        let mut client = Self::connect(address)?;
        client.ok(&format!("LOGIN {user} secret"))?;
        Ok(client)
    }

    /// Sends a command and reads up to its tagged response.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn command(&mut self, command: &str) -> io::Result<Reply> {
        self.command_octets(command.as_bytes())
    }

    /// The same for a command with octets beyond ASCII, or non-synchronizing literals.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn command_octets(&mut self, command: &[u8]) -> io::Result<Reply> {
        let tag = self.send(command)?;
        self.finish(&tag)
    }

    /// Sends a command; its tag.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn send(&mut self, command: &[u8]) -> io::Result<String> {
        self.tag += 1;
        let tag = format!("t{}", self.tag);
        let line = [tag.as_bytes(), b" ", command, b"\r\n"].concat();
        self.writer.write_all(&line)?;
        Ok(tag)
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn raw(&mut self, octets: &[u8]) -> io::Result<()> {
        self.writer.write_all(octets)
    }

    /// Reads up to the tagged response.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn finish(&mut self, tag: &str) -> io::Result<Reply> {
        let mut untagged = Vec::new();
        loop {
            let response = self.response()?;
            if let Some(rest) = response.strip_prefix(b"* ") {
                untagged.push(rest.to_vec());
            } else if let Some(rest) = response.strip_prefix(tag.as_bytes()) {
                let tagged = String::from_utf8_lossy(rest).trim().to_string();
                return Ok(Reply { untagged, tagged });
            } else if !response.starts_with(b"+") {
                let text = String::from_utf8_lossy(&response).into_owned();
                return Err(io::Error::other(format!("unexpected: {text}")));
            }
        }
    }

    /// A command that must be answered OK.
    ///
    /// # Errors
    /// When it is not, or the server is gone.
    pub fn ok(&mut self, command: &str) -> io::Result<Reply> {
        let reply = self.command(command)?;
        if reply.tagged.starts_with("OK") {
            return Ok(reply);
        }
        Err(io::Error::other(format!("{command}: {}", reply.tagged)))
    }

    /// APPEND; the reply.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn append(&mut self, mailbox: &str, options: &str, message: &[u8]) -> io::Result<Reply> {
        let head = format!("APPEND {mailbox} {options}{{{}}}", message.len());
        let tag = self.send(head.as_bytes())?;
        let response = self.response()?;
        if !response.starts_with(b"+") {
            let tagged = String::from_utf8_lossy(&response).into_owned();
            let tagged = tagged.strip_prefix(&format!("{tag} ")).unwrap_or(&tagged).trim().into();
            return Ok(Reply { untagged: Vec::new(), tagged });
        }
        self.writer.write_all(message)?;
        self.writer.write_all(b"\r\n")?;
        self.finish(&tag)
    }

    /// One response with its literals, without the last CRLF.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn response(&mut self) -> io::Result<Vec<u8>> {
        let mut response = Vec::new();
        loop {
            let start = response.len();
            if self.reader.read_until(b'\n', &mut response)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = &response[start..];
            let line = line.strip_suffix(b"\r\n").unwrap_or(line);
            let Some(length) = literal_length(line) else {
                response.truncate(start + line.len());
                return Ok(response);
            };
            let mut literal = vec![0; length];
            self.reader.read_exact(&mut literal)?;
            response.extend_from_slice(&literal);
        }
    }
}

impl Reply {
    /// Whether it was answered OK.
    pub fn is_ok(&self) -> bool {
        self.tagged.starts_with("OK")
    }

    /// The words behind a response code, such as `APPENDUID`.
    pub fn code(&self, name: &str) -> Option<Vec<String>> {
        let all = self.untagged.iter().map(|line| String::from_utf8_lossy(line).into_owned());
        let mut all = all.chain([self.tagged.clone()]);
        all.find_map(|line| {
            let rest = line.split_once(&format!("[{name}"))?.1;
            let inner = rest.split(']').next()?;
            Some(inner.split_whitespace().map(String::from).collect())
        })
    }

    /// Every untagged response as values.
    pub fn values(&self) -> Vec<Vec<Value>> {
        self.untagged.iter().map(|line| parse(line)).collect()
    }

    /// FETCH responses: the sequence number and the items by name in capitals.
    pub fn fetches(&self) -> Vec<(u32, Vec<(String, Value)>)> {
        let fetch = |values: Vec<Value>| match values.as_slice() {
            [Value::Atom(number), Value::Atom(word), Value::List(items)]
                if word.eq_ignore_ascii_case("FETCH") =>
            {
                Some((number.parse().ok()?, pairs(items)))
            }
            _ => None,
        };
        self.values().into_iter().filter_map(fetch).collect()
    }

    /// The numbers of `* SEARCH`.
    pub fn search(&self) -> Vec<u32> {
        let lines = self.untagged.iter().filter_map(|line| line.strip_prefix(b"SEARCH"));
        lines
            .flat_map(|line| {
                let text = String::from_utf8_lossy(line).into_owned();
                text.split_whitespace().filter_map(|word| word.parse().ok()).collect::<Vec<u32>>()
            })
            .collect()
    }
}

fn pairs(items: &[Value]) -> Vec<(String, Value)> {
    let pair = |pair: &[Value]| match pair {
        [Value::Atom(name), value] => Some((name.to_ascii_uppercase(), value.clone())),
        _ => None,
    };
    items.chunks(2).filter_map(pair).collect()
}

/// The item of a FETCH response with this name.
pub fn item<'a>(items: &'a [(String, Value)], name: &str) -> Option<&'a Value> {
    items.iter().find(|(key, _)| key == name).map(|(_, value)| value)
}

/// Reads values up to the end of the line; panics if they do not read.
pub fn parse(line: &[u8]) -> Vec<Value> {
    values(line).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(line)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_read() {
        let line = b"3 FETCH (UID 7 FLAGS (\\Seen) BODY[HEADER.FIELDS (A B)] {3}\r\nx)y ENVELOPE (\"a\\\"b\" NIL))";
        let reply =
            Reply { untagged: vec![line.to_vec()], tagged: "OK [COPYUID 1 2:3 4:5] done".into() };
        let fetches = reply.fetches();
        let (number, items) = &fetches[0];
        assert_eq!(*number, 3);
        assert_eq!(item(items, "UID").unwrap().number(), 7);
        assert_eq!(item(items, "BODY[HEADER.FIELDS (A B)]").unwrap().octets(), b"x)y");
        assert_eq!(item(items, "ENVELOPE").unwrap().list()[0].octets(), b"a\"b");
        assert_eq!(reply.code("COPYUID").unwrap(), ["1", "2:3", "4:5"]);
    }
}
