//! SUBSCRIBE and UNSUBSCRIBE (RFC 9051 sections 6.3.7 and 6.3.8).

use redoubt_log::id::OperationId;
use redoubt_log::record::{Change, Subscribe};

use crate::imap::history;
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::{Session, stored_name};
use crate::imap::types::MailboxName;

/// Subscribes to a name, or not any more. The name may be that of no mailbox.
pub(crate) async fn run(session: &mut Session, mailbox: MailboxName, subscribed: bool) -> Answer {
    let user = session.user()?;
    history::refuse(&mailbox)?;
    let name = stored_name(&mailbox)?;
    let change = Subscribe { account: user.account, name, subscribed };
    let operation = OperationId::random();
    let outcome =
        session.imap.store.submit(&user.actor, operation, Change::Subscribe(change)).await?;
    outcome.result?;
    Ok(Reply::ok(if subscribed { "SUBSCRIBE done" } else { "UNSUBSCRIBE done" }))
}
