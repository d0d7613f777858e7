//! What threads a message: its message-ids and its base subject.

use super::encoded_word::decode_words;
use super::header::{fields, first};
use super::lexer::{Lexer, Token};
use super::structure::considered;
use super::subject::base_subject;

/// Message-ids that are looked at of one message: its own, In-Reply-To's, and
/// the last of References.
pub const MAX_MESSAGE_IDS: usize = 64;
/// Longer message-ids are left out (RFC 5322 section 2.1.1's line length).
pub const MAX_MESSAGE_ID: usize = 998;

/// What threads a message (RFC 8621 section 3).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ThreadInputs {
    /// Of Message-ID, In-Reply-To and References, each once, the own first,
    /// without angle brackets.
    pub message_ids: Vec<Vec<u8>>,
    /// The base subject (RFC 5256 section 2.1) without white space, as RFC 8621
    /// compares it.
    pub base_subject: Vec<u8>,
}

/// What threads the message with this raw header.
pub fn thread_inputs(header: &[u8]) -> ThreadInputs {
    let header = considered(header);
    let mut message_ids: Vec<Vec<u8>> = message_id(header).into_iter().collect();
    let mut add = |ids: &mut dyn Iterator<Item = Vec<u8>>| {
        for id in ids {
            if message_ids.len() < MAX_MESSAGE_IDS && !message_ids.contains(&id) {
                message_ids.push(id);
            }
        }
    };
    add(&mut ids_of(header, "in-reply-to").into_iter());
    add(&mut ids_of(header, "references").into_iter().rev());
    let subject = first(header, "subject").map(|field| decode_words(field.value));
    let mut base = base_subject(&subject.unwrap_or_default());
    base.retain(|c| !c.is_whitespace());
    ThreadInputs { message_ids, base_subject: base.into_bytes() }
}

/// The message's own id, without angle brackets.
pub fn message_id(header: &[u8]) -> Option<Vec<u8>> {
    let field = first(header, "message-id")?;
    message_ids(field.value).into_iter().next().or_else(|| bare(field.value))
}

/// Some write it without the brackets.
fn bare(value: &[u8]) -> Option<Vec<u8>> {
    let id = super::unfold(value);
    let whole = !id.is_empty() && !id.iter().any(u8::is_ascii_whitespace);
    (whole && id.len() <= MAX_MESSAGE_ID).then_some(id)
}

/// The ancestors of a message as THREAD=REFERENCES wants them (RFC 5256 section
/// 3): References in order, or else the first of In-Reply-To. At most the last
/// thousand.
pub fn references(header: &[u8]) -> Vec<Vec<u8>> {
    const MAX_REFERENCES: usize = 1000;
    let mut ids = ids_of(header, "references");
    if ids.is_empty() {
        ids = ids_of(header, "in-reply-to");
        ids.truncate(1);
    }
    let from = ids.len().saturating_sub(MAX_REFERENCES);
    ids.split_off(from)
}

fn ids_of(header: &[u8], name: &str) -> Vec<Vec<u8>> {
    let named = fields(header).filter(|field| field.is(name.as_bytes()));
    named.flat_map(|field| message_ids(field.value)).collect()
}

/// What stands in angle brackets, quotes and comments undone (RFC 5256 section
/// 3: ids that differ only in quoting are the same).
fn message_ids(value: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for token in Lexer::message_ids(value) {
        match (token, &mut open) {
            (Token::Special(b'<'), open) => *open = Some(Vec::new()),
            (Token::Special(_), open) => found.extend(open.take()),
            (Token::Text(text) | Token::Quoted(text), Some(id)) => id.extend(text),
            _ => {}
        }
    }
    found.retain(|id: &Vec<u8>| !id.is_empty() && id.len() <= MAX_MESSAGE_ID);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(ids: &[Vec<u8>]) -> Vec<String> {
        ids.iter().map(|id| String::from_utf8_lossy(id).into_owned()).collect()
    }

    #[test]
    fn ids_and_subject_of_a_reply() {
        let header = b"Message-ID: <c@x>\r\nIn-Reply-To: Your message <b@x> of today\r\n\
            References: <a@x>\r\n <\"b\"@x> (c) <a@x>\r\nSubject: Re: =?utf-8?q?H=C3=A9llo?= w\r\n\r\n";
        let inputs = thread_inputs(header);
        assert_eq!(texts(&inputs.message_ids), ["c@x", "b@x", "a@x"]);
        assert_eq!(inputs.base_subject, "Héllow".as_bytes());
        assert_eq!(texts(&references(header)), ["a@x", "b@x", "a@x"]);
    }

    #[test]
    fn nothing_is_an_answer_too() {
        assert_eq!(thread_inputs(b""), ThreadInputs::default());
        assert_eq!(texts(&thread_inputs(b"Message-Id: bare@x\n\n").message_ids), ["bare@x"]);
        assert!(message_id(b"Message-Id: two words\n\n").is_none());
        assert_eq!(texts(&references(b"In-Reply-To: <a@x> <b@x>\n")), ["a@x"]);
    }

    #[test]
    fn the_newest_references_are_kept() {
        let ids: Vec<String> = (0..500).map(|n| format!("<{n}@x>")).collect();
        let header = format!("Message-ID: <own@x>\r\nReferences: {}\r\n", ids.join("\r\n "));
        let inputs = thread_inputs(header.as_bytes());
        assert_eq!(inputs.message_ids.len(), MAX_MESSAGE_IDS);
        assert_eq!(
            texts(&inputs.message_ids).get(..2),
            Some(&["own@x".into(), "499@x".into()][..])
        );
    }
}
