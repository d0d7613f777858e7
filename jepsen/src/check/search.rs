//! Is a history of one object linearizable? The search of Wing and Gong with Lowe's memory of
//! what was tried, for models whose steps may have several outcomes.

use std::collections::HashSet;
use std::hash::Hash;

/// What an object is, and what operations make of it.
pub trait Model {
    /// The object.
    type State: Clone + Eq + Hash;
    /// An operation with its answer.
    type Op;

    /// Every state that the operation may lead to; none if it cannot have been answered so.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Vec<Self::State>;
}

/// An operation in time.
#[derive(Debug, Clone)]
pub struct Call<Op> {
    /// When it was asked.
    pub asked: u64,
    /// When it was answered; without an answer it may happen at any later time, or never.
    pub ended: Option<u64>,
    /// It happened behind this call (a place in the list), which is part of the same command.
    pub behind: Option<usize>,
    /// What.
    pub op: Op,
}

/// What the search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<State> {
    /// An order that explains every answer.
    Order,
    /// There is none. The farthest that an order came: the state there, and the calls of which
    /// none could come next.
    Nothing {
        /// The object's state there.
        state: State,
        /// Places in the list.
        stuck: Vec<usize>,
    },
    /// The bound was met first.
    GaveUp,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Bits(Vec<u64>);

impl Bits {
    fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    fn with(&self, at: usize) -> Self {
        let mut more = self.clone();
        more.0[at / 64] |= 1 << (at % 64);
        more
    }
}

struct Frame<State> {
    taken: Bits,
    answered: usize,
    /// What may come next, with the state behind it.
    next: Vec<(usize, State)>,
}

struct Search<'a, M: Model> {
    model: &'a M,
    calls: &'a [Call<M::Op>],
    /// Places in the order of `asked`.
    order: Vec<usize>,
    tried: HashSet<(Bits, M::State)>,
}

/// Looks for an order of the calls that the model allows, from `start`, in at most `bound` steps.
pub fn search<M: Model>(
    model: &M,
    start: M::State,
    calls: &[Call<M::Op>],
    bound: usize,
) -> Found<M::State> {
    let mut order: Vec<usize> = (0..calls.len()).collect();
    order.sort_by_key(|at| calls[*at].asked);
    Search { model, calls, order, tried: HashSet::new() }.run(start, bound)
}

impl<M: Model> Search<'_, M> {
    fn run(mut self, start: M::State, bound: usize) -> Found<M::State> {
        let wanted = self.calls.iter().filter(|call| call.ended.is_some()).count();
        let none = Bits(vec![0; self.calls.len().div_ceil(64)]);
        let mut farthest = (0, start.clone(), none.clone());
        let mut stack = vec![self.frame(none, 0, &start)];
        let mut steps = 0;
        while let Some(top) = stack.last_mut() {
            if top.answered == wanted {
                return Found::Order;
            }
            let Some((at, state)) = top.next.pop() else {
                stack.pop();
                continue;
            };
            let taken = top.taken.with(at);
            let answered = top.answered + usize::from(self.calls[at].ended.is_some());
            if !self.tried.insert((taken.clone(), state.clone())) {
                continue;
            }
            steps += 1;
            if steps > bound {
                return Found::GaveUp;
            }
            if answered > farthest.0 {
                farthest = (answered, state.clone(), taken.clone());
            }
            let frame = self.frame(taken, answered, &state);
            stack.push(frame);
        }
        let (_, state, taken) = farthest;
        let stuck = self.candidates(&taken);
        let stuck = stuck.into_iter().filter(|at| self.calls[*at].ended.is_some()).collect();
        Found::Nothing { state, stuck }
    }

    fn frame(&self, taken: Bits, answered: usize, state: &M::State) -> Frame<M::State> {
        let mut next = Vec::new();
        for at in self.candidates(&taken) {
            let after = self.model.step(state, &self.calls[at].op);
            next.extend(after.into_iter().map(|after| (at, after)));
        }
        // The last is tried first: answered ones before unknown ones, the earliest end first.
        next.sort_by_key(|(at, _)| std::cmp::Reverse(self.calls[*at].ended.unwrap_or(u64::MAX)));
        Frame { taken, answered, next }
    }

    /// Calls that no other call has to precede.
    fn candidates(&self, taken: &Bits) -> Vec<usize> {
        let mut first_end = u64::MAX;
        let mut candidates = Vec::new();
        for at in self.order.iter().copied().filter(|at| !taken.has(*at)) {
            let call = &self.calls[at];
            if call.asked > first_end {
                break;
            }
            first_end = first_end.min(call.ended.unwrap_or(u64::MAX));
            if call.behind.is_none_or(|before| taken.has(before)) {
                candidates.push(at);
            }
        }
        candidates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A register that is read and written.
    struct Register;

    #[derive(Debug, Clone)]
    enum Op {
        Write(u32),
        Read(u32),
    }
    use Op::{Read, Write};

    impl Model for Register {
        type State = u32;
        type Op = Op;

        fn step(&self, state: &u32, op: &Op) -> Vec<u32> {
            match op {
                Write(value) => vec![*value],
                Read(value) if value == state => vec![*state],
                Read(_) => vec![],
            }
        }
    }

    fn call(asked: u64, ended: u64, op: Op) -> Call<Op> {
        Call { asked, ended: Some(ended), behind: None, op }
    }

    fn unknown(asked: u64, op: Op) -> Call<Op> {
        Call { asked, ended: None, behind: None, op }
    }

    fn found(calls: &[Call<Op>]) -> Found<u32> {
        search(&Register, 0, calls, 10_000)
    }

    #[test]
    fn overlapping_calls_may_come_in_any_order() {
        assert_eq!(found(&[]), Found::Order);
        let both = [call(1, 5, Write(1)), call(2, 6, Write(2)), call(7, 8, Read(1))];
        assert_eq!(found(&both), Found::Order);
        let within = [call(1, 9, Write(1)), call(2, 3, Read(0)), call(4, 5, Read(1))];
        assert_eq!(found(&within), Found::Order);
    }

    #[test]
    fn a_stale_read_is_found() {
        let stale = [call(1, 2, Write(1)), call(3, 4, Read(0))];
        assert_eq!(found(&stale), Found::Nothing { state: 1, stuck: vec![1] });
        let back = [call(1, 9, Write(1)), call(2, 3, Read(1)), call(4, 5, Read(0))];
        assert!(matches!(found(&back), Found::Nothing { .. }));
    }

    #[test]
    fn an_unknown_call_happens_at_any_later_time_or_never() {
        for value in [0, 1] {
            assert_eq!(found(&[unknown(1, Write(1)), call(3, 4, Read(value))]), Found::Order);
        }
        let late =
            [unknown(1, Write(1)), call(3, 4, Read(0)), call(5, 6, Read(1)), call(7, 8, Read(1))];
        assert_eq!(found(&late), Found::Order);
        let twice = [
            unknown(1, Write(1)),
            call(3, 4, Read(1)),
            call(5, 6, Write(2)),
            call(7, 8, Read(2)),
            call(9, 10, Read(1)),
        ];
        assert!(matches!(found(&twice), Found::Nothing { .. }));
        let early = [call(1, 2, Read(1)), unknown(3, Write(1))];
        assert!(matches!(found(&early), Found::Nothing { .. }));
    }

    #[test]
    fn a_part_of_a_command_keeps_its_place() {
        let mut read = call(1, 9, Read(0));
        let calls = [call(1, 9, Write(1)), read.clone()];
        assert_eq!(found(&calls), Found::Order);
        read.behind = Some(0);
        assert!(matches!(found(&[call(1, 9, Write(1)), read]), Found::Nothing { .. }));
    }

    #[test]
    fn what_takes_too_long_is_not_called_good() {
        let mut calls: Vec<_> =
            (0..24).map(|n| unknown(n, Write(u32::try_from(n).unwrap()))).collect();
        calls.push(call(50, 51, Read(1_000)));
        assert_eq!(search(&Register, 0, &calls, 5_000), Found::GaveUp);
    }
}
