//! XML, event by event: no entity of a document's own is ever expanded.

use quick_xml::Reader;
use quick_xml::events::{BytesRef, BytesStart, Event};

use crate::decode::decode;
use crate::gather::{Gather, Read, broken};

/// What is met, by names without their prefixes.
pub(super) enum Node<'a> {
    Start(&'a [u8], &'a BytesStart<'a>),
    End(&'a [u8]),
    Text(&'a str),
}

/// Shows every node of a document. Ends at the first damage.
pub(super) fn walk(octets: &[u8], look: &mut dyn FnMut(Node<'_>) -> Read) -> Read {
    let (text, _) = decode(octets, "");
    let mut reader = Reader::from_str(&text);
    let config = reader.config_mut();
    config.check_end_names = false;
    config.allow_unmatched_ends = true;
    config.allow_dangling_amp = true;
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(tag) => look(Node::Start(tag.local_name().as_ref(), &tag))?,
            Event::End(tag) => look(Node::End(tag.local_name().as_ref()))?,
            Event::Empty(tag) => {
                look(Node::Start(tag.local_name().as_ref(), &tag))?;
                look(Node::End(tag.local_name().as_ref()))?;
            }
            Event::Text(text) => look(Node::Text(&text.decode().map_err(broken)?))?,
            Event::CData(text) => look(Node::Text(&text.decode().map_err(broken)?))?,
            Event::GeneralRef(reference) => look(Node::Text(&resolved(&reference)))?,
            Event::Eof => return Ok(()),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
        }
    }
}

fn resolved(reference: &BytesRef<'_>) -> String {
    if let Ok(Some(c)) = reference.resolve_char_ref() {
        return c.to_string();
    }
    let name = reference.decode().unwrap_or_default();
    match name.as_ref() {
        "lt" => "<".into(),
        "gt" => ">".into(),
        "amp" => "&".into(),
        "quot" => "\"".into(),
        "apos" => "'".into(),
        other => format!("&{other};"),
    }
}

/// All text of any XML, each element's on lines of its own.
pub(super) fn read(octets: &[u8], gather: &mut Gather) -> Read {
    walk(octets, &mut |node| match node {
        Node::Text(text) => gather.push(text.trim_matches(['\n', '\r', '\t', ' '])),
        Node::Start(..) | Node::End(_) => gather.new_line(),
    })
}

/// The value of an attribute, by its name without prefix.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &[u8]) -> Option<String> {
    let found =
        tag.attributes().filter_map(Result::ok).find(|a| a.key.local_name().as_ref() == name);
    found.map(|attribute| String::from_utf8_lossy(&attribute.value).into_owned())
}
