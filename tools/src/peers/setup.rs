//! A node's peers, from its configuration and its data directory.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use redoubt_store::mailstore::{ClusterFile, Layout, Lock, NodeFile, Peers};
use tokio_util::sync::CancellationToken;

use super::join::{JoinDesk, get_id};
use super::{Authority, Identity, PeerListener, PeerTls, Source, TlsDialer, bind};
use crate::cluster::{Cluster, Way};
use crate::config::{Config, ListenAddress};
use crate::server::hostname;

/// Certificates of the cluster's own authority are good for longer.
const RENEWED: Duration = Duration::from_secs(24 * 3600);

/// A node's way to its peers and theirs to it.
#[derive(Debug)]
pub struct Peering {
    way: Option<Way>,
    listener: Option<PeerListener>,
}

impl Peering {
    /// Binds `listen.peer`, gets this node's id if it is to join and has none,
    /// and its certificate. `level` is what this program supports.
    ///
    /// # Errors
    /// What cannot be bound or read, or why the cluster refuses.
    pub async fn prepare(config: &Config, level: u32) -> anyhow::Result<Self> {
        let layout = Layout::new(&config.data);
        let _lock = Lock::take(&layout)?;
        let addresses = addresses(config)?;
        if addresses.is_empty() {
            return alone(&layout);
        }
        let listener = bind(&addresses)?;
        let address = advertised(config, &listener.addresses());
        get_id(&layout, &address, level).await?;
        let tls = tokio::task::spawn_blocking({
            let config = config.clone();
            move || certificates(&config, &layout)
        });
        let way = Way { tls: tls.await??, address };
        Ok(Self { way: Some(way), listener: Some(listener) })
    }

    /// What the store is opened with.
    pub fn peers(&self) -> Option<Peers> {
        let way = self.way.as_ref()?;
        let dialer = Arc::new(TlsDialer::new(way.tls.clone()));
        Some(Peers { dialer, address: way.address.clone() })
    }

    /// How this node is reached.
    pub fn way(&self) -> Option<Way> {
        self.way.clone()
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listener.as_ref().map(PeerListener::addresses).unwrap_or_default()
    }

    /// Lets peers in, until `ended`.
    pub fn serve(&mut self, cluster: &Cluster, ended: &CancellationToken) {
        let (Some(listener), Some(way)) = (self.listener.take(), self.way.clone()) else { return };
        let desk = Arc::new(JoinDesk::new(cluster.clone()));
        listener.serve(&way.tls, cluster.node(), desk, ended);
        let ended = ended.clone();
        tokio::spawn(async move { ended.run_until_cancelled(renew_daily(way.tls)).await });
    }

    /// Reads certificates again, or gets new ones. Blocks.
    ///
    /// # Errors
    /// When they cannot be used; the old ones stay.
    pub fn renew(&self) -> anyhow::Result<()> {
        self.way.as_ref().map_or(Ok(()), |way| way.tls.renew())
    }
}

async fn renew_daily(tls: PeerTls) {
    loop {
        tokio::time::sleep(RENEWED).await;
        let tls = tls.clone();
        let renewed = tokio::task::spawn_blocking(move || tls.renew()).await;
        if let Ok(Err(error)) = renewed {
            tracing::error!("the certificate for peers was not renewed: {error:#}");
        }
    }
}

fn alone(layout: &Layout) -> anyhow::Result<Peering> {
    let file = ClusterFile::load(layout)?;
    anyhow::ensure!(
        !file.joined && file.joining.is_none(),
        "this node belongs to a cluster, and listen.peer is \"off\": set it to where its peers \
         reach it"
    );
    Ok(Peering { way: None, listener: None })
}

fn addresses(config: &Config) -> anyhow::Result<Vec<SocketAddr>> {
    let mut found = Vec::new();
    for address in config.listen.peer.parse().map_err(anyhow::Error::msg)? {
        match address {
            ListenAddress::Tcp(address) => found.push(address),
            ListenAddress::Unix(_) | ListenAddress::Proxied(_) => {
                anyhow::bail!("listen.peer takes \"ADDRESS:PORT\", a list of them, or \"off\"")
            }
        }
    }
    Ok(found)
}

fn advertised(config: &Config, bound: &[SocketAddr]) -> String {
    if !config.peer.advertise.is_empty() {
        return config.peer.advertise.clone();
    }
    match bound.first() {
        Some(address) if address.ip().is_unspecified() => {
            format!("{}:{}", hostname(config), address.port())
        }
        Some(address) => address.to_string(),
        None => String::new(),
    }
}

fn certificates(config: &Config, layout: &Layout) -> anyhow::Result<PeerTls> {
    layout.prepare()?;
    let NodeFile { node, lineage } = NodeFile::load_or_make(layout)?;
    let peer = &config.peer;
    let source = match peer.ca.is_empty() {
        true => Source::Own(Arc::new(Authority::load_or_make(layout.root())?)),
        false => Source::Site {
            ca: PathBuf::from(&peer.ca),
            certificate: PathBuf::from(&peer.certificate),
            key: PathBuf::from(&peer.key),
        },
    };
    PeerTls::open(Identity { node, lineage }, source)
}
