//! What is searched of a message: pure, and the same for whoever scans and whoever indexes.
//!
//! Each text is one by itself: no phrase goes from one into the next.

use redoubt_store::mime::{
    Envelope, EnvelopeAddress, Nested, Parsed, Part, decode_words, fields, part_text, slice,
};

/// Longer names of files are cut.
const MAX_NAME: usize = 1024;

/// The first Subject, unfolded and decoded.
pub fn subject(parsed: &Parsed) -> String {
    decode_words(parsed.envelope.subject.as_deref().unwrap_or_default())
}

/// Someone in a header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Person {
    /// The display name, decoded; a group's too.
    pub name: String,
    /// What stands before the `@`.
    pub local: String,
    /// What stands behind it.
    pub domain: String,
}

impl Person {
    fn of(address: &EnvelopeAddress) -> Option<Self> {
        let text = |part: &Option<Vec<u8>>| {
            String::from_utf8_lossy(part.as_deref().unwrap_or_default()).into_owned()
        };
        let name = decode_words(address.name.as_deref().unwrap_or_default());
        let local = decode_words(address.mailbox.as_deref().unwrap_or_default());
        match &address.host {
            Some(_) => Some(Self { name, local, domain: text(&address.host) }),
            // A group's name, or its end.
            None if local.is_empty() => None,
            None => Some(Self { name: local, ..Self::default() }),
        }
    }

    /// The texts that words are looked for in: the name, and the address.
    pub fn texts(&self) -> [String; 2] {
        [self.name.clone(), self.address()]
    }

    /// `local@domain`; empty for a group.
    pub fn address(&self) -> String {
        match self.local.is_empty() && self.domain.is_empty() {
            true => String::new(),
            false => format!("{}@{}", self.local, self.domain),
        }
    }
}

/// Those in a list of addresses.
pub fn people(addresses: &[EnvelopeAddress]) -> Vec<Person> {
    addresses.iter().filter_map(Person::of).collect()
}

/// The correspondents of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct People {
    pub from: Vec<Person>,
    pub to: Vec<Person>,
    pub cc: Vec<Person>,
    pub bcc: Vec<Person>,
}

impl People {
    /// Of a message's own header.
    pub fn of(envelope: &Envelope) -> Self {
        let Envelope { from, to, cc, bcc, .. } = envelope;
        Self { from: people(from), to: people(to), cc: people(cc), bcc: people(bcc) }
    }
}

/// A field of a header, and whether it is one of the message's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderField {
    /// Its name as written; empty for a line that is no field.
    pub name: String,
    /// Its value, unfolded and decoded.
    pub value: String,
    /// Whether it stands in the message's own header, and not in that of a part.
    pub own: bool,
}

impl HeaderField {
    /// The text that words are looked for in: name and value.
    pub fn text(&self) -> String {
        format!("{}: {}", self.name, self.value)
    }
}

/// Every field of every header: the message's, its parts', and of messages attached to it.
pub fn headers(content: &[u8], parsed: &Parsed) -> Vec<HeaderField> {
    let mut found = Vec::new();
    for (number, part) in parsed.structure.walk().into_iter().enumerate() {
        found.extend(fields(slice(content, part.header)).map(|field| HeaderField {
            name: String::from_utf8_lossy(field.name).into_owned(),
            value: decode_words(field.value),
            own: number == 0,
        }));
    }
    found
}

/// The text of every part that is text, as IMAP's BODY has it.
pub fn bodies(content: &[u8], parsed: &Parsed) -> Vec<String> {
    parsed.structure.leaves().into_iter().filter_map(|part| part_text(content, part)).collect()
}

/// A part that is no body of its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Its number (RFC 9051 section 6.4.5.1); that of an attached message is its own part's.
    pub part: Vec<u32>,
    /// Its media type in small letters, such as `application/pdf`.
    pub media_type: String,
    /// Its name, decoded.
    pub name: Option<String>,
    /// Whether a reader would call it one: no signature, no picture that the text shows.
    pub shown: bool,
}

impl Attachment {
    /// The texts that words are looked for in: the name, and the media type.
    pub fn texts(&self) -> [String; 2] {
        [self.name.clone().unwrap_or_default(), self.media_type.clone()]
    }
}

/// The attachments of a message, and of messages attached to it: parts that are no text, or that
/// have a name or say that they are attached.
pub fn attachments(parsed: &Parsed) -> Vec<Attachment> {
    let mut found = Vec::new();
    inside(&parsed.structure, &[], &mut found);
    found
}

/// Whether there is any part whose text is extracted.
pub(crate) fn extractable(parsed: &Parsed) -> bool {
    !crate::texts::attachments(&parsed.structure).is_empty()
}

/// A message's body: its parts, or itself as its part 1.
fn inside(body: &Part, above: &[u32], found: &mut Vec<Attachment>) {
    match body.children.is_empty() {
        true => part(body, &[above, &[1]].concat(), false, found),
        false => children(body, above, found),
    }
}

fn children(multipart: &Part, above: &[u32], found: &mut Vec<Attachment>) {
    let related = multipart.is("multipart", Some("related"));
    for (number, child) in (1..).zip(&multipart.children) {
        part(child, &[above, &[number]].concat(), related, found);
    }
}

fn part(one: &Part, number: &[u32], related: bool, found: &mut Vec<Attachment>) {
    if !one.children.is_empty() {
        return children(one, number, found);
    }
    let attached = attachment(one, number, related);
    let name = attached.name.is_some() || one.is_attachment();
    if !one.is("text", None) || name {
        found.push(attached);
    }
    if let Some(Nested { structure, .. }) = one.message.as_deref() {
        inside(structure, number, found);
    }
}

fn attachment(part: &Part, number: &[u32], related: bool) -> Attachment {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).to_ascii_lowercase();
    let media_type = format!("{}/{}", text(&part.media_type), text(&part.subtype));
    let signature = matches!(
        media_type.as_str(),
        "application/pgp-signature"
            | "application/pkcs7-signature"
            | "application/x-pkcs7-signature"
    );
    let in_text = related && part.id.is_some() && !part.is_attachment();
    Attachment {
        part: number.to_vec(),
        name: file_name(part),
        shown: !signature && !in_text,
        media_type,
    }
}

/// The name of a part's file: of Content-Disposition, or else of Content-Type, as RFC 2231
/// encodes it, or as RFC 2047 does, which many do there.
pub fn file_name(part: &Part) -> Option<String> {
    let disposition = part.disposition.iter().map(|(_, parameters)| (parameters, "filename"));
    let content_type = std::iter::once((&part.parameters, "name"));
    for (parameters, name) in disposition.chain(content_type) {
        let named = |wanted: &str| {
            let found = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(wanted.as_bytes()));
            found.map(|(_, value)| value.as_slice())
        };
        let extended = named(&format!("{name}*")).map(extended_value);
        let found = extended.or_else(|| named(name).map(decode_words));
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            return Some(found.chars().take(MAX_NAME).collect());
        }
    }
    None
}

/// RFC 2231 section 4: `charset'language'percent-encoded`.
fn extended_value(value: &[u8]) -> String {
    let mut parts = value.splitn(3, |c| *c == b'\'');
    let (charset, language, text) = (parts.next(), parts.next(), parts.next());
    let (charset, text) = match (charset, language, text) {
        (Some(charset), Some(_), Some(text)) => (charset, text),
        _ => (&b"utf-8"[..], value),
    };
    let octets = percent_decoded(text);
    redoubt_store::mime::decode_charset(charset, &octets)
        .unwrap_or_else(|| String::from_utf8_lossy(&octets).into_owned())
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let digit = |c: Option<&u8>| c.and_then(|c| char::from(*c).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(c) = text.get(at) {
        let pair = digit(text.get(at + 1)).zip(digit(text.get(at + 2)));
        let octet = pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        let octet = octet.filter(|_| *c == b'%');
        out.push(octet.unwrap_or(*c));
        at += if octet.is_some() { 3 } else { 1 };
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use redoubt_store::mime::parse;

    use super::*;

    const MESSAGE: &[u8] = b"From: =?utf-8?q?J=C3=B6rg?= <jorg@example.org>\r\n\
        To: A Group: bob@example.net, <carol@example.com>;\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n\
        Content-Type: application/pdf; name=\"=?utf-8?q?M=C3=BCll.pdf?=\"\r\n\r\nx\r\n--b\r\n\
        Content-Type: multipart/related; boundary=r\r\n\r\n--r\r\nContent-Type: text/html\r\n\r\n<b>Hi</b>\r\n\
        --r\r\nContent-Type: image/png\r\nContent-ID: <1>\r\n\r\nx\r\n--r--\r\n--b\r\n\
        Content-Disposition: attachment; filename*=utf-8''a%20b.txt\r\n\r\nattached\r\n--b\r\n\
        Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Type: image/gif\r\n\r\ny\r\n--b--\r\n";

    #[test]
    fn what_is_searched_of_a_message() {
        let parsed = parse(MESSAGE);
        assert_eq!(subject(&parsed), "grüße");
        let people = People::of(&parsed.envelope);
        assert_eq!(people.from[0].texts(), ["Jörg".to_owned(), "jorg@example.org".to_owned()]);
        let to: Vec<String> =
            people.to.iter().map(|p| format!("{}|{}", p.name, p.address())).collect();
        assert_eq!(to, ["A Group|", "|bob@example.net", "|carol@example.com"]);
        assert_eq!(bodies(MESSAGE, &parsed), ["Hello", "Hi", "attached"]);
        let headers = headers(MESSAGE, &parsed);
        assert!(headers.iter().any(|field| field.text() == "Subject: inner" && !field.own));
        assert!(headers.iter().any(|field| field.text() == "Subject: grüße" && field.own));
    }

    #[test]
    fn attachments_with_their_names_and_numbers() {
        let told: Vec<String> = attachments(&parse(MESSAGE))
            .iter()
            .map(|a| {
                let name = a.name.clone().unwrap_or_default();
                format!("{:?} {} {name} {}", a.part, a.media_type, a.shown)
            })
            .collect();
        assert_eq!(
            told,
            [
                "[2] application/pdf Müll.pdf true",
                "[3, 2] image/png  false",
                "[4] text/plain a b.txt true",
                "[5] message/rfc822  true",
                "[5, 1] image/gif  true",
            ]
        );
        let alone = parse(b"Content-Type: image/png\r\n\r\nx");
        assert_eq!(attachments(&alone)[0].part, [1]);
        assert_eq!(attachments(&parse(b"Subject: x\r\n\r\nhello")), []);
    }
}
