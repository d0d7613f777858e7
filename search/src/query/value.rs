//! What stands behind an operator's colon.

use jiff::tz::{Offset, TimeZone};

use super::ast::{Clock, Expr, Held, Indexed, Place, State, Who};
use super::date::{Age, When};
use super::error::{Problem, QueryError, like};
use super::media::Media;
use super::ops::{Kind, Op};
use super::parse::{Field, Parser, Value};
use super::pattern::{Chain, Person};

type Made = Result<Expr, QueryError>;

const STATES: [State; 15] = [
    State::Read,
    State::Unread,
    State::Flagged,
    State::Unflagged,
    State::Answered,
    State::Unanswered,
    State::Draft,
    State::Deleted,
    State::Sent,
    State::Received,
    State::ToMe,
    State::FromMe,
    State::CcMe,
    State::Solo,
    State::Anywhere,
];

/// What an operator makes of a value.
pub(super) fn expr(parser: &Parser<'_>, field: Field<'_>, value: &Value) -> Made {
    let op = field.op;
    let text = value.text.as_str();
    let not = |meant| Err(refused(parser, op, value, meant));
    let or_not = |made: Option<Expr>| made.ok_or_else(|| refused(parser, op, value, None));
    if text.is_empty() {
        return not(None);
    }
    match &op.kind {
        Kind::Text(Place::Header(_)) if text == "*" && !value.quoted => {
            Ok(Expr::HasHeader(field.header.to_owned()))
        }
        Kind::Text(_) => {
            let place = op.place(field.header).unwrap_or(Place::Anywhere);
            Ok(Expr::Text(place, Chain::of(parser.pattern(value)?)))
        }
        Kind::People(role) => Ok(Expr::People(*role, person(parser, value)?)),
        Kind::Time(Clock::Deleted) if text.eq_ignore_ascii_case("any") => Ok(Expr::Gone),
        Kind::Time(clock) => or_not(time(parser, *clock, text)),
        Kind::Attachment => match Media::read(text) {
            Some(media) => Ok(Expr::Attachment(media)),
            None => not(like(text, Media::names())),
        },
        Kind::Has => or_not(is(text, "attachment").then_some(Expr::Is(State::Attached))),
        Kind::Is => match state(text) {
            Some(state) => Ok(Expr::Is(state)),
            None => not(like(text, STATES.iter().map(|state| state.word()))),
        },
        Kind::Flag => Ok(flag(text)),
        Kind::In => Ok(Expr::In(text.to_owned())),
        Kind::Under => Ok(Expr::Under(text.to_owned())),
        Kind::MovedFrom => Ok(Expr::MovedFrom(text.to_owned())),
        Kind::Account => Ok(Expr::Account(text.to_owned())),
        Kind::Domain => Ok(Expr::Domain(text.strip_prefix('@').unwrap_or(text).to_owned())),
        Kind::Keyword => Ok(Expr::Keyword(text.to_owned())),
        Kind::DeletedBy => or_not(who(text).map(Expr::DeletedBy)),
        Kind::Later(why) => Err(parser.wrong(value.at, Problem::NotYet(op.name, why))),
        kind => or_not(number(kind, text)),
    }
}

/// Numbers and ids.
fn number(kind: &Kind, text: &str) -> Option<Expr> {
    Some(match kind {
        Kind::Size => range(text, &size).map(|(least, most)| Expr::Size(least, most))?,
        Kind::Larger => Expr::Size(size(text)?.checked_add(1)?, u64::MAX),
        Kind::Smaller => Expr::Size(0, size(text)?.checked_sub(1)?),
        Kind::ModSeq => range(text, &plain).map(|(least, most)| Expr::ModSeq(least, most))?,
        Kind::Uid => Expr::Uid(text.split(',').map(uids).collect::<Option<_>>()?),
        Kind::MessageId => {
            let id = text.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(text);
            (!id.is_empty()).then(|| Expr::MessageId(id.to_owned()))?
        }
        Kind::EmailId => Expr::Email(text.parse().ok()?),
        Kind::ThreadId => Expr::Thread(text.parse().ok()?),
        Kind::Blob => Expr::Blob(text.parse().ok()?),
        Kind::Held => Expr::Held(match text.to_ascii_lowercase().as_str() {
            "yes" | "any" => Held::Any(true),
            "no" | "none" => Held::Any(false),
            id => Held::By(plain(id)?),
        }),
        Kind::Indexed => Expr::Indexed(match text.to_ascii_lowercase().as_str() {
            "full" => Indexed::Full,
            "partial" => Indexed::Partial,
            "none" => Indexed::None,
            _ => return None,
        }),
        _ => return None,
    })
}

/// The operator does not take this.
pub(super) fn refused(
    parser: &Parser<'_>,
    op: &'static Op,
    value: &Value,
    meant: Option<&'static str>,
) -> QueryError {
    let (name, example) = (op.name, op.example);
    let text = value.text.chars().take(40).collect();
    parser.wrong(value.at, Problem::Value { name, value: text, meant, example })
}

fn is(text: &str, word: &str) -> bool {
    text.eq_ignore_ascii_case(word)
}

fn person(parser: &Parser<'_>, value: &Value) -> Result<Person, QueryError> {
    let text = value.text.as_str();
    let address = text.rsplit_once('@').filter(|_| !text.contains(char::is_whitespace));
    let Some((local, domain)) = address else { return parser.pattern(value).map(Person::Named) };
    let any = |part: &str| part.is_empty() || part == "*" && !value.quoted;
    let part = |part: &str| if any(part) { String::new() } else { part.to_owned() };
    let address = (part(local), part(domain));
    let starred = !value.quoted && [&address.0, &address.1].iter().any(|part| part.contains('*'));
    match address {
        _ if starred => Err(parser.wrong(value.at, Problem::Star)),
        (local, domain) if local.is_empty() && domain.is_empty() => {
            Err(parser.wrong(value.at, Problem::NoWord(text.to_owned())))
        }
        (local, domain) => Ok(Person::Address { local, domain }),
    }
}

fn time(parser: &Parser<'_>, clock: Clock, text: &str) -> Option<Expr> {
    let age = Age::read(text).filter(|_| matches!(clock, Clock::Older | Clock::Newer));
    let when = match age {
        Some(age) => When::Age(age),
        None => When::read(text)?,
    };
    let (from, until) = when.stretch(parser.now)?;
    let is_one = !matches!(when, When::Between(..));
    let bounds = match clock {
        Clock::Before | Clock::Older if is_one => (i64::MIN, from),
        Clock::After | Clock::Since | Clock::Newer if is_one => (from, i64::MAX),
        Clock::Before | Clock::Older | Clock::After | Clock::Since | Clock::Newer => return None,
        _ => (from, until),
    };
    Some(Expr::Time(clock, when, bounds))
}

fn state(text: &str) -> Option<State> {
    let text = match text.to_ascii_lowercase().as_str() {
        "seen" => "read".to_owned(),
        "unseen" => "unread".to_owned(),
        "attachment" => return None,
        text => text.to_owned(),
    };
    STATES.iter().find(|state| state.word() == text).copied()
}

/// IMAP's flags by their names, and keywords.
fn flag(text: &str) -> Expr {
    match text.trim_start_matches('\\').to_ascii_lowercase().as_str() {
        "seen" => Expr::Is(State::Read),
        "unseen" => Expr::Is(State::Unread),
        "answered" => Expr::Is(State::Answered),
        "flagged" => Expr::Is(State::Flagged),
        "deleted" => Expr::Is(State::Deleted),
        "draft" => Expr::Is(State::Draft),
        _ => Expr::Keyword(text.to_owned()),
    }
}

fn who(text: &str) -> Option<Who> {
    Some(match text.to_ascii_lowercase().as_str() {
        "system" => Who::System,
        "mta" => Who::Mta,
        lower => match lower.strip_prefix("uid=") {
            Some(uid) => Who::Uid(u32::try_from(plain(uid)?).ok()?),
            None => Who::Account(text.to_owned()),
        },
    })
}

fn plain(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Octets: `20000`, `20k`, `20kb`, `5m`, `1g`, each 1,024 of the one before.
fn size(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at_checked(end)?;
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        _ => return None,
    };
    plain(digits)?.checked_mul(1 << shift)
}

/// `n`, `a..b`, `a..`, `..b`
fn range(text: &str, read: &dyn Fn(&str) -> Option<u64>) -> Option<(u64, u64)> {
    let Some((least, most)) = text.split_once("..") else {
        return read(text).map(|number| (number, number));
    };
    let least_number = if least.is_empty() { 0 } else { read(least)? };
    let most_number = if most.is_empty() { u64::MAX } else { read(most)? };
    let any = least.is_empty() && most.is_empty();
    (!any && least_number <= most_number).then_some((least_number, most_number))
}

/// `7`, `7..9`, `7:9`, `7..`
fn uids(text: &str) -> Option<(u32, u32)> {
    let text = text.replacen(':', "..", 1);
    let (least, most) = range(&text, &plain)?;
    let most = if most == u64::MAX { u64::from(u32::MAX) } else { most };
    let (least, most) = (u32::try_from(least).ok()?, u32::try_from(most).ok()?);
    (least > 0).then_some((least, most))
}

/// A zone by its name, or an offset.
pub(super) fn zone(text: &str) -> Option<(String, TimeZone)> {
    if text.len() > 64 {
        return None;
    }
    if let Some(sign) = text.get(..1).filter(|sign| matches!(*sign, "+" | "-")) {
        let (hours, minutes) = text.get(1..)?.split_once(':')?;
        let number = |text: &str| i32::try_from(plain(text).filter(|_| text.len() == 2)?).ok();
        let seconds = number(hours)? * 3600 + number(minutes).filter(|m| *m < 60)? * 60;
        let seconds = if sign == "-" { -seconds } else { seconds };
        let offset = Offset::from_seconds(seconds).ok()?;
        return Some((text.to_owned(), TimeZone::fixed(offset)));
    }
    let zone = TimeZone::get(text).ok()?;
    Some((zone.iana_name().unwrap_or(text).to_owned(), zone))
}
