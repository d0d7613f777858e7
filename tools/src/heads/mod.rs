//! Heads of the log, signed on a schedule and sent to where nobody who can write here can write.
//!
//! Whoever leads signs one each interval and keeps it (`spool.rs`); each sink has a task of its
//! own that sends what it has not got yet, in order, again and again. A node that leads no more
//! goes on sending what it signed.

pub mod append;
pub mod mail;
pub mod spool;
pub mod stamp;
pub mod web;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::Timestamp;
use redoubt_search::discover::Jobs;
use redoubt_store::alarms::AlarmKind;
use redoubt_store::mailstore::Mailstore;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::mail::{Letter, Relay};
use self::spool::Spool;
use crate::config::Audit;

/// How often it is looked whether a head is due, at least.
const LOOK: Duration = Duration::from_secs(1);
/// How long is waited after a first failure; each more doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const LONGEST_WAIT: Duration = Duration::from_secs(300);
/// How long one sending may take.
const SENDING: Duration = Duration::from_secs(60);

/// Where heads go.
#[derive(Debug, Clone)]
enum Sink {
    File(PathBuf),
    Webhook(reqwest::Client, String),
    Mail { relay: Relay, from: String, to: String, hostname: String },
    TimeStamp(reqwest::Client, String),
}

impl Sink {
    fn name(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Webhook(..) => "webhook",
            Self::Mail { .. } => "mail",
            Self::TimeStamp(..) => "timestamp",
        }
    }

    /// Sends a head; `Ok` when it is there.
    async fn send(&self, spool: &Spool, index: u64, head: &str) -> Result<(), String> {
        match self {
            Self::File(path) => {
                let (path, head) = (path.clone(), head.to_owned());
                let told = path.display().to_string();
                let written = blocking(move || append::append(&path, &head)).await;
                written.map_err(|error| format!("{told}: {error}"))
            }
            Self::Webhook(client, url) => web::post(client, url, head).await,
            Self::Mail { relay, from, to, hostname } => {
                let letter = Letter {
                    hostname: hostname.clone(),
                    from: from.clone(),
                    to: to.clone(),
                    subject: format!("Head of the log after entry {index}"),
                    date: date(),
                    text: head.to_owned(),
                };
                mail::send(relay, &letter).await
            }
            Self::TimeStamp(client, url) => {
                let answer = web::stamp(client, url, head).await?;
                let spool = spool.clone();
                blocking(move || spool.keep_stamp(index, &answer)).await.map_err(|e| e.to_string())
            }
        }
    }
}

fn date() -> String {
    let now = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
    jiff::fmt::rfc2822::to_string(&now).unwrap_or_default()
}

/// Runs what blocks on files.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(gone) => Err(std::io::Error::other(gone)),
    }
}

/// Everything that a head needs on its way.
#[derive(Clone)]
struct Work {
    store: Mailstore,
    jobs: Jobs,
    spool: Spool,
    every: Duration,
    sinks: Arc<Vec<Sink>>,
    /// A head was kept.
    kept: Arc<Notify>,
}

/// The schedule of a running node.
#[derive(Debug)]
pub struct Heads {
    task: JoinHandle<Option<()>>,
    ended: CancellationToken,
}

impl Heads {
    /// Starts it, where the configuration names a sink. Makes a folder: blocks shortly.
    ///
    /// # Errors
    /// What the configuration names and is not possible.
    pub fn start(
        audit: &Audit,
        hostname: &str,
        data: &Path,
        store: &Mailstore,
        jobs: Option<&Jobs>,
    ) -> anyhow::Result<Option<Self>> {
        let sinks = sinks(audit, hostname).map_err(anyhow::Error::msg)?;
        let (Some(every), Some(jobs), false) = (audit.heads_every.0, jobs, sinks.is_empty()) else {
            return Ok(None);
        };
        let names: Vec<&str> = sinks.iter().map(Sink::name).collect();
        let work = Work {
            store: store.clone(),
            jobs: jobs.clone(),
            spool: Spool::open(data, &names)?,
            every,
            sinks: Arc::new(sinks),
            kept: Arc::default(),
        };
        let ended = CancellationToken::new();
        let task = tokio::spawn(ended.clone().run_until_cancelled_owned(work.run()));
        Ok(Some(Self { task, ended }))
    }

    /// Ends it; what was not sent is sent after the next start.
    pub async fn end(self) {
        self.ended.cancel();
        let _ = self.task.await;
    }
}

/// Where the configuration wants heads.
fn sinks(audit: &Audit, hostname: &str) -> Result<Vec<Sink>, String> {
    let mut sinks = Vec::new();
    if !audit.heads_file.is_empty() {
        sinks.push(Sink::File(PathBuf::from(&audit.heads_file)));
    }
    if !audit.heads_webhook.is_empty() {
        let url = url("audit.heads_webhook", &audit.heads_webhook)?;
        sinks.push(Sink::Webhook(web::client()?, url));
    }
    if !audit.heads_timestamp.is_empty() {
        let url = url("audit.heads_timestamp", &audit.heads_timestamp)?;
        sinks.push(Sink::TimeStamp(web::client()?, url));
    }
    if !audit.heads_mail_to.is_empty() {
        sinks.push(letters(audit, hostname)?);
    }
    Ok(sinks)
}

fn letters(audit: &Audit, hostname: &str) -> Result<Sink, String> {
    let relay = audit.heads_mail_relay.parse();
    let relay = relay.map_err(|error| format!("audit.heads_mail_relay: {error}"))?;
    let from = match audit.heads_mail_from.as_str() {
        "" => format!("redoubt@{hostname}"),
        from => from.to_owned(),
    };
    let to = audit.heads_mail_to.clone();
    for (key, address) in [("heads_mail_from", &from), ("heads_mail_to", &to)] {
        if !mail::is_address(address) {
            return Err(format!("audit.{key}: {address:?} is no address"));
        }
    }
    Ok(Sink::Mail { relay, from, to, hostname: hostname.to_owned() })
}

fn url(key: &str, text: &str) -> Result<String, String> {
    let wrong = || format!("{key}: {text:?} is no URL that begins with https:// or http://");
    let url = reqwest::Url::parse(text).map_err(|_| wrong())?;
    match matches!(url.scheme(), "http" | "https") {
        true => Ok(text.to_owned()),
        false => Err(wrong()),
    }
}

impl Work {
    async fn run(self) {
        let mut tasks = JoinSet::new();
        for n in 0..self.sinks.len() {
            tasks.spawn(self.clone().sends(n));
        }
        self.signs().await;
        // Never: the tasks end with this future, which is dropped.
        tasks.shutdown().await;
    }

    /// Signs a head each interval while this node leads, and the first as soon as it does.
    async fn signs(&self) {
        let mut last = None;
        let mut look = tokio::time::interval(LOOK.min(self.every));
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            look.tick().await;
            if !self.leads() {
                last = None;
                continue;
            }
            let now = self.interval();
            if last == Some(now) {
                continue;
            }
            match self.sign().await {
                Ok(()) => {
                    last = Some(now);
                    self.store.alarms().clear(AlarmKind::Heads, "sign");
                    self.kept.notify_waiters();
                }
                Err(error) => self.store.alarms().raise(AlarmKind::Heads, "sign", error),
            }
        }
    }

    fn leads(&self) -> bool {
        let status = self.store.node().status();
        status.leader == Some(status.node)
    }

    /// The number of the present interval.
    fn interval(&self) -> i64 {
        let every = i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX).max(1);
        Timestamp::now().0.div_euclid(every)
    }

    async fn sign(&self) -> Result<(), String> {
        let signer = self.jobs.signer().await.map_err(|error| error.to_string())?;
        let view = self.store.view().await.map_err(|error| error.to_string())?;
        let index = view.index();
        drop(view);
        let (store, spool) = (self.store.clone(), self.spool.clone());
        let names: Vec<&'static str> = self.sinks.iter().map(Sink::name).collect();
        let kept = blocking(move || {
            // Nothing was written since: what has it may be stamped, and stays as it is.
            if spool.head(index.0).exists() {
                return Ok(());
            }
            let head = signer.head(&store, index).map_err(std::io::Error::other)?;
            spool.keep(index.0, &head.to_string())?;
            spool.sweep(&names)
        });
        kept.await.map_err(|error| format!("no head was signed: {error}"))
    }

    /// Sends what a sink has not got, in order, until it has all; then waits for more.
    async fn sends(self, n: usize) {
        let Some(sink) = self.sinks.get(n) else { return };
        let mut wait = FIRST_WAIT;
        loop {
            let kept = self.kept.notified();
            match self.next(sink).await {
                Ok(true) => {
                    wait = FIRST_WAIT;
                    self.store.alarms().clear(AlarmKind::Heads, sink.name());
                }
                Ok(false) => {
                    let _ = tokio::time::timeout(LONGEST_WAIT, kept).await;
                }
                Err(error) => {
                    let text = format!("heads are not sent, and tried again: {error}");
                    self.store.alarms().raise(AlarmKind::Heads, sink.name(), text);
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(LONGEST_WAIT).min(self.every.max(FIRST_WAIT));
                }
            }
        }
    }

    /// Sends one head; `false` when there is none.
    async fn next(&self, sink: &Sink) -> Result<bool, String> {
        let (spool, name) = (self.spool.clone(), sink.name());
        let next = blocking(move || spool.next(name)).await.map_err(|error| error.to_string())?;
        let Some((index, head)) = next else { return Ok(false) };
        let sent = tokio::time::timeout(SENDING, sink.send(&self.spool, index, &head)).await;
        sent.map_err(|_| format!("it took longer than {} seconds", SENDING.as_secs()))??;
        let spool = self.spool.clone();
        blocking(move || spool.took(name, index)).await.map_err(|error| error.to_string())?;
        Ok(true)
    }
}
