//! RCPT (RFC 5321 section 4.1.1.3): one recipient is one account.

use redoubt_log::record::AccountState;
use redoubt_store::mailstore::DeliveryRecipient;
use redoubt_store::view::{Account, Resolved};

use super::super::deliverer::Deliverer;
use super::super::path;
use super::super::reply::{Reply, archive, closed, quota, reply, reply_with, unreadable};
use super::super::session::{Session, Transaction};
use super::super::{LmtpOptions, OverQuota};
use super::mail::{after, check_utf8};

pub(super) async fn run<D: Deliverer>(session: &mut Session<'_, D>, arguments: &str) -> Reply {
    let Some(transaction) = &mut session.transaction else {
        return reply(503, "5.5.1", "MAIL first");
    };
    match recipient(session.deliverer, session.options, transaction, arguments).await {
        Err(answer) => answer,
        Ok((recipient, over_quota)) => {
            let text = format!("<{}> recipient ok", recipient.address);
            transaction.recipients.push(recipient);
            transaction.over_quota.push(over_quota);
            reply_with(250, "2.1.5", text)
        }
    }
}

async fn recipient<D: Deliverer>(
    deliverer: &D,
    options: &LmtpOptions,
    transaction: &Transaction,
    arguments: &str,
) -> Result<(DeliveryRecipient, OverQuota), Reply> {
    let line = path::parse(after(arguments, "TO:")?)?;
    if !line.parameters.is_empty() {
        return Err(reply(555, "5.5.4", "a parameter that is not known here"));
    }
    if line.path.is_empty() {
        return Err(reply(501, "5.1.3", "a recipient has an address"));
    }
    check_utf8(line.path, transaction.utf8)?;
    check_number(options, transaction, line.path)?;
    let found = deliverer.resolve(&path::plain_address(line.path)).await.map_err(|error| {
        tracing::warn!(%error, "cannot look up a recipient");
        unreadable(&error)
    })?;
    let (account, detail) = accept(found.resolved)?;
    if account.settings.state == AccountState::Archive && !found.journals {
        return Err(archive());
    }
    check_account(transaction, &account, found.over_quota)?;
    let address = line.path.to_owned();
    Ok((DeliveryRecipient { address, account: account.id, detail }, found.over_quota))
}

/// RFC 5321 section 4.5.3.1.10: beyond its limit a server answers 452, and the client goes on
/// in another transaction.
fn check_number(options: &LmtpOptions, so_far: &Transaction, next: &str) -> Result<(), Reply> {
    let octets: usize = so_far.recipients.iter().map(|recipient| recipient.address.len()).sum();
    let many = so_far.recipients.len() >= options.max_recipients;
    if many || octets + next.len() > options.max_recipient_octets {
        return Err(reply(452, "4.5.3", "too many recipients, send to the rest separately"));
    }
    Ok(())
}

fn accept(resolved: Resolved) -> Result<(Account, Option<String>), Reply> {
    match resolved {
        Resolved::Account { account, detail } => Ok((*account, detail)),
        Resolved::NoSuchUser => Err(reply(550, "5.1.1", "no such user")),
        Resolved::NoSuchDomain => Err(reply(550, "5.1.2", "this domain is not ours")),
        Resolved::Invalid => Err(reply(553, "5.1.3", "this is no address")),
    }
}

/// The last word is that of the delivery; this spares the client the data.
fn check_account(
    transaction: &Transaction,
    account: &Account,
    over_quota: OverQuota,
) -> Result<(), Reply> {
    match account.settings.state {
        AccountState::Closed => return Err(closed()),
        // No quota keeps anything out of an archive.
        AccountState::Archive => return Ok(()),
        _ => {}
    }
    let after = account.used_bytes.saturating_add(transaction.size.unwrap_or(0).max(1));
    if account.quota.is_some_and(|limit| after > limit) {
        return Err(quota(over_quota));
    }
    Ok(())
}
