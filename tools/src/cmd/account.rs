//! `redoubt account add|list|show|set|passwd|rename|lock|unlock|close|delete`

use std::io::{BufRead, IsTerminal};

use clap::{Args, Subcommand};
use hyper::Method;
use redoubt_log::id::AccountId;
use redoubt_log::record::AccountState;
use redoubt_store::classes::Effective;
use redoubt_store::view;
use serde::Serialize;
use serde_json::json;

use super::Common;
use super::class::LimitArgs;
use crate::admin::client::{Client, encode};
use crate::admin::wire::{AccountClassPatch, AccountLine, AccountPatch, NewAccount};
use crate::exit::{Exit, Failure};
use crate::output;

/// What to do with accounts. ACCOUNT is an address or an id.
#[derive(Debug, Subcommand)]
pub enum Account {
    /// Make an account with its six mailboxes
    Add {
        /// Its address.
        address: String,
        /// Succeed when it is there already.
        #[arg(long)]
        if_missing: bool,
        /// Read its password from standard input, one line.
        #[arg(long)]
        password_stdin: bool,
        /// A name for listings.
        #[arg(long, default_value = "")]
        name: String,
        /// Bytes, with K, M, G or T; its class's or its domain's without it.
        #[arg(long)]
        quota: Option<String>,
        /// Its class of service; its domain's without it.
        #[arg(long)]
        class: Option<String>,
        /// An archive: captured mail goes in, retention alone takes it out; for ever.
        #[arg(long)]
        archive: bool,
    },
    /// List all accounts
    List,
    /// Show an account, with what holds for it and who says so
    Show(One),
    /// Change settings; what is not named stays
    Set {
        /// Which account.
        #[command(flatten)]
        one: One,
        /// A name for listings.
        #[arg(long)]
        name: Option<String>,
        /// Bytes, with K, M, G or T; `none` for its class's or its domain's.
        #[arg(long)]
        quota: Option<String>,
        /// Its class of service, or `none` for its domain's.
        #[arg(long)]
        class: Option<String>,
        /// What it says above its class.
        #[command(flatten)]
        limits: LimitArgs,
        /// Receives, and nobody logs in.
        #[arg(long)]
        receive_only: bool,
    },
    /// Set its password
    Passwd {
        /// Which account.
        #[command(flatten)]
        one: One,
        /// Read it from standard input, one line.
        #[arg(long)]
        password_stdin: bool,
    },
    /// Give it another address; it keeps its id and its mail
    Rename {
        /// Which account.
        #[command(flatten)]
        one: One,
        /// The address from now on.
        to: String,
    },
    /// Let nobody log in; it still receives
    Lock(One),
    /// Let it log in again
    Unlock(One),
    /// Neither log in nor receive; the mail stays
    Close(One),
    /// Delete it with its mail; `redoubt restore account` brings it back
    Delete(One),
}

/// One account.
#[derive(Debug, Args)]
pub struct One {
    /// Its address or id.
    account: String,
}

/// # Errors
/// Those of the server, and wrong usage.
pub async fn run(common: &Common, verb: Account) -> anyhow::Result<Exit> {
    let client = common.client()?;
    match verb {
        Account::Add {
            address,
            if_missing,
            password_stdin,
            name,
            quota: bytes,
            class,
            archive,
        } => {
            let quota = bytes.as_deref().map(quota).transpose()?.flatten();
            let password = password(password_stdin, true)?;
            let body = NewAccount { address, display_name: name, quota, password, archive };
            let one = One { account: body.address.clone() };
            let made = add(common, &client, body, if_missing).await?;
            if made && class.is_some() {
                classify(&client, &one, class, LimitArgs::default()).await?;
            }
        }
        Account::List => list(common, &client).await?,
        Account::Show(one) => show(common, &client, &one).await?,
        Account::Set { one, name, quota: bytes, class, limits, receive_only } => {
            let patch = AccountPatch {
                display_name: name,
                quota: bytes.as_deref().map(quota).transpose()?,
                state: receive_only.then_some(AccountState::ReceiveOnly),
                ..AccountPatch::default()
            };
            send(&client, &one, &patch).await?;
            classify(&client, &one, class, limits).await?;
        }
        Account::Passwd { one, password_stdin } => {
            let password = password(password_stdin, false)?;
            send(&client, &one, &AccountPatch { password, ..AccountPatch::default() }).await?;
        }
        Account::Rename { one, to } => {
            send(&client, &one, &AccountPatch { address: Some(to), ..AccountPatch::default() })
                .await?;
        }
        Account::Lock(one) => state(&client, &one, AccountState::Locked).await?,
        Account::Unlock(one) => state(&client, &one, AccountState::Active).await?,
        Account::Close(one) => {
            output::confirm(
                &format!("account {} is closed; its mail stays", one.account),
                common.yes,
            )?;
            state(&client, &one, AccountState::Closed).await?;
        }
        Account::Delete(one) => delete(common, &client, &one).await?,
    }
    Ok(Exit::Done)
}

async fn delete(common: &Common, client: &Client, one: &One) -> anyhow::Result<()> {
    let account = find(client, &one.account).await?;
    let (address, id, emails) = (account.address, account.id, account.emails);
    let plan = format!("account {address} (id {id}) is deleted with its {emails} emails");
    output::confirm(&plan, common.yes)?;
    let path = format!("{}/delete", path(&one.account));
    client.send::<_, ()>(Method::POST, &path, &()).await
}

/// An account with what holds for it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    account: view::Account,
    effective: Effective,
}

async fn show(common: &Common, client: &Client, one: &One) -> anyhow::Result<()> {
    let account = find(client, &one.account).await?;
    let effective = client.get(&format!("{}/effective", path(&one.account))).await?;
    output::object(common.json, &Shown { account, effective })
}

async fn classify(
    client: &Client,
    one: &One,
    class: Option<String>,
    limits: LimitArgs,
) -> anyhow::Result<()> {
    let limits = limits.patch()?;
    if class.is_none() && limits.is_empty() {
        return Ok(());
    }
    let patch = AccountClassPatch { class, limits };
    let path = format!("{}/class", path(&one.account));
    client.send::<_, ()>(Method::PUT, &path, &patch).await
}

/// The account with this address or id.
///
/// # Errors
/// When there is none.
pub async fn find(client: &Client, account: &str) -> anyhow::Result<view::Account> {
    client.get(&path(account)).await
}

fn path(account: &str) -> String {
    format!("/v1/accounts/{}", encode(account))
}

async fn add(
    common: &Common,
    client: &Client,
    body: NewAccount,
    if_missing: bool,
) -> anyhow::Result<bool> {
    if if_missing && find(client, &body.address).await.is_ok() {
        return Ok(false);
    }
    let id: AccountId = client.send(Method::POST, "/v1/accounts", &body).await?;
    if common.json {
        output::json_lines([json!({ "id": id, "address": body.address })])?;
    } else {
        println!("account {} has id {id}", body.address);
    }
    Ok(true)
}

async fn list(common: &Common, client: &Client) -> anyhow::Result<()> {
    let mut accounts: Vec<AccountLine> = Vec::new();
    loop {
        let after = accounts.last().map(|last| format!("?after={}", last.id)).unwrap_or_default();
        let page: Vec<AccountLine> = client.get(&format!("/v1/accounts{after}")).await?;
        if page.is_empty() {
            break;
        }
        accounts.extend(page);
    }
    if common.json {
        return output::json_lines(accounts);
    }
    let rows: Vec<_> = accounts.into_iter().map(row).collect();
    output::table(["id", "address", "state", "emails", "used", "quota"], &rows)
}

fn row(account: AccountLine) -> [String; 6] {
    [
        account.id.to_string(),
        account.address,
        format!("{:?}", account.state).to_lowercase(),
        account.emails.to_string(),
        output::bytes(account.used_bytes),
        account.quota.map_or_else(|| "-".into(), output::bytes),
    ]
}

async fn state(client: &Client, one: &One, state: AccountState) -> anyhow::Result<()> {
    send(client, one, &AccountPatch { state: Some(state), ..AccountPatch::default() }).await
}

async fn send(client: &Client, one: &One, patch: &AccountPatch) -> anyhow::Result<()> {
    client.send(Method::PATCH, &path(&one.account), patch).await
}

/// From standard input, or asked for on a terminal; `None` where that is allowed.
pub(super) fn password(stdin: bool, optional: bool) -> anyhow::Result<Option<String>> {
    if stdin {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        let password = line.trim_end_matches(['\r', '\n']);
        if password.is_empty() {
            return Err(Failure::usage("standard input holds no password").into());
        }
        return Ok(Some(password.into()));
    }
    if std::io::stdin().is_terminal() {
        let password = rpassword::prompt_password("Password: ")?;
        return Ok(Some(password).filter(|password| !password.is_empty()));
    }
    if optional {
        return Ok(None);
    }
    Err(Failure::usage("give the password with --password-stdin").into())
}

/// Bytes with K, M, G or T (powers of 1,024), or `none`.
///
/// # Errors
/// When the text is neither.
pub fn quota(text: &str) -> anyhow::Result<Option<u64>> {
    if text == "none" {
        return Ok(None);
    }
    let wrong = || Failure::usage(format!("{text:?} is not a number of bytes such as 500M or 2G"));
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default().to_ascii_uppercase();
    let shift = match unit.trim_end_matches('B').trim_end_matches('I') {
        "" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong().into()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    Ok(Some(number.checked_mul(1 << shift).ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quotas_read() {
        assert_eq!(quota("1024").unwrap(), Some(1024));
        assert_eq!(quota("2G").unwrap(), Some(2 << 30));
        assert_eq!(quota("5MiB").unwrap(), Some(5 << 20));
        assert_eq!(quota("none").unwrap(), None);
        for wrong in ["", "G", "5X", "-1", "99999999999T"] {
            assert!(quota(wrong).is_err(), "{wrong}");
        }
    }
}
