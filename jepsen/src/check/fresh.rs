//! Reads are never older than what was acknowledged before they began, at whatever node.
//!
//! SELECT and NOOP are such reads: behind them a session knows of every message that was
//! acknowledged before, of none that was told to be gone before, and has heard of every change
//! that somebody else had been told of before.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Checked;
use super::index::{Index, Place};
use super::numbers::Rising;
use super::replay::Cache;
use super::report::Report;
use crate::history::{Ask, Heard, History, Operation};

/// Messages that must be there, while time goes on.
#[derive(Default)]
struct Alive<'a> {
    /// When each becomes certain, and which.
    coming: Vec<(u64, &'a Place)>,
    next: usize,
    /// By account and mailbox.
    now: BTreeMap<(String, String), BTreeSet<u32>>,
}

impl<'a> Alive<'a> {
    fn new(index: &'a Index<'_>) -> Self {
        let certain = index.places.iter().filter_map(|(place, facts)| {
            let made = facts.made.iter().map(|made| made.by.ended);
            let seen = facts.seen.iter().map(|seen| seen.by.ended);
            Some((made.chain(seen).min()?, place))
        });
        let edited = certain.filter(|(_, place)| index.edited.contains(place.account.as_str()));
        let mut coming: Vec<(u64, &Place)> = edited.collect();
        coming.sort();
        Self { coming, next: 0, now: BTreeMap::new() }
    }

    fn go_to(&mut self, time: u64) {
        while let Some((_, place)) = self.coming.get(self.next).filter(|(at, _)| *at < time) {
            let mailbox = (place.account.clone(), place.mailbox.clone());
            self.now.entry(mailbox).or_default().insert(place.uid);
            self.next += 1;
        }
    }

    /// Those that nobody may have removed by then; the others are forgotten.
    fn certain(&mut self, index: &Index<'_>, cache: &Cache, by: &Operation) -> Vec<u32> {
        let mailbox = (by.account.clone(), cache.mailbox.clone());
        let Some(now) = self.now.get_mut(&mailbox) else { return Vec::new() };
        let gone = |uid: &u32, time: u64| {
            let facts = index.places.get(&Place::at(by, &cache.mailbox, *uid));
            facts.is_none_or(|facts| facts.may_be_gone(time))
        };
        now.retain(|uid| {
            let facts = index.places.get(&Place::at(by, &cache.mailbox, *uid));
            let removals = facts.into_iter().flat_map(|facts| &facts.removals);
            !removals.map(|removal| removal.asked).any(|asked| asked <= by.asked)
        });
        now.iter().copied().filter(|uid| !gone(uid, by.ended)).collect()
    }
}

/// The checker.
pub fn check(history: &History, index: &Index<'_>) -> Checked {
    let mut report = Report::new("fresh reads");
    let mut alive = Alive::new(index);
    let delivered = delivered(history);
    let mut caches: HashMap<&str, Cache> = HashMap::new();
    for by in history.operations.iter().filter(|by| !by.account.is_empty()) {
        let cache = caches.entry(by.client.as_str()).or_default();
        cache.apply(by);
        let fresh = matches!(by.ask, Ask::Noop | Ask::Select { .. }) && by.done();
        if !fresh || cache.session != by.session {
            continue;
        }
        report.count("reads", 1);
        if cache.mailbox == "INBOX"
            && let Some(rising) = delivered.get(by.account.as_str())
        {
            counted(&mut report, cache, by, rising.before(by.asked));
        }
        if index.edited.contains(by.account.as_str()) {
            alive.go_to(by.asked);
            let certain = alive.certain(index, cache, by);
            present(&mut report, cache, by, &certain);
            up_to_date(&mut report, cache, by, index);
        }
    }
    report.checked()
}

/// Acknowledged deliveries by account, counted in time. Nobody removes them.
fn delivered(history: &History) -> BTreeMap<&str, Rising> {
    let mut first: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for by in &history.operations {
        let Ask::Deliver { token, .. } = &by.ask else { continue };
        for heard in &by.heard {
            if let Heard::Answered(to, 200..300) = heard {
                let at = first.entry((to, token)).or_insert(by.ended);
                *at = (*at).min(by.ended);
            }
        }
    }
    let mut times: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for ((account, _), at) in first {
        times.entry(account).or_default().push(at);
    }
    let rising = |mut times: Vec<u64>| {
        times.sort_unstable();
        Rising::new(times.into_iter().zip(1..).collect())
    };
    times.into_iter().map(|(account, times)| (account, rising(times))).collect()
}

fn counted(report: &mut Report, cache: &Cache, by: &Operation, least: u64) {
    let count = cache.slots.len() as u64;
    if count < least {
        report.wrong(format!(
            "{} INBOX has {count} messages, but {least} had their 250 before: {}",
            by.account,
            by.tell()
        ));
    }
    report.count("deliveries looked for", least);
}

fn present(report: &mut Report, cache: &Cache, by: &Operation, certain: &[u32]) {
    report.count("messages looked for", certain.len() as u64);
    let missing: Vec<u32> = certain.iter().copied().filter(|uid| !cache.has(*uid)).collect();
    let untold = cache.slots.iter().filter(|slot| slot.is_none()).count();
    if missing.len() > untold {
        let tell = by.tell();
        report.wrong(format!(
            "{} {}: UIDs {missing:?} were there before, {untold} untold ones are counted: {tell}",
            by.account, cache.mailbox
        ));
    }
}

fn up_to_date(report: &mut Report, cache: &Cache, by: &Operation, index: &Index<'_>) {
    for uid in cache.slots.iter().flatten() {
        let Some(facts) = index.places.get(&Place::at(by, &cache.mailbox, *uid)) else { continue };
        if facts.gone_at().is_some_and(|gone| gone < by.asked) {
            let (place, tell) = (Place::at(by, &cache.mailbox, *uid), by.tell());
            report.wrong(format!("{place} was gone before, but it is counted still: {tell}"));
        }
        let told = cache.known.get(uid).and_then(|known| known.modseq);
        let Some((told, most)) = told.zip(facts.modseq_before(by.asked)) else { continue };
        report.count("MODSEQs compared", 1);
        if told < most {
            let (place, tell) = (Place::at(by, &cache.mailbox, *uid), by.tell());
            report
                .wrong(format!("{place}: MODSEQ {most} was known before, told is {told}: {tell}"));
        }
    }
}
