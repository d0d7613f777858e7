//! A client that reads fast and keeps nothing: it counts responses and octets.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

/// A server that does not answer for so long is given up.
const TIMEOUT: Duration = Duration::from_secs(120);
const BUFFER: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

/// What a command was answered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// `* n FETCH` responses.
    pub(super) fetches: u64,
    /// Numbers of `* SEARCH`, `* SORT` and `* THREAD`.
    pub(super) found: u64,
    /// The last of them.
    pub(super) last: Option<u64>,
    /// Octets of everything.
    pub(super) octets: u64,
    /// From the command to its tagged response.
    pub(super) took: Duration,
}

impl Client {
    /// Connects and logs in. The small buffer is for connections that idle.
    pub(super) fn login(
        address: SocketAddr,
        user: &str,
        password: &str,
        idles: bool,
    ) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let capacity = if idles { 1024 } else { BUFFER };
        let reader = BufReader::with_capacity(capacity, stream.try_clone()?);
        let mut client = Self { reader, writer: stream };
        client.reader.read_until(b'\n', &mut Vec::new())?;
        client.command(&format!("LOGIN {user} {password}"))?;
        Ok(client)
    }

    /// Sends a command and reads to its tagged response, which must be OK.
    pub(super) fn command(&mut self, command: &str) -> anyhow::Result<Answer> {
        let began = Instant::now();
        self.writer.write_all(format!("t {command}\r\n").as_bytes())?;
        let mut answer = Answer::default();
        let mut line = Vec::with_capacity(1024);
        loop {
            line.clear();
            self.response(&mut line, &mut answer)?;
            if let Some(tagged) = line.strip_prefix(b"t ") {
                answer.took = began.elapsed();
                if !tagged.starts_with(b"OK") {
                    bail!("{command} was answered {}", String::from_utf8_lossy(tagged).trim_end());
                }
                return Ok(answer);
            }
        }
    }

    /// IDLE, up to its continuation.
    pub(super) fn idle(&mut self) -> anyhow::Result<()> {
        self.writer.write_all(b"t IDLE\r\n")?;
        let mut line = Vec::new();
        while !line.starts_with(b"+") {
            line.clear();
            self.response(&mut line, &mut Answer::default())?;
        }
        Ok(())
    }

    /// One response: its lines without literals.
    fn response(&mut self, line: &mut Vec<u8>, answer: &mut Answer) -> anyhow::Result<()> {
        loop {
            let start = line.len();
            let octets = self.reader.read_until(b'\n', line)?;
            if octets == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).context("IMAP");
            }
            answer.octets += octets as u64;
            let Some(literal) = literal(line.get(start..).unwrap_or_default()) else { break };
            let skipped = io::copy(&mut (&mut self.reader).take(literal), &mut io::sink())?;
            answer.octets += skipped;
            if skipped < literal {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof)).context("IMAP");
            }
        }
        count(line, answer);
        Ok(())
    }
}

fn count(line: &[u8], answer: &mut Answer) {
    let Some(rest) = line.strip_prefix(b"* ") else { return };
    let searches = [b"SEARCH".as_slice(), b"SORT", b"THREAD"];
    if let Some(numbers) = searches.iter().find_map(|name| rest.strip_prefix(*name)) {
        let words = numbers.split(|byte| !byte.is_ascii_digit()).filter(|word| !word.is_empty());
        for word in words {
            answer.found += 1;
            answer.last = str::from_utf8(word).ok().and_then(|word| word.parse().ok());
        }
        return;
    }
    let word = rest.split(|byte| *byte == b' ').nth(1);
    answer.fetches += u64::from(word == Some(b"FETCH"));
}

/// The octets of the literal that a line announces at its end.
fn literal(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}\r\n")?;
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(inner.get(open + 1..)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_counted() {
        let mut answer = Answer::default();
        for line in [
            &b"* 3 FETCH (UID 7)\r\n"[..],
            b"* SEARCH 1 22 333\r\n",
            b"* THREAD (4)(5 (6)(7 8))\r\n",
            b"* 3 EXISTS\r\n",
        ] {
            count(line, &mut answer);
        }
        assert_eq!((answer.fetches, answer.found, answer.last), (1, 8, Some(8)));
        assert_eq!(literal(b"* 1 FETCH (BODY[] {12}\r\n"), Some(12));
        assert_eq!(literal(b"* 1 FETCH (FLAGS ())\r\n"), None);
    }
}
