#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
use proptest::prelude::*;

use super::*;

fn context() -> Context {
    Context { now: Timestamp(1_795_183_800_000), zone: TimeZone::UTC }
}

fn parse(text: &str) -> Result<Query, QueryError> {
    Query::parse(text, &context())
}

/// As it is printed.
fn shown(text: &str) -> String {
    let query = parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    let printed = query.to_string();
    assert_eq!(parse(&printed).unwrap_or_else(|error| panic!("{text}\n{error}")), query, "{text}");
    printed
}

#[test]
fn queries_read_and_print() {
    for (text, printed) in [
        ("", ""),
        ("  ", ""),
        ("hello", "hello"),
        ("a b", "a b"),
        ("a AND b", "a b"),
        ("a and b", "a and b"),
        ("a OR b c", "a OR b c"),
        ("(a OR b) c", "(a OR b) c"),
        ("a (b (c d)) (e)", "a b c d e"),
        ("a OR (b OR c)", "a OR b OR c"),
        ("NOT a -b NOT (c d)", "-a -b -(c d)"),
        ("--a", "--a"),
        ("-(a OR b)", "-(a OR b)"),
        ("\"annual report\"", "\"annual report\""),
        ("\"one\"", "one"),
        ("\"OR\" \"-x\" \"a:b\"", "\"OR\" \"-x\" \"a:b\""),
        (r#""say \"hi\" \\ there""#, r#""say \"hi\" \\ there""#),
        ("invo* *voice *voic*", "invo* *voice *voic*"),
        ("\"invo*\"", "\"invo*\""),
        ("12:30 don't", "\"12:30\" don't"),
        ("a NEAR b", "a NEAR(10) b"),
        ("a NEAR(3) \"b c\" NEAR(0) d*", "a NEAR(3) \"b c\" NEAR(0) d*"),
        ("-(a NEAR(3) b)", "-a NEAR(3) b"),
        ("subject:(a NEAR(3) b)", "subject:(a NEAR(3) b)"),
        ("subject:(a b)", "subject:a subject:b"),
        ("from:(bob OR -carol)", "from:bob OR -from:carol"),
        ("SUBJECT:re:x", "subject:\"re:x\""),
        ("header[X-Mailer]:mutt HEADER[x-a]:*", "header[X-Mailer]:mutt header[x-a]:*"),
        ("header[X-A]:(a NEAR(1) b)", "header[X-A]:(a NEAR(1) b)"),
        (
            "from:bob@example.org to:@x.org cc:bob@ bcc:*@x.org",
            "from:bob@example.org to:@x.org cc:bob@ bcc:@x.org",
        ),
        ("from:\"Bob Miller\" from:mill*", "from:\"Bob Miller\" from:mill*"),
        (
            "attachment:PDF attachment:docx attachment:image/* attachment:text/CSV attachment:any",
            "attachment:pdf attachment:word attachment:image/* attachment:text/csv attachment:any",
        ),
        (
            "has:attachment is:unseen is:READ flag:\\Seen flag:unseen flag:$Later",
            "has:attachment is:unread is:read is:read is:unread keyword:$Later",
        ),
        (
            "tag:urgent in:\"Work/2026 Büro\" under:INBOX",
            "keyword:urgent in:\"Work/2026 Büro\" under:INBOX",
        ),
        (
            "date:2026-11-01..2026-11-20 before:2026 after:2026-11",
            "date:2026-11-01..2026-11-20 before:2026 after:2026-11",
        ),
        (
            "since:-7D on:Yesterday older:1Y newer:1d12H",
            "since:-7d on:yesterday older:1y newer:1d12h",
        ),
        (
            "sent:\"2026-11-20 14:00\" received:2026-11-20T14:00:05+0100",
            "sent:2026-11-20T14:00 received:2026-11-20T14:00:05+01:00",
        ),
        ("size:1k..2m larger:10 smaller:10 size:5", "size:1024..2097152 size:11.. size:..9 size:5"),
        ("uid:7,10..20,30: modseq:5.. modseq:7", "uid:7,10..20,30.. modseq:5.. modseq:7"),
        ("msgid:<a@b> emailid:e1F-0 threadid:t1f-0", "msgid:a@b emailid:e1f-0 threadid:t1f-0"),
        (
            "existed:2026 deleted:-7d.. deleted:any deletedby:uid=0",
            "existed:2026 deleted:-7d.. deleted:any deletedby:uid=0",
        ),
        (
            "deletedby:alice@x.org deletedby:MTA movedfrom:INBOX",
            "deletedby:alice@x.org deletedby:mta movedfrom:INBOX",
        ),
        (
            "held:YES held:no held:7 indexed:none indexed:full",
            "held:yes held:no held:7 indexed:none indexed:full",
        ),
        ("a zone:UTC OR b asof:@77", "a OR b zone:UTC asof:@77"),
        ("zone:+01:00", "zone:\"+01:00\""),
        ("asof:-1h", "asof:\"2026-11-20T13:10:00.000Z\""),
    ] {
        assert_eq!(shown(text), printed, "{text}");
    }
}

#[test]
fn a_zone_holds_for_all_of_a_query() {
    let bounds = |text: &str| match parse(text).unwrap().expr() {
        Expr::Time(_, _, bounds) => *bounds,
        other => panic!("{other:?}"),
    };
    let hour = 3_600_000;
    let (from, until) = bounds("on:2026-11-20");
    assert_eq!(bounds("on:2026-11-20 zone:+01:00"), (from - hour, until - hour));
    assert_eq!(bounds("zone:+01:00 on:2026-11-20T10:00Z"), bounds("on:2026-11-20T10:00Z"));
}

#[test]
fn what_looks_back_and_what_opens_messages() {
    for (text, looks_back, opens) in [
        ("", false, false),
        ("in:INBOX is:unread date:2026 larger:5", false, false),
        ("deleted:any", true, false),
        ("a OR -(existed:2026)", true, true),
        ("from:bob", false, true),
    ] {
        let query = parse(text).unwrap();
        assert_eq!((query.looks_back(), query.opens_messages()), (looks_back, opens), "{text}");
    }
}

/// The mistakes of a page of wrong queries, with the marks under them.
#[test]
fn mistakes_are_told_where_they_are() {
    let golden = include_str!("errors.golden");
    let mut told = String::new();
    for block in golden.split("\n\n") {
        let query = block.lines().next().unwrap_or_default().strip_prefix("? ").unwrap_or_default();
        let error = parse(query).err().map_or("no error".to_owned(), |error| error.to_string());
        told += &format!("? {query}\n{error}\n\n");
    }
    let (told, golden) = (told.trim_end(), golden.trim_end());
    assert!(told == golden, "{told}");
}

#[test]
fn what_is_too_much_is_refused() {
    let deep = |n: usize| format!("{}a{}", "(".repeat(n), ")".repeat(n));
    assert!(parse(&deep(MAX_DEPTH)).is_ok());
    for (text, problem) in [
        (deep(MAX_DEPTH + 1), Problem::TooDeep(MAX_DEPTH)),
        (deep(8000), Problem::TooDeep(MAX_DEPTH)),
        ("-".repeat(MAX_DEPTH + 1) + "a", Problem::TooDeep(MAX_DEPTH)),
        ("NOT ".repeat(4000) + "a", Problem::TooDeep(MAX_DEPTH)),
        ("a ".repeat(MAX_TERMS + 1), Problem::TooManyTerms(MAX_TERMS)),
        ("a".repeat(MAX_OCTETS + 1), Problem::TooLong(MAX_OCTETS)),
    ] {
        assert_eq!(parse(&text).unwrap_err().problem, problem);
    }
    assert!(parse(&"a ".repeat(MAX_TERMS)).is_ok());
    assert!(parse(&"a".repeat(MAX_OCTETS)).is_ok());
}

#[test]
fn what_an_index_is_asked() {
    use crate::ask::{Ask, Field, Needle};
    let text = |field, needle| Ask::Text { fields: vec![field], needle };
    let word = |word: &str| Needle::Word(word.into());
    for (query, ask, exact) in [
        ("", Ask::All, true),
        ("subject:Report", text(Field::Subject, word("report")), true),
        ("subject:jörg", text(Field::Subject, word("jörg")), false),
        ("subject:re*", text(Field::Subject, Needle::Prefix("re".into())), true),
        ("subject:*re*", text(Field::Subject, Needle::Substring("re".into())), true),
        ("subject:a-b", text(Field::Subject, Needle::Phrase(vec!["a".into(), "b".into()])), true),
        ("-subject:x", Ask::Not(Box::new(text(Field::Subject, word("x")))), true),
        ("-subject:é", Ask::All, false),
        ("is:unread", Ask::All, false),
        ("is:unread subject:x", text(Field::Subject, word("x")), false),
        ("is:unread OR subject:x", Ask::All, false),
        ("date:1970", Ask::Received(0, 31_536_000_000), true),
        (
            "from:bob@x",
            Ask::And(vec![text(Field::From, word("bob")), text(Field::From, word("x"))]),
            false,
        ),
        ("envfrom:bob", Ask::All, false),
        ("sent:2026", Ask::All, false),
    ] {
        let read = parse(query).unwrap();
        assert_eq!((read.ask(), read.is_asked_exactly()), (ask, exact), "{query}");
    }
}

/// Queries out of pieces that fit, and some that do not.
fn pieces() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-zé]{1,4}",
        "\"[a-z ()*:\\-]{1,8}\"",
        "[a-z]{1,3}\\*",
        "\\*[a-z]{1,3}",
        Just("12:30".to_owned()),
        Just("日本".to_owned()),
        Just(r#""a\"b\\""#.to_owned()),
    ];
    let name = prop::sample::select(ops::OPS.iter().map(|op| op.name).collect::<Vec<_>>());
    let value = prop_oneof![
        "[a-z]{1,4}",
        "\"[a-z ]{1,6}\"",
        Just("2026-11-20..".to_owned()),
        Just("-7d".to_owned()),
        Just("2026-11-20T10:00:01-05:30".to_owned()),
        Just("5..7".to_owned()),
        Just("7".to_owned()),
        Just("bob@x.org".to_owned()),
        Just("unread".to_owned()),
        Just("any".to_owned()),
        Just("e1f-a".to_owned()),
        Just("image/png".to_owned()),
        Just("(a NEAR(2) b)".to_owned()),
    ];
    let term = prop_oneof![
        3 => word,
        3 => (name, value).prop_map(|(name, value)| format!("{name}:{value}")),
        1 => Just("header[X-Y]:z*".to_owned()),
    ];
    term.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.join(" ")),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|all| all.join(" OR ")),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|all| format!("({})", all.join(" "))),
            inner.clone().prop_map(|one| format!("-{one}")),
            inner.prop_map(|one| format!("NOT {one}")),
        ]
    })
}

proptest! {
    /// What is printed reads as the same query, and prints as the same text.
    #[test]
    fn printing_and_parsing_are_inverse(text in pieces()) {
        if let Ok(query) = parse(&text) {
            let printed = query.to_string();
            let again = parse(&printed);
            prop_assert_eq!(again.as_ref().map_err(ToString::to_string), Ok(&query), "{}", printed);
            prop_assert_eq!(again.unwrap().to_string(), printed);
        }
    }

    /// Any text has an answer, and a mistake lies within it.
    #[test]
    fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
        match parse(&text) {
            Ok(query) => prop_assert_eq!(parse(&query.to_string()).unwrap(), query),
            Err(error) => prop_assert!(error.at <= text.len() && text.is_char_boundary(error.at)),
        }
    }
}

#[test]
fn every_operator_stands_once() {
    let mut names: Vec<&str> = ops::Op::names().collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}
