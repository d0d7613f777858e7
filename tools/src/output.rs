//! Listings: a table for people, one object a line with `--json`.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

/// Prints one object a line, as scripts read it.
///
/// # Errors
/// When standard output is closed.
pub fn json_lines<T: Serialize>(items: impl IntoIterator<Item = T>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for item in items {
        serde_json::to_writer(&mut out, &item)?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Prints one object: over several lines for people, in one for scripts.
///
/// # Errors
/// When standard output is closed.
pub fn object<T: Serialize>(json: bool, object: &T) -> anyhow::Result<()> {
    if json {
        return json_lines([object]);
    }
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, object)?;
    Ok(out.write_all(b"\n")?)
}

/// Prints a table with a heading; columns are as wide as their widest cell.
///
/// # Errors
/// When standard output is closed.
pub fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> anyhow::Result<()> {
    Table::new(heading).rows(rows)
}

/// A table that is printed piece by piece: columns are as wide as their widest cell so far.
#[derive(Debug)]
pub struct Table<const N: usize> {
    heading: Option<[String; N]>,
    widths: [usize; N],
}

impl<const N: usize> Table<N> {
    /// A table with this heading, which is printed with the first rows.
    pub fn new(heading: [&str; N]) -> Self {
        let widths = heading.map(|cell| cell.chars().count());
        Self { heading: Some(heading.map(str::to_uppercase)), widths }
    }

    /// Prints more rows.
    ///
    /// # Errors
    /// When standard output is closed.
    pub fn rows(&mut self, rows: &[[String; N]]) -> anyhow::Result<()> {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut out = io::stdout().lock();
        if let Some(heading) = self.heading.take() {
            print_row(&mut out, &heading, &self.widths)?;
        }
        for row in rows {
            print_row(&mut out, row, &self.widths)?;
        }
        Ok(())
    }
}

fn print_row<const N: usize>(
    out: &mut impl Write,
    row: &[String; N],
    widths: &[usize; N],
) -> io::Result<()> {
    let cells: Vec<String> =
        row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    writeln!(out, "{}", cells.join("  ").trim_end())
}

/// Bytes as people read them: `1.5 MiB`.
pub fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {name}") }
}

/// Asks on a terminal; without one only `yes` counts.
///
/// # Errors
/// [`Exit::NeedsYes`](crate::exit::Exit::NeedsYes) when nobody can be asked or the answer is no.
pub fn confirm(plan: &str, yes: bool) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !plan.is_empty() {
        println!("{plan}");
    }
    if io::stdin().is_terminal() {
        print!("Go on? [y/N] ");
        io::stdout().flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            return Ok(());
        }
    }
    Err(crate::exit::Failure::new(
        crate::exit::Exit::NeedsYes,
        "nothing was done; say --yes to do it",
    )
    .into())
}

#[cfg(test)]
mod tests {
    #[test]
    fn bytes_read_well() {
        assert_eq!(super::bytes(0), "0 B");
        assert_eq!(super::bytes(1536), "1.5 KiB");
        assert_eq!(super::bytes(u64::MAX), "16384.0 PiB");
    }
}
