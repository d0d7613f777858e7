//! A mailstore with alice and bob, and IMAP before it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address as MailAddress, Change, DomainAdd, DomainSettings,
    Done,
};
use redoubt_protocols::imap::{Config, Imap};
use redoubt_protocols::limits::{Limits, PlaintextPolicy};
use redoubt_protocols::server::{Address, Listen, ProtocolStats, Server, TlsMode};
use redoubt_protocols::tls::{CertificateFiles, Tls};
use redoubt_store::mailstore::{Mailstore, Options};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;

use crate::client::Client;

pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct World {
    pub(crate) store: Mailstore,
    pub(crate) server: Server,
    pub(crate) connector: TlsConnector,
    pub(crate) alice_id: AccountId,
    _folder: tempfile::TempDir,
}

/// What a test wants otherwise.
#[derive(Default)]
pub(crate) struct Wishes {
    pub(crate) limits: Limits,
    pub(crate) config: Config,
    pub(crate) quota: Option<u64>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Wishes::default()).await
    }

    pub(crate) async fn without_plaintext() -> Self {
        let config = Config { plaintext: PlaintextPolicy::Never, ..Config::default() };
        Self::with(Wishes { config, ..Wishes::default() }).await
    }

    pub(crate) async fn with(wishes: Wishes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Mailstore::open(options(folder.path())).await.unwrap();
        let domain =
            DomainAdd { domain: "example.org".into(), settings: DomainSettings::default() };
        submit(&store, Change::DomainAdd(domain)).await;
        let alice_id = add_account(&store, "alice", wishes.quota).await;
        add_account(&store, "bob", None).await;
        let (tls, connector) = certificate(&folder.path().join("tls"));
        let imap = Imap::new(store.clone(), wishes.config);
        let listen = Listen {
            address: Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))),
            tls: TlsMode::StartTls(tls),
            proxied: false,
        };
        let stats = Arc::new(ProtocolStats::default());
        let server = Server::start(imap, vec![listen], wishes.limits, stats).unwrap();
        Self { store, server, connector, alice_id, _folder: folder }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        match &self.server.addresses()[0] {
            Address::Tcp(address) => *address,
            Address::Unix(path) => panic!("{path:?}"),
        }
    }

    /// A client that has read its greeting.
    pub(crate) async fn stranger(&self) -> Client {
        Client::connect(self.address()).await
    }

    /// Alice, logged in.
    pub(crate) async fn alice(&self) -> Client {
        let mut client = self.stranger().await;
        client.ok(&format!("LOGIN alice \"{PASSWORD}\"")).await;
        client
    }

    /// Alice with her INBOX selected and this many messages in it.
    pub(crate) async fn inbox(&self, messages: usize) -> Client {
        let mut client = self.alice().await;
        client.fill("INBOX", messages).await;
        client.ok("SELECT INBOX").await;
        client
    }

    /// With two sessions of alice's: the first has so many messages in her INBOX, and has it
    /// selected.
    pub(crate) async fn with_two_sessions(messages: usize) -> (Self, Client, Client) {
        let world = Self::new().await;
        let (one, two) = (world.inbox(messages).await, world.alice().await);
        (world, one, two)
    }

    pub(crate) async fn stop(self) {
        assert_eq!(self.server.shutdown(Duration::from_secs(20)).await, 0);
        self.store.shutdown().await;
    }
}

fn options(folder: &std::path::Path) -> Options {
    let mut options = Options::new(folder.join("data"));
    options.block_cache = 8 << 20;
    options.log.segment_bytes = 4 << 20;
    options.blobs.pack_bytes = 8 << 20;
    options
}

async fn submit(store: &Mailstore, change: Change) -> Done {
    let outcome = store.submit(&Actor::SYSTEM, OperationId::random(), change).await.unwrap();
    outcome.result.unwrap()
}

async fn add_account(store: &Mailstore, name: &str, quota: Option<u64>) -> AccountId {
    let password = Some(store.hash_password(PASSWORD.as_bytes()).await.unwrap());
    let address = MailAddress { local: name.into(), domain: "example.org".into() };
    let settings = AccountSettings { quota, ..AccountSettings::default() };
    let add = AccountAdd { address, settings, password };
    match submit(store, Change::AccountAdd(add)).await {
        Done::Account(account) => account,
        other => panic!("{other:?}"),
    }
}

fn certificate(folder: &std::path::Path) -> (Tls, TlsConnector) {
    let files = CertificateFiles::self_signed(folder, &["localhost".to_owned()]).unwrap();
    let pem = std::fs::read(&files.certificate).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Tls::open(vec![files]).unwrap(), TlsConnector::from(Arc::new(client)))
}
