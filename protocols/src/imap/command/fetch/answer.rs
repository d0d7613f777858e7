//! FETCH responses of a page of messages, made from a view and the parsed cache.

use std::sync::Arc;

use bytes::BytesMut;
use redoubt_log::id::{AccountId, ModSeq, Uid};
use redoubt_store::mailstore::{BlobReader, MailboxRef, Mailstore, StoreError};
use redoubt_store::mime::{self, Parsed, Span};
use redoubt_store::uids::UidSet;
use redoubt_store::view::{Placement, View};

use super::section::{Content, clip, content, whole};
use crate::imap::encode::FetchLine;
use crate::imap::types::{Fetch, FetchItem, Numbering, Partial, Section};
use crate::imap::updates::placements;

/// Octets after which a page ends.
const PAGE_OCTETS: usize = 128 * 1024;
/// Content up to this size is read with its page; more is streamed.
const INLINE: u64 = 32 * 1024;
/// Octets of a header that fields are looked for in, where the cache has it not.
const MAX_HEADER: u64 = 1024 * 1024;

/// What every answer of a command has.
#[derive(Debug)]
pub(crate) struct Plan {
    items: Vec<FetchItem>,
    /// FLAGS and MODSEQ are told too when `\Seen` was set by this command.
    condstore: bool,
    needs_parsed: bool,
}

impl Plan {
    /// The items as asked, with those that the command's form adds.
    pub(crate) fn new(fetch: &Fetch, condstore: bool) -> Self {
        let mut items = fetch.items.clone();
        if fetch.numbering == Numbering::Uid && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        // RFC 7162 section 3.1.4.1
        if fetch.changed_since.is_some() && !items.contains(&FetchItem::ModSeq) {
            items.push(FetchItem::ModSeq);
        }
        let needs_parsed = items.iter().any(needs_parsed);
        Self { items, condstore, needs_parsed }
    }

    /// Whether MODSEQs are among the answers.
    pub(crate) fn tells_modseq(&self) -> bool {
        self.items.contains(&FetchItem::ModSeq)
    }
}

fn needs_parsed(item: &FetchItem) -> bool {
    match item {
        FetchItem::Body
        | FetchItem::BodyStructure
        | FetchItem::Envelope
        | FetchItem::Rfc822Header
        | FetchItem::Rfc822Text => true,
        FetchItem::Section { section, .. } => *section != Section::default(),
        _ => false,
    }
}

/// A part of what is sent.
#[derive(Debug)]
pub(crate) enum Piece {
    /// As it is.
    Octets(BytesMut),
    /// To be streamed.
    Blob {
        /// From where.
        reader: Arc<BlobReader>,
        /// The first octet.
        start: u64,
        /// How many.
        len: u64,
    },
}

/// Some messages' answers.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) pieces: Vec<Piece>,
    /// Those that `\Seen` was set of, with the MODSEQ of the flags that are told.
    pub(crate) seen: Vec<(Uid, ModSeq)>,
    /// How many of the batch's UIDs are dealt with.
    pub(crate) done: usize,
    /// Some are not there any more.
    pub(crate) missing: bool,
    /// One could not be read; it is left out.
    pub(crate) damaged: Option<StoreError>,
}

/// Messages to answer for.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) store: Mailstore,
    pub(crate) plan: Arc<Plan>,
    pub(crate) mailbox: MailboxRef,
    pub(crate) reader: AccountId,
    /// Rising.
    pub(crate) uids: Vec<Uid>,
    pub(crate) snapshot: Arc<UidSet>,
    pub(crate) recent: Arc<UidSet>,
    /// Those that this command set `\Seen` of.
    pub(crate) seen: Arc<UidSet>,
}

impl Batch {
    /// As many answers as a page takes, one at least. Blocks.
    pub(crate) fn page(&self, view: &View) -> Result<Page, StoreError> {
        let found = placements(view, self.mailbox, self.reader, &self.uids)?;
        let mut page = Page { missing: found.len() < self.uids.len(), ..Page::default() };
        let mut octets = 0;
        for placement in &found {
            if octets >= PAGE_OCTETS {
                page.done = self.uids.partition_point(|uid| *uid < placement.uid);
                return Ok(page);
            }
            match self.message(placement) {
                Ok(Some(writer)) => {
                    octets += writer.octets;
                    page.pieces.append(&mut writer.finish());
                    if self.seen.contains(placement.uid) {
                        page.seen.push((placement.uid, placement.modseq));
                    }
                }
                Ok(None) => {}
                Err(error) => page.damaged = Some(error),
            }
        }
        page.done = self.uids.len();
        Ok(page)
    }

    fn message<'a>(&'a self, placement: &'a Placement) -> Result<Option<Writer<'a>>, StoreError> {
        let Some(number) = self.snapshot.rank(placement.uid) else { return Ok(None) };
        let parsed = match self.plan.needs_parsed {
            true => Some(self.store.parsed(&placement.blob)?),
            false => None,
        };
        let mut writer = Writer::new(&self.store, placement, parsed);
        let mut line = FetchLine::begin(&mut writer.out, number);
        let recent = self.recent.contains(placement.uid);
        for item in &self.plan.items {
            writer.item(&mut line, item, recent)?;
        }
        if self.seen.contains(placement.uid) {
            self.also_seen(&mut writer, &mut line, recent)?;
        }
        line.end(&mut writer.out);
        writer.octets += writer.out.len();
        Ok(Some(writer))
    }

    /// The client hears of flags that it changed by reading (RFC 9051 section 6.4.5).
    fn also_seen(
        &self,
        writer: &mut Writer<'_>,
        line: &mut FetchLine,
        recent: bool,
    ) -> Result<(), StoreError> {
        let asked = |item| self.plan.items.contains(&item);
        if !asked(FetchItem::Flags) {
            writer.item(line, &FetchItem::Flags, recent)?;
        }
        if self.plan.condstore && !asked(FetchItem::ModSeq) {
            writer.item(line, &FetchItem::ModSeq, recent)?;
        }
        Ok(())
    }
}

/// Writes one message's answer.
struct Writer<'a> {
    store: &'a Mailstore,
    placement: &'a Placement,
    parsed: Option<Arc<Parsed>>,
    reader: Option<Arc<BlobReader>>,
    pieces: Vec<Piece>,
    out: BytesMut,
    octets: usize,
}

impl<'a> Writer<'a> {
    fn new(store: &'a Mailstore, placement: &'a Placement, parsed: Option<Arc<Parsed>>) -> Self {
        let (pieces, out) = (Vec::new(), BytesMut::new());
        Self { store, placement, parsed, reader: None, pieces, out, octets: 0 }
    }

    fn finish(mut self) -> Vec<Piece> {
        self.pieces.push(Piece::Octets(self.out));
        self.pieces
    }

    fn item(
        &mut self,
        line: &mut FetchLine,
        item: &FetchItem,
        recent: bool,
    ) -> Result<(), StoreError> {
        let (out, of) = (&mut self.out, self.placement);
        match item {
            FetchItem::Uid => line.uid(out, of.uid),
            FetchItem::Flags => line.flags(out, of.flags, &of.keywords, recent),
            FetchItem::ModSeq => line.modseq(out, of.modseq),
            FetchItem::InternalDate => line.internal_date(out, of.received),
            FetchItem::SaveDate => line.save_date(out, of.saved),
            FetchItem::Rfc822Size => line.size(out, of.size),
            FetchItem::EmailId => line.email_id(out, of.email),
            FetchItem::ThreadId => line.thread_id(out, of.thread),
            FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure => {
                self.structure(line, item);
            }
            FetchItem::Rfc822 | FetchItem::Rfc822Header | FetchItem::Rfc822Text => {
                self.content(line, item, None)?;
            }
            FetchItem::Section { partial, .. } => self.content(line, item, *partial)?,
        }
        Ok(())
    }

    fn structure(&mut self, line: &mut FetchLine, item: &FetchItem) {
        let Some(parsed) = &self.parsed else { return };
        match item {
            FetchItem::Envelope => line.envelope(&mut self.out, &parsed.envelope),
            FetchItem::Body => line.body(&mut self.out, &parsed.structure),
            _ => line.body_structure(&mut self.out, &parsed.structure),
        }
    }

    fn content(
        &mut self,
        line: &mut FetchLine,
        item: &FetchItem,
        partial: Option<Partial>,
    ) -> Result<(), StoreError> {
        let parsed = self.parsed.clone();
        let content = match &parsed {
            Some(parsed) => content(parsed, item),
            None => whole(self.placement.size),
        };
        match content {
            Content::Missing => line.no_content(&mut self.out, item),
            Content::Span(span) => self.span(line, item, partial, span)?,
            Content::Fields { header, names, not } => {
                let header = self.header(header)?;
                let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
                let fields = mime::header_fields(&header, &names, not);
                self.octets_of(line, item, partial, &fields);
            }
        }
        Ok(())
    }

    fn octets_of(
        &mut self,
        line: &mut FetchLine,
        item: &FetchItem,
        partial: Option<Partial>,
        octets: &[u8],
    ) {
        let (first, count) = clip(partial, octets.len() as u64);
        let octets = mime::slice(octets, Span { start: first, len: count });
        line.content(&mut self.out, item, octets.len() as u64);
        self.out.extend_from_slice(octets);
    }

    fn span(
        &mut self,
        line: &mut FetchLine,
        item: &FetchItem,
        partial: Option<Partial>,
        span: Span,
    ) -> Result<(), StoreError> {
        if let Some(header) = self.cached(span) {
            self.octets_of(line, item, partial, &header);
            return Ok(());
        }
        let (first, len) = clip(partial, span.len);
        let start = span.start.saturating_add(first);
        if len <= INLINE {
            let octets = self.read(start, len)?;
            line.content(&mut self.out, item, octets.len() as u64);
            self.out.extend_from_slice(&octets);
            return Ok(());
        }
        let reader = self.reader()?;
        line.content(&mut self.out, item, len);
        self.octets += self.out.len();
        self.pieces.push(Piece::Octets(std::mem::take(&mut self.out)));
        self.pieces.push(Piece::Blob { reader, start, len });
        Ok(())
    }

    /// The message's own header, without opening the message.
    fn cached(&self, span: Span) -> Option<Vec<u8>> {
        let parsed = self.parsed.as_ref().filter(|parsed| parsed.structure.header == span)?;
        parsed.header.clone()
    }

    fn header(&mut self, span: Span) -> Result<Vec<u8>, StoreError> {
        match self.cached(span) {
            Some(header) => Ok(header),
            None => self.read(span.start, span.len.min(MAX_HEADER)),
        }
    }

    /// Exactly these octets, or as many as there are.
    fn read(&mut self, start: u64, len: u64) -> Result<Vec<u8>, StoreError> {
        let mut octets = Vec::new();
        if len == 0 {
            return Ok(octets);
        }
        let reader = self.reader()?;
        while (octets.len() as u64) < len {
            let left = usize::try_from(len - octets.len() as u64).unwrap_or(usize::MAX);
            let piece = reader.read(start.saturating_add(octets.len() as u64), left)?;
            if piece.is_empty() {
                break;
            }
            octets.extend_from_slice(&piece);
        }
        Ok(octets)
    }

    fn reader(&mut self) -> Result<Arc<BlobReader>, StoreError> {
        if let Some(reader) = &self.reader {
            return Ok(reader.clone());
        }
        let reader = Arc::new(self.store.open_blob(&self.placement.blob)?);
        Ok(self.reader.insert(reader).clone())
    }
}
