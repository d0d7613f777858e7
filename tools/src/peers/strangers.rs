//! Room for those who have not shown yet who they are, apart from that of the members:
//! nobody who only connects can keep a member out.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// So many at one time; of more, the oldest goes.
const MOST: usize = 256;
/// So many from one address; more are not let in.
const FROM_ONE: usize = 64;

/// All of them.
#[derive(Debug, Clone, Default)]
pub(super) struct Strangers(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// By when they came.
    here: BTreeMap<u64, (IpAddr, CancellationToken)>,
}

/// The place of one of them; given up when dropped.
#[derive(Debug)]
pub(super) struct Place {
    strangers: Strangers,
    number: u64,
    taken: CancellationToken,
}

impl Strangers {
    /// A place for somebody from this address. A handshake takes a moment: where all places
    /// are taken, who has been here longest is the least likely to be a member.
    pub(super) fn enter(&self, from: IpAddr) -> Option<Place> {
        let mut state = self.0.lock();
        if state.here.values().filter(|(address, _)| *address == from).count() >= FROM_ONE {
            return None;
        }
        if state.here.len() >= MOST
            && let Some((_, (_, oldest))) = state.here.pop_first()
        {
            oldest.cancel();
        }
        let (number, taken) = (state.next, CancellationToken::new());
        state.next += 1;
        state.here.insert(number, (from, taken.clone()));
        Some(Place { strangers: self.clone(), number, taken })
    }
}

impl Place {
    /// What is done at it; `None` once another has it.
    pub(super) async fn hold<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        self.taken.run_until_cancelled(work).await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.strangers.0.lock().here.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn from(number: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number as u32).into()
    }

    #[tokio::test]
    async fn the_newest_has_always_a_place_unless_its_address_has_too_many() {
        let strangers = Strangers::default();
        let mut places: Vec<_> = (0..MOST).map(|n| strangers.enter(from(n))).collect();
        assert!(places.iter().all(Option::is_some));
        let member = strangers.enter(from(MOST));
        assert_eq!(member.as_ref().map(|place| place.taken.is_cancelled()), Some(false));
        let oldest = places.swap_remove(0);
        assert!(oldest.is_some());
        if let Some(oldest) = oldest {
            assert_eq!(oldest.hold(std::future::pending::<()>()).await, None);
        }
    }

    #[test]
    fn one_address_has_few_places_and_gets_them_back() {
        let strangers = Strangers::default();
        let mut places: Vec<_> = (0..FROM_ONE).filter_map(|_| strangers.enter(from(1))).collect();
        assert_eq!(places.len(), FROM_ONE);
        assert!(strangers.enter(from(1)).is_none());
        assert!(strangers.enter(from(2)).is_some());
        places.pop();
        assert!(strangers.enter(from(1)).is_some());
    }
}
