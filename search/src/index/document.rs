//! One email as a document: its terms, its mapped text, and when it was sent.

use std::collections::HashSet;

use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::mime::{self, sent_date};
use redoubt_store::rows::EmailData;
use redoubt_store::search::{Named, Place, casemap, texts};
use tantivy::TantivyDocument;

use super::schema::{Code, Fields, PARTIAL, READ, Then, UNREAD, account_term, push_term};
use super::tokens::{PIECE, pieces, runs};
use crate::facts::texts::{Attachment, People, Person, attachments, extractable};
use crate::words;

/// Stands before each text of a document, and in none.
pub(super) const SEPARATOR: char = '\u{ffff}';
/// Octets of an email's texts that are indexed; an email with more is a candidate always.
const MAX_TEXT: usize = 1024 * 1024;

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
    let size = text.mapped.len() + text.extracted;
    let (read, unread) = (text.read, text.unread);
    let (terms, mapped) = text.done(account);
    document.add_text(fields.terms, terms);
    document.add_bytes(fields.text, mapped.as_bytes());
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
    mapped: String,
    /// Words without accents that are not terms as they are, by code.
    plain: HashSet<(Code, String)>,
    partial: bool,
    read: bool,
    unread: bool,
    /// Octets of words that were extracted.
    extracted: usize,
}

impl Text {
    fn add(&mut self, code: Code, text: &str) {
        if self.mapped.len() >= MAX_TEXT {
            self.partial = true;
            return;
        }
        let mut mapped = casemap(text);
        if mapped.len() > MAX_TEXT {
            mapped.truncate(super::tokens::floor(&mapped, MAX_TEXT));
            self.partial = true;
        }
        if mapped.contains(SEPARATOR) {
            mapped = mapped.replace(SEPARATOR, "\u{fffe}");
        }
        let odd = self.add_terms(code, &mapped);
        if odd || !text.is_ascii() {
            self.add_plain(code, text, &known(&mapped));
        }
        self.mapped.push(SEPARATOR);
        self.mapped.push(char::from(code.0));
        self.mapped.push_str(&mapped);
    }

    /// Whether a run was cut.
    fn add_terms(&mut self, code: Code, mapped: &str) -> bool {
        let (terms, mut odd) = (&mut self.terms, false);
        let mut before: Option<(&str, usize)> = None;
        runs(mapped, &mut |from, to| {
            let run = mapped.get(from..to).unwrap_or_default();
            odd |= run.len() > PIECE;
            pieces(run, &mut |piece| {
                if let Some((term, run)) = before.replace((piece, from)) {
                    let then = if run == from { Then::Same } else { Then::Next };
                    push_term(terms, code, term, then);
                }
            });
        });
        if let Some((term, _)) = before {
            push_term(terms, code, term, Then::Last);
        }
        odd
    }

    fn add_plain(&mut self, code: Code, text: &str, known: &HashSet<&str>) {
        let plain = &mut self.plain;
        words::each(text, &mut |word, _| {
            if !(word.is_ascii() && known.contains(word.to_ascii_uppercase().as_str())) {
                plain.insert((code, word.to_owned()));
            }
        });
    }

    /// Names and addresses as they read when quotes and comments are taken away: mostly they hold
    /// no other words.
    fn add_people(&mut self, people: &People) {
        let People { from, to, cc, bcc } = people;
        let mapped = std::mem::take(&mut self.mapped);
        for (code, people) in [(Code::FROM, from), (Code::TO, to), (Code::CC, cc), (Code::BCC, bcc)]
        {
            let texts = mapped.split(SEPARATOR).filter_map(|text| text.split_at_checked(1));
            let own = texts.filter(|(of, _)| of.as_bytes() == [code.0]);
            let mut words = HashSet::new();
            own.for_each(|(_, text)| words.extend(known(text)));
            for text in people.iter().flat_map(Person::texts) {
                self.add_plain(code, &text, &words);
            }
        }
        self.mapped = mapped;
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
            self.extracted += word.len();
            self.plain.insert((Code::EXTRACTED, word));
        }
    }

    fn done(mut self, account: AccountId) -> (String, String) {
        let mut plain: Vec<_> = self.plain.into_iter().collect();
        plain.sort_unstable();
        for (code, word) in plain {
            push_term(&mut self.terms, code.plain(), &word, Then::Same);
        }
        let account = account_term(account);
        let marks = [
            Some(account.as_str()),
            self.partial.then_some(PARTIAL),
            self.read.then_some(READ),
            self.unread.then_some(UNREAD),
        ];
        for term in marks.into_iter().flatten() {
            let (code, rest) = term.split_at(1);
            let code = Code(code.bytes().next().unwrap_or_default());
            push_term(&mut self.terms, code, rest, Then::Same);
        }
        (self.terms, self.mapped)
    }
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
