//! One email as a document: its terms, and when it was sent.

use std::collections::HashSet;

use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::mime::{self, sent_date};
use redoubt_store::rows::EmailData;
use redoubt_store::search::{Named, Place, casemap, texts};
use tantivy::TantivyDocument;

use super::schema::{Code, Fields, PARTIAL, READ, Then, UNREAD, account_term, is_term, push_term};
use super::tokens::{PIECE, between, floor, is_plain, pieces, runs};
use crate::facts::texts::{Attachment, People, Person, attachments, extractable};
use crate::words;

/// Octets of an email's texts that are indexed; an email with more is a candidate always.
const MAX_TEXT: usize = 1024 * 1024;
/// Octets up to which a value of a field is a term too.
const MAX_VALUE: usize = 200;

/// A document, and how much it is.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) document: TantivyDocument,
    /// Octets of text.
    pub(super) size: usize,
    /// Whether what was extracted from attachments is in it.
    pub(super) read: bool,
    /// Whether it is not, and there may be some.
    pub(super) unread: bool,
}

/// Makes the document of an email; without content, one that is a candidate always. `extracted`
/// is asked for the words of what was extracted where there are attachments.
pub(super) fn draft(
    fields: Fields,
    account: AccountId,
    email: EmailId,
    data: Option<&EmailData>,
    content: Option<&[u8]>,
    extracted: impl FnOnce() -> Option<HashSet<String>>,
) -> Draft {
    let mut document = TantivyDocument::default();
    document.add_u64(fields.account, account.0);
    document.add_u64(fields.sequence, email.sequence.0);
    document.add_u64(fields.ordinal, u64::from(email.ordinal));
    if let Some(data) = data {
        document.add_i64(fields.received, data.received.0);
    }
    let mut text = Text::default();
    match content {
        Some(content) => {
            let parsed = mime::parse(content);
            let date = parsed.envelope.date.as_deref().and_then(sent_date);
            if let Some(date) = date {
                document.add_i64(fields.sent, date.days());
            }
            texts(content, &parsed, &mut |place, shown| text.add(code(place), shown));
            text.add_people(&People::of(&parsed.envelope));
            text.add_attachments(&attachments(&parsed));
            if extractable(&parsed) {
                text.add_extracted(extracted());
            }
        }
        None => text.partial = true,
    }
    let (size, read, unread) = (text.size, text.read, text.unread);
    document.add_text(fields.terms, text.done(account));
    Draft { document, size, read, unread }
}

fn code(place: Place) -> Code {
    match place {
        Place::Named(Named::Subject) => Code::SUBJECT,
        Place::Named(Named::From) => Code::FROM,
        Place::Named(Named::To) => Code::TO,
        Place::Named(Named::Cc) => Code::CC,
        Place::Named(Named::Bcc) => Code::BCC,
        Place::Header => Code::HEADER,
        Place::Body => Code::BODY,
    }
}

/// What has been taken in of an email.
#[derive(Debug, Default)]
struct Text {
    terms: String,
    /// Octets of texts, and of words that were extracted.
    size: usize,
    /// Mapped values of fields of people.
    people: Vec<(Code, String)>,
    /// Words without accents that are not terms as they are, by code.
    plain: HashSet<(Code, String)>,
    /// Fields with values that are no terms.
    long: Vec<Code>,
    partial: bool,
    read: bool,
    unread: bool,
}

impl Text {
    fn add(&mut self, code: Code, text: &str) {
        if self.size >= MAX_TEXT {
            self.partial = true;
            return;
        }
        let mut mapped = casemap(text);
        if mapped.len() > MAX_TEXT {
            mapped.truncate(floor(&mapped, MAX_TEXT));
            self.partial = true;
        }
        self.size += mapped.len();
        self.terms.reserve(mapped.len().saturating_mul(2));
        let is_cut = push_text(&mut self.terms, code, &mapped);
        if is_cut || !text.is_ascii() {
            self.add_plain(code, text, None);
        }
        if let Some(whole) = code.whole() {
            self.add_value(code, whole, mapped);
        }
    }

    /// A value as one term, in which any part of it is found.
    fn add_value(&mut self, code: Code, whole: Code, mapped: String) {
        if mapped.len() > MAX_VALUE || !is_term(&mapped) {
            self.long.push(code);
        } else {
            push_term(&mut self.terms, whole, &mapped, Then::Same);
        }
        if code != Code::SUBJECT {
            self.people.push((code, mapped));
        }
    }

    /// Words without accents, where they are not terms as they are or `known`. No word goes over
    /// a space: what is ASCII and not long has none.
    fn add_plain(&mut self, code: Code, text: &str, known: Option<&HashSet<&str>>) {
        let plain = &mut self.plain;
        let is_known = |word: &str| {
            let known = known.filter(|_| word.is_ascii());
            known.is_some_and(|known| known.contains(word.to_ascii_uppercase().as_str()))
        };
        let odd = |part: &&str| known.is_some() || part.len() > PIECE || !part.is_ascii();
        for part in text.split(|c: char| c.is_ascii_whitespace()).filter(odd) {
            words::each(part, &mut |word, _| {
                if !is_known(word) {
                    plain.insert((code, word.to_owned()));
                }
            });
        }
    }

    /// Names and addresses as they read when quotes and comments are taken away: mostly they hold
    /// no other words.
    fn add_people(&mut self, people: &People) {
        let People { from, to, cc, bcc } = people;
        let values = std::mem::take(&mut self.people);
        for (code, people) in [(Code::FROM, from), (Code::TO, to), (Code::CC, cc), (Code::BCC, bcc)]
        {
            let mut words = HashSet::new();
            values.iter().filter(|(of, _)| *of == code).for_each(|(_, text)| {
                words.extend(known(text));
            });
            for text in people.iter().flat_map(Person::texts) {
                self.add_plain(code, &text, Some(&words));
            }
        }
    }

    fn add_attachments(&mut self, attachments: &[Attachment]) {
        for text in attachments.iter().flat_map(Attachment::texts) {
            self.add(Code::ATTACHMENT, &text);
        }
    }

    /// Only as words without accents: who asks for what is extracted asks for words.
    fn add_extracted(&mut self, words: Option<HashSet<String>>) {
        (self.read, self.unread) = (words.is_some(), words.is_none());
        for word in words.unwrap_or_default() {
            self.size += word.len();
            self.plain.insert((Code::EXTRACTED, word));
        }
    }

    fn done(mut self, account: AccountId) -> String {
        let mut plain: Vec<_> = self.plain.into_iter().collect();
        plain.sort_unstable();
        for (code, word) in plain {
            push_term(&mut self.terms, code.plain(), &word, Then::Same);
        }
        self.long.sort_unstable();
        self.long.dedup();
        let marks = [(PARTIAL, self.partial), (READ, self.read), (UNREAD, self.unread)];
        let marks = marks.into_iter().filter(|(_, is)| *is).map(|(mark, _)| mark.to_owned());
        let long = self.long.into_iter().map(Code::long);
        for term in marks.chain(long).chain([account_term(account)]) {
            let (code, rest) = term.split_at(1);
            let code = Code(code.bytes().next().unwrap_or_default());
            push_term(&mut self.terms, code, rest, Then::Same);
        }
        self.terms
    }
}

/// Adds the terms of a mapped text, each at its place. Whether a run was cut.
pub(super) fn push_text(terms: &mut String, code: Code, mapped: &str) -> bool {
    let (mut last, mut is_cut): (Option<((usize, usize), &str)>, _) = (None, false);
    runs(mapped, &mut |from, to| {
        let run = between(mapped, from, to);
        is_cut |= run.len() > PIECE;
        if let Some(((start, end), piece)) = last {
            let plain = is_plain(between(mapped, start, end), between(mapped, end, from), run);
            push_term(terms, code, piece, if plain { Then::Plain } else { Then::Odd });
        }
        last = Some(((from, to), push_pieces(terms, code, run)));
    });
    if let Some((_, piece)) = last {
        push_term(terms, code, piece, Then::Apart);
    }
    is_cut
}

/// Adds the terms of a run but the last. What is within a run is next to nothing before or behind
/// it.
fn push_pieces<'a>(terms: &mut String, code: Code, run: &'a str) -> &'a str {
    let mut last = None;
    pieces(run, &mut |piece| {
        if let Some(piece) = last.replace(piece) {
            push_term(terms, code, piece, Then::Apart);
        }
    });
    last.unwrap_or_default()
}

/// The runs of a text that are terms as they are.
fn known(mapped: &str) -> HashSet<&str> {
    let mut known = HashSet::new();
    runs(mapped, &mut |from, to| {
        let run = mapped.get(from..to).unwrap_or_default();
        if run.len() <= PIECE {
            known.insert(run);
        }
    });
    known
}
