//! What stands in the dictionary of an index: runs of letters, digits and marks in text that is
//! mapped by i;unicode-casemap. Pure.
//!
//! Whatever is a substring of a text is, token by token, the end of a run, whole runs, and the
//! beginning of a run, or lies within one: so the dictionary names every candidate.

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

/// Characters of scripts that write no spaces: each is a run, with the marks behind it.
fn is_alone(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{303c}' | '\u{3041}'..='\u{312f}'
        | '\u{31a0}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b16f}' | '\u{20000}'..='\u{3ffff}')
        && !is_combining_mark(c)
}

/// The runs of a mapped text, rising: where each begins and ends.
pub(super) fn runs(text: &str, see: &mut dyn FnMut(usize, usize)) {
    let (mut start, mut alone) = (None, false);
    for (at, c) in text.char_indices() {
        let inside = is_token(c);
        let cuts = inside && !c.is_ascii() && is_alone(c);
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

/// The terms that a run stands in.
pub(super) fn pieces<'a>(run: &'a str, see: &mut dyn FnMut(&'a str)) {
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

fn between(text: &str, from: usize, to: usize) -> &str {
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
    /// Whether the terms alone tell: nothing needs to be confirmed.
    pub(super) told_by_terms: bool,
}

/// Takes a mapped needle apart.
pub(super) fn needle(mapped: &str) -> Needle {
    // A mark at the beginning is upon something that is not in the needle.
    let rest = mapped.trim_start_matches(is_combining_mark);
    let skipped = mapped.len() - rest.len();
    let mut tokens = Vec::new();
    runs(rest, &mut |from, to| {
        let lie = match (from == 0, to == rest.len()) {
            (true, true) => Lie::Within,
            (true, false) => Lie::End,
            (false, true) => Lie::Start,
            (false, false) => Lie::Whole,
        };
        tokens.push(shortened(between(rest, from, to), lie));
    });
    let whole = |sought: &Sought| sought.lie == Lie::Within && sought.token.len() == mapped.len();
    let told_by_terms = skipped == 0 && tokens.len() == 1 && tokens.iter().all(whole);
    Needle { mapped: mapped.to_owned(), tokens, told_by_terms }
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
        assert!(needle("ELLO").told_by_terms && !needle("ELLO ").told_by_terms);
        assert!(!needle(&"X".repeat(30)).told_by_terms);
    }

    /// What the terms of a text are asked.
    fn may_match(text: &str, needle: &Needle) -> bool {
        let mut terms = Vec::new();
        runs(text, &mut |from, to| pieces(&text[from..to], &mut |piece| terms.push(piece)));
        needle.tokens.iter().all(|sought| {
            terms.iter().any(|term| match sought.lie {
                Lie::Whole => *term == sought.token,
                Lie::Start => term.starts_with(&sought.token),
                Lie::End => term.ends_with(&sought.token),
                Lie::Within => term.contains(&sought.token),
            })
        })
    }

    proptest! {
        /// Every substring is found by its tokens, and where they tell, nothing else is.
        #[test]
        fn no_substring_is_missed(
            text in "([a-zA-Z ö日がß\u{308}\u{3099}@.-]{0,30}|[a-c]{0,200}|[äb]{0,150}| ){0,4}",
            from in 0usize..200, len in 0usize..120, other in "[a-c日ö ]{1,4}",
        ) {
            let mapped = casemap(&text);
            let chars: Vec<char> = mapped.chars().collect();
            let taken: String = chars.iter().skip(from).take(len).collect();
            prop_assert!(may_match(&mapped, &needle(&taken)));
            let other = needle(&casemap(&other));
            if other.told_by_terms {
                prop_assert_eq!(may_match(&mapped, &other), mapped.contains(&other.mapped));
            }
        }
    }
}
