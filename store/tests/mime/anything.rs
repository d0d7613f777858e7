//! Any octets, and messages with any octets changed.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use redoubt_store::mime::{MAX_PARTS, parse};

use crate::invariants::checked;

/// Lines that mean something, to be strung together in any order.
const LINES: &[&str] = &[
    "From: A <a@b>, \"c\" <@r:d@e>, g: h@i;\r\n",
    "Subject: =?utf-8?B?w7bDtg==?= =?x?Q?",
    "Content-Type: multipart/mixed; boundary=a\r\n",
    "Content-Type: multipart/digest; boundary=\"b\"\r\n",
    "content-type: message/rfc822\n",
    "Content-Type: message/global\r\nContent-Transfer-Encoding: base64\r\n",
    "Content-Type: text/html; charset*0*=utf'; charset*1=x\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "Content-Disposition: attachment; filename*1=x; filename*0*=a''%20\r\n",
    "Date: Fri, 21 Nov 1997 09:55:06 -0600\r\n",
    "References: <a@b> (<c> <\r\n",
    " folded\r\n",
    "\r\n",
    "\n",
    "--a\r\n",
    "--a--\r\n",
    "--b\n",
    "--b--",
    "<p>text &amp; <b",
    "=C3=\r\n",
    "text\r\n",
    "\0\u{ff}\r",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        20 => proptest::sample::select(LINES).prop_map(|l| l.as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ];
    proptest::collection::vec(line, 0..60).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_lines_hold_together(message in message()) {
        checked(&message);
    }

    #[test]
    fn any_octets_hold_together(message in proptest::collection::vec(any::<u8>(), 0..400)) {
        checked(&message);
    }
}

/// Input made to cost much, about a megabyte each.
fn costly() -> Vec<(&'static str, Vec<u8>)> {
    let header = |line: &str| format!("Subject: x\r\n{line}\r\n\r\n").into_bytes();
    let times = |text: &str| text.repeat(1_000_000 / text.len());
    let nested: String = (0..5000)
        .map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n"))
        .collect();
    let forwarded = times("Content-Type: message/rfc822\r\n\r\n");
    vec![
        (
            "delimiters",
            header("Content-Type: multipart/mixed; boundary=\"a\"")
                .into_iter()
                .chain(times("--a\r\n").bytes())
                .collect(),
        ),
        (
            "nearly delimiters",
            header("Content-Type: multipart/mixed; boundary=\"a\"")
                .into_iter()
                .chain(times("\n--").bytes())
                .collect(),
        ),
        ("nested multiparts", nested.into_bytes()),
        ("nested messages", forwarded.into_bytes()),
        ("addresses", header(&format!("To: {}", times("a@b,")))),
        ("groups", header(&format!("To: {}", times("a:b;")))),
        ("route", header(&format!("To: <@{}", times("a,")))),
        ("colons", header(&format!("To: {}@{}", "a ".repeat(50_000), times(":")))),
        ("comments", header(&format!("To: {}", times("(")))),
        ("quotes", header(&format!("To: {}", times("\"")))),
        ("parameters", header(&format!("Content-Type: a/b; {}", times("n*0=x; n*1=y; ")))),
        (
            "parts with parameters",
            header("Content-Type: multipart/mixed; boundary=\"a\"")
                .into_iter()
                .chain(
                    times(&format!(
                        "--a\r\nContent-Type: a/b; {}\r\n\r\n",
                        "n*0=x; n*1=y; ".repeat(30)
                    ))
                    .bytes(),
                )
                .collect(),
        ),
        ("encoded words", header(&format!("Subject: {}", times("=?a?q?")))),
        ("subject", header(&format!("Subject: {}", times("[a]")))),
        ("references", header(&format!("References: {}", times("<a@b> ")))),
        ("fields", header(&times("A: b\r\n"))),
        ("html", [b"Content-Type: text/html\r\n\r\n", times("<a").as_bytes()].concat()),
        ("html comments", [b"Content-Type: text/html\r\n\r\n", times("<!--").as_bytes()].concat()),
        (
            "html scripts",
            [b"Content-Type: text/html\r\n\r\n", times("<script></").as_bytes()].concat(),
        ),
        ("html references", [b"Content-Type: text/html\r\n\r\n", times("&a").as_bytes()].concat()),
        ("one line", vec![b'-'; 1_000_000]),
    ]
}

#[test]
fn no_input_costs_more_than_its_length_allows() {
    for (what, message) in costly() {
        let start = Instant::now();
        let parsed = checked(&message);
        assert!(start.elapsed() < Duration::from_secs(8), "{what}: {:?}", start.elapsed());
        assert!(parsed.structure.walk().len() <= 2 * MAX_PARTS + 1, "{what}");
    }
}

#[test]
fn parts_beyond_the_limit_stay_in_the_text() {
    let body = "--a\r\n\r\nx\r\n".repeat(MAX_PARTS + 10);
    let message = format!("Content-Type: multipart/mixed; boundary=a\r\n\r\n{body}--a--\r\n");
    let parsed = parse(message.as_bytes());
    assert_eq!(parsed.structure.children.len(), MAX_PARTS);
    assert_eq!(parsed.structure.body.len as usize, body.len() + 7);
}
