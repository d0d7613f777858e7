//! What was tried and refused goes into the log: the first time at once, what is tried again
//! within the minute as a count. So who is refused is on record, and fills no log by it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{NodeId, OperationId, Timestamp};
use redoubt_log::record::{Actor, Change, MAX_REFUSED_TEXT, Refused};

use super::{Inner, Mailstore};

/// From which level on there are such records.
const LEVEL: u32 = 3;
/// For how long what is tried again is counted only.
const TOGETHER: Duration = Duration::from_secs(60);
/// Different ones of that time; those beyond it are counted together.
const MOST: usize = 30;

/// What was refused to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Refusal {
    /// What was tried.
    pub verb: String,
    /// What on.
    pub object: String,
    /// Why not.
    pub reason: String,
}

impl Mailstore {
    /// Puts into the log that somebody was refused something. Nobody waits for it: the refusal
    /// stands with or without.
    pub fn refused(&self, actor: &Actor, refusal: Refusal) {
        let inner = &self.inner;
        let Some((actor, refused)) = inner.refusals.note(actor, refusal, Timestamp::now()) else {
            return;
        };
        let store = Arc::downgrade(inner);
        tokio::spawn(async move {
            if let Some(store) = store.upgrade() {
                store.record_refusal(actor, refused).await;
            }
        });
    }
}

impl Inner {
    async fn record_refusal(&self, actor: Actor, counted: Counted) {
        let level = self.local_view().and_then(|view| view.level());
        if level.unwrap_or(0) < LEVEL {
            return;
        }
        let change = Change::Refused(counted.record(self.identity.node));
        if let Err(error) = self.propose(&actor, OperationId::random(), change).await {
            tracing::debug!(%error, "what was refused is put into the log later");
            self.refusals.back(actor, counted);
        }
    }

    async fn record_refusals(&self) {
        for (actor, counted) in self.refusals.take() {
            self.record_refusal(actor, counted).await;
        }
    }
}

/// Puts what was counted into the log, for as long as the store is there.
pub(super) async fn run(store: Weak<Inner>) {
    loop {
        tokio::time::sleep(TOGETHER).await;
        let Some(inner) = store.upgrade() else { return };
        inner.record_refusals().await;
    }
}

/// Refusals of one actor that are alike.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counted {
    refusal: Refusal,
    since: Timestamp,
    until: Timestamp,
    times: u64,
}

impl Counted {
    fn record(&self, node: NodeId) -> Refused {
        let Self { refusal, since, until, times } = self.clone();
        let Refusal { verb, object, reason } = refusal;
        Refused { node, verb, object, reason, since, until, times }
    }
}

/// Who tried, and what.
type Key = (String, Refusal);

/// Refusals of the last minute, and those that the log does not have yet.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<HashMap<Key, (Actor, Counted)>>);

impl Refusals {
    /// What the log is to have at once, if it has nothing of the kind from the last minute.
    fn note(&self, actor: &Actor, refusal: Refusal, now: Timestamp) -> Option<(Actor, Counted)> {
        let mut known = self.0.lock();
        let refusal = bounded(refusal);
        let full = known.len() >= MOST && !known.contains_key(&key(actor, &refusal));
        let (actor, refusal) = match full {
            true => (Actor::SYSTEM, others()),
            false => (actor.clone(), refusal),
        };
        let new = Counted { refusal: refusal.clone(), since: now, until: now, times: 0 };
        let there = known.contains_key(&key(&actor, &refusal));
        let at = known.entry(key(&actor, &refusal)).or_insert((actor.clone(), new));
        if !there && !full {
            return Some((actor, Counted { times: 1, ..at.1.clone() }));
        }
        if at.1.times == 0 {
            at.1.since = now;
        }
        (at.1.until, at.1.times) = (now, at.1.times.saturating_add(1));
        None
    }

    /// What was counted; what was not tried again is forgotten, so that the next is told at once.
    fn take(&self) -> Vec<(Actor, Counted)> {
        let taken = std::mem::take(&mut *self.0.lock());
        taken.into_values().filter(|(_, counted)| counted.times > 0).collect()
    }

    /// The log did not take it.
    fn back(&self, actor: Actor, older: Counted) {
        let mut known = self.0.lock();
        let key = key(&actor, &older.refusal);
        if known.len() >= MOST && !known.contains_key(&key) {
            let others = Counted { refusal: others(), ..older };
            merge(&mut known, Actor::SYSTEM, others);
            return;
        }
        merge(&mut known, actor, older);
    }
}

fn merge(known: &mut HashMap<Key, (Actor, Counted)>, actor: Actor, older: Counted) {
    let key = key(&actor, &older.refusal);
    match known.get_mut(&key) {
        Some((_, counted)) => {
            counted.since = counted.since.min(older.since);
            counted.until = counted.until.max(older.until);
            counted.times = counted.times.saturating_add(older.times);
        }
        None => {
            known.insert(key, (actor, older));
        }
    }
}

fn key(actor: &Actor, refusal: &Refusal) -> Key {
    (format!("{actor:?}"), refusal.clone())
}

/// Different ones that are too many to be told.
fn others() -> Refusal {
    let reason = "more different attempts than are told one by one".to_owned();
    Refusal { verb: String::new(), object: String::new(), reason }
}

fn bounded(refusal: Refusal) -> Refusal {
    let cut = |text: String| match text.len() > MAX_REFUSED_TEXT {
        true => text.chars().take(MAX_REFUSED_TEXT / 4).collect(),
        false => text,
    };
    let Refusal { verb, object, reason } = refusal;
    Refusal { verb: cut(verb), object: cut(object), reason: cut(reason) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(object: &str) -> Refusal {
        Refusal { verb: "hold add".into(), object: object.into(), reason: "needs a role".into() }
    }

    #[test]
    fn the_first_is_told_at_once_and_repeats_are_counted() {
        let (refusals, actor) = (Refusals::default(), Actor::admin(7));
        let note = |object: &str, at| refusals.note(&actor, tried(object), Timestamp(at));
        assert_eq!(note("a", 1).map(|(_, counted)| counted.times), Some(1));
        for at in 2..1000 {
            assert_eq!(note("a", at), None);
        }
        assert_eq!(note("b", 5).map(|(_, counted)| counted.times), Some(1));
        let other = Actor::admin(8);
        assert!(refusals.note(&other, tried("a"), Timestamp(6)).is_some(), "it is somebody else");
        let taken = refusals.take();
        let [(by, counted)] = taken.as_slice() else { panic!("{taken:?}") };
        assert_eq!(
            (by, counted.times, counted.since, counted.until),
            (&actor, 998, Timestamp(2), Timestamp(999))
        );
        assert!(refusals.take().is_empty());
        assert!(note("a", 2000).is_some(), "after the minute it is told again");
    }

    #[test]
    fn nobody_fills_the_log_by_varying_what_is_tried() {
        let refusals = Refusals::default();
        let tries = (0..10_000)
            .filter_map(|n| refusals.note(&Actor::admin(n), tried(&n.to_string()), Timestamp(1)));
        let told: Vec<_> = tries.collect();
        assert_eq!(told.len(), MOST);
        let taken = refusals.take();
        let times: u64 = taken.iter().map(|(_, counted)| counted.times).sum();
        assert_eq!((taken.len(), times), (1, 10_000 - MOST as u64));
        // What the log did not take is counted on, and bounded all the same.
        for (actor, counted) in told {
            refusals.back(actor, counted);
        }
        for (actor, counted) in taken {
            refusals.back(actor, counted);
        }
        assert!(refusals.note(&Actor::admin(99_999), tried("x"), Timestamp(2)).is_none());
        let times: u64 = refusals.take().iter().map(|(_, counted)| counted.times).sum();
        assert_eq!(times, 10_001);
        let long = tried(&"é".repeat(10_000));
        let (_, counted) =
            refusals.note(&Actor::SYSTEM, long, Timestamp(3)).unwrap_or_else(|| panic!());
        assert!(counted.refusal.object.len() <= MAX_REFUSED_TEXT);
    }
}
