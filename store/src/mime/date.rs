//! The Date field (RFC 5322 section 3.3, obsolete forms of section 4.3).

use jiff::civil::{Date, Time};
use redoubt_log::id::Timestamp;

/// What is behind is not read: no date is that long.
const MAX_DATE: usize = 512;

/// When a message says it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentDate {
    /// The day as written, whatever the zone: what SENTBEFORE, SENTON and
    /// SENTSINCE compare (RFC 9051 section 6.4.4).
    pub day: Date,
    /// The moment (RFC 5256 section 2.2): without a time it is 00:00:00,
    /// without a zone that can be read it is UTC.
    pub time: Timestamp,
}

impl SentDate {
    /// The day as written, counted from 1970-01-01.
    pub fn days(&self) -> i64 {
        let midnight = self.day.to_datetime(Time::midnight());
        let utc = jiff::tz::Offset::UTC.to_timestamp(midnight);
        utc.map_or(0, |utc| utc.as_second().div_euclid(24 * 60 * 60))
    }
}

/// Reads a Date field's value; `None` when there is no day in it.
pub fn sent_date(value: &[u8]) -> Option<SentDate> {
    let mut read = Read::default();
    for word in words(value.get(..MAX_DATE).unwrap_or(value)) {
        read.word(&word);
    }
    read.finish()
}

/// Runs of letters, digits, colons and points, comments left out; a sign behind
/// a time or a space begins a zone, elsewhere (`1-Jan-2001`) it separates.
fn words(value: &[u8]) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut depth = 0usize;
    let mut timed = false;
    for c in value {
        match c {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            _ if depth > 0 => continue,
            _ => {}
        }
        match char::from(*c) {
            c @ ('+' | '-') if timed => words.push(c.into()),
            c if c.is_ascii_alphanumeric() || matches!(c, ':' | '.') => {
                timed |= c == ':';
                if let Some(word) = words.last_mut() {
                    word.push(c);
                }
            }
            _ => words.push(String::new()),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[derive(Default)]
struct Read {
    day: Option<i8>,
    month: Option<i8>,
    year: Option<i16>,
    time: Option<Time>,
    zone_minutes: Option<i64>,
}

impl Read {
    fn word(&mut self, word: &str) {
        if word.contains(':') {
            self.time = self.time.or_else(|| clock(word));
        } else if word.starts_with(['+', '-']) {
            self.zone_minutes = self.zone_minutes.or_else(|| offset(word));
        } else if word.bytes().all(|c| c.is_ascii_digit()) {
            self.number(word);
        } else if self.month.is_none() && month(word).is_some() {
            self.month = month(word);
        } else if self.time.is_some() {
            self.zone_minutes = self.zone_minutes.or_else(|| zone(word));
        }
    }

    fn number(&mut self, word: &str) {
        let Ok(number) = word.parse::<i16>() else { return };
        if self.day.is_none() && word.len() <= 2 {
            self.day = i8::try_from(number).ok();
        } else if self.year.is_none() {
            self.year = Some(year(number, word.len()));
        }
    }

    fn finish(self) -> Option<SentDate> {
        let day = Date::new(self.year?, self.month?, self.day?).ok()?;
        let moment = day.to_datetime(self.time.unwrap_or(Time::midnight()));
        let utc = jiff::tz::Offset::UTC.to_timestamp(moment).ok()?;
        let seconds = utc.as_second() - self.zone_minutes.unwrap_or(0) * 60;
        Some(SentDate { day, time: Timestamp(seconds.saturating_mul(1000)) })
    }
}

/// RFC 5322 section 4.3: two digits below 50 are of this century, others and
/// three digits count from 1900.
fn year(number: i16, digits: usize) -> i16 {
    match digits {
        1 | 2 if number < 50 => number + 2000,
        1..=3 => number + 1900,
        _ => number,
    }
}

/// `hh:mm` or `hh:mm:ss`; second 60 is the leap second's.
fn clock(word: &str) -> Option<Time> {
    let mut numbers = word.split([':', '.']).map(|n| n.parse::<i8>().ok());
    let hour = numbers.next()??;
    let minute = numbers.next()??;
    let second = numbers.next().flatten().unwrap_or(0).min(59);
    Time::new(hour, minute, second, 0).ok()
}

fn offset(word: &str) -> Option<i64> {
    let (sign, digits) = word.split_at_checked(1)?;
    let digits: i64 = digits.replace(':', "").parse().ok().filter(|n| *n <= 9999)?;
    let minutes = digits / 100 * 60 + digits % 100;
    Some(if sign == "-" { -minutes } else { minutes })
}

fn month(word: &str) -> Option<i8> {
    const NAMES: &str = "janfebmaraprmayjunjulaugsepoctnovdec";
    let name = word.get(..3)?.to_ascii_lowercase();
    let at = NAMES.find(&name).filter(|at| at % 3 == 0)?;
    i8::try_from(at / 3 + 1).ok()
}

/// RFC 5322 section 4.3: the named zones; all others say nothing.
fn zone(word: &str) -> Option<i64> {
    let hours = match word.to_ascii_uppercase().as_str() {
        "UT" | "UTC" | "GMT" | "Z" => 0,
        "EDT" => -4,
        "EST" | "CDT" => -5,
        "CST" | "MDT" => -6,
        "MST" | "PDT" => -7,
        "PST" => -8,
        _ => return None,
    };
    Some(hours * 60)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
    use super::*;

    #[test]
    fn dates_of_the_rfc_and_of_the_wild() {
        for (value, day, seconds) in [
            ("Fri, 21 Nov 1997 09:55:06 -0600", "1997-11-21", 880_127_706),
            (
                "Thu,\r\n      13\r\n        Feb\r\n          1969\r\n      23:32\r\n               -0330 (Newfoundland Time)",
                "1969-02-13",
                -27_723_480,
            ),
            ("21 Nov 97 09:55:06 GMT", "1997-11-21", 880_106_106),
            ("Tue, 1 Jul 2003 10:52:37 +0200", "2003-07-01", 1_057_049_557),
            ("1-Jul-2003 10:52:37+0200", "2003-07-01", 1_057_049_557),
            ("Tue Jul  1 10:52:37 2003", "2003-07-01", 1_057_056_757),
            ("Tue, 1 July 103 10:52:37 EST", "2003-07-01", 1_057_074_757),
            ("1 Jan 2000", "2000-01-01", 946_684_800),
            ("31 Dec 2016 23:59:60 Z", "2016-12-31", 1_483_228_799),
            ("1 Jan 2000 25:00:00 +0000", "2000-01-01", 946_684_800),
        ] {
            let read = sent_date(value.as_bytes()).unwrap_or_else(|| panic!("{value}"));
            assert_eq!(read.day.to_string(), day, "{value}");
            assert_eq!(read.time.seconds(), seconds, "{value}");
        }
        for value in
            ["", "yesterday", "31 Feb 2000", "Jan 2000", "32 Jan 2000", "1 1 1", "\u{fffd}"]
        {
            assert_eq!(sent_date(value.as_bytes()), None, "{value}");
        }
    }
}
