//! COPY and MOVE (RFC 9051 sections 6.4.7 and 6.4.8), with COPYUID (RFC 4315).

use redoubt_log::id::{AccountId, Uid};
use redoubt_log::record::{Arrival, Rejection};
use redoubt_store::mailstore::WriteError;
use redoubt_store::view::Mailbox;

use super::copy_past;
use crate::imap::encode::code;
use crate::imap::history;
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::session::{Session, stored_name};
use crate::imap::types::{Copy, MailboxName, Numbering};

/// COPY and UID COPY.
pub(crate) async fn run(session: &mut Session, copy: Copy) -> Answer {
    session.selected()?;
    let uids = match targets(session, &copy) {
        Ok(uids) if uids.is_empty() => return Ok(Reply::ok("No such messages")),
        uids => uids?,
    };
    let to = destination(session, &copy.mailbox).await?;
    if session.selected()?.past.is_some() {
        return copy_past::run(session, uids, to).await;
    }
    let (from, actor) = (session.selected()?.mailbox, &session.user()?.actor);
    let pairs = session.imap.store.copy(actor, from, to.id, uids).await.map_err(explain)?;
    let reply = Reply::ok("COPY done");
    Ok(match copy_uid(&pairs) {
        Some(code) => reply.code(code),
        None => gone(copy.numbering),
    })
}

/// MOVE and UID MOVE. COPYUID comes before the expunges (RFC 6851 section 4.3).
pub(crate) async fn run_move(session: &mut Session, copy: Copy) -> Answer {
    session.writable()?;
    let uids = match targets(session, &copy) {
        Ok(uids) if uids.is_empty() => return Ok(Reply::ok("No such messages")),
        uids => uids?,
    };
    let to = destination(session, &copy.mailbox).await?;
    let (from, actor) = (session.selected()?.mailbox, &session.user()?.actor);
    let pairs = session.imap.store.move_to(actor, from, to.id, uids).await.map_err(explain)?;
    let Some(code) = copy_uid(&pairs) else { return Ok(gone(copy.numbering)) };
    session.untagged(&format!("OK [{code}] Moved"));
    session.mark_dirty();
    Ok(Reply::ok("MOVE done").with_highest_modseq())
}

fn targets(session: &Session, copy: &Copy) -> Result<Vec<Uid>, Reply> {
    let selected = session.selected()?;
    let ranges = selected
        .targets(&copy.set, copy.numbering)
        .map_err(|_| Reply::bad("There is no message of this number"))?;
    Ok(selected.each(&ranges))
}

async fn destination(session: &Session, mailbox: &MailboxName) -> Result<Mailbox, Trouble> {
    let account: AccountId = session.user()?.account;
    history::refuse(mailbox)?;
    let name = stored_name(mailbox)?;
    let found = session.read(move |view| view.mailbox_named(account, &name)).await?;
    Ok(found.filter(|mailbox| mailbox.selectable).ok_or_else(Reply::try_create)?)
}

/// The destination went while the command ran.
pub(super) fn explain(error: WriteError) -> Reply {
    match error {
        WriteError::Rejected(Rejection::NoSuchMailbox | Rejection::NoSelect) => Reply::try_create(),
        error => error.into(),
    }
}

/// `COPYUID validity sources destinations`, in step.
fn copy_uid(pairs: &[(Uid, Arrival)]) -> Option<String> {
    let (_, first) = pairs.first()?;
    let pairs: Vec<(Uid, Uid)> = pairs.iter().map(|(uid, arrival)| (*uid, arrival.uid)).collect();
    Some(code::copy_uid(first.uid_validity, &pairs))
}

/// Nothing of it was there any more (RFC 2180 section 4.4).
fn gone(numbering: Numbering) -> Reply {
    match numbering {
        Numbering::Sequence => Reply::expunge_issued(),
        Numbering::Uid => Reply::ok("No such messages"),
    }
}
