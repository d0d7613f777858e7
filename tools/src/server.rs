//! One node, wired: store, protocols, admin API. `cmd/serve.rs` gives it a
//! process, tests run it as it is.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use redoubt_protocols::imap::{self, Imap};
use redoubt_protocols::limits::{Limits, Networks, PlaintextPolicy};
use redoubt_protocols::lmtp::{Lmtp, LmtpOptions, MailstoreDeliverer};
use redoubt_protocols::milter::Milter;
use redoubt_protocols::server::{Address, Listen, Protocol, ProtocolStats, Server, TlsMode};
use redoubt_protocols::socketmap::Socketmap;
use redoubt_protocols::tls::{CertificateFiles, Tls};
use redoubt_search::discover::{Jobs, JobsOptions};
use redoubt_search::holds::{self, HoldJudge};
use redoubt_search::index::{self, Index};
use redoubt_search::texts::{self, TextStore};
use redoubt_snapshot::BaseDir;
use redoubt_store::mailstore::{self, ArchiveGate, Mailstore, Options, Waits};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, App, TlsListener, Wish, forwarded};
use crate::backup::{self, Archive};
use crate::cluster::Cluster;
use crate::config::{Addresses, Config, KeepLog, ListenAddress, Plaintext};
use crate::heads::Heads;
use crate::peers::Peering;
use crate::peers::join::take_seat;

/// A node that takes connections.
#[derive(Debug)]
pub struct Running {
    mailstore: Mailstore,
    tls: Tls,
    peering: Peering,
    cluster: Cluster,
    archive: Option<Archive>,
    texts: Option<TextStore>,
    index: Option<Index>,
    jobs: Option<Jobs>,
    judge: Option<HoldJudge>,
    heads: Option<Heads>,
    servers: Vec<Server>,
    admin: Vec<JoinHandle<()>>,
    ended: CancellationToken,
    wishes: mpsc::Receiver<Wish>,
    listen: Arc<BTreeMap<String, Vec<String>>>,
    grace: Duration,
}

/// What is given to each protocol's server.
struct Wiring {
    config: Config,
    tls: Tls,
    limits: Limits,
    stats: BTreeMap<&'static str, Arc<ProtocolStats>>,
    listen: BTreeMap<String, Vec<String>>,
    servers: Vec<Server>,
}

impl Running {
    /// Opens the store and listens everywhere the configuration says.
    ///
    /// # Errors
    /// What cannot be opened or bound, and what to do.
    pub async fn start(config: Config, options: Options) -> anyhow::Result<Self> {
        let peering = Peering::prepare(&config, options.level).await?;
        let gate = backup::gate(&config.backup);
        let options = Options { peers: peering.peers(), archive_gate: gate.clone(), ..options };
        let mailstore = Mailstore::open(options).await?;
        match Self::serve(config, mailstore.clone(), peering, gate).await {
            Ok(running) => Ok(running),
            Err(error) => {
                mailstore.shutdown().await;
                Err(error)
            }
        }
    }

    async fn serve(
        config: Config,
        mailstore: Mailstore,
        mut peering: Peering,
        gate: Option<ArchiveGate>,
    ) -> anyhow::Result<Self> {
        let archive = Archive::start(&config.backup, &config.data, &mailstore, gate)?;
        let mut wiring = Wiring::new(config)?;
        let ended = CancellationToken::new();
        let cluster = Cluster::new(mailstore.clone(), peering.way());
        wiring.let_peers_in(&mut peering, &cluster, &ended).await?;
        let texts = texts(&wiring.config, &mailstore)?;
        let index = open_index(&wiring.config, &mailstore, texts.as_ref()).await?;
        if !mailstore.is_light() {
            wiring.protocols(&mailstore, index.as_ref())?;
        }
        let (sender, wishes) = mpsc::channel(4);
        let https = wiring.bind_https().await?;
        let socket = admin::bind_unix(&wiring.config.admin_socket())
            .with_context(|| wiring.config.admin_socket().display().to_string())?;
        let jobs = jobs(&wiring.config, &mailstore, texts.clone(), index.clone())?;
        reach_erased(&mailstore, texts.as_ref(), index.as_ref(), jobs.as_ref());
        let judge = judge(&mailstore, texts.clone())?;
        let name = hostname(&wiring.config);
        let Config { audit, data, .. } = &wiring.config;
        let heads = Heads::start(audit, &name, data, &mailstore, jobs.as_ref())?;
        let listen = Arc::new(wiring.listen);
        let app = App {
            mailstore: mailstore.clone(),
            cluster: cluster.clone(),
            default_domain: wiring.config.default_domain.as_str().into(),
            stats: Arc::new(wiring.stats),
            listen: listen.clone(),
            archive: archive.as_ref().map(Archive::watcher),
            texts: texts.clone(),
            index: index.clone(),
            jobs: jobs.clone(),
            hold_delay: wiring.config.retention.hold_delay_days.saturating_mul(86_400),
            wishes: sender,
            started: Instant::now(),
        };
        let trusted = Arc::new(wiring.limits.trusted.clone());
        let mut admin = vec![spawn_unix(socket, app.clone(), ended.clone())];
        admin.extend(
            https
                .into_iter()
                .map(|listener| spawn_https(listener, app.clone(), trusted.clone(), ended.clone())),
        );
        Ok(Self {
            mailstore,
            tls: wiring.tls,
            peering,
            cluster,
            archive,
            texts,
            index,
            jobs,
            judge,
            heads,
            servers: wiring.servers,
            admin,
            ended,
            wishes,
            listen,
            grace: Duration::from_secs(wiring.config.limits.shutdown_seconds),
        })
    }

    /// Where it listens, by the keys of `[listen]`, free ports resolved.
    pub fn listen(&self) -> &BTreeMap<String, Vec<String>> {
        &self.listen
    }

    /// The first TCP address of a key of `[listen]`.
    pub fn tcp(&self, key: &str) -> Option<SocketAddr> {
        self.listen.get(key)?.iter().find_map(|text| text.parse().ok())
    }

    /// The store.
    pub fn mailstore(&self) -> &Mailstore {
        &self.mailstore
    }

    /// The cluster that it is a member of.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Texts of attachments, where they are extracted.
    pub fn texts(&self) -> Option<&TextStore> {
        self.texts.as_ref()
    }

    /// Waits for what an operator asks for next.
    pub async fn wish(&mut self) -> Wish {
        match self.wishes.recv().await {
            Some(wish) => wish,
            None => std::future::pending().await,
        }
    }

    /// Reads certificates again.
    ///
    /// # Errors
    /// When they do not read; the old ones stay.
    pub fn reload(&self) -> anyhow::Result<()> {
        self.peering.renew()?;
        Ok(self.tls.reload()?)
    }

    /// Hands leadership over, stops accepting, lets commands end, closes the store. Answers how many
    /// sessions had to be cut off.
    pub async fn shutdown(self) -> usize {
        self.mailstore.hand_over().await;
        let drained = self.servers.iter().map(|server| server.shutdown(self.grace));
        let mut cut = 0;
        for server in drained {
            cut += server.await;
        }
        self.ended.cancel();
        for task in self.admin {
            let _ = task.await;
        }
        if let Some(heads) = self.heads {
            heads.end().await;
        }
        if let Some(archive) = self.archive {
            archive.end().await;
        }
        if let Some(jobs) = self.jobs {
            jobs.ended(self.grace).await;
        }
        if let Some(judge) = self.judge {
            let _ = tokio::task::spawn_blocking(move || judge.close()).await;
        }
        if let Some(texts) = self.texts {
            let _ = tokio::task::spawn_blocking(move || texts.close()).await;
        }
        if let Some(index) = self.index {
            // One that panicked holds nothing either.
            let _ = tokio::task::spawn_blocking(move || index.close()).await;
        }
        self.mailstore.shutdown().await;
        cut
    }
}

/// What was erased goes out of all that this node derives from mail.
fn reach_erased(
    mailstore: &Mailstore,
    texts: Option<&TextStore>,
    index: Option<&Index>,
    jobs: Option<&Jobs>,
) {
    texts.iter().for_each(|texts| mailstore.reaches(Arc::new((*texts).clone())));
    index.iter().for_each(|index| mailstore.reaches(Arc::new((*index).clone())));
    jobs.iter().for_each(|jobs| mailstore.reaches(Arc::new((*jobs).clone())));
}

/// A light voter has no views to search.
fn jobs(
    config: &Config,
    mailstore: &Mailstore,
    texts: Option<TextStore>,
    index: Option<Index>,
) -> anyhow::Result<Option<Jobs>> {
    if mailstore.is_light() {
        return Ok(None);
    }
    let (store, data) = (mailstore.clone(), config.data.clone());
    let texts = texts.map(|texts| Arc::new(texts) as Arc<dyn texts::Texts>);
    Ok(Some(Jobs::open(JobsOptions { store, data, texts, index })?))
}

/// What judges holds by query; without views there is nothing to judge by.
fn judge(mailstore: &Mailstore, texts: Option<TextStore>) -> anyhow::Result<Option<HoldJudge>> {
    if mailstore.is_light() {
        return Ok(None);
    }
    let texts = texts.map(|texts| Arc::new(texts) as Arc<dyn texts::Texts>);
    Ok(Some(HoldJudge::start(holds::Options { store: mailstore.clone(), texts })?))
}

impl Wiring {
    fn new(config: Config) -> anyhow::Result<Self> {
        let tls = Tls::open(vec![certificate(&config)?])?;
        let limits = limits(&config)?;
        Ok(Self {
            config,
            tls,
            limits,
            stats: BTreeMap::new(),
            listen: BTreeMap::new(),
            servers: Vec::new(),
        })
    }

    /// A node that joins serves its clients when it has its vote.
    async fn let_peers_in(
        &mut self,
        peering: &mut Peering,
        cluster: &Cluster,
        ended: &CancellationToken,
    ) -> anyhow::Result<()> {
        let addresses = peering.addresses();
        peering.serve(cluster, ended);
        let Ok(way) = cluster.way() else { return Ok(()) };
        self.listen.insert("peer".into(), addresses.iter().map(ToString::to_string).collect());
        take_seat(cluster.mailstore(), &way.address, crate::telemetry::still_starting).await
    }

    fn protocols(&mut self, mailstore: &Mailstore, index: Option<&Index>) -> anyhow::Result<()> {
        let config = self.config.clone();
        let listen = &config.listen;
        let start_tls = TlsMode::StartTls(self.tls.clone());
        let implicit = TlsMode::Implicit(self.tls.clone());
        let imap = Imap::with_index(
            mailstore.clone(),
            imap::Config {
                default_domain: config.default_domain.clone(),
                plaintext: plaintext(&config),
                max_message: config.limits.message_bytes,
                history: config.imap.history,
            },
            index.cloned(),
        );
        let keys = [("imap", &listen.imap, start_tls.clone()), ("imaps", &listen.imaps, implicit)];
        self.start("imap", imap, &keys, self.limits.clone())?;
        let deliverer = MailstoreDeliverer {
            mailstore: mailstore.clone(),
            default_domain: config.default_domain.clone(),
        };
        let lmtp = Lmtp::new(deliverer.clone(), lmtp_options(&config));
        let keys = [("lmtp", &listen.lmtp, start_tls)];
        self.start("lmtp", Arc::new(lmtp), &keys, self.lmtp_limits())?;
        let socketmap = Socketmap::new(deliverer.clone());
        let keys = [("socketmap", &listen.socketmap, TlsMode::Off)];
        self.start("socketmap", Arc::new(socketmap), &keys, self.limits.clone())?;
        let milter = Milter::new(deliverer);
        let keys = [("milter", &listen.milter, TlsMode::Off)];
        self.start("milter", Arc::new(milter), &keys, self.limits.clone())
    }

    fn lmtp_limits(&self) -> Limits {
        let idle_timeout = Duration::from_secs(self.config.limits.lmtp_idle_seconds);
        // Who has begun a line is given no longer than who has not.
        let receive_timeout = idle_timeout.min(self.limits.receive_timeout);
        Limits { idle_timeout, receive_timeout, ..self.limits.clone() }
    }

    /// Starts the listeners of one protocol, which may have several keys.
    fn start<P: Protocol>(
        &mut self,
        name: &'static str,
        protocol: Arc<P>,
        keys: &[(&str, &Addresses, TlsMode)],
        limits: Limits,
    ) -> anyhow::Result<()> {
        let mut listens = Vec::new();
        let mut owners = Vec::new();
        for (key, addresses, tls) in keys {
            for address in addresses.parse().map_err(anyhow::Error::msg)? {
                listens.push(listen(address, tls.clone()));
                owners.push(*key);
            }
        }
        let stats = Arc::<ProtocolStats>::default();
        let server = Server::start(protocol, listens, limits, stats.clone())
            .with_context(|| format!("listen.{name}"))?;
        for (key, address) in owners.iter().zip(server.addresses()) {
            self.listen.entry((*key).to_string()).or_default().push(text(address));
        }
        self.stats.insert(name, stats);
        self.servers.push(server);
        Ok(())
    }

    async fn bind_https(&mut self) -> anyhow::Result<Vec<TlsListener>> {
        let mut listeners = Vec::new();
        for address in self.config.listen.admin_https.parse().map_err(anyhow::Error::msg)? {
            let (address, proxied) = https_address(address)?;
            let proxies = proxied.then(|| Arc::new(self.limits.trusted.clone()));
            let listener = TlsListener::bind(address, self.tls.clone(), proxies)
                .await
                .with_context(|| format!("listen.admin_https {address}"))?;
            let bound = axum::serve::Listener::local_addr(&listener)?;
            self.listen.entry("admin_https".into()).or_default().push(bound.to_string());
            listeners.push(listener);
        }
        Ok(listeners)
    }
}

/// The index of a node that keeps one.
async fn open_index(
    config: &Config,
    mailstore: &Mailstore,
    texts: Option<&TextStore>,
) -> anyhow::Result<Option<Index>> {
    if !config.search.index || mailstore.is_light() {
        return Ok(None);
    }
    let options = index::Options {
        own: config.search.own_index_emails,
        wait: Duration::from_secs(config.search.wait_seconds),
        terms: config.search.terms_memory_mib.saturating_mul(1024 * 1024),
        scrub: Duration::from_secs(config.store.scrub_hours.saturating_mul(3600)),
        scrub_rate: config.store.scrub_mib_per_second.saturating_mul(1024 * 1024),
        texts: texts.map(|texts| Arc::new(texts.clone()) as Arc<dyn texts::Texts>),
        ..index::Options::default()
    };
    let (mailstore, folder) = (mailstore.clone(), config.data.join("shards/0/index"));
    let open = move || Index::open(mailstore, &folder, options);
    Ok(Some(tokio::task::spawn_blocking(open).await??))
}

/// Where HTTPS is served, and whether behind PROXY headers.
fn https_address(address: ListenAddress) -> anyhow::Result<(SocketAddr, bool)> {
    match address {
        ListenAddress::Tcp(address) => Ok((address, false)),
        ListenAddress::Proxied(address) => Ok((https_address(*address)?.0, true)),
        ListenAddress::Unix(_) => anyhow::bail!(
            "listen.admin_https takes \"ADDRESS:PORT\" or \"off\"; the Unix socket is listen.admin"
        ),
    }
}

fn listen(address: ListenAddress, tls: TlsMode) -> Listen {
    match address {
        ListenAddress::Tcp(address) => {
            Listen { address: Address::Tcp(address), tls, proxied: false }
        }
        ListenAddress::Unix(path) => Listen { address: Address::Unix(path), tls, proxied: false },
        ListenAddress::Proxied(address) => Listen { proxied: true, ..listen(*address, tls) },
    }
}

fn text(address: &Address) -> String {
    match address {
        Address::Tcp(address) => address.to_string(),
        Address::Unix(path) => format!("unix:{}", path.display()),
    }
}

fn certificate(config: &Config) -> anyhow::Result<CertificateFiles> {
    if config.tls.certificate.is_empty() {
        let names = [hostname(config), "localhost".into()];
        return Ok(CertificateFiles::self_signed(&config.data.join("tls"), &names)?);
    }
    Ok(CertificateFiles {
        certificate: config.tls.certificate.clone().into(),
        key: config.tls.key.clone().into(),
    })
}

fn lmtp_options(config: &Config) -> LmtpOptions {
    LmtpOptions {
        hostname: hostname(config),
        max_message: config.limits.message_bytes,
        max_recipients: config.limits.lmtp_recipients,
        command_timeout: Duration::from_secs(config.limits.lmtp_idle_seconds),
        ..LmtpOptions::default()
    }
}

/// How the server calls itself.
pub fn hostname(config: &Config) -> String {
    if !config.hostname.is_empty() {
        return config.hostname.clone();
    }
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn limits(config: &Config) -> anyhow::Result<Limits> {
    let limits = &config.limits;
    Ok(Limits {
        connections: limits.connections,
        connections_per_address: limits.connections_per_address,
        connections_per_user: limits.connections_per_user,
        idle_timeout: Duration::from_secs(limits.imap_idle_seconds),
        trusted: Networks::parse(&config.trusted)
            .map_err(|error| anyhow::anyhow!("trusted: {error}"))?,
        ..Limits::default()
    })
}

/// The policy that `auth.plaintext` names.
pub fn plaintext(config: &Config) -> PlaintextPolicy {
    match config.auth.plaintext {
        Plaintext::Never => PlaintextPolicy::Never,
        Plaintext::Loopback => PlaintextPolicy::Loopback,
        Plaintext::Always => PlaintextPolicy::Always,
    }
}

/// What the configuration says of the store.
pub fn options(config: &Config) -> Options {
    let mib = |count: usize| count.saturating_mul(1024 * 1024);
    let defaults = Options::new(&config.data);
    let bases = BaseDir::new(defaults.disk.clone(), config.data.join("shards/0/base"));
    Options {
        bases: Some(Arc::new(bases)),
        block_cache: mib(config.store.block_cache_mib),
        parsed_cache: mib(config.store.parsed_cache_mib),
        sort_cache: mib(config.store.sort_cache_mib),
        max_message: config.limits.message_bytes,
        ingest_memory: config.store.ingest_memory_mib.saturating_mul(1024 * 1024),
        checkpoint_every: config.store.checkpoint_records,
        keep_log: match config.store.keep_log {
            KeepLog::Forever => mailstore::KeepLog::Forever,
            KeepLog::Checkpoint => mailstore::KeepLog::SinceCheckpoint,
        },
        keep_log_for: Duration::from_secs(config.store.keep_log_hours.saturating_mul(3600)),
        keep_history: config.history.keep.0,
        policies_every: Duration::from_secs(config.history.policies_seconds.max(1)),
        record_logins_every: Duration::from_secs(config.audit.logins_every_seconds),
        transfer_rate: config.store.transfer_mib_per_second.saturating_mul(1024 * 1024),
        waits: Waits {
            leader: Duration::from_secs(config.limits.leader_wait_seconds),
            cut_off: Duration::from_secs(config.limits.cut_off_seconds),
        },
        scrub_every: Duration::from_secs(config.store.scrub_hours.saturating_mul(3600)),
        scrub_rate: config.store.scrub_mib_per_second.saturating_mul(1024 * 1024),
        compare_every: Duration::from_secs(config.store.compare_minutes.saturating_mul(60)),
        ..defaults
    }
}

/// What extracts text behind deliveries, where that is wanted and there are views.
fn texts(config: &Config, mailstore: &Mailstore) -> anyhow::Result<Option<TextStore>> {
    let extract = &config.extract;
    if extract.workers == 0 || mailstore.is_light() {
        return Ok(None);
    }
    let mib = |count: u64| count.saturating_mul(1024 * 1024);
    let pool = redoubt_extract::Options {
        workers: extract.workers,
        wall: Duration::from_secs(extract.seconds),
        memory: mib(extract.memory_mib),
        document: mib(extract.document_mib),
        ..redoubt_extract::Options::default()
    };
    let folder = config.data.join("shards/0/index/texts");
    let options = texts::Options { folder, keep: mib(extract.keep_mib), pool };
    let texts = TextStore::new(mailstore.clone(), options);
    texts.follow().context("a thread that extracts texts")?;
    Ok(Some(texts))
}

fn spawn_unix(
    listener: tokio::net::UnixListener,
    app: App,
    ended: CancellationToken,
) -> JoinHandle<()> {
    let service = admin::router(app).into_make_service_with_connect_info::<admin::Caller>();
    spawn(async move {
        axum::serve(listener, service).with_graceful_shutdown(ended.cancelled_owned()).await
    })
}

fn spawn_https(
    listener: TlsListener,
    app: App,
    trusted: Arc<Networks>,
    ended: CancellationToken,
) -> JoinHandle<()> {
    let find_client = axum::middleware::from_fn_with_state(trusted, forwarded::find_client);
    let service = admin::monitoring(app)
        .layer(find_client)
        .into_make_service_with_connect_info::<forwarded::Remote>();
    spawn(async move {
        axum::serve(listener, service).with_graceful_shutdown(ended.cancelled_owned()).await
    })
}

fn spawn(serve: impl Future<Output = io::Result<()>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = serve.await {
            tracing::error!(%error, "the admin API ended");
        }
    })
}

/// Makes the data directory if it is not there.
///
/// # Errors
/// When it cannot be made.
pub fn make_data_directory(data: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(data).with_context(|| format!("the data directory {}", data.display()))
}
