//! Listeners, their connections, and their orderly end.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::limits::{Gate, Limits, Permit, Refusal};
use crate::proxy::{self, Claim, ProxyError};
use crate::stream::{Connection, Peer, Surroundings, Transport, handshake};
use crate::tls::Tls;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How long accepting rests after the system ran out of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// How long a refused client has to take its refusal.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(2);

/// What is spoken on a listener.
pub trait Protocol: Send + Sync + 'static {
    /// Serves one connection to its end. When [`Connection::is_shutting_down`] turns true it
    /// finishes the running command, says good-bye and returns.
    fn serve(self: Arc<Self>, connection: Connection) -> impl Future<Output = ()> + Send;

    /// The line, with CRLF, that a client gets in the place of a greeting.
    fn refuse(&self, refusal: Refusal) -> String;
}

/// Where to listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An address and port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket, open to every user who can reach its folder.
    Unix(PathBuf),
}

/// How TLS is used on a listener.
#[derive(Debug, Clone)]
pub enum TlsMode {
    /// Never.
    Off,
    /// When the client asks for it.
    StartTls(Tls),
    /// From the first octet (RFC 8314).
    Implicit(Tls),
}

/// One listener to be.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Where.
    pub address: Address,
    /// TLS there.
    pub tls: TlsMode,
    /// Whether each connection begins with a PROXY header (see [`crate::proxy`]), before TLS.
    /// Who is not trusted is then not let in at all.
    pub proxied: bool,
}

/// A counter.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A protocol's counts since the start, as plain numbers for metrics.
#[derive(Debug, Default)]
pub struct ProtocolStats {
    /// Connections accepted.
    pub sessions: Counter,
    /// Connections that ended.
    pub sessions_ended: Counter,
    /// Commands served.
    pub commands: Counter,
    /// Commands answered with an error of ours (not the client's).
    pub failures: Counter,
    /// Octets read.
    pub bytes_in: Counter,
    /// Octets written.
    pub bytes_out: Counter,
    /// Connections and logins refused by a limit.
    pub refused: Counter,
    /// Handshakes done.
    pub tls_sessions: Counter,
    /// Handshakes that failed.
    pub tls_failures: Counter,
    /// Logins.
    pub logins: Counter,
    /// Logins denied.
    pub login_failures: Counter,
}

impl ProtocolStats {
    /// Connections open now.
    pub fn sessions_now(&self) -> u64 {
        self.sessions.get().saturating_sub(self.sessions_ended.get())
    }
}

/// What the listeners of one protocol share.
#[derive(Debug, Clone)]
struct Shared {
    limits: Arc<Limits>,
    stats: Arc<ProtocolStats>,
    gate: Arc<Gate>,
    sessions: TaskTracker,
    /// Stops listeners; sessions end after the running command.
    drain: CancellationToken,
    /// Ends sessions at once.
    kill: CancellationToken,
}

/// The listeners of one protocol.
#[derive(Debug)]
pub struct Server {
    shared: Shared,
    bound: Vec<Address>,
}

impl Server {
    /// Binds all listeners and begins to accept. Needs a tokio runtime.
    ///
    /// # Errors
    /// An address cannot be bound; it is named in the error.
    pub fn start<P: Protocol>(
        protocol: Arc<P>,
        listens: Vec<Listen>,
        limits: Limits,
        stats: Arc<ProtocolStats>,
    ) -> io::Result<Self> {
        let shared = Shared {
            limits: Arc::new(limits),
            stats,
            gate: Arc::default(),
            sessions: TaskTracker::new(),
            drain: CancellationToken::new(),
            kill: CancellationToken::new(),
        };
        let listeners =
            listens.into_iter().map(Listener::bind).collect::<io::Result<Vec<Listener>>>()?;
        let bound = listeners.iter().map(|listener| listener.bound.clone()).collect();
        for listener in listeners {
            let acceptor =
                Acceptor { protocol: protocol.clone(), listener, shared: shared.clone() };
            shared.sessions.spawn(acceptor.run());
        }
        Ok(Self { shared, bound })
    }

    /// Where it listens, free ports resolved, in the order given.
    pub fn addresses(&self) -> &[Address] {
        &self.bound
    }

    /// The counters.
    pub fn stats(&self) -> &Arc<ProtocolStats> {
        &self.shared.stats
    }

    /// Stops accepting, lets sessions finish their running command and say good-bye, and ends
    /// those that take longer than `grace`. Answers how many these were.
    pub async fn shutdown(&self, grace: Duration) -> usize {
        self.shared.drain.cancel();
        self.shared.sessions.close();
        if timeout(grace, self.shared.sessions.wait()).await.is_ok() {
            return 0;
        }
        let left = self.shared.sessions.len();
        self.shared.kill.cancel();
        self.shared.sessions.wait().await;
        left
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.drain.cancel();
        for address in &self.bound {
            if let Address::Unix(path) = address {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

struct Listener {
    socket: Socket,
    bound: Address,
    tls: TlsMode,
    proxied: bool,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn bind(listen: Listen) -> io::Result<Self> {
        let Listen { address, tls, proxied } = listen;
        let (socket, bound) = match address {
            Address::Tcp(address) => bind_tcp(address)?,
            Address::Unix(path) => bind_unix(&path)?,
        };
        Ok(Self { socket, bound, tls, proxied })
    }

    async fn accept(&self) -> io::Result<(Box<dyn Transport>, Option<SocketAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                tune(&stream);
                Ok((Box::new(stream), Some(address)))
            }
            Socket::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Box::new(stream), None))
            }
        }
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<(Socket, Address)> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{address}: {error}"));
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    };
    let listen = |socket: TcpSocket| {
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    let listener = socket.and_then(listen).map_err(named)?;
    let bound = listener.local_addr()?;
    Ok((Socket::Tcp(listener), Address::Tcp(bound)))
}

fn bind_unix(path: &Path) -> io::Result<(Socket, Address)> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    remove_stale(path).map_err(named)?;
    let listener = UnixListener::bind(path).map_err(named)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666)).map_err(named)?;
    Ok((Socket::Unix(listener), Address::Unix(path.into())))
}

/// A socket that nobody answers on was left by a process that is gone.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        Err(_) => Ok(()),
    }
}

fn tune(stream: &TcpStream) {
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(120))
        .with_interval(Duration::from_secs(30));
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

struct Acceptor<P> {
    protocol: Arc<P>,
    listener: Listener,
    shared: Shared,
}

impl<P: Protocol> Acceptor<P> {
    async fn run(self) {
        loop {
            let accepted = tokio::select! {
                () = self.shared.drain.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((transport, address)) => self.admit(transport, address),
                Err(error) => self.rest(&error).await,
            }
        }
    }

    /// Out of file descriptors, most likely: a busy loop would make it worse.
    async fn rest(&self, error: &io::Error) {
        tracing::warn!(%error, listener = ?self.listener.bound, "cannot accept");
        tokio::select! {
            () = self.shared.drain.cancelled() => {}
            () = tokio::time::sleep(ACCEPT_REST) => {}
        }
    }

    fn admit(&self, transport: Box<dyn Transport>, address: Option<SocketAddr>) {
        let shared = &self.shared;
        let trusted = address.is_none_or(|address| shared.limits.trusted.contain(address.ip()));
        if self.listener.proxied && !trusted {
            shared.stats.refused.add(1);
            let listener = &self.listener.bound;
            return tracing::info!(?address, ?listener, "not trusted to speak for clients");
        }
        let peer = Peer { address, trusted, ..Peer::default() };
        let permit = match shared.gate.admit(counted(&peer), &shared.limits) {
            Ok(permit) => permit,
            Err(refusal) => return self.refuse(transport, refusal),
        };
        shared.stats.sessions.add(1);
        let session = Session {
            protocol: self.protocol.clone(),
            implicit: self.implicit_tls(),
            proxied: self.listener.proxied,
            around: self.surroundings(permit),
        };
        let (kill, stats) = (shared.kill.clone(), shared.stats.clone());
        shared.sessions.spawn(async move {
            tokio::select! {
                () = session.run(transport, peer) => {}
                () = kill.cancelled() => {}
            }
            stats.sessions_ended.add(1);
        });
    }

    fn surroundings(&self, permit: Permit) -> Surroundings {
        let shared = &self.shared;
        let tls = match &self.listener.tls {
            TlsMode::StartTls(tls) => Some(tls.clone()),
            TlsMode::Off | TlsMode::Implicit(_) => None,
        };
        Surroundings {
            tls,
            limits: shared.limits.clone(),
            permit,
            stats: shared.stats.clone(),
            shutdown: shared.drain.clone(),
        }
    }

    fn implicit_tls(&self) -> Option<Tls> {
        match &self.listener.tls {
            TlsMode::Implicit(tls) => Some(tls.clone()),
            TlsMode::Off | TlsMode::StartTls(_) => None,
        }
    }

    /// Says why in the clear; a client that speaks TLS at once is only closed.
    fn refuse(&self, mut transport: Box<dyn Transport>, refusal: Refusal) {
        self.shared.stats.refused.add(1);
        if self.implicit_tls().is_some() {
            return;
        }
        let line = self.protocol.refuse(refusal);
        // Not waited for when the server already has more of these than it wants to hold.
        if self.shared.sessions.len() > self.shared.limits.connections.saturating_mul(2) {
            return;
        }
        self.shared.sessions.spawn(async move { say_refusal(&mut transport, &line).await });
    }
}

/// A connection that was let in, until its protocol begins.
struct Session<P> {
    protocol: Arc<P>,
    implicit: Option<Tls>,
    proxied: bool,
    around: Surroundings,
}

impl<P: Protocol> Session<P> {
    async fn run(mut self, mut transport: Box<dyn Transport>, mut peer: Peer) {
        if self.proxied
            && let Err(ended) = self.introduce(&mut transport, &mut peer).await
        {
            self.around.stats.refused.add(1);
            return self.turn_away(transport, &peer, ended).await;
        }
        let transport = match &self.implicit {
            None => transport,
            Some(tls) => {
                match handshake(tls, transport, &self.around.limits, &self.around.stats).await {
                    Ok(transport) => {
                        peer.tls = true;
                        transport
                    }
                    Err(error) => return tracing::debug!(%error, peer = ?peer.ip(), "no TLS"),
                }
            }
        };
        self.protocol.serve(Connection::new(transport, peer, self.around)).await;
    }

    /// Takes the proxy's word for who the client is.
    async fn introduce(
        &mut self,
        transport: &mut Box<dyn Transport>,
        peer: &mut Peer,
    ) -> Result<(), NotLetIn> {
        let limit = self.around.limits.handshake_timeout;
        let claim =
            timeout(limit, proxy::read(transport)).await.map_err(|_| NotLetIn::Silent)??;
        match claim {
            Claim::Itself => {}
            Claim::Client(client) => {
                peer.take_word(client, &self.around.limits);
                self.around.permit.admit_address(counted(peer), &self.around.limits)?;
            }
            Claim::Unknown => peer.take_unknown(),
        }
        Ok(())
    }

    async fn turn_away(self, mut transport: Box<dyn Transport>, peer: &Peer, why: NotLetIn) {
        tracing::info!(%why, proxy = ?peer.address, client = ?peer.original, "not let in");
        if let (NotLetIn::Limit(refusal), None) = (why, self.implicit) {
            say_refusal(&mut transport, &self.protocol.refuse(refusal)).await;
        }
    }
}

/// Why a connection over a proxy is closed before its protocol begins.
#[derive(Debug, thiserror::Error)]
enum NotLetIn {
    #[error(transparent)]
    Header(#[from] ProxyError),
    #[error("no PROXY header came in time")]
    Silent,
    #[error(transparent)]
    Limit(#[from] Refusal),
}

/// Whose address is counted: that of a client who is not trusted.
pub(crate) fn counted(peer: &Peer) -> Option<IpAddr> {
    peer.ip().filter(|_| !peer.trusted)
}

async fn say_refusal(transport: &mut Box<dyn Transport>, line: &str) {
    let say = async {
        transport.write_all(line.as_bytes()).await?;
        transport.shutdown().await
    };
    let _ = timeout(REFUSAL_TIMEOUT, say).await;
}

/// A connection over a socket pair, for tests of sessions without listeners.
///
/// # Errors
/// The system has no more sockets.
pub fn pipe(
    limits: Limits,
    tls: Option<Tls>,
    stats: Arc<ProtocolStats>,
    shutdown: CancellationToken,
) -> Result<(Connection, UnixStream), io::Error> {
    let (ours, theirs) = UnixStream::pair()?;
    let gate = Arc::new(Gate::default());
    let permit = gate.admit(None, &limits).map_err(io::Error::other)?;
    let peer = Peer { trusted: true, ..Peer::default() };
    let around = Surroundings { tls, limits: Arc::new(limits), permit, stats, shutdown };
    Ok((Connection::new(Box::new(ours), peer, around), theirs))
}
