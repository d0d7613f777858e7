//! What SORT and THREAD ask of a message (RFC 5256, RFC 5957), made small enough to be kept of
//! every message that was ever sorted.

use redoubt_log::id::Timestamp;

use super::encoded_word::decode_words;
use super::structure::considered;
use super::subject::{base_subject, is_reply_or_forward};
use super::thread::{message_id, references};
use super::{EnvelopeAddress, Parsed, cut, sent_date};
use crate::search::casemap;

/// Octets of a name or an address that are compared.
const MAX_TEXT: usize = 4096;

/// A text that is only compared for being the same: 128 bits of its BLAKE3.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    serde::Serialize,
    serde::Deserialize,
)]
pub struct Print([u8; 16]);

impl Print {
    /// Of a text.
    pub fn of(text: &[u8]) -> Self {
        let mut print = [0; 16];
        print.iter_mut().zip(blake3::hash(text).as_bytes()).for_each(|(to, from)| *to = *from);
        Self(print)
    }

    /// Its octets.
    pub fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// A message as SORT and THREAD see it. Texts are mapped by i;unicode-casemap, so that their
/// octets compare as the collation wants; what is not there is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Outline {
    /// The moment its Date names; `None` when there is none that reads (RFC 5256 section 2.2
    /// takes INTERNALDATE then).
    pub sent: Option<Timestamp>,
    /// The base subject (RFC 5256 section 2.1).
    pub subject: String,
    /// Whether the subject is that of a reply or a forward.
    pub reply: bool,
    /// The local part of the first address of From.
    pub from: String,
    /// Of To.
    pub to: String,
    /// Of Cc.
    pub cc: String,
    /// What stands for the first address of From among people (RFC 5957 section 3).
    pub display_from: String,
    /// For that of To.
    pub display_to: String,
    /// Message-ID.
    pub id: Option<Print>,
    /// The ancestors as THREAD=REFERENCES takes them, the eldest first (RFC 5256 section 3).
    pub references: Vec<Print>,
}

impl Outline {
    /// Of a message that was taken apart, and its raw header.
    pub fn of(parsed: &Parsed, header: &[u8]) -> Self {
        let header = considered(header);
        let envelope = &parsed.envelope;
        let subject = envelope.subject.as_deref().map(decode_words).unwrap_or_default();
        Self {
            sent: envelope.date.as_deref().and_then(sent_date).map(|date| date.time),
            subject: casemap(&base_subject(&subject)),
            reply: is_reply_or_forward(&subject),
            from: local_part(&envelope.from),
            to: local_part(&envelope.to),
            cc: local_part(&envelope.cc),
            display_from: display(&envelope.from),
            display_to: display(&envelope.to),
            id: message_id(header).map(|id| Print::of(&id)),
            references: references(header).iter().map(|id| Print::of(id)).collect(),
        }
    }
}

/// addr-mailbox of the first address; of a group it is the name.
fn local_part(addresses: &[EnvelopeAddress]) -> String {
    let mailbox = addresses.first().and_then(|address| address.mailbox.as_deref());
    mapped(&String::from_utf8_lossy(mailbox.unwrap_or_default()))
}

/// The display name, or else the address.
fn display(addresses: &[EnvelopeAddress]) -> String {
    let Some(first) = addresses.first() else { return String::new() };
    let name = decode_words(first.name.as_deref().unwrap_or_default());
    if !name.trim().is_empty() {
        return mapped(name.trim());
    }
    let mailbox = first.mailbox.as_deref().unwrap_or_default();
    match first.host.as_deref().filter(|host| !host.is_empty()) {
        Some(host) => mapped(&String::from_utf8_lossy(&[mailbox, b"@", host].concat())),
        None => mapped(&decode_words(mailbox)),
    }
}

fn mapped(text: &str) -> String {
    casemap(cut(text, MAX_TEXT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline(message: &str) -> Outline {
        let message = message.replace('\n', "\r\n");
        let parsed = super::super::parse(message.as_bytes());
        Outline::of(&parsed, parsed.header.as_deref().unwrap_or_default())
    }

    #[test]
    fn the_first_address_counts_by_its_local_part() {
        let o = outline("From: Zoe <Bob@x>, al@x\nTo: Friends: carol@x;\nCc: \n\n");
        assert_eq!((o.from.as_str(), o.to.as_str(), o.cc.as_str()), ("BOB", "FRIENDS", ""));
        assert_eq!((o.display_from.as_str(), o.display_to.as_str()), ("ZOE", "FRIENDS"));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!((cut("aé", 2), cut("aé", 3), cut("aé", 9), cut("é", 1)), ("a", "aé", "aé", ""));
    }

    #[test]
    fn without_a_name_the_address_is_displayed() {
        for (from, shown) in [
            ("al@x.org", "AL@X.ORG"),
            ("\"\" <al@x.org>", "AL@X.ORG"),
            ("=?utf-8?q?=C3=89mile?= <al@x.org>", "E\u{301}MILE"),
            ("al", "AL"),
        ] {
            assert_eq!(outline(&format!("From: {from}\n\n")).display_from, shown, "{from}");
        }
    }

    #[test]
    fn a_subject_is_decoded_stripped_and_mapped() {
        let o = outline("Subject: =?utf-8?q?Re:_[l]_gr=C3=BC=C3=9Fe?=  (fwd)\nDate: no day\n\n");
        assert_eq!((o.subject.as_str(), o.reply, o.sent), ("GRU\u{308}ßE", true, None));
    }

    #[test]
    fn references_or_else_the_first_of_in_reply_to() {
        let o = outline("Message-ID: <c@x>\nReferences: <a@x> <\"b\"@x>\nIn-Reply-To: <z@x>\n\n");
        assert_eq!(o.id, Some(Print::of(b"c@x")));
        assert_eq!(o.references, [Print::of(b"a@x"), Print::of(b"b@x")]);
        let o = outline("References: nothing\nIn-Reply-To: <z@x> <y@x>\n\n");
        assert_eq!((o.id, o.references), (None, vec![Print::of(b"z@x")]));
    }
}
