//! A connection whose every wait has an end.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long an answer may take before it is given up as unknown.
pub const PATIENCE: Duration = Duration::from_secs(12);
const CONNECT: Duration = Duration::from_secs(3);
/// How long after the end of a run an answer is still waited for.
const GRACE: Duration = Duration::from_secs(4);
/// How often a wait looks whether the run is over.
const SLICE: Duration = Duration::from_millis(250);
/// No line and no literal of a sane server is longer.
const MOST: usize = 64 << 20;

/// Told to all clients of a workload when they are to come to an end.
#[derive(Debug, Clone)]
pub struct Over {
    origin: Instant,
    /// Milliseconds since `origin`; as long as it runs, the greatest number.
    since: Arc<AtomicU64>,
}

impl Default for Over {
    fn default() -> Self {
        Self { origin: Instant::now(), since: Arc::new(AtomicU64::new(u64::MAX)) }
    }
}

impl Over {
    /// It is over from now on.
    pub fn set(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(0);
        self.since.fetch_min(now, Ordering::SeqCst);
    }

    /// Whether it is over.
    pub fn is_set(&self) -> bool {
        self.since.load(Ordering::SeqCst) != u64::MAX
    }

    /// Until when an answer that may take until `deadline` is waited for.
    fn cut(&self, deadline: Instant) -> Instant {
        match self.since.load(Ordering::SeqCst) {
            u64::MAX => deadline,
            since => deadline.min(self.origin + Duration::from_millis(since) + GRACE),
        }
    }
}

/// One TCP connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
    at: usize,
    over: Over,
}

impl Wire {
    /// Connects.
    ///
    /// # Errors
    /// When nobody answers.
    pub fn connect(address: SocketAddr, over: Over) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_nodelay(true)?;
        stream.set_write_timeout(Some(CONNECT))?;
        stream.set_read_timeout(Some(SLICE))?;
        Ok(Self { stream, read: Vec::new(), at: 0, over })
    }

    /// Sends octets.
    ///
    /// # Errors
    /// When they cannot be sent, or only some of them.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.write_all(octets)
    }

    /// A line with its end.
    ///
    /// # Errors
    /// When there is none until then; what came of it is kept for the next call.
    pub fn line(&mut self, deadline: Instant) -> io::Result<Vec<u8>> {
        loop {
            let left = &self.read[self.at..];
            if let Some(end) = left.iter().position(|byte| *byte == b'\n') {
                return Ok(self.take(end + 1));
            }
            self.fill(deadline)?;
        }
    }

    /// So many octets.
    ///
    /// # Errors
    /// When they do not come until then.
    pub fn octets(&mut self, count: usize, deadline: Instant) -> io::Result<Vec<u8>> {
        if count > MOST {
            return Err(io::Error::other(format!("{count} octets are announced")));
        }
        while self.read.len() - self.at < count {
            self.fill(deadline)?;
        }
        Ok(self.take(count))
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.read[self.at..self.at + count].to_vec();
        self.at += count;
        if self.at == self.read.len() {
            self.read.clear();
            self.at = 0;
        }
        taken
    }

    fn fill(&mut self, deadline: Instant) -> io::Result<()> {
        if self.read.len() - self.at > MOST {
            return Err(io::Error::other("a line without end"));
        }
        let mut some = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut some) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.read.extend_from_slice(&some[..count]);
                    return Ok(());
                }
                Err(error) if is_wait(&error) => {
                    if Instant::now() >= self.over.cut(deadline) {
                        return Err(ErrorKind::TimedOut.into());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
