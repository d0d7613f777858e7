//! Word 97 to 2003 (MS-DOC): the text by its piece table; Word 6 and 95 as far as one stretch goes.

use super::compound::{Compound, stream, u16_at, u32_at};
use crate::decode::{cp1252, utf16};
use crate::gather::{Gather, Read, Trouble, broken};

/// FibBase (MS-DOC 2.5.2) and where FibRgFcLcb97 says the piece table is.
const MAGIC: u16 = 0xa5ec;
const FLAGS: usize = 0x0a;
const ENCRYPTED: u16 = 0x0100;
const TABLE_1: u16 = 0x0200;
const WORD_97: u16 = 101;
const FC_CLX: usize = 0x01a2;

pub(super) fn read(file: &mut Compound<'_>, gather: &mut Gather) -> Read {
    let main = stream(file, "/WordDocument", gather)?;
    let cut = || Trouble::Broken("the header of the document is cut".into());
    let flags = u16_at(&main, FLAGS).ok_or_else(cut)?;
    if u16_at(&main, 0) != Some(MAGIC) && u16_at(&main, 2).is_none_or(|version| version < 100) {
        return Err(Trouble::Unknown("a version of Word that nobody here reads".into()));
    }
    if flags & ENCRYPTED != 0 {
        return Err(Trouble::Encrypted("the document has a password".into()));
    }
    if u16_at(&main, 2).is_some_and(|version| version < WORD_97) {
        return plain(&main, gather);
    }
    let table = if flags & TABLE_1 != 0 { "/1Table" } else { "/0Table" };
    let table = stream(file, table, gather)?;
    let at = u32_at(&main, FC_CLX).ok_or_else(cut)? as usize;
    let pieces = pieces(&table, at).ok_or_else(|| broken("the piece table does not read"))?;
    for (start, units) in pieces {
        piece(&main, start, units, gather)?;
    }
    gather.new_line()
}

/// Word 6 and 95: from fcMin to fcMac.
fn plain(main: &[u8], gather: &mut Gather) -> Read {
    gather.note("Word 6 or 95: read without its piece table");
    let range = u32_at(main, 0x18).zip(u32_at(main, 0x1c));
    let text = range.and_then(|(from, to)| main.get(from as usize..to as usize));
    shown(&cp1252(text.ok_or_else(|| broken("the text is not where it should be"))?), gather)
}

/// Clx (MS-DOC 2.9.38): where each piece lies, and how many characters it has.
fn pieces(table: &[u8], mut at: usize) -> Option<Vec<(u32, usize)>> {
    while *table.get(at)? == 1 {
        at = at.checked_add(3)?.checked_add(usize::from(u16_at(table, at + 1)?))?;
    }
    if *table.get(at)? != 2 {
        return None;
    }
    let len = u32_at(table, at + 1)? as usize;
    let plc = table.get(at + 5..(at + 5).checked_add(len)?)?;
    let count = len.checked_sub(4)? / 12;
    let mut found = Vec::new();
    for piece in 0..count {
        let characters = u32_at(plc, piece * 4 + 4)?.checked_sub(u32_at(plc, piece * 4)?)?;
        let place = u32_at(plc, (count + 1) * 4 + piece * 8 + 2)?;
        found.push((place, characters as usize));
    }
    Some(found)
}

/// FcCompressed (MS-DOC 2.9.73): bit 30 says that characters are octets.
fn piece(main: &[u8], place: u32, characters: usize, gather: &mut Gather) -> Read {
    let start = (place & 0x3fff_ffff) as usize;
    let range = match place & 0x4000_0000 {
        0 => start..start.saturating_add(characters.saturating_mul(2)),
        _ => start / 2..(start / 2).saturating_add(characters),
    };
    let is_cut = range.end > main.len();
    let octets = main.get(range.start..range.end.min(main.len())).unwrap_or_default();
    if is_cut {
        gather.note("the text is cut");
    }
    match place & 0x4000_0000 {
        0 => shown(&utf16(octets), gather),
        _ => shown(&cp1252(octets), gather),
    }
}

/// Marks of paragraphs, cells and fields (MS-DOC 2.8.x) as white space.
fn shown(text: &str, gather: &mut Gather) -> Read {
    let line = |c: char| match c {
        '\u{7}' => '\t',
        '\r' | '\u{b}' | '\u{c}' => '\n',
        '\u{1e}' => '-',
        c => c,
    };
    let text: String = text.chars().filter(|c| *c != '\u{1f}').map(line).collect();
    gather.push(&text)
}
