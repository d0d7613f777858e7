//! What a client knows of its mailbox after what it was told: sequence numbers, UIDs, flags
//! (RFC 9051 section 7, RFC 7162). Clients work with it, and the checkers replay it.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Ask, Fetched, Heard, How, Operation, Store};

/// What is known of one message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Flags, once they were told.
    pub flags: Option<Vec<String>>,
    /// MODSEQ, once it was told.
    pub modseq: Option<u64>,
    /// EMAILID, once it was told.
    pub email: Option<String>,
}

/// One client's mailbox. It outlives a connection, to be brought up to date by QRESYNC.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cache {
    /// The mailbox that is selected, or was.
    pub mailbox: String,
    /// The connection that has it selected; 0 for none.
    pub session: u64,
    /// UIDVALIDITY
    pub validity: u32,
    /// HIGHESTMODSEQ as it was told last.
    pub highest: u64,
    /// UIDs by sequence number, as far as they were told.
    pub slots: Vec<Option<u32>>,
    /// By UID.
    pub known: BTreeMap<u32, Known>,
}

/// What one operation did to a cache.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What no server may say.
    pub wrong: Vec<String>,
    /// UIDs that were told to be gone.
    pub gone: BTreeSet<u32>,
}

impl Cache {
    /// All UIDs, if all were told.
    pub fn uids(&self) -> Option<Vec<u32>> {
        self.slots.iter().copied().collect()
    }

    /// Whether a UID is there.
    pub fn has(&self, uid: u32) -> bool {
        self.slots.contains(&Some(uid))
    }

    /// The lowest UID from which not all is told, if something is not.
    pub fn untold(&self) -> Option<u32> {
        let at = self.slots.iter().position(Option::is_none)?;
        let before = self.slots.get(..at)?.iter().flatten().next_back();
        Some(before.map_or(1, |uid| uid + 1))
    }

    /// Takes in what an operation of this client was told.
    pub fn apply(&mut self, operation: &Operation) -> Told {
        let mut told = Told::default();
        match &operation.ask {
            Ask::Login => self.session = 0,
            Ask::Select { mailbox, since } => self.select(operation, mailbox, *since, &mut told),
            _ if self.session == operation.session => {
                for heard in &operation.heard {
                    self.hear(heard, &mut told);
                }
                if let (Ask::Store(store), true) = (&operation.ask, operation.done()) {
                    self.stored(operation, store);
                }
            }
            _ => {}
        }
        let facts = std::mem::take(&mut told.wrong);
        told.wrong =
            facts.into_iter().map(|fact| format!("{fact} ({})", operation.tell())).collect();
        told
    }

    /// The mailbox is opened; what came before it is of the mailbox of before.
    fn select(
        &mut self,
        operation: &Operation,
        mailbox: &str,
        since: Option<(u32, u64)>,
        told: &mut Told,
    ) {
        self.session = 0;
        if !operation.done() {
            return;
        }
        let heard = &operation.heard;
        let last = |pick: fn(&Heard) -> Option<u64>| heard.iter().filter_map(pick).next_back();
        let exists = last(|h| if let Heard::Exists(n) = h { Some(u64::from(*n)) } else { None });
        let validity =
            last(|h| if let Heard::Validity(n) = h { Some(u64::from(*n)) } else { None });
        let highest = last(|h| if let Heard::Highest(n) = h { Some(*n) } else { None });
        let (Some(exists), Some(validity)) = (exists, validity) else {
            return told.wrong.push("SELECT without EXISTS or UIDVALIDITY".into());
        };
        let validity = u32::try_from(validity).unwrap_or(0);
        let resync = self.mailbox == mailbox && since.is_some_and(|(v, _)| v == validity);
        self.keep(resync, heard, told);
        self.slots.resize(usize::try_from(exists).unwrap_or(0).max(self.slots.len()), None);
        if self.slots.len() as u64 > exists {
            told.wrong.push(format!(
                "{exists} EXISTS, but of {} known messages no VANISHED came",
                self.slots.len()
            ));
        }
        (self.mailbox, self.session, self.validity) = (mailbox.into(), operation.session, validity);
        for fetched in operation.fetched() {
            self.fetched(fetched, told);
        }
        if heard
            .iter()
            .any(|h| matches!(h, Heard::Expunge(_) | Heard::Vanished { earlier: false, .. }))
        {
            told.wrong.push("SELECT tells an expunge of the mailbox that it opens".into());
        }
        // With since, the first HIGHESTMODSEQ is only true when all that follows is taken in.
        self.highest = highest.unwrap_or(0);
    }

    /// What stays known over a SELECT: up to the first message whose UID was never told.
    fn keep(&mut self, resync: bool, heard: &[Heard], told: &mut Told) {
        if !resync {
            self.slots.clear();
            self.known.clear();
            return;
        }
        let mut uids: Vec<u32> = self.slots.iter().map_while(|slot| *slot).collect();
        for ranges in heard.iter().filter_map(|h| match h {
            Heard::Vanished { earlier: true, uids } => Some(uids),
            _ => None,
        }) {
            let gone = |uid: &u32| ranges.iter().any(|(a, b)| (a..=b).contains(&uid));
            told.gone.extend(uids.iter().filter(|uid| gone(uid)));
            uids.retain(|uid| !gone(uid));
        }
        self.known.retain(|uid, _| uids.contains(uid));
        self.slots = uids.into_iter().map(Some).collect();
    }

    fn hear(&mut self, heard: &Heard, told: &mut Told) {
        let count = self.slots.len();
        match heard {
            Heard::Exists(n) if (*n as usize) < count => {
                told.wrong.push(format!("{n} EXISTS where there were {count}, without EXPUNGE"));
            }
            Heard::Exists(n) => self.slots.resize(*n as usize, None),
            Heard::Expunge(n) if *n == 0 || *n as usize > count => {
                told.wrong.push(format!("{n} EXPUNGE where there are {count}"));
            }
            Heard::Expunge(n) => {
                let uid = self.slots.remove(*n as usize - 1);
                self.forget(uid, told);
            }
            Heard::Vanished { earlier: false, uids } => {
                for uid in uids.iter().flat_map(|(a, b)| *a..=*b) {
                    self.vanish(uid, told);
                }
            }
            Heard::Fetch(fetched) => self.fetched(fetched, told),
            Heard::Highest(n) if *n < self.highest => {
                told.wrong.push(format!("HIGHESTMODSEQ {n} after {}", self.highest));
            }
            Heard::Highest(n) => self.highest = *n,
            _ => {}
        }
    }

    fn forget(&mut self, uid: Option<u32>, told: &mut Told) {
        if let Some(uid) = uid {
            self.known.remove(&uid);
            told.gone.insert(uid);
        }
    }

    /// VANISHED may name a message of which only its EXISTS was told.
    fn vanish(&mut self, uid: u32, told: &mut Told) {
        let place = self.slots.iter().position(|slot| *slot == Some(uid)).or_else(|| {
            let at = self.slots.iter().position(|slot| slot.is_some_and(|u| u > uid));
            let at = at.unwrap_or(self.slots.len());
            at.checked_sub(1).filter(|at| self.slots[*at].is_none())
        });
        match place {
            Some(at) => {
                self.slots.remove(at);
                self.forget(Some(uid), told);
            }
            None => told.wrong.push(format!("VANISHED {uid}, which it never had")),
        }
    }

    fn fetched(&mut self, fetched: &Fetched, told: &mut Told) {
        let number = fetched.number as usize;
        let Some(slot) = number.checked_sub(1).and_then(|at| self.slots.get(at).copied()) else {
            let count = self.slots.len();
            return told.wrong.push(format!("{number} FETCH where there are {count}"));
        };
        let uid = match (fetched.uid, slot) {
            (Some(uid), Some(known)) if uid != known => {
                return told.wrong.push(format!("{number} FETCH is of UID {uid}, not {known}"));
            }
            (Some(uid), _) => uid,
            (None, Some(known)) => known,
            (None, None) => return,
        };
        self.slots[number - 1] = Some(uid);
        if self.falls(number - 1, uid) {
            told.wrong.push(format!("UID {uid} at number {number} is out of order"));
        }
        self.note(uid, fetched, told);
    }

    fn falls(&self, at: usize, uid: u32) -> bool {
        let before = self.slots[..at].iter().flatten().next_back();
        let behind = self.slots[at + 1..].iter().flatten().next();
        before.is_some_and(|before| *before >= uid) || behind.is_some_and(|behind| *behind <= uid)
    }

    fn note(&mut self, uid: u32, fetched: &Fetched, told: &mut Told) {
        let known = self.known.entry(uid).or_default();
        if let (Some(before), Some(now)) = (known.modseq, fetched.modseq)
            && now < before
        {
            told.wrong.push(format!("UID {uid} has MODSEQ {now} after {before}"));
        }
        known.modseq = fetched.modseq.or(known.modseq);
        if fetched.flags.is_some() {
            known.flags.clone_from(&fetched.flags);
        }
        if fetched.email.is_some() {
            known.email.clone_from(&fetched.email);
        }
    }

    /// Behind `.SILENT` a client goes on from the flags that it knew: if somebody else changed them
    /// in between, it must be told (RFC 9051 section 6.4.6).
    fn stored(&mut self, operation: &Operation, store: &Store) {
        let conflict = operation
            .heard
            .iter()
            .any(|heard| matches!(heard, Heard::Modified(uids) if uids.contains(&store.uid)));
        let told = operation
            .fetched()
            .any(|fetched| fetched.uid == Some(store.uid) && fetched.flags.is_some());
        if let Some(known) = self.known.get_mut(&store.uid)
            && let Some(flags) = &mut known.flags
            && store.silent
            && !conflict
            && !told
        {
            *flags = changed(flags, store.how, &store.flags);
        }
    }
}

/// Flags after a STORE, sorted.
pub fn changed(flags: &[String], how: How, change: &[String]) -> Vec<String> {
    let mut flags: BTreeSet<String> = flags.iter().cloned().collect();
    match how {
        How::Replace => flags = change.iter().cloned().collect(),
        How::Add => flags.extend(change.iter().cloned()),
        How::Remove => flags.retain(|flag| !change.contains(flag)),
    }
    flags.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outcome;

    fn operation(ask: Ask, heard: Vec<Heard>) -> Operation {
        Operation { outcome: Outcome::Done, heard, ..Operation::new("c", 1, 1, "a", ask) }
    }

    fn fetch(number: u32, uid: u32, modseq: u64) -> Heard {
        let flags = Some(Vec::new());
        let fetched =
            Fetched { number, uid: Some(uid), flags, modseq: Some(modseq), ..Fetched::default() };
        Heard::Fetch(fetched)
    }

    fn selected(exists: u32, since: Option<(u32, u64)>, more: Vec<Heard>) -> Operation {
        let mut heard = vec![Heard::Exists(exists), Heard::Validity(9), Heard::Highest(50)];
        heard.extend(more);
        operation(Ask::Select { mailbox: "INBOX".into(), since }, heard)
    }

    /// Three messages, UIDs 2, 4 and 6.
    fn cache() -> Cache {
        let mut cache = Cache::default();
        assert_eq!(cache.apply(&selected(3, None, Vec::new())), Told::default());
        let all = vec![fetch(1, 2, 20), fetch(2, 4, 30), fetch(3, 6, 40)];
        assert_eq!(cache.apply(&operation(Ask::Fetch { from: 1 }, all)), Told::default());
        cache
    }

    fn told(heard: Vec<Heard>) -> (Told, Option<Vec<u32>>) {
        let mut cache = cache();
        let told = cache.apply(&operation(Ask::Noop, heard));
        (told, cache.uids())
    }

    fn vanished(earlier: bool, first: u32, last: u32) -> Heard {
        Heard::Vanished { earlier, uids: vec![(first, last)] }
    }

    #[test]
    fn what_is_told_is_known() {
        let (wrong, uids) = told(vec![Heard::Expunge(2), Heard::Exists(3), fetch(3, 9, 60)]);
        assert_eq!((wrong.wrong, wrong.gone), (vec![], [4].into()));
        assert_eq!(uids, Some(vec![2, 6, 9]));
        let (wrong, uids) = told(vec![vanished(false, 4, 4), Heard::Exists(4)]);
        assert!(wrong.wrong.is_empty());
        assert_eq!(uids, None);
    }

    #[test]
    fn a_message_may_go_before_its_uid_was_told() {
        let (wrong, uids) = told(vec![Heard::Exists(5), vanished(false, 8, 8), fetch(4, 9, 60)]);
        assert!(wrong.wrong.is_empty(), "{wrong:?}");
        assert_eq!(uids, Some(vec![2, 4, 6, 9]));
    }

    #[test]
    fn what_no_server_may_say_is_found() {
        let wrong = |heard: Vec<Heard>, part: &str| {
            let (told, _) = told(heard);
            assert!(told.wrong.iter().any(|fact| fact.contains(part)), "{told:?}");
        };
        wrong(vec![Heard::Exists(2)], "2 EXISTS where there were 3");
        wrong(vec![Heard::Expunge(4)], "4 EXPUNGE");
        wrong(vec![Heard::Expunge(0)], "0 EXPUNGE");
        wrong(vec![fetch(4, 9, 60)], "4 FETCH where there are 3");
        wrong(vec![fetch(2, 6, 60)], "is of UID 6, not 4");
        wrong(vec![Heard::Expunge(1), fetch(2, 4, 60)], "is of UID 4, not 6");
        wrong(vec![Heard::Exists(4), fetch(4, 5, 60)], "out of order");
        wrong(vec![vanished(false, 5, 5)], "VANISHED 5");
        wrong(vec![fetch(2, 4, 29)], "MODSEQ 29 after 30");
        wrong(vec![Heard::Highest(49)], "HIGHESTMODSEQ 49 after 50");
    }

    #[test]
    fn a_resynchronised_cache_goes_on() {
        let mut cache = cache();
        let more = vec![vanished(true, 1, 3), fetch(1, 4, 51), fetch(3, 9, 52)];
        let told = cache.apply(&selected(3, Some((9, 50)), more));
        assert_eq!((told.wrong, told.gone), (vec![], [2].into()));
        assert_eq!(cache.uids(), Some(vec![4, 6, 9]));
        assert_eq!(cache.known[&4].modseq, Some(51));
    }

    #[test]
    fn a_missing_vanished_is_found() {
        let mut cache = cache();
        let told = cache.apply(&selected(2, Some((9, 50)), Vec::new()));
        assert!(told.wrong[0].contains("no VANISHED"), "{told:?}");
        let mut cache = self::cache();
        let told = cache.apply(&selected(3, Some((9, 50)), vec![fetch(3, 9, 51)]));
        assert!(told.wrong[0].contains("is of UID 9, not 6"), "{told:?}");
    }

    #[test]
    fn a_select_without_an_answer_changes_nothing() {
        let mut cache = cache();
        let before = cache.clone();
        let lost = Operation {
            outcome: Outcome::Unknown,
            ..selected(1, Some((9, 50)), vec![vanished(true, 2, 4)])
        };
        assert_eq!(cache.apply(&lost), Told::default());
        assert_eq!(cache, Cache { session: 0, ..before });
    }

    #[test]
    fn silent_changes_go_on_from_what_is_known() {
        let mut cache = cache();
        let flags = vec!["a".to_string()];
        let store = Store { uid: 4, how: How::Add, flags, silent: true, unchanged_since: None };
        let conflict = vec![Heard::Modified(vec![4])];
        cache.apply(&operation(Ask::Store(store.clone()), conflict));
        assert_eq!(cache.known[&4].flags, Some(Vec::new()));
        cache.apply(&operation(Ask::Store(store.clone()), Vec::new()));
        assert_eq!(cache.known[&4].flags, Some(vec!["a".to_string()]));
        cache.apply(&operation(Ask::Store(store), vec![fetch(2, 4, 60)]));
        assert_eq!(cache.known[&4].flags, Some(Vec::new()));
    }

    #[test]
    fn flags_change_as_asked() {
        let both = ["a".to_string(), "b".to_string()];
        assert_eq!(changed(&both[..1], How::Add, &both[1..]), both);
        assert_eq!(changed(&both, How::Remove, &both[..1]), both[1..]);
        assert_eq!(changed(&both, How::Replace, &[]), [""; 0]);
    }
}
