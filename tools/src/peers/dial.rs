//! Streams to peers.

use std::io;
use std::time::Duration;

use futures_util::future::BoxFuture;
use redoubt_log::id::NodeId;
use redoubt_log::raft::{Dialer, PeerStream};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::greeting::greeted;
use super::{PeerError, PeerTls, explain, node_name};

/// How long connecting and shaking hands may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Makes streams to peers over TLS.
#[derive(Debug, Clone)]
pub struct TlsDialer {
    tls: PeerTls,
}

impl TlsDialer {
    /// With this node's certificate.
    pub fn new(tls: PeerTls) -> Self {
        Self { tls }
    }

    async fn stream(
        self,
        peer: NodeId,
        address: String,
    ) -> Result<TlsStream<TcpStream>, PeerError> {
        let name = node_name(peer, &self.tls.identity().lineage);
        let connector = TlsConnector::from(self.tls.client());
        connect(&connector, name, &address).await
    }
}

impl Dialer for TlsDialer {
    fn dial(
        &self,
        peer: NodeId,
        address: &str,
    ) -> BoxFuture<'static, io::Result<Box<dyn PeerStream>>> {
        let (dialer, address) = (self.clone(), address.to_owned());
        Box::pin(async move {
            let stream = dialer.stream(peer, address).await?;
            Ok(Box::new(stream) as Box<dyn PeerStream>)
        })
    }
}

/// TCP, TLS, and the listener's greeting.
pub(super) async fn connect(
    connector: &TlsConnector,
    name: String,
    address: &str,
) -> Result<TlsStream<TcpStream>, PeerError> {
    let name = ServerName::try_from(name).map_err(|error| PeerError::Io(error.to_string()))?;
    let connect = async {
        let tcp = TcpStream::connect(address).await.map_err(|error| explain(&error))?;
        tcp.set_nodelay(true).map_err(|error| explain(&error))?;
        let mut stream = connector.connect(name, tcp).await.map_err(|error| explain(&error))?;
        greeted(&mut stream).await?;
        Ok(stream)
    };
    match tokio::time::timeout(PATIENCE, connect).await {
        Ok(done) => done,
        Err(_) => Err(PeerError::Io(format!("no answer within {PATIENCE:?}"))),
    }
}
