//! OpenDocument (ISO/IEC 26300): text, sheets, presentations alike.

use super::archive::{Zip, content};
use super::xml::{Node, attribute, walk};
use crate::gather::{Gather, Read, Tally, Trouble};

pub(super) fn read(archive: &mut Zip<'_>, names: &[String], gather: &mut Gather) -> Read {
    if is_encrypted(archive, names, gather)? {
        return Err(Trouble::Encrypted("the document has a password".into()));
    }
    let mut tally = Tally::default();
    for wanted in ["content.xml", "/content.xml", "styles.xml", "meta.xml"] {
        for (at, name) in names.iter().enumerate() {
            let is_it =
                if wanted.starts_with('/') { name.ends_with(wanted) } else { name == wanted };
            if is_it {
                let end = content(archive, at, gather).and_then(|octets| text(&octets, gather));
                gather.judge(end, &mut tally)?;
            }
        }
    }
    tally.end()
}

/// Part 2, section 4.8: the manifest says how each member is encrypted.
fn is_encrypted(archive: &mut Zip<'_>, names: &[String], gather: &mut Gather) -> Read<bool> {
    let Some(at) = names.iter().position(|name| name == "META-INF/manifest.xml") else {
        return Ok(false);
    };
    let manifest = content(archive, at, gather)?;
    let mut found = false;
    walk(&manifest, &mut |node| {
        found |= matches!(node, Node::Start(b"encryption-data", _));
        Ok(())
    })?;
    Ok(found)
}

/// Paragraphs and headings; all of the document's properties.
fn text(octets: &[u8], gather: &mut Gather) -> Read {
    let (mut shown, mut properties) = (0_u32, false);
    walk(octets, &mut |node| match node {
        Node::Start(b"document-meta", _) => {
            properties = true;
            Ok(())
        }
        Node::Start(b"p" | b"h", _) => {
            shown += 1;
            Ok(())
        }
        Node::End(b"p" | b"h") => {
            shown = shown.saturating_sub(1);
            gather.new_line()
        }
        Node::Start(b"s" | b"tab", _) => gather.space(),
        Node::Start(b"line-break", _) => gather.new_line(),
        Node::Start(b"a", tag) => link(attribute(tag, b"href"), gather),
        Node::End(_) if properties => gather.new_line(),
        Node::Text(text) if shown > 0 || properties => gather.push(text),
        _ => Ok(()),
    })?;
    gather.new_line()
}

fn link(to: Option<String>, gather: &mut Gather) -> Read {
    match to {
        Some(to) => {
            gather.push(&to)?;
            gather.space()
        }
        None => Ok(()),
    }
}
