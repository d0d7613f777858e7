//! What a reader of HTML sees, and what its links and pictures say.

use mail_parser::decoders::html::add_html_token;

use crate::decode::decode;
use crate::gather::{Gather, Read};

/// Elements whose content is not shown.
const HIDDEN: [&str; 4] = ["script", "style", "noembed", "noframes"];
/// Elements within a line; all others begin a new one.
const INLINE: [&str; 24] = [
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "em", "font", "i", "ins", "kbd",
    "mark", "o", "q", "s", "small", "span", "strong", "sub", "sup", "u",
];
const MAX_REFERENCE: usize = 32;

pub(super) fn read(octets: &[u8], charset: &str, gather: &mut Gather) -> Read {
    let declared = declared_charset(octets);
    let charset = if charset.is_empty() { declared.as_deref().unwrap_or("") } else { charset };
    shown(&decode(octets, charset).0, gather)
}

/// `charset=` in the first thousand octets (HTML, "prescan").
fn declared_charset(octets: &[u8]) -> Option<String> {
    let head = octets.get(..1024).unwrap_or(octets).to_ascii_lowercase();
    let head = String::from_utf8_lossy(&head).into_owned();
    let (_, value) = head.split_once("charset=")?;
    let value = value.trim_start_matches(['"', '\'', ' ']);
    let end = value.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.:".contains(c));
    value.get(..end?).map(String::from)
}

/// The text between and in the tags. One pass; what is open at the end is closed.
pub(super) fn shown(html: &str, gather: &mut Gather) -> Read {
    let mut rest = html;
    while let Some(at) = rest.find(['<', '&']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        words(before, gather)?;
        rest = match from.starts_with('&') {
            true => reference(from, gather)?,
            false => markup(from, gather)?,
        };
    }
    words(rest, gather)?;
    gather.new_line()
}

/// Text between tags: runs of white space are one space.
fn words(text: &str, gather: &mut Gather) -> Read {
    if text.starts_with(|c: char| c.is_ascii_whitespace()) {
        gather.space()?;
    }
    let mut words = text.split_ascii_whitespace().peekable();
    while let Some(word) = words.next() {
        gather.push(word)?;
        if words.peek().is_some() || text.ends_with(|c: char| c.is_ascii_whitespace()) {
            gather.space()?;
        }
    }
    Ok(())
}

/// `&name;` at the beginning; answers what is behind it.
fn reference<'a>(from: &'a str, gather: &mut Gather) -> Read<&'a str> {
    let end = from.bytes().take(MAX_REFERENCE).position(|c| c == b';');
    let token = end.and_then(|end| from.split_at_checked(end + 1));
    let named = |token: &str| {
        let name = token.trim_matches(['&', ';', '#']);
        !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric())
    };
    match token.filter(|(token, _)| named(token)) {
        Some((token, after)) => {
            let mut text = String::new();
            add_html_token(&mut text, token.as_bytes(), false);
            gather.push(&text)?;
            Ok(after)
        }
        None => {
            gather.push("&")?;
            Ok(from.get(1..).unwrap_or_default())
        }
    }
}

/// `<…>` at the beginning; answers what is behind it.
fn markup<'a>(from: &'a str, gather: &mut Gather) -> Read<&'a str> {
    if let Some(comment) = from.strip_prefix("<!--") {
        return Ok(comment.split_once("-->").map_or("", |(_, after)| after));
    }
    let inner = from.get(1..).unwrap_or_default();
    if !inner.starts_with(|c: char| c.is_ascii_alphabetic() || "/!?".contains(c)) {
        gather.push("<")?;
        return Ok(inner);
    }
    let (tag, after) = tag_of(inner);
    let closing = tag.starts_with('/');
    let name = name_of(tag.trim_start_matches('/'));
    match name.as_str() {
        "td" | "th" => gather.space()?,
        name if !INLINE.contains(&name) => gather.new_line()?,
        _ => {}
    }
    attributes(tag, gather)?;
    match !closing && HIDDEN.contains(&name.as_str()) {
        true => Ok(behind(after, &name)),
        false => Ok(after),
    }
}

fn name_of(tag: &str) -> String {
    let end = tag.bytes().take(16).position(|c| !c.is_ascii_alphanumeric());
    tag.get(..end.unwrap_or(tag.len().min(16))).unwrap_or_default().to_ascii_lowercase()
}

/// A tag up to the `>` that is in no quoted value, and what is behind it.
fn tag_of(inner: &str) -> (&str, &str) {
    let (mut quote, mut last) = (None, b' ');
    for (at, c) in inner.bytes().enumerate() {
        match (quote, c) {
            (None, b'>') => {
                let (tag, after) = inner.split_at_checked(at).unwrap_or((inner, ""));
                return (tag, after.get(1..).unwrap_or_default());
            }
            (None, b'"' | b'\'') if last == b'=' => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        if !c.is_ascii_whitespace() {
            last = c;
        }
    }
    (inner, "")
}

/// Where links lead, and what stands for pictures.
fn attributes(tag: &str, gather: &mut Gather) -> Read {
    for name in ["href=", "alt=", "title="] {
        let Some((_, value)) = tag.split_once(name) else { continue };
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let value = match quote {
            Some(quote) => value.get(1..).and_then(|v| v.split(quote).next()),
            None => value.split_ascii_whitespace().next(),
        };
        if let Some(value) = value.filter(|v| !v.is_empty() && !v.starts_with('#')) {
            gather.space()?;
            gather.push(value)?;
            gather.space()?;
        }
    }
    Ok(())
}

/// Behind the closing tag of what is not shown.
fn behind<'a>(mut rest: &'a str, name: &str) -> &'a str {
    while let Some((_, after)) = rest.split_once("</") {
        if after.get(..name.len()).is_some_and(|found| found.eq_ignore_ascii_case(name)) {
            return tag_of(after).1;
        }
        rest = after;
    }
    ""
}
