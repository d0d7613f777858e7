//! TEXT and BODY: what is searched, and how it is decoded.

use crate::world::{World, body, not, text};

/// A message of one part with this body, its octets as given.
fn of(content_type: &str, encoding: &str, octets: &[u8]) -> World {
    let mut world = World::default();
    let header =
        format!("Content-Type: {content_type}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n");
    world.add(&[header.as_bytes(), octets].concat(), |_| {});
    world
}

#[test]
fn charsets_are_decoded() {
    for (charset, octets, needle) in [
        ("utf-8", "Gr\u{fc}\u{df}e".as_bytes(), "grÜße"),
        ("iso-8859-1", b"Gr\xfc\xdfe", "GRüße"),
        ("iso-8859-2", b"\xb1\xe6", "ĄĆ"),
        ("iso-8859-5", b"\xbf\xe0\xd8\xd2\xd5\xe2", "привет"),
        ("iso-8859-7", b"\xc3\xe5\xe9\xdc", "ΓΕΙΆ"),
        ("iso-8859-15", b"5 \xa4", "5 €"),
        ("iso-2022-jp", b"\x1b$B$3$s$K$A$O\x1b(B.", "にち"),
        ("koi8-r", b"\xf0\xd2\xc9\xd7\xc5\xd4", "ПРИВЕТ"),
        ("gb18030", b"\xc4\xe3\xba\xc3\x81\x30\x81\x30", "你好"),
        ("x-unknown", "Grüße".as_bytes(), "grüße"),
        ("x-unknown", b"Gr\xfc\xdfe", "grüße"),
    ] {
        let world = of(&format!("text/plain; charset={charset}"), "8bit", octets);
        assert!(world.has(body(needle)), "{charset}");
        assert!(world.has(text(needle)), "{charset}");
        assert!(!world.has(body(&format!("{needle}x"))), "{charset}");
    }
}

#[test]
fn transfer_encodings_are_undone() {
    let world =
        of("text/plain; charset=utf-8", "quoted-printable", b"soft=\r\nbreak J=C3=\r\n=B6rg");
    assert!(world.has(body("softbreak JÖRG")));
    assert!(!world.has(body("=C3")));
    let world = of("text/plain; charset=utf-8", "BASE64", b"SsO2cmcg\r\nc2F5cw==\r\n");
    assert!(world.has(body("jörg says")));
    assert!(!world.has(body("SsO2")));
}

#[test]
fn line_breaks_stay() {
    for octets in [&b"one\r\ntwo"[..], b"one\ntwo"] {
        let world = of("text/plain", "7bit", octets);
        assert!(!world.has(body("one two")));
        assert!(!world.has(body("onetwo")));
        assert!(world.has(body("one\r\ntwo")));
        assert!(world.has(body("one\ntwo")));
    }
}

#[test]
fn html_is_searched_by_its_text() {
    let html = "<html><head><title>gone</title></head><body class=hidden>\r\n\
        <p>Gr&uuml;&szlig;e <b>und</b>\r\n mehr</p><script>var lost</script>";
    let world = of("text/html; charset=utf-8", "7bit", html.as_bytes());
    assert!(world.has(body("grüße und mehr")));
    for needle in ["gone", "hidden", "lost", "<b>", "&uuml;"] {
        assert!(!world.has(body(needle)), "{needle}");
    }
}

const NESTED: &str = "Subject: outer subject
Content-Type: multipart/mixed; boundary=b

preamble
--b
Content-Type: text/plain; name=\"first.txt\"
Content-Description: =?utf-8?Q?d=C3=A9scription?=

plain words
--b
Content-Type: message/rfc822

Subject: =?utf-8?Q?inner_s=C3=BCbject?=
Content-Type: multipart/alternative; boundary=c

--c
Content-Type: text/html

<p>inner html</p>
--c
Content-Type: application/octet-stream
X-Part: deep

binary words
--c--
--b
Content-Type: message/delivery-status

Action: failed
--b--
epilogue
";

#[test]
fn text_has_all_headers_and_body_has_none() {
    let world = World::of(&[NESTED]);
    for (needle, in_text, in_body) in [
        ("outer subject", true, false),
        ("Subject: outer", true, false),
        ("first.txt", true, false),
        ("DÉSCRIPTION", true, false),
        ("plain words", true, true),
        ("inner sübject", true, false),
        ("inner html", true, true),
        ("x-part: deep", true, false),
        ("action: failed", true, true),
        ("binary words", false, false),
        ("preamble", false, false),
        ("epilogue", false, false),
        ("words\nSubject", false, false),
        ("", true, true),
    ] {
        assert_eq!(world.has(text(needle)), in_text, "TEXT {needle}");
        assert_eq!(world.has(body(needle)), in_body, "BODY {needle}");
        assert_eq!(world.has(not(text(needle))), !in_text, "NOT TEXT {needle}");
    }
}

#[test]
fn a_needle_is_composed_as_the_text_or_not() {
    let world = of("text/plain; charset=utf-8", "8bit", "cafe\u{301} ｆｕｌｌ ﬁn".as_bytes());
    for needle in ["café", "CAFE\u{301}", "cafe", "full", "ﬁN"] {
        assert!(world.has(body(needle)), "{needle}");
    }
    assert!(!world.has(body("cafès")));
}
