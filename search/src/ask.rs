//! What an index is asked: words and substrings of fields, put together. Pure.
//!
//! An index may answer with more than matches, never with less: whoever asks confirms, unless
//! the answer says that it is exact.

/// Where a needle is looked for. What is searched of a message is said in `facts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The Subject.
    Subject,
    /// From: names and addresses.
    From,
    /// To: names and addresses.
    To,
    /// Cc: names and addresses.
    Cc,
    /// Bcc: names and addresses.
    Bcc,
    /// Any header field of any part, names and values.
    Header,
    /// The text of bodies, as IMAP's BODY has it.
    Body,
    /// Names and media types of attachments.
    Attachment,
    /// What was extracted from attachments.
    Extracted,
}

/// How a needle must lie in a field's text. Needles are folded (case, and accents where the
/// asker wants it) by the index in the way in which it folds text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needle {
    /// A whole word.
    Word(String),
    /// Words that follow each other.
    Phrase(Vec<String>),
    /// A word that begins so.
    Prefix(String),
    /// A word that ends so.
    Suffix(String),
    /// Any stretch of the text, within words or over them.
    Substring(String),
    /// Any stretch of the text, octet by octet under i;unicode-casemap, with all that stands
    /// between words: IMAP's substrings. Accents count.
    Casemapped(String),
    /// All words of a string, in any order and with typing errors: IMAP's FUZZY.
    Fuzzy(String),
}

/// What an index is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Everything: nothing can be narrowed.
    All,
    /// Nothing matches.
    Nothing,
    /// A needle in any of these fields.
    Text {
        /// Where.
        fields: Vec<Field>,
        /// What.
        needle: Needle,
    },
    /// Received at or after the first and before the second, in milliseconds of Unix time.
    Received(i64, i64),
    /// The Date field's day, as written there, at or after the first and before the second: days
    /// since 1970-01-01.
    Sent(i64, i64),
    /// Each of these.
    And(Vec<Ask>),
    /// Any of these.
    Or(Vec<Ask>),
    /// Not this: only exact answers can be turned round.
    Not(Box<Ask>),
}
