//! Random queries of random mail in random histories: what is found is what plain reading of the
//! model finds, now and at past moments.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
#![allow(unreachable_pub)]

mod operations;
mod worlds;

use std::cell::Cell;

use operations::{Step, steps, to_record};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redoubt_log::id::AccountId;
use redoubt_log::record::{Actor, Change, HoldScope, HoldSet};
use redoubt_tests::model::{Asked, Doings, queries};
use worlds::World;

fn asked() -> impl Strategy<Value = Asked> {
    let small = || any::<u8>();
    let one = prop_oneof![
        4 => (small(), small()).prop_map(|(place, word)| Asked::Text(place, word)),
        2 => (small(), 0..4u8, small(), small()).prop_map(|(p, gap, a, b)| Asked::Near(p, gap, a, b)),
        1 => (0..2u8).prop_map(Asked::Has),
        2 => (small(), small(), small()).prop_map(|(role, how, who)| Asked::Person(role, how, who)),
        1 => small().prop_map(Asked::Kind),
        2 => (small(), any::<bool>()).prop_map(|(name, under)| Asked::In(name, under)),
        1 => small().prop_map(Asked::Keyword),
        2 => small().prop_map(Asked::Is),
        3 => (small(), small(), small()).prop_map(|(clock, from, to)| Asked::Time(clock, from, to)),
        1 => (small(), small()).prop_map(|(clock, day)| Asked::Day(clock, day)),
        1 => (0..60u64, 0..60u64).prop_map(|(least, most)| Asked::Size(least, most)),
        1 => (1..6u32, 0..4u32).prop_map(|(first, more)| Asked::Uid(first, more)),
        1 => (0..120u64).prop_map(Asked::ModSeq),
        1 => small().prop_map(Asked::MessageId),
        1 => (0..3u8, small()).prop_map(|(kind, n)| Asked::Id(kind, n)),
        1 => Just(Asked::Gone),
        1 => (0..5u8).prop_map(Asked::DeletedBy),
        1 => small().prop_map(Asked::MovedFrom),
        1 => any::<bool>().prop_map(Asked::Held),
        1 => small().prop_map(Asked::Indexed),
    ];
    one.prop_recursive(3, 12, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            list().prop_map(Asked::And),
            list().prop_map(Asked::Or),
            inner.clone().prop_map(|one| Asked::Not(Box::new(one))),
        ]
    })
}

/// A history in which not only the system does things.
fn world(steps: &[Step], hold: bool) -> (World, Doings) {
    let mut world = World::new();
    for (n, step) in (1..).zip(steps) {
        world.clock += step.passes();
        let mut record = to_record(step, &world.model, n);
        record.actor = match n % 4 {
            0 => Actor::admin(0),
            1 => Actor::account(AccountId(2), None),
            2 => Actor::account(AccountId(3), None),
            _ => Actor::SYSTEM,
        };
        let _ = world.apply(&record);
    }
    if hold {
        let _ = world.submit(Change::HoldSet(HoldSet::over(HoldScope::Account(AccountId(1)))));
    }
    let doing =
        |logged: &worlds::Logged| (logged.index, (logged.record.actor.clone(), logged.time));
    let doings = world.log.iter().map(doing).collect();
    (world, doings)
}

#[test]
fn queries_find_what_plain_reading_finds() {
    let counts = Cell::new([0, 0]);
    let config = ProptestConfig { cases: 48, ..ProptestConfig::default() };
    let inputs = (steps(20..90), prop::collection::vec(asked(), 12), any::<bool>());
    let run = TestRunner::new(config).run(&inputs, |(steps, asked, hold)| {
        let (world, doings) = world(&steps, hold);
        let [some, none] = queries(&world.view(), &world.model, &doings, &asked, 4);
        let [all_some, all_none] = counts.get();
        counts.set([all_some + some, all_none + none]);
        Ok(())
    });
    run.unwrap_or_else(|error| panic!("{error}"));
    let [some, none] = counts.get();
    assert!(some > 500 && none > 500, "{some} found something, {none} nothing");
}
