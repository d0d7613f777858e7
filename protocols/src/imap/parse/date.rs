//! Days and times.

use jiff::civil::{self, DateTime};
use redoubt_log::id::Timestamp;
use winnow::combinator::{alt, delimited, opt, preceded};
use winnow::prelude::*;
use winnow::stream::Location;
use winnow::token::{one_of, take, take_while};

use super::input::{Input, Parsed, expected};
use crate::imap::types::Day;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// date: `1-Feb-1994`, quoted or not.
pub(super) fn day(input: &mut Input<'_>) -> Parsed<Day> {
    let date = alt((delimited(b'"', date, b'"'), date)).context("a date such as 1-Feb-1994");
    date.map(|date| Day(days(date))).parse_next(input)
}

fn days(date: civil::Date) -> i32 {
    let since = date.duration_since(civil::date(1970, 1, 1));
    i32::try_from(since.as_secs().div_euclid(86_400)).unwrap_or(i32::MAX)
}

/// date-time: `"17-Jul-1996 02:44:25 -0700"`
pub(super) fn date_time(input: &mut Input<'_>) -> Parsed<Timestamp> {
    let start = input.current_token_start();
    let (date, time, offset) = delimited(b'"', (date, time, zone), b'"')
        .context("a date and time such as \"17-Jul-1996 02:44:25 -0700\"")
        .parse_next(input)?;
    // The leap second is the one before it: Timestamp knows none.
    let second = time.2.min(59);
    let Ok(time) = civil::Time::new(time.0, time.1, second, 0) else {
        return expected(start, "a time of day");
    };
    let local =
        DateTime::from_parts(date, time).duration_since(civil::datetime(1970, 1, 1, 0, 0, 0, 0));
    Ok(Timestamp((local.as_secs() - offset) * 1000))
}

fn date(input: &mut Input<'_>) -> Parsed<civil::Date> {
    let day = preceded(opt(b' '), number::<i8>(1, 2));
    let month = take(3_usize).verify_map(month);
    let (day, _, month, _, year) =
        (day, b'-', month, b'-', number::<i16>(4, 4)).parse_next(input)?;
    let start = input.current_token_start();
    civil::Date::new(year, month, day).or_else(|_| expected(start, "a day of the calendar"))
}

fn month(name: &[u8]) -> Option<i8> {
    let at = MONTHS.iter().position(|month| month.as_bytes().eq_ignore_ascii_case(name))?;
    i8::try_from(at + 1).ok()
}

fn time(input: &mut Input<'_>) -> Parsed<(i8, i8, i8)> {
    let part = || number::<i8>(2, 2);
    let (_, hour, _, minute, _, second) =
        (b' ', part(), b':', part(), b':', part()).parse_next(input)?;
    Ok((hour, minute, second))
}

/// Seconds east of UTC.
fn zone(input: &mut Input<'_>) -> Parsed<i64> {
    let part = || number::<i64>(2, 2);
    let (_, sign, hours, minutes) =
        (b' ', one_of([b'+', b'-']), part(), part()).parse_next(input)?;
    let seconds = hours * 3600 + minutes * 60;
    Ok(if sign == b'-' { -seconds } else { seconds })
}

fn number<'a, T: std::str::FromStr>(
    least: usize,
    most: usize,
) -> impl Parser<Input<'a>, T, winnow::error::ErrMode<super::input::Failure>> {
    take_while(least..=most, |byte: u8| byte.is_ascii_digit())
        .verify_map(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
}
