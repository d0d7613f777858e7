//! SORT and THREAD of any mail are what the RFC's own steps make of it: dates that are missing or
//! the same, ids that come twice, references that are broken, that go in circles and that name
//! what is not there.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use redoubt_log::id::{Timestamp, Uid};
use redoubt_store::mime::{Outline, parse};
use redoubt_store::search::{Facts, Head, Sheet, SortCriterion, SortKey, Step, ThreadAlgorithm};
use redoubt_tests::model::arranging::{self, Letter};

const KEYS: [(&str, SortKey); 7] = [
    ("ARRIVAL", SortKey::Arrival),
    ("DATE", SortKey::Date),
    ("SIZE", SortKey::Size),
    ("SUBJECT", SortKey::Subject),
    ("FROM", SortKey::From),
    ("TO", SortKey::To),
    ("CC", SortKey::Cc),
];

/// What a letter is on its way.
struct Post {
    letter: Letter,
    header: String,
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["", "ann", "Ann", "bob", "carl", "émile"]).prop_map(str::to_owned)
}

fn ids() -> impl Strategy<Value = Vec<String>> {
    vec((0..9_u8).prop_map(|n| format!("{n}@x")), 0..4)
}

fn post() -> impl Strategy<Value = Post> {
    let subject = prop::sample::select(vec!["", "tea", "TEA", "milk", "süß"]);
    let prefix = prop::sample::select(vec!["", "Re: ", "[list] ", "Fwd: [list] ", "[fwd: "]);
    let times = (option::of(0..4_i64), 0..4_i64, 0..3_u64);
    let people = (name(), name(), name());
    let id = option::of((0..9_u8).prop_map(|n| format!("{n}@x")));
    let broken = prop::sample::select(vec!["", " not an id", " <> <", " (<9@x>)"]);
    ((subject, prefix), times, people, (id, ids(), ids(), broken))
        .prop_map(
            |(
                (subject, prefix),
                (sent, received, size),
                (from, to, cc),
                (id, refs, reply, broken),
            )| {
                let closing = if prefix == "[fwd: " { "]" } else { "" };
                let mut header = format!("Subject: {prefix}{subject}{closing}\r\n");
                // Hours of one day; what does not read counts as none.
                header += &match sent {
                    Some(hour) => format!("Date: Thu, 1 Jan 1970 0{hour}:00:00 +0000\r\n"),
                    None => "Date: some day\r\n".to_owned(),
                };
                for (field, name) in [("From", &from), ("To", &to), ("Cc", &cc)] {
                    if !name.is_empty() {
                        header += &format!("{field}: <{name}@example.org>, zoe@example.org\r\n");
                    }
                }
                if let Some(id) = &id {
                    header += &format!("Message-ID: <{id}>\r\n");
                }
                let list =
                    |ids: &[String]| ids.iter().map(|id| format!(" <{id}>")).collect::<String>();
                header += &format!("References:{}{broken}\r\n", list(&refs));
                header += &format!("In-Reply-To:{broken}{}\r\n\r\n", list(&reply));
                // A list's tag alone is the subject (RFC 5256 section 2.1, step 5).
                let base = match (subject, prefix) {
                    ("", "[list] " | "Fwd: [list] ") => "[LIST]".to_owned(),
                    _ => redoubt_store::search::casemap(subject),
                };
                let mapped = |name: &str| redoubt_store::search::casemap(name);
                let reply_or_forward = !matches!(prefix, "" | "[list] ");
                let letter = Letter {
                    sent: sent.map(|hour| hour * 3_600_000),
                    received: received * 3_600_000,
                    size,
                    base,
                    reply: reply_or_forward,
                    from: mapped(&from),
                    to: mapped(&to),
                    cc: mapped(&cc),
                    id,
                    references: refs,
                    in_reply_to: reply,
                };
                Post { letter, header }
            },
        )
        .boxed()
}

impl std::fmt::Debug for Post {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} received {}", self.header, self.letter.received)
    }
}

fn outline(post: &Post) -> Outline {
    let parsed = parse(post.header.as_bytes());
    Outline::of(&parsed, parsed.header.as_deref().unwrap())
}

fn letters(mail: &[Post]) -> Vec<Letter> {
    mail.iter().map(|post| post.letter.clone()).collect()
}

/// What is known of mail is known in any order: those with an odd number come after the others,
/// and each also without its header before. Some UIDs are of messages that are gone.
fn sheet(mail: &[Post]) -> (Sheet, Vec<Uid>) {
    let mut sheet = Sheet::default();
    let gone = Outline { subject: "TEA".into(), ..Outline::default() };
    let uids: Vec<Uid> = (1..).zip(mail).map(|(n, _)| Uid::new(3 * n).unwrap()).collect();
    let turns = [(1, false), (0, true), (1, true), (0, true)];
    for (turn, (odd, heads)) in turns.into_iter().enumerate() {
        for (at, (post, uid)) in mail.iter().zip(&uids).enumerate().filter(|(at, _)| at % 2 == odd)
        {
            let Letter { received, size, .. } = post.letter;
            let outline = outline(post);
            let head = match (heads, turn) {
                (false, _) => Head::Unasked,
                (true, 1) if at % 4 == 0 => Head::Unread,
                _ => Head::Read(&outline),
            };
            let facts = Facts { uid: *uid, received: Timestamp(received), size, head };
            let before = Uid::new(uid.get() - 1).unwrap();
            sheet.add(&[Facts { uid: before, head: Head::Read(&gone), ..facts }, facts]).unwrap();
        }
        if turn == 2 {
            sheet.rank();
        }
    }
    assert_eq!((sheet.missing(&uids, false), sheet.missing(&uids, true)), (vec![], vec![]));
    sheet.rank();
    (sheet, uids)
}

fn threads(mail: &[Post], algorithm: ThreadAlgorithm) -> String {
    let (sheet, uids) = sheet(mail);
    let forest = sheet.thread(&uids, algorithm, &|| false).unwrap().unwrap();
    let said = |step| match step {
        Step::Open => "(".to_owned(),
        Step::Close => ")".to_owned(),
        Step::Space => " ".to_owned(),
        Step::Message(at) => (at + 1).to_string(),
    };
    forest.walk().map(said).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn sorted_as_by_hand(
        mail in vec(post(), 0..16),
        criteria in vec((0..KEYS.len(), any::<bool>()), 1..4),
    ) {
        let named: Vec<(&str, bool)> = criteria.iter().map(|(at, r)| (KEYS[*at].0, *r)).collect();
        let keyed: Vec<SortCriterion> = criteria
            .iter()
            .map(|(at, reverse)| SortCriterion { key: KEYS[*at].1, reverse: *reverse })
            .collect();
        let (sheet, uids) = sheet(&mail);
        let order = sheet.order(&uids, &[], &keyed, &|| false).unwrap();
        let order: Vec<usize> = order.into_iter().map(|at| at as usize + 1).collect();
        prop_assert_eq!(order, arranging::sort(&letters(&mail), &named));
    }

    #[test]
    fn threaded_by_subject_as_by_hand(mail in vec(post(), 0..16)) {
        let expected = arranging::ordered_subject(&letters(&mail));
        prop_assert_eq!(threads(&mail, ThreadAlgorithm::OrderedSubject), expected);
    }

    #[test]
    fn threaded_by_references_as_by_hand(mail in vec(post(), 0..16)) {
        let expected = arranging::references(&letters(&mail));
        prop_assert_eq!(threads(&mail, ThreadAlgorithm::References), expected);
    }
}

/// Chains whose links are asked for again and again, from their ends: quadratic for who walks
/// them.
#[test]
fn long_chains_take_no_long_time() {
    let (mut sheet, mut uids) = (Sheet::default(), Vec::new());
    let id = |n: u32| redoubt_store::mime::Print::of(&n.to_be_bytes());
    let mut push = |own: u32, references: Vec<u32>| {
        let references = references.into_iter().map(id).collect();
        let outline = Outline { id: Some(id(own)), references, ..Outline::default() };
        let uid = Uid::new(own).unwrap();
        let (received, head) = (Timestamp(0), Head::Read(&outline));
        sheet.add(&[Facts { uid, received, size: 0, head }]).unwrap();
        uids.push(uid);
    };
    const LONG: u32 = 60_000;
    for n in 1..LONG {
        push(n, vec![n - 1]);
    }
    // Each names a child of the chain's top below the chain's end.
    for n in LONG..2 * LONG {
        push(n, vec![LONG - 1, 1]);
    }
    let forest = sheet.thread(&uids, ThreadAlgorithm::References, &|| false).unwrap().unwrap();
    let depth = forest.walk().take_while(|step| *step != Step::Close).count();
    assert!(depth > LONG as usize, "{depth}");
    assert_eq!(
        forest.walk().filter(|s| matches!(s, Step::Message(_))).count(),
        2 * LONG as usize - 1
    );
}
