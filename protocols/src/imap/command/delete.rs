//! DELETE (RFC 9051 section 6.3.5).

use redoubt_store::mailstore::WriteError;

use crate::imap::history;
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::{Session, stored_name};
use crate::imap::types::MailboxName;

/// Deletes a mailbox. If this session has it selected, it has none selected from then on.
pub(crate) async fn run(session: &mut Session, mailbox: MailboxName) -> Answer {
    let user = session.user()?;
    history::refuse(&mailbox)?;
    let (name, account) = (stored_name(&mailbox)?, user.account);
    if mailbox.is_inbox() {
        return Ok(Reply::no("CANNOT", "INBOX cannot be deleted"));
    }
    let store = &session.imap.store;
    let wanted = name.clone();
    let found = session.read(move |view| view.mailbox_named(account, &wanted)).await?;
    store.delete_mailbox(&user.actor, account, &name).await.map_err(explain)?;
    let gone = found.map(|mailbox| mailbox.id);
    let selected = session.selected.as_ref().filter(|selected| selected.past.is_none());
    if selected.map(|selected| selected.mailbox.mailbox) == gone {
        session.selected = None;
    }
    Ok(Reply::ok("DELETE done"))
}

fn explain(error: WriteError) -> Reply {
    use redoubt_log::record::Rejection;
    match error {
        WriteError::Rejected(Rejection::NoSelect) => {
            Reply::no("HASCHILDREN", "Only the mailboxes below it are left: delete these")
        }
        error => error.into(),
    }
}
