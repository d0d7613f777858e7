//! The load: blocking connections, one thread each, two round trips a message.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::mix::{Mix, Random, Sizes};
use super::{LOADED, READER, process, user};

/// A server that does not answer for so long is given up.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A message of this many has what the searches look for.
pub(super) const NEEDLE_EVERY: u64 = 100;
/// In subjects and texts of those messages alone.
pub(super) const NEEDLE: &str = "xylophone";

/// One connection behind LHLO.
#[derive(Debug)]
pub(super) struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
    line: String,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        let reader = BufReader::new(stream.try_clone()?);
        let mut client = Self { reader, writer: stream, line: String::new() };
        client.expect("220")?;
        client.writer.write_all(b"LHLO bench.example.net\r\n")?;
        client.expect("250")?;
        Ok(client)
    }

    /// The end of an answer, which must begin with `code`.
    fn expect(&mut self, code: &str) -> anyhow::Result<()> {
        loop {
            self.line.clear();
            if self.reader.read_line(&mut self.line)? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            if !self.line.starts_with(code) {
                bail!("LMTP answered {:?} where {code} was expected", self.line.trim_end());
            }
            if self.line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }

    /// Delivers; every recipient must get it. The message must need no dots doubled.
    pub(super) fn deliver(&mut self, to: &[String], message: &[u8]) -> anyhow::Result<()> {
        let mut commands = String::from("MAIL FROM:<sender@example.net>\r\n");
        for to in to {
            commands.push_str("RCPT TO:<");
            commands.push_str(to);
            commands.push_str(">\r\n");
        }
        commands.push_str("DATA\r\n");
        self.writer.write_all(commands.as_bytes())?;
        (0..=to.len()).try_for_each(|_| self.expect("250"))?;
        self.expect("354")?;
        self.writer.write_all(message)?;
        self.writer.write_all(b".\r\n")?;
        to.iter().try_for_each(|_| self.expect("250"))
    }
}

/// When a load ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After some time that is not counted and some that is.
    Time { warm_up: Duration, measured: Duration },
    /// After so many messages, all into the reader's INBOX.
    Count(u64),
}

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load<'a> {
    pub(super) address: SocketAddr,
    /// The server's, whose processor time is counted.
    pub(super) pid: u32,
    pub(super) connections: usize,
    pub(super) sizes: Sizes,
    pub(super) until: Until,
    pub(super) mix: &'a Mix,
}

/// How it went.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) elapsed: Duration,
    /// From MAIL to the last 250, rising.
    pub(super) latencies: Vec<Duration>,
    pub(super) server: Duration,
    pub(super) own: Duration,
}

impl Run {
    pub(super) fn rate(&self) -> f64 {
        self.messages as f64 / self.elapsed.as_secs_f64()
    }
}

/// What one connection did within the measured time.
#[derive(Debug, Default)]
struct Done {
    bytes: u64,
    latencies: Vec<Duration>,
}

impl Load<'_> {
    pub(super) fn run(&self) -> anyhow::Result<Run> {
        let clients = (0..self.connections).map(|_| Client::connect(self.address));
        let clients: Vec<Client> = clients.collect::<Result<_, _>>().context("LMTP")?;
        let numbers = Arc::new(AtomicU64::new(0));
        let (warm_up, measured) = match self.until {
            Until::Time { warm_up, measured } => (warm_up, Some(measured)),
            Until::Count(_) => (Duration::ZERO, None),
        };
        let from = Instant::now() + warm_up;
        let to = measured.map(|measured| from + measured);
        std::thread::scope(|scope| {
            let each = clients.into_iter().enumerate();
            let threads: Vec<_> = each
                .map(|(at, client)| {
                    let numbers = numbers.clone();
                    scope.spawn(move || self.connection(at, client, &numbers, from, to))
                })
                .collect();
            std::thread::sleep(from.saturating_duration_since(Instant::now()));
            let (server, own) = (process::cpu(self.pid), process::own_cpu());
            if let Some(to) = to {
                std::thread::sleep(to.saturating_duration_since(Instant::now()));
            }
            let measured = (process::cpu(self.pid), process::own_cpu());
            let mut all = Done::default();
            for thread in threads {
                let done = thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))??;
                all.bytes += done.bytes;
                all.latencies.extend(done.latencies);
            }
            let elapsed = to.map_or_else(|| from.elapsed(), |to| to - from);
            let ended = if to.is_some() { measured } else { (process::cpu(self.pid), own) };
            all.latencies.sort_unstable();
            Ok(Run {
                messages: all.latencies.len() as u64,
                bytes: all.bytes,
                elapsed,
                latencies: all.latencies,
                server: ended.0.saturating_sub(server),
                own: ended.1.saturating_sub(own),
            })
        })
    }

    fn connection(
        &self,
        at: usize,
        mut client: Client,
        numbers: &AtomicU64,
        from: Instant,
        to: Option<Instant>,
    ) -> anyhow::Result<Done> {
        let mut random = Random::new(at as u64 + 11);
        let recipient = match self.until {
            Until::Time { .. } => [user(at % LOADED)],
            Until::Count(_) => [user(READER)],
        };
        let mut done = Done::default();
        loop {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            if matches!(self.until, Until::Count(count) if number >= count) {
                return Ok(done);
            }
            let message = self.message(&mut random, number);
            let began = Instant::now();
            client.deliver(&recipient, &message)?;
            let ended = Instant::now();
            if to.is_some_and(|to| ended >= to) {
                return Ok(done);
            }
            if ended >= from {
                done.bytes += message.len() as u64;
                done.latencies.push(ended - began);
            }
        }
    }

    fn message(&self, random: &mut Random, number: u64) -> Vec<u8> {
        let needle = number.is_multiple_of(NEEDLE_EVERY);
        let subject =
            if needle { format!("Report {number} {NEEDLE}") } else { format!("Report {number}") };
        let token = format!("{:x}.{number:x}.{:x}", std::process::id(), self.connections);
        let mut message = self.mix.message(random, &token, &subject, self.sizes.of(number));
        if needle && self.sizes == Sizes::Mailbox {
            message.extend_from_slice(b"the ");
            message.extend_from_slice(NEEDLE.as_bytes());
            message.extend_from_slice(b" is in tune\r\n");
        }
        message
    }
}
