//! Calendars and contacts (RFC 5545, RFC 6350, vCard 2.1): what their properties say.

use crate::decode::decode;
use crate::gather::{Gather, Read};

/// Properties that say nothing to people, or hold pictures and keys.
const SILENT: [&str; 12] = [
    "BEGIN", "END", "VERSION", "PRODID", "CALSCALE", "SEQUENCE", "REV", "PHOTO", "LOGO", "SOUND",
    "KEY", "TRANSP",
];

pub(super) fn read(octets: &[u8], charset: &str, gather: &mut Gather) -> Read {
    let (text, _) = decode(octets, charset);
    let mut line = String::new();
    for next in text.lines() {
        if let Some(more) = next.strip_prefix([' ', '\t']) {
            line.push_str(more);
            continue;
        }
        let soft = line.ends_with('=') && is_quoted_printable(&line);
        if soft {
            line.pop();
            line.push_str(next);
            continue;
        }
        property(&line, gather)?;
        line = next.to_owned();
    }
    property(&line, gather)
}

fn is_quoted_printable(line: &str) -> bool {
    line.split(':')
        .next()
        .is_some_and(|head| head.to_ascii_uppercase().contains("QUOTED-PRINTABLE"))
}

/// `NAME;PARAMETER=x:value`
fn property(line: &str, gather: &mut Gather) -> Read {
    let Some((head, value)) = split(line) else { return Ok(()) };
    let name = head.split(';').next().unwrap_or_default().to_ascii_uppercase();
    // "item1.EMAIL" is an EMAIL of a group (RFC 6350 section 3.3).
    let name = name.rsplit('.').next().unwrap_or_default();
    let parameters = head.to_ascii_uppercase();
    let binary = parameters.contains("ENCODING=B") || value.starts_with("data:");
    if SILENT.contains(&name) || binary {
        return Ok(());
    }
    if let Some((_, cn)) = head.split_once("CN=") {
        let end = if cn.starts_with('"') { '"' } else { ';' };
        gather.push(cn.trim_start_matches('"').split(end).next().unwrap_or_default())?;
        gather.space()?;
    }
    let value = match is_quoted_printable(line) {
        true => quoted_printable(value),
        false => unescaped(value),
    };
    gather.line(&value)
}

/// At the first colon that is in no quotes.
fn split(line: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let at = line.bytes().position(|c| {
        quoted ^= c == b'"';
        c == b':' && !quoted
    })?;
    Some((line.get(..at)?, line.get(at + 1..)?))
}

/// RFC 5545 section 3.3.11; parts of a structured value stand apart.
fn unescaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n' | 'N') => out.push('\n'),
                Some(c) => out.push(c),
                None => {}
            },
            ';' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn quoted_printable(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((c, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let octet = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match octet.filter(|_| *c == b'=') {
            Some(octet) => {
                out.push(octet);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(if *c == b';' { b' ' } else { *c });
                rest = after;
            }
        }
    }
    decode(&out, "").0
}
