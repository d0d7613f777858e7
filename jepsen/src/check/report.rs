//! What a checker found.

use std::collections::BTreeMap;

use super::{Checked, Verdict};

/// So many facts of a kind are told; of the others only the number.
const MOST: usize = 20;

/// A checker's findings as they come.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    wrong: Vec<String>,
    unsure: Vec<String>,
    counts: BTreeMap<String, u64>,
}

impl Report {
    /// Of a property.
    pub fn new(name: &'static str) -> Self {
        Self { name, wrong: Vec::new(), unsure: Vec::new(), counts: BTreeMap::new() }
    }

    /// The property does not hold.
    pub fn wrong(&mut self, fact: impl Into<String>) {
        self.wrong.push(fact.into());
    }

    /// It could not be decided.
    pub fn unsure(&mut self, why: impl Into<String>) {
        self.unsure.push(why.into());
    }

    /// So much was looked at.
    pub fn count(&mut self, what: &str, more: u64) {
        *self.counts.entry(what.into()).or_insert(0) += more;
    }

    /// The verdict. Where nothing was looked at, it is unknown.
    pub fn checked(mut self) -> Checked {
        if self.counts.values().sum::<u64>() == 0 {
            self.unsure.push("there was nothing to look at".into());
        }
        let verdict = match (self.wrong.is_empty(), self.unsure.is_empty()) {
            (false, _) => Verdict::Invalid(told(self.wrong)),
            (true, false) => Verdict::Unknown(told(self.unsure)),
            (true, true) => Verdict::Valid,
        };
        Checked { name: self.name, verdict, counts: self.counts }
    }
}

fn told(mut facts: Vec<String>) -> Vec<String> {
    let more = facts.len().saturating_sub(MOST);
    facts.truncate(MOST);
    if more > 0 {
        facts.push(format!("and {more} more"));
    }
    facts
}
