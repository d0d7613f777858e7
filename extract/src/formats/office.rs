//! Word, PowerPoint and Excel since 2007 (ECMA-376): XML in a zip.

use super::archive::{Zip, content};
use super::sheets;
use super::xml::{Node, walk};
use crate::Document;
use crate::gather::{Gather, Read, Tally};

/// Whether these names are an Office document's.
pub(super) fn is_one(names: &[String]) -> bool {
    let main = ["word/", "ppt/", "xl/", "visio/"];
    names.iter().any(|name| main.iter().any(|folder| name.starts_with(folder)))
}

/// Parts with no text of the document's own.
const SILENT: [&str; 15] = [
    "theme/",
    "styles",
    "settings",
    "fontTable",
    "webSettings",
    "numbering",
    "slideLayouts/",
    "slideMasters/",
    "notesMasters/",
    "handoutMasters/",
    "presProps",
    "viewProps",
    "tableStyles",
    "calcChain",
    "sharedStrings",
];

/// The text of the document, of its notes and comments, and of what is embedded.
pub(super) fn read(
    octets: &[u8],
    archive: &mut Zip<'_>,
    names: &[String],
    gather: &mut Gather,
) -> Read {
    let mut parts: Vec<(Rank, usize, &String)> =
        names.iter().enumerate().filter_map(|(at, name)| Some((rank(name)?, at, name))).collect();
    parts.sort();
    let mut tally = Tally::default();
    if names.iter().any(|name| name.starts_with("xl/workbook")) {
        let end = sheets::in_zip(octets, archive, names, gather);
        gather.judge(end, &mut tally)?;
    }
    for (rank, at, name) in parts {
        let end = match content(archive, at, gather) {
            Ok(inside) if rank.0 == EMBEDDED => {
                gather.count_member()?;
                let document = Document { name: name.clone(), ..Document::default() };
                gather.member(&document, &inside, &mut tally)?;
                continue;
            }
            Ok(inside) => text(&inside, gather),
            Err(trouble) => Err(trouble),
        };
        gather.judge(end, &mut tally)?;
    }
    tally.end()
}

/// What comes first, and numbers in names in their order.
type Rank = (u8, String);

const EMBEDDED: u8 = 3;

fn rank(name: &str) -> Option<Rank> {
    let inside = ["word/", "ppt/", "xl/", "visio/"].iter().find_map(|f| name.strip_prefix(f));
    if name == "docProps/core.xml" || name == "docProps/custom.xml" {
        return Some((2, name.into()));
    }
    let inside = inside?;
    if inside.contains("embeddings/") {
        return Some((EMBEDDED, numbered(name)));
    }
    let silent = SILENT.iter().any(|prefix| inside.starts_with(prefix));
    if !inside.ends_with(".xml") || silent || inside.starts_with("worksheets/") {
        return None;
    }
    let main = inside == "document.xml" || inside.starts_with("slides/");
    Some((u8::from(!main), numbered(name)))
}

/// `slide10` comes behind `slide9`.
fn numbered(name: &str) -> String {
    let mut out = String::new();
    let mut digits = String::new();
    for c in name.chars().chain(std::iter::once('\0')) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        if !digits.is_empty() {
            out.push_str(&format!("{digits:0>9}"));
            digits.clear();
        }
        out.push(c);
    }
    out
}

/// Runs of text; paragraphs and rows are lines. Properties have text anywhere.
fn text(octets: &[u8], gather: &mut Gather) -> Read {
    let (mut shown, mut properties) = (0_u32, false);
    walk(octets, &mut |node| match node {
        Node::Start(b"coreProperties" | b"Properties", _) => {
            properties = true;
            Ok(())
        }
        Node::Start(b"t" | b"delText" | b"v" | b"Text", _) => {
            shown += 1;
            Ok(())
        }
        Node::End(b"t" | b"delText") => {
            shown = shown.saturating_sub(1);
            Ok(())
        }
        Node::End(b"v" | b"Text") => {
            shown = shown.saturating_sub(1);
            gather.space()
        }
        Node::Start(b"tab", _) => gather.space(),
        Node::Start(b"br" | b"cr", _) | Node::End(b"p" | b"si" | b"comment") => gather.new_line(),
        Node::Text(text) if shown > 0 || properties => gather.push(text),
        Node::End(_) if properties => gather.new_line(),
        _ => Ok(()),
    })?;
    gather.new_line()
}
