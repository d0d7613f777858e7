//! Messages that are files, or members of archives (RFC 5322). What is attached in a mail is
//! taken apart by the store.

use mail_parser::{Address, Message, MessageParser, MessagePart, MimeHeaders, PartType};

use super::html;
use crate::Document;
use crate::gather::{Gather, Read, Tally, Trouble};

pub(super) fn read(octets: &[u8], gather: &mut Gather) -> Read {
    match MessageParser::default().parse(octets) {
        Some(message) => whole(&message, 0, gather),
        None => Err(Trouble::Broken("it does not read as a message".into())),
    }
}

/// Messages in messages that are looked into.
const DEPTH: u32 = 8;

fn whole(message: &Message<'_>, depth: u32, gather: &mut Gather) -> Read {
    gather.line(message.subject().unwrap_or_default())?;
    let people = [message.from(), message.to(), message.cc(), message.bcc()];
    people.into_iter().flatten().try_for_each(|address| names(address, gather))?;
    let mut tally = Tally::default();
    for part in &message.parts {
        one(part, depth, gather, &mut tally)?;
    }
    Ok(())
}

fn names(address: &Address<'_>, gather: &mut Gather) -> Read {
    for one in address.iter() {
        gather.push(one.name().unwrap_or_default())?;
        gather.space()?;
        gather.line(one.address().unwrap_or_default())?;
    }
    Ok(())
}

fn one(part: &MessagePart<'_>, depth: u32, gather: &mut Gather, tally: &mut Tally) -> Read {
    gather.new_line()?;
    match &part.body {
        PartType::Multipart(_) => Ok(()),
        PartType::Text(text) => gather.line(text),
        PartType::Html(text) => html::shown(text, gather),
        PartType::Message(_) if depth >= DEPTH => {
            gather.note("messages nested too deep");
            Ok(())
        }
        PartType::Message(inside) => whole(inside, depth + 1, gather),
        PartType::Binary(octets) | PartType::InlineBinary(octets) => {
            let document = described(part);
            gather.count_member()?;
            gather.label(&document.name)?;
            gather.member(&document, octets, tally)
        }
    }
}

fn described(part: &MessagePart<'_>) -> Document {
    let media_type = part
        .content_type()
        .map(|kind| format!("{}/{}", kind.c_type, kind.c_subtype.as_deref().unwrap_or_default()));
    Document {
        media_type: media_type.unwrap_or_default(),
        name: part.attachment_name().unwrap_or_default().into(),
        charset: String::new(),
    }
}
