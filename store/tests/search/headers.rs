//! Keys that need the header.

use redoubt_store::search::{Day, SearchKey};

use crate::world::{World, not};

fn message() -> World {
    World::of(&["From: \"Doe, John\" <john@example.org>
To: =?ISO-2022-JP?B?GyRCJDMkcyRLJEEkTxsoQg==?= <jp@example.jp>
Cc: =?koi8-r?Q?=F0=D2=C9=D7=C5=D4?= <ru@example.ru>
Bcc: secret@example.org
Subject: =?utf-8?Q?Gr=C3=BC=C3?=
 =?utf-8?Q?=9Fe_aus?=
 =?gb18030?B?xOO6ww==?=
 folded line
Date: Thu, 1 Feb 2024 23:30:00 -0800
X-Twice: one
X-Empty:
x-twice: two

body
"])
}

fn header(name: &str, value: &str) -> SearchKey {
    SearchKey::Header { name: name.into(), value: value.into() }
}

#[test]
fn address_and_subject_keys_see_decoded_text() {
    let world = message();
    for (key, found) in [
        (SearchKey::From("doe, JOHN".into()), true),
        (SearchKey::From("john@EXAMPLE".into()), true),
        (SearchKey::From("secret".into()), false),
        (SearchKey::To("こんにちは".into()), true),
        (SearchKey::To("ISO-2022".into()), false),
        (SearchKey::Cc("ПРИВЕТ <ru@".into()), true),
        (SearchKey::Bcc("secret".into()), true),
        (SearchKey::Bcc("john".into()), false),
        (SearchKey::Subject("GRÜßE aus你好 folded LINE".into()), true),
        (SearchKey::Subject("folded  line".into()), false),
        (SearchKey::Subject("aus folded".into()), false),
    ] {
        assert_eq!(world.has(key.clone()), found, "{key:?}");
    }
    assert_eq!(world.opened.get(), 0, "the cached header is enough");
}

#[test]
fn header_looks_into_each_field_of_the_name() {
    let world = message();
    for (name, value, found) in [
        ("X-Twice", "one", true),
        ("x-twice", "TWO", true),
        ("X-Twice", "one\ntwo", false),
        ("X-Empty", "", true),
        ("X-Empty", "x", false),
        ("X-Absent", "", false),
        ("X-Twi", "", false),
        ("Date", "1 feb", true),
    ] {
        assert_eq!(world.has(header(name, value)), found, "{name} {value}");
        assert_eq!(world.has(not(header(name, value))), !found, "{name} {value}");
    }
}

#[test]
fn sent_days_are_as_written() {
    let world = message();
    // 2024-02-01 where it was written; 2024-02-02 in UTC.
    let written = Day(19_754);
    let next = Day(19_755);
    for (key, found) in [
        (SearchKey::SentOn(written), true),
        (SearchKey::SentOn(next), false),
        (SearchKey::SentBefore(written), false),
        (SearchKey::SentBefore(next), true),
        (SearchKey::SentSince(written), true),
        (SearchKey::SentSince(next), false),
    ] {
        assert_eq!(world.has(key.clone()), found, "{key:?}");
    }
    let dateless = World::of(&["Subject: x\n\n", "Date: whenever\n\n"]);
    assert!(!dateless.has(SearchKey::SentBefore(Day(i32::MAX))));
    assert_eq!(dateless.find(not(SearchKey::SentSince(Day(0)))), [1, 2]);
}

#[test]
fn a_header_too_long_for_the_cache_is_read_from_the_message() {
    let filler = "X-Filler: 0123456789\n".repeat(4000);
    let world = World::of(&[&format!("{filler}X-Last: needle\n\nbody")]);
    assert!(world.has(header("x-last", "needle")));
    assert!(!world.has(header("x-last", "body")));
    assert_eq!(world.opened.get(), 2);
}
