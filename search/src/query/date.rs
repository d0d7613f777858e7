//! Times in queries: as they are written, and what they mean in a zone, seen from a moment.

use std::fmt;

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, ToSpan, Zoned};

/// A stretch of time in milliseconds of Unix time: from the first on, before the second.
pub(super) type Stretch = (i64, i64);

/// The most parts of an age, such as the two of `1d12h`.
const MAX_PARTS: usize = 8;

/// A time, or from one to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// One.
    One(Point),
    /// `a..b`, both included; without one of them it has no bound there.
    Between(Option<Point>, Option<Point>),
    /// How long ago, for `older:` and `newer:`.
    Age(Age),
}

/// A time as it is written: a moment, or as long as it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// `2026`
    Year(i16),
    /// `2026-11`
    Month(i16, i8),
    /// `2026-11-20`
    Day(Date),
    /// `2026-11-20T14:00`, a minute, or with seconds, a second.
    Time {
        /// In the zone or at the offset.
        time: DateTime,
        /// Whether seconds were written.
        seconds: bool,
        /// Seconds east of UTC, if they were written.
        offset: Option<i32>,
    },
    /// `today`
    Today,
    /// `yesterday`
    Yesterday,
    /// `now`
    Now,
    /// `-7d`: the day that long ago; of hours and less the moment.
    Ago(Age),
}

/// `1d12h`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Age(pub Vec<(u32, Unit)>);

/// Of an age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

impl Unit {
    const ALL: [(&'static str, Self); 7] = [
        ("s", Self::Second),
        ("min", Self::Minute),
        ("h", Self::Hour),
        ("d", Self::Day),
        ("w", Self::Week),
        ("mo", Self::Month),
        ("y", Self::Year),
    ];

    fn read(text: &str) -> Option<Self> {
        let text = if text.eq_ignore_ascii_case("m") { "min" } else { text };
        Self::ALL.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, unit)| *unit)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, unit)| *unit == self).map_or("s", |(name, _)| name)
    }

    fn is_clock(self) -> bool {
        matches!(self, Self::Second | Self::Minute | Self::Hour)
    }
}

impl Age {
    /// Reads `7d`, `1d12h`: `s`, `m` or `min`, `h`, `d`, `w`, `mo`, `y`.
    pub fn read(text: &str) -> Option<Self> {
        let (mut rest, mut parts) = (text, Vec::new());
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit())?;
            let (number, behind) = rest.split_at_checked(digits)?;
            let end = behind.find(|c: char| c.is_ascii_digit()).unwrap_or(behind.len());
            let (unit, behind) = behind.split_at_checked(end)?;
            parts.push((number.parse().ok()?, Unit::read(unit)?));
            rest = behind;
        }
        (!parts.is_empty() && parts.len() <= MAX_PARTS).then_some(Self(parts))
    }

    /// That long before a time. Days and more are those of the calendar.
    pub fn before(&self, now: &Zoned) -> Option<Zoned> {
        self.0.iter().try_fold(now.clone(), |time, (number, unit)| {
            let number = i64::from(*number);
            let seconds = |by: i64| time.checked_sub(SignedDuration::from_secs(number * by));
            let earlier = match unit {
                Unit::Second => seconds(1),
                Unit::Minute => seconds(60),
                Unit::Hour => seconds(3600),
                Unit::Day => time.checked_sub(1_i32.days().checked_mul(number).ok()?),
                Unit::Week => time.checked_sub(1_i32.weeks().checked_mul(number).ok()?),
                Unit::Month => time.checked_sub(1_i32.months().checked_mul(number).ok()?),
                Unit::Year => time.checked_sub(1_i32.years().checked_mul(number).ok()?),
            };
            earlier.ok()
        })
    }
}

impl Point {
    /// Reads one.
    pub fn read(text: &str) -> Option<Self> {
        if let Some(age) = text.strip_prefix('-') {
            return Age::read(age).map(Self::Ago);
        }
        match text.to_ascii_lowercase().as_str() {
            "today" => Some(Self::Today),
            "yesterday" => Some(Self::Yesterday),
            "now" => Some(Self::Now),
            _ => written(text),
        }
    }

    /// From when on and before when.
    pub fn stretch(&self, now: &Zoned) -> Option<Stretch> {
        let zone = now.time_zone();
        let day = |date: Date| days(date, date.tomorrow().ok()?, zone);
        match self {
            Self::Year(year) => {
                days(Date::new(*year, 1, 1).ok()?, Date::new(year + 1, 1, 1).ok()?, zone)
            }
            Self::Month(year, month) => {
                let first = Date::new(*year, *month, 1).ok()?;
                days(first, first.checked_add(1_i32.months()).ok()?, zone)
            }
            Self::Day(date) => day(*date),
            Self::Time { time, seconds, offset } => {
                let zone = match offset {
                    Some(offset) => TimeZone::fixed(Offset::from_seconds(*offset).ok()?),
                    None => zone.clone(),
                };
                let start = time.to_zoned(zone).ok()?.timestamp().as_millisecond();
                Some((start, start + if *seconds { 1000 } else { 60_000 }))
            }
            Self::Today => day(now.date()),
            Self::Yesterday => day(now.date().yesterday().ok()?),
            Self::Now => Some(instant(now)),
            Self::Ago(age) => {
                let then = age.before(now)?;
                match age.0.iter().any(|(_, unit)| unit.is_clock()) {
                    true => Some(instant(&then)),
                    false => day(then.date()),
                }
            }
        }
    }
}

fn instant(time: &Zoned) -> Stretch {
    let time = time.timestamp().as_millisecond();
    (time, time + 1)
}

fn days(from: Date, until: Date, zone: &TimeZone) -> Option<Stretch> {
    let midnight = |date: Date| {
        let zoned = date.to_datetime(Time::midnight()).to_zoned(zone.clone()).ok()?;
        Some(zoned.start_of_day().ok()?.timestamp().as_millisecond())
    };
    Some((midnight(from)?, midnight(until)?))
}

/// Digits, as many as these.
fn number<T: std::str::FromStr>(text: &str, digits: usize) -> Option<T> {
    let plain = text.len() == digits && text.bytes().all(|c| c.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

fn written(text: &str) -> Option<Point> {
    let (day, time) = match text.find(['T', 't', ' ']) {
        Some(at) => (text.get(..at)?, text.get(at + 1..)),
        None => (text, None),
    };
    let mut parts = day.split('-');
    let year = number(parts.next()?, 4)?;
    let month = parts.next().map(|month| number::<i8>(month, 2).ok_or(()));
    let date = parts.next().map(|day| number::<i8>(day, 2).ok_or(()));
    if parts.next().is_some() {
        return None;
    }
    match (month, date, time) {
        (None, None, None) => Some(Point::Year(year)),
        (Some(month), None, None) => {
            let month = month.ok()?;
            Date::new(year, month, 1).ok().map(|_| Point::Month(year, month))
        }
        (Some(month), Some(day), time) => {
            let date = Date::new(year, month.ok()?, day.ok()?).ok()?;
            time.map_or(Some(Point::Day(date)), |time| clock(date, time))
        }
        _ => None,
    }
}

/// `14:00`, `14:00:05`, with or without `Z` or an offset.
fn clock(date: Date, text: &str) -> Option<Point> {
    let end = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (time, zone) = text.split_at_checked(end)?;
    let mut parts = time.trim_end().split(':');
    let (hour, minute) = (number(parts.next()?, 2)?, number(parts.next()?, 2)?);
    let second = parts.next().map(|second| number::<i8>(second, 2).ok_or(()));
    if parts.next().is_some() {
        return None;
    }
    let (seconds, second) = (second.is_some(), second.unwrap_or(Ok(0)).ok()?);
    let time = date.to_datetime(Time::new(hour, minute, second, 0).ok()?);
    let offset = if zone.is_empty() { None } else { Some(offset(zone)?) };
    Some(Point::Time { time, seconds, offset })
}

/// `Z`, `+01:00`, `+0100`, `+01`: seconds.
fn offset(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = text.split_at_checked(1)?;
    let digits = digits.replacen(':', "", 1);
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { number::<i32>(minutes, 2)? };
    let seconds = number::<i32>(hours, 2).filter(|h| *h <= 23)? * 3600 + minutes * 60;
    (minutes < 60).then_some(if sign == "-" { -seconds } else { seconds })
}

impl When {
    /// Reads a time or `a..b`.
    pub fn read(text: &str) -> Option<Self> {
        let Some((from, to)) = text.split_once("..") else {
            return Point::read(text).map(Self::One);
        };
        let end = |text: &str| match text {
            "" => Some(None),
            text => Point::read(text).map(Some),
        };
        let (from, to) = (end(from)?, end(to)?);
        (from.is_some() || to.is_some()).then_some(Self::Between(from, to))
    }

    /// From when on and before when.
    pub fn stretch(&self, now: &Zoned) -> Option<Stretch> {
        match self {
            Self::One(point) => point.stretch(now),
            Self::Between(from, to) => {
                let from = from.as_ref().map_or(Some(i64::MIN), |p| Some(p.stretch(now)?.0))?;
                let to = to.as_ref().map_or(Some(i64::MAX), |p| Some(p.stretch(now)?.1))?;
                Some((from, to))
            }
            Self::Age(age) => Some(instant(&age.before(now)?)),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(point) => point.fmt(f),
            Self::Between(from, to) => {
                from.iter().try_for_each(|point| point.fmt(f))?;
                f.write_str("..")?;
                to.iter().try_for_each(|point| point.fmt(f))
            }
            Self::Age(age) => age.fmt(f),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Year(year) => write!(f, "{year:04}"),
            Self::Month(year, month) => write!(f, "{year:04}-{month:02}"),
            Self::Day(date) => write!(f, "{date}"),
            Self::Time { time, seconds, offset } => {
                let (date, time) = (time.date(), time.time());
                write!(f, "{date}T{:02}:{:02}", time.hour(), time.minute())?;
                if *seconds {
                    write!(f, ":{:02}", time.second())?;
                }
                match offset {
                    None => Ok(()),
                    Some(0) => f.write_str("Z"),
                    Some(offset) => {
                        let (sign, minutes) =
                            (if *offset < 0 { '-' } else { '+' }, offset.abs() / 60);
                        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
                    }
                }
            }
            Self::Today => f.write_str("today"),
            Self::Yesterday => f.write_str("yesterday"),
            Self::Now => f.write_str("now"),
            Self::Ago(age) => write!(f, "-{age}"),
        }
    }
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(number, unit)| write!(f, "{number}{}", unit.name()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn stretch(text: &str) -> Option<String> {
        let now: Zoned = "2026-11-20T14:30:00+01:00[Europe/Berlin]".parse().unwrap();
        let (from, until) = When::read(text)?.stretch(&now)?;
        let time = |ms: i64| match ms {
            i64::MIN => "-".to_owned(),
            i64::MAX => "+".to_owned(),
            ms => jiff::Timestamp::from_millisecond(ms).unwrap().to_string(),
        };
        Some(format!("{} {}", time(from), time(until)))
    }

    #[test]
    fn what_times_mean_in_a_zone() {
        for (text, means) in [
            ("2026", "2025-12-31T23:00:00Z 2026-12-31T23:00:00Z"),
            ("2026-03", "2026-02-28T23:00:00Z 2026-03-31T22:00:00Z"),
            ("2026-03-29", "2026-03-28T23:00:00Z 2026-03-29T22:00:00Z"),
            ("2026-11-20T14:00", "2026-11-20T13:00:00Z 2026-11-20T13:01:00Z"),
            ("2026-11-20 14:00:05", "2026-11-20T13:00:05Z 2026-11-20T13:00:06Z"),
            ("2026-11-20T14:00Z", "2026-11-20T14:00:00Z 2026-11-20T14:01:00Z"),
            ("2026-11-20T14:00-0530", "2026-11-20T19:30:00Z 2026-11-20T19:31:00Z"),
            ("today", "2026-11-19T23:00:00Z 2026-11-20T23:00:00Z"),
            ("yesterday", "2026-11-18T23:00:00Z 2026-11-19T23:00:00Z"),
            ("now", "2026-11-20T13:30:00Z 2026-11-20T13:30:00.001Z"),
            ("-7d", "2026-11-12T23:00:00Z 2026-11-13T23:00:00Z"),
            ("-1mo", "2026-10-19T22:00:00Z 2026-10-20T22:00:00Z"),
            ("-1d2h", "2026-11-19T11:30:00Z 2026-11-19T11:30:00.001Z"),
            ("2026-11-01..2026-11-02", "2026-10-31T23:00:00Z 2026-11-02T23:00:00Z"),
            ("-7d..", "2026-11-12T23:00:00Z +"),
            ("..2025", "- 2025-12-31T23:00:00Z"),
        ] {
            assert_eq!(stretch(text).as_deref(), Some(means), "{text}");
        }
        for none in [
            "",
            "..",
            "20",
            "2026-1",
            "2026-13",
            "2026-02-30",
            "2026-11-20T",
            "2026T10:00",
            "2026-11-20T25:00",
            "-",
            "-7",
            "-d",
            "-7x",
            "7d",
            "2026-11-20T14:00+1",
            "tomorow",
            "-99999999y",
        ] {
            assert_eq!(stretch(none), None, "{none}");
        }
    }
}
