//! What was measured: tables for people, for a document, and as JSON.

use std::io::{self, Write};

use serde_json::{Map, Value, json};

/// One value of a table.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Not measured.
    Nothing,
    /// Words.
    Text(String),
    /// A number and how many digits behind the point are worth printing.
    Number(f64, usize),
}

impl Cell {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A whole number.
    pub fn count(count: u64) -> Self {
        Self::Number(count as f64, 0)
    }

    /// For people.
    pub fn print(&self) -> String {
        match self {
            Self::Nothing => "–".into(),
            Self::Text(text) => text.clone(),
            Self::Number(number, digits) => grouped(*number, *digits),
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Nothing => Value::Null,
            Self::Text(text) => json!(text),
            Self::Number(number, _) => json!(number),
        }
    }
}

/// `12345.678` as `12,346` or `12,345.7`.
fn grouped(number: f64, digits: usize) -> String {
    let text = format!("{number:.digits$}");
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(w, r)| (w, Some(r)));
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |whole| ("-", whole));
    let mut out = String::from(sign);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    rest.map_or(out.clone(), |rest| format!("{out}.{rest}"))
}

/// One table of figures.
#[derive(Debug, Clone)]
pub struct Table {
    name: &'static str,
    title: String,
    note: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table; `note` says what was done.
    pub fn new(
        name: &'static str,
        title: impl Into<String>,
        note: impl Into<String>,
        columns: &[&str],
    ) -> Self {
        Self {
            name,
            title: title.into(),
            note: note.into(),
            columns: columns.iter().map(|column| (*column).to_string()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a cell for each column.
    pub fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    fn json(&self) -> Value {
        let row = |cells: &Vec<Cell>| {
            let pairs = self.columns.iter().cloned().zip(cells.iter().map(Cell::json));
            Value::Object(pairs.collect::<Map<_, _>>())
        };
        json!({
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "rows": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// Markdown whose source is aligned, so that it reads on a terminal too.
    fn print(&self, out: &mut impl Write) -> io::Result<()> {
        let rows: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(Cell::print).collect()).collect();
        let width = |at: usize| {
            let cells = rows.iter().filter_map(|row| row.get(at)).chain(self.columns.get(at));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(3)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        writeln!(out, "### {}\n\n{}\n", self.title, self.note)?;
        line(out, &self.columns, &widths)?;
        let rules: Vec<String> = widths.iter().enumerate().map(rule).collect();
        line(out, &rules, &widths)?;
        rows.iter().try_for_each(|row| line(out, row, &widths))?;
        writeln!(out)
    }
}

fn rule((at, width): (usize, &usize)) -> String {
    let dashes = "-".repeat(width - 1);
    if at == 0 { format!("{dashes}-") } else { format!("{dashes}:") }
}

fn line(out: &mut impl Write, cells: &[String], widths: &[usize]) -> io::Result<()> {
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        match at {
            0 => write!(out, "| {cell:<width$} |")?,
            _ => write!(out, " {cell:>width$} |")?,
        }
    }
    writeln!(out)
}

/// Everything of one run.
#[derive(Debug, Default)]
pub struct Report {
    machine: Vec<(String, String)>,
    tables: Vec<Table>,
    remarks: Vec<String>,
    failed: bool,
    live: bool,
}

impl Report {
    /// One that says on standard output what is added as soon as it is, so that a run
    /// that is broken off leaves what it measured.
    pub fn live() -> Self {
        Self { live: true, ..Self::default() }
    }

    /// A fact about where it was measured.
    pub fn machine(&mut self, name: &str, value: impl Into<String>) {
        let value = value.into();
        self.say(|out| writeln!(out, "- {name}: {value}"));
        self.machine.push((name.into(), value));
    }

    /// Adds a table.
    pub fn add(&mut self, table: Table) {
        self.say(|out| {
            writeln!(out)?;
            table.print(out)
        });
        self.tables.push(table);
    }

    /// Who reads may go away; what is measured is then still in the exit code.
    fn say(&self, print: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) {
        if self.live {
            let mut out = io::stdout().lock();
            let _ = print(&mut out).and_then(|()| out.flush());
        }
    }

    /// What has to be said beside the figures.
    pub fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// A part that could not be measured.
    pub fn fail(&mut self, part: &str, why: &anyhow::Error) {
        self.failed = true;
        self.remark(format!("{part} was not measured: {why:#}"));
    }

    /// What was measured is not as it must be.
    pub fn wrong(&mut self, what: impl Into<String>) {
        self.failed = true;
        self.remark(what);
    }

    /// Whether every part was measured, and is as it must be.
    pub fn is_whole(&self) -> bool {
        !self.failed
    }

    /// As one JSON object.
    pub fn json(&self) -> Value {
        let machine: Map<String, Value> =
            self.machine.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let tables: Vec<Value> = self.tables.iter().map(Table::json).collect();
        json!({ "machine": machine, "tables": tables, "remarks": self.remarks })
    }

    /// The end of it as Markdown: what has not been said.
    ///
    /// # Errors
    /// When `out` is closed.
    pub fn end(&self, out: &mut impl Write) -> io::Result<()> {
        self.remarks.iter().try_for_each(|remark| writeln!(out, "- {remark}"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_table_is_aligned_markdown() {
        let mut table = Table::new("t", "T", "n", &["what", "count"]);
        table.row(vec![Cell::text("a"), Cell::count(1_234_567)]);
        table.row(vec![Cell::text("bcdefg"), Cell::Number(-1234.56, 1)]);
        table.row(vec![Cell::text("c"), Cell::Nothing]);
        let mut out = Vec::new();
        table.print(&mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(
            text,
            "### T\n\nn\n\n\
             | what   |     count |\n\
             | ------ | --------: |\n\
             | a      | 1,234,567 |\n\
             | bcdefg |  -1,234.6 |\n\
             | c      |         – |\n\n"
        );
        assert_eq!(table.json()["rows"][0]["count"], 1_234_567.0);
    }
}
