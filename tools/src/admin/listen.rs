//! Listeners for the admin API: a Unix socket, and TLS over TCP.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redoubt_protocols::limits::Networks;
use redoubt_protocols::proxy::{self, Claim};
use redoubt_protocols::tls::Tls;
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::server::TlsStream;

/// How long a client may take to shake hands.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long accepting rests after it failed.
const ACCEPT_REST: Duration = Duration::from_millis(100);
/// Finished handshakes that wait to be taken.
const BACKLOG: usize = 64;

/// Binds the Unix socket, in place of one that a killed server left; only the
/// server's own user may connect.
///
/// # Errors
/// When the path cannot be bound. The data directory's lock keeps two servers apart.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// TLS over TCP; handshakes are made beside each other, so that a slow client
/// keeps nobody waiting.
#[derive(Debug)]
pub struct TlsListener {
    address: SocketAddr,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl TlsListener {
    /// Binds an address. Where `proxies` are given, each connection comes from one of them and
    /// begins with a PROXY header.
    ///
    /// # Errors
    /// When it is taken or not ours.
    pub async fn bind(
        address: SocketAddr,
        tls: Tls,
        proxies: Option<Arc<Networks>>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(BACKLOG);
        tokio::spawn(accept_all(listener, tls, proxies, sender));
        Ok(Self { address, ready })
    }
}

async fn accept_all(
    listener: TcpListener,
    tls: Tls,
    proxies: Option<Arc<Networks>>,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    while let Ok(permit) = ready.clone().reserve_owned().await {
        let Ok((stream, address)) = listener.accept().await else {
            // Out of file descriptors, most likely: they come back.
            tokio::time::sleep(ACCEPT_REST).await;
            continue;
        };
        let (tls, proxies) = (tls.clone(), proxies.clone());
        tokio::spawn(async move {
            let begin = begin(stream, address, &tls, proxies.as_deref());
            if let Ok(Ok(connection)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, begin).await {
                permit.send(connection);
            }
        });
    }
}

/// What comes before HTTP.
async fn begin(
    mut stream: TcpStream,
    mut address: SocketAddr,
    tls: &Tls,
    proxies: Option<&Networks>,
) -> io::Result<(TlsStream<TcpStream>, SocketAddr)> {
    if let Some(proxies) = proxies {
        if !proxies.contain(address.ip()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match proxy::read(&mut stream).await.map_err(io::Error::other)? {
            Claim::Itself => {}
            Claim::Client(client) => address = (client, 0).into(),
            // Nobody's address: trusted for nothing.
            Claim::Unknown => address = (Ipv4Addr::UNSPECIFIED, 0).into(),
        }
    }
    Ok((tls.acceptor().accept(stream).await?, address))
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}
