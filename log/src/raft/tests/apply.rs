//! The apply thread by itself.

use std::sync::{Arc, mpsc};

use futures_util::{FutureExt, stream};
use openraft::storage::RaftStateMachine;

use super::{record, toy};
use crate::id::{Hash, LogIndex, Term};
use crate::raft::apply::{AppliedCell, Applier};
use crate::raft::stop::{StopCell, Stopped};
use crate::raft::storage::DurableMark;
use crate::raft::types::{Entry, Proposal};
use crate::segment::{EntryKind, LogEntry, LogId};

fn entry(index: u64) -> Entry {
    let payload = Proposal::new(&record(index)).unwrap().payload().to_vec();
    let stored = LogEntry {
        id: id(index),
        kind: EntryKind::Record,
        time: record(index).stamp,
        stamp: record(index).stamp,
        payload: payload.into(),
        chain: Hash([index as u8; 32]),
        position: index,
    };
    Entry::from_log(stored).unwrap()
}

fn id(index: u64) -> LogId {
    LogId { term: Term(1), index: LogIndex(index) }
}

struct Rig {
    views: toy::Views,
    applier: Applier,
    durable: Arc<DurableMark>,
    stop: StopCell,
    thread: crate::raft::apply::ApplyHandle,
}

fn rig(toy: impl FnOnce(&toy::Views) -> toy::Toy, durable: Option<LogId>) -> Rig {
    let (views, stop) = (toy::Views::default(), StopCell::new());
    let durable = Arc::new(DurableMark::new(durable));
    let (applied, machine) = (Arc::new(AppliedCell::default()), Box::new(toy(&views)));
    let (applier, thread) =
        Applier::start("test", machine, applied, durable.clone(), stop.clone()).unwrap();
    Rig { views, applier, durable, stop, thread }
}

fn given(entries: impl IntoIterator<Item = u64>) -> Vec<std::io::Result<Given>> {
    entries.into_iter().map(|index| Ok((entry(index), None))).collect()
}

type Given = openraft::storage::EntryResponder<crate::raft::types::TypeConfig>;

#[tokio::test]
async fn nothing_is_applied_before_it_is_durable() {
    let (comes, coming) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let with = |views: &toy::Views| {
        let mut toy = views.toy();
        toy.before = Some((comes, wait));
        toy
    };
    let mut rig = rig(with, Some(id(0)));
    go.send(()).unwrap();
    rig.applier.apply(stream::iter(given([0]))).await.unwrap();
    assert_eq!(coming.try_recv(), Ok(LogIndex(0)));

    let mut apply = Box::pin(rig.applier.apply(stream::iter(given([1, 2]))));
    assert!(apply.as_mut().now_or_never().is_none());
    rig.durable.advance(Some(id(1)), &Ok(()));
    assert!(apply.as_mut().now_or_never().is_none());
    assert!(coming.try_recv().is_err(), "the batch waits for its last entry");
    go.send(()).and_then(|()| go.send(())).unwrap();
    rig.durable.advance(Some(id(2)), &Ok(()));
    apply.await.unwrap();
    assert_eq!(coming.try_iter().collect::<Vec<_>>(), [LogIndex(1), LogIndex(2)]);
}

#[tokio::test]
async fn what_was_applied_is_skipped_and_a_gap_stops() {
    let mut rig = rig(toy::Views::toy, Some(id(99)));
    rig.applier.apply(stream::iter(given([0, 1, 2]))).await.unwrap();
    rig.applier.apply(stream::iter(given([1, 2, 3]))).await.unwrap();
    let seen: Vec<u64> = rig.views.now().seen.iter().map(|(index, _)| index.0).collect();
    assert_eq!(seen, [0, 1, 2, 3]);
    assert!(rig.applier.apply(stream::iter(given([5]))).await.is_err());
    assert!(matches!(rig.stop.get(), Some(Stopped::Fatal(_))));
    drop(rig.applier);
    assert!(rig.thread.ended().await.unwrap().is_err());
    assert_eq!(rig.views.flushed().seen, [], "nothing is flushed after a failure");
}

#[tokio::test]
async fn a_mark_holds_over_a_truncation() {
    let mark = DurableMark::new(None);
    let at = |term, index| LogId { term: Term(term), index: LogIndex(index) };
    mark.advance(Some(at(1, 9)), &Ok(()));
    mark.advance(Some(at(2, 5)), &Ok(()));
    mark.wait(at(1, 4)).await.unwrap();
    mark.wait(at(2, 5)).await.unwrap();
    mark.advance(None, &Err(crate::segment::LogError::Closed));
    assert!(mark.wait(at(2, 6)).await.is_err());
    mark.wait(at(2, 5)).await.unwrap();
}
