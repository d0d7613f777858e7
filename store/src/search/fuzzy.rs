//! FUZZY (RFC 6203): all words of what is looked for, in any order, without case and accents, as
//! beginnings or parts of words, and with a typing error or two in longer ones.

use memchr::memmem::Finder;
use unicode_normalization::char::is_combining_mark;

use super::casemap::casemap;
use crate::mime::cut;

/// Words that are looked at of a string; what is behind them counts only in the whole.
const MAX_WORDS: usize = 32;
/// Octets of a text that are taken apart into words; behind them only parts are found.
const MAX_SPLIT: usize = 1 << 20;
/// Characters of a word in which typing errors are looked for.
const MAX_WORD: usize = 32;

/// How well a text holds all of it, as it stands.
pub(super) const BEST: u8 = 100;
const WORD: u8 = 95;
const BEGINNING: u8 = 85;
const PART: u8 = 75;
const TYPO: u8 = 55;
const TYPOS: u8 = 40;

/// A string made ready.
#[derive(Debug, Clone)]
pub(super) struct Words {
    whole: Finder<'static>,
    words: Vec<Word>,
}

#[derive(Debug, Clone)]
struct Word {
    part: Finder<'static>,
    text: String,
    chars: Vec<char>,
}

/// Mapped by i;unicode-casemap, and without accents.
fn folded(text: &str) -> String {
    let mut folded = casemap(text);
    if !folded.is_ascii() {
        folded.retain(|c| !is_combining_mark(c));
    }
    folded
}

fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(text.as_bytes()).into_owned()
}

impl Words {
    pub(super) fn of(value: &str) -> Self {
        let value = folded(value);
        let word = |word: &str| Word {
            part: finder(word),
            text: word.to_owned(),
            chars: word.chars().take(MAX_WORD + 1).collect(),
        };
        Self { whole: finder(&value), words: split(&value).take(MAX_WORDS).map(word).collect() }
    }

    /// How well a text holds it, from 1 to 100; 0 when it does not.
    pub(super) fn score(&self, text: &str) -> u8 {
        let text = folded(text);
        if self.whole.find(text.as_bytes()).is_some() {
            return BEST;
        }
        let mut sum = 0_usize;
        for word in &self.words {
            match word.score(&text) {
                0 => return 0,
                score => sum += usize::from(score),
            }
        }
        let mean = sum.checked_div(self.words.len()).unwrap_or(0);
        u8::try_from(mean).unwrap_or(BEST)
    }
}

impl Word {
    fn score(&self, text: &str) -> u8 {
        let mut best = if self.part.find(text.as_bytes()).is_some() { PART } else { 0 };
        for word in split(cut(text, MAX_SPLIT)) {
            let score = match word {
                word if best >= PART => self.as_beginning(word),
                word => self.with_errors(word),
            };
            best = best.max(score);
            if best == WORD {
                break;
            }
        }
        best
    }

    fn as_beginning(&self, word: &str) -> u8 {
        match word.strip_prefix(self.text.as_str()) {
            Some("") => WORD,
            Some(_) => BEGINNING,
            None => 0,
        }
    }

    /// One error in four letters, two in eight; never in the first letter.
    fn with_errors(&self, word: &str) -> u8 {
        let allowed = match self.chars.len() {
            0..4 => return 0,
            4..8 => 1,
            _ => 2,
        };
        let length = word.chars().take(MAX_WORD + 1).count();
        let comparable = self.chars.len() <= MAX_WORD && length <= MAX_WORD;
        let first = word.chars().next() == self.chars.first().copied();
        if !first || !comparable || length.abs_diff(self.chars.len()) > allowed {
            return 0;
        }
        match distance(&self.chars, word) {
            errors if errors > allowed => 0,
            0 | 1 => TYPO,
            _ => TYPOS,
        }
    }
}

/// Letters to put in, leave out, replace or swap with their neighbour.
fn distance(left: &[char], right: &str) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=left.len()).collect();
    let mut last = None;
    for (at, c) in right.chars().enumerate() {
        let mut next = vec![at + 1];
        for (place, own) in left.iter().enumerate() {
            let value = |row: &[usize], at: usize| row.get(at).copied().unwrap_or(usize::MAX / 2);
            let replaced = value(&row, place) + usize::from(*own != c);
            let moved = value(&row, place + 1).min(value(&next, place)) + 1;
            let left_of = place.checked_sub(1).and_then(|place| left.get(place));
            let swapped = match left_of {
                Some(other) if last == Some(*own) && *other == c => value(&before, place - 1) + 1,
                _ => usize::MAX,
            };
            next.push(replaced.min(moved).min(swapped));
        }
        before = std::mem::replace(&mut row, next);
        last = Some(c);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_nearer_has_more() {
        let score = |looked_for: &str, text: &str| Words::of(looked_for).score(text);
        let rising = [
            "IMAP is brken, imp",
            "the imap server is brokenly",
            "broken IMAP",
            "Re: imap broken again",
        ];
        let scores: Vec<u8> = rising.iter().map(|text| score("IMAP broken", text)).collect();
        assert_eq!(scores, [75, 90, 95, 100]);
        assert_eq!(score("cafe", "Le Café"), BEST);
        assert_eq!(score("recieve", "I receive mail"), TYPO);
        assert_eq!(score("acommodatoin", "an accommodation"), TYPOS);
        assert_eq!(score("tea", "toa"), 0);
        assert_eq!(score("milk", "silk"), 0);
        assert_eq!(score("!!", "what?"), 0);
        assert_eq!(score("!!", "what!!"), BEST);
        assert_eq!(score("", "anything"), BEST);
    }

    #[test]
    fn distances_count_swaps_once() {
        let between = |left: &str, right: &str| distance(&left.chars().collect::<Vec<_>>(), right);
        assert_eq!(between("abcd", "abdc"), 1);
        assert_eq!(between("abcd", "abcd"), 0);
        assert_eq!(between("abcd", ""), 4);
        assert_eq!(between("", "ab"), 2);
        assert_eq!(between("kitten", "sitting"), 3);
    }
}
