//! What SORT and THREAD compare, by mailbox and UID, in columns: some 150 octets a message.
//!
//! A UID stands for one message for ever, and what is compared of a message never changes. So a
//! sheet is right at any moment, now or in the past, for whatever of it is asked for; who has
//! come since is added, and those that are gone do no harm. Only views tell who is there.

mod places;
mod shelf;
mod texts;

use std::collections::BTreeSet;

use redoubt_log::id::{Timestamp, Uid};

use self::places::{NONE, Places};
use self::texts::Texts;
use super::TooMuch;
use crate::mime::Outline;
pub(crate) use shelf::Shelf;
pub use shelf::{SharedSheet, ranked};

/// Octets of texts of one sheet. A million subjects are a fifth of it.
pub const MAX_SORT_TEXT: usize = 256 << 20;

/// What a sheet takes in memory at the least, about.
const EMPTY: usize = 1024;

/// What is kept of a message.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Its UID.
    pub uid: Uid,
    /// INTERNALDATE.
    pub received: Timestamp,
    /// RFC822.SIZE.
    pub size: u64,
    /// What its header says.
    pub head: Head<'a>,
}

/// What a header says, as far as it was asked.
#[derive(Debug, Clone, Copy)]
pub enum Head<'a> {
    /// It was not asked.
    Unasked,
    /// It cannot be read now, and counts as one that says nothing until it can be.
    Unread,
    /// This.
    Read(&'a Outline),
}

/// Messages of one mailbox.
#[derive(Debug, Default)]
pub struct Sheet {
    plain: Plain,
    heads: Heads,
}

/// Columns that a view knows.
#[derive(Debug, Default)]
struct Plain {
    places: Places,
    received: Vec<i64>,
    sizes: Vec<u64>,
}

/// Columns of headers. Texts are named by number.
#[derive(Debug, Default)]
struct Heads {
    places: Places,
    /// INTERNALDATE where there is no Date that reads (RFC 5256 section 2.2).
    sent: Vec<i64>,
    subjects: Vec<u32>,
    replies: Vec<bool>,
    from: Vec<u32>,
    to: Vec<u32>,
    cc: Vec<u32>,
    display_from: Vec<u32>,
    display_to: Vec<u32>,
    texts: Texts,
    /// Message-IDs, 0 for none.
    own: Vec<u32>,
    /// Ancestors of all, and where those of each end.
    references: Vec<u32>,
    ends: Vec<u32>,
    ids: Texts,
    unread: BTreeSet<Uid>,
}

/// A column of texts, or of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Received,
    Size,
    Sent,
    Subject,
    From,
    To,
    Cc,
    DisplayFrom,
    DisplayTo,
}

impl Sheet {
    /// Those of these (rising) that are to be added before they are asked for, with their heads
    /// or without.
    pub fn missing(&self, uids: &[Uid], heads: bool) -> Vec<Uid> {
        let rows = self.rows(uids, heads);
        let unread = |uid: &Uid| heads && self.heads.unread.contains(uid);
        let missing = uids.iter().zip(&rows).filter(|(uid, row)| **row == NONE || unread(uid));
        missing.map(|(uid, _)| *uid).collect()
    }

    /// Whether each of these (rising) is there.
    pub fn standing(&self, uids: &[Uid], heads: bool) -> Vec<bool> {
        self.rows(uids, heads).iter().map(|row| *row != NONE).collect()
    }

    /// Adds messages, by rising UID; those that are there stay as they are.
    ///
    /// # Errors
    /// It has more than [`MAX_SORT_TEXT`] octets of text.
    pub fn add(&mut self, messages: &[Facts<'_>]) -> Result<(), TooMuch> {
        let (mut plain, mut heads) = (Vec::new(), Vec::new());
        for message in messages {
            if !self.plain.places.has(message.uid) {
                plain.push((message.uid, self.plain.push(message)));
            }
            match message.head {
                Head::Unasked => {}
                Head::Read(outline) => heads.extend(self.heads.take(message, outline)),
                Head::Unread => heads.extend(self.heads.take_unread(message)),
            }
        }
        self.plain.places.add(&plain);
        self.heads.places.add(&heads);
        let octets = self.heads.texts.octets() + self.heads.ids.octets();
        if octets > MAX_SORT_TEXT { Err(TooMuch) } else { Ok(()) }
    }

    /// How many messages there are, those that are gone meanwhile among them.
    pub fn len(&self) -> usize {
        self.plain.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it takes in memory, about.
    pub fn memory(&self) -> usize {
        EMPTY + self.plain.memory() + self.heads.memory()
    }

    /// Whether [`Sheet::rank`] has nothing to do.
    fn is_ranked(&self) -> bool {
        self.heads.texts.are_ranked()
    }

    /// Puts texts into their order: before sorting by any.
    pub fn rank(&mut self) {
        self.heads.texts.rank_all();
    }

    pub(super) fn rows(&self, uids: &[Uid], heads: bool) -> Vec<u32> {
        if heads { self.heads.places.rows_of(uids) } else { self.plain.places.rows_of(uids) }
    }

    /// A column of these rows as numbers that compare as it does.
    pub(super) fn column(&self, column: Column, rows: &[u32]) -> Vec<u64> {
        let (plain, heads) = (&self.plain, &self.heads);
        match column {
            Column::Received => pick(&plain.received, rows, order_of),
            Column::Size => pick(&plain.sizes, rows, |size| size),
            Column::Sent => pick(&heads.sent, rows, order_of),
            Column::Subject => heads.ranks(&heads.subjects, rows),
            Column::From => heads.ranks(&heads.from, rows),
            Column::To => heads.ranks(&heads.to, rows),
            Column::Cc => heads.ranks(&heads.cc, rows),
            Column::DisplayFrom => heads.ranks(&heads.display_from, rows),
            Column::DisplayTo => heads.ranks(&heads.display_to, rows),
        }
    }

    /// What threads a message, by its row among the heads.
    pub(super) fn links(&self, row: u32) -> Links<'_> {
        let heads = &self.heads;
        let at = row as usize;
        let end = |at: usize| heads.ends.get(at).map_or(0, |end| *end as usize);
        let start = at.checked_sub(1).map_or(0, end);
        Links {
            sent: Timestamp(heads.sent.get(at).copied().unwrap_or_default()),
            subject: heads.subjects.get(at).copied().unwrap_or_default(),
            reply: heads.replies.get(at).copied().unwrap_or_default(),
            own: heads.own.get(at).copied().filter(|own| *own != 0),
            references: heads.references.get(start..end(at)).unwrap_or_default(),
        }
    }

    /// Above every number that [`Links`] has for a Message-ID.
    pub(super) fn ids(&self) -> usize {
        self.heads.ids.len()
    }
}

/// What threads a message. Numbers stand for texts: the empty subject is 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links<'a> {
    pub(super) sent: Timestamp,
    pub(super) subject: u32,
    pub(super) reply: bool,
    pub(super) own: Option<u32>,
    pub(super) references: &'a [u32],
}

impl Plain {
    fn push(&mut self, message: &Facts<'_>) -> u32 {
        self.received.push(message.received.0);
        self.sizes.push(message.size);
        row(self.sizes.len())
    }

    fn memory(&self) -> usize {
        self.places.memory() + 8 * (self.received.capacity() + self.sizes.capacity())
    }
}

impl Heads {
    /// Its row where it is new.
    fn take(&mut self, message: &Facts<'_>, outline: &Outline) -> Option<(Uid, u32)> {
        let uid = message.uid;
        if !self.places.has(uid) {
            return Some((uid, self.push(message, outline)));
        }
        if self.unread.remove(&uid) {
            let row = self.push(message, outline);
            self.places.change(uid, row);
        }
        None
    }

    fn take_unread(&mut self, message: &Facts<'_>) -> Option<(Uid, u32)> {
        if self.places.has(message.uid) {
            return None;
        }
        self.unread.insert(message.uid);
        Some((message.uid, self.push(message, &Outline::default())))
    }

    fn push(&mut self, message: &Facts<'_>, outline: &Outline) -> u32 {
        self.sent.push(outline.sent.unwrap_or(message.received).0);
        self.replies.push(outline.reply);
        for (column, text) in [
            (&mut self.subjects, &outline.subject),
            (&mut self.from, &outline.from),
            (&mut self.to, &outline.to),
            (&mut self.cc, &outline.cc),
            (&mut self.display_from, &outline.display_from),
            (&mut self.display_to, &outline.display_to),
        ] {
            column.push(self.texts.number(text.as_bytes()));
        }
        self.own.push(outline.id.map_or(0, |id| self.ids.number(id.octets())));
        for reference in &outline.references {
            self.references.push(self.ids.number(reference.octets()));
        }
        self.ends.push(u32::try_from(self.references.len()).unwrap_or(u32::MAX));
        row(self.ends.len())
    }

    fn ranks(&self, column: &[u32], rows: &[u32]) -> Vec<u64> {
        pick(column, rows, |number| u64::from(self.texts.rank(number)))
    }

    fn memory(&self) -> usize {
        let columns = [
            &self.subjects,
            &self.from,
            &self.to,
            &self.cc,
            &self.display_from,
            &self.display_to,
            &self.own,
            &self.references,
            &self.ends,
        ];
        let words: usize = columns.iter().map(|column| column.capacity()).sum();
        let rest = 8 * self.sent.capacity() + self.replies.capacity() + 16 * self.unread.len();
        4 * words + rest + self.places.memory() + self.texts.memory() + self.ids.memory()
    }
}

/// The row that was pushed last.
fn row(len: usize) -> u32 {
    u32::try_from(len - 1).unwrap_or(NONE)
}

/// Such that it compares as the signed number does.
fn order_of(number: i64) -> u64 {
    (number as u64) ^ (1 << 63)
}

fn pick<T: Copy + Default>(column: &[T], rows: &[u32], key: impl Fn(T) -> u64) -> Vec<u64> {
    rows.iter().map(|row| key(column.get(*row as usize).copied().unwrap_or_default())).collect()
}
