//! Figures of a run: how many operations and how quick, and how long nothing was acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fault::Kind;
use crate::history::{Dot, Outcome};
use crate::run::Episode;

/// Operations of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operations {
    /// Acknowledged.
    pub done: usize,
    /// Refused.
    pub refused: usize,
    /// Without an answer.
    pub unknown: usize,
    /// Of the acknowledged: half took no longer.
    pub p50: Duration,
    /// 99 of 100 took no longer.
    pub p99: Duration,
    /// The longest.
    pub longest: Duration,
}

/// By kind.
pub fn operations(dots: &[Dot]) -> BTreeMap<&'static str, Operations> {
    let mut times: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    let mut all: BTreeMap<&'static str, Operations> = BTreeMap::new();
    for dot in dots {
        let operations = all.entry(dot.kind).or_default();
        match dot.outcome {
            Outcome::Done => {
                operations.done += 1;
                times.entry(dot.kind).or_default().push(dot.took);
            }
            Outcome::Refused => operations.refused += 1,
            Outcome::Unknown => operations.unknown += 1,
        }
    }
    for (kind, mut times) in times {
        times.sort_unstable();
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        if let Some(operations) = all.get_mut(kind) {
            (operations.p50, operations.p99, operations.longest) = (at(0.5), at(0.99), at(1.0));
        }
    }
    all
}

/// When operations were acknowledged, rising.
pub fn acknowledged(dots: &[Dot]) -> Vec<Duration> {
    let done = dots.iter().filter(|dot| dot.outcome == Outcome::Done);
    let mut times: Vec<Duration> = done.map(|dot| dot.asked + dot.took).collect();
    times.sort_unstable();
    times
}

/// The longest time within which nothing at all was acknowledged, of those that reach into this
/// span; the span's ends count as acknowledgements beyond which nothing is known.
pub fn longest_silence(acknowledged: &[Duration], from: Duration, until: Duration) -> Duration {
    let first = acknowledged.partition_point(|at| *at <= from);
    let mut before = first.checked_sub(1).map_or(from, |n| acknowledged[n]);
    let mut longest = Duration::ZERO;
    for at in &acknowledged[first..] {
        longest = longest.max(*at - before);
        before = *at;
        if *at > until {
            return longest;
        }
    }
    longest.max(until.saturating_sub(before))
}

/// What is known of a kind of fault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kinds {
    /// How often it was struck.
    pub struck: usize,
    /// How often that was felt.
    pub felt: usize,
    /// The longest time without any acknowledgement, from the fault until all was whole again.
    pub silence: Duration,
    /// The longest time from healing until all was whole again; none if it never was.
    pub whole: Option<Duration>,
}

/// By kind of fault.
pub fn kinds(episodes: &[Episode], acknowledged: &[Duration]) -> BTreeMap<Kind, Kinds> {
    let mut all: BTreeMap<Kind, Kinds> = BTreeMap::new();
    for episode in episodes {
        let known = all
            .entry(episode.kind)
            .or_insert_with(|| Kinds { whole: Some(Duration::ZERO), ..Kinds::default() });
        known.struck += 1;
        known.felt += usize::from(episode.effect.felt());
        known.silence = known.silence.max(silence(episode, acknowledged));
        let took = episode.whole.map(|whole| whole.saturating_sub(episode.until));
        known.whole = known.whole.zip(took).map(|(longest, took)| longest.max(took));
    }
    all
}

/// The longest silence of one episode.
pub fn silence(episode: &Episode, acknowledged: &[Duration]) -> Duration {
    longest_silence(acknowledged, episode.from, episode.whole.unwrap_or(episode.until))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(times: &[u64]) -> Vec<Duration> {
        times.iter().map(|time| Duration::from_secs(*time)).collect()
    }

    #[test]
    fn silence_is_between_acknowledgements() {
        let acknowledged = seconds(&[1, 2, 9, 10, 11, 30]);
        let longest = |from, until| {
            let at = Duration::from_secs;
            longest_silence(&acknowledged, at(from), at(until)).as_secs()
        };
        assert_eq!(longest(3, 5), 7);
        assert_eq!(longest(9, 11), 19);
        assert_eq!(longest(9, 10), 1);
        assert_eq!(longest(31, 40), 10);
        assert_eq!(longest(0, 1), 1);
    }

    #[test]
    fn operations_are_counted_by_kind_and_outcome() {
        let dot = |took, outcome| Dot {
            asked: Duration::ZERO,
            took: Duration::from_millis(took),
            kind: "deliver",
            node: 1,
            outcome,
        };
        let mut dots: Vec<Dot> = (1..=100).map(|took| dot(took, Outcome::Done)).collect();
        dots.push(dot(60_000, Outcome::Unknown));
        let all = operations(&dots);
        let deliver = &all["deliver"];
        assert_eq!((deliver.done, deliver.refused, deliver.unknown), (100, 0, 1));
        let times = [deliver.p50, deliver.p99, deliver.longest].map(|time| time.as_millis());
        assert_eq!(times, [50, 99, 100]);
    }
}
