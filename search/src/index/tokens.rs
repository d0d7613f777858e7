//! What stands in the dictionary of an index: runs of letters, digits and marks in text that is
//! mapped by i;unicode-casemap. Pure.
//!
//! Whatever is a substring of a text is, token by token, the end of a run, whole runs, and the
//! beginning of a run, or lies within one: so the dictionary names every candidate.

use redoubt_store::search::stands_alone;
use unicode_normalization::char::is_combining_mark;

/// Octets of a term; a longer run stands in several that overlap.
pub(super) const PIECE: usize = 64;
/// A needle of so many octets within a run of any length lies within one of its pieces.
pub(super) const SURE: usize = 24;
/// A beginning or end of a run of so many octets is that of its first or last piece.
pub(super) const EDGE: usize = 60;

/// Whether a character is part of a run.
pub(super) fn is_token(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric();
    }
    c.is_alphanumeric() || is_combining_mark(c)
}

/// The runs of a mapped text, rising: where each begins and ends.
pub(super) fn runs(text: &str, see: &mut impl FnMut(usize, usize)) {
    if text.is_ascii() {
        return runs_of_ascii(text.as_bytes(), see);
    }
    let (mut start, mut alone) = (None, false);
    for (at, c) in text.char_indices() {
        let inside = is_token(c);
        let cuts = inside && !c.is_ascii() && stands_alone(c);
        let goes_on = inside && !cuts && (!alone || is_combining_mark(c));
        if let Some(from) = start.filter(|_| !goes_on) {
            see(from, at);
            start = None;
        }
        if inside && start.is_none() {
            (start, alone) = (Some(at), cuts);
        }
    }
    if let Some(from) = start {
        see(from, text.len());
    }
}

fn runs_of_ascii(text: &[u8], see: &mut impl FnMut(usize, usize)) {
    let mut start = None;
    for (at, octet) in text.iter().enumerate() {
        match (octet.is_ascii_alphanumeric(), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                see(from, at);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        see(from, text.len());
    }
}

/// Whether what stands between two runs is what mostly does: one space, or nothing where one of
/// them is a character by itself.
pub(super) fn is_plain(before: &str, between: &str, after: &str) -> bool {
    let alone = |run: &str| run.chars().next().is_some_and(|c| !c.is_ascii() && stands_alone(c));
    match alone(before) || alone(after) {
        true => between.is_empty(),
        false => between == " ",
    }
}

/// The terms that a run stands in, the first and the last of them with its beginning and its end.
pub(super) fn pieces<'a>(run: &'a str, see: &mut impl FnMut(&'a str)) {
    if run.len() <= PIECE {
        return see(run);
    }
    let mut from = 0;
    while from + PIECE < run.len() {
        see(between(run, from, floor(run, from + PIECE)));
        from = floor(run, from + PIECE / 2);
    }
    see(between(run, floor(run, run.len() - PIECE), run.len()));
}

pub(super) fn between(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or_default()
}

/// The character boundary at or before an octet.
pub(super) fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// How a token of a needle lies in a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// It is the term.
    Whole,
    /// The term begins with it.
    Start,
    /// The term ends with it.
    End,
    /// It is anywhere in the term.
    Within,
}

/// One token of a needle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sought {
    pub(super) token: String,
    pub(super) lie: Lie,
}

/// A needle as its tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Needle {
    /// As it is looked for in mapped text.
    pub(super) mapped: String,
    /// In their order; none when there is nothing to look up.
    pub(super) tokens: Vec<Sought>,
    /// Before each of them but the first: whether the gap is [plain](is_plain).
    pub(super) plain: Vec<bool>,
    /// Whether a token is looked for by a part of it.
    pub(super) cut: bool,
    /// Whether terms and where they stand tell: nothing needs to be confirmed.
    pub(super) told: bool,
}

/// Takes a mapped needle apart.
pub(super) fn needle(mapped: &str) -> Needle {
    // A mark at the beginning is upon something that is not in the needle.
    let rest = mapped.trim_start_matches(is_combining_mark);
    let mut found = Vec::new();
    runs(rest, &mut |from, to| found.push((from, to)));
    let of = |(from, to): (usize, usize)| between(rest, from, to);
    let plain = found.iter().zip(found.iter().skip(1));
    let plain = plain.map(|(a, b)| is_plain(of(*a), between(rest, a.1, b.0), of(*b)));
    let plain: Vec<bool> = plain.collect();
    let tokens: Vec<Sought> =
        found.iter().map(|(from, to)| shortened(of((*from, *to)), lie(rest, *from, *to))).collect();
    let cut = found.iter().zip(&tokens).any(|(run, sought)| sought.token != of(*run));
    let ends = found.first().zip(found.last()).map(|(first, last)| (first.0, last.1));
    let whole = rest.len() == mapped.len() && ends == Some((0, rest.len()));
    let told = whole && !cut && plain.iter().all(|plain| *plain);
    Needle { mapped: mapped.to_owned(), tokens, plain, cut, told }
}

/// How a run of a needle lies in a term.
fn lie(needle: &str, from: usize, to: usize) -> Lie {
    match (from == 0, to == needle.len()) {
        (true, true) => Lie::Within,
        (true, false) => Lie::End,
        (false, true) => Lie::Start,
        (false, false) => Lie::Whole,
    }
}

/// A token that may be cut into pieces is looked for by a part that none of them cuts.
fn shortened(token: &str, lie: Lie) -> Sought {
    let head = |len: usize| between(token, 0, floor(token, len)).to_owned();
    let (token, lie) = match lie {
        Lie::Within if token.len() > SURE => (head(SURE), Lie::Within),
        Lie::Start if token.len() > EDGE => (head(EDGE), Lie::Start),
        Lie::Whole if token.len() > PIECE => (head(EDGE), Lie::Start),
        Lie::End if token.len() > EDGE => {
            let from = (token.len() - EDGE..token.len()).find(|at| token.is_char_boundary(*at));
            (between(token, from.unwrap_or_default(), token.len()).to_owned(), Lie::End)
        }
        _ => (token.to_owned(), lie),
    };
    Sought { token, lie }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use redoubt_store::search::casemap;
    use tantivy::tokenizer::{TextAnalyzer, TokenStream};

    use super::super::document::push_text;
    use super::super::read::in_a_row;
    use super::super::schema::{Code, Terms};
    use super::*;

    fn found(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        runs(text, &mut |from, to| found.push(&text[from..to]));
        found
    }

    #[test]
    fn runs_of_several_scripts() {
        assert_eq!(found("FOO-BAR@X1.ORG"), ["FOO", "BAR", "X1", "ORG"]);
        assert_eq!(found("日本ABC"), ["日", "本", "ABC"]);
        assert_eq!(found("か\u{3099}くA\u{308}"), ["か\u{3099}", "く", "A\u{308}"]);
        assert_eq!(found(" -- "), [""; 0]);
    }

    #[test]
    fn needles_lie_as_they_must() {
        let lies = |text| needle(text).tokens.into_iter().map(|s| s.lie).collect::<Vec<_>>();
        assert_eq!(lies("ELLO WOR"), [Lie::End, Lie::Start]);
        assert_eq!(lies("<A.B>"), [Lie::Whole, Lie::Whole]);
        assert!(needle("ELLO").told && !needle("ELLO ").told && !needle(" WOR").told);
        assert!(!needle(&"X".repeat(30)).told);
        assert!(needle("ELLO WOR").told && needle("日本").told && needle("A日").told);
        assert!(!needle("ELLO  WOR").told && !needle("日 本").told && !needle("A.B").told);
        assert_eq!(needle("A B日, C").plain, [true, true, false]);
    }

    /// The terms of a text with their places, as an index has them.
    fn placed(text: &str) -> Vec<(String, u32)> {
        let mut list = String::new();
        push_text(&mut list, Code::BODY, text);
        let mut tokenizer = TextAnalyzer::from(Terms);
        let mut stream = tokenizer.token_stream(&list);
        let mut terms = Vec::new();
        while stream.advance() {
            let token = stream.token();
            terms.push((token.text[1..].to_owned(), token.position as u32));
        }
        terms
    }

    fn lies(term: &str, sought: &Sought) -> bool {
        match sought.lie {
            Lie::Whole => *term == sought.token,
            Lie::Start => term.starts_with(&sought.token),
            Lie::End => term.ends_with(&sought.token),
            Lie::Within => term.contains(&sought.token),
        }
    }

    /// What the terms of a text are asked.
    fn may_match(text: &str, needle: &Needle) -> bool {
        let terms = placed(text);
        let places = |sought: &Sought| -> Vec<(u32, u32)> {
            let mut places: Vec<(u32, u32)> = terms
                .iter()
                .filter(|(term, _)| lies(term, sought))
                .map(|(_, position)| (0, *position))
                .collect();
            places.sort_unstable();
            places
        };
        let all: Vec<_> = needle.tokens.iter().map(places).collect();
        match needle.cut {
            true => all.iter().all(|places| !places.is_empty()),
            false => all.is_empty() || !in_a_row(all, &needle.plain).is_empty(),
        }
    }

    proptest! {
        /// Every substring is found by its tokens, and where they tell, nothing else is.
        #[test]
        fn no_substring_is_missed(
            text in "([a-zA-Z ö日がß\u{308}\u{3099}@.-]{0,30}|[a-c]{0,200}|[äb]{0,150}| ){0,4}",
            from in 0usize..200, len in 0usize..120, other in "[a-c日ö ]{1,6}",
        ) {
            let mapped = casemap(&text);
            let chars: Vec<char> = mapped.chars().collect();
            let taken: String = chars.iter().skip(from).take(len).collect();
            prop_assert!(may_match(&mapped, &needle(&taken)));
            let other = needle(&casemap(&other));
            if other.told {
                prop_assert_eq!(may_match(&mapped, &other), mapped.contains(&other.mapped));
            }
        }

        /// Few letters and gaps, so that what is nearly the same is often there.
        #[test]
        fn where_terms_stand_tells(text in "[ab日 .]{0,12}", other in "[ab日 ]{1,5}") {
            let (mapped, other) = (casemap(&text), needle(&casemap(&other)));
            if other.told {
                prop_assert_eq!(may_match(&mapped, &other), mapped.contains(&other.mapped));
            }
        }
    }
}
