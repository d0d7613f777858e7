//! PowerPoint 97 to 2003 (MS-PPT): the text atoms, in the order in which they lie.

use super::compound::{Compound, stream, u16_at, u32_at};
use crate::decode::{cp1252, utf16};
use crate::gather::{Gather, Read, Trouble};

const TEXT_CHARS: u16 = 0x0fa0;
const TEXT_BYTES: u16 = 0x0fa8;
const STRING: u16 = 0x0fba;
/// Masters have only "click to edit".
const MAIN_MASTER: u16 = 0x03f8;
/// CurrentUserAtom.headerToken of an encrypted file (MS-PPT 2.3.2).
const ENCRYPTED: u32 = 0xf3d1_c4df;

pub(super) fn read(file: &mut Compound<'_>, gather: &mut Gather) -> Read {
    if file.is_stream("/Current User") {
        let user = stream(file, "/Current User", gather)?;
        if u32_at(&user, 12) == Some(ENCRYPTED) {
            return Err(Trouble::Encrypted("the presentation has a password".into()));
        }
    }
    let octets = stream(file, "/PowerPoint Document", gather)?;
    records(&octets, gather)?;
    gather.new_line()
}

/// Records follow each other; a container's children follow its header.
fn records(octets: &[u8], gather: &mut Gather) -> Read {
    let mut at = 0_usize;
    while let Some((first, kind)) = u16_at(octets, at).zip(u16_at(octets, at + 2)) {
        let Some(len) = u32_at(octets, at + 4) else { break };
        let body = at + 8;
        let end = body.saturating_add(len as usize);
        let is_container = first & 0x000f == 0x000f;
        if is_container && kind != MAIN_MASTER {
            at = body;
            continue;
        }
        match octets.get(body..end) {
            Some(text) => atom(kind, text, gather)?,
            None => gather.note("the presentation is cut"),
        }
        at = end;
    }
    Ok(())
}

fn atom(kind: u16, octets: &[u8], gather: &mut Gather) -> Read {
    let text = match kind {
        TEXT_CHARS | STRING => utf16(octets),
        TEXT_BYTES => cp1252(octets),
        _ => return Ok(()),
    };
    gather.new_line()?;
    gather.line(&text.replace(['\r', '\u{b}'], "\n"))
}
