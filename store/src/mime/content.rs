//! Content-Type, Content-Disposition and their parameters (RFC 2045 section 5,
//! RFC 2183), with RFC 2231's continuations joined.
//!
//! RFC 2231 section 6 asks IMAP servers to decode parameter continuations in
//! BODYSTRUCTURE: `name*0`, `name*1` … become one `name`. Charset and percent
//! encoding stay, under the name `name*`, for the client to decode: that is
//! what the RFC's own example and other servers do, and loses nothing.

use std::collections::{HashMap, HashSet};

use super::Parameters;
use super::header::unfold;

/// Parameters beyond this number are left out.
pub const MAX_PARAMETERS: usize = 200;

/// A value with parameters: `attachment; filename=x`.
pub(crate) fn with_parameters(value: &[u8]) -> (Vec<u8>, Parameters) {
    let value = unfold(value);
    let mut rest = Rest(&value);
    let head = rest.plain();
    let mut parameters = Vec::new();
    while rest.next_parameter() && parameters.len() < MAX_PARAMETERS {
        parameters.extend(rest.parameter());
    }
    (head, joined(parameters))
}

/// `type/subtype` and parameters; `None` when it does not read as one, which
/// then is text/plain (RFC 2045 section 5.2).
pub(crate) fn content_type(value: &[u8]) -> Option<(Vec<u8>, Vec<u8>, Parameters)> {
    let (head, parameters) = with_parameters(value);
    let slash = head.iter().position(|c| *c == b'/')?;
    let (media, sub) = head.split_at_checked(slash)?;
    let media = media.trim_ascii();
    let sub = sub.get(1..)?.trim_ascii();
    (is_token(media) && is_token(sub)).then(|| (media.to_vec(), sub.to_vec(), parameters))
}

/// The value of a parameter, by its name without regard to case.
pub(crate) fn parameter<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a [u8]> {
    let found = parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name.as_bytes()));
    found.map(|(_, value)| value.as_slice())
}

/// Tags of a Content-Language (RFC 3282): between commas, without comments.
pub(crate) fn languages(value: &[u8]) -> Vec<Vec<u8>> {
    let line = unfold(value);
    let tag = |part: &[u8]| Rest(part).plain();
    line.split(|c| *c == b',').map(tag).filter(|t| !t.is_empty()).take(MAX_PARAMETERS).collect()
}

/// A single token, such as Content-Transfer-Encoding's, without comments.
pub(crate) fn token(value: &[u8]) -> Vec<u8> {
    Rest(&unfold(value)).plain()
}

/// RFC 2045 section 5.1, 8-bit octets let through.
fn is_token(text: &[u8]) -> bool {
    let ok = |c: &u8| *c > 32 && *c != 127 && !b"()<>@,;:\\\"/[]?=".contains(c);
    !text.is_empty() && text.iter().all(ok)
}

/// What is left of a value on one line.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn bump(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn take_until(&mut self, ends: impl Fn(&u8) -> bool) -> &'a [u8] {
        let len = self.0.iter().position(ends).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at_checked(len).unwrap_or((self.0, b""));
        self.0 = rest;
        taken
    }

    /// White space and comments.
    fn skip_cfws(&mut self) {
        loop {
            self.0 = self.0.trim_ascii_start();
            if !self.0.starts_with(b"(") {
                return;
            }
            self.skip_comment();
        }
    }

    fn skip_comment(&mut self) {
        let mut depth = 0usize;
        while let Some(c) = self.bump() {
            match c {
                b'(' => depth += 1,
                b')' => depth -= 1,
                b'\\' => drop(self.bump()),
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// Unquoted text to the next semicolon. Spaces inside are let through
    /// (`name=my file.pdf`); a comment is one only behind white space, so that
    /// `name=file(1).pdf` is whole.
    fn plain(&mut self) -> Vec<u8> {
        self.skip_cfws();
        let mut out = Vec::new();
        loop {
            out.extend_from_slice(self.take_until(|c| *c == b';' || *c == b'('));
            if !self.0.starts_with(b"(") {
                return out.trim_ascii().to_vec();
            }
            match out.last() {
                Some(c) if !c.is_ascii_whitespace() => out.extend(self.bump()),
                _ => self.skip_comment(),
            }
        }
    }

    /// A backslash before other than `"` and `\` is one of a file's name
    /// (`C:\TEMP`): who writes it has not heard of quoted pairs.
    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some(c) = self.bump() {
            match c {
                b'"' => break,
                b'\\' if matches!(self.0, [b'"' | b'\\', ..]) => out.extend(self.bump()),
                _ => out.push(c),
            }
        }
        out
    }

    /// To behind the next semicolon.
    fn next_parameter(&mut self) -> bool {
        self.take_until(|c| *c == b';');
        self.bump().is_some()
    }

    fn parameter(&mut self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.skip_cfws();
        let name = self.take_until(|c| matches!(c, b'=' | b';')).trim_ascii();
        if name.is_empty() || !self.0.starts_with(b"=") {
            return None;
        }
        self.bump();
        self.skip_cfws();
        if self.0.starts_with(b"\"") {
            self.bump();
            return Some((name.to_vec(), self.quoted()));
        }
        Some((name.to_vec(), self.plain()))
    }
}

/// A name with RFC 2231's marks taken off.
struct Marked<'a> {
    base: &'a [u8],
    number: Option<u32>,
    extended: bool,
}

fn marked(name: &[u8]) -> Marked<'_> {
    let (bare, extended) = match name.strip_suffix(b"*") {
        Some(bare) => (bare, true),
        None => (name, false),
    };
    let number = bare.iter().rposition(|c| *c == b'*').and_then(|star| {
        let (base, digits) = bare.split_at_checked(star)?;
        let digits = std::str::from_utf8(digits.get(1..)?).ok()?;
        Some((base, digits.parse().ok()?))
    });
    match number {
        Some((base, number)) => Marked { base, number: Some(number), extended },
        None => Marked { base: bare, number: None, extended },
    }
}

/// RFC 2231 section 3: continuations joined where the first of them stood. A
/// piece whose predecessors are missing stays as it is.
fn joined(parameters: Parameters) -> Parameters {
    let numbered = numbered(&parameters);
    let mut joins = HashMap::new();
    let mut used = HashSet::new();
    for ((base, number), at) in &numbered {
        if *number == 0 {
            let next = |number| numbered.get(&(base.clone(), number)).copied();
            let pieces: Vec<usize> = (0..).map_while(next).collect();
            used.extend(pieces.iter().copied());
            joins.insert(*at, pieces);
        }
    }
    let whole = parameters.iter().enumerate().filter_map(|(at, parameter)| match joins.get(&at) {
        Some(pieces) => Some(join(&parameters, pieces)),
        None => (!used.contains(&at)).then(|| parameter.clone()),
    });
    whole.collect()
}

/// Where each numbered piece stands, by base name in lower case and number.
fn numbered(parameters: &Parameters) -> HashMap<(Vec<u8>, u32), usize> {
    let mut found = HashMap::new();
    for (at, (name, _)) in parameters.iter().enumerate() {
        let mark = marked(name);
        if let Some(number) = mark.number {
            found.entry((mark.base.to_ascii_lowercase(), number)).or_insert(at);
        }
    }
    found
}

fn join(parameters: &Parameters, pieces: &[usize]) -> (Vec<u8>, Vec<u8>) {
    let pieces: Vec<_> = pieces.iter().filter_map(|at| parameters.get(*at)).collect();
    let base = pieces.first().map(|(name, _)| marked(name).base).unwrap_or_default();
    if !pieces.iter().any(|(name, _)| marked(name).extended) {
        return (base.to_vec(), pieces.iter().flat_map(|(_, value)| value).copied().collect());
    }
    // RFC 2231 section 4.1 lets plain and encoded pieces mix: the plain ones
    // are encoded, so that the whole reads as one encoded value.
    let encoded =
        pieces.iter().enumerate().flat_map(|(at, (name, value))| match marked(name).extended {
            true => value.clone(),
            false if at == 0 => [b"''", percent_encoded(value).as_slice()].concat(),
            false => percent_encoded(value),
        });
    ([base, b"*"].concat(), encoded.collect())
}

fn percent_encoded(value: &[u8]) -> Vec<u8> {
    let safe = |c: u8| c.is_ascii_alphanumeric() || b"!#$&+-.^_`{|}~".contains(&c);
    let one = |c: &u8| if safe(*c) { vec![*c] } else { format!("%{c:02X}").into_bytes() };
    value.iter().flat_map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    fn shown(value: &str) -> String {
        let (head, parameters) = with_parameters(value.as_bytes());
        let mut out = String::from_utf8(head).unwrap();
        for (name, value) in parameters {
            out += &format!(
                ";{}={}",
                String::from_utf8(name).unwrap(),
                String::from_utf8(value).unwrap()
            );
        }
        out
    }

    #[test]
    fn parameters_as_written_and_as_met_in_the_wild() {
        for (value, expected) in [
            // RFC 2045 section 5.1
            ("text/plain; charset=us-ascii (Plain text)", "text/plain;charset=us-ascii"),
            ("text/plain; charset=\"us-ascii\"", "text/plain;charset=us-ascii"),
            (
                "text/plain ; charset = utf-8 ; format=flowed;",
                "text/plain;charset=utf-8;format=flowed",
            ),
            ("a/b; name=\"semi;colon \\\"q\\\"\"; x=y", "a/b;name=semi;colon \"q\";x=y"),
            ("a/b; name=my file (1).pdf; x=y", "a/b;name=my file .pdf;x=y"),
            ("a/b; name=file(1).pdf", "a/b;name=file(1).pdf"),
            ("a/b; name=\"open", "a/b;name=open"),
            ("a/b; name=\"C:\\TEMP\\a\\\\b\"", "a/b;name=C:\\TEMP\\a\\b"),
            ("a/b; novalue; =x; y=", "a/b;y="),
            ("(c) attachment (d) ; (e) filename=(f) x", "attachment;filename=x"),
            ("attachment;\r\n filename=\"a\r\n b\"", "attachment;filename=a b"),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn continuations_are_joined_as_rfc_2231_asks() {
        for (value, expected) in [
            // RFC 2231 section 3
            (
                "message/external-body; access-type=URL; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar\"",
                "message/external-body;access-type=URL;URL=ftp://cs.utk.edu/pub/moore/bulk-mailer/bulk-mailer.tar",
            ),
            // section 4
            (
                "application/x-stuff; title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
                "application/x-stuff;title*=us-ascii'en-us'This%20is%20%2A%2A%2Afun%2A%2A%2A",
            ),
            // section 4.1
            (
                "application/x-stuff; title*0*=us-ascii'en'This%20is%20even%20more%20; title*1*=%2A%2A%2Afun%2A%2A%2A%20; title*2=\"isn't it!\"",
                "application/x-stuff;title*=us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!",
            ),
            ("a/b; n*1=two; n*0=one; x=y", "a/b;n=onetwo;x=y"),
            ("a/b; n*0=one; n*2=three", "a/b;n=one;n*2=three"),
            ("a/b; n*1=two", "a/b;n*1=two"),
            ("a/b; n*0=\"it's\"; n*1*=%20me", "a/b;n*=''it%27s%20me"),
        ] {
            assert_eq!(shown(value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_no_media_type_is_none() {
        for value in ["", "text", "text/", "/plain", "text plain/x", "; charset=x", "a/b/c"] {
            assert_eq!(content_type(value.as_bytes()), None, "{value}");
        }
        let (media, sub, _) = content_type(b" Text/HTML (really)").unwrap();
        assert_eq!((media.as_slice(), sub.as_slice()), (&b"Text"[..], &b"HTML"[..]));
    }

    #[test]
    fn languages_are_tags() {
        assert_eq!(languages(b" mi (te reo), en ,"), [b"mi".to_vec(), b"en".to_vec()]);
    }
}
