//! Emails to be searched: some 3.5 kB of text from a vocabulary of which few words are frequent
//! and most are rare, 500 senders, five years of dates.

/// Words that there are.
const VOCABULARY: u64 = 60_000;
/// Words of a body.
const WORDS: u64 = 480;
/// Different senders.
pub(in crate::bench) const SENDERS: u64 = 500;
/// Different days.
pub(in crate::bench) const DAYS: u64 = 1825;

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn of(seed: u64) -> Self {
        Self(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }

    /// The number of a word: small ones far more often.
    fn word(&mut self) -> u64 {
        let part = (self.next() % 1_000_000) as f64 / 1e6;
        ((VOCABULARY as f64).powf(part) - 1.0) as u64 % VOCABULARY
    }
}

/// A word by its number: pronounceable, and no two alike.
pub(in crate::bench) fn word(number: u64) -> String {
    const HEADS: [&str; 20] = [
        "b", "br", "c", "ch", "d", "f", "g", "gr", "h", "k", "l", "m", "n", "p", "pr", "r", "s",
        "st", "t", "v",
    ];
    const TAILS: [&str; 15] =
        ["a", "e", "i", "o", "u", "an", "en", "in", "on", "ar", "er", "or", "al", "el", "is"];
    let mut text = String::new();
    let mut rest = number.wrapping_mul(48_271) % (300 * 300);
    loop {
        let (head, tail) = (rest % 20, rest / 20 % 15);
        text.push_str(HEADS.get(head as usize).copied().unwrap_or_default());
        text.push_str(TAILS.get(tail as usize).copied().unwrap_or_default());
        rest /= 300;
        if rest == 0 {
            return text;
        }
    }
}

/// Where the words that are looked for stand: each in about one email of a thousand.
pub(in crate::bench) fn rare(number: u64) -> String {
    format!("zq{}x", word(number % 1000))
}

/// The day of an email's Date, and how IMAP writes it.
pub(in crate::bench) fn day(number: u64) -> (i64, String) {
    let days = 18_262 + (number % DAYS) as i64;
    (days, date(days))
}

/// `d-Mmm-yyyy` of a day since 1970.
fn date(days: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let day = jiff::civil::date(1970, 1, 1);
    let day = day.saturating_add(jiff::Span::new().days(days));
    let month = MONTHS.get(day.month() as usize - 1).copied().unwrap_or_default();
    format!("{}-{month}-{}", day.day(), day.year())
}

/// One email of the usual length.
pub(in crate::bench) fn email(number: u64) -> Vec<u8> {
    email_of(number, WORDS)
}

/// One email with so many words. Three of four answer the one before.
pub(in crate::bench) fn email_of(number: u64, words: u64) -> Vec<u8> {
    let mut dice = Dice::of(number);
    let sender = dice.next() % SENDERS;
    let (_, date) = day(number);
    let subject: Vec<String> = (0..6).map(|_| word(dice.word())).collect();
    let mut body = String::new();
    for at in 0..words {
        if at == words / 2 {
            body.push_str(&rare(number));
            body.push(' ');
        }
        body.push_str(&word(dice.word()));
        body.push_str(if at % 12 == 11 { ".\r\n" } else { " " });
    }
    let answers = match number % 4 {
        0 => String::new(),
        _ => format!("References: <{}@example.net>\r\n", number - 1),
    };
    format!(
        "From: {} <sender{sender}@example.net>\r\nTo: <reader@example.org>\r\nSubject: {} n{number}\r\n\
         Message-ID: <{number}@example.net>\r\n{answers}Date: {} 12:00:00 +0000\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n",
        word(sender),
        subject.join(" "),
        date.replace('-', " "),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails_are_as_they_are_described() {
        let email = String::from_utf8(email(7)).unwrap_or_default();
        assert!((2500..5000).contains(&email.len()), "{}", email.len());
        assert!(email.contains(&rare(7)) && email.contains("Date: 8 Jan 2020 12:00:00"), "{email}");
        let words: std::collections::HashSet<String> = (0..VOCABULARY).map(word).collect();
        assert!(words.len() > 50_000, "{}", words.len());
    }
}
