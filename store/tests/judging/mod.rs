//! The evaluation of policies against one that is slow and plain: it asks of each day whether
//! anything keeps the email, and whether anybody takes it.

use proptest::prelude::*;
use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::retention::{
    Captured, Facts, Left, Policy, PolicyVersion, Stands, due_places, judge,
};

const DAY: i64 = 24 * 3600 * 1000;
/// Behind this day nothing happens any more.
const LAST: i64 = 120;

fn scope() -> impl Strategy<Value = PolicyScope> {
    let whose = prop_oneof![
        4 => Just(PolicyWhose::All),
        1 => Just(PolicyWhose::Account(AccountId(1))),
        1 => Just(PolicyWhose::Account(AccountId(2))),
        1 => Just(PolicyWhose::Class(ClassId(1))),
        1 => Just(PolicyWhose::Domain("example.org".into())),
    ];
    let mailbox = prop_oneof![
        3 => Just(None),
        1 => Just(Some(PolicyMailbox::Named("A".into()))),
        1 => Just(Some(PolicyMailbox::Named("A/B".into()))),
        1 => Just(Some(PolicyMailbox::Use(SpecialUse::Sent))),
    ];
    let tag = prop_oneof![3 => Just(None), 1 => Just(Some("x".to_owned()))];
    let direction = prop_oneof![
        3 => Just(None),
        1 => Just(Some(PolicyDirection::Received)),
        1 => Just(Some(PolicyDirection::Sent)),
    ];
    (whose, mailbox, tag, direction).prop_map(|(whose, mailbox, tag, direction)| PolicyScope {
        whose,
        mailbox,
        tag,
        direction,
        query: None,
    })
}

fn settings() -> impl Strategy<Value = PolicySettings> {
    let anchor = prop_oneof![
        4 => Just(PolicyAnchor::Received),
        1 => Just(PolicyAnchor::Sent),
        2 => Just(PolicyAnchor::Saved),
        1 => Just(PolicyAnchor::Event("left".into())),
    ];
    let time = || prop::option::of((1u64..40).prop_map(|days| days * 24 * 3600));
    (scope(), anchor, time(), time(), any::<bool>()).prop_map(
        |(scope, anchor, floor, delete, drafts)| PolicySettings {
            name: String::new(),
            scope,
            anchor,
            floor,
            delete,
            drafts,
            review: false,
            daily: None,
        },
    )
}

fn policy() -> impl Strategy<Value = Policy> {
    let version = (prop::option::weighted(0.9, settings()), 0..40_i64, any::<bool>());
    prop::collection::vec(version, 1..4).prop_map(|said| {
        let mut versions: Vec<PolicyVersion> = Vec::new();
        for (n, (settings, acts, review)) in (1u32..).zip(said) {
            let before = versions.last().map_or(0, |version| version.acts.0 / DAY);
            versions.push(PolicyVersion {
                number: n,
                settings,
                index: LogIndex(u64::from(n)),
                set: Timestamp(0),
                by: Principal::System,
                acts: Timestamp(acts.max(before) * DAY),
                approved: None,
                review,
            });
        }
        Policy { id: PolicyId(0), locked: false, versions }
    })
}

fn policies() -> impl Strategy<Value = Vec<Policy>> {
    prop::collection::vec(policy(), 0..5).prop_map(|mut all| {
        (1..).zip(&mut all).for_each(|(id, policy)| policy.id = PolicyId(id));
        all
    })
}

fn place(n: u32) -> impl Strategy<Value = Stands> {
    let name = prop::sample::select(vec!["INBOX", "A", "A/B", "AB", "Sent"]);
    (name, 0..30_i64, any::<bool>(), prop::collection::vec(1u64..6, 0..2)).prop_map(
        move |(name, saved, tagged, left)| Stands {
            mailbox: MailboxId(n),
            uid: Uid::MIN,
            name: name.to_owned(),
            special_use: (name == "Sent").then_some(SpecialUse::Sent),
            saved: Timestamp(saved * DAY),
            flags: Flags::NONE,
            keywords: if tagged { vec!["X".to_owned()] } else { Vec::new() },
            left: left
                .into_iter()
                .map(|policy| Left { policy: PolicyId(policy), place: true, sent: false })
                .collect(),
        },
    )
}

fn facts() -> impl Strategy<Value = Facts> {
    let captured = prop::collection::vec((1u64..6, 0..30_i64), 0..3);
    let left = prop::collection::vec((1u64..6, 0u64..20), 0..2);
    let event = prop::option::of(0..40_i64);
    (
        (place(1), place(2), any::<bool>()),
        (0..30_i64, 0..30_i64, any::<bool>(), any::<bool>(), any::<bool>()),
        (captured, left, event),
    )
        .prop_map(|((one, two, both), (entered, dated, delivered, draft, class), rest)| {
            let (captured, left, event) = rest;
            Facts {
                account: AccountId(1),
                domain: "example.org".into(),
                class: class.then_some(ClassId(1)),
                email: EmailId::default(),
                came: LogIndex(10),
                entered: Timestamp(entered * DAY),
                dated: Timestamp(dated * DAY),
                delivered,
                draft,
                places: if both { vec![one, two] } else { vec![one] },
                expunged: None,
                captured: captured
                    .into_iter()
                    .map(|(policy, at)| Captured {
                        policy: PolicyId(policy),
                        anchor: Timestamp(at * DAY),
                    })
                    .collect(),
                labels: Vec::new(),
                left: left.into_iter().map(|(id, at)| (PolicyId(id), LogIndex(at))).collect(),
                events: event
                    .map(|at| ("left".to_owned(), Timestamp(at * DAY)))
                    .into_iter()
                    .collect(),
                asked: Vec::new(),
            }
        })
}

fn acts(version: &PolicyVersion, now: i64) -> bool {
    version.acts.0 <= now * DAY && !version.review
}

/// What counts: a version before which none acts that came later.
fn counting(policy: &Policy, now: i64) -> Vec<&PolicyVersion> {
    let later = |n: usize| policy.versions[n + 1..].iter().any(|version| acts(version, now));
    let all = policy.versions.iter().enumerate();
    all.filter(|(n, _)| !later(*n)).map(|(_, version)| version).collect()
}

fn fits(scope: &PolicyScope, facts: &Facts, place: &Stands, was_there: bool) -> bool {
    let mailbox = match &scope.mailbox {
        None => true,
        Some(_) if was_there => true,
        Some(PolicyMailbox::Named(name)) => {
            place.name == *name || place.name.starts_with(&format!("{name}/"))
        }
        Some(PolicyMailbox::Use(_)) => place.name == "Sent",
    };
    let tag = scope.tag.is_none() || !place.keywords.is_empty();
    let direction = match scope.direction {
        None => true,
        Some(PolicyDirection::Received) => facts.delivered,
        Some(PolicyDirection::Sent) => facts.places.iter().any(|place| place.name == "Sent"),
    };
    mailbox && tag && direction
}

fn of_account(scope: &PolicyScope, facts: &Facts) -> bool {
    match &scope.whose {
        PolicyWhose::All => true,
        PolicyWhose::Account(account) => account.0 == 1,
        PolicyWhose::Class(_) => facts.class.is_some(),
        PolicyWhose::Domain(domain) => domain == "example.org",
    }
}

fn days(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap() / 24 / 3600
}

/// Whether anything keeps the email on a day.
fn kept(all: &[Policy], facts: &Facts, now: i64, day: i64) -> bool {
    all.iter().any(|policy| {
        counting(policy, now).into_iter().any(|version| {
            let Some(said) = &version.settings else { return false };
            let Some(floor) = said.floor else { return false };
            if facts.draft && !said.drafts {
                return false;
            }
            let left = facts.left.iter().any(|(id, at)| *id == policy.id && at.0 >= 10);
            let mut starts: Vec<i64> = Vec::new();
            if of_account(&said.scope, facts) || left {
                for place in &facts.places {
                    if fits(
                        &said.scope,
                        facts,
                        place,
                        place.left.iter().any(|left| left.policy == policy.id),
                    ) {
                        starts.push(match said.anchor {
                            PolicyAnchor::Saved => place.saved.0,
                            _ => facts.entered.0,
                        });
                    }
                }
            }
            let own = facts.captured.iter().filter(|captured| captured.policy == policy.id);
            starts.extend(own.map(|captured| captured.anchor.0));
            if let PolicyAnchor::Event(_) = said.anchor {
                let event = facts.events.first().map(|(_, at)| at.0);
                let at = |at: i64| at / DAY + days(floor) > day;
                return !starts.is_empty() && event.is_none_or(at);
            }
            starts.into_iter().any(|start| start / DAY + days(floor) > day)
        })
    })
}

/// Whether a policy takes a placement on a day.
fn takes(policy: &Policy, facts: &Facts, place: &Stands, now: i64, day: i64) -> bool {
    let counting = counting(policy, now);
    let any_acts = policy.versions.iter().any(|version| acts(version, now));
    any_acts
        && counting.into_iter().all(|version| {
            let Some(said) = &version.settings else { return false };
            let Some(delete) = said.delete else { return false };
            let start = match &said.anchor {
                PolicyAnchor::Received => Some(facts.entered.0),
                PolicyAnchor::Sent => Some(facts.entered.0.min(facts.dated.0)),
                PolicyAnchor::Saved => Some(place.saved.0),
                PolicyAnchor::Event(_) => facts.events.first().map(|(_, at)| at.0),
                PolicyAnchor::Labelled => None,
            };
            of_account(&said.scope, facts)
                && fits(&said.scope, facts, place, false)
                && start.is_some_and(|start| start / DAY + days(delete) <= day)
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn judgement_is_what_looking_at_each_day_says(
        all in policies(),
        facts in facts(),
        now in 0..60_i64,
    ) {
        let verdict = judge(&all, &facts, Timestamp(now * DAY));
        for day in 0..LAST {
            let keeps = verdict.kept_by(Timestamp(day * DAY)).is_some();
            prop_assert_eq!(keeps, kept(&all, &facts, now, day), "kept on day {}", day);
        }
        let someone = |day: i64| all.iter().any(|policy| {
            facts.places.iter().any(|place| takes(policy, &facts, place, now, day))
        });
        let goes = (0..LAST).find(|day| someone(*day) && !kept(&all, &facts, now, *day));
        prop_assert_eq!(verdict.goes().map(|time| time.0 / DAY), goes);
        for policy in &all {
            let due = due_places(policy, &facts, Timestamp(now * DAY));
            for place in &facts.places {
                let expected = takes(policy, &facts, place, now, now);
                prop_assert_eq!(due.contains(&(place.mailbox, place.uid)), expected);
            }
        }
    }
}
