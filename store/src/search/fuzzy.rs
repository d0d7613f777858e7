//! FUZZY (RFC 6203): all words of what is looked for, in any order, without case and accents, as
//! beginnings or parts of words, and with a typing error or two in longer ones. Characters of
//! scripts that write no spaces are words one by one: no typing errors are looked for there.

use memchr::memmem::Finder;
use unicode_normalization::char::is_combining_mark;

use super::casemap::casemap;
use super::scripts::stands_alone;
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

/// One word of what is looked for.
#[derive(Debug, Clone)]
pub struct Word {
    part: Finder<'static>,
    text: String,
    chars: Vec<char>,
    /// Whether none of its characters stands alone.
    one_run: bool,
}

/// Mapped by i;unicode-casemap, and without accents.
fn folded(text: &str) -> String {
    let mut folded = casemap(text);
    drop_marks(&mut folded);
    folded
}

fn drop_marks(mapped: &mut String) {
    if !mapped.is_ascii() {
        mapped.retain(|c| !is_combining_mark(c));
    }
}

/// What is looked for: runs of letters and digits.
fn split(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// Runs of letters and digits of a text, where characters may stand alone.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    split(text).flat_map(|run| {
        let ascii = run.is_ascii();
        let alone = move |c: char| !ascii && stands_alone(c);
        run.split_inclusive(alone).flat_map(move |run| {
            let last = run.char_indices().next_back().filter(|(_, c)| alone(*c));
            let (run, alone) = run.split_at(last.map_or(run.len(), |(at, _)| at));
            [run, alone].into_iter().filter(|run| !run.is_empty())
        })
    })
}

fn finder(text: &str) -> Finder<'static> {
    Finder::new(text.as_bytes()).into_owned()
}

impl Words {
    pub(super) fn of(value: &str) -> Self {
        let value = folded(value);
        let words = split(&value).take(MAX_WORDS).map(Word::of).collect();
        Self { whole: finder(&value), words }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
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
    fn of(word: &str) -> Self {
        Self {
            part: finder(word),
            text: word.to_owned(),
            chars: word.chars().take(MAX_WORD + 1).collect(),
            one_run: runs(word).take(2).count() == 1,
        }
    }

    /// The words of a string, each of which is in every text that matches; none where only the
    /// string as it stands does.
    pub fn all(value: &str) -> Vec<Self> {
        Words::of(value).words
    }

    /// What stands in runs of letters and digits of each text that holds the word, each in one:
    /// mapped by i;unicode-casemap, without marks.
    pub fn stretches(&self) -> impl Iterator<Item = &str> {
        runs(&self.text)
    }

    /// Whether a run of letters and digits of a text may be the word with typing errors. The run
    /// is mapped by i;unicode-casemap, and without marks.
    pub fn is_nearly(&self, run: &str) -> bool {
        self.with_errors(run) > 0
    }

    /// The character that a run begins with which may be the word with typing errors; `None`
    /// where none are allowed.
    pub fn errs_behind(&self) -> Option<char> {
        self.chars.first().copied().filter(|_| self.errors() > 0)
    }

    fn score(&self, text: &str) -> u8 {
        let mut best = if self.part.find(text.as_bytes()).is_some() { PART } else { 0 };
        for word in runs(cut(text, MAX_SPLIT)) {
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

    /// One error in four letters, two in eight.
    fn errors(&self) -> usize {
        match self.chars.len() {
            _ if !self.one_run => 0,
            0..4 => 0,
            4..8 => 1,
            _ => 2,
        }
    }

    /// Never in the first letter.
    fn with_errors(&self, word: &str) -> u8 {
        let allowed = self.errors();
        if allowed == 0 {
            return 0;
        }
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
        assert_eq!(score("brokn", "日broken本"), TYPO);
        assert_eq!(score("日本語", "外は日本語です"), BEST);
        assert_eq!(score("語 日本", "外は日本語です"), 85);
        assert_eq!(score("日本語版", "日本話版"), 0);
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
