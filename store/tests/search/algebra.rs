//! AND, OR and NOT over everything, against an evaluator that knows all at once.

use std::sync::OnceLock;

use proptest::prelude::*;
use redoubt_log::record::Flags;
use redoubt_store::search::SearchKey;

use crate::world::{World, body, not, or, text};

/// Thirty-two messages: each bit of the number is one property.
fn world() -> &'static [Vec<u32>] {
    static LEAVES: OnceLock<Vec<Vec<u32>>> = OnceLock::new();
    LEAVES.get_or_init(|| {
        (0..5).map(|bit| (1..=32).filter(|n| (n - 1) >> bit & 1 == 1).collect()).collect()
    })
}

fn messages() -> World {
    let mut world = World::default();
    for n in 0..32u32 {
        let has = |bit: u32, text: &'static str| if n >> bit & 1 == 1 { text } else { "-" };
        let message = format!(
            "Subject: {n} {}\r\nX-Text: {}\r\n\r\n{}",
            has(2, "subject"),
            has(3, "anywhere"),
            has(4, "inside")
        );
        world.add(message.as_bytes(), |c| {
            c.recent = n & 1 == 1;
            c.placement.flags = if n & 2 == 2 { Flags::SEEN } else { Flags::NONE };
        });
    }
    world
}

fn leaf(bit: usize) -> SearchKey {
    match bit {
        0 => SearchKey::Recent,
        1 => SearchKey::Flags(Flags::SEEN),
        2 => SearchKey::Subject("subject".into()),
        3 => text("anywhere"),
        _ => body("inside"),
    }
}

/// The key, and what it must find.
type Case = (SearchKey, Vec<u32>);

fn case() -> impl Strategy<Value = Case> {
    let leaf = (0..5usize).prop_map(|bit| (leaf(bit), world()[bit].clone()));
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|(key, found)| {
                (not(key), (1..=32).filter(|n| !found.contains(n)).collect())
            }),
            (inner.clone(), inner.clone()).prop_map(|((a, left), (b, right))| {
                let either = (1..=32).filter(|n| left.contains(n) || right.contains(n));
                (or(a, b), either.collect())
            }),
            proptest::collection::vec(inner, 0..4).prop_map(|cases| {
                let every = (1..=32).filter(|n| cases.iter().all(|(_, found)| found.contains(n)));
                let found = every.collect();
                (SearchKey::And(cases.into_iter().map(|(key, _)| key).collect()), found)
            }),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_combination_finds_what_it_says((key, expected) in case()) {
        prop_assert_eq!(messages().find(key), expected);
    }
}
