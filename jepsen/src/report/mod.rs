//! What a run showed: as text for a terminal, and as one page with a picture.

pub mod figures;
pub mod page;
pub mod picture;

use std::io;
use std::path::Path;

use crate::check::{Checked, Verdict};
use crate::run::Outcome;

/// Writes the page, and the nodes' logs beside it.
///
/// # Errors
/// When they cannot be written.
pub fn write(outcome: &Outcome, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (node, log) in &outcome.logs {
        std::fs::write(folder.join(format!("node{node}.log")), log)?;
    }
    std::fs::write(folder.join("index.html"), page::page(outcome))
}

/// For a terminal: a line a check, reasons below.
pub fn text(outcome: &Outcome) -> String {
    let mut text = checks(&outcome.checked);
    for (kind, why) in &outcome.impossible {
        text += &format!("not tried: {kind}: {why}\n");
    }
    text + &format!("{}\n", word(&outcome.verdict()).0)
}

/// A line a check, reasons below.
pub fn checks(checked: &[Checked]) -> String {
    let mut text = String::new();
    for Checked { name, verdict, counts } in checked {
        let (word, reasons) = word(verdict);
        let counts: Vec<String> =
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect();
        text += &format!("{word:<8} {name} ({})\n", counts.join(", "));
        reasons.iter().for_each(|reason| text += &format!("         {reason}\n"));
    }
    text
}

/// A verdict in one word, and its reasons.
pub fn word(verdict: &Verdict) -> (&'static str, &[String]) {
    match verdict {
        Verdict::Valid => ("valid", &[]),
        Verdict::Invalid(reasons) => ("INVALID", reasons),
        Verdict::Unknown(reasons) => ("UNKNOWN", reasons),
    }
}
