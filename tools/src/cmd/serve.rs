//! `redoubt serve`: a process around one node.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use redoubt_log::id::OperationId;
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address, Change, DomainAdd, DomainSettings,
};
use redoubt_store::mailstore::{Layout, Lock, Mailstore, Options};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use super::Common;
use crate::admin::Wish;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::peers::TokenError;
use crate::peers::join::{Ticket, begin};
use crate::readiness;
use crate::server::{self, Running};
use crate::telemetry::{self, Level};

/// How long work behind the scene may take when everything else has ended.
const AFTERMATH: Duration = Duration::from_secs(10);

/// Runs the server until it is told to stop.
#[derive(Debug, Args)]
pub struct Serve {
    /// In an empty store make the default domain with accounts alice and bob; prints their passwords once.
    #[arg(long)]
    demo: bool,
    /// Join the cluster that has a member here; with an empty data directory. One that has joined ignores it.
    #[arg(long, value_name = "HOST:PORT", requires = "join_token", env = "REDOUBT_JOIN")]
    join: Option<String>,
    /// What `redoubt cluster token` printed on a member.
    #[arg(
        long,
        value_name = "TOKEN",
        requires = "join",
        env = "REDOUBT_JOIN_TOKEN",
        hide_env_values = true
    )]
    join_token: Option<String>,
    /// Join as a light voter: log and blobs, no views; serves nobody.
    #[arg(long, requires = "join")]
    light: bool,
    /// Start in spite of damaged packs, without the blobs that they had: for a node without peers.
    #[arg(long)]
    accept_damage: bool,
    /// Act as a program of another level, to try an upgrade.
    #[arg(long, hide = true, value_name = "LEVEL")]
    act_as_level: Option<u32>,
}

impl Serve {
    /// Writes down which cluster is to be joined.
    fn prepare_to_join(&self, data: &Path) -> anyhow::Result<()> {
        let (Some(member), Some(token)) = (&self.join, &self.join_token) else { return Ok(()) };
        let token = token.parse().map_err(|error: TokenError| Failure::usage(error.to_string()))?;
        let ticket = Ticket { member: member.clone(), token, light: self.light };
        let layout = Layout::new(data);
        let _lock = Lock::take(&layout)?;
        begin(&layout, &ticket)
    }

    fn options(&self, config: &Config) -> anyhow::Result<Options> {
        let mut options = server::options(config);
        options.blobs.tolerate_damage |= self.accept_damage;
        let level = self.act_as_level.unwrap_or(options.level);
        // A cluster that was raised to it would need a program that is yet to be written.
        if level > options.level && !cfg!(debug_assertions) {
            let text = format!("this program supports level {} at most", options.level);
            return Err(Failure::usage(text).into());
        }
        Ok(Options { level, ..options })
    }
}

/// # Errors
/// What cannot be opened or bound, and what to do.
pub fn run(common: &Common, verb: Serve) -> anyhow::Result<Exit> {
    let config = common.config()?;
    let level = telemetry::start(&config.log)?;
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(common, config, verb, level));
    // What hangs on a disk must not keep the process from its end.
    runtime.shutdown_timeout(AFTERMATH);
    ended
}

async fn serve(common: &Common, config: Config, verb: Serve, level: Level) -> anyhow::Result<Exit> {
    server::make_data_directory(&config.data)?;
    let mut signals = Signals::new()?;
    verb.prepare_to_join(&config.data)?;
    let start = Running::start(config.clone(), verb.options(&config)?);
    let Some(mut running) = signals.or_stopped(start).await.transpose()? else {
        tracing::info!("stopped before it was ready");
        return Ok(Exit::Done);
    };
    if verb.demo {
        demo(running.mailstore(), &config, running.listen()).await?;
    }
    let pid_file = PidFile::write(&config.data)?;
    ready(common.json, running.listen())?;
    let store = running.mailstore().clone();
    let telling = tokio::spawn(readiness::tell_systemd(store.clone()));
    let mut failed = Box::pin(async move { store.stopped().await });
    let cluster = running.cluster().clone();
    let mut removed = Box::pin(async move { cluster.removed().await });
    let ended = loop {
        let wish = tokio::select! {
            wish = running.wish() => wish,
            wish = signals.next() => wish,
            // A store that has stopped serves nobody: whoever supervises starts it again.
            why = &mut failed => break Err(anyhow::anyhow!("the store has stopped: {why}")),
            why = &mut removed => break Err(anyhow::anyhow!(why)),
        };
        match wish {
            Wish::Stop => break Ok(Exit::Done),
            Wish::Reload(answer) => {
                let _ = answer.send(reload(common, &running, &level));
            }
        }
    };
    drop((failed, removed));
    telling.abort();
    readiness::notify(&[NotifyState::Stopping]);
    tracing::info!("stopping: no new connections, running commands end");
    let cut = running.shutdown().await;
    tracing::info!(sessions_cut_off = cut, "stopped");
    drop(pid_file);
    ended
}

fn ready(json: bool, listen: &BTreeMap<String, Vec<String>>) -> anyhow::Result<()> {
    if json {
        println!("{}", serde_json::json!({ "ready": true, "listen": listen }));
    } else {
        println!("ready");
    }
    tracing::info!(?listen, "ready");
    Ok(())
}

fn reload(common: &Common, running: &Running, level: &Level) -> Result<(), String> {
    let done = common.config().and_then(|config| {
        level.set(&config.log.level)?;
        running.reload()
    });
    match &done {
        Ok(()) => tracing::info!("certificates and log level are read again"),
        Err(error) => tracing::error!("nothing was reloaded: {error:#}"),
    }
    done.map_err(|error| format!("nothing was reloaded: {error:#}"))
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// What `start` comes to, or nothing when the process is told to stop first: a
    /// join may take long.
    async fn or_stopped<T>(&mut self, start: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = start => Some(done),
            _ = self.terminate.recv() => None,
            _ = self.interrupt.recv() => None,
        }
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.terminate.recv() => Wish::Stop,
            _ = self.interrupt.recv() => Wish::Stop,
            _ = self.hangup.recv() => Wish::Reload(oneshot::channel().0),
        }
    }
}

/// `DATA/redoubt.pid`, gone with the process's orderly end.
struct PidFile(PathBuf);

impl PidFile {
    fn write(data: &Path) -> anyhow::Result<Self> {
        let path = data.join("redoubt.pid");
        std::fs::write(&path, format!("{}\n", std::process::id()))
            .with_context(|| path.display().to_string())?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Ten thousand connections need as many descriptors; the hard limit says how many are allowed.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}

/// The domain and accounts of a first try.
async fn demo(
    mailstore: &Mailstore,
    config: &Config,
    listen: &BTreeMap<String, Vec<String>>,
) -> anyhow::Result<()> {
    let view = mailstore.view().await?;
    let domains = tokio::task::spawn_blocking(move || view.domains()).await??;
    if !domains.is_empty() {
        return Ok(());
    }
    let domain = &config.default_domain;
    let add = DomainAdd { domain: domain.clone(), settings: DomainSettings::default() };
    submit(mailstore, Change::DomainAdd(add)).await?;
    let alice = demo_account(mailstore, "alice", domain).await?;
    let bob = demo_account(mailstore, "bob", domain).await?;
    println!(
        "accounts, their passwords shown this once:\n  alice@{domain}  {alice}\n  bob@{domain}    {bob}\n"
    );
    println!("what to type next, in another terminal:\n");
    println!("  printf 'Subject: hello\\n\\nhi\\n' | redoubt deliver --to alice@{domain} -");
    if let Some(imap) = listen.get("imap").and_then(|addresses| addresses.first()) {
        println!("  curl -u alice:{alice} 'imap://{imap}/INBOX;MAILINDEX=1'");
    }
    println!("  redoubt status\n");
    Ok(())
}

async fn demo_account(mailstore: &Mailstore, name: &str, domain: &str) -> anyhow::Result<String> {
    let password = random_password();
    let add = AccountAdd {
        address: Address { local: name.into(), domain: domain.into() },
        settings: AccountSettings::default(),
        password: Some(mailstore.hash_password(password.as_bytes()).await?),
    };
    submit(mailstore, Change::AccountAdd(add)).await?;
    Ok(password)
}

async fn submit(mailstore: &Mailstore, change: Change) -> anyhow::Result<()> {
    let outcome = mailstore.submit(&Actor::SYSTEM, OperationId::random(), change).await?;
    outcome.result.map(drop).map_err(Into::into)
}

fn random_password() -> String {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let bytes: [u8; 16] = rand::random();
    bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(*byte) % LETTERS.len()))
        .map(|letter| char::from(*letter))
        .collect()
}
