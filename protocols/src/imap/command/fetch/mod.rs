//! FETCH and UID FETCH (RFC 9051 section 6.4.5), with CHANGEDSINCE and VANISHED (RFC
//! 7162), and PARTIAL (RFC 9394).
//!
//! What a view says is read in pages on the blocking pool; content goes from the blob to the
//! socket piece by piece. No view is held while the client is written to.

mod answer;
mod section;

use std::sync::Arc;

use redoubt_log::id::Uid;
use redoubt_log::record::{FlagChange, Flags};
use redoubt_store::mailstore::{BlobReader, FlagUpdate, StoreError};
use redoubt_store::uids::UidSet;
use redoubt_store::view::{MailboxChanges, View};

use self::answer::{Batch, Page, Piece, Plan};
use crate::imap::encode::vanished;
use crate::imap::reply::{Answer, End, Reply, Trouble};
use crate::imap::session::{Session, blocking};
use crate::imap::types::{Fetch, FetchItem, Numbering, SequenceSet};
use crate::imap::updates::placements;
use crate::stream::StreamError;

/// Messages that are marked `\Seen` with one record, and looked up at one time.
const BATCH: usize = 256;
/// Octets of a blob that are read at one time.
const PIECE: usize = 64 * 1024;

/// What came of the messages, over all pages.
#[derive(Debug, Default)]
struct Tally {
    missing: bool,
    damaged: Option<StoreError>,
}

/// FETCH and UID FETCH.
pub(crate) async fn run(session: &mut Session, fetch: Fetch) -> Answer {
    session.selected()?;
    if fetch.vanished && !session.qresync {
        return Ok(Reply::bad("ENABLE QRESYNC first"));
    }
    if fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq) {
        session.enable_condstore();
    }
    if fetch.numbering == Numbering::Uid {
        session.sync(true).await?;
    }
    let uids = targets(session, &fetch).await?;
    let uids = fetch.partial.map_or(uids.as_slice(), |range| range.of(&uids));
    let marks = fetch.items.iter().any(FetchItem::sets_seen) && !session.selected()?.read_only;
    let plan = Arc::new(Plan::new(&fetch, session.condstore));
    let mut tally = Tally::default();
    for batch in uids.chunks(BATCH) {
        let seen = if marks { mark_seen(session, batch).await? } else { UidSet::default() };
        answer(session, &plan, batch, seen, &mut tally).await?;
    }
    if plan.tells_modseq() {
        // A client takes the highest for what it knows: all that is older must be told too.
        session.mark_dirty();
    }
    Ok(match tally {
        Tally { damaged: Some(error), .. } => error.into(),
        Tally { missing: true, .. } if fetch.numbering == Numbering::Sequence => {
            Reply::expunge_issued()
        }
        _ => Reply::ok("FETCH done"),
    })
}

// ---------------------------------------------------------------------- which

async fn targets(session: &mut Session, fetch: &Fetch) -> Result<Vec<Uid>, Trouble> {
    let selected = session.selected()?;
    let mailbox = selected.mailbox;
    let ranges = selected
        .targets(&fetch.set, fetch.numbering)
        .map_err(|_| Reply::bad("There is no message of this number"))?;
    let uids = selected.each(&ranges);
    let Some(since) = fetch.changed_since else { return Ok(uids) };
    let job = move |view: &View| view.changed_since(mailbox.account, mailbox.mailbox, since);
    let changes = session.read_selected(job).await?;
    if fetch.vanished {
        tell_vanished(session, &fetch.set.numbers, &changes)?;
    }
    let changed = changes.changed.into_iter().map(|(uid, _)| uid);
    Ok(changed.filter(|uid| uids.binary_search(uid).is_ok()).collect())
}

/// VANISHED (EARLIER) (RFC 7162 section 3.2.6).
fn tell_vanished(
    session: &mut Session,
    set: &SequenceSet,
    changes: &MailboxChanges,
) -> Result<(), Reply> {
    let selected = session.selected()?;
    let highest = selected.uids().last().map_or(0, Uid::get);
    if changes.complete {
        let gone = changes.vanished.iter().copied().filter(|uid| set.contains(uid.get(), highest));
        vanished(session.conn.output(), gone, true);
        return Ok(());
    }
    let absent = selected.absent(&set.resolve(highest), highest);
    if !absent.is_empty() {
        session.untagged(&format!("VANISHED (EARLIER) {absent}"));
    }
    Ok(())
}

// ----------------------------------------------------------------------- seen

/// Marks those of a batch that are not, in one record. That it cannot be written keeps nobody
/// from reading.
async fn mark_seen(session: &mut Session, batch: &[Uid]) -> Result<UidSet, Trouble> {
    let selected = session.selected()?;
    let (mailbox, reader) = (selected.mailbox, selected.reader);
    let batch = batch.to_vec();
    let job = move |view: &View| placements(view, mailbox, reader, &batch);
    let mut unseen = session.read(job).await?;
    unseen.retain(|placement| !placement.flags.contains(Flags::SEEN));
    let unseen: Vec<Uid> = unseen.into_iter().map(|placement| placement.uid).collect();
    if unseen.is_empty() {
        return Ok(UidSet::default());
    }
    let update = FlagUpdate {
        how: FlagChange::Add,
        flags: Flags::SEEN,
        keywords: Vec::new(),
        unchanged_since: None,
    };
    let actor = &session.user()?.actor;
    match session.imap.store.set_flags(actor, mailbox, reader, unseen, update).await {
        Ok(changed) => {
            Ok(changed.into_iter().filter(|(_, to)| to.is_ok()).map(|(u, _)| u).collect())
        }
        Err(error) => {
            tracing::debug!(%error, "\\Seen was not set");
            Ok(UidSet::default())
        }
    }
}

// --------------------------------------------------------------------- answer

async fn answer(
    session: &mut Session,
    plan: &Arc<Plan>,
    uids: &[Uid],
    seen: UidSet,
    tally: &mut Tally,
) -> Result<(), Trouble> {
    let seen = Arc::new(seen);
    let mut rest = uids;
    while !rest.is_empty() {
        let selected = session.selected()?;
        let batch = Batch {
            store: session.imap.store.clone(),
            plan: plan.clone(),
            mailbox: selected.mailbox,
            reader: selected.reader,
            uids: rest.to_vec(),
            snapshot: selected.uids().clone(),
            recent: selected.recent().clone(),
            seen: seen.clone(),
        };
        let page: Page = session.read_selected(move |view| batch.page(view)).await?;
        rest = rest.get(page.done.max(1)..).unwrap_or_default();
        tally.missing |= page.missing;
        if let Some(error) = page.damaged {
            tally.damaged = Some(error);
        }
        send(session, page.pieces).await?;
        for (uid, modseq) in page.seen {
            if let Some(selected) = &mut session.selected {
                selected.told(uid, modseq);
            }
        }
    }
    Ok(())
}

async fn send(session: &mut Session, pieces: Vec<Piece>) -> Result<(), End> {
    for piece in pieces {
        match piece {
            Piece::Octets(octets) => session.conn.write(&octets).await?,
            Piece::Blob { reader, start, len } => stream(session, reader, start, len).await?,
        }
    }
    Ok(())
}

/// Its length is announced already: if the blob cannot be read to its end there is only the end
/// of the connection, and nothing can be said that would not be taken for content.
async fn stream(
    session: &mut Session,
    reader: Arc<BlobReader>,
    start: u64,
    len: u64,
) -> Result<(), End> {
    let mut at = start;
    let end = start.saturating_add(len);
    while at < end {
        session.check_login().await.map_err(|_| cut())?;
        let limit = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
        let reader = reader.clone();
        let octets = match blocking(move || reader.read(at, limit)).await {
            Ok(octets) if !octets.is_empty() => octets,
            Ok(_) => return Err(broken("it is shorter than it was")),
            Err(Trouble::Reply(reply)) => return Err(broken(&reply.text)),
            Err(Trouble::End(end)) => return Err(end),
        };
        at = at.saturating_add(octets.len() as u64);
        session.conn.write(&octets).await?;
    }
    Ok(())
}

/// In the middle of a message no BYE is understood.
fn cut() -> End {
    End::Gone(StreamError::Io(std::io::Error::other("the login has ended")))
}

fn broken(why: &str) -> End {
    tracing::error!(why, "a message ended in the middle of FETCH");
    End::Gone(StreamError::Io(std::io::Error::other(why.to_owned())))
}
