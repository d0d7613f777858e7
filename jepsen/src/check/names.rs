//! CREATE, RENAME and DELETE are linearizable per account: there is one order of them that
//! explains every answer, every LIST and every STATUS.

use std::collections::{BTreeMap, BTreeSet};

use super::Checked;
use super::report::Report;
use super::search::{Call, Found, Model, search};
use super::state::NodeState;
use crate::history::{Ask, Heard, History, Operation, Outcome};
use crate::workload::names::epoch;

const BOUND: usize = 300_000;
const END: u64 = u64::MAX - 1;
/// Microseconds behind the last use of a name in which LIST still looks for it.
const SETTLED: u64 = 2_000_000;

/// Names with their MAILBOXIDs, where these are known.
type Names = BTreeMap<String, Option<String>>;

/// An operation on the names of one account and time.
#[derive(Debug, Clone)]
enum Op {
    Create(String, Option<String>),
    Rename(String, String),
    Delete(String),
    /// It was refused because a name is not there, or another one is.
    Refused {
        missing: Option<String>,
        taken: Option<String>,
    },
    Listed(BTreeSet<String>),
    Is(String, Option<String>),
}

struct Rules;

impl Model for Rules {
    type State = Names;
    type Op = Op;

    fn step(&self, names: &Names, op: &Op) -> Vec<Names> {
        let mut after = names.clone();
        let has = |name: &String| names.contains_key(name);
        let holds = match op {
            Op::Create(name, _) if has(name) => false,
            Op::Create(name, id) => {
                // MAILBOXIDs are never given twice (RFC 8474 section 4).
                let new = id.is_none() || !names.values().any(|known| known == id);
                after.insert(name.clone(), id.clone());
                new
            }
            Op::Rename(from, to) => match after.remove(from) {
                Some(id) => after.insert(to.clone(), id).is_none(),
                None => false,
            },
            Op::Delete(name) => after.remove(name).is_some(),
            Op::Refused { missing, taken } => {
                missing.as_ref().is_some_and(|name| !has(name)) || taken.as_ref().is_some_and(has)
            }
            Op::Listed(listed) => names.keys().eq(listed),
            Op::Is(name, None) => !has(name),
            Op::Is(name, Some(id)) => match after.get_mut(name) {
                Some(known) => known.get_or_insert_with(|| id.clone()) == id,
                None => false,
            },
        };
        if holds { vec![after] } else { Vec::new() }
    }
}

/// The calls of one account and time, with what they are called in a fact; and from when to when
/// somebody asked for one of these names.
#[derive(Default)]
struct Calls {
    calls: Vec<Call<Op>>,
    names: Vec<String>,
    used: Option<(u64, u64)>,
}

impl Calls {
    fn add(&mut self, asked: u64, ended: Option<u64>, op: Op, name: String) {
        self.names.push(format!("{op:?} by {name}"));
        self.calls.push(Call { asked, ended, behind: None, op });
    }

    fn use_names(&mut self, asked: u64, ended: Option<u64>) {
        let (first, last) = self.used.unwrap_or((asked, asked));
        self.used = Some((first.min(asked), last.max(ended.unwrap_or(asked))));
    }

    /// Long before and after, an empty LIST says nothing new.
    fn is_near(&self, asked: u64, ended: u64) -> bool {
        self.used
            .is_none_or(|(first, last)| ended >= first && asked <= last.saturating_add(SETTLED))
    }
}

/// By account and time.
type Groups<'a> = BTreeMap<(&'a str, u64), Calls>;

/// The checker.
pub fn check(history: &History, finals: &[(u32, NodeState)]) -> Checked {
    let mut report = Report::new("mailbox names");
    let mut groups = Groups::new();
    for by in &history.operations {
        if let Some((epoch, op)) = operation(by) {
            let ended = by.done().then_some(by.ended);
            let ended = ended.or((by.outcome == Outcome::Refused).then_some(by.ended));
            let calls = groups.entry((by.account.as_str(), epoch)).or_default();
            calls.use_names(by.asked, ended);
            calls.add(by.asked, ended, op, by.tell());
        }
    }
    for by in history.operations.iter().filter(|by| by.ask == Ask::List && by.done()) {
        let names: Vec<&String> = by
            .heard
            .iter()
            .filter_map(|heard| if let Heard::Listed(name, _) = heard { Some(name) } else { None })
            .collect();
        listed(&mut groups, &by.account, &names, (by.asked, by.ended), &by.tell());
    }
    for (node, state) in finals {
        for (account, mailboxes) in &state.accounts {
            let names: Vec<&String> = mailboxes.keys().collect();
            let tell = format!("node {node} in the end");
            listed(&mut groups, account, &names, (END, END), &tell);
            identities(&mut groups, account, mailboxes, &tell);
        }
    }
    for ((account, epoch), calls) in groups {
        judge(&mut report, account, epoch, &calls);
    }
    report.checked()
}

fn listed(
    groups: &mut Groups<'_>,
    account: &str,
    names: &[&String],
    (asked, ended): (u64, u64),
    tell: &str,
) {
    for ((of, time), calls) in groups.iter_mut().filter(|((of, _), _)| *of == account) {
        let of_time = names.iter().filter(|name| epoch(name) == Some(*time));
        let listed: BTreeSet<String> = of_time.map(|name| (*name).clone()).collect();
        if !listed.is_empty() || calls.is_near(asked, ended) || asked == END {
            calls.add(asked, Some(ended), Op::Listed(listed), format!("{tell} of {of}"));
        }
    }
}

fn identities(
    groups: &mut Groups<'_>,
    account: &str,
    mailboxes: &BTreeMap<String, super::Mailbox>,
    tell: &str,
) {
    for ((_, time), calls) in groups.iter_mut().filter(|((of, _), _)| *of == account) {
        for (name, mailbox) in mailboxes.iter().filter(|(name, _)| epoch(name) == Some(*time)) {
            let op = Op::Is(name.clone(), Some(mailbox.id.clone()));
            calls.add(END, Some(END), op, tell.to_string());
        }
    }
}

/// What an operation on names is, and of which time the names are.
fn operation(by: &Operation) -> Option<(u64, Op)> {
    let refused = by.outcome == Outcome::Refused;
    if refused && by.text.contains("[OVERQUOTA]") {
        // No room on the disk says nothing of names.
        return None;
    }
    let (name, op) = match &by.ask {
        Ask::Create { name } if refused => {
            (name, Op::Refused { missing: None, taken: Some(name.clone()) })
        }
        Ask::Create { name } => (name, Op::Create(name.clone(), id(by))),
        Ask::Rename { from, to } if refused => {
            (from, Op::Refused { missing: Some(from.clone()), taken: Some(to.clone()) })
        }
        Ask::Rename { from, to } => (from, Op::Rename(from.clone(), to.clone())),
        Ask::Delete { name } if refused => {
            (name, Op::Refused { missing: Some(name.clone()), taken: None })
        }
        Ask::Delete { name } => (name, Op::Delete(name.clone())),
        Ask::Status { mailbox } if refused => (mailbox, Op::Is(mailbox.clone(), None)),
        Ask::Status { mailbox } if by.done() => {
            let id = by.heard.iter().find_map(|heard| match heard {
                Heard::Status(_, numbers) => Some(numbers.id.clone()),
                _ => None,
            })?;
            (mailbox, Op::Is(mailbox.clone(), Some(id)))
        }
        _ => return None,
    };
    Some((epoch(name)?, op))
}

fn id(by: &Operation) -> Option<String> {
    by.heard.iter().find_map(|heard| match heard {
        Heard::Id(id) => Some(id.clone()),
        _ => None,
    })
}

fn judge(report: &mut Report, account: &str, epoch: u64, calls: &Calls) {
    report.count("groups of names", 1);
    report.count("operations on them", calls.calls.len() as u64);
    match search(&Rules, Names::new(), &calls.calls, BOUND) {
        Found::Order => {}
        Found::GaveUp => report.unsure(format!(
            "{account} t{epoch}: {} operations in any order are too many to be tried",
            calls.calls.len()
        )),
        Found::Nothing { state, stuck } => {
            let stuck: Vec<&str> = stuck.iter().map(|at| calls.names[*at].as_str()).collect();
            report.wrong(format!(
                "{account} t{epoch}: at {state:?} none can follow of: {}",
                stuck.join("; ")
            ));
        }
    }
}
