//! A small LMTP client that says exactly what was answered.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One connection.
#[derive(Debug)]
pub struct Lmtp {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// An answer: its code and its last line's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// For example 250.
    pub code: u16,
    /// All lines' text.
    pub text: String,
}

impl Lmtp {
    /// Connects and says LHLO.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let mut client = Self { reader: BufReader::new(stream.try_clone()?), writer: stream };
        client.expect(220)?;
        client.command("LHLO client.example")?;
        Ok(client)
    }

    /// Sends a line and reads the answer.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn command(&mut self, line: &str) -> io::Result<Answer> {
        self.writer.write_all(format!("{line}\r\n").as_bytes())?;
        self.answer()
    }

    /// Sends octets as they are.
    ///
    /// # Errors
    /// When the server is gone.
    pub fn raw(&mut self, octets: &[u8]) -> io::Result<()> {
        self.writer.write_all(octets)
    }

    /// One whole answer.
    ///
    /// # Errors
    /// When the server is gone or talks nonsense.
    pub fn answer(&mut self) -> io::Result<Answer> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let code = line.get(..3).and_then(|code| code.parse().ok());
            let code = code.ok_or_else(|| io::Error::other(format!("not an answer: {line:?}")))?;
            text.push_str(line.get(4..).unwrap_or_default());
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(Answer { code, text });
            }
        }
    }

    fn expect(&mut self, code: u16) -> io::Result<Answer> {
        let answer = self.answer()?;
        if answer.code == code { Ok(answer) } else { Err(io::Error::other(format!("{answer:?}"))) }
    }

    /// Delivers a message; an answer for each recipient that RCPT accepted, in
    /// their order, behind those of RCPT that were refused.
    ///
    /// # Errors
    /// When the server is gone: what became of the message is unknown.
    pub fn deliver(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Vec<Answer>> {
        let mail = self.command(&format!("MAIL FROM:<{from}>"))?;
        if mail.code != 250 {
            return Ok(vec![mail]);
        }
        let mut answers = Vec::new();
        let mut accepted = 0;
        for recipient in to {
            let answer = self.command(&format!("RCPT TO:<{recipient}>"))?;
            if answer.code == 250 { accepted += 1 } else { answers.push(answer) }
        }
        if accepted == 0 {
            self.command("RSET")?;
            return Ok(answers);
        }
        let data = self.command("DATA")?;
        if data.code != 354 {
            return Ok(vec![data]);
        }
        self.raw(&stuffed(message))?;
        for _ in 0..accepted {
            answers.push(self.answer()?);
        }
        Ok(answers)
    }
}

/// DATA with doubled dots and its end.
pub fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 16);
    for line in message.split_inclusive(|byte| *byte == b'\n') {
        if line.starts_with(b".") {
            out.push(b'.');
        }
        out.extend_from_slice(line);
    }
    if !out.ends_with(b"\r\n") {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b".\r\n");
    out
}
