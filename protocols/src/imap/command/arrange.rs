//! What SORT and THREAD share: messages that were found, read in pages with what their headers
//! say, in memory that all sessions together have a share of.

use std::sync::Arc;

use redoubt_log::id::{AccountId, ModSeq, Uid};
use redoubt_store::mailstore::{MailboxRef, Mailstore, StoreError};
use redoubt_store::mime::Outline;
use redoubt_store::search::{SearchKey, Sorted, Sorting, Threading, TooMuch};
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
/// What a message that is sorted takes at the least, about.
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

fn too_much(error: TooMuch) -> Reply {
    Reply::no("LIMIT", error.to_string())
}

/// A message that was read.
pub(super) struct Message<'a> {
    placement: &'a Placement,
    /// Empty where headers are not asked for.
    outline: &'a Outline,
    relevancy: u8,
}

/// What of messages is read beside what a view says of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Asked {
    pub(super) headers: bool,
    pub(super) relevancy: bool,
}

/// What takes messages in their sequence.
pub(super) trait Arrange: Send + 'static {
    /// Takes the next one.
    fn take(&mut self, message: Message<'_>) -> Result<(), TooMuch>;
    /// What it takes in memory, about.
    fn memory(&self) -> usize;
}

impl Arrange for Sorting {
    fn take(&mut self, message: Message<'_>) -> Result<(), TooMuch> {
        let Message { placement, outline, relevancy } = message;
        let Placement { received, size, .. } = *placement;
        self.push(Sorted { received, size, outline, relevancy })
    }
    fn memory(&self) -> usize {
        Sorting::memory(self)
    }
}

impl Arrange for Threading {
    fn take(&mut self, message: Message<'_>) -> Result<(), TooMuch> {
        self.push(message.placement.received, message.outline)
    }
    fn memory(&self) -> usize {
        Threading::memory(self)
    }
}

/// Messages that were found, in their sequence.
pub(super) struct Gathered<A> {
    pub(super) arranged: A,
    pub(super) uids: Vec<Uid>,
    pub(super) modseqs: Vec<ModSeq>,
    _room: Room,
}

/// Finds messages and hands them to `into`, with what is wanted of them.
pub(super) async fn gather<A: Arrange>(
    session: &Session,
    key: SearchKey,
    wanted: Asked,
    into: A,
) -> Result<Gathered<A>, Trouble> {
    let asked = Search { numbering: Numbering::Uid, returns: None, key };
    let found = search::find(session, &asked).await?.numbers;
    let room = Room::enter(session, found.len()).await?;
    let mut all = Gathered { arranged: into, uids: Vec::new(), modseqs: Vec::new(), _room: room };
    for page in found.chunks(if wanted.headers { PAGE_HEADERS } else { PAGE }) {
        if session.conn.is_shutting_down() {
            return Err(stopping());
        }
        let uids: Vec<Uid> = page.iter().filter_map(|uid| Uid::new(*uid)).collect();
        let scores = match wanted.relevancy {
            true => relevancy::of(session, &asked.key, &uids).await?,
            false => Vec::new(),
        };
        let selected = session.selected()?;
        let page = Page {
            store: session.imap.store.clone(),
            mailbox: selected.mailbox,
            reader: selected.reader,
            uids,
            scores,
            headers: wanted.headers,
        };
        all = session.read_selected(move |view| page.read(view, all)).await?.map_err(too_much)?;
        all._room.grow(all.arranged.memory() + all.uids.len() * 12)?;
    }
    Ok(all)
}

/// Messages that are read together.
struct Page {
    store: Mailstore,
    mailbox: MailboxRef,
    reader: AccountId,
    uids: Vec<Uid>,
    /// For each of them, if they were asked for.
    scores: Vec<u8>,
    headers: bool,
}

impl Page {
    /// Those that are gone meanwhile are left out.
    fn read<A: Arrange>(
        &self,
        view: &View,
        mut all: Gathered<A>,
    ) -> Result<Result<Gathered<A>, TooMuch>, StoreError> {
        let nothing = Arc::new(Outline::default());
        for placement in placements(view, self.mailbox, self.reader, &self.uids)? {
            let outline = if self.headers { self.outline(&placement)? } else { nothing.clone() };
            let at = self.uids.binary_search(&placement.uid).ok();
            let relevancy = at.and_then(|at| self.scores.get(at)).copied().unwrap_or(100);
            let message = Message { placement: &placement, outline: &outline, relevancy };
            if let Err(error) = all.arranged.take(message) {
                return Ok(Err(error));
            }
            all.uids.push(placement.uid);
            all.modseqs.push(placement.modseq);
        }
        Ok(Ok(all))
    }

    /// A message that cannot be read now has its place as one that says nothing: it keeps nobody
    /// from the others, and FETCH says what is wrong with it.
    fn outline(&self, placement: &Placement) -> Result<Arc<Outline>, StoreError> {
        match self.store.outline(&placement.blob) {
            Err(StoreError::Blob(..)) => Ok(Arc::default()),
            outline => outline,
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
