//! The collation i;unicode-casemap (RFC 5051), as a mapping: two strings match
//! when their mapped forms do.

use unicode_normalization::char::decompose_compatible;

/// The string as i;unicode-casemap compares it (RFC 5051 section 2): each
/// character's simple titlecase, then its decomposition of any type. CRLF is
/// LF, so that it does not matter how a line was ended.
pub fn casemap(text: &str) -> String {
    if text.is_ascii() && !text.contains('\r') {
        return text.to_ascii_uppercase();
    }
    if text.is_ascii() {
        return lines_of_ascii(text);
    }
    let mut mapped = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            c if c.is_ascii() => mapped.push(c.to_ascii_uppercase()),
            c => decomposed(simple_titlecase(c), &mut mapped),
        }
    }
    mapped
}

fn lines_of_ascii(text: &str) -> String {
    let mut mapped = String::with_capacity(text.len());
    for line in text.split_inclusive("\r\n") {
        match line.strip_suffix("\r\n") {
            Some(line) => {
                mapped.push_str(line);
                mapped.push('\n');
            }
            None => mapped.push_str(line),
        }
    }
    mapped.make_ascii_uppercase();
    mapped
}

/// Syllables of Hangul have no decomposition in UnicodeData.txt: one is not
/// the beginning of another.
fn decomposed(c: char, mapped: &mut String) {
    match c {
        '\u{ac00}'..='\u{d7a3}' => mapped.push(c),
        c => decompose_compatible(c, |part| mapped.push(part)),
    }
}

/// The Simple_Titlecase_Mapping of UnicodeData.txt. It is the uppercase letter
/// where that is one, but for digraphs, Greek with iota below, and Georgian.
fn simple_titlecase(c: char) -> char {
    match c {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        '\u{10d0}'..='\u{10ff}' => c,
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => above(c, 8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => above(c, 9),
        c => {
            let mut upper = c.to_uppercase();
            upper.next().filter(|_| upper.next().is_none()).unwrap_or(c)
        }
    }
}

fn above(c: char, by: u32) -> char {
    char::from_u32(u32::from(c) + by).unwrap_or(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_in_case_or_composition_is_the_same() {
        for (one, other) in [
            ("Jörg", "JÖRG"),
            ("jo\u{308}rg", "Jörg"),
            ("привет", "ПРИВЕТ"),
            ("σίγμα", "ΣΊΓΜΑ"),
            ("ς", "Σ"),
            ("ǆ", "Ǆ"),
            ("ᾀ", "ᾈ"),
            ("ﬁ", "ﬁ"),
            ("Ａ", "a"),
            ("a\u{a0}b", "A B"),
            ("a\r\nb", "A\nb"),
            ("ÿ", "Ÿ"),
        ] {
            assert_eq!(casemap(one), casemap(other), "{one} {other}");
        }
    }

    #[test]
    fn lines_end_alike_in_all_texts() {
        let text = "a\r\r\n\r\n\nb\r\nc\r";
        assert_eq!(casemap(text), "A\r\n\n\nB\nC\r");
        assert_eq!(casemap(&format!("{text}ж")), "A\r\n\n\nB\nC\rЖ");
    }

    #[test]
    fn what_differs_otherwise_is_not() {
        for (one, other) in [("ß", "ss"), ("a\rb", "ab"), ("ı", "j"), ("가", "각"), ("Ა", "ა")]
        {
            assert_ne!(casemap(one), casemap(other), "{one} {other}");
        }
        assert!(!casemap("각").starts_with(&casemap("가")));
    }
}
