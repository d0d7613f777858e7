//! Tokens of structured header fields (RFC 5322 section 3.2, RFC 2045 section 5.1).

/// A token of a structured field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Token {
    /// Atoms and their dots, or a domain literal with its brackets.
    Text(Vec<u8>),
    /// A quoted string's content.
    Quoted(Vec<u8>),
    /// A comment's content, without the outer parentheses.
    Comment(Vec<u8>),
    /// One of the specials given to the lexer.
    Special(u8),
}

/// Cuts a field's value into tokens. Total and linear; what is not closed ends
/// with the field.
pub(crate) struct Lexer<'a> {
    rest: &'a [u8],
    specials: &'static [u8],
}

impl<'a> Lexer<'a> {
    /// With the specials of an address list.
    pub(crate) fn addresses(rest: &'a [u8]) -> Self {
        Self { rest, specials: b"<>@,;:" }
    }

    /// With the specials of a list of message-ids.
    pub(crate) fn message_ids(rest: &'a [u8]) -> Self {
        Self { rest, specials: b"<>" }
    }

    fn bump(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// Reads to `end`, undoing quoted pairs.
    fn quoted(&mut self, end: u8) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(c) = self.bump() {
            match c {
                _ if c == end => break,
                b'\\' => out.extend(self.bump().filter(visible)),
                _ => out.extend(Some(c).filter(visible)),
            }
        }
        out
    }

    fn comment(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut depth = 1usize;
        while let Some(c) = self.bump() {
            match c {
                b'(' => depth += 1,
                b')' if depth == 1 => break,
                b')' => depth -= 1,
                b'\\' => {
                    out.extend(self.bump().filter(visible));
                    continue;
                }
                _ => {}
            }
            out.extend(Some(c).filter(visible));
        }
        out.trim_ascii().to_vec()
    }

    fn literal(&mut self) -> Vec<u8> {
        let mut out = vec![b'['];
        while let Some(c) = self.bump() {
            out.extend(Some(c).filter(visible));
            if c == b']' {
                break;
            }
        }
        out
    }

    fn atom(&mut self, first: u8) -> Vec<u8> {
        let ends = |c: &u8| self.specials.contains(c) || b" \t\r\n\0\"(".contains(c);
        let len = self.rest.iter().position(ends).unwrap_or(self.rest.len());
        let (atom, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, b""));
        self.rest = rest;
        [&[first], atom].concat()
    }
}

/// What an IMAP string may hold of an unfolded field.
fn visible(c: &u8) -> bool {
    !matches!(c, b'\r' | b'\n' | 0)
}

impl Iterator for Lexer<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            let c = self.bump()?;
            return Some(match c {
                b' ' | b'\t' | b'\r' | b'\n' | 0 => continue,
                b'"' => Token::Quoted(self.quoted(b'"')),
                b'(' => Token::Comment(self.comment()),
                b'[' => Token::Text(self.literal()),
                _ if self.specials.contains(&c) => Token::Special(c),
                _ => Token::Text(self.atom(c)),
            });
        }
    }
}
