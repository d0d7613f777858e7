//! What the verbs that look at a moment have in common.

use clap::Args;
use jiff::Zoned;
use redoubt_log::id::Timestamp;
use redoubt_search::query::{Context, Query};
use redoubt_store::moment::Moment;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Common;
use crate::admin::client::{Client, encode};
use crate::admin::travel::wire::{MomentLine, Page};
use crate::exit::Failure;
use crate::output;

/// The most items that are asked for at one time.
const PAGE: usize = 500;

/// When to look.
#[derive(Debug, Args)]
pub struct At {
    /// As it was then: 2026-11-20T14:00:00Z, "2026-11-20 14:00", "yesterday 14:00", -2h, @INDEX
    #[arg(long, value_name = "TIME|INDEX", allow_hyphen_values = true)]
    at: Option<String>,
}

/// Why somebody looks.
#[derive(Debug, Args)]
pub struct Why {
    /// Why you look: it stands in the audit trail.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

impl At {
    /// The moment as it is written, if one is.
    pub fn written(&self) -> Option<&str> {
        self.at.as_deref()
    }

    /// The moment as the server reads it: times of this machine's zone are in UTC then.
    ///
    /// # Errors
    /// Wrong usage, with what to write instead.
    pub fn moment(&self) -> anyhow::Result<String> {
        moment(self.at.as_deref().unwrap_or("now"))
    }
}

/// A moment as the server reads it.
///
/// # Errors
/// Wrong usage, with what to write instead.
pub fn moment(text: &str) -> anyhow::Result<String> {
    let moment = Moment::parse(text, &Zoned::now());
    Ok(moment.map_err(|error| Failure::usage(error.to_string()))?.to_string())
}

/// What is looked for, as the server is asked for it.
#[derive(Debug)]
pub struct Wish {
    /// The query as it was written.
    pub query: String,
    /// This machine's zone.
    pub zone: String,
    /// The moment that the query names.
    pub as_of: Option<String>,
    /// Whether it asks of what went.
    pub looks_back: bool,
}

impl Wish {
    /// Reads a query as it is written on this machine.
    ///
    /// # Errors
    /// Wrong usage, with where the query stops making sense.
    pub fn read(query: String) -> anyhow::Result<Self> {
        let now = Zoned::now();
        let zone = now.time_zone().iana_name().map_or_else(|| offset(&now), str::to_owned);
        let context = Context { now: Timestamp::now(), zone: now.time_zone().clone() };
        let read = Query::parse(&query, &context);
        let read = read.map_err(|error| Failure::usage(error.to_string()))?;
        let as_of = read.as_of().map(|moment| moment.to_string());
        Ok(Self { query, zone, as_of, looks_back: read.looks_back() })
    }

    /// The moment of which is asked: that of the query, or of an option.
    ///
    /// # Errors
    /// Wrong usage where both name one, and where it does not read.
    pub fn at(&self, option: Option<&str>) -> anyhow::Result<Option<String>> {
        match (&self.as_of, option) {
            (Some(_), Some(_)) => {
                let text = "the query says asof: itself: name one moment, there or by an option";
                Err(Failure::usage(text).into())
            }
            (as_of, None) => Ok(as_of.clone()),
            (None, Some(option)) => moment(option).map(Some),
        }
    }
}

/// `+01:00`
fn offset(now: &Zoned) -> String {
    let minutes = now.offset().seconds() / 60;
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// `ACCOUNT/REST` or `ACCOUNT` and, where it is given, the rest beside it. An account whose own
/// name has a slash is named by its id.
pub fn target(target: &str, beside: Option<String>) -> (String, Option<String>) {
    match (target.split_once('/'), beside) {
        (Some((account, rest)), None) => (account.to_owned(), Some(rest.to_owned())),
        (_, beside) => (target.to_owned(), beside),
    }
}

/// A call of time travel, page by page.
#[derive(Debug)]
pub struct Pages<'a> {
    client: &'a Client,
    path: String,
    asked: Vec<(&'static str, String)>,
    moments: &'static [&'static str],
    left: usize,
    after: Option<String>,
    ended: bool,
}

impl<'a> Pages<'a> {
    /// A call on an account; `moments` are the parameters that the first page resolves.
    pub fn new(
        client: &'a Client,
        account: &str,
        call: &str,
        moments: &'static [&'static str],
        limit: Option<usize>,
    ) -> Self {
        let path = path(account, call);
        let (asked, left) = (Vec::new(), limit.unwrap_or(usize::MAX));
        Self { client, path, asked, moments, left, after: None, ended: left == 0 }
    }

    /// With a parameter.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: Option<String>) -> Self {
        self.asked.extend(value.map(|value| (name, value)));
        self
    }

    /// The next page as it is answered; `None` at the end.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn answer<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<T>> {
        if self.ended {
            return Ok(None);
        }
        let mut query = format!("limit={}", self.left.min(PAGE));
        for (name, value) in &self.asked {
            query += &format!("&{name}={}", encode(value));
        }
        if let Some(after) = &self.after {
            query += &format!("&after={}", encode(after));
        }
        Ok(Some(self.client.get(&format!("{}?{query}", self.path)).await?))
    }

    /// What the page said of how to go on.
    pub fn go_on(&mut self, moments: &[MomentLine], items: usize, next: Option<String>) {
        for (name, moment) in self.moments.iter().zip(moments) {
            self.asked.retain(|(other, _)| other != name);
            self.asked.push((name, format!("@{}", moment.index)));
        }
        self.left = self.left.saturating_sub(items);
        self.ended = next.is_none() || self.left == 0;
        self.after = next;
    }

    /// The next page of a plain listing; `None` at the end.
    ///
    /// # Errors
    /// Those of the server.
    pub async fn next<T: DeserializeOwned>(&mut self) -> anyhow::Result<Option<Page<T>>> {
        let Some(mut page) = self.answer::<Page<T>>().await? else { return Ok(None) };
        page.items.truncate(self.left);
        self.go_on(&page.moments, page.items.len(), page.next.clone());
        Ok(Some(page))
    }
}

/// Where a call of time travel is.
pub fn path(account: &str, call: &str) -> String {
    format!("/v1/accounts/{}/travel/{call}", encode(account))
}

/// A listing that is printed while it comes: a table, or an object a line. The moments are told
/// on standard error beside a table, and in each object.
#[derive(Debug)]
pub struct Listing<const N: usize> {
    json: bool,
    names: &'static [&'static str],
    table: output::Table<N>,
    told: bool,
}

impl<const N: usize> Listing<N> {
    /// A listing with these columns; `names` are what its moments are called in JSON.
    pub fn new(
        common: &Common,
        names: &'static [&'static str],
        heading: [&'static str; N],
    ) -> Self {
        Self { json: common.json, names, table: output::Table::new(heading), told: false }
    }

    /// Prints one page.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn page<T: Serialize>(
        &mut self,
        moments: &[MomentLine],
        items: &[T],
        row: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<()> {
        if self.json {
            let line = |item| object(item, self.names, moments);
            return output::json_lines(items.iter().map(line).collect::<anyhow::Result<Vec<_>>>()?);
        }
        if !std::mem::replace(&mut self.told, true) {
            tell(moments);
        }
        let rows: Vec<[String; N]> = items.iter().map(|item| row(item).map(plain)).collect();
        self.table.rows(&rows)
    }

    /// Prints the heading of an empty table.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn end(mut self) -> anyhow::Result<()> {
        if self.json { Ok(()) } else { self.table.rows(&[]) }
    }
}

/// Tells people which moments they look at.
pub fn tell(moments: &[MomentLine]) {
    let told: Vec<String> =
        moments.iter().map(|moment| format!("{} (index {})", moment.time, moment.index)).collect();
    match told.as_slice() {
        [one] => eprintln!("as of {one}"),
        many => eprintln!("from {}", many.join(" to ")),
    }
}

/// An item with the moments that it belongs to.
fn object<T: Serialize>(item: &T, names: &[&str], moments: &[MomentLine]) -> anyhow::Result<Value> {
    let mut value = serde_json::to_value(item)?;
    if let Value::Object(fields) = &mut value {
        for (name, moment) in names.iter().zip(moments) {
            fields.insert((*name).to_owned(), serde_json::to_value(moment)?);
        }
    }
    Ok(value)
}

/// What mail says must not steer a terminal.
pub fn plain(text: String) -> String {
    match text.contains(char::is_control) {
        true => text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect(),
        false => text,
    }
}

/// At most so many characters.
pub fn short(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Flags in one cell.
pub fn flags(flags: &[String]) -> String {
    if flags.is_empty() { "-".to_owned() } else { flags.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_accounts_with_or_without_more() {
        let read = |text, beside: Option<&str>| target(text, beside.map(str::to_owned));
        let pair = |a: &str, b: Option<&str>| (a.to_owned(), b.map(str::to_owned));
        assert_eq!(read("a@b", None), pair("a@b", None));
        assert_eq!(read("a@b/Work/Q1", None), pair("a@b", Some("Work/Q1")));
        assert_eq!(read("a@b", Some("Work/Q1")), pair("a@b", Some("Work/Q1")));
    }

    #[test]
    fn cells_are_one_line_of_text() {
        assert_eq!(plain("a\u{1b}[2Jb\n".into()), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!((short("äöü", 3), short("äöü", 2)), ("äöü".into(), "äö…".into()));
    }
}
