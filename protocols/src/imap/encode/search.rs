//! SEARCH, SORT, THREAD, ESEARCH and VANISHED responses.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use redoubt_log::id::{ModSeq, Uid};

use redoubt_store::search::Step;

use super::number::decimal;
use super::{number_set, quoted};
use crate::imap::types::{Numbering, PartialRange, Tag};

/// `* SEARCH 2 84 (MODSEQ 917162500)` (RFC 3501 section 7.2.5, RFC 7162 section 3.1.5).
/// The MODSEQ is the highest of what was found, and only there when something was.
pub fn search(out: &mut BytesMut, numbers: impl Iterator<Item = u32>, modseq: Option<ModSeq>) {
    out.put_slice(b"* SEARCH");
    self::numbers(out, numbers);
    search_end(out, modseq);
}

/// `* SORT` (RFC 5256 section 4); [`numbers`] and [`search_end`] follow.
pub fn sort_begin(out: &mut BytesMut) {
    out.put_slice(b"* SORT");
}

/// ` 2 84`
pub fn numbers(out: &mut BytesMut, numbers: impl Iterator<Item = u32>) {
    for number in numbers {
        out.put_u8(b' ');
        decimal(out, number);
    }
}

/// ` (MODSEQ 917162500)`, if there is one, and the end of SEARCH or SORT.
pub fn search_end(out: &mut BytesMut, modseq: Option<ModSeq>) {
    if let Some(modseq) = modseq {
        let _ = write!(out, " (MODSEQ {modseq})");
    }
    out.put_slice(b"\r\n");
}

/// `* THREAD` (RFC 5256 section 4); each [`thread_step`] and the line end follow.
pub fn thread_begin(out: &mut BytesMut, empty: bool) {
    out.put_slice(if empty { b"* THREAD" } else { b"* THREAD " });
}

/// A piece of the threads; `numbers` are those of the messages by their place.
pub fn thread_step(out: &mut BytesMut, step: Step, numbers: &[u32]) {
    match step {
        Step::Open => out.put_u8(b'('),
        Step::Close => out.put_u8(b')'),
        Step::Space => out.put_u8(b' '),
        Step::Message(at) => {
            decimal(out, numbers.get(at as usize).copied().unwrap_or_default());
        }
    }
}

/// What ESEARCH says: what was asked for. MIN, MAX and ALL are left out when
/// nothing was found (RFC 4731 section 3.1).
#[derive(Debug, Clone, Copy, Default)]
#[allow(missing_docs)]
pub struct Found<'a> {
    pub min: Option<u32>,
    pub max: Option<u32>,
    pub count: Option<u32>,
    /// Rising, or as SORT put them.
    pub all: Option<&'a [u32]>,
    /// The page that was asked for and what is in it (RFC 9394 section 3.1).
    pub partial: Option<(PartialRange, &'a [u32])>,
    /// For each of what was found, in its order (RFC 6203 section 4).
    pub relevancy: Option<&'a [u8]>,
    pub modseq: Option<ModSeq>,
}

/// `* ESEARCH (TAG "a1") UID MIN 2 COUNT 3 ALL 2,10:11`
pub fn esearch(out: &mut BytesMut, tag: &Tag, numbering: Numbering, found: &Found<'_>) {
    out.put_slice(b"* ESEARCH (TAG ");
    quoted(out, tag.as_str().as_bytes());
    out.put_u8(b')');
    if numbering == Numbering::Uid {
        out.put_slice(b" UID");
    }
    for (name, value) in [("MIN", found.min), ("MAX", found.max), ("COUNT", found.count)] {
        if let Some(value) = value {
            let _ = write!(out, " {name} {value}");
        }
    }
    if let Some(all) = found.all.filter(|all| !all.is_empty()) {
        out.put_slice(b" ALL ");
        number_set(out, all.iter().copied());
    }
    if let Some((range, page)) = found.partial {
        let _ = write!(out, " PARTIAL ({range} ");
        match page.is_empty() {
            true => out.put_slice(b"NIL"),
            false => number_set(out, page.iter().copied()),
        }
        out.put_u8(b')');
    }
    if let Some(scores) = found.relevancy.filter(|scores| !scores.is_empty()) {
        out.put_slice(b" RELEVANCY (");
        for (at, score) in scores.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            let _ = write!(out, "{space}{score}");
        }
        out.put_u8(b')');
    }
    if let Some(modseq) = found.modseq {
        let _ = write!(out, " MODSEQ {modseq}");
    }
    out.put_slice(b"\r\n");
}

/// `* VANISHED (EARLIER) 41,43:116` (RFC 7162 section 3.2.10); nothing for no UID.
pub fn vanished(out: &mut BytesMut, uids: impl Iterator<Item = Uid> + Clone, earlier: bool) {
    if uids.clone().next().is_none() {
        return;
    }
    out.put_slice(if earlier { b"* VANISHED (EARLIER) " } else { b"* VANISHED " });
    number_set(out, uids.map(Uid::get));
    out.put_slice(b"\r\n");
}
