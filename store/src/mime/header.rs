//! Header fields as they stand in the message: octets, not meaning (RFC 5322 section 2.2).

use memchr::memchr;

/// One field of a header, or a line that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The field's name without the colon; empty for a line that is not a field.
    pub name: &'a [u8],
    /// What is behind the colon, folded, without the last line end.
    pub value: &'a [u8],
    /// All its lines, line ends included.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether this is the field `name`; case does not count (RFC 5322 section 1.2.2).
    pub fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The fields of a header, up to its blank line.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of a header, up to its blank line or its end.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

impl<'a> Fields<'a> {
    /// What has not been read: the blank line, once the fields are through.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        if self.rest.is_empty() || is_blank(self.rest) {
            return None;
        }
        let mut end = line_len(self.rest);
        while let Some(next @ [b' ' | b'\t', ..]) = self.rest.get(end..) {
            end += line_len(next);
        }
        let (raw, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(split_field(raw))
    }
}

fn split_field(raw: &[u8]) -> Field<'_> {
    let none = Field { name: b"", value: raw, raw };
    let Some((name, value)) = memchr(b':', raw).and_then(|colon| raw.split_at_checked(colon))
    else {
        return none;
    };
    // RFC 5322 section 4.5: white space before the colon is obsolete, not wrong.
    let name = name.trim_ascii_end();
    if name.is_empty() || !name.iter().all(|c| matches!(c, 33..=126)) {
        return none;
    }
    Field { name, value: without_line_end(value.get(1..).unwrap_or_default()), raw }
}

/// Octets of the first line, its line end included.
pub(crate) fn line_len(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// Whether the first line is empty: what ends a header.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\n") || bytes.starts_with(b"\r\n")
}

/// The line without its CRLF or LF.
pub(crate) fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A field's value on one line (RFC 5322 section 2.2.3): line ends are taken
/// out, as is NUL, which no IMAP string may hold; white space around goes too.
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let kept = value.iter().copied().filter(|c| !matches!(c, b'\r' | b'\n' | 0));
    let line: Vec<u8> = kept.collect();
    line.trim_ascii().to_vec()
}

/// The first field `name` of a header, as it stands in it.
pub fn first<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(header).find(|field| field.is(name.as_bytes()))
}

/// `HEADER.FIELDS` and `HEADER.FIELDS.NOT` (RFC 9051 section 6.4.5.1): the
/// fields that are (or with `not` are not) named, as they stand, and the blank
/// line if the header has one.
pub fn header_fields(header: &[u8], names: &[&[u8]], not: bool) -> Vec<u8> {
    let mut all = fields(header);
    let mut out = Vec::new();
    for field in all.by_ref() {
        let named = names.iter().any(|name| field.is(name));
        // A line that is no field has no name that anyone could ask for.
        if named != not {
            out.extend_from_slice(field.raw);
        }
    }
    out.extend_from_slice(all.rest().get(..line_len(all.rest())).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    const HEADER: &[u8] =
        b"Subject: one\r\n two\r\nX-Empty:\r\nnonsense\r\nFROM : a@b\r\nsubject: again\r\n\r\n";

    #[test]
    fn fields_keep_their_octets() {
        let all: Vec<_> = fields(HEADER).collect();
        assert_eq!(
            all.iter().map(|f| f.name).collect::<Vec<_>>(),
            [&b"Subject"[..], b"X-Empty", b"", b"FROM", b"subject"]
        );
        assert_eq!(all[0].value, b" one\r\n two");
        assert_eq!(unfold(all[0].value), b"one two");
        assert_eq!(all[1].value, b"");
        let joined: Vec<u8> = all.iter().flat_map(|f| f.raw).copied().collect();
        assert_eq!(joined, HEADER[..HEADER.len() - 2]);
    }

    #[test]
    fn header_fields_select_and_keep_the_blank_line() {
        let from = header_fields(HEADER, &[b"from"], false);
        assert_eq!(from, b"FROM : a@b\r\n\r\n");
        let not = header_fields(HEADER, &[b"subject", b"from"], true);
        assert_eq!(not, b"X-Empty:\r\nnonsense\r\n\r\n");
        assert_eq!(header_fields(HEADER, &[b"to"], false), b"\r\n");
        assert_eq!(header_fields(b"To: x\n", &[b"cc"], false), b"");
        assert_eq!(header_fields(b"To: x\ncc: y\n\n", &[b"cc"], false), b"cc: y\n\n");
    }

    #[test]
    fn a_header_of_only_continuations_is_read() {
        let all: Vec<_> = fields(b" x\r\n y\r\n").collect();
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].name, b"");
    }
}
