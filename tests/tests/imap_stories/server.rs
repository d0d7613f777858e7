//! A node in a temporary folder with alice and bob, and IMAP before it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::OperationId;
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address as MailAddress, Change, DomainAdd, DomainSettings,
};
use redoubt_protocols::imap::{Config, Imap};
use redoubt_protocols::limits::Limits;
use redoubt_protocols::server::{Address, Listen, ProtocolStats, Server, TlsMode};
use redoubt_store::mailstore::{Mailstore, Options};

/// Everybody's password.
pub(crate) const PASSWORD: &str = "sesame";

pub(crate) struct Node {
    store: Mailstore,
    server: Server,
    _folder: tempfile::TempDir,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path().join("data"));
        options.block_cache = 8 << 20;
        options.log.segment_bytes = 4 << 20;
        options.blobs.pack_bytes = 8 << 20;
        let store = Mailstore::open(options).await.unwrap();
        let domain =
            DomainAdd { domain: "example.org".into(), settings: DomainSettings::default() };
        submit(&store, Change::DomainAdd(domain)).await;
        for name in ["alice", "bob"] {
            add(&store, name).await;
        }
        let listen = Listen {
            address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            tls: TlsMode::Off,
            proxied: false,
        };
        let imap = Imap::new(store.clone(), Config::default());
        let stats = Arc::new(ProtocolStats::default());
        let server = Server::start(imap, vec![listen], Limits::default(), stats).unwrap();
        Self { store, server, _folder: folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.server.addresses()[0] {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{path:?}"),
        }
    }

    pub(crate) async fn stop(self) {
        self.server.shutdown(Duration::from_secs(20)).await;
        self.store.shutdown().await;
    }
}

async fn submit(store: &Mailstore, change: Change) {
    let outcome = store.submit(&Actor::SYSTEM, OperationId::random(), change).await.unwrap();
    outcome.result.unwrap();
}

async fn add(store: &Mailstore, name: &str) {
    let password = Some(store.hash_password(PASSWORD.as_bytes()).await.unwrap());
    let address = MailAddress { local: name.into(), domain: "example.org".into() };
    let add = AccountAdd { address, settings: AccountSettings::default(), password };
    submit(store, Change::AccountAdd(add)).await;
}
