//! BODY and BODYSTRUCTURE.

use std::fmt::Write;

use bytes::{BufMut, BytesMut};
use redoubt_store::mime::{Envelope, Nested, Part};

use super::{envelope, nstring, string};

/// Stands for what the grammar wants and the message lacks: the part of a
/// multipart without parts, the body of a message that was not taken apart.
const NOTHING: &[u8] = b"(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0";

/// BODY: the structure without extension data.
pub fn body(out: &mut BytesMut, part: &Part) {
    write_part(out, part, false);
}

/// BODYSTRUCTURE (RFC 9051 section 7.5.2).
pub fn body_structure(out: &mut BytesMut, part: &Part) {
    write_part(out, part, true);
}

fn write_part(out: &mut BytesMut, part: &Part, extended: bool) {
    match part.media_type.eq_ignore_ascii_case(b"multipart") {
        true => multipart(out, part, extended),
        false => single(out, part, extended),
    }
}

fn multipart(out: &mut BytesMut, part: &Part, extended: bool) {
    out.put_u8(b'(');
    part.children.iter().for_each(|child| write_part(out, child, extended));
    if part.children.is_empty() {
        nothing(out, extended);
    }
    out.put_u8(b' ');
    string(out, &part.subtype);
    if extended {
        out.put_u8(b' ');
        parameters(out, &part.parameters);
        extension(out, part);
    }
    out.put_u8(b')');
}

fn nothing(out: &mut BytesMut, extended: bool) {
    out.put_slice(NOTHING);
    out.put_slice(if extended { b" NIL NIL NIL NIL)" } else { b")" });
}

fn single(out: &mut BytesMut, part: &Part, extended: bool) {
    out.put_u8(b'(');
    string(out, &part.media_type);
    out.put_u8(b' ');
    string(out, &part.subtype);
    out.put_u8(b' ');
    fields(out, part);
    if is_message(part) {
        message(out, part.message.as_deref(), extended);
        let _ = write!(out, " {}", part.lines);
    } else if part.media_type.eq_ignore_ascii_case(b"text") {
        let _ = write!(out, " {}", part.lines);
    }
    if extended {
        out.put_u8(b' ');
        nstring(out, part.md5.as_deref());
        extension(out, part);
    }
    out.put_u8(b')');
}

/// RFC 9051 section 9, media-message
fn is_message(part: &Part) -> bool {
    let subtypes: [&[u8]; 2] = [b"rfc822", b"global"];
    part.media_type.eq_ignore_ascii_case(b"message")
        && subtypes.iter().any(|subtype| part.subtype.eq_ignore_ascii_case(subtype))
}

/// body-fields
fn fields(out: &mut BytesMut, part: &Part) {
    parameters(out, &part.parameters);
    out.put_u8(b' ');
    nstring(out, part.id.as_deref());
    out.put_u8(b' ');
    nstring(out, part.description.as_deref());
    out.put_u8(b' ');
    string(out, if part.encoding.is_empty() { b"7BIT" } else { &part.encoding });
    let _ = write!(out, " {}", part.body.len);
}

fn message(out: &mut BytesMut, nested: Option<&Nested>, extended: bool) {
    out.put_u8(b' ');
    match nested {
        Some(nested) => {
            envelope(out, &nested.envelope);
            out.put_u8(b' ');
            write_part(out, &nested.structure, extended);
        }
        None => {
            envelope(out, &Envelope::default());
            out.put_u8(b' ');
            nothing(out, extended);
        }
    }
}

/// What BODYSTRUCTURE has behind the parameters or the MD5: disposition, language, location.
fn extension(out: &mut BytesMut, part: &Part) {
    out.put_u8(b' ');
    match &part.disposition {
        Some((kind, of_it)) => {
            out.put_u8(b'(');
            string(out, kind);
            out.put_u8(b' ');
            parameters(out, of_it);
            out.put_u8(b')');
        }
        None => out.put_slice(b"NIL"),
    }
    out.put_u8(b' ');
    strings(out, part.language.iter().map(Vec::as_slice));
    out.put_u8(b' ');
    nstring(out, part.location.as_deref());
}

/// body-fld-param
fn parameters(out: &mut BytesMut, parameters: &[(Vec<u8>, Vec<u8>)]) {
    strings(out, parameters.iter().flat_map(|(name, value)| [name.as_slice(), value]));
}

/// Strings in parentheses, NIL for none.
fn strings<'a>(out: &mut BytesMut, strings: impl Iterator<Item = &'a [u8]>) {
    let mut before = b'(';
    for one in strings {
        out.put_u8(before);
        string(out, one);
        before = b' ';
    }
    out.put_slice(if before == b'(' { b"NIL" } else { b")" });
}
