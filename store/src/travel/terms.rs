//! The terms that `find` takes. Small on purpose: the query language takes their place.

use jiff::civil::{Date, date};
use redoubt_log::record::Flags;

use crate::search::{Day, SearchKey};

/// The most octets of a query.
const MAX_QUERY: usize = 4096;
/// The most terms of a query.
const MAX_TERMS: usize = 64;

/// A query that does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermError {
    /// Too long.
    #[error("a query has at most {MAX_TERMS} terms and {MAX_QUERY} octets")]
    TooLong,
    /// A quote that is not closed.
    #[error("a quotation mark is not closed")]
    Quote,
    /// A term without a value.
    #[error("{0}: wants a value behind it, such as {0}:{1}")]
    Empty(String, &'static str),
    /// No such term.
    #[error(
        "{0:?} is no term: there are from: to: subject: before: after: flag: and plain words; \
         to look for a text with a colon, put it into quotation marks"
    )]
    Unknown(String),
    /// No day.
    #[error("{0:?} is no day: write it as 2026-11-20")]
    NoDay(String),
}

/// Reads terms, all of which must hold: `from:` `to:` `subject:` (substrings), `before:DAY`
/// (received earlier), `after:DAY` (on that day or later, both in UTC), `flag:seen` `flag:unseen`
/// `flag:answered` `flag:flagged` `flag:deleted` `flag:draft` or a keyword; all else is looked for
/// in the whole text. Quotation marks keep spaces together.
///
/// # Errors
/// [`TermError`] with what to write instead.
pub fn terms(text: &str) -> Result<SearchKey, TermError> {
    if text.len() > MAX_QUERY {
        return Err(TermError::TooLong);
    }
    let words = words(text)?;
    if words.len() > MAX_TERMS {
        return Err(TermError::TooLong);
    }
    let keys = words.into_iter().map(term).collect::<Result<Vec<_>, _>>()?;
    Ok(if keys.is_empty() { SearchKey::All } else { SearchKey::And(keys) })
}

/// A word of a query.
#[derive(Debug, Default)]
struct Word {
    /// What stands before the first colon outside of quotation marks.
    key: Option<String>,
    text: String,
    begun: bool,
}

fn words(text: &str) -> Result<Vec<Word>, TermError> {
    let (mut words, mut word, mut quoted) = (Vec::new(), Word::default(), false);
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.begun = true;
            }
            c if c.is_whitespace() && !quoted => {
                if word.begun {
                    words.push(std::mem::take(&mut word));
                }
            }
            ':' if !quoted && word.key.is_none() && !word.text.is_empty() => {
                word.key = Some(std::mem::take(&mut word.text));
            }
            c => {
                word.text.push(c);
                word.begun = true;
            }
        }
    }
    if quoted {
        return Err(TermError::Quote);
    }
    if word.begun {
        words.push(word);
    }
    Ok(words)
}

fn term(word: Word) -> Result<SearchKey, TermError> {
    let Some(key) = word.key else { return Ok(SearchKey::Text(word.text)) };
    let value = |example| match word.text.is_empty() {
        true => Err(TermError::Empty(key.clone(), example)),
        false => Ok(word.text.clone()),
    };
    Ok(match key.to_ascii_lowercase().as_str() {
        "from" => SearchKey::From(value("bob")?),
        "to" => SearchKey::To(value("alice")?),
        "subject" => SearchKey::Subject(value("invoice")?),
        "before" => SearchKey::Before(day(&value("2026-11-20")?)?),
        "after" => SearchKey::Since(day(&value("2026-11-20")?)?),
        "flag" => flag(value("seen")?),
        _ => return Err(TermError::Unknown(key)),
    })
}

fn day(text: &str) -> Result<Day, TermError> {
    let wrong = || TermError::NoDay(text.to_owned());
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let day: Date = plain.then(|| text.parse().ok()).flatten().ok_or_else(wrong)?;
    let days = day.duration_since(date(1970, 1, 1)).as_secs() / (24 * 60 * 60);
    i32::try_from(days).map(Day).map_err(|_| wrong())
}

fn flag(name: String) -> SearchKey {
    match name.trim_start_matches('\\').to_ascii_lowercase().as_str() {
        "seen" => SearchKey::Flags(Flags::SEEN),
        "unseen" => SearchKey::Not(Box::new(SearchKey::Flags(Flags::SEEN))),
        "answered" => SearchKey::Flags(Flags::ANSWERED),
        "flagged" => SearchKey::Flags(Flags::FLAGGED),
        "deleted" => SearchKey::Flags(Flags::DELETED),
        "draft" => SearchKey::Flags(Flags::DRAFT),
        _ => SearchKey::Keyword(name),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn terms_read() {
        let text = |text: &str| SearchKey::Text(text.into());
        for (query, key) in [
            ("", SearchKey::All),
            ("hello", SearchKey::And(vec![text("hello")])),
            ("\"a b\" c", SearchKey::And(vec![text("a b"), text("c")])),
            ("\"re: x\"", SearchKey::And(vec![text("re: x")])),
            (":-)", SearchKey::And(vec![text(":-)")])),
            (
                "From:bob subject:\"Q 3: plan\"",
                SearchKey::And(vec![
                    SearchKey::From("bob".into()),
                    SearchKey::Subject("Q 3: plan".into()),
                ]),
            ),
            (
                "before:1970-01-03 after:1970-01-02",
                SearchKey::And(vec![SearchKey::Before(Day(2)), SearchKey::Since(Day(1))]),
            ),
            (
                "flag:\\Seen flag:$Later",
                SearchKey::And(vec![
                    SearchKey::Flags(Flags::SEEN),
                    SearchKey::Keyword("$Later".into()),
                ]),
            ),
        ] {
            assert_eq!(terms(query), Ok(key), "{query}");
        }
    }

    #[test]
    fn what_does_not_read_says_why() {
        for (query, says) in [
            ("\"a", "not closed"),
            ("from:", "from:bob"),
            ("form:bob", "from:"),
            ("before:yesterday", "2026-11-20"),
            ("before:2026-13-01", "2026-11-20"),
        ] {
            let said = terms(query).unwrap_err().to_string();
            assert!(said.contains(says), "{query}: {said}");
        }
        assert_eq!(terms(&"a ".repeat(65)), Err(TermError::TooLong));
        assert_eq!(terms(&"a".repeat(4097)), Err(TermError::TooLong));
    }
}
