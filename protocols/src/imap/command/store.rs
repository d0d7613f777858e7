//! STORE and UID STORE (RFC 9051 section 6.4.6), with UNCHANGEDSINCE (RFC 7162 section 3.1.3).

use redoubt_log::id::{ModSeq, Uid};
use redoubt_log::record::{MAX_CHANGES, Rejection};
use redoubt_store::mailstore::{FlagUpdate, Flagged, MailboxRef, StoreError};
use redoubt_store::view::{Placement, View};

use crate::imap::encode::code;
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::session::Session;
use crate::imap::types::{Numbering, Store};
use crate::imap::updates::placements;

/// What came of the messages, over all pieces.
#[derive(Debug, Default)]
struct Tally {
    /// Those that UNCHANGEDSINCE kept.
    modified: Vec<Uid>,
    gone: bool,
    refused: Option<Rejection>,
}

/// Changes flags, in pieces of one record each.
pub(crate) async fn run(session: &mut Session, store: Store) -> Answer {
    let selected = session.writable()?;
    let ranges = selected
        .targets(&store.set, store.numbering)
        .map_err(|_| Reply::bad("There is no message of this number"))?;
    let uids = selected.each(&ranges);
    if store.unchanged_since.is_some() {
        session.enable_condstore();
    }
    let update = FlagUpdate {
        how: store.how,
        flags: store.flags.flags,
        keywords: store.flags.keywords.clone(),
        unchanged_since: store.unchanged_since,
    };
    let mut tally = Tally::default();
    for piece in uids.chunks(MAX_CHANGES) {
        change(session, &store, &update, piece.to_vec(), &mut tally).await?;
    }
    Ok(reply(session, &store, tally))
}

async fn change(
    session: &mut Session,
    store: &Store,
    update: &FlagUpdate,
    uids: Vec<Uid>,
    tally: &mut Tally,
) -> Result<(), Trouble> {
    let selected = session.selected()?;
    let (mailbox, reader) = (selected.mailbox, selected.reader);
    let actor = &session.user()?.actor;
    let changed =
        session.imap.store.set_flags(actor, mailbox, reader, uids, update.clone()).await?;
    let mut done = Vec::with_capacity(changed.len());
    for (uid, result) in changed {
        match result {
            Ok(flagged) => done.push((uid, flagged)),
            Err(Rejection::Modified(_)) => tally.modified.push(uid),
            Err(Rejection::Gone) => tally.gone = true,
            Err(rejection) => tally.refused = Some(rejection),
        }
    }
    tell(session, store, done).await
}

/// The new flags, or with `.SILENT` only the MODSEQs that a client of CONDSTORE wants.
async fn tell(
    session: &mut Session,
    store: &Store,
    done: Vec<(Uid, Flagged)>,
) -> Result<(), Trouble> {
    match store.silent {
        true => tell_silently(session, done).await?,
        false => tell_flags(session, store, &done).await?,
    }
    Ok(session.conn.relieve().await?)
}

/// The client goes on from the flags that it knows. If another session changed them in between,
/// they are told with what else happened (RFC 9051 section 6.4.6).
async fn tell_silently(session: &mut Session, done: Vec<(Uid, Flagged)>) -> Result<(), Trouble> {
    let mailbox = session.selected()?.mailbox;
    let job = move |view: &View| done.into_iter().map(|done| before(view, mailbox, done)).collect();
    let done: Vec<(Uid, ModSeq, Option<ModSeq>)> = session.read_here(job).await?;
    for (uid, modseq, before) in done {
        let Some(selected) = &mut session.selected else { return Ok(()) };
        if before.is_some_and(|before| selected.knows(uid, before)) {
            selected.told(uid, modseq);
        }
        if session.condstore {
            session.tell_modseq(uid, modseq);
        }
    }
    Ok(())
}

fn before(
    view: &View,
    mailbox: MailboxRef,
    (uid, flagged): (Uid, Flagged),
) -> Result<(Uid, ModSeq, Option<ModSeq>), StoreError> {
    let MailboxRef { account, mailbox } = mailbox;
    let before = view.modseq_before(account, mailbox, uid, flagged.index)?;
    Ok((uid, flagged.modseq, before))
}

async fn tell_flags(
    session: &mut Session,
    store: &Store,
    done: &[(Uid, Flagged)],
) -> Result<(), Trouble> {
    let selected = session.selected()?;
    let (mailbox, reader) = (selected.mailbox, selected.reader);
    let mut uids: Vec<Uid> = done.iter().map(|(uid, _)| *uid).collect();
    uids.sort_unstable();
    let job = move |view: &View| {
        let keywords = view.mailbox(mailbox.account, mailbox.mailbox)?.map(|m| m.keywords);
        Ok((keywords, placements(view, mailbox, reader, &uids)?))
    };
    let (keywords, changed): (_, Vec<Placement>) = session.read_here(job).await?;
    if let (Some(selected), Some(keywords)) = (&mut session.selected, keywords)
        && selected.keywords != keywords
    {
        selected.keywords = keywords;
        session.tell_keywords();
    }
    for placement in &changed {
        session.tell_placement(placement, store.numbering == Numbering::Uid);
        if let Some(selected) = &mut session.selected {
            selected.told(placement.uid, placement.modseq);
        }
        session.conn.relieve().await?;
    }
    Ok(())
}

fn reply(session: &Session, store: &Store, tally: Tally) -> Reply {
    let by_number = store.numbering == Numbering::Sequence;
    if let Some(rejection) = tally.refused {
        return rejection.into();
    }
    let missing = tally.gone && by_number;
    if tally.modified.is_empty() {
        return if missing { Reply::expunge_issued() } else { Reply::ok("STORE done") };
    }
    let mut modified = tally.modified;
    modified.sort_unstable();
    let number = |uid: &Uid| match (&session.selected, by_number) {
        (Some(selected), true) => selected.number(*uid),
        _ => Some(uid.get()),
    };
    let numbers: Vec<u32> = modified.iter().filter_map(number).collect();
    let code = code::modified(&numbers);
    match missing {
        true => Reply::no(code, "Some messages were changed, others are gone"),
        false => Reply::ok("Some messages were changed by others").code(code),
    }
}
