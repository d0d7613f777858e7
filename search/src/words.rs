//! What a word is. Pure: the one answer for whoever scans a text and whoever indexes it.
//!
//! A word is a run of letters, digits and the marks upon them; everything else stands between
//! words. Characters of scripts that write no spaces (Han, Kana, Hangul, Thai, Lao, Khmer,
//! Burmese) are words one by one, so that what is looked for there is a phrase. A run longer than
//! [`MAX_WORD`] is several words. Two words are the same when their [`plain`](Words::plain) forms
//! are: compatibility forms, case and accents folded. The [`marked`](Words::marked) form keeps the
//! accents, for who writes them and means them.

use std::collections::BTreeMap;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Characters of one word; a longer run is cut into words of so many.
pub const MAX_WORD: usize = 128;

/// The words of a text, in their order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    plain: String,
    ends: Vec<u32>,
    /// Those that differ from their plain forms.
    marked: BTreeMap<u32, String>,
}

impl Words {
    /// The words of a text. What stands behind 4 GiB of words is left out.
    pub fn of(text: &str) -> Self {
        let mut found = Self::default();
        each(text, &mut |plain, marked| found.push(plain, marked));
        found
    }

    fn push(&mut self, plain: &str, marked: &str) {
        let (Ok(number), Ok(end)) =
            (u32::try_from(self.ends.len()), u32::try_from(self.plain.len() + plain.len()))
        else {
            return;
        };
        self.plain.push_str(plain);
        self.ends.push(end);
        if marked != plain {
            self.marked.insert(number, marked.to_owned());
        }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A word without its accents; empty behind the last.
    pub fn plain(&self, number: usize) -> &str {
        let end = |number: usize| self.ends.get(number).map(|end| *end as usize);
        let start = number.checked_sub(1).and_then(end).unwrap_or(0);
        end(number).and_then(|end| self.plain.get(start..end)).unwrap_or_default()
    }

    /// A word with its accents; empty behind the last.
    pub fn marked(&self, number: usize) -> &str {
        let marked = u32::try_from(number).ok().and_then(|number| self.marked.get(&number));
        marked.map_or_else(|| self.plain(number), String::as_str)
    }

    /// Whether any of them has an accent.
    pub fn is_marked(&self) -> bool {
        !self.marked.is_empty()
    }

    /// Plain and marked form of each.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.len()).map(|number| (self.plain(number), self.marked(number)))
    }
}

/// Shows each word of a text: its plain form, and the one with accents.
pub fn each(text: &str, see: &mut dyn FnMut(&str, &str)) {
    let mut run = Run { text: String::new(), chars: 0, single: false, see };
    if text.is_ascii() {
        text.chars().for_each(|c| run.take(c));
    } else {
        text.nfkc().for_each(|c| run.take(c));
    }
    run.end();
}

/// The word that is being read.
struct Run<'a> {
    text: String,
    chars: usize,
    single: bool,
    see: &'a mut dyn FnMut(&str, &str),
}

impl Run<'_> {
    fn take(&mut self, c: char) {
        match c {
            c if c.is_ascii_alphanumeric() => self.letter(c.to_ascii_lowercase()),
            c if c.is_ascii() => self.end(),
            c if is_ignored(c) => {}
            c if is_combining_mark(c) => self.mark(c),
            c if is_word_alone(c) => {
                self.end();
                self.letter(c);
                self.single = true;
            }
            c if c.is_alphanumeric() => self.letter(c),
            _ => self.end(),
        }
    }

    fn letter(&mut self, c: char) {
        if self.single || self.chars >= MAX_WORD {
            self.end();
        }
        self.text.push(c);
        self.chars += 1;
    }

    /// A mark upon nothing is not a word.
    fn mark(&mut self, c: char) {
        if self.chars > 0 && self.chars < MAX_WORD {
            self.text.push(c);
            self.chars += 1;
        }
    }

    fn end(&mut self) {
        if self.text.is_ascii() {
            if !self.text.is_empty() {
                (self.see)(&self.text, &self.text);
            }
        } else {
            let marked = without_case(&self.text);
            let plain = without_accents(&marked);
            (self.see)(if plain.is_empty() { &marked } else { &plain }, &marked);
        }
        self.text.clear();
        (self.chars, self.single) = (0, false);
    }
}

/// Full case folding by way of the capital letter, so that `ß` is `ss`, and `ς` `σ`.
fn without_case(text: &str) -> String {
    let capitals = text.chars().flat_map(char::to_uppercase);
    capitals.flat_map(char::to_lowercase).nfkc().collect()
}

fn without_accents(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.nfd().filter(|c| !is_accent(*c)) {
        match c {
            'ø' => plain.push('o'),
            'ł' => plain.push('l'),
            'đ' | 'ð' => plain.push('d'),
            'ħ' => plain.push('h'),
            'ŧ' => plain.push('t'),
            'ı' => plain.push('i'),
            'æ' => plain.push_str("ae"),
            'œ' => plain.push_str("oe"),
            'þ' => plain.push_str("th"),
            c => plain.push(c),
        }
    }
    plain.nfc().collect()
}

/// Marks that change how a letter sounds and not which it is: those of Latin, Greek and Cyrillic
/// script, Hebrew points, Arabic vowels. Vowel signs of Indic scripts and voicing marks of Kana
/// are none.
fn is_accent(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}'
        | '\u{483}'..='\u{487}'
        | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}'..='\u{5c2}' | '\u{5c4}'..='\u{5c5}' | '\u{5c7}'
        | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}' | '\u{640}'
        | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}')
}

/// What is invisible within a word: soft hyphen, joiners, selectors of variants.
fn is_ignored(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{200c}'..='\u{200f}' | '\u{2060}' | '\u{feff}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Characters of scripts that write no spaces, or where what follows a word is joined to it.
fn is_word_alone(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3031}'..='\u{303c}'
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{30fa}' | '\u{30fc}'..='\u{312f}'
        | '\u{31a0}'..='\u{31bf}' | '\u{31f0}'..='\u{31ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b16f}'
        | '\u{20000}'..='\u{3ffff}'
        | '\u{1100}'..='\u{11ff}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
        && c.is_alphanumeric()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plain(text: &str) -> Vec<String> {
        Words::of(text).iter().map(|(plain, _)| plain.to_owned()).collect()
    }

    fn marked(text: &str) -> Vec<String> {
        Words::of(text).iter().map(|(_, marked)| marked.to_owned()).collect()
    }

    #[test]
    fn words_of_many_scripts() {
        for (text, words) in [
            ("", &[][..]),
            (" -- !? ", &[]),
            ("Hello, World", &["hello", "world"]),
            ("don't re-read foo_bar.pdf", &["don", "t", "re", "read", "foo", "bar", "pdf"]),
            ("bob.miller+x@example.org", &["bob", "miller", "x", "example", "org"]),
            ("3.14 R2D2", &["3", "14", "r2d2"]),
            ("Jörg JO\u{308}RG Jorg", &["jorg", "jorg", "jorg"]),
            ("STRASSE Straße", &["strasse", "strasse"]),
            ("ΟΔΟΣ οδός", &["οδοσ", "οδοσ"]),
            ("Søren Łódź Ærø", &["soren", "lodz", "aero"]),
            ("ﬁle ½ m²", &["file", "1", "2", "m2"]),
            ("Привет Йод", &["привет", "иод"]),
            ("日本語のmail", &["日", "本", "語", "の", "mail"]),
            ("ｶﾞ が", &["ガ", "が"]),
            ("서울에서 \u{1109}\u{1165}", &["서", "울", "에", "서", "서"]),
            ("हिन्दी में", &["हिन्दी", "में"]),
            ("donau\u{ad}dampf", &["donaudampf"]),
            ("a\u{200b}b", &["a", "b"]),
            ("İstanbul ısı", &["istanbul", "isi"]),
            ("\u{301}\u{301} x\u{301}", &["x"]),
            ("👍 ok 👍🏽", &["ok"]),
        ] {
            assert_eq!(plain(text), words, "{text}");
        }
        assert_eq!(marked("Jörg JO\u{308}RG Łódź"), ["jörg", "jörg", "łódź"]);
        assert!(Words::of("jörg").is_marked() && !Words::of("Jorg").is_marked());
    }

    #[test]
    fn long_runs_are_cut() {
        let words = Words::of(&"ab".repeat(MAX_WORD));
        assert_eq!(words.len(), 2);
        assert!(words.iter().all(|(word, _)| word.len() == MAX_WORD));
        let marks = format!("a{}", "\u{301}".repeat(MAX_WORD * 3));
        assert_eq!(plain(&marks), ["a"]);
    }

    proptest::proptest! {
        /// What an index holds reads as itself, in either form.
        #[test]
        fn words_are_words(text in "\\PC{0,40}") {
            let words = Words::of(&text);
            for (plain, marked) in words.iter() {
                proptest::prop_assert!(!plain.is_empty() && !marked.is_empty());
                let again = Words::of(marked);
                let joined: String = again.iter().map(|(plain, _)| plain).collect();
                proptest::prop_assert_eq!(joined, plain);
            }
        }
    }
}
