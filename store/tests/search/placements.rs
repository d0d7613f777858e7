//! Keys that need no message.

use std::num::NonZeroU32;

use redoubt_log::id::{ModSeq, Timestamp};
use redoubt_log::record::Flags;
use redoubt_store::search::{Day, Query, SearchKey, SequenceSet, SetNumber};

use crate::world::{DAY, NOW, World, not, or};

const TODAY: Day = Day(19_754);

/// 1: seen, old, small. 2: flagged, recent. 3: a keyword, large, new thread.
fn three() -> World {
    let mut world = World::default();
    world.add(b"\r\n1", |c| {
        c.placement.flags = Flags::SEEN.with(Flags::ANSWERED);
        c.placement.received = Timestamp(NOW.0 - 2 * DAY);
        c.placement.saved = Timestamp(NOW.0 - DAY);
        c.placement.size = 10;
    });
    world.add(b"\r\n2", |c| {
        c.placement.flags = Flags::FLAGGED.with(Flags::DELETED).with(Flags::DRAFT);
        c.recent = true;
        c.placement.size = 20;
        c.placement.received = Timestamp(i64::from(TODAY.0) * DAY);
    });
    world.add(b"\r\n3", |c| {
        c.placement.keywords = vec!["$Junk".into(), "x".into()];
        c.placement.size = 30;
        c.placement.received = Timestamp(i64::from(TODAY.0) * DAY + DAY - 1);
        c.placement.saved = Timestamp(NOW.0 + DAY);
    });
    world
}

fn number(n: u32) -> SetNumber {
    SetNumber::Number(NonZeroU32::new(n).unwrap())
}

fn set(first: SetNumber, last: SetNumber) -> SequenceSet {
    SequenceSet::range(first, last)
}

#[test]
fn each_key_finds_its_own() {
    let world = three();
    let flag = SearchKey::Flags;
    let yesterday = Day(TODAY.0 - 1);
    for (key, expected) in [
        (SearchKey::All, vec![1, 2, 3]),
        (SearchKey::And(vec![]), vec![1, 2, 3]),
        (flag(Flags::SEEN), vec![1]),
        (not(flag(Flags::SEEN)), vec![2, 3]),
        (flag(Flags::ANSWERED), vec![1]),
        (flag(Flags::FLAGGED), vec![2]),
        (flag(Flags::DELETED), vec![2]),
        (flag(Flags::DRAFT), vec![2]),
        (flag(Flags::DRAFT.with(Flags::SEEN)), vec![]),
        (SearchKey::Keyword("$junk".into()), vec![3]),
        (SearchKey::Keyword("$Junk2".into()), vec![]),
        (not(SearchKey::Keyword("X".into())), vec![1, 2]),
        (SearchKey::Recent, vec![2]),
        (not(SearchKey::Recent), vec![1, 3]),
        (SearchKey::And(vec![SearchKey::Recent, not(flag(Flags::SEEN))]), vec![2]),
        (SearchKey::Before(TODAY), vec![1]),
        (SearchKey::On(TODAY), vec![2, 3]),
        (SearchKey::Since(TODAY), vec![2, 3]),
        (SearchKey::Since(Day(TODAY.0 - 2)), vec![1, 2, 3]),
        (SearchKey::Before(Day(i32::MIN)), vec![]),
        (SearchKey::SavedBefore(TODAY), vec![1]),
        (SearchKey::SavedOn(yesterday), vec![1]),
        (SearchKey::SavedSince(TODAY), vec![2, 3]),
        (SearchKey::SaveDateSupported, vec![1, 2, 3]),
        (SearchKey::Larger(20), vec![3]),
        (SearchKey::Smaller(20), vec![1]),
        (SearchKey::Smaller(0), vec![]),
        (SearchKey::Larger(u64::MAX), vec![]),
        (SearchKey::ModSeq(ModSeq(200)), vec![2, 3]),
        (SearchKey::ModSeq(ModSeq(0)), vec![1, 2, 3]),
        (SearchKey::EmailId("e2-0".into()), vec![2]),
        (SearchKey::ThreadId("t3-0".into()), vec![3]),
        (SearchKey::EmailId("t2-0".into()), vec![]),
        (SearchKey::Older(86_400), vec![1]),
        (SearchKey::Younger(86_400), vec![2, 3]),
        (SearchKey::Older(2 * 86_400), vec![1]),
        (SearchKey::Older(u32::MAX), vec![]),
        (SearchKey::Sequence(set(number(2), SetNumber::Star)), vec![2, 3]),
        (SearchKey::Sequence(set(SetNumber::Star, SetNumber::Star)), vec![3]),
        (SearchKey::Uid(set(number(10), number(20))), vec![1, 2]),
        (SearchKey::Uid(set(number(1), number(9))), vec![]),
        (SearchKey::Uid(set(number(99), SetNumber::Star)), vec![3]),
        (or(flag(Flags::SEEN), SearchKey::Recent), vec![1, 2]),
        (not(or(flag(Flags::SEEN), SearchKey::Recent)), vec![3]),
    ] {
        assert_eq!(world.find(key.clone()), expected, "{key:?}");
    }
    assert_eq!((world.parsed.get(), world.opened.get()), (0, 0));
}

#[test]
fn sets_bound_what_need_be_looked_at() {
    let world = three();
    let bounds = |key: SearchKey| {
        let query = Query::new(&key, &world.scope());
        (query.uids().map(<[_]>::to_vec), query.sequences().map(<[_]>::to_vec))
    };
    let uids = || SearchKey::Uid(set(number(20), SetNumber::Star));
    let sequences = || SearchKey::Sequence(set(number(1), number(2)));
    assert_eq!(bounds(uids()), (Some(vec![20..=30]), None));
    assert_eq!(
        bounds(SearchKey::And(vec![SearchKey::Recent, sequences(), uids()])),
        (Some(vec![20..=30]), Some(vec![1..=2]))
    );
    assert_eq!(bounds(or(uids(), SearchKey::Recent)), (None, None));
    assert_eq!(bounds(not(uids())), (None, None));
}
