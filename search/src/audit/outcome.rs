//! What came of a record: its answer while that is kept (a day of log time, docs/format.md), and
//! after that what the state shows of it.

use redoubt_log::audit::Event;
use redoubt_log::id::AccountId;
use redoubt_log::record::{Change, Done, Outcome, Rejection, Restored};
use redoubt_store::mailstore::StoreError;
use redoubt_store::view::View;

/// Kinds that leave nothing in the state: being in the log is all that they do.
const LEAVE_NOTHING: [u16; 5] = [0x0605, 0x0606, 0x0607, 0x0608, 0x0609];

/// The account that stands for the directory, and for who did what.
const DIRECTORY: AccountId = AccountId(0);

/// A word, and what there is to say beside it.
pub type Told = (Option<String>, Option<String>);

/// What came of an event.
///
/// # Errors
/// The state cannot be read.
pub fn of(view: &View, event: &Event) -> Result<Told, StoreError> {
    let Some(record) = &event.record else { return Ok((Some("done".into()), None)) };
    // What came of what it tells of, not of its being told.
    if let Change::Refused(refused) = &record.change {
        return Ok((Some("refused".into()), Some(refused.reason.clone())));
    }
    match view.outcome(record.operation)? {
        Some(outcome) if outcome.index != event.index => {
            let first = format!("the first is entry {}", outcome.index);
            Ok((Some("repeated".into()), Some(first)))
        }
        Some(outcome) => Ok(answer(&outcome)),
        None => left(view, event),
    }
}

/// By what a record left in the state.
fn left(view: &View, event: &Event) -> Result<Told, StoreError> {
    if LEAVE_NOTHING.contains(&event.number) || view.record(event.index)?.is_some() {
        return Ok((Some("done".into()), None));
    }
    match view.reaches(DIRECTORY, event.index) {
        Ok(()) => {
            let why = "it changed nothing: it was refused, repeated, or had nothing to do";
            Ok((Some("nothing".into()), Some(why.into())))
        }
        Err(StoreError::BelowFloor { .. }) => Ok((None, None)),
        Err(error) => Err(error),
    }
}

fn answer(outcome: &Outcome) -> Told {
    match &outcome.result {
        Err(rejection) => (Some("refused".into()), Some(rejection.to_string())),
        Ok(done) => parts(done),
    }
}

/// Of a record over several things: how many of them were refused, and why the first was.
fn parts(done: &Done) -> Told {
    let of = |all: usize, refused: Vec<&Rejection>| match refused.first() {
        None => (Some("done".to_owned()), None),
        Some(first) => {
            let word = if refused.len() == all { "refused" } else { "partly" };
            (Some(word.to_owned()), Some(format!("{} of {all} refused: {first}", refused.len())))
        }
    };
    match done {
        Done::Delivered(all) | Done::Arrived(all) => {
            of(all.len(), all.iter().filter_map(|one| one.as_ref().err()).collect())
        }
        Done::Changed(all) => {
            of(all.len(), all.iter().filter_map(|one| one.as_ref().err()).collect())
        }
        Done::Marked(all) => {
            of(all.len(), all.iter().filter_map(|one| one.as_ref().err()).collect())
        }
        Done::Dead(all) => of(all.len(), all.iter().filter_map(|one| one.as_ref().err()).collect()),
        Done::Purged(all) => {
            of(all.len(), all.iter().filter_map(|one| one.as_ref().err()).collect())
        }

        Done::Erased(all) => {
            of(all.len(), all.iter().filter_map(|one| one.as_ref().err()).collect())
        }
        Done::Restored(all) => of(all.len(), all.iter().filter_map(failed).collect()),
        _ => (Some("done".to_owned()), None),
    }
}

fn failed(step: &Restored) -> Option<&Rejection> {
    match step {
        Restored::Failed(why) => Some(why),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use redoubt_log::id::Sequence;

    use super::*;

    #[test]
    fn a_part_that_was_refused_is_told() {
        let word = |done: &Done| parts(done).0.unwrap_or_default();
        assert_eq!(word(&Done::Unit), "done");
        assert_eq!(word(&Done::Changed(vec![Ok(Sequence(1))])), "done");
        let some = Done::Changed(vec![Ok(Sequence(1)), Err(Rejection::Gone)]);
        assert_eq!(word(&some), "partly");
        assert!(parts(&some).1.is_some_and(|why| why.starts_with("1 of 2 refused")));
        assert_eq!(word(&Done::Changed(vec![Err(Rejection::Gone)])), "refused");
    }
}
