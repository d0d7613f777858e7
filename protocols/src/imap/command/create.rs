//! CREATE (RFC 9051 section 6.3.4), with a use (RFC 6154 section 3).

use redoubt_log::record::SpecialUse;

use crate::imap::history;
use crate::imap::reply::{Answer, Reply};
use crate::imap::session::Session;
use crate::imap::types::{CreateUse, MailboxName};

/// Makes a mailbox and those above it.
pub(crate) async fn run(session: &mut Session, mailbox: MailboxName, uses: &[CreateUse]) -> Answer {
    let user = session.user()?;
    history::refuse(&mailbox)?;
    let special_use = single_use(uses)?;
    let store = &session.imap.store;
    let made = store.make_mailbox(&user.actor, user.account, mailbox.as_str(), special_use).await?;
    let code = format!("MAILBOXID ({})", made.object_id());
    Ok(Reply::ok("CREATE done").code(code))
}

fn single_use(uses: &[CreateUse]) -> Result<Option<SpecialUse>, Reply> {
    match uses {
        [] => Ok(None),
        [CreateUse::Known(special_use)] => Ok(Some(*special_use)),
        _ => Err(Reply::no("USEATTR", "A mailbox has one use: Archive, Drafts, Junk, Sent, Trash")),
    }
}
