//! Flags are linearizable per placement, UNCHANGEDSINCE included; what is gone stays gone.

use std::collections::BTreeMap;

use super::Checked;
use super::index::{Facts, Index, Place, pairs};
use super::placement::{Bits, Op, Placement, Rules, Stored};
use super::report::Report;
use super::search::{Call, Found, search};
use super::state::NodeState;
use crate::history::{Ask, Fetched, Heard, History, Operation, Outcome, Store};

/// Steps of the search for one placement; more, and nothing is claimed of it.
const BOUND: usize = 100_000;
/// After everything.
const END: u64 = u64::MAX - 1;

/// Flags as bits.
#[derive(Debug, Default)]
struct Alphabet(BTreeMap<String, Bits>);

impl Alphabet {
    fn bits(&mut self, flags: &[String]) -> Bits {
        let mut bits = 0;
        for flag in flags {
            let next = 1_u32.checked_shl(u32::try_from(self.0.len()).unwrap_or(u32::MAX));
            let bit = self.0.entry(flag.clone()).or_insert(next.unwrap_or(0));
            bits |= *bit;
        }
        bits
    }
}

/// Calls on one placement, with what they are called in a fact.
#[derive(Default)]
struct Calls {
    calls: Vec<Call<Op>>,
    names: Vec<String>,
}

impl Calls {
    fn add(&mut self, by: &Operation, op: Op) -> usize {
        // What was told was so, whatever became of the operation that told it.
        let told = matches!(op, Op::Read(..) | Op::Missing);
        let ended = (told || by.outcome == Outcome::Done).then_some(by.ended);
        self.names.push(format!("{op:?} by {}", by.tell()));
        self.calls.push(Call { asked: by.asked, ended, behind: None, op });
        self.calls.len() - 1
    }

    fn at(&mut self, asked: u64, ended: Option<u64>, op: Op, name: &str) {
        self.names.push(format!("{op:?} {name}"));
        self.calls.push(Call { asked, ended, behind: None, op });
    }
}

/// Operations that name a placement, by placement.
type Named<'a> = BTreeMap<Place, Vec<&'a Operation>>;

/// The checker.
pub fn check(history: &History, index: &Index<'_>, finals: &[(u32, NodeState)]) -> Checked {
    let mut report = Report::new("flags");
    let mut alphabet = Alphabet::default();
    let deleted = alphabet.bits(&["\\Deleted".to_string()]);
    let named = named(history);
    for (place, facts) in &index.places {
        if !index.edited.contains(place.account.as_str()) {
            continue;
        }
        let mut calls = Calls::default();
        made(&mut calls, &mut alphabet, facts);
        for operation in named.get(place).into_iter().flatten() {
            act(&mut calls, &mut alphabet, deleted, place.uid, operation);
        }
        told(&mut calls, &mut alphabet, facts);
        end(&mut calls, &mut alphabet, place, finals);
        judge(&mut report, place, &calls);
    }
    if alphabet.0.values().any(|bit| *bit == 0) {
        report.unsure("there are more than 32 different flags");
    }
    report.checked()
}

fn named(history: &History) -> Named<'_> {
    let mut named = Named::new();
    for operation in &history.operations {
        let uids = match &operation.ask {
            Ask::Store(store) => vec![store.uid],
            Ask::Copy { uids, .. } | Ask::Move { uids, .. } | Ask::Expunge { uids } => uids.clone(),
            _ => continue,
        };
        for uid in uids {
            named.entry(Place::of(operation, uid)).or_default().push(operation);
        }
    }
    named
}

fn made(calls: &mut Calls, alphabet: &mut Alphabet, facts: &Facts<'_>) {
    match facts.made.first() {
        Some(made) => {
            let flags = made.flags.map(|flags| alphabet.bits(flags));
            calls.add(made.by, Op::Make(flags));
        }
        None => calls.at(0, None, Op::Make(None), "by nobody who was told so"),
    }
}

fn act(calls: &mut Calls, alphabet: &mut Alphabet, deleted: Bits, uid: u32, by: &Operation) {
    if !by.possible() {
        return;
    }
    let paired = pairs(by).iter().any(|(_, from, _)| *from == uid);
    match &by.ask {
        Ask::Store(store) => stored(calls, alphabet, store, by),
        Ask::Expunge { .. } => {
            calls.add(by, Op::Expunge(deleted));
        }
        Ask::Copy { .. } | Ask::Move { .. } if by.done() && !paired => {
            calls.add(by, Op::Missing);
        }
        Ask::Copy { .. } if by.done() => {
            calls.add(by, Op::Read(None, None));
        }
        Ask::Move { .. } => {
            calls.add(by, Op::Away);
        }
        _ => {}
    }
}

/// A STORE, and behind it the read of what it left, if that was told.
fn stored(calls: &mut Calls, alphabet: &mut Alphabet, store: &Store, by: &Operation) {
    let flags = alphabet.bits(&store.flags);
    let lines = || by.fetched().filter(|fetched| fetched.uid == Some(store.uid));
    let conflict =
        |heard: &Heard| matches!(heard, Heard::Modified(uids) if uids.contains(&store.uid));
    let modseq = lines().find(|line| line.flags.is_none()).and_then(|line| line.modseq);
    let read = lines().find(|line| line.flags.is_some()).filter(|_| !store.silent);
    let stored = match (by.done(), modseq, read) {
        (false, ..) => Stored::Done(None),
        _ if by.heard.iter().any(conflict) => Stored::Conflict,
        (_, Some(modseq), _) if store.silent => Stored::Done(Some(modseq)),
        (_, _, Some(_)) => Stored::Done(None),
        _ => Stored::DoneOrMissing,
    };
    let op = Op::Store { how: store.how, flags, since: store.unchanged_since, stored };
    let at = calls.add(by, op);
    if let (Stored::Done(None), true, Some(line)) = (stored, by.done(), read) {
        let read = calls.add(by, seen(alphabet, line));
        calls.calls[read].behind = Some(at);
    }
}

fn seen(alphabet: &mut Alphabet, line: &Fetched) -> Op {
    Op::Read(line.flags.as_ref().map(|flags| alphabet.bits(flags)), line.modseq)
}

/// What was told of it. IDLE takes long, and what it tells is judged elsewhere.
fn told(calls: &mut Calls, alphabet: &mut Alphabet, facts: &Facts<'_>) {
    for told in &facts.seen {
        let of_store =
            matches!(&told.by.ask, Ask::Store(store) if Some(store.uid) == told.what.uid);
        if told.by.ask != Ask::Idle && !of_store && told.what.flags.is_some() {
            let op = seen(alphabet, told.what);
            calls.add(told.by, op);
        }
    }
    for by in &facts.gone {
        if !matches!(by.ask, Ask::Move { .. } | Ask::Copy { .. }) {
            calls.add(by, Op::Missing);
        }
    }
}

fn end(calls: &mut Calls, alphabet: &mut Alphabet, place: &Place, finals: &[(u32, NodeState)]) {
    for (node, state) in finals {
        let Some(mailbox) = state.mailbox(&place.account, &place.mailbox) else { continue };
        let op = match mailbox.emails.get(&place.uid) {
            Some(email) => Op::Read(Some(alphabet.bits(&email.flags)), Some(email.modseq)),
            None => Op::Missing,
        };
        calls.at(END, Some(END), op, &format!("at node {node} in the end"));
    }
}

fn judge(report: &mut Report, place: &Place, calls: &Calls) {
    report.count("placements", 1);
    report.count("operations on them", calls.calls.len() as u64);
    match search(&Rules, Placement::BEFORE, &calls.calls, BOUND) {
        Found::Order => {}
        Found::GaveUp => report.unsure(format!(
            "{place}: {} operations in any order are too many to be tried",
            calls.calls.len()
        )),
        Found::Nothing { state, stuck } => {
            let stuck: Vec<&str> = stuck.iter().map(|at| calls.names[*at].as_str()).collect();
            report.wrong(format!("{place}: at {state:?} none can follow of: {}", stuck.join("; ")));
        }
    }
}
