//! The scan itself: the cheapest order, cancellation, damage.

use std::sync::atomic::{AtomicBool, Ordering};

use redoubt_log::record::Flags;
use redoubt_store::search::{Query, SearchError, SearchKey, search};

use crate::world::{World, body, not, or, text};

fn two() -> World {
    let mut world = World::default();
    world.add(b"Subject: one\r\n\r\nneedle", |c| c.placement.flags = Flags::SEEN);
    world.add(b"Subject: two\r\n\r\nneedle", |_| {});
    world
}

fn subject(value: &str) -> SearchKey {
    SearchKey::Subject(value.into())
}

#[test]
fn what_is_settled_earlier_opens_no_message() {
    let seen = || SearchKey::Flags(Flags::SEEN);
    for (key, found, parsed, opened) in [
        (SearchKey::And(vec![body("needle"), seen()]), vec![1], 1, 1),
        (SearchKey::And(vec![body("needle"), subject("two"), seen()]), vec![], 1, 0),
        (or(body("none"), seen()), vec![1], 1, 1),
        (or(body("needle"), subject("one")), vec![1, 2], 2, 1),
        (not(SearchKey::And(vec![text("needle"), not(seen())])), vec![1], 1, 1),
        (SearchKey::And(vec![body("needle"), text("one"), body("x")]), vec![], 2, 2),
    ] {
        let world = two();
        assert_eq!(world.find(key.clone()), found, "{key:?}");
        assert_eq!((world.parsed.get(), world.opened.get()), (parsed, opened), "{key:?}");
    }
}

#[test]
fn a_search_says_whether_it_opens_messages() {
    let opens = |key| Query::new(&key, &two().scope()).opens_messages();
    assert!(!opens(not(SearchKey::Flags(Flags::SEEN))));
    assert!(!opens(text("")));
    assert!(opens(not(subject("x"))));
    assert!(opens(SearchKey::And(vec![SearchKey::All, body("x")])));
}

#[test]
fn a_cancelled_search_ends_before_the_next_message() {
    let world = two();
    let query = Query::new(&body("needle"), &world.scope());
    let cancel = AtomicBool::new(false);
    let candidates = world.all.iter().map(|candidate| {
        cancel.store(candidate.sequence == 2, Ordering::Relaxed);
        Ok(candidate.clone())
    });
    let result = search(&world, candidates, &query, &cancel);
    assert!(matches!(result, Err(SearchError::Cancelled)));
    assert_eq!(world.opened.get(), 1);
}

#[test]
fn damage_is_an_error_and_only_where_it_is_read() {
    let mut world = two();
    world.lose(2);
    let run = |key: SearchKey| {
        let query = Query::new(&key, &world.scope());
        search(&world, world.all.iter().cloned().map(Ok), &query, &AtomicBool::new(false))
    };
    assert!(matches!(run(body("needle")), Err(SearchError::Store(_))));
    let seen = SearchKey::Flags(Flags::SEEN);
    assert_eq!(run(SearchKey::And(vec![seen, body("needle")])).unwrap().len(), 1);
}
