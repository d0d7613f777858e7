//! Responses as stories describe them.

use std::collections::BTreeMap;

/// Words that have been seen, by name.
pub(crate) type Words = BTreeMap<String, String>;

/// The words known after `text` was matched, `None` when it is something else.
pub(crate) fn matches(pattern: &str, text: &str, words: &Words) -> Option<Words> {
    if let Some(rest) = pattern.strip_prefix("...") {
        let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        return ends.filter_map(|at| matches(rest, &text[at..], words)).next();
    }
    if let Some(rest) = pattern.strip_prefix('$') {
        let (name, rest) = word(rest);
        let (value, after) = word(text);
        let mut words = words.clone();
        let known = words.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        return match !value.is_empty() && known == value {
            true => matches(rest, after, &words),
            false => None,
        };
    }
    match pattern.chars().next() {
        None => text.is_empty().then(|| words.clone()),
        Some(c) => matches(pattern.strip_prefix(c)?, text.strip_prefix(c)?, words),
    }
}

/// What is sent: known words in their places.
pub(crate) fn fill(text: &str, words: &Words) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        let (name, after) = word(after);
        filled.push_str(before);
        match words.get(name) {
            Some(value) => filled.push_str(value),
            None => filled.extend(["$", name]),
        }
        rest = after;
    }
    filled + rest
}

fn word(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
    text.split_at(end.unwrap_or(text.len()))
}

#[test]
fn patterns_match_and_remember() {
    let none = Words::new();
    let words = matches("* OK [X $v] ...", "* OK [X 12] done", &none).unwrap();
    assert_eq!(words["v"], "12");
    assert!(matches("$v!", "12!", &words).is_some() && matches("$v", "13", &words).is_none());
    assert!(matches("a...", "b", &none).is_none() && matches("a", "ab", &none).is_none());
    assert_eq!(fill("x $v $w", &words), "x 12 $w");
}
