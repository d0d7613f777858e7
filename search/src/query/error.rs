//! What is wrong with a query, and where.

use std::fmt;

/// Characters of the query shown on either side of a mistake.
const AROUND: usize = 30;

/// A query that does not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryError {
    /// The octet of the query at which it stops making sense.
    pub at: usize,
    /// What is wrong, what was expected, what was perhaps meant.
    pub problem: Problem,
    /// The query, or what is shown of it.
    shown: String,
    /// Characters of `shown` before the mistake.
    column: usize,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// More octets than are read.
    #[error("the query is longer than {0} octets")]
    TooLong(usize),
    /// More terms than are read.
    #[error("the query has more than {0} terms")]
    TooManyTerms(usize),
    /// More brackets within brackets than are read.
    #[error("more than {0} brackets, NOT and - lie within each other")]
    TooDeep(usize),
    /// A quotation mark without its end.
    #[error("this quotation mark is not closed")]
    OpenQuote,
    /// A bracket without its end.
    #[error("this bracket is not closed")]
    OpenBracket,
    /// A closing bracket too many.
    #[error("this bracket closes nothing")]
    ClosingBracket,
    /// Brackets with nothing in them.
    #[error("there is nothing in these brackets")]
    EmptyBrackets,
    /// Something stands where a space should.
    #[error("a space is missing here, or the word before it wants quotation marks")]
    Joined,
    /// `AND`, `OR` or `NEAR` without both its sides, `NOT` without what it denies.
    #[error("{0} wants something {1} it; as a word it is written \"{0}\"")]
    Missing(&'static str, &'static str),
    /// A dash alone.
    #[error("- stands directly before what shall not match, as in -draft")]
    Dash,
    /// Between other things than words.
    #[error(
        "NEAR stands between words or phrases of one text, as in subject:(invoice NEAR(5) overdue)"
    )]
    Near,
    /// `NEAR(` without a number.
    #[error("NEAR wants a number of words up to {0} in brackets, as in NEAR(5)")]
    NearNumber(u32),
    /// A star within a word, or alone.
    #[error(
        "* stands at the beginning or at the end of a word, as in invo*, *voice, *voic*; as a character it is in quotation marks"
    )]
    Star,
    /// Nothing that would be a word.
    #[error("there is no letter and no digit in {0:?}, and only words are looked for")]
    NoWord(String),
    /// No such operator.
    #[error("there is no operator {name}:{}; text with a colon is written in quotation marks", perhaps(.meant, ":"))]
    Unknown {
        /// As written.
        name: String,
        /// What is like it.
        meant: Option<&'static str>,
    },
    /// Nothing behind the colon.
    #[error("{name}: wants a value directly behind it, as in {example}")]
    NoValue {
        /// The operator.
        name: &'static str,
        /// How it is used.
        example: &'static str,
    },
    /// A value that it does not take.
    #[error("{name}: does not take {value:?}{}; it is used as in {example}", perhaps(.meant, ""))]
    Value {
        /// The operator.
        name: &'static str,
        /// As written.
        value: String,
        /// What is like it.
        meant: Option<&'static str>,
        /// How it is used.
        example: &'static str,
    },
    /// An operator within the brackets of another.
    #[error("no operator stands within the brackets of {0}:")]
    Within(&'static str),
    /// `asof:` or `zone:` where it would hold for a part of the query.
    #[error(
        "{0}: holds for the whole query: it stands once, outside of brackets, and is not denied"
    )]
    Whole(&'static str),
    /// What it asks for is not kept yet.
    #[error("{0}: cannot be answered yet: {1}")]
    NotYet(&'static str, &'static str),
}

fn perhaps(meant: &Option<&'static str>, behind: &str) -> String {
    meant.map(|meant| format!(", perhaps {meant}{behind} is meant")).unwrap_or_default()
}

impl QueryError {
    pub(super) fn new(query: &str, at: usize, problem: Problem) -> Self {
        let before: Vec<char> = query.get(..at).unwrap_or(query).chars().collect();
        let skipped = before.len().saturating_sub(AROUND);
        let behind = query.get(at..).unwrap_or_default().chars().take(AROUND);
        let one_line = |c: char| if c.is_control() { ' ' } else { c };
        let shown = before.iter().skip(skipped).copied().chain(behind).map(one_line).collect();
        Self { at, problem, shown, column: before.len() - skipped }
    }
}

impl fmt::Display for QueryError {
    /// What is wrong; below it the query, and a mark under the character.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { problem, shown, column, .. } = self;
        write!(f, "{problem}\n  {shown}\n  {:>1$}", '^', column + 1)
    }
}

impl std::error::Error for QueryError {}

/// The name most like one that is none, if one is like it.
pub(super) fn like(
    written: &str,
    names: impl Iterator<Item = &'static str>,
) -> Option<&'static str> {
    let written = written.to_ascii_lowercase();
    if written.len() > 30 {
        return None;
    }
    let far = |name: &str| strsim::osa_distance(&written, name);
    let near = names.map(|name| (far(name), name)).min_by_key(|(far, _)| *far);
    near.filter(|(far, name)| *far <= 2 && *far < name.len().max(2) - 1).map(|(_, name)| name)
}
