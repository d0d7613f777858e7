//! The query language: one parser, one meaning, wherever queries are written. docs/search.md is
//! its page.
//!
//! A query is read with the moment and the zone in which it was written, so that `-7d` and
//! `2026-11-20` mean what their writer meant. It is judged of one email at a time, out of
//! [`Facts`], and what can be looked up before that is asked of an index.

mod ask;
mod ast;
mod date;
mod error;
mod judge;
mod media;
mod ops;
mod parse;
mod pattern;
mod print;
#[cfg(test)]
mod tests;
mod value;

use std::fmt;

use jiff::Zoned;
use jiff::tz::TimeZone;
use redoubt_log::id::Timestamp;
use redoubt_store::moment::Moment;

use crate::ask::Ask;
use crate::facts::{Facts, FactsError};

pub use ast::{Clock, Expr, Held, Indexed, Place, Role, State, Who};
pub use date::{Age, Point, Unit, When};
pub use error::{Problem, QueryError};
pub use media::{ALIASES, Alias, Media};
pub use pattern::{Chain, Pattern, Person};

/// The most octets of a query.
pub const MAX_OCTETS: usize = 16 * 1024;
/// The most terms of a query.
pub const MAX_TERMS: usize = 1000;
/// Brackets, NOT and `-` that may lie within each other.
pub const MAX_DEPTH: usize = 50;
/// Words between, where `NEAR` names no number.
pub const NEAR: u32 = 10;
/// The most that it can name.
pub const MAX_GAP: u32 = 1000;

/// Where and when a query was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Context {
    /// What `today` and `-7d` count from.
    pub now: Timestamp,
    /// The zone of dates and times without one, unless the query names another.
    pub zone: TimeZone,
}

impl Context {
    /// Now, in UTC.
    pub fn utc() -> Self {
        Self { now: Timestamp::now(), zone: TimeZone::UTC }
    }

    fn zoned(&self, zone: &TimeZone) -> Zoned {
        let now = jiff::Timestamp::from_millisecond(self.now.0).unwrap_or_default();
        now.to_zoned(zone.clone())
    }
}

/// The names of all operators, those too that cannot be answered yet.
pub fn operators() -> impl Iterator<Item = &'static str> {
    ops::Op::names()
}

/// A zone by its name, `Europe/Berlin`, or an offset, `+01:00`; `None` for what is neither.
pub fn zone_named(text: &str) -> Option<TimeZone> {
    value::zone(text).map(|(_, zone)| zone)
}

/// A query that was understood.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    root: Expr,
    as_of: Option<Moment>,
    zone: Option<String>,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError`]: where it stops making sense, and what was perhaps meant.
    pub fn parse(text: &str, context: &Context) -> Result<Self, QueryError> {
        let now = context.zoned(&context.zone);
        let (mut root, settings) = parse::Parser::new(text, &now).whole()?;
        let mut as_of = settings.as_of;
        if let Some((_, zone)) = &settings.zone {
            // It holds for what stands before it too.
            let now = context.zoned(zone);
            let again = parse::Parser::new(text, &now).whole()?;
            (root, as_of) = (again.0, again.1.as_of);
        }
        Ok(Self { root, as_of, zone: settings.zone.map(|(name, _)| name) })
    }

    /// What must hold.
    pub fn expr(&self) -> &Expr {
        &self.root
    }

    /// The moment of which it asks; `None` is that of whoever evaluates it.
    pub fn as_of(&self) -> Option<Moment> {
        self.as_of
    }

    /// Whether it asks of what went: emails that were expunged before are then to be judged too.
    pub fn looks_back(&self) -> bool {
        self.root.any(&|expr| match expr {
            Expr::Gone | Expr::DeletedBy(_) => true,
            Expr::Time(clock, ..) => matches!(clock, Clock::Existed | Clock::Deleted),
            _ => false,
        })
    }

    /// The first operator that asks for what may be otherwise tomorrow; `None` for a query whose
    /// answer about an email is the same for ever.
    pub fn changeable(&self) -> Option<&'static str> {
        match self.as_of {
            Some(_) => Some("asof:"),
            None => self.root.changeable(),
        }
    }

    /// Whether it may have to open messages, which takes time.
    pub fn opens_messages(&self) -> bool {
        self.root.cost() >= 2
    }

    /// Whether an email matches, at any of the places where it stands.
    ///
    /// # Errors
    /// What must be known of it cannot be read.
    pub fn matches(&self, facts: &mut dyn Facts) -> Result<bool, FactsError> {
        Ok(self.place(facts)?.is_some())
    }

    /// The first of its standings at which an email matches, by its number.
    ///
    /// # Errors
    /// What must be known of it cannot be read.
    pub fn place(&self, facts: &mut dyn Facts) -> Result<Option<usize>, FactsError> {
        for (number, standing) in facts.standings()?.iter().enumerate() {
            if judge::judge(&self.root, facts, standing)? {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    /// What an index is asked: its answer has every email that can match.
    pub fn ask(&self) -> Ask {
        ask::ask(&self.root).0
    }

    /// Whether an exact answer to [`ask`](Self::ask) needs no confirmation.
    pub fn is_asked_exactly(&self) -> bool {
        ask::ask(&self.root).1
    }
}

impl fmt::Display for Query {
    /// Text that reads as the same query, in the same context.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let zone = self.zone.iter().map(|zone| format!("zone:{}", print::written(zone)));
        let as_of = self.as_of.iter().map(|at| format!("asof:{}", print::written(&at.to_string())));
        let root = Some(self.root.to_string()).filter(|root| !root.is_empty());
        f.write_str(&root.into_iter().chain(zone).chain(as_of).collect::<Vec<_>>().join(" "))
    }
}
