//! A client's connection: plain or under TLS, with bounded buffers, time limits
//! and counts. Sessions speak through it and never touch a socket.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use redoubt_log::id::AccountId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::limits::{Limits, Permit, Refusal};
use crate::server::{ProtocolStats, counted};
use crate::tls::Tls;

/// Octets asked for in one read.
pub const READ_SIZE: usize = 16 * 1024;
/// Octets of buffer that a session keeps while it idles.
const IDLE_BUFFER: usize = 512;

/// What carries octets: a socket, TLS over one, or a pipe in tests.
pub trait Transport: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Transport for T {}

/// Who is at the other end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// The socket's address; `None` over a Unix socket.
    pub address: Option<SocketAddr>,
    /// The original client's address, where a trusted proxy named it.
    pub original: Option<IpAddr>,
    /// Whether the connection is under TLS.
    pub tls: bool,
    /// Whether the client may speak for others: its address, the original one where it is
    /// known, is one of [`Limits::trusted`]. A Unix socket's is.
    pub trusted: bool,
    /// A proxy speaks for it, and does not know its address.
    pub unknown: bool,
}

impl Peer {
    /// The address that stands for the client in records, limits and policies.
    pub fn ip(&self) -> Option<IpAddr> {
        if self.unknown {
            return None;
        }
        self.original.or_else(|| self.address.map(|address| address.ip().to_canonical()))
    }

    /// Whether the original client is on this machine.
    pub fn is_loopback(&self) -> bool {
        !self.unknown && self.ip().is_none_or(|ip| ip.is_loopback())
    }

    /// Takes a proxy's word that its client's address is not known.
    pub(crate) fn take_unknown(&mut self) {
        (self.unknown, self.trusted) = (true, false);
    }

    /// Takes a trusted proxy's word for who the client is. From now on that client is the
    /// peer: whether more is believed depends on whether it is trusted itself.
    pub(crate) fn take_word(&mut self, original: IpAddr, limits: &Limits) {
        let original = original.to_canonical();
        (self.original, self.trusted) = (Some(original), limits.trusted.contain(original));
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The client closed it.
    #[error("the client closed the connection")]
    Closed,
    /// The client was too slow.
    #[error("the client did not {0} in time")]
    TimedOut(&'static str),
    /// STARTTLS was not possible.
    #[error("there is no TLS here")]
    NoTls,
    /// The network.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One client's connection.
///
/// Invariants: at most [`Limits::output_buffer`] octets and one write wait in
/// `output`; what was read before a TLS handshake is never read after it.
pub struct Connection {
    transport: Box<dyn Transport>,
    input: BytesMut,
    output: BytesMut,
    peer: Peer,
    tls: Option<Tls>,
    limits: Arc<Limits>,
    permit: Permit,
    stats: Arc<ProtocolStats>,
    shutdown: CancellationToken,
}

/// What a connection shares with its server.
#[derive(Debug)]
pub struct Surroundings {
    /// For STARTTLS; `None` where it is not offered.
    pub tls: Option<Tls>,
    /// Limits.
    pub limits: Arc<Limits>,
    /// This connection's place among them.
    pub permit: Permit,
    /// Counters.
    pub stats: Arc<ProtocolStats>,
    /// Cancelled when sessions are to end after the running command.
    pub shutdown: CancellationToken,
}

impl Connection {
    /// A connection over anything that carries octets.
    pub fn new(transport: Box<dyn Transport>, peer: Peer, around: Surroundings) -> Self {
        let Surroundings { tls, limits, permit, stats, shutdown } = around;
        let (input, output) = (BytesMut::new(), BytesMut::new());
        Self { transport, input, output, peer, tls, limits, permit, stats, shutdown }
    }

    /// Who is there.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// For what a trusted proxy says of the original client. That one is judged from now on,
    /// and counted. Does nothing when the peer is not trusted.
    ///
    /// # Errors
    /// When its address has as many connections as it may.
    pub fn set_original(&mut self, original: IpAddr) -> Result<(), Refusal> {
        if !self.peer.trusted {
            return Ok(());
        }
        self.peer.take_word(original, &self.limits);
        self.permit.admit_address(counted(&self.peer), &self.limits)
    }

    /// For what a trusted proxy says of a client whose address it does not know.
    pub fn set_unknown(&mut self) {
        self.peer.take_unknown();
    }

    /// The limits.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<ProtocolStats> {
        &self.stats
    }

    /// Whether the server is shutting down.
    pub fn is_shutting_down(&self) -> bool {
        self.shutdown.is_cancelled()
    }

    /// A token that is cancelled when the server shuts down.
    pub fn shutdown_token(&self) -> CancellationToken {
        self.shutdown.clone()
    }

    /// Counts this connection as one of the user's sessions.
    ///
    /// # Errors
    /// When the user has as many as one may.
    pub fn admit_user(&mut self, user: AccountId) -> Result<(), Refusal> {
        self.permit.admit_user(user, &self.limits)
    }

    /// What was read and not yet taken. The session takes from its front.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Reads at most `size` octets more into [`Connection::input`]; cancel safe. Has no time
    /// limit of its own.
    ///
    /// # Errors
    /// [`StreamError::Closed`] at the end of the client's octets.
    pub async fn fill(&mut self, size: usize) -> Result<usize, StreamError> {
        self.input.reserve(size);
        let mut source = (&mut self.transport).take(size as u64);
        let read = source.read_buf(&mut self.input).await?;
        if read == 0 {
            return Err(StreamError::Closed);
        }
        self.stats.bytes_in.add(read as u64);
        Ok(read)
    }

    /// Like [`Connection::fill`] with [`READ_SIZE`], within `limit`.
    ///
    /// # Errors
    /// [`StreamError::TimedOut`] too.
    pub async fn fill_within(&mut self, limit: Duration) -> Result<usize, StreamError> {
        let filled = timeout(limit, self.fill(READ_SIZE)).await;
        filled.map_err(|_| StreamError::TimedOut("send"))?
    }

    /// Takes a line without its CRLF (or lone LF) out of the input; `None` if it is not whole yet.
    /// The caller bounds what it lets [`Connection::input`] grow to.
    pub fn take_line(&mut self) -> Option<Bytes> {
        let end = memchr::memchr(b'\n', &self.input)?;
        let mut line = self.input.split_to(end + 1).freeze();
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Some(line)
    }

    /// Puts octets behind what waits to be sent; sends nothing.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// The buffer behind [`Connection::queue`], for encoders that write in place.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Sends when more waits than [`Limits::output_buffer`].
    ///
    /// # Errors
    /// As [`Connection::flush`].
    pub async fn relieve(&mut self) -> Result<(), StreamError> {
        if self.output.len() >= self.limits.output_buffer { self.flush().await } else { Ok(()) }
    }

    /// Queues and relieves: what large content goes through, piece by piece.
    ///
    /// # Errors
    /// As [`Connection::flush`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        for piece in bytes.chunks(self.limits.output_buffer.max(1)) {
            self.queue(piece);
            self.relieve().await?;
        }
        Ok(())
    }

    /// Sends all that waits. Each buffer's worth has [`Limits::send_timeout`].
    ///
    /// # Errors
    /// The client is gone or does not read.
    pub async fn flush(&mut self) -> Result<(), StreamError> {
        while !self.output.is_empty() {
            let size = self.output.len().min(self.limits.output_buffer.max(1));
            let mut piece = self.output.split_to(size);
            self.send(&mut piece).await?;
        }
        let flush = timeout(self.limits.send_timeout, self.transport.flush());
        Ok(flush.await.map_err(|_| StreamError::TimedOut("receive"))??)
    }

    async fn send(&mut self, piece: &mut BytesMut) -> Result<(), StreamError> {
        self.stats.bytes_out.add(piece.remaining() as u64);
        timeout(self.limits.send_timeout, self.transport.write_all_buf(piece))
            .await
            .map_err(|_| StreamError::TimedOut("receive"))?
            .map_err(StreamError::from)
    }

    /// Whether STARTTLS can be offered: there is TLS, and it is not on yet.
    pub fn can_start_tls(&self) -> bool {
        self.tls.is_some() && !self.peer.tls
    }

    /// Switches to TLS. The caller has flushed its answer. Whatever the client sent in the
    /// clear behind its STARTTLS is dropped (RFC 9051 section 6.2.1), never taken for a command.
    ///
    /// # Errors
    /// The handshake failed or took too long; the connection is of no more use.
    pub async fn start_tls(&mut self) -> Result<(), StreamError> {
        let tls = self.tls.clone().filter(|_| !self.peer.tls).ok_or(StreamError::NoTls)?;
        self.input = BytesMut::new();
        self.output = BytesMut::new();
        let plain = std::mem::replace(&mut self.transport, Box::new(tokio::io::empty()));
        self.transport = handshake(&tls, plain, &self.limits, &self.stats).await?;
        self.peer.tls = true;
        Ok(())
    }

    /// Gives back large buffers: for a session that waits long.
    pub fn shrink(&mut self) {
        shrink(&mut self.input);
        shrink(&mut self.output);
    }

    /// Sends what waits and closes.
    pub async fn close(mut self) {
        if self.flush().await.is_ok() {
            let _ = timeout(Duration::from_secs(5), self.transport.shutdown()).await;
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("peer", &self.peer).finish_non_exhaustive()
    }
}

fn shrink(buffer: &mut BytesMut) {
    if buffer.len() <= IDLE_BUFFER {
        // A fresh buffer: BytesMut gives no capacity back.
        *buffer = BytesMut::from(buffer.as_ref());
    }
}

/// A TLS handshake as the server, within its time.
///
/// # Errors
/// It failed or took too long.
pub async fn handshake(
    tls: &Tls,
    plain: Box<dyn Transport>,
    limits: &Limits,
    stats: &ProtocolStats,
) -> Result<Box<dyn Transport>, StreamError> {
    let accepted = timeout(limits.handshake_timeout, tls.acceptor().accept(plain)).await;
    match accepted {
        Ok(Ok(stream)) => {
            stats.tls_sessions.add(1);
            Ok(Box::new(stream))
        }
        Ok(Err(error)) => {
            stats.tls_failures.add(1);
            Err(error.into())
        }
        Err(_) => {
            stats.tls_failures.add(1);
            Err(StreamError::TimedOut("finish its TLS handshake"))
        }
    }
}
