//! The terms of a segment in which a word that FUZZY looks for may stand. All of these terms are
//! named, and some more: whoever asks confirms.

use std::borrow::Cow;

use redoubt_store::search::FuzzyWord;
use unicode_normalization::char::is_combining_mark;

use super::flat::Flat;
use super::tokens::{PIECE, SURE, between, floor};

/// Shorter stretches are in most terms: they are not looked for.
const LEAST: usize = 3;

/// The sets of terms of which a text that holds the word has one each.
pub(super) fn terms<'a>(flat: &'a Flat, word: &FuzzyWord) -> Vec<Vec<&'a [u8]>> {
    let tells = |stretch: &&str| stretch.len() >= LEAST;
    word.stretches().filter(tells).map(|stretch| like(flat, stretch, word)).collect()
}

/// Terms that hold a stretch, or are the word with typing errors.
fn like<'a>(flat: &'a Flat, stretch: &str, word: &FuzzyWord) -> Vec<&'a [u8]> {
    // A stretch of any run is not cut by its pieces up to so many octets.
    let head = between(stretch, 0, floor(stretch, SURE.min(stretch.len())));
    let mut found = flat.holding(head, false);
    found.extend(flat.others().filter(|term| is_like(term, head, word)));
    if let Some(first) = word.errs_behind().and_then(|first| u8::try_from(first).ok()) {
        let runs = flat.beginning(first).filter(|term| term.is_ascii());
        found.extend(runs.filter(|term| word.is_nearly(text(term))));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a term with other characters than ASCII's holds it when its marks are left out.
fn is_like(term: &[u8], head: &str, word: &FuzzyWord) -> bool {
    let run = without_marks(text(term));
    // What is as long as a piece may be one: where it is cut is told without its marks only.
    term.len() > PIECE - 4 || run.contains(head) || word.is_nearly(&run)
}

fn without_marks(run: &str) -> Cow<'_, str> {
    match run.contains(is_combining_mark) {
        true => run.chars().filter(|c| !is_combining_mark(*c)).collect::<String>().into(),
        false => run.into(),
    }
}

/// A term without its code.
fn text(term: &[u8]) -> &str {
    term.get(1..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}
