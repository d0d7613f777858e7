//! Names of mailboxes: what may stand in one (RFC 9051 section 5.1).

use unicode_normalization::UnicodeNormalization;

use super::WriteError;
use crate::mailbox::{MAX_LEVEL, MAX_LEVELS, MAX_NAME};

/// A mailbox's name taken apart: NFC, each level checked, `INBOX` in capitals at the top.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxPath(Vec<String>);

impl MailboxPath {
    /// Reads a whole name with `/` between its levels. One `/` at the end is
    /// only a declaration (RFC 9051 section 6.3.4).
    ///
    /// # Errors
    /// [`WriteError::Invalid`] with what is wrong.
    pub fn parse(name: &str) -> Result<Self, WriteError> {
        let name = name.strip_suffix('/').unwrap_or(name);
        if name.len() > MAX_NAME {
            return Err(invalid(format!("a mailbox name has at most {MAX_NAME} octets")));
        }
        let mut levels = name.split('/').map(level).collect::<Result<Vec<_>, _>>()?;
        if levels.len() > MAX_LEVELS {
            return Err(invalid(format!("a mailbox name has at most {MAX_LEVELS} levels")));
        }
        match levels.first_mut() {
            Some(top) if top.eq_ignore_ascii_case("INBOX") => "INBOX".clone_into(top),
            Some(top) if top.starts_with('#') => {
                return Err(invalid("names that begin with # are reserved".to_owned()));
            }
            _ => {}
        }
        Ok(Self(levels))
    }

    /// The levels, the top first; never none.
    pub fn levels(&self) -> &[String] {
        &self.0
    }

    /// The lowest level: the mailbox's own name.
    pub fn last(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }

    /// Whether it is the inbox itself.
    pub fn is_inbox(&self) -> bool {
        matches!(self.0.as_slice(), [top] if top == "INBOX")
    }

    /// Names from the top down to this one.
    pub fn prefixes(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.0.len()).filter_map(|n| Some(self.0.get(..n)?.join("/")))
    }
}

impl std::fmt::Display for MailboxPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

fn level(text: &str) -> Result<String, WriteError> {
    let level: String = text.nfc().collect();
    if level.is_empty() {
        return Err(invalid("a level of a mailbox name is empty".to_owned()));
    }
    if level.len() > MAX_LEVEL {
        return Err(invalid(format!("a level of a mailbox name has at most {MAX_LEVEL} octets")));
    }
    match level.chars().find(|c| forbidden(*c)) {
        Some(c) => Err(invalid(format!("a mailbox name cannot have U+{:04X} in it", c as u32))),
        None => Ok(level),
    }
}

/// Controls and the line separators (RFC 9051 section 5.1, RFC 5198 section 2).
fn forbidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

fn invalid(problem: String) -> WriteError {
    WriteError::Invalid(problem)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn good_names() {
        let path = MailboxPath::parse("inbox/Re\u{301}ponses/2024/").unwrap();
        assert_eq!(path.to_string(), "INBOX/R\u{e9}ponses/2024");
        let prefixes: Vec<_> = path.prefixes().collect();
        assert_eq!(prefixes, ["INBOX", "INBOX/R\u{e9}ponses", "INBOX/R\u{e9}ponses/2024"]);
        assert!(MailboxPath::parse("iNbOx").unwrap().is_inbox());
        assert!(!path.is_inbox());
    }

    #[test]
    fn bad_names() {
        let long = "a".repeat(MAX_LEVEL + 1);
        let deep = "a/".repeat(MAX_LEVELS + 1);
        for name in ["", "/", "/a", "a//b", "a\nb", "a\u{2028}", "#history/x", &long, &deep] {
            assert!(matches!(MailboxPath::parse(name), Err(WriteError::Invalid(_))), "{name:?}");
        }
    }
}
