//! Which bases stay, and from where on the log does. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use redoubt_log::id::LogIndex;

use crate::repo::names::BaseName;

/// What is to stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Every moment of so long.
    pub window: Option<Duration>,
    /// So many of the newest bases, and every moment from the oldest of them on.
    pub bases: Option<usize>,
}

/// A history as expiring sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its bases with the effective time of each, in milliseconds since 1970, by rising index.
    pub bases: Vec<(BaseName, i64)>,
    /// Those that are to stay whatever is wished.
    pub pins: BTreeSet<BaseName>,
    /// Up to and with which entry nothing is kept already.
    pub floor: Option<LogIndex>,
}

/// What goes of a history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Up to and with which entry the log goes; the base of that entry stays.
    pub floor: Option<LogIndex>,
    /// Bases that go.
    pub bases: Vec<BaseName>,
}

/// What may go when `keep` is to stay at a moment. Without any wish nothing goes.
pub fn cut(known: &Known, keep: Keep, now: i64) -> Cut {
    let start = [by_window(known, keep.window, now), by_number(known, keep.bases)];
    let wished = [keep.window.is_some(), keep.bases.is_some()];
    // What either asks for stays: the older start counts.
    let mut starts = start.iter().zip(wished).filter(|(_, wished)| *wished).map(|(start, _)| start);
    let oldest = starts.clone().any(Option::is_none);
    let Some(start) = starts.by_ref().flatten().min().filter(|_| !oldest) else {
        return Cut::default();
    };
    let goes = |(name, _): &&(BaseName, i64)| name < start && !known.pins.contains(name);
    let bases = known.bases.iter().filter(goes).map(|(name, _)| name.clone()).collect();
    let floor = Some(start.index).filter(|floor| Some(*floor) > known.floor);
    Cut { floor, bases }
}

/// The newest base that is not younger than the window; `None`: all of it is needed.
fn by_window(known: &Known, window: Option<Duration>, now: i64) -> Option<BaseName> {
    let window = i64::try_from(window?.as_millis()).unwrap_or(i64::MAX);
    let from = now.saturating_sub(window);
    let older = known.bases.iter().rev().find(|(_, time)| *time <= from);
    older.map(|(name, _)| name.clone())
}

fn by_number(known: &Known, count: Option<usize>) -> Option<BaseName> {
    let skip = count?.max(1) - 1;
    known.bases.iter().rev().nth(skip).map(|(name, _)| name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn base(index: u64) -> BaseName {
        BaseName { index: LogIndex(index), chain: [0; 8] }
    }

    /// Bases of days 10, 20, 30 at entries 100, 200, 300.
    fn known() -> Known {
        let bases = [1, 2, 3].map(|n| (base(n * 100), i64::try_from(n).unwrap_or(0) * 10 * DAY));
        Known { bases: bases.to_vec(), ..Known::default() }
    }

    fn of(known: &Known, days: Option<u64>, bases: Option<usize>) -> (Option<u64>, Vec<u64>) {
        let window = days.map(|days| Duration::from_secs(days * 86_400));
        let cut = cut(known, Keep { window, bases }, 35 * DAY);
        (cut.floor.map(|f| f.0), cut.bases.iter().map(|name| name.index.0).collect())
    }

    #[test]
    fn the_start_of_the_window_and_all_behind_it_stay() {
        assert_eq!(of(&known(), Some(5), None), (Some(300), vec![100, 200]));
        assert_eq!(of(&known(), Some(6), None), (Some(200), vec![100]));
        assert_eq!(of(&known(), Some(25), None), (Some(100), vec![]));
        assert_eq!(of(&known(), Some(26), None), (None, vec![]), "no base is that old");
        assert_eq!(of(&known(), Some(0), None), (Some(300), vec![100, 200]), "the last one stays");
    }

    #[test]
    fn so_many_bases_stay_and_what_either_wish_asks_for() {
        assert_eq!(of(&known(), None, Some(2)), (Some(200), vec![100]));
        assert_eq!(of(&known(), None, Some(0)), (Some(300), vec![100, 200]));
        assert_eq!(of(&known(), None, Some(9)), (None, vec![]));
        assert_eq!(of(&known(), Some(5), Some(2)), (Some(200), vec![100]));
        assert_eq!(of(&known(), Some(26), Some(1)), (None, vec![]));
        assert_eq!(of(&known(), None, None), (None, vec![]));
        assert_eq!(of(&Known::default(), Some(0), Some(1)), (None, vec![]));
    }

    #[test]
    fn pins_stay_and_a_floor_never_sinks() {
        let pinned = Known { pins: BTreeSet::from([base(100)]), ..known() };
        assert_eq!(of(&pinned, Some(5), None), (Some(300), vec![200]));
        let done = Known { floor: Some(LogIndex(300)), ..known() };
        assert_eq!(of(&done, Some(5), None), (None, vec![100, 200]));
    }
}
