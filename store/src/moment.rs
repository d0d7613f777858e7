//! Moments: what people write for "then", and which index of the log that is.
//!
//! A moment is an index, or a time: the state at a time is that after the last
//! record whose effective time is at or before it.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, ToSpan, Zoned};
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, LogIndex, Timestamp};
use serde::{Deserialize, Serialize};

use crate::mailstore::StoreError;
use crate::view::View;

/// The most octets of a moment's text.
const MAX_TEXT: usize = 64;

/// A time or an index, as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the record at this index.
    Index(LogIndex),
    /// After all records up to this time.
    Time(Timestamp),
}

/// A moment as it is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Then {
    /// The state after this index.
    pub index: LogIndex,
    /// The effective time of the last record up to there.
    pub time: Timestamp,
}

impl std::fmt::Display for Then {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (index {})", rfc3339(self.time), self.index)
    }
}

/// Why there is no such moment.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MomentError {
    /// It reads as nothing.
    #[error(
        "{0:?} is no moment{1}: write 2026-11-20T14:00:00Z, \"2026-11-20 14:00\", \
         \"yesterday 14:00\", today, now, -2h, or an index such as @1234"
    )]
    Unreadable(String, String),
    /// It has not happened.
    #[error("{0} lies in the future: the newest is {1}")]
    Future(String, Then),
    /// Before the first record.
    #[error("{0} is before the log begins: its first record is {1}")]
    BeforeLog(String, Then),
    /// The history does not reach back so far.
    #[error("history of {account} begins at {begins}: {asked} is before that")]
    BelowFloor {
        /// Whose history.
        account: String,
        /// What was asked for.
        asked: String,
        /// The first moment that can be seen.
        begins: Then,
    },
    /// Nothing was ever written.
    #[error("nothing has happened here yet")]
    Empty,
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index(index) => write!(f, "@{index}"),
            Self::Time(time) => f.write_str(&rfc3339(*time)),
        }
    }
}

impl Moment {
    /// Reads what a person writes: RFC 3339 with an offset; a date or date and time in the
    /// zone of `now`; `now`, `today`, `yesterday`, each with a time of day; `-90m`, `-2h`,
    /// `-3d`, `-1w`; `@INDEX` or an index.
    ///
    /// # Errors
    /// [`MomentError::Unreadable`], with what was perhaps meant.
    pub fn parse(text: &str, now: &Zoned) -> Result<Self, MomentError> {
        let text = text.trim();
        let wrong = |hint: &str| {
            let shown = text.chars().take(MAX_TEXT).collect();
            MomentError::Unreadable(shown, hint.to_owned())
        };
        if text.is_empty() || text.len() > MAX_TEXT || !text.is_ascii() {
            return Err(wrong(""));
        }
        if let Some(index) = index(text) {
            return index.map(Self::Index).ok_or_else(|| wrong(", its index is too large"));
        }
        let time = match text.strip_prefix('-') {
            Some(ago) => back(ago, now),
            None => named(text, now).or_else(|| written(text, now)),
        };
        let time = time.ok_or_else(|| wrong(&hint(text)))?;
        Ok(Self::Time(Timestamp(time.timestamp().as_millisecond())))
    }

    /// Reads the basic form of RFC 3339's time in UTC, `YYYYMMDDTHHMMSSZ`, or `@INDEX`: what
    /// stands in names of protocols. `None` for all else.
    pub fn parse_basic(text: &str) -> Option<Self> {
        if let Some(digits) = text.strip_prefix('@') {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            return digits.parse().ok().filter(|_| plain).map(|n| Self::Index(LogIndex(n)));
        }
        let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
        let number = |text: &str, range| {
            let digits: &str = str::get(text, range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i16>().ok())?
        };
        let small = |text: &str, range| i8::try_from(number(text, range)?).ok();
        if date.len() != 8 || time.len() != 6 {
            return None;
        }
        let date = Date::new(number(date, 0..4)?, small(date, 4..6)?, small(date, 6..8)?).ok()?;
        let (hour, minute) = (small(time, 0..2)?, small(time, 2..4)?);
        let time = Time::new(hour, minute, small(time, 4..6)?, 0).ok()?;
        let zoned = date.to_datetime(time).to_zoned(TimeZone::UTC).ok()?;
        Some(Self::Time(Timestamp(zoned.timestamp().as_millisecond())))
    }

    /// Which index this is in a view.
    ///
    /// # Errors
    /// When it is not there yet, or before the log.
    pub fn resolve(self, view: &View, now: Timestamp) -> Result<Then, MomentError> {
        let newest = view.applied().ok_or(MomentError::Empty)?;
        let newest = Then { index: newest.index, time: newest.time };
        let future = || MomentError::Future(self.to_string(), newest);
        let index = match self {
            Self::Index(index) if index > newest.index => return Err(future()),
            Self::Index(index) => index,
            // What a clock that is ahead of this one wrote is the past too.
            Self::Time(time) if time > now.max(newest.time) => return Err(future()),
            Self::Time(time) if time >= newest.time => return Ok(newest),
            Self::Time(time) => view.index_at(time)?.ok_or_else(|| before(self, view))?,
        };
        let time = view.time_at(index)?.ok_or_else(|| before(self, view))?;
        Ok(Then { index, time })
    }

    /// The view of an account at this moment.
    ///
    /// # Errors
    /// As [`Moment::resolve`], and when the account's history does not reach back so far.
    pub fn of(
        self,
        view: &View,
        account: AccountId,
        now: Timestamp,
    ) -> Result<(View, Then), MomentError> {
        let then = self.resolve(view, now)?;
        reaches(view, account, then.index)?;
        Ok((view.at(then.index), then))
    }
}

/// Whether an account's history reaches back to an index.
///
/// # Errors
/// [`MomentError::BelowFloor`] with where it begins.
pub fn reaches(view: &View, account: AccountId, index: LogIndex) -> Result<(), MomentError> {
    let Some(row) = view.history_floor(account)?.filter(|row| index < row.floor) else {
        return Ok(());
    };
    let name = view.account(account)?.map_or(account.to_string(), |a| a.address.to_string());
    let begins = Then { index: row.floor, time: row.time };
    let asked = Moment::Index(index).to_string();
    Err(MomentError::BelowFloor { account: name, asked, begins })
}

/// The first index at which an account can be seen.
///
/// # Errors
/// The state cannot be read.
pub fn floor(view: &View, account: AccountId) -> Result<LogIndex, StoreError> {
    Ok(view.history_floor(account)?.map_or(LogIndex(0), |row| row.floor))
}

fn before(moment: Moment, view: &View) -> MomentError {
    let first = view.first_record();
    match first {
        Ok(Some(first)) => MomentError::BeforeLog(moment.to_string(), first),
        Ok(None) => MomentError::Empty,
        Err(error) => error.into(),
    }
}

/// `Some(None)` for digits that are too many.
fn index(text: &str) -> Option<Option<LogIndex>> {
    let digits = text.strip_prefix('@').unwrap_or(text);
    let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| digits.parse().ok().map(LogIndex))
}

/// `2h`, `1d12h`: back from now. Days and weeks are those of the calendar.
fn back(text: &str, now: &Zoned) -> Option<Zoned> {
    let mut rest = text;
    let mut time = now.clone();
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, behind) = rest.split_at_checked(digits)?;
        let number: i32 = number.parse().ok()?;
        let unit = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
        let (unit, behind) = behind.split_at_checked(unit)?;
        time = earlier(&time, number, unit.trim())?;
        rest = behind;
    }
    (!text.is_empty()).then_some(time)
}

fn earlier(time: &Zoned, number: i32, unit: &str) -> Option<Zoned> {
    let seconds = |by: i64| SignedDuration::from_secs(i64::from(number) * by);
    let earlier = match unit.to_ascii_lowercase().as_str() {
        "s" | "sec" => time.checked_sub(seconds(1)),
        "m" | "min" => time.checked_sub(seconds(60)),
        "h" => time.checked_sub(seconds(3600)),
        "d" => time.checked_sub(1_i32.days().checked_mul(number.into()).ok()?),
        "w" => time.checked_sub(1_i32.weeks().checked_mul(number.into()).ok()?),
        _ => return None,
    };
    earlier.ok()
}

/// `now`, `today`, `yesterday 14:00`.
fn named(text: &str, now: &Zoned) -> Option<Zoned> {
    let (day, time) = text.split_once(' ').map_or((text, None), |(day, time)| (day, Some(time)));
    let date = match (day.to_ascii_lowercase().as_str(), time) {
        ("now", None) => return Some(now.clone()),
        ("today", _) => now.date(),
        ("yesterday", _) => now.date().yesterday().ok()?,
        _ => return None,
    };
    let time = match time {
        Some(time) => time_of_day(time.trim())?,
        None => Time::midnight(),
    };
    date.to_datetime(time).to_zoned(now.time_zone().clone()).ok()
}

/// `14:00` or `14:00:05`.
fn time_of_day(text: &str) -> Option<Time> {
    let mut parts = text.split(':').map(|part| {
        let digits = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| part.parse::<i8>().ok()).flatten()
    });
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().map_or(Some(0), |second| second)?;
    parts.next().is_none().then(|| Time::new(hour, minute, second, 0).ok())?
}

/// RFC 3339, or without an offset in the zone of now.
fn written(text: &str, now: &Zoned) -> Option<Zoned> {
    // A zone's name would be passed over in silence.
    if text.contains('[') || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(time.to_zoned(now.time_zone().clone()));
    }
    let (date, time) =
        text.split_once([' ', 'T', 't']).map_or((text, None), |(date, time)| (date, Some(time)));
    let plain = |text: &str, marks: &[u8]| {
        text.bytes().all(|byte| byte.is_ascii_digit() || marks.contains(&byte))
    };
    let date: Date = plain(date, b"-").then(|| date.parse().ok())??;
    let time: Time = match time {
        Some(time) => plain(time, b":.").then(|| time.parse().ok())??,
        None => Time::midnight(),
    };
    DateTime::from_parts(date, time).to_zoned(now.time_zone().clone()).ok()
}

/// What was perhaps meant.
fn hint(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    if let Some(ago) = lower.strip_suffix("ago") {
        return format!(", perhaps -{}", ago.replace(' ', ""));
    }
    let units = lower.trim_start_matches(|c: char| c.is_ascii_digit());
    if units.len() < lower.len() && matches!(units, "s" | "m" | "h" | "d" | "w") {
        return format!(", perhaps -{lower}");
    }
    if lower.starts_with("tomorrow") || lower.starts_with('+') {
        return ", and only the past can be seen".to_owned();
    }
    let words = ["now", "today", "yesterday"];
    let first = lower.split(' ').next().unwrap_or_default();
    let near = words.iter().find(|word| first.len() > 2 && shares(word, first));
    near.map_or_else(String::new, |word| format!(", perhaps {word}"))
}

/// Whether two words begin alike.
fn shares(word: &str, other: &str) -> bool {
    word.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count() > 2
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn now() -> Zoned {
        // Two hours ahead of UTC, always.
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        jiff::civil::datetime(2026, 11, 22, 9, 30, 0, 0).to_zoned(zone).unwrap()
    }

    fn read(text: &str) -> String {
        match Moment::parse(text, &now()) {
            Ok(moment) => moment.to_string(),
            Err(error) => panic!("{text}: {error}"),
        }
    }

    fn wrong(text: &str) -> String {
        Moment::parse(text, &now()).unwrap_err().to_string()
    }

    #[test]
    fn times_read() {
        for (text, means) in [
            ("2026-11-20T14:00:00Z", "2026-11-20T14:00:00.000Z"),
            ("2026-11-20T14:00:00.25+01:00", "2026-11-20T13:00:00.250Z"),
            ("2026-11-20 14:00:00-05:00", "2026-11-20T19:00:00.000Z"),
            ("2026-11-20", "2026-11-19T22:00:00.000Z"),
            ("2026-11-20 14:00", "2026-11-20T12:00:00.000Z"),
            ("2026-11-20T14:00:05", "2026-11-20T12:00:05.000Z"),
            ("yesterday 14:00", "2026-11-21T12:00:00.000Z"),
            ("Yesterday", "2026-11-20T22:00:00.000Z"),
            ("today", "2026-11-21T22:00:00.000Z"),
            ("today 9:05:06", "2026-11-22T07:05:06.000Z"),
            (" now ", "2026-11-22T07:30:00.000Z"),
            ("-2h", "2026-11-22T05:30:00.000Z"),
            ("-90m", "2026-11-22T06:00:00.000Z"),
            ("-3d", "2026-11-19T07:30:00.000Z"),
            ("-1w2d", "2026-11-13T07:30:00.000Z"),
            ("-1h30m", "2026-11-22T06:00:00.000Z"),
            ("@1234", "@1234"),
            ("1234", "@1234"),
        ] {
            assert_eq!(read(text), means, "{text}");
        }
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        // In Berlin the night of 2026-10-25 has one hour more.
        let zone = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let now = jiff::civil::datetime(2026, 10, 26, 12, 0, 0, 0).to_zoned(zone).unwrap();
        let read = |text| Moment::parse(text, &now).unwrap().to_string();
        assert_eq!(read("-2d"), "2026-10-24T10:00:00.000Z");
        assert_eq!(read("-48h"), "2026-10-24T11:00:00.000Z");
        assert_eq!(read("2026-10-24 12:00"), "2026-10-24T10:00:00.000Z");
    }

    #[test]
    fn what_does_not_read_is_told_what_to_write() {
        for text in [
            "",
            "-",
            "--",
            "@",
            "@x",
            "@-1",
            "-2",
            "-h",
            "-2x",
            "2026-13-01",
            "2026-11-20 25:00",
            "2026-11-20T14:00[Europe/Berlin]",
            "yesterday at noon",
            "now 14:00",
            "today 14",
            "today 14:00:00:00",
            "2026-11-20 14:00 x",
            "20.11.2026",
            "-999999999w",
            "\u{fc}",
        ] {
            assert!(wrong(text).contains("yesterday 14:00"), "{text}");
        }
        assert!(wrong("2h").contains("perhaps -2h"));
        assert!(wrong("3 d ago").contains("perhaps -3d"));
        assert!(wrong("yesteray").contains("perhaps yesterday"));
        assert!(wrong("tomorrow").contains("only the past"));
        assert!(wrong("99999999999999999999").contains("too large"));
        assert!(wrong(&"9".repeat(1000)).len() < 400);
    }

    #[test]
    fn names_in_protocols_have_one_form() {
        let basic = |text| Moment::parse_basic(text).map(|moment| moment.to_string());
        assert_eq!(basic("20261120T140005Z").as_deref(), Some("2026-11-20T14:00:05.000Z"));
        assert_eq!(basic("@77").as_deref(), Some("@77"));
        for text in [
            "",
            "77",
            "@",
            "@+7",
            "@7x",
            "20261120T140005",
            "2026-11-20T14:00:05Z",
            "20261120T1400Z",
            "20261320T140005Z",
            "20261120T146005Z",
            "-0261120T140005Z",
            "20261120T1400+5Z",
            "99999999999999999999",
            "@99999999999999999999",
        ] {
            assert_eq!(basic(text), None, "{text}");
        }
    }
}
