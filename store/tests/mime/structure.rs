//! Where parts lie, as stories: a message, and what IMAP shows of it.

use std::fmt::Write;

use redoubt_store::mime::{Part, parse, slice};

use crate::invariants::checked;

/// One line a part: its number, type, encoding, lines, and its body where it is short.
fn outline(message: &str) -> String {
    let message = message.replace('\n', "\r\n");
    let parsed = checked(message.as_bytes());
    let mut out = String::new();
    show(message.as_bytes(), &parsed.structure, "", &mut out);
    out
}

fn show(message: &[u8], part: &Part, number: &str, out: &mut String) {
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let name = if number.is_empty() { "-" } else { number };
    let kind = format!("{}/{}", text(&part.media_type), text(&part.subtype));
    write!(out, "{name} {kind} {} {}", text(&part.encoding), part.lines).unwrap();
    if part.children.is_empty() && part.message.is_none() {
        write!(out, " {:?}", text(slice(message, part.body))).unwrap();
    }
    out.push('\n');
    let below = |n: usize| if number.is_empty() { n.to_string() } else { format!("{number}.{n}") };
    for (at, child) in part.children.iter().enumerate() {
        show(message, child, &below(at + 1), out);
    }
    if let Some(inside) = &part.message {
        let subject = inside.envelope.subject.as_deref().unwrap_or(b"-");
        writeln!(out, "{name} message {:?}", text(subject)).unwrap();
        show(message, &inside.structure, &format!("{number}+"), out);
    }
}

#[test]
fn the_example_of_rfc_2046_section_5_1_1() {
    let message = "From: Nathaniel Borenstein <nsb@bellcore.com>
Subject: Sample message
MIME-Version: 1.0
Content-type: multipart/mixed; boundary=\"simple boundary\"

This is the preamble.

--simple boundary

This is implicitly typed plain US-ASCII text.
It does NOT end with a linebreak.
--simple boundary
Content-type: text/plain; charset=us-ascii

This is explicitly typed plain US-ASCII text.
It DOES end with a linebreak.

--simple boundary--

This is the epilogue.
";
    assert_eq!(
        outline(message),
        r#"- multipart/mixed 7BIT 15
1 text/plain 7BIT 1 "This is implicitly typed plain US-ASCII text.\r\nIt does NOT end with a linebreak."
2 text/plain 7BIT 2 "This is explicitly typed plain US-ASCII text.\r\nIt DOES end with a linebreak.\r\n"
"#
    );
}

#[test]
fn a_digest_holds_messages() {
    let message = "Subject: outer
Content-Type: multipart/mixed; boundary=main

--main

table of contents
--main
Content-Type: multipart/digest; boundary=\"--next\"

----next

From: someone
Subject: first

one
----next
Content-Type: text/plain

two
----next

Subject: third
Content-Type: multipart/alternative; boundary=in

--in
--in
Content-Type: text/html

<p>
--in--
----next--

--main--
";
    assert_eq!(
        outline(message),
        r#"- multipart/mixed 7BIT 30
1 text/plain 7BIT 0 "table of contents"
2 multipart/digest 7BIT 22
2.1 message/rfc822 7BIT 3
2.1 message "first"
2.1+ text/plain 7BIT 0 "one"
2.2 text/plain 7BIT 0 "two"
2.3 message/rfc822 7BIT 8
2.3 message "third"
2.3+ multipart/alternative 7BIT 5
2.3+.1 text/plain 7BIT 0 ""
2.3+.2 text/html 7BIT 0 "<p>"
"#
    );
}

#[test]
fn missing_and_empty_things_are_still_parts() {
    for (message, expected) in [
        ("", "- text/plain 7BIT 0 \"\"\n"),
        ("\nbody", "- text/plain 7BIT 0 \"body\"\n"),
        ("Subject: x", "- text/plain 7BIT 0 \"\"\n"),
        ("Subject: x\n\n", "- text/plain 7BIT 0 \"\"\n"),
        // No boundary, and one that never comes: the body is text.
        (
            "Content-Type: multipart/mixed\n\nx\n",
            "- multipart/mixed 7BIT 1\n1 text/plain 7BIT 1 \"x\\r\\n\"\n",
        ),
        (
            "Content-Type: multipart/mixed; boundary=b\n\nx\n",
            "- multipart/mixed 7BIT 1\n1 text/plain 7BIT 1 \"x\\r\\n\"\n",
        ),
        // Without the final boundary.
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx\n",
            "- multipart/mixed 7BIT 3\n1 text/plain 7BIT 1 \"x\\r\\n\"\n",
        ),
        // A part without anything, one with only a header, one that ends with the message.
        (
            "Content-Type: multipart/mixed; boundary=b\n\n--b\n--b\n\n--b\nContent-Type: a/b\n--b\nX: y",
            "- multipart/mixed 7BIT 6\n1 text/plain 7BIT 0 \"\"\n2 text/plain 7BIT 0 \"\"\n3 a/b 7BIT 0 \"\"\n4 text/plain 7BIT 0 \"\"\n",
        ),
        // An outer boundary ends what is inside.
        (
            "Content-Type: multipart/mixed; boundary=o\n\n--o\nContent-Type: multipart/mixed; boundary=i\n\n--i\n\nx\n--o\n\ny\n--o--\n",
            "- multipart/mixed 7BIT 10\n1 multipart/mixed 7BIT 2\n1.1 text/plain 7BIT 0 \"x\"\n2 text/plain 7BIT 0 \"y\"\n",
        ),
        // A boundary that begins with another one; white space behind one.
        (
            "Content-Type: multipart/mixed; boundary=a\n\n--a\nContent-Type: multipart/mixed; boundary=ab\n\n--ab  \n\nx\n--ab--\n--a\n\n--abc\n--a--\t\n",
            "- multipart/mixed 7BIT 11\n1 multipart/mixed 7BIT 3\n1.1 text/plain 7BIT 0 \"x\"\n2 text/plain 7BIT 0 \"--abc\"\n",
        ),
        // Nothing below an unreadable type.
        ("Content-Type: nonsense\n\nx", "- text/plain 7BIT 0 \"x\"\n"),
    ] {
        assert_eq!(outline(message), expected, "{message}");
    }
}

#[test]
fn encoded_messages_are_opaque_and_global_ones_are_messages() {
    let of = |header: &str| outline(&format!("{header}\n\nU3ViamVjdDogeA==\n"));
    assert_eq!(
        of("Content-Type: message/rfc822\nContent-Transfer-Encoding: Base64"),
        "- application/octet-stream Base64 1 \"U3ViamVjdDogeA==\\r\\n\"\n"
    );
    assert_eq!(
        of("Content-Type: message/global\nContent-Transfer-Encoding: 8bit\n\nSubject: ü"),
        "- message/global 8bit 3\n- message \"ü\"\n+ text/plain 7BIT 1 \"U3ViamVjdDogeA==\\r\\n\"\n"
    );
    assert_eq!(
        of("Content-Type: message/delivery-status"),
        "- message/delivery-status 7BIT 1 \"U3ViamVjdDogeA==\\r\\n\"\n"
    );
}

/// The numbers of RFC 9051 section 6.4.5.1's example.
const NUMBERED: &str = "Subject: whole
Content-Type: multipart/mixed; boundary=w

--w

p1
--w
Content-Type: application/octet-stream

p2
--w
Content-Type: message/rfc822

Subject: three
Content-Type: multipart/mixed; boundary=t

--t

p31
--t
Content-Type: application/octet-stream

p32
--t--
--w
Content-Type: multipart/mixed; boundary=f

--f
Content-Type: image/gif

p41
--f
Content-Type: message/rfc822
X: mime

Subject: four
Content-Type: multipart/mixed; boundary=g

--g

p421
--g
Content-Type: multipart/alternative; boundary=h

--h

p4221
--h
Content-Type: text/richtext

p4222
--h--
--g--
--f--
--w--
";

#[test]
fn parts_are_found_by_the_numbers_of_rfc_9051() {
    let message = NUMBERED.replace('\n', "\r\n").into_bytes();
    let parsed = checked(&message);
    let text = |number: &[u32]| {
        let part = parsed.part(number)?;
        Some(String::from_utf8(slice(&message, part.body).to_vec()).unwrap())
    };
    for (number, expected) in [
        (&[1][..], "p1"),
        (&[2], "p2"),
        (&[3, 1], "p31"),
        (&[3, 2], "p32"),
        (&[4, 1], "p41"),
        (&[4, 2, 1], "p421"),
        (&[4, 2, 2, 1], "p4221"),
        (&[4, 2, 2, 2], "p4222"),
    ] {
        assert_eq!(text(number).as_deref(), Some(expected), "{number:?}");
    }
    for number in [&[0][..], &[5], &[1, 1], &[3, 3], &[4, 2, 2, 3], &[4, 2, 1, 1], &[u32::MAX]] {
        assert_eq!(text(number), None, "{number:?}");
    }
    let part = parsed.part(&[4, 2]).unwrap();
    let inside = part.message.as_ref().unwrap();
    let octets = |span| String::from_utf8(slice(&message, span).to_vec()).unwrap();
    assert_eq!(octets(part.header), "Content-Type: message/rfc822\r\nX: mime\r\n\r\n");
    assert!(octets(inside.structure.header).starts_with("Subject: four\r\n"));
    assert!(octets(inside.structure.header).ends_with("boundary=g\r\n\r\n"));
    assert!(octets(inside.structure.body).starts_with("--g\r\n"));
    assert!(octets(inside.structure.body).ends_with("--g--"));
    assert_eq!(parsed.part(&[]), Some(&parsed.structure));
}

#[test]
fn a_message_of_one_part_has_a_part_one() {
    let message = b"Subject: x\r\n\r\nbody";
    let parsed = parse(message);
    assert_eq!(slice(message, parsed.part(&[1]).unwrap().body), b"body");
    assert_eq!(parsed.part(&[1, 1]), None);
    let message = b"Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody";
    let parsed = parse(message);
    assert_eq!(slice(message, parsed.part(&[1]).unwrap().body), b"Subject: in\r\n\r\nbody");
    assert_eq!(slice(message, parsed.part(&[1, 1]).unwrap().body), b"body");
}

#[test]
fn bare_line_feeds_and_returns_keep_their_octets() {
    let message =
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\r\n--b\r\n\r\ntwo\n\n--b--\n";
    let parsed = checked(message);
    let bodies: Vec<_> = parsed.structure.children.iter().map(|p| slice(message, p.body)).collect();
    assert_eq!(bodies, [&b"one"[..], b"two\n"]);
    // A lone CR is no line end.
    let parsed = checked(b"Subject: a\rb\r\r\n\r\nx\r--b\r");
    assert_eq!(parsed.envelope.subject.as_deref(), Some(&b"ab"[..]));
    assert_eq!(parsed.structure.body.len, 6);
}

#[test]
fn previews_prefer_plain_text() {
    let both = "Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>rich</p>\r\n--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n  J=F6rg\r\n\r\n says=\r\n hi\r\n--b--";
    assert_eq!(parse(both.as_bytes()).preview, "Jörg says hi");
    let html = "Content-Type: text/html; charset=utf-8\r\n\r\n<style>x</style><p>Grüße &amp; mehr";
    assert_eq!(parse(html.as_bytes()).preview, "Grüße & mehr");
    let attached = "Content-Type: text/plain\r\nContent-Disposition: attachment\r\n\r\nx";
    assert_eq!(parse(attached.as_bytes()).preview, "");
    let long = format!("\r\n{}", "ü ".repeat(500));
    assert_eq!(parse(long.as_bytes()).preview.chars().count(), 199);
}
