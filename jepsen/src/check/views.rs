//! What each session was told adds up: numbers, UIDs, EXISTS; and what it believes in the end is
//! what is there.

use std::collections::{BTreeMap, HashMap};

use super::Checked;
use super::index::{Index, Place, mailbox};
use super::numbers::Rising;
use super::replay::Cache;
use super::report::Report;
use super::state::{Mailbox, NodeState};
use crate::history::{Ask, Heard, History, Operation};

/// The checker.
pub fn check(history: &History, index: &Index<'_>, finals: &[(u32, NodeState)]) -> Checked {
    let mut report = Report::new("sessions' views");
    for fact in &index.nonsense {
        report.wrong(fact.clone());
    }
    let mut caches: HashMap<&str, (Cache, Option<&Operation>)> = HashMap::new();
    for by in history.operations.iter().filter(|by| !by.account.is_empty()) {
        report.count("responses", by.heard.len() as u64);
        let (cache, looked) = caches.entry(by.client.as_str()).or_default();
        cache.apply(by);
        // Only what follows a NOOP without any other command is a last look.
        *looked = match by.ask {
            Ask::Noop if by.done() && cache.session == by.session => Some(by),
            Ask::Fetch { .. } => *looked,
            _ => None,
        };
    }
    let known = evidence(history);
    for (client, (cache, looked)) in caches {
        let Some(by) = looked else { continue };
        let end = finals.iter().find_map(|(_, state)| state.mailbox(&by.account, &cache.mailbox));
        let Some(end) = end else { continue };
        let known = known.get(&(by.account.as_str(), cache.mailbox.as_str()));
        let known = known.map_or(0, |rising| rising.before(by.asked));
        compare(&mut report, client, &cache, by, end, known, index);
    }
    report.checked()
}

/// MODSEQs that somebody was told, by mailbox and time: a change up to these had happened.
fn evidence(history: &History) -> BTreeMap<(&str, &str), Rising> {
    let mut told: BTreeMap<(&str, &str), Vec<(u64, u64)>> = BTreeMap::new();
    for by in &history.operations {
        for heard in &by.heard {
            let (name, modseq) = match heard {
                Heard::Fetch(fetched) => (mailbox(by), fetched.modseq),
                Heard::Highest(modseq) => (mailbox(by), Some(*modseq)),
                Heard::Status(name, numbers) => (name.as_str(), Some(numbers.highest)),
                _ => continue,
            };
            let told = told.entry((by.account.as_str(), name)).or_default();
            told.extend(modseq.map(|modseq| (by.ended, modseq)));
        }
    }
    told.into_iter().map(|(key, values)| (key, Rising::new(values))).collect()
}

/// What a client believes against what is there; of what may have changed later nothing is said.
fn compare(
    report: &mut Report,
    client: &str,
    cache: &Cache,
    by: &Operation,
    end: &Mailbox,
    known: u64,
    index: &Index<'_>,
) {
    report.count("last looks", 1);
    let place = |uid: u32| Place::at(by, &cache.mailbox, uid);
    for uid in cache.slots.iter().flatten().filter(|uid| !end.emails.contains_key(uid)) {
        let gone = index.places.get(&place(*uid)).and_then(|facts| facts.gone_at());
        match gone {
            Some(gone) if gone < by.asked => {
                report.wrong(format!("{client} believes in {}, which is gone", place(*uid)));
            }
            _ => report.count("gone since the last look", 1),
        }
    }
    for (uid, email) in &end.emails {
        if email.modseq > known {
            report.count("changed since the last look, as far as is known", 1);
            continue;
        }
        report.count("messages compared", 1);
        if cache.uids().is_some() && !cache.has(*uid) {
            report.wrong(format!("{client} does not know of {}: {}", place(*uid), by.tell()));
        }
        let flags = cache.known.get(uid).and_then(|known| known.flags.as_ref());
        if let Some(flags) = flags.filter(|flags| **flags != email.flags) {
            let (is, modseq) = (&email.flags, email.modseq);
            report.wrong(format!(
                "{client} believes {} has {flags:?}, it has {is:?} at MODSEQ {modseq}: {}",
                place(*uid),
                by.tell()
            ));
        }
    }
}
