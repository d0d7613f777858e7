//! The model of one message in one mailbox: it comes, its flags change, it goes.

use super::search::Model;
use crate::history::How;

/// Flags as bits, in the order of some list.
pub type Bits = u32;

/// Whether it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Life {
    /// Not yet.
    Before,
    /// Now.
    Live,
    /// No more, for ever.
    Gone,
}

/// What can be said of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Whether it is there.
    pub life: Life,
    /// Flags of which it is known whether it has them.
    pub known: Bits,
    /// Flags of these that it has.
    pub value: Bits,
    /// Its MODSEQ, or one that it is above.
    pub modseq: u64,
    /// Which of both.
    pub exact: bool,
}

impl Placement {
    /// What is not there yet.
    pub const BEFORE: Self =
        Self { life: Life::Before, known: 0, value: 0, modseq: 0, exact: false };
}

/// What a STORE was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// It was done, or will be if it may be; with the MODSEQ if it was told.
    Done(Option<u64>),
    /// It was done, or there was nothing to do it to.
    DoneOrMissing,
    /// UNCHANGEDSINCE forbade it.
    Conflict,
}

/// An operation on one placement.
#[derive(Debug, Clone)]
pub enum Op {
    /// It arrives, with flags where they are known.
    Make(Option<Bits>),
    /// Its flags change.
    Store {
        /// How.
        how: How,
        /// The flags of the command.
        flags: Bits,
        /// UNCHANGEDSINCE
        since: Option<u64>,
        /// The answer.
        stored: Stored,
    },
    /// It is there, with these flags and this MODSEQ.
    Read(Option<Bits>, Option<u64>),
    /// It is not there.
    Missing,
    /// It goes if it is marked with this flag.
    Expunge(Bits),
    /// It goes.
    Away,
}

/// The rules of RFC 9051 and RFC 7162.
#[derive(Debug)]
pub struct Rules;

impl Model for Rules {
    type State = Placement;
    type Op = Op;

    fn step(&self, state: &Placement, op: &Op) -> Vec<Placement> {
        let live = state.life == Life::Live;
        match op {
            Op::Make(flags) if state.life == Life::Before => {
                let known = if flags.is_some() { Bits::MAX } else { 0 };
                let value = flags.unwrap_or(0);
                vec![Placement { life: Life::Live, known, value, ..*state }]
            }
            Op::Store { how, flags, since, stored } if live => {
                store(state, *how, *flags, *since, *stored)
            }
            Op::Store { stored: Stored::DoneOrMissing, .. } if state.life == Life::Gone => {
                vec![*state]
            }
            Op::Read(flags, modseq) if live => {
                let read = flags.map_or(Some(*state), |flags| has(state, flags));
                read.and_then(|read| modseq.map_or(Some(read), |n| is_at(&read, n)))
                    .into_iter()
                    .collect()
            }
            Op::Missing if state.life == Life::Gone => vec![*state],
            Op::Expunge(deleted) => expunge(state, *deleted),
            Op::Away if live => vec![Placement { life: Life::Gone, ..*state }],
            _ => Vec::new(),
        }
    }
}

/// Exactly these flags.
fn has(state: &Placement, flags: Bits) -> Option<Placement> {
    let agrees = (state.value ^ flags) & state.known == 0;
    agrees.then_some(Placement { known: Bits::MAX, value: flags, ..*state })
}

/// Exactly this MODSEQ.
fn is_at(state: &Placement, modseq: u64) -> Option<Placement> {
    let agrees = if state.exact { state.modseq == modseq } else { modseq > state.modseq };
    agrees.then_some(Placement { modseq, exact: true, ..*state })
}

fn store(
    state: &Placement,
    how: How,
    flags: Bits,
    since: Option<u64>,
    stored: Stored,
) -> Vec<Placement> {
    let modseq = match stored {
        Stored::Conflict => return conflict(state, since).into_iter().collect(),
        Stored::Done(modseq) => modseq,
        Stored::DoneOrMissing => None,
    };
    // At a MODSEQ that is only known to be above some other there is always room for one more.
    let allowed = since
        .is_none_or(|since| if state.exact { state.modseq <= since } else { state.modseq < since });
    if !allowed {
        return Vec::new();
    }
    let after = wished(state, how, flags);
    let mut outcomes = Vec::new();
    if let Some(same) = unchanged(state, &after) {
        outcomes.extend(modseq.map_or(Some(same), |n| is_at(&same, n)));
    }
    let differs = (state.value ^ after.value) & state.known & after.known != 0;
    let may_differ = after.known & !state.known != 0;
    if differs || may_differ {
        outcomes.extend(risen(&after, modseq));
    }
    outcomes
}

/// MODIFIED: the MODSEQ is above UNCHANGEDSINCE.
fn conflict(state: &Placement, since: Option<u64>) -> Option<Placement> {
    let since = since?;
    match state.exact {
        true => (state.modseq > since).then_some(*state),
        false => Some(Placement { modseq: state.modseq.max(since), ..*state }),
    }
}

fn wished(state: &Placement, how: How, flags: Bits) -> Placement {
    match how {
        How::Replace => Placement { known: Bits::MAX, value: flags, ..*state },
        How::Add => Placement { known: state.known | flags, value: state.value | flags, ..*state },
        How::Remove => {
            Placement { known: state.known | flags, value: state.value & !flags, ..*state }
        }
    }
}

/// The flags were so before: nothing changes, MODSEQ neither.
fn unchanged(state: &Placement, after: &Placement) -> Option<Placement> {
    ((state.value ^ after.value) & state.known == 0).then_some(*after)
}

/// A change has a MODSEQ above that of before.
fn risen(after: &Placement, modseq: Option<u64>) -> Option<Placement> {
    match modseq {
        None => Some(Placement { exact: false, ..*after }),
        Some(modseq) => {
            (modseq > after.modseq).then_some(Placement { modseq, exact: true, ..*after })
        }
    }
}

fn expunge(state: &Placement, deleted: Bits) -> Vec<Placement> {
    let gone = Placement { life: Life::Gone, ..*state };
    let kept = Placement { known: state.known | deleted, ..*state };
    match (state.life, state.known & deleted != 0, state.value & deleted != 0) {
        (Life::Live, true, true) => vec![gone],
        (Life::Live, false, _) => vec![gone, kept],
        _ => vec![*state],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEEN: Bits = 1;
    const DELETED: Bits = 2;

    fn live(value: Bits, modseq: u64) -> Placement {
        Placement { life: Life::Live, known: Bits::MAX, value, modseq, exact: true }
    }

    fn step(state: Placement, op: Op) -> Vec<Placement> {
        Rules.step(&state, &op)
    }

    fn add(flags: Bits, since: Option<u64>, stored: Stored) -> Op {
        Op::Store { how: How::Add, flags, since, stored }
    }

    #[test]
    fn it_comes_once_and_goes_once() {
        let made = step(Placement::BEFORE, Op::Make(Some(SEEN)));
        assert_eq!(made, [Placement { modseq: 0, exact: false, ..live(SEEN, 0) }]);
        assert_eq!(step(live(0, 5), Op::Make(None)), []);
        let gone = Placement { life: Life::Gone, ..live(0, 5) };
        assert_eq!(step(live(0, 5), Op::Away), [gone]);
        assert_eq!(step(gone, Op::Missing), [gone]);
        for op in [Op::Away, Op::Read(None, None), add(SEEN, None, Stored::Done(None))] {
            assert_eq!(step(gone, op), []);
        }
        assert_eq!(step(gone, add(SEEN, None, Stored::DoneOrMissing)), [gone]);
        assert_eq!(step(live(0, 5), Op::Missing), []);
    }

    #[test]
    fn a_read_tells_what_is_so() {
        assert_eq!(step(live(SEEN, 5), Op::Read(Some(SEEN), Some(5))), [live(SEEN, 5)]);
        assert_eq!(step(live(SEEN, 5), Op::Read(Some(0), Some(5))), []);
        assert_eq!(step(live(SEEN, 5), Op::Read(Some(SEEN), Some(6))), []);
        let hazy = Placement { known: DELETED, value: 0, modseq: 4, exact: false, ..live(0, 0) };
        assert_eq!(step(hazy, Op::Read(Some(SEEN), Some(5))), [live(SEEN, 5)]);
        assert_eq!(step(hazy, Op::Read(Some(DELETED), Some(5))), []);
        assert_eq!(step(hazy, Op::Read(Some(SEEN), Some(4))), []);
    }

    #[test]
    fn a_change_raises_modseq_and_no_change_keeps_it() {
        assert_eq!(step(live(0, 5), add(SEEN, None, Stored::Done(Some(6)))), [live(SEEN, 6)]);
        assert_eq!(step(live(0, 5), add(SEEN, None, Stored::Done(Some(5)))), []);
        assert_eq!(step(live(SEEN, 5), add(SEEN, None, Stored::Done(Some(5)))), [live(SEEN, 5)]);
        assert_eq!(step(live(SEEN, 5), add(SEEN, None, Stored::Done(Some(6)))), []);
    }

    #[test]
    fn unchangedsince_is_kept() {
        let since = |since, stored| add(SEEN, Some(since), stored);
        assert_eq!(step(live(0, 5), since(5, Stored::Done(Some(6)))), [live(SEEN, 6)]);
        assert_eq!(step(live(0, 5), since(4, Stored::Done(Some(6)))), []);
        assert_eq!(step(live(0, 5), since(4, Stored::Conflict)), [live(0, 5)]);
        assert_eq!(step(live(0, 5), since(5, Stored::Conflict)), []);
        let hazy = Placement { exact: false, ..live(0, 5) };
        assert_eq!(step(hazy, since(5, Stored::Done(Some(9)))), []);
        assert_eq!(step(hazy, since(9, Stored::Conflict)), [Placement { modseq: 9, ..hazy }]);
    }

    #[test]
    fn expunge_takes_what_is_marked() {
        assert_eq!(step(live(DELETED, 5), Op::Expunge(DELETED))[0].life, Life::Gone);
        assert_eq!(step(live(SEEN, 5), Op::Expunge(DELETED)), [live(SEEN, 5)]);
        let hazy = Placement { known: 0, value: 0, ..live(0, 5) };
        assert_eq!(step(hazy, Op::Expunge(DELETED)).len(), 2);
    }
}
