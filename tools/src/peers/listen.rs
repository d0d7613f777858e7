//! Streams from peers, and from nodes that want to join.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::NodeId;
use redoubt_log::raft::Node;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::join::JoinDesk;
use super::strangers::{Place, Strangers};
use super::{CertificateName, JOIN_PROTOCOL, PeerError, PeerTls, explain, greeting};

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a node that joins may take to ask and be answered.
const JOINING: Duration = Duration::from_secs(60);
/// Streams of members at one time: some for each.
const STREAMS: usize = 512;
/// After an accept that failed: descriptors run out and come back.
const PAUSE: Duration = Duration::from_millis(100);

/// A listener that is bound, and not yet serving.
#[derive(Debug)]
pub struct PeerListener {
    listeners: Vec<std::net::TcpListener>,
}

/// Binds.
///
/// # Errors
/// When an address is taken or not this machine's.
pub fn bind(addresses: &[SocketAddr]) -> anyhow::Result<PeerListener> {
    let bind = |address: &SocketAddr| {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(listener)
    };
    let bound = addresses.iter().map(|address| {
        bind(address)
            .map_err(|error: std::io::Error| anyhow::anyhow!("listen.peer {address}: {error}"))
    });
    Ok(PeerListener { listeners: bound.collect::<anyhow::Result<_>>()? })
}

/// What each stream is served with.
#[derive(Clone)]
struct Serving {
    tls: PeerTls,
    node: Node,
    desk: Arc<JoinDesk>,
    room: Arc<Semaphore>,
    strangers: Strangers,
}

impl PeerListener {
    /// Where it listens, free ports resolved.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `ended`, on the threads that Raft has for itself.
    pub fn serve(self, tls: &PeerTls, node: &Node, desk: Arc<JoinDesk>, ended: &CancellationToken) {
        let room = Arc::new(Semaphore::new(STREAMS));
        let strangers = Strangers::default();
        let serving = Serving { tls: tls.clone(), node: node.clone(), desk, room, strangers };
        for listener in self.listeners {
            let (serving, ended) = (serving.clone(), ended.clone());
            node.spawn(async move {
                match TcpListener::from_std(listener) {
                    Ok(listener) => {
                        ended.run_until_cancelled(accept(listener, serving, &ended)).await;
                    }
                    Err(error) => tracing::error!(%error, "no peer is let in"),
                }
            });
        }
    }
}

async fn accept(listener: TcpListener, serving: Serving, ended: &CancellationToken) {
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => {
                let Some(place) = serving.strangers.enter(from.ip()) else {
                    tracing::warn!(%from, "too many nobodies come from there at one time");
                    continue;
                };
                let (serving, ended) = (serving.clone(), ended.clone());
                tokio::spawn(async move {
                    ended.run_until_cancelled(serving.stream(tcp, from, place)).await;
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no peer is accepted for a moment");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Who is at the other end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Peer(NodeId),
    Joiner,
}

impl Serving {
    async fn stream(self, tcp: TcpStream, from: SocketAddr, place: Place) {
        let shaken = tokio::time::timeout(PATIENCE, hands(&self.tls, tcp));
        match place.hold(shaken).await {
            Some(Ok(Ok((stream, Caller::Peer(node))))) => {
                drop(place);
                self.member(stream, node).await;
            }
            // Whoever has no token has come as far.
            Some(Ok(Ok((stream, Caller::Joiner)))) => {
                let served = tokio::time::timeout(JOINING, self.desk.serve(stream, from));
                place.hold(served).await.map(Result::ok);
            }
            Some(Ok(Err(error))) => tracing::warn!(%from, "a peer is refused: {error}"),
            Some(Err(_)) => {
                tracing::warn!(%from, "a peer is refused: no handshake within {PATIENCE:?}");
            }
            None => tracing::warn!(%from, "a peer is refused: newer ones took its place"),
        }
    }

    async fn member(&self, stream: TlsStream<TcpStream>, node: NodeId) {
        match self.room.clone().try_acquire_owned() {
            Ok(_room) => self.node.serve_peer(Box::new(stream), Some(node)).await,
            Err(_) => tracing::warn!(%node, "a member has too many streams: one is hung up on"),
        }
    }
}

/// The handshake, and the greeting that tells a refused peer why.
pub(super) async fn hands(
    tls: &PeerTls,
    tcp: TcpStream,
) -> Result<(TlsStream<TcpStream>, Caller), PeerError> {
    tcp.set_nodelay(true).map_err(|error| explain(&error))?;
    let acceptor = TlsAcceptor::from(tls.server());
    let mut stream = acceptor.accept(tcp).await.map_err(|error| explain(&error))?;
    match caller(tls, &stream) {
        Ok(caller) => {
            greeting::welcome(&mut stream).await.map_err(|error| explain(&error))?;
            Ok((stream, caller))
        }
        Err(error) => {
            let _ = greeting::refuse(&mut stream, &error.to_string()).await;
            Err(error)
        }
    }
}

fn caller(tls: &PeerTls, stream: &TlsStream<TcpStream>) -> Result<Caller, PeerError> {
    let (_, connection) = stream.get_ref();
    match connection.alpn_protocol() {
        Some(protocol) if protocol == JOIN_PROTOCOL => return Ok(Caller::Joiner),
        Some(_) => {}
        None => return Err(PeerError::OtherProtocol),
    }
    let chain = connection.peer_certificates().unwrap_or_default();
    let certificate = chain.first().ok_or(PeerError::NoCertificate)?;
    let CertificateName { node, lineage } = CertificateName::of(certificate)?;
    let own = &tls.identity().lineage;
    match lineage == *own {
        true => Ok(Caller::Peer(node)),
        false => Err(PeerError::OtherCluster { node, lineage, own: own.clone() }),
    }
}
