//! Scripts that write no spaces between words.

use unicode_normalization::char::is_combining_mark;

/// Whether a character is of such a script (Han, Kana, Hangul, Thai, Lao, Khmer, Burmese): it is
/// a word of its own, with the marks behind it.
pub fn stands_alone(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{11ff}' | '\u{1780}'..='\u{17ff}'
        | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{303c}' | '\u{3041}'..='\u{312f}'
        | '\u{31a0}'..='\u{31ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b16f}' | '\u{20000}'..='\u{3ffff}')
        && !is_combining_mark(c)
}
