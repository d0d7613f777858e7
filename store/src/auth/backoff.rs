//! Who failed how often lately. Pure: the time is handed in.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

/// Failures are forgotten after this long without another.
pub(super) const FORGET: Duration = Duration::from_secs(15 * 60);
/// The longest wait before a password is looked at.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Attempts from one address for one name that are not slowed down: a client
/// may open several connections at once.
const FREE: u32 = 8;
/// Attempts from one address for one name before more are refused.
pub(super) const REFUSE_PAIR: u32 = 20;
/// Failures for one name from anywhere.
const REFUSE_NAME: u32 = 200;
/// Failures from one address for any name; many users may be behind one.
const REFUSE_ADDRESS: u32 = 200;
const FIRST_WAIT: Duration = Duration::from_millis(250);
const ENTRIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(32 * 1024 - 1);

/// What to do with an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Go,
    Wait(Duration),
    Refuse,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// Counted when the attempt begins, so that many at once gain nothing.
    Pair(blake3::Hash, Option<IpAddr>),
    Name(blake3::Hash),
    Address(IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    failures: u32,
    last: Instant,
}

/// Failures by name, by address and by both; the least recent go when it is full.
#[derive(Debug)]
pub(super) struct Backoff {
    counts: LruCache<Key, Count>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { counts: LruCache::new(ENTRIES) }
    }
}

impl Backoff {
    /// An attempt begins; call `succeeded` or `failed` when it ends.
    pub(super) fn attempt(&mut self, name: &str, from: Option<IpAddr>, now: Instant) -> Verdict {
        let (pair, others) = keys(name, from);
        let over = |(key, limit)| self.failures(&key, now) >= limit;
        if others.into_iter().any(over) || self.failures(&pair, now) >= REFUSE_PAIR {
            return Verdict::Refuse;
        }
        match self.count(pair, now).checked_sub(FREE + 1) {
            None => Verdict::Go,
            Some(over) => {
                Verdict::Wait(FIRST_WAIT.saturating_mul(1 << over.min(16)).min(LONGEST_WAIT))
            }
        }
    }

    pub(super) fn failed(&mut self, name: &str, from: Option<IpAddr>, now: Instant) {
        for (key, _) in keys(name, from).1 {
            self.count(key, now);
        }
    }

    /// Clears what was held against this name; an address that guesses names keeps its count.
    pub(super) fn succeeded(&mut self, name: &str, from: Option<IpAddr>) {
        self.counts.pop(&keys(name, from).0);
    }

    fn failures(&mut self, key: &Key, now: Instant) -> u32 {
        let fresh = self.counts.peek(key).filter(|count| now < count.last + FORGET);
        fresh.map_or(0, |count| count.failures)
    }

    fn count(&mut self, key: Key, now: Instant) -> u32 {
        let failures = self.failures(&key, now).saturating_add(1);
        self.counts.put(key, Count { failures, last: now });
        failures
    }
}

fn keys(name: &str, from: Option<IpAddr>) -> (Key, Vec<(Key, u32)>) {
    let name = blake3::hash(name.to_lowercase().as_bytes());
    let from = from.map(network);
    let mut others = vec![(Key::Name(name), REFUSE_NAME)];
    others.extend(from.map(|from| (Key::Address(from), REFUSE_ADDRESS)));
    (Key::Pair(name, from), others)
}

/// One customer's addresses: an IPv6 /64 counts as one.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)));

    fn fail(backoff: &mut Backoff, name: &str, from: Option<IpAddr>, now: Instant) -> Verdict {
        let verdict = backoff.attempt(name, from, now);
        backoff.failed(name, from, now);
        verdict
    }

    #[test]
    fn waits_grow_and_end_in_a_refusal_for_that_name_from_there() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        let verdicts: Vec<_> =
            (0..=REFUSE_PAIR).map(|_| fail(&mut backoff, "alice", HERE, now)).collect();
        let go = verdicts.iter().filter(|v| **v == Verdict::Go).count();
        assert_eq!(go, FREE as usize);
        assert_eq!(verdicts.get(FREE as usize), Some(&Verdict::Wait(FIRST_WAIT)));
        assert!(verdicts.contains(&Verdict::Wait(LONGEST_WAIT)));
        assert_eq!(verdicts.last(), Some(&Verdict::Refuse));
        assert_eq!(backoff.attempt("ALICE", HERE, now), Verdict::Refuse);
        assert_eq!(backoff.attempt("alice", None, now), Verdict::Go);
        assert_eq!(backoff.attempt("bob", HERE, now), Verdict::Go);
        assert_eq!(backoff.attempt("alice", HERE, now + FORGET), Verdict::Go);
    }

    #[test]
    fn many_names_from_one_network_are_refused() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for n in 0..REFUSE_ADDRESS {
            let from = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, n as u16));
            assert_eq!(fail(&mut backoff, &format!("u{n}"), Some(from), now), Verdict::Go);
        }
        let there = |net| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, net, 9, 9, 9, 9)));
        assert_eq!(backoff.attempt("other", there(1), now), Verdict::Refuse);
        assert_eq!(backoff.attempt("other", there(2), now), Verdict::Go);
    }

    #[test]
    fn success_clears_and_the_table_is_bounded() {
        let (mut backoff, now) = (Backoff::default(), Instant::now());
        for _ in 0..REFUSE_PAIR {
            backoff.attempt("alice", HERE, now);
        }
        backoff.succeeded("alice", HERE);
        assert_eq!(backoff.attempt("alice", HERE, now), Verdict::Go);
        for n in 0..2 * ENTRIES.get() {
            fail(&mut backoff, &n.to_string(), None, now);
        }
        assert_eq!(backoff.counts.len(), ENTRIES.get());
    }
}
