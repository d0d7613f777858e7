//! What SORT and THREAD share: messages that were found, and the sheet of their mailbox that has
//! what is compared of them; what it lacks is read in pages. Memory that is a command's own is of
//! what all sessions together have.

use std::sync::Arc;

use redoubt_log::id::{AccountId, ModSeq, Uid};
use redoubt_store::mailstore::{MailboxRef, Mailstore, StoreError};
use redoubt_store::mime::Outline;
use redoubt_store::search::{Facts, Head, SearchKey, SharedSheet, TooMuch};
use redoubt_store::view::{Placement, View};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{relevancy, search};
use crate::imap::reply::{End, Reply, Trouble};
use crate::imap::session::Session;
use crate::imap::types::{Numbering, Search};
use crate::imap::updates::placements;

/// Messages read at one time by what a view says of them.
const PAGE: usize = 2000;
/// Messages read at one time where their headers are asked for.
const PAGE_HEADERS: usize = 256;
/// Octets of memory that are taken together.
const UNIT: usize = 64 * 1024;
/// The units that all sessions share: half a gigabyte.
const UNITS: usize = 8192;
/// What a message that is sorted by one key takes beside the sheet, about.
const MESSAGE: usize = 64;

/// The memory for what all sessions sort and thread at one time.
#[derive(Debug, Clone)]
pub(crate) struct Rooms(Arc<Semaphore>);

impl Default for Rooms {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(UNITS)))
    }
}

/// A share of it. Who has one waits for no more, so that nobody waits for each other.
#[derive(Debug)]
struct Room {
    rooms: Rooms,
    held: OwnedSemaphorePermit,
}

fn units(octets: usize) -> u32 {
    u32::try_from(octets.div_ceil(UNIT).clamp(1, UNITS)).unwrap_or(1)
}

impl Room {
    /// Waits for what so many messages take at the least.
    async fn enter(session: &Session, messages: usize) -> Result<Self, Trouble> {
        let rooms = session.imap.rooms.clone();
        let shutdown = session.conn.shutdown_token();
        let wanted = rooms.0.clone().acquire_many_owned(units(messages * MESSAGE));
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Err(stopping()),
            held = wanted => match held {
                Ok(held) => Ok(Self { rooms, held }),
                Err(_) => Err(stopping()),
            },
        }
    }

    /// Takes more if there is as much.
    fn grow(&mut self, octets: usize) -> Result<(), Reply> {
        let held = u32::try_from(self.held.num_permits()).unwrap_or(u32::MAX);
        let more = units(octets).saturating_sub(held);
        if octets > UNIT * UNITS {
            return Err(too_much(TooMuch));
        }
        match self.rooms.0.clone().try_acquire_many_owned(more) {
            Ok(permit) => self.held.merge(permit),
            Err(_) => return Err(Reply::no("LIMIT", "Too much is being sorted, try again later")),
        }
        Ok(())
    }
}

/// The server is going.
pub(super) fn stopping() -> Trouble {
    End::Bye("The server is shutting down".into()).into()
}

pub(super) fn too_much(error: TooMuch) -> Reply {
    Reply::no("LIMIT", error.to_string())
}

/// What of messages is read beside what a view says of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) headers: bool,
    pub(super) relevancy: bool,
}

/// Messages that were found, in their sequence, and the sheet that has them all.
pub(super) struct Gathered {
    pub(super) uids: Vec<Uid>,
    pub(super) modseqs: Vec<ModSeq>,
    /// For each of them, if they were asked for.
    pub(super) scores: Vec<u8>,
    pub(super) sheet: SharedSheet,
    /// Whether others have the sheet too, whose memory is then not this command's.
    is_kept: bool,
    room: Room,
}

impl Gathered {
    /// Takes memory for what is made of them, so many octets.
    pub(super) fn grow(&mut self, more: usize) -> Result<(), Reply> {
        let own = if self.is_kept { 0 } else { self.sheet.read().memory() };
        self.room.grow(self.uids.len() * MESSAGE + own + more)
    }
}

/// Finds messages, and sees to it that their mailbox's sheet has what is wanted of them.
pub(super) async fn gather(
    session: &Session,
    key: SearchKey,
    wanted: Asked,
) -> Result<Gathered, Trouble> {
    let asked = Search { numbering: Numbering::Uid, returns: None, key };
    let (found, modseqs) = search::find(session, &asked).await?.into_parts();
    let room = Room::enter(session, found.len()).await?;
    let selected = session.selected()?;
    let sheet = session.imap.store.sheet(selected.mailbox, selected.exists() as usize);
    let uids = found.into_iter().filter_map(Uid::new).collect();
    let scores = Vec::new();
    let mut all = Gathered { uids, modseqs, scores, sheet, is_kept: true, room };
    if wanted.relevancy {
        all.scores = relevancy::of(session, &asked.key, &all.uids).await?;
    }
    read_missing(session, &mut all, wanted.headers).await?;
    Ok(all)
}

/// Adds to the sheet what it does not have yet. Messages that are gone meanwhile are left out.
async fn read_missing(session: &Session, all: &mut Gathered, headers: bool) -> Result<(), Trouble> {
    let missing = all.sheet.read().missing(&all.uids, headers);
    if missing.is_empty() {
        return Ok(());
    }
    for page in missing.chunks(if headers { PAGE_HEADERS } else { PAGE }) {
        if session.conn.is_shutting_down() {
            return Err(stopping());
        }
        let selected = session.selected()?;
        let page = Page {
            store: session.imap.store.clone(),
            mailbox: selected.mailbox,
            reader: selected.reader,
            sheet: all.sheet.clone(),
            uids: page.to_vec(),
            headers,
        };
        all.is_kept =
            session.read_selected(move |view| page.read(view)).await?.map_err(too_much)?;
        all.grow(0)?;
    }
    let standing = all.sheet.read().standing(&all.uids, headers);
    keep(&mut all.uids, &standing);
    keep(&mut all.modseqs, &standing);
    keep(&mut all.scores, &standing);
    Ok(())
}

/// Leaves those that stand.
fn keep<T>(all: &mut Vec<T>, standing: &[bool]) {
    let mut stands = standing.iter();
    all.retain(|_| stands.next().copied().unwrap_or_default());
}

/// Messages that are read together.
struct Page {
    store: Mailstore,
    mailbox: MailboxRef,
    reader: AccountId,
    sheet: SharedSheet,
    uids: Vec<Uid>,
    headers: bool,
}

impl Page {
    /// Whether the sheet is kept.
    fn read(&self, view: &View) -> Result<Result<bool, TooMuch>, StoreError> {
        // Another session may have read them since.
        let missing = self.sheet.read().missing(&self.uids, self.headers);
        let placements = placements(view, self.mailbox, self.reader, &missing)?;
        let outlines = match self.headers {
            true => placements.iter().map(|p| self.outline(p)).collect::<Result<Vec<_>, _>>()?,
            false => Vec::new(),
        };
        let mut outlines = outlines.iter();
        let facts = placements.iter().map(|placement| {
            let head = match outlines.next() {
                None => Head::Unasked,
                Some(None) => Head::Unread,
                Some(Some(outline)) => Head::Read(outline),
            };
            let Placement { uid, received, size, .. } = *placement;
            Facts { uid, received, size, head }
        });
        let added = self.sheet.write().add(&facts.collect::<Vec<_>>());
        Ok(added.map(|()| self.store.keeps_sheet(self.mailbox, &self.sheet)))
    }

    /// A message that cannot be read now has its place as one that says nothing: it keeps nobody
    /// from the others, and FETCH says what is wrong with it.
    fn outline(&self, placement: &Placement) -> Result<Option<Outline>, StoreError> {
        match self.store.outline(&placement.blob) {
            Err(StoreError::Blob(..)) => Ok(None),
            outline => outline.map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_in_units() {
        assert_eq!((units(0), units(1), units(UNIT), units(UNIT + 1)), (1, 1, 1, 2));
        assert_eq!(units(usize::MAX) as usize, UNITS);
    }

    #[test]
    fn a_room_grows_as_long_as_there_is_any() {
        let rooms = Rooms(Arc::new(Semaphore::new(4)));
        let enter = |octets| Room {
            held: rooms.0.clone().try_acquire_many_owned(units(octets)).unwrap(),
            rooms: rooms.clone(),
        };
        let (mut one, two) = (enter(UNIT), enter(2 * UNIT));
        assert!(one.grow(UNIT).is_ok() && one.grow(2 * UNIT).is_ok());
        assert_eq!(one.grow(3 * UNIT).unwrap_err().code.as_deref(), Some("LIMIT"));
        drop(two);
        assert!(one.grow(4 * UNIT).is_ok());
        assert!(one.grow(UNIT * UNITS + 1).is_err());
        drop(one);
        assert_eq!(rooms.0.available_permits(), 4);
    }
}
