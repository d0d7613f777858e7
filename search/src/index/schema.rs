//! What a document is made of in tantivy: one field of terms, and numbers by which it is joined
//! with the views. No text is kept beside the mail that has it.

use redoubt_log::id::AccountId;
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::store::Compressor;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{Index, IndexSettings};

use crate::ask;

/// The number of this layout: an index of another is built anew.
pub(super) const VERSION: u32 = 3;
const TOKENIZER: &str = "terms";

/// The fields of the schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) terms: Field,
    pub(super) account: Field,
    pub(super) sequence: Field,
    pub(super) ordinal: Field,
    pub(super) received: Field,
    pub(super) sent: Field,
}

/// The schema of every index.
pub(super) fn schema() -> (Schema, Fields) {
    let mut builder = Schema::builder();
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(TOKENIZER)
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let fields = Fields {
        terms: builder
            .add_text_field("terms", TextOptions::default().set_indexing_options(indexing)),
        account: builder.add_u64_field("account", FAST),
        sequence: builder.add_u64_field("sequence", FAST),
        ordinal: builder.add_u64_field("ordinal", FAST),
        received: builder.add_i64_field("received", FAST),
        sent: builder.add_i64_field("sent", FAST),
    };
    (builder.build(), fields)
}

/// How documents are kept.
pub(super) fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

/// Tells an index how terms are read.
pub(super) fn prepare(index: &mut Index) {
    let tokenizers = TokenizerManager::default();
    tokenizers.register(TOKENIZER, Terms);
    index.set_tokenizers(tokenizers);
}

/// Where a term stands in a message: the first octet of the term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Code(pub(super) u8);

impl Code {
    pub(super) const SUBJECT: Self = Self(b'S');
    pub(super) const FROM: Self = Self(b'F');
    pub(super) const TO: Self = Self(b'T');
    pub(super) const CC: Self = Self(b'C');
    pub(super) const BCC: Self = Self(b'B');
    pub(super) const HEADER: Self = Self(b'H');
    pub(super) const BODY: Self = Self(b'X');
    pub(super) const ATTACHMENT: Self = Self(b'A');
    pub(super) const EXTRACTED: Self = Self(b'E');

    /// That of a field. Of what was extracted there are only words without accents.
    pub(super) fn of(field: ask::Field) -> Self {
        match field {
            ask::Field::Subject => Self::SUBJECT,
            ask::Field::From => Self::FROM,
            ask::Field::To => Self::TO,
            ask::Field::Cc => Self::CC,
            ask::Field::Bcc => Self::BCC,
            ask::Field::Header => Self::HEADER,
            ask::Field::Body => Self::BODY,
            ask::Field::Attachment => Self::ATTACHMENT,
            ask::Field::Extracted => Self::EXTRACTED,
        }
    }

    /// The code of the words without accents that stand there.
    pub(super) fn plain(self) -> Self {
        Self(self.0.to_ascii_lowercase())
    }

    /// The code of whole values of a field of which each is a term too; none of other places.
    pub(super) fn whole(self) -> Option<Self> {
        Some(Self(match self {
            Self::SUBJECT => b'5',
            Self::FROM => b'6',
            Self::TO => b'7',
            Self::CC => b'8',
            Self::BCC => b'9',
            _ => return None,
        }))
    }

    /// The term of documents with a value of this field that is no term.
    pub(super) fn long(self) -> String {
        format!("4{}", char::from(self.0))
    }
}

/// The term that all documents of an account have.
pub(super) fn account_term(account: AccountId) -> String {
    format!("0{:016x}", account.0)
}

/// The term of documents that hold more than is indexed: candidates whatever is asked.
pub(super) const PARTIAL: &str = "1";

/// The term of documents whose emails have attachments, and not what is extracted from them:
/// candidates whenever that is asked for.
pub(super) const UNREAD: &str = "2";

/// The term of documents that have what was extracted from attachments: all of it, as the
/// extractor of the account's mark reads it.
pub(super) const READ: &str = "3";

/// How the next term of the same code stands to a term: the octet behind the term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Then {
    /// At the same place.
    Same = 0x1f,
    /// It is the next run, and the gap between is [plain](super::tokens::is_plain).
    Plain = 0x1e,
    /// It is the next run, behind something else.
    Odd = 0x1d,
    /// It follows nothing: it is of another text, or a further piece of one run.
    Apart = 0x1c,
}

/// Whether a text has none of the octets that end terms.
pub(super) fn is_term(text: &str) -> bool {
    !text.bytes().any(|octet| matches!(octet, 0x1c..=0x1f))
}

/// Adds a term to a document's list of terms.
pub(super) fn push_term(terms: &mut String, code: Code, term: &str, then: Then) {
    terms.push(char::from(code.0));
    terms.push_str(term);
    terms.push(char::from(then as u8));
}

/// The number of a place among those of its code: one more for the next run.
pub(super) fn ordinal(position: u32) -> u32 {
    position >> 1
}

/// Whether the gap before a place is an odd one.
pub(super) fn is_odd(position: u32) -> bool {
    position & 1 == 1
}

/// The position behind one.
fn step(position: usize, then: u8) -> usize {
    let next = (position | 1) + 1;
    match then {
        0x1e => next,
        0x1d => next + 1,
        0x1c => next + 2,
        _ => position,
    }
}

/// Reads such lists. Positions count by code.
#[derive(Debug, Clone)]
pub(super) struct Terms;

impl Tokenizer for Terms {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        Stream { rest: text, positions: [0; 128], token: Token::default() }
    }
}

pub(super) struct Stream<'a> {
    rest: &'a str,
    positions: [usize; 128],
    token: Token,
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let octets = self.rest.as_bytes();
        let end = octets.iter().position(|octet| matches!(octet, 0x1c..=0x1f));
        let Some((term, rest)) = end.and_then(|end| self.rest.split_at_checked(end)) else {
            return false;
        };
        let (code, then) = (term.bytes().next().unwrap_or(0), rest.bytes().next().unwrap_or(0));
        self.token.text.clear();
        self.token.text.push_str(term);
        if let Some(position) = self.positions.get_mut(usize::from(code)) {
            self.token.position = *position;
            *position = step(*position, then);
        }
        self.rest = rest.get(1..).unwrap_or_default();
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}
