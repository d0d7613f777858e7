//! The configuration file: every key with its default. docs/configuration.md
//! describes each; a test holds the two together.

mod load;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use redoubt_snapshot::archive::Feeder;
use redoubt_snapshot::expire::Keep;
use redoubt_snapshot::verify::Level;
use serde::{Deserialize, Serialize};

pub use load::{ConfigError, load};

/// Everything that can be configured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The data directory.
    pub data: PathBuf,
    /// A login or recipient without `@` is looked up here.
    pub default_domain: String,
    /// How this server calls itself in greetings and Received lines; empty for the machine's name.
    pub hostname: String,
    /// Networks that may hand on a client's address.
    pub trusted: Vec<String>,
    /// Where it listens.
    pub listen: Listen,
    /// The way between nodes.
    pub peer: Peer,
    /// Certificate and key.
    pub tls: Tls,
    /// Who may log in how.
    pub auth: Auth,
    /// What IMAP clients find.
    pub imap: Imap,
    /// Bounds.
    pub limits: Limits,
    /// Caches and checkpoints.
    pub store: Store,
    /// The backup repository.
    pub backup: Backup,
    /// How long the past is kept.
    pub history: History,
    /// Text out of attachments.
    pub extract: Extract,
    /// Indexes for search.
    pub search: Search,
    /// Heads of the log that are kept outside.
    pub audit: Audit,
    /// What is kept because it must be.
    pub retention: Retention,
    /// What is logged and how.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            data: PathBuf::from("./redoubt-data"),
            default_domain: "example.org".into(),
            hostname: String::new(),
            trusted: vec!["127.0.0.0/8".into(), "::1".into()],
            listen: Listen::default(),
            peer: Peer::default(),
            tls: Tls::default(),
            auth: Auth::default(),
            imap: Imap::default(),
            limits: Limits::default(),
            store: Store::default(),
            backup: Backup::default(),
            history: History::default(),
            extract: Extract::default(),
            search: Search::default(),
            audit: Audit::default(),
            retention: Retention::default(),
            log: Log::default(),
        }
    }
}

/// One or more addresses, or `"off"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Addresses {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Addresses {
    fn one(text: &str) -> Self {
        Self::One(text.into())
    }

    /// The addresses, none for `"off"`.
    ///
    /// # Errors
    /// Names the text that does not read as an address.
    pub fn parse(&self) -> Result<Vec<ListenAddress>, String> {
        let texts = match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts.as_slice(),
        };
        texts.iter().filter(|text| *text != "off").map(|text| text.parse()).collect()
    }
}

/// A place to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// Either, where each connection begins with a PROXY header from a trusted proxy.
    Proxied(Box<ListenAddress>),
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return Ok(Self::Unix(path.into()));
        }
        if let Some(text) = text.strip_prefix("proxy:").filter(|text| !text.starts_with("proxy:")) {
            return text.parse().map(|address| Self::Proxied(Box::new(address)));
        }
        text.parse().map(Self::Tcp).map_err(|_| {
            format!("{text:?} is not an address: write \"127.0.0.1:7143\", \"[::1]:7143\", \"unix:PATH\", \"proxy:10.0.0.1:7143\" or \"off\"")
        })
    }
}

/// `[listen]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Listen {
    pub lmtp: Addresses,
    pub imap: Addresses,
    pub imaps: Addresses,
    pub pop3: Addresses,
    pub pop3s: Addresses,
    pub https: Addresses,
    pub admin_https: Addresses,
    pub peer: Addresses,
    pub socketmap: Addresses,
    pub milter: Addresses,
    /// The Unix socket of the verbs; empty for `DATA/admin.sock`.
    pub admin: String,
}

impl Default for Listen {
    fn default() -> Self {
        let off = || Addresses::one("off");
        Self {
            lmtp: Addresses::one("127.0.0.1:7025"),
            imap: Addresses::one("127.0.0.1:7143"),
            imaps: Addresses::one("127.0.0.1:7993"),
            pop3: off(),
            pop3s: off(),
            https: off(),
            admin_https: Addresses::one("127.0.0.1:7071"),
            peer: Addresses::one("127.0.0.1:7072"),
            socketmap: Addresses::one("127.0.0.1:7073"),
            milter: off(),
            admin: String::new(),
        }
    }
}

/// `[peer]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Peer {
    /// `HOST:PORT` where the other nodes reach this one; empty for what `listen.peer` says.
    pub advertise: String,
    /// PEM file with the site's own authority; empty for the cluster's own.
    pub ca: String,
    /// PEM file with this node's certificate from it, and its chain.
    pub certificate: String,
    /// PEM file with its key.
    pub key: String,
}

/// `[tls]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate and its chain; empty for a self-signed one in `DATA/tls`.
    pub certificate: String,
    /// PEM file with its key.
    pub key: String,
}

/// `[auth]`
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Whether passwords may come over connections without TLS.
    pub plaintext: Plaintext,
}

/// `auth.plaintext`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plaintext {
    /// Never.
    Never,
    /// From this machine only.
    #[default]
    Loopback,
    /// From anywhere.
    Always,
}

/// `[imap]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Imap {
    /// Whether users see their mailboxes as they were, under `#history`.
    pub history: bool,
}

impl Default for Imap {
    fn default() -> Self {
        Self { history: true }
    }
}

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Limits {
    pub connections: usize,
    pub connections_per_address: usize,
    pub connections_per_user: usize,
    pub message_bytes: u64,
    pub lmtp_recipients: usize,
    pub imap_idle_seconds: u64,
    pub lmtp_idle_seconds: u64,
    pub shutdown_seconds: u64,
    pub leader_wait_seconds: u64,
    pub cut_off_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 10_000,
            connections_per_user: 100,
            message_bytes: 50 * 1024 * 1024,
            lmtp_recipients: 1_000,
            imap_idle_seconds: 30 * 60,
            lmtp_idle_seconds: 5 * 60,
            shutdown_seconds: 10,
            leader_wait_seconds: 15,
            cut_off_seconds: 30,
        }
    }
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Store {
    pub block_cache_mib: usize,
    pub parsed_cache_mib: usize,
    pub sort_cache_mib: usize,
    pub ingest_memory_mib: u64,
    pub checkpoint_records: u64,
    pub keep_log: KeepLog,
    pub keep_log_hours: u64,
    pub transfer_mib_per_second: u64,
    pub scrub_hours: u64,
    pub scrub_mib_per_second: u64,
    pub compare_minutes: u64,
}

/// `[search]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Search {
    pub index: bool,
    pub own_index_emails: u64,
    pub wait_seconds: u64,
    pub terms_memory_mib: usize,
}

impl Default for Search {
    fn default() -> Self {
        Self { index: true, own_index_emails: 10_000, wait_seconds: 30, terms_memory_mib: 256 }
    }
}

/// `[history]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct History {
    /// How long deleted mail and past states are kept.
    pub keep: KeepHistory,
    /// How often it is looked for what retention policies take.
    pub policies_seconds: u64,
}

impl Default for History {
    fn default() -> Self {
        Self { keep: KeepHistory::default(), policies_seconds: 600 }
    }
}

/// `history.keep`: `off`, or a number with `s`, `m`, `h` or `d`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeepHistory(pub Option<std::time::Duration>);

impl TryFrom<String> for KeepHistory {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        let wrong = || format!("{text:?} is not \"off\" and no time like \"90d\"");
        let unit = text.chars().next_back().ok_or_else(wrong)?;
        let seconds: u64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        let count: u64 = text.trim_end_matches(unit).parse().map_err(|_| wrong())?;
        let all = count.checked_mul(seconds).filter(|all| *all > 0).ok_or_else(wrong)?;
        Ok(Self(Some(std::time::Duration::from_secs(all))))
    }
}

impl From<KeepHistory> for String {
    fn from(keep: KeepHistory) -> Self {
        keep.0.map_or_else(|| "off".to_owned(), |time| format!("{}s", time.as_secs()))
    }
}

/// `store.keep_log`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepLog {
    /// All of it.
    #[default]
    Forever,
    /// What is behind the older of the two checkpoints in `base/`.
    Checkpoint,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            block_cache_mib: 256,
            parsed_cache_mib: 32,
            sort_cache_mib: 128,
            ingest_memory_mib: 256,
            checkpoint_records: 200_000,
            keep_log: KeepLog::Forever,
            keep_log_hours: 24,
            transfer_mib_per_second: 64,
            scrub_hours: 168,
            scrub_mib_per_second: 8,
            compare_minutes: 60,
        }
    }
}

/// `[backup]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Backup {
    pub repository: String,
    pub key_file: String,
    pub endpoint: String,
    pub region: String,
    pub credentials_file: String,
    pub feeder: Feeder,
    pub interval_ms: u64,
    pub alarm_lag_seconds: u64,
    pub ack_after_archive: bool,
    pub ack_seconds: u64,
    pub base_every_hours: u64,
    pub verify_every_hours: u64,
    pub verify_level: Level,
    pub keep_for_days: u64,
    pub keep_bases: usize,
    pub expire_every_hours: u64,
}

impl Backup {
    /// What is to stay when the repository is expired and nothing else is said.
    pub fn keep(&self) -> Keep {
        let days = Some(self.keep_for_days).filter(|days| *days > 0);
        Keep {
            window: days.map(|days| Duration::from_secs(days.saturating_mul(86_400))),
            bases: Some(self.keep_bases).filter(|bases| *bases > 0),
        }
    }
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            repository: String::new(),
            key_file: String::new(),
            endpoint: String::new(),
            region: String::new(),
            credentials_file: String::new(),
            feeder: Feeder::Follower,
            interval_ms: 1000,
            alarm_lag_seconds: 60,
            ack_after_archive: false,
            ack_seconds: 10,
            base_every_hours: 168,
            verify_every_hours: 168,
            verify_level: Level::Chain,
            keep_for_days: 0,
            keep_bases: 0,
            expire_every_hours: 24,
        }
    }
}

/// `[extract]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Extract {
    pub workers: usize,
    pub seconds: u64,
    pub memory_mib: u64,
    pub document_mib: u64,
    pub keep_mib: u64,
}

impl Default for Extract {
    fn default() -> Self {
        Self { workers: 1, seconds: 20, memory_mib: 512, document_mib: 64, keep_mib: 4096 }
    }
}

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Audit {
    /// How often whoever leads signs a head and sends it.
    pub heads_every: KeepHistory,
    pub heads_file: String,
    pub heads_webhook: String,
    pub heads_timestamp: String,
    pub heads_mail_relay: String,
    pub heads_mail_from: String,
    pub heads_mail_to: String,
    /// How often logins are put into the log; 0 is never.
    pub logins_every_seconds: u64,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            heads_every: KeepHistory(Some(Duration::from_secs(3600))),
            heads_file: String::new(),
            heads_webhook: String::new(),
            heads_timestamp: String::new(),
            heads_mail_relay: "smtp://127.0.0.1:25".into(),
            heads_mail_from: String::new(),
            heads_mail_to: String::new(),
            logins_every_seconds: 60,
        }
    }
}

/// `[retention]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retention {
    /// For how many days a hold that is set from now on stays in force once it is released.
    pub hold_delay_days: u64,
}

impl Default for Retention {
    fn default() -> Self {
        Self { hold_delay_days: 30 }
    }
}

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or directives by module.
    pub level: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".into(), format: LogFormat::Text }
    }
}

/// `log.format`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl Config {
    /// The Unix socket of the verbs.
    pub fn admin_socket(&self) -> PathBuf {
        if self.listen.admin.is_empty() {
            return self.data.join("admin.sock");
        }
        let path = &self.listen.admin;
        PathBuf::from(path.strip_prefix("unix:").unwrap_or(path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_read() {
        let tcp = || ListenAddress::Tcp("[::1]:7143".parse().unwrap());
        assert_eq!("[::1]:7143".parse(), Ok(tcp()));
        assert_eq!("proxy:[::1]:7143".parse(), Ok(ListenAddress::Proxied(Box::new(tcp()))));
        let unix = ListenAddress::Unix("/run/lmtp".into());
        assert_eq!("proxy:unix:/run/lmtp".parse(), Ok(ListenAddress::Proxied(Box::new(unix))));
        for wrong in ["", "7143", "proxy:", "proxy:off", "proxy:proxy:[::1]:1", "imap:[::1]:1"] {
            assert!(wrong.parse::<ListenAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_document_names_every_key_with_its_default() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
        let document = std::fs::read_to_string(path).unwrap();
        let defaults = toml::Table::try_from(Config::default()).unwrap();
        for (key, value) in &defaults {
            let section = value.as_table();
            if section.is_some() {
                assert!(document.contains(&format!("## `[{key}]`")), "[{key}]");
            }
            let single = toml::Table::from_iter([(key.clone(), value.clone())]);
            for (key, value) in section.unwrap_or(&single) {
                let row = document.lines().find(|line| line.starts_with(&format!("| `{key}` ")));
                assert!(
                    row.is_some_and(|row| row.contains(&format!("`{value}`"))),
                    "{key} = {value}"
                );
            }
        }
    }
}
