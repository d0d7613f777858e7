//! What a document is made of in tantivy: one field of terms, one text to confirm on, and
//! numbers by which it is joined with the views.

use redoubt_log::id::AccountId;
use tantivy::schema::{
    FAST, Field, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{Token, TokenStream, Tokenizer, TokenizerManager};
use tantivy::{Index, IndexSettings};

use crate::ask;

/// The number of this layout: an index of another is built anew.
pub(super) const VERSION: u32 = 2;
/// Octets of texts that are compressed together.
const BLOCK: usize = 32 * 1024;
const TOKENIZER: &str = "terms";

/// Ends a term at whose position the next one stands too.
const SAME: char = '\u{1f}';
/// Ends a term that the next one follows.
const NEXT: char = '\u{1e}';
/// Ends a term that is the last of its text.
const LAST: char = '\u{1d}';

/// The fields of the schema.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields {
    pub(super) terms: Field,
    pub(super) text: Field,
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
        text: builder.add_bytes_field("text", STORED),
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
        docstore_blocksize: BLOCK,
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

/// What follows a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Same,
    Next,
    Last,
}

/// Adds a term to a document's list of terms.
pub(super) fn push_term(terms: &mut String, code: Code, term: &str, then: Then) {
    terms.push(char::from(code.0));
    terms.push_str(term);
    terms.push(match then {
        Then::Same => SAME,
        Then::Next => NEXT,
        Then::Last => LAST,
    });
}

/// Reads such lists.
#[derive(Debug, Clone)]
struct Terms;

impl Tokenizer for Terms {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        Stream { rest: text, position: 0, token: Token::default() }
    }
}

struct Stream<'a> {
    rest: &'a str,
    position: usize,
    token: Token,
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let Some(end) = self.rest.find([SAME, NEXT, LAST]) else { return false };
        let (term, rest) = self.rest.split_at(end);
        let step = match rest.chars().next() {
            Some(NEXT) => 1,
            Some(LAST) => 2,
            _ => 0,
        };
        self.token.text.clear();
        self.token.text.push_str(term);
        self.token.position = self.position;
        self.position += step;
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
