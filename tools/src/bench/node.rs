//! Redoubt itself: a data directory with accounts, and `redoubt serve` over it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::{
    AccountAdd, AccountSettings, AccountState, Actor, Address, CaptureDirection, CaptureRule,
    CaptureScope, CaptureSet, Change, DomainAdd, DomainSettings,
};
use redoubt_store::mailstore::Mailstore;

use super::server::Server;
use super::{ACCOUNTS, DOMAIN, PASSWORD, user, verb};
use crate::config::Config;

/// A configuration that differs from the defaults in where its data is.
pub(super) fn config(data: &Path) -> Config {
    Config { data: data.to_owned(), ..Config::default() }
}

/// Makes a store with the accounts that the load goes to.
pub(super) async fn prepare(data: &Path) -> anyhow::Result<()> {
    crate::server::make_data_directory(data)?;
    let mailstore = Mailstore::open(crate::server::options(&config(data))).await?;
    let made = accounts(&mailstore).await;
    mailstore.shutdown().await;
    made
}

async fn accounts(mailstore: &Mailstore) -> anyhow::Result<()> {
    let domain = DomainAdd { domain: DOMAIN.into(), settings: DomainSettings::default() };
    submit(mailstore, Change::DomainAdd(domain)).await?;
    let password = mailstore.hash_password(PASSWORD.as_bytes()).await?;
    for number in 0..ACCOUNTS {
        let add = AccountAdd {
            address: Address { local: format!("u{number}"), domain: DOMAIN.into() },
            settings: AccountSettings::default(),
            password: Some(password.clone()),
        };
        submit(mailstore, Change::AccountAdd(add)).await?;
    }
    Ok(())
}

/// Makes an archive account, and a rule that captures all that is delivered into it.
pub(super) async fn capture_all(data: &Path) -> anyhow::Result<()> {
    let mailstore = Mailstore::open(crate::server::options(&config(data))).await?;
    let made = archive(&mailstore).await;
    mailstore.shutdown().await;
    made
}

async fn archive(mailstore: &Mailstore) -> anyhow::Result<()> {
    let add = AccountAdd {
        address: Address { local: "archive".into(), domain: DOMAIN.into() },
        settings: AccountSettings { state: AccountState::Archive, ..AccountSettings::default() },
        password: None,
    };
    submit(mailstore, Change::AccountAdd(add)).await?;
    let view = mailstore.view().await?;
    let look = move || view.login(&format!("archive@{DOMAIN}"), DOMAIN);
    let found = tokio::task::spawn_blocking(look).await??;
    let archive = found.context("the archive account is not there")?.id;
    let (scope, direction) = (CaptureScope::All, CaptureDirection::Both);
    let rule = CaptureRule { scope, direction, archive };
    submit(mailstore, Change::CaptureSet(CaptureSet { rule })).await
}

async fn submit(mailstore: &Mailstore, change: Change) -> anyhow::Result<()> {
    let outcome = mailstore.submit(&Actor::SYSTEM, OperationId::random(), change).await?;
    outcome.result.map(drop).map_err(Into::into)
}

/// The first account.
pub(super) async fn account(mailstore: &Mailstore) -> anyhow::Result<AccountId> {
    let view = mailstore.view().await?;
    let found = tokio::task::spawn_blocking(move || view.login(&user(0), DOMAIN)).await??;
    Ok(found.context("the first account is not there")?.id)
}

/// Starts `redoubt serve`, alone.
pub(super) fn start(data: &Path) -> anyhow::Result<Server> {
    start_with(data, &[("REDOUBT_LISTEN_PEER", "off")], &[])
}

/// Starts `redoubt serve` with variables and arguments of its own.
pub(super) fn start_with(
    data: &Path,
    environment: &[(&str, &str)],
    arguments: &[&str],
) -> anyhow::Result<Server> {
    let log =
        std::fs::OpenOptions::new().create(true).append(true).open(data.with_extension("log"))?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--data").arg(data).args(["--json", "serve"]).args(arguments);
    for key in ["LMTP", "IMAP"] {
        command.env(format!("REDOUBT_LISTEN_{key}"), "127.0.0.1:0");
    }
    for key in ["IMAPS", "SOCKETMAP", "ADMIN_HTTPS"] {
        command.env(format!("REDOUBT_LISTEN_{key}"), "off");
    }
    if std::env::var_os("REDOUBT_LOG_LEVEL").is_none() {
        command.env("REDOUBT_LOG_LEVEL", "warn");
    }
    command.env("REDOUBT_HOSTNAME", "mail.example.org");
    command.envs(environment.iter().copied());
    let mut child = command.stdout(Stdio::piped()).stderr(log).spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line)?;
    }
    let Ok(ready) = serde_json::from_str::<serde_json::Value>(&line) else {
        let status = child.wait()?;
        bail!("redoubt ended with {status}, see {}", data.with_extension("log").display());
    };
    let address = |key: &str| -> anyhow::Result<_> {
        let text = ready.pointer(&format!("/listen/{key}/0")).and_then(|text| text.as_str());
        Ok(text.with_context(|| format!("{key} is not served"))?.parse()?)
    };
    let mail: PathBuf = data.join("shards/0/packs");
    let (lmtp, imap) = (address("lmtp")?, address("imap")?);
    Ok(Server { name: "Redoubt", lmtp, imap, mail, child, login: user })
}

/// The index that a node has applied, by its own count.
pub(super) fn applied(data: &Path) -> anyhow::Result<u64> {
    let status = verb::say(data, &["--json", "status"])?.json()?;
    status.pointer("/store/applied").and_then(serde_json::Value::as_u64).context("no index")
}
