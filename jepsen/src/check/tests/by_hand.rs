//! Histories written by hand: what is legal though it looks odd, and what is not.

use std::collections::BTreeMap;

use crate::check::state::{Email, Mailbox, NodeState};
use crate::check::{Verdict, judge};
use crate::history::{Ask, Content, Fetched, Heard, History, How, Operation, Outcome, Store};

use Outcome::{Done, Refused, Unknown};

/// An operation of account `s` with INBOX selected, from the first time to the second.
fn by(
    client: &str,
    (asked, ended): (u64, u64),
    outcome: Outcome,
    ask: Ask,
    heard: Vec<Heard>,
) -> Operation {
    let mut operation = Operation::new(client, 1, 1, "s", ask);
    operation.mailbox = "INBOX".into();
    Operation { asked, ended, outcome, heard, ..operation }
}

fn content(token: &str) -> Content {
    Content { token: Ok(token.into()), hash: format!("h-{token}"), whole: "w".into() }
}

/// A mailbox of these: UID, token, MODSEQ, flags.
fn mailbox(id: &str, emails: &[(u32, &str, u64, &[&str])]) -> Mailbox {
    let email = |(uid, token, modseq, flags): &(u32, &str, u64, &[&str])| {
        let flags = flags.iter().map(|flag| (*flag).to_string()).collect();
        let email =
            Email { modseq: *modseq, flags, id: format!("e-{token}"), content: content(token) };
        (*uid, email)
    };
    Mailbox {
        selectable: true,
        validity: if id == "m1" { 7 } else { 8 },
        next: 100,
        highest: 1000,
        id: id.into(),
        emails: emails.iter().map(email).collect(),
    }
}

type Emails<'a> = &'a [(u32, &'a str, u64, &'a [&'a str])];

fn finals(account: &str, inbox: Emails<'_>, archive: Emails<'_>) -> Vec<(u32, NodeState)> {
    let mailboxes = [("INBOX", mailbox("m1", inbox)), ("Archive", mailbox("m2", archive))];
    let mailboxes: BTreeMap<String, Mailbox> =
        mailboxes.into_iter().map(|(name, mailbox)| (name.to_string(), mailbox)).collect();
    vec![(1, NodeState { accounts: [(account.to_string(), mailboxes)].into(), marks: None })]
}

#[track_caller]
fn verdict(name: &str, operations: &[Operation], finals: &[(u32, NodeState)], wrong: Option<&str>) {
    let checked = judge(&History::new(operations.to_vec()), finals);
    let found = checked.into_iter().find(|checked| checked.name == name).unwrap().verdict;
    match (wrong, &found) {
        (None, Verdict::Valid) => {}
        (Some(part), Verdict::Invalid(facts)) if facts.iter().any(|fact| fact.contains(part)) => {}
        _ => panic!("{name} should say {wrong:?}: {found:?}"),
    }
}

fn deliver((asked, ended): (u64, u64), code: Option<u16>) -> Operation {
    let ask = Ask::Deliver { token: "a".into(), hash: "h-a".into(), to: vec!["d".into()] };
    let heard = code.map(|code| Heard::Answered("d".into(), code));
    let outcome = if code.is_some() { Done } else { Unknown };
    Operation {
        account: String::new(),
        ..by("mta", (asked, ended), outcome, ask, heard.into_iter().collect())
    }
}

#[test]
fn deliveries() {
    let check = |tries: &[Option<u16>], times: usize, wrong: Option<&str>| {
        let tries: Vec<Operation> =
            (0..).zip(tries).map(|(n, code)| deliver((n * 10, n * 10 + 5), *code)).collect();
        let emails: Vec<(u32, &str, u64, &[&str])> =
            (1..).take(times).map(|uid| (uid, "a", 1, &[] as &[&str])).collect();
        verdict("deliveries", &tries, &finals("d", &emails, &[]), wrong);
    };
    check(&[Some(250)], 1, None);
    check(&[None, Some(451), Some(250)], 1, None);
    check(&[Some(250), None], 1, None);
    for open in [None, Some(451)] {
        check(&[open], 0, None);
        check(&[open], 1, None);
        check(&[open], 2, Some("2 times"));
        check(&[open, Some(550)], 1, None);
    }
    check(&[Some(550)], 0, None);
    check(&[Some(550)], 1, Some("Refused"));
    check(&[None, Some(250)], 2, Some("2 times"));
    check(&[Some(250)], 0, Some("0 times"));
    verdict(
        "deliveries",
        &[deliver((1, 2), Some(250))],
        &finals("d", &[(1, "b", 1, &[])], &[]),
        Some("nobody sent"),
    );
    let elsewhere = finals("d", &[], &[(1, "a", 1, &[])]);
    verdict("deliveries", &[deliver((1, 2), Some(250))], &elsewhere, None);
}

fn append(token: &str, uid: u32, time: (u64, u64)) -> Operation {
    let ask = Ask::Append {
        mailbox: "INBOX".into(),
        token: token.into(),
        hash: format!("h-{token}"),
        flags: vec!["Blue".into()],
    };
    by("c1", time, Done, ask, vec![Heard::Appended(7, uid)])
}

fn seen(number: u32, uid: u32, modseq: u64, flags: &[&str]) -> Heard {
    let flags = Some(flags.iter().map(|flag| (*flag).to_string()).collect());
    Heard::Fetch(Fetched {
        number,
        uid: Some(uid),
        flags,
        modseq: Some(modseq),
        ..Fetched::default()
    })
}

fn moving(outcome: Outcome, to: Option<u32>) -> Operation {
    let ask = Ask::Move { uids: vec![1], to: "Archive".into() };
    let heard = to.map(|to| Heard::Copied(8, vec![1], vec![to]));
    by("c2", (20, 30), outcome, ask, heard.into_iter().collect())
}

#[test]
fn moves() {
    let here: Emails<'_> = &[(1, "a", 3, &["Blue"])];
    let there: Emails<'_> = &[(5, "a", 9, &["Blue"])];
    let check = |by: Operation, inbox: Emails<'_>, archive: Emails<'_>, wrong: Option<&str>| {
        let operations = [append("a", 1, (1, 5)), by];
        verdict("moves", &operations, &finals("s", inbox, archive), wrong);
    };
    check(moving(Done, Some(5)), &[], there, None);
    check(moving(Done, Some(5)), here, there, Some("moved away"));
    check(moving(Done, Some(5)), &[], &[], Some("nobody removed it"));
    check(moving(Unknown, None), here, &[], None);
    check(moving(Unknown, None), &[], there, None);
    check(moving(Unknown, None), here, there, Some("only 0 can"));
    check(moving(Unknown, None), &[], &[], Some("in neither"));
    check(moving(Refused, None), &[], there, Some("nobody removed it"));
    let copying = |outcome| {
        let ask = Ask::Copy { uids: vec![1], to: "Archive".into() };
        by("c2", (20, 30), outcome, ask, Vec::new())
    };
    check(copying(Unknown), here, &[], None);
    check(copying(Unknown), here, there, None);
    let twice: Emails<'_> = &[(5, "a", 9, &["Blue"]), (6, "a", 9, &["Blue"])];
    check(copying(Unknown), here, twice, Some("only 1 can"));
    check(copying(Refused), here, there, Some("only 0 can"));
}

#[test]
fn an_append_without_an_answer_may_be_there() {
    let lost = Operation { outcome: Unknown, heard: Vec::new(), ..append("a", 1, (1, 5)) };
    let one = std::slice::from_ref(&lost);
    verdict("moves", one, &finals("s", &[(1, "a", 3, &["Blue"])], &[]), None);
    verdict("moves", one, &finals("s", &[], &[]), None);
    let twice = finals("s", &[(1, "a", 3, &["Blue"]), (2, "a", 3, &["Blue"])], &[]);
    verdict("moves", one, &twice, Some("only 1 can"));
}

fn store(time: (u64, u64), outcome: Outcome, since: Option<u64>, heard: Vec<Heard>) -> Operation {
    let store = Store {
        uid: 1,
        how: How::Add,
        flags: vec!["\\Seen".into()],
        silent: false,
        unchanged_since: since,
    };
    by("c2", time, outcome, Ask::Store(store), heard)
}

fn fetch(time: (u64, u64), modseq: u64, flags: &[&str]) -> Operation {
    by("c3", time, Done, Ask::Fetch { from: 1 }, vec![seen(1, 1, modseq, flags)])
}

#[test]
fn flags() {
    let check = |more: &[Operation], end: (u64, &[&str]), wrong: Option<&str>| {
        let operations = [&[append("a", 1, (1, 5))], more].concat();
        verdict("flags", &operations, &finals("s", &[(1, "a", end.0, end.1)], &[]), wrong);
    };
    let done = |time| store(time, Done, None, vec![seen(1, 1, 9, &["Blue", "\\Seen"])]);
    let both: (u64, &[&str]) = (9, &["Blue", "\\Seen"]);
    let one: (u64, &[&str]) = (3, &["Blue"]);
    check(&[done((10, 20))], both, None);
    check(&[done((10, 20))], one, Some("none can follow"));
    // Two that overlap may come in any order; one behind the other may not.
    check(&[done((10, 20)), fetch((12, 14), 3, &["Blue"])], both, None);
    check(&[done((10, 20)), fetch((21, 24), 3, &["Blue"])], both, Some("none can follow"));
    // Without an answer it happens later, or never.
    let lost = store((10, 20), Unknown, None, vec![]);
    check(&[lost.clone(), fetch((30, 31), 3, &["Blue"])], both, None);
    check(&[lost.clone(), fetch((30, 31), 3, &["Blue"])], one, None);
    check(
        &[lost.clone(), fetch((30, 31), 9, both.1), fetch((40, 41), 3, &["Blue"])],
        both,
        Some("none can follow"),
    );
    check(&[lost], (9, &["Blue"]), None);
    // UNCHANGEDSINCE
    let conflict = |since| store((10, 20), Done, Some(since), vec![Heard::Modified(vec![1])]);
    let before = fetch((6, 7), 3, &["Blue"]);
    check(&[before.clone(), conflict(3)], one, Some("Conflict"));
    check(&[before.clone(), conflict(2)], one, None);
    check(&[before.clone(), done((8, 9)), conflict(3)], both, None);
    check(&[store((10, 20), Refused, None, vec![])], both, Some("none can follow"));
}

/// A session that selected INBOX with UID 1 in it.
fn session(client: &str, at: u64) -> Vec<Operation> {
    let select = Ask::Select { mailbox: "INBOX".into(), since: None };
    let told = [Heard::Exists(1), Heard::Validity(7), Heard::Next(2), Heard::Highest(3)];
    let selected = by(client, (at, at + 1), Done, select, told.to_vec());
    let fetch = Ask::Fetch { from: 1 };
    vec![selected, by(client, (at + 2, at + 3), Done, fetch, vec![seen(1, 1, 3, &["Blue"])])]
}

#[test]
fn reads_are_fresh() {
    let end = finals("s", &[(1, "a", 9, &["Blue"]), (2, "b", 8, &["Blue"])], &[]);
    let check = |noop: (u64, u64), heard: Vec<Heard>, wrong: Option<&str>| {
        let mut operations = session("c9", 20);
        operations.extend([append("a", 1, (1, 5)), append("b", 2, (50, 60))]);
        let told = vec![seen(1, 1, 9, &["Blue"])];
        operations.push(by("c3", (61, 62), Done, Ask::Noop, told));
        operations.push(by("c9", noop, Done, Ask::Noop, heard));
        verdict("fresh reads", &operations, &end, wrong);
    };
    let all = vec![seen(1, 1, 9, &["Blue"]), Heard::Exists(2)];
    check((70, 71), all.clone(), None);
    check((70, 71), all[..1].to_vec(), Some("[2] were there before"));
    check((70, 71), all[1..].to_vec(), Some("MODSEQ 9 was known before"));
    // What is acknowledged while it is asked may be missing.
    check((59, 63), Vec::new(), None);
}

#[test]
fn a_session_believes_what_is_there() {
    let look = |heard: Vec<Heard>, end: (u64, &[&str]), wrong: Option<&str>| {
        let mut operations = session("c9", 20);
        operations.insert(0, append("a", 1, (1, 5)));
        operations.push(fetch((30, 31), end.0, end.1));
        operations.push(by("c9", (40, 41), Done, Ask::Noop, heard));
        verdict(
            "sessions' views",
            &operations,
            &finals("s", &[(1, "a", end.0, end.1)], &[]),
            wrong,
        );
    };
    look(Vec::new(), (3, &["Blue"]), None);
    look(vec![seen(1, 1, 9, &["\\Seen"])], (9, &["\\Seen"]), None);
    look(Vec::new(), (9, &["\\Seen"]), Some("c9 believes s INBOX UID 1"));
    look(vec![Heard::Expunge(2)], (3, &["Blue"]), Some("2 EXPUNGE"));
    look(vec![Heard::Nonsense("BAD what".into())], (3, &["Blue"]), Some("BAD what"));
}

fn names(operations: &[(&str, (u64, u64), Outcome, Ask)], end: &[&str], wrong: Option<&str>) {
    let mut all: Vec<Operation> = Vec::new();
    for (client, time, outcome, ask) in operations {
        all.push(by(client, *time, *outcome, ask.clone(), Vec::new()));
    }
    let mut finals = finals("s", &[], &[]);
    let account = finals[0].1.accounts.get_mut("s").unwrap();
    account.extend(end.iter().map(|name| ((*name).to_string(), mailbox("m3", &[]))));
    verdict("mailbox names", &all, &finals, wrong);
}

#[test]
fn mailbox_names() {
    let create = || Ask::Create { name: "t0-a".into() };
    let rename = || Ask::Rename { from: "t0-a".into(), to: "t0-b".into() };
    let delete = || Ask::Delete { name: "t0-a".into() };
    names(&[("c1", (1, 2), Done, create()), ("c1", (3, 4), Done, rename())], &["t0-b"], None);
    names(
        &[("c1", (1, 2), Done, create()), ("c1", (3, 4), Done, rename())],
        &["t0-a"],
        Some("none can"),
    );
    let twice = [("c1", (1, 5), Done, create()), ("c2", (2, 6), Done, create())];
    names(&twice, &["t0-a"], Some("none can"));
    names(&[("c1", (1, 5), Done, create()), ("c2", (2, 6), Refused, create())], &["t0-a"], None);
    // It was asked before it was there, and happened when it was.
    let late = [("c1", (1, 2), Unknown, delete()), ("c2", (3, 4), Done, create())];
    names(&late, &[], None);
    names(&late, &["t0-a"], None);
    let again = [
        ("c1", (1, 2), Done, create()),
        ("c1", (3, 4), Done, delete()),
        ("c2", (5, 6), Refused, create()),
    ];
    names(&again, &[], Some("none can"));
}

#[test]
fn where_nothing_was_seen_nothing_is_proven() {
    for checked in judge(&History::default(), &[]) {
        assert!(matches!(checked.verdict, Verdict::Unknown(_)), "{}", checked.name);
    }
    let checked = judge(&History::new(vec![deliver((1, 2), Some(250))]), &[]);
    assert!(matches!(checked[0].verdict, Verdict::Unknown(_)), "{:?}", checked[0]);
}

#[test]
fn nodes_that_differ_are_found() {
    let mut both = finals("s", &[(1, "a", 3, &["Blue"])], &[]);
    let other = |inbox: Emails<'_>| finals("s", inbox, &[])[0].1.clone();
    both.push((2, other(&[(1, "a", 3, &["Blue"])])));
    verdict("replicas are equal", &[], &both, None);
    let others: [Emails<'_>; 4] =
        [&[(1, "a", 4, &["Blue"])], &[(1, "a", 3, &[])], &[(1, "b", 3, &["Blue"])], &[]];
    for wrong in others {
        both[1].1 = other(wrong);
        verdict("replicas are equal", &[], &both, Some("UID 1"));
    }
}
