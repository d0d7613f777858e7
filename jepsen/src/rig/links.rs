//! What the way from one node to another does to packets: a pure decision, and counts of what it did.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// One direction between two nodes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Nothing passes.
    pub cut: bool,
    /// How long each packet takes.
    pub delay: Duration,
    /// Up to so much longer, by chance: packets overtake each other.
    pub jitter: Duration,
    /// The share of packets that are lost, 0 to 1.
    pub loss: f64,
    /// The share of packets that come twice.
    pub doubled: f64,
}

impl Link {
    /// A cable.
    pub const SOUND: Self =
        Self { cut: false, delay: Duration::ZERO, jitter: Duration::ZERO, loss: 0.0, doubled: 0.0 };
    /// No cable.
    pub const CUT: Self = Self { cut: true, ..Self::SOUND };
}

/// What a link did since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets that came to the other end.
    pub passed: u64,
    /// Of these, those that were held back.
    pub delayed: u64,
    /// Of these, those that came twice.
    pub doubled: u64,
    /// Packets that did not come.
    pub dropped: u64,
}

impl Counts {
    /// What was added since an earlier count.
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            passed: self.passed - earlier.passed,
            delayed: self.delayed - earlier.delayed,
            doubled: self.doubled - earlier.doubled,
            dropped: self.dropped - earlier.dropped,
        }
    }

    fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.delayed += other.delayed;
        self.doubled += other.doubled;
        self.dropped += other.dropped;
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is lost.
    Lost,
    /// It comes after so long, so many times.
    Comes(Duration, u8),
}

#[derive(Debug)]
struct State {
    links: BTreeMap<(u32, u32), Link>,
    counts: BTreeMap<(u32, u32), Counts>,
    chance: StdRng,
}

/// All links, by the numbers of the two nodes. What was never set is sound.
#[derive(Debug, Clone)]
pub struct Links(Arc<Mutex<State>>);

impl Links {
    /// Sound links.
    pub fn new(seed: u64) -> Self {
        let chance = StdRng::seed_from_u64(seed);
        Self(Arc::new(Mutex::new(State {
            links: BTreeMap::new(),
            counts: BTreeMap::new(),
            chance,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Changes one direction.
    pub fn set(&self, from: u32, to: u32, link: Link) {
        self.state().links.insert((from, to), link);
    }

    /// Changes both directions.
    pub fn set_both(&self, a: u32, b: u32, link: Link) {
        self.set(a, b, link);
        self.set(b, a, link);
    }

    /// All are sound again.
    pub fn heal(&self) {
        self.state().links.clear();
    }

    /// How a direction is now.
    pub fn get(&self, from: u32, to: u32) -> Link {
        self.state().links.get(&(from, to)).copied().unwrap_or(Link::SOUND)
    }

    /// Decides about one packet, and counts it.
    pub fn judge(&self, from: u32, to: u32) -> Fate {
        let state = &mut *self.state();
        let link = state.links.get(&(from, to)).copied().unwrap_or(Link::SOUND);
        let counts = state.counts.entry((from, to)).or_default();
        if link.cut || state.chance.random_bool(link.loss) {
            counts.dropped += 1;
            return Fate::Lost;
        }
        let after = link.delay + link.jitter.mul_f64(state.chance.random());
        let times = 1 + u8::from(state.chance.random_bool(link.doubled));
        counts.passed += 1;
        counts.delayed += u64::from(!after.is_zero());
        counts.doubled += u64::from(times > 1);
        Fate::Comes(after, times)
    }

    /// What one direction did so far.
    pub fn counts(&self, from: u32, to: u32) -> Counts {
        self.state().counts.get(&(from, to)).copied().unwrap_or_default()
    }

    /// What all directions did so far.
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.state().counts.values().for_each(|counts| total.add(counts));
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_links_pass_everything_at_once() {
        let links = Links::new(1);
        for _ in 0..100 {
            assert_eq!(links.judge(1, 2), Fate::Comes(Duration::ZERO, 1));
        }
        assert_eq!(links.counts(1, 2), Counts { passed: 100, ..Counts::default() });
    }

    #[test]
    fn a_cut_link_passes_nothing_and_its_way_back_everything() {
        let links = Links::new(1);
        links.set(1, 2, Link::CUT);
        assert_eq!(links.judge(1, 2), Fate::Lost);
        assert_eq!(links.judge(2, 1), Fate::Comes(Duration::ZERO, 1));
        links.heal();
        assert_eq!(links.judge(1, 2), Fate::Comes(Duration::ZERO, 1));
        let counts = links.counts(1, 2);
        assert_eq!((counts.dropped, counts.passed), (1, 1));
    }

    #[test]
    fn loss_delay_and_doubles_are_as_asked() {
        let links = Links::new(7);
        let delay = Duration::from_millis(20);
        let link = Link { delay, jitter: delay, loss: 0.25, doubled: 0.5, ..Link::SOUND };
        links.set(1, 2, link);
        for _ in 0..4000 {
            if let Fate::Comes(after, _) = links.judge(1, 2) {
                assert!(after >= delay && after <= 2 * delay, "{after:?}");
            }
        }
        let counts = links.counts(1, 2);
        assert_eq!(counts.delayed, counts.passed);
        assert!((900..1100).contains(&counts.dropped), "{counts:?}");
        assert!((1350..1650).contains(&counts.doubled), "{counts:?}");
    }
}
