//! Facts of a history by placement: who made it, who saw it, who may have removed it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::replay::Cache;
use super::state::NodeState;
use crate::history::{Ask, Fetched, Heard, History, Operation};

/// A message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The account.
    pub account: String,
    /// The mailbox's name.
    pub mailbox: String,
    /// UID
    pub uid: u32,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} UID {}", self.account, self.mailbox, self.uid)
    }
}

/// An acknowledged arrival.
#[derive(Debug, Clone)]
pub struct Made<'a> {
    /// By what.
    pub by: &'a Operation,
    /// UIDVALIDITY of the mailbox.
    pub validity: u32,
    /// Of COPY and MOVE.
    pub from: Option<Place>,
    /// Its flags, where they are known.
    pub flags: Option<&'a [String]>,
}

/// What somebody was told of a message.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// By what.
    pub by: &'a Operation,
    /// What.
    pub what: &'a Fetched,
}

/// Everything that is known of one placement.
#[derive(Debug, Default)]
pub struct Facts<'a> {
    /// Acknowledged arrivals: more than one is a finding.
    pub made: Vec<Made<'a>>,
    /// What was told of it.
    pub seen: Vec<Seen<'a>>,
    /// Who was told that it is gone, or found it missing, or has moved it away.
    pub gone: Vec<&'a Operation>,
    /// What may have removed it.
    pub removals: Vec<&'a Operation>,
    /// EMAILIDs: more than one is a finding.
    pub emails: BTreeSet<String>,
}

/// A whole history by placement.
#[derive(Debug, Default)]
pub struct Index<'a> {
    /// By placement.
    pub places: BTreeMap<Place, Facts<'a>>,
    /// What sessions were told that no server may say.
    pub nonsense: Vec<String>,
    /// Accounts in which messages are changed, not only delivered.
    pub edited: BTreeSet<&'a str>,
}

impl Place {
    /// A message of the mailbox that an operation is about.
    pub fn of(operation: &Operation, uid: u32) -> Self {
        Self::at(operation, mailbox(operation), uid)
    }

    /// A message of another mailbox of the same account.
    pub fn at(operation: &Operation, mailbox: &str, uid: u32) -> Self {
        Self { account: operation.account.clone(), mailbox: mailbox.into(), uid }
    }
}

/// The mailbox that an operation's answers are of.
pub fn mailbox(operation: &Operation) -> &str {
    match &operation.ask {
        Ask::Select { mailbox, .. } => mailbox,
        _ => &operation.mailbox,
    }
}

impl<'a> Index<'a> {
    /// Reads a history, and what is in the mailboxes in the end.
    pub fn new(history: &'a History, finals: &[(u32, NodeState)]) -> Self {
        let mut index = Self::default();
        let mut caches: HashMap<&str, Cache> = HashMap::new();
        for operation in history.operations.iter().filter(|o| !o.account.is_empty()) {
            index.note(operation);
            let cache = caches.entry(operation.client.as_str()).or_default();
            index.replay(cache, operation);
        }
        for (_, state) in finals {
            index.found(state);
        }
        index.carry_emails();
        index
    }

    fn facts(&mut self, place: Place) -> &mut Facts<'a> {
        self.places.entry(place).or_default()
    }

    fn note(&mut self, operation: &'a Operation) {
        if matches!(
            operation.ask,
            Ask::Append { .. }
                | Ask::Store(_)
                | Ask::Copy { .. }
                | Ask::Move { .. }
                | Ask::Expunge { .. }
        ) {
            self.edited.insert(&operation.account);
        }
        for fetched in operation.fetched() {
            let Some(uid) = fetched.uid else { continue };
            let facts = self.facts(Place::of(operation, uid));
            facts.emails.extend(fetched.email.clone());
            facts.seen.push(Seen { by: operation, what: fetched });
        }
        match &operation.ask {
            Ask::Append { mailbox, flags, .. } => self.appended(operation, mailbox, flags),
            Ask::Copy { to, .. } => self.copied(operation, to, false),
            Ask::Move { uids, to } => {
                self.copied(operation, to, true);
                self.removal(operation, uids);
            }
            Ask::Expunge { uids } => self.removal(operation, uids),
            _ => {}
        }
    }

    fn appended(&mut self, operation: &'a Operation, mailbox: &str, flags: &'a [String]) {
        for heard in &operation.heard {
            if let Heard::Appended(validity, uid) = heard {
                let made =
                    Made { by: operation, validity: *validity, from: None, flags: Some(flags) };
                self.facts(Place::at(operation, mailbox, *uid)).made.push(made);
            }
        }
    }

    fn copied(&mut self, operation: &'a Operation, mailbox: &str, moved: bool) {
        for (validity, from, to) in pairs(operation) {
            let from = Place::of(operation, from);
            if moved && operation.done() {
                self.facts(from.clone()).gone.push(operation);
            }
            let made = Made { by: operation, validity, from: Some(from), flags: None };
            self.facts(Place::at(operation, mailbox, to)).made.push(made);
        }
    }

    fn removal(&mut self, operation: &'a Operation, uids: &[u32]) {
        if operation.possible() {
            for uid in uids {
                self.facts(Place::of(operation, *uid)).removals.push(operation);
            }
        }
    }

    fn replay(&mut self, cache: &mut Cache, operation: &'a Operation) {
        let listed = matches!(operation.ask, Ask::Fetch { .. }) && operation.done();
        let before: Vec<u32> = match &operation.ask {
            Ask::Fetch { from } if listed && cache.session == operation.session => {
                cache.slots.iter().flatten().copied().filter(|uid| uid >= from).collect()
            }
            _ => Vec::new(),
        };
        let told = cache.apply(operation);
        let there: BTreeSet<u32> = operation.fetched().filter_map(|fetched| fetched.uid).collect();
        let missing = before.into_iter().filter(|uid| !there.contains(uid));
        let gone: BTreeSet<u32> = told.gone.into_iter().chain(missing).collect();
        for uid in gone {
            self.facts(Place::of(operation, uid)).gone.push(operation);
        }
        let client = &operation.client;
        self.nonsense.extend(told.wrong.into_iter().map(|fact| format!("{client}: {fact}")));
        let nonsense = operation.heard.iter().filter_map(|heard| match heard {
            Heard::Nonsense(text) => Some(format!("{text:?} ({})", operation.tell())),
            _ => None,
        });
        self.nonsense.extend(nonsense);
    }

    fn found(&mut self, state: &NodeState) {
        for (account, name, mailbox) in state.mailboxes() {
            for (uid, email) in &mailbox.emails {
                let place = Place { account: account.into(), mailbox: name.into(), uid: *uid };
                self.facts(place).emails.insert(email.id.clone());
            }
        }
    }

    /// COPY and MOVE keep EMAILID (RFC 8474 section 5.1): what is known of one end is so of both.
    fn carry_emails(&mut self) {
        let made = self.places.iter().flat_map(|(to, facts)| {
            facts
                .made
                .iter()
                .filter_map(|made| Some((made.from.clone()?, to.clone(), made.by.asked)))
        });
        let mut made: Vec<(Place, Place, u64)> = made.collect();
        made.sort_by_key(|(_, _, asked)| *asked);
        for (from, to, _) in made.iter().chain(made.iter().rev()) {
            let both: BTreeSet<String> = [from, to]
                .iter()
                .filter_map(|place| self.places.get(place))
                .flat_map(|facts| facts.emails.clone())
                .collect();
            for place in [from, to] {
                self.facts(place.clone()).emails.extend(both.clone());
            }
        }
    }
}

/// UIDVALIDITY and pairs of UIDs of COPYUID.
pub fn pairs(operation: &Operation) -> Vec<(u32, u32, u32)> {
    let copied = operation.heard.iter().filter_map(|heard| match heard {
        Heard::Copied(validity, from, to) => Some((validity, from, to)),
        _ => None,
    });
    copied
        .flat_map(|(validity, from, to)| from.iter().zip(to).map(|(f, t)| (*validity, *f, *t)))
        .collect()
}

impl Facts<'_> {
    /// The EMAILID, if one is known.
    pub fn email(&self) -> Option<&str> {
        self.emails.first().map(String::as_str)
    }

    /// When it was surely gone, at the earliest that is known.
    pub fn gone_at(&self) -> Option<u64> {
        self.gone.iter().map(|operation| operation.ended).min()
    }

    /// Whether something may have removed it that was asked by then.
    pub fn may_be_gone(&self, by: u64) -> bool {
        self.removals.iter().any(|operation| operation.asked <= by) || !self.gone.is_empty()
    }

    /// The highest MODSEQ that was told to somebody before then.
    pub fn modseq_before(&self, time: u64) -> Option<u64> {
        let before = self.seen.iter().filter(|seen| seen.by.ended < time);
        before.filter_map(|seen| seen.what.modseq).max()
    }
}
