//! UIDs are never reused and rise, UIDNEXT is ahead of them, UIDVALIDITY stays or is newer;
//! MODSEQ never goes back, by session and across sessions in the order of real time.

use std::collections::{BTreeMap, BTreeSet};

use super::Checked;
use super::index::{Facts, Index, Place, mailbox};
use super::report::Report;
use super::state::NodeState;
use crate::history::{Ask, Heard, History, Operation};

/// Values in time, to be asked for the greatest of those that were told before some moment.
#[derive(Debug, Default)]
pub struct Rising(Vec<(u64, u64)>);

impl Rising {
    /// From pairs of a time and a value.
    pub fn new(mut values: Vec<(u64, u64)>) -> Self {
        values.sort_unstable();
        let mut most = 0;
        for (_, value) in &mut values {
            most = most.max(*value);
            *value = most;
        }
        Self(values)
    }

    /// The greatest before `time`.
    pub fn before(&self, time: u64) -> u64 {
        let end = self.0.partition_point(|(at, _)| *at < time);
        end.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

/// One mailbox over the whole run.
#[derive(Debug, Default)]
struct Line<'a> {
    /// Arrivals: who, and which UID.
    made: Vec<(&'a Operation, u32)>,
    next: Vec<(&'a Operation, u64)>,
    highest: Vec<(&'a Operation, u64)>,
    modseqs: Vec<(u64, u64)>,
    uids: BTreeSet<u32>,
}

type Lines<'a> = BTreeMap<(String, String), Line<'a>>;

/// The checker.
pub fn check(history: &History, index: &Index<'_>, finals: &[(u32, NodeState)]) -> Checked {
    let mut report = Report::new("numbers");
    for (place, facts) in &index.places {
        one(&mut report, place, facts);
    }
    let lines = lines(history, index);
    for ((account, name), line) in &lines {
        rising(&mut report, &format!("{account} {name}"), line);
    }
    for (node, state) in finals {
        ends(&mut report, *node, state, &lines);
    }
    validities(&mut report, history, finals);
    report.checked()
}

/// One placement: one arrival, one email, flags that are a function of MODSEQ, MODSEQ rising.
fn one(report: &mut Report, place: &Place, facts: &Facts<'_>) {
    report.count("placements", 1);
    if let [first, second, ..] = facts.made.as_slice()
        && first.validity == second.validity
    {
        let (first, second) = (first.by.tell(), second.by.tell());
        report.wrong(format!("{place} was given twice: {first}; {second}"));
    }
    if facts.emails.len() > 1 {
        report.wrong(format!("{place} stands for several emails: {:?}", facts.emails));
    }
    let mut flags: BTreeMap<u64, (&[String], &Operation)> = BTreeMap::new();
    let told = facts.seen.iter().filter_map(|seen| Some((seen.by, seen.what.modseq?, seen.what)));
    for (by, modseq, what) in told.clone() {
        let Some(now) = &what.flags else { continue };
        let (then, who) = *flags.entry(modseq).or_insert((now, by));
        if then != now {
            let (who, by) = (who.tell(), by.tell());
            report.wrong(format!(
                "{place} MODSEQ {modseq} has flags {then:?} ({who}) and {now:?} ({by})"
            ));
        }
    }
    let before = Rising::new(told.clone().map(|(by, modseq, _)| (by.ended, modseq)).collect());
    for (by, modseq, _) in told {
        let most = before.before(by.asked);
        if modseq < most {
            report.wrong(format!("{place} has MODSEQ {modseq} after {most}: {}", by.tell()));
        }
        report.count("MODSEQs", 1);
    }
}

fn lines<'a>(history: &'a History, index: &Index<'a>) -> Lines<'a> {
    let mut lines = Lines::new();
    for (place, facts) in &index.places {
        let line = lines.entry((place.account.clone(), place.mailbox.clone())).or_default();
        line.uids.insert(place.uid);
        line.made.extend(facts.made.iter().map(|made| (made.by, place.uid)));
        let modseqs = facts.seen.iter().filter_map(|s| Some((s.by.ended, s.what.modseq?)));
        line.modseqs.extend(modseqs);
    }
    for operation in &history.operations {
        for heard in &operation.heard {
            let name = match (heard, &operation.ask) {
                (Heard::Status(name, _), _) | (_, Ask::Select { mailbox: name, .. }) => name,
                _ => mailbox(operation),
            };
            if matches!(heard, Heard::Status(..) | Heard::Next(_) | Heard::Highest(_)) {
                let key = (operation.account.clone(), name.to_string());
                note(lines.entry(key).or_default(), operation, heard);
            }
        }
    }
    // Names come and go: what two mailboxes of one name have is not to be compared.
    lines.retain(|(_, name), _| crate::workload::names::epoch(name).is_none());
    lines
}

fn note<'a>(line: &mut Line<'a>, by: &'a Operation, heard: &Heard) {
    let selected = matches!(by.ask, Ask::Select { .. });
    match heard {
        Heard::Status(_, numbers) => {
            line.next.push((by, numbers.next.into()));
            line.highest.push((by, numbers.highest));
        }
        Heard::Next(next) if selected => line.next.push((by, u64::from(*next))),
        Heard::Highest(highest) if selected => line.highest.push((by, *highest)),
        Heard::Highest(highest) => line.modseqs.push((by.ended, *highest)),
        _ => {}
    }
}

fn rising(report: &mut Report, place: &str, line: &Line<'_>) {
    let ended =
        |of: &[(&Operation, u64)]| of.iter().map(|(o, n)| (o.ended, *n)).collect::<Vec<_>>();
    let made: Vec<(&Operation, u64)> =
        line.made.iter().map(|(o, uid)| (*o, u64::from(*uid))).collect();
    let given = Rising::new(ended(&made));
    let nexts = Rising::new(ended(&line.next));
    for (by, uid) in &made {
        let (most, next) = (given.before(by.asked), nexts.before(by.asked));
        if *uid <= most {
            report.wrong(format!("{place}: UID {uid} after UID {most}: {}", by.tell()));
        }
        if *uid < next {
            report.wrong(format!("{place}: UID {uid} after UIDNEXT {next}: {}", by.tell()));
        }
        report.count("UIDs given", 1);
    }
    for (by, next) in &line.next {
        let (most, before) = (given.before(by.asked), nexts.before(by.asked));
        if *next <= most || *next < before {
            let tell = by.tell();
            report.wrong(format!(
                "{place}: UIDNEXT {next} after UID {most}, UIDNEXT {before}: {tell}"
            ));
        }
        report.count("UIDNEXTs", 1);
    }
    highest(report, place, line);
}

fn highest(report: &mut Report, place: &str, line: &Line<'_>) {
    let mut all = line.modseqs.clone();
    all.extend(line.highest.iter().map(|(by, highest)| (by.ended, *highest)));
    let most = Rising::new(all);
    for (by, highest) in &line.highest {
        let before = most.before(by.asked);
        if *highest < before {
            report.wrong(format!("{place}: HIGHESTMODSEQ {highest} after {before}: {}", by.tell()));
        }
        report.count("HIGHESTMODSEQs", 1);
    }
}

/// The final state against all that was ever told.
fn ends(report: &mut Report, node: u32, state: &NodeState, lines: &Lines<'_>) {
    for ((account, name), line) in lines {
        let Some(mailbox) = state.mailbox(account, name) else { continue };
        let most = line.uids.last().copied().unwrap_or(0);
        if mailbox.selectable && mailbox.next <= most {
            let next = mailbox.next;
            report.wrong(format!("node {node}: {account} {name}: UIDNEXT {next}, UID {most}"));
        }
        let told = line.modseqs.iter().map(|(_, modseq)| *modseq);
        let told = told.chain(line.highest.iter().map(|(_, highest)| *highest)).max().unwrap_or(0);
        let there = mailbox.emails.values().map(|email| email.modseq).max().unwrap_or(0);
        if mailbox.selectable && mailbox.highest < told.max(there) {
            let highest = mailbox.highest;
            report.wrong(format!(
                "node {node}: {account} {name}: HIGHESTMODSEQ {highest} in the end, but MODSEQ {}",
                told.max(there)
            ));
        }
    }
}

/// UIDVALIDITY by account and MAILBOXID: one for each, none for two.
fn validities(report: &mut Report, history: &History, finals: &[(u32, NodeState)]) {
    let mut told: BTreeSet<(&str, &str, u32)> = BTreeSet::new();
    for operation in &history.operations {
        for heard in &operation.heard {
            if let Heard::Status(_, numbers) = heard {
                told.insert((&operation.account, &numbers.id, numbers.validity));
            }
        }
        if let (Ask::Select { .. }, true) = (&operation.ask, operation.done()) {
            told.extend(selected(operation));
        }
    }
    for (account, _, mailbox) in finals.iter().flat_map(|(_, state)| state.mailboxes()) {
        if mailbox.selectable {
            told.insert((account, &mailbox.id, mailbox.validity));
        }
    }
    let mut by_id: BTreeMap<(&str, &str), u32> = BTreeMap::new();
    let mut by_number: BTreeMap<(&str, u32), &str> = BTreeMap::new();
    for (account, id, validity) in told {
        let known = *by_id.entry((account, id)).or_insert(validity);
        let holder = *by_number.entry((account, validity)).or_insert(id);
        if known != validity {
            report.wrong(format!("{account} {id}: UIDVALIDITY {known} and {validity}"));
        }
        if holder != id {
            report.wrong(format!("{account}: UIDVALIDITY {validity} of {holder} and of {id}"));
        }
        report.count("UIDVALIDITYs", 1);
    }
}

fn selected(operation: &Operation) -> Option<(&str, &str, u32)> {
    let id = operation.heard.iter().find_map(|heard| match heard {
        Heard::Id(id) => Some(id.as_str()),
        _ => None,
    })?;
    let validity = operation.heard.iter().find_map(|heard| match heard {
        Heard::Validity(validity) => Some(*validity),
        _ => None,
    })?;
    Some((&operation.account, id, validity))
}
