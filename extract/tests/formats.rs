//! Every kind of document is read, and what cannot be read is told. The documents are made here.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod documents;

use documents::{WORD, all};
use proptest::prelude::*;
use redoubt_extract::{Document, Extracted, Limits, Status, extract};

fn named(media_type: &str, name: &str) -> Document {
    Document { media_type: media_type.into(), name: name.into(), charset: String::new() }
}

fn read(media_type: &str, name: &str, octets: &[u8]) -> Extracted {
    extract(&named(media_type, name), octets, &Limits::default())
}

fn assert_has(extracted: &Extracted, words: &[&str]) {
    for word in words {
        assert!(extracted.text.contains(word), "{word} in {extracted:?}");
    }
}

#[test]
fn every_kind_is_read() {
    for (media_type, name, octets) in all() {
        let extracted = read(media_type, name, &octets);
        assert_eq!(
            (extracted.status, &extracted.why),
            (Status::Ok, &None),
            "{name}: {extracted:?}"
        );
        assert_has(&extracted, &[WORD]);
    }
}

/// By their octets alone, where these tell.
#[test]
fn names_and_types_may_lie() {
    for (_, name, octets) in all() {
        let plain = ["a.eml", "wide.txt", "latin.txt", "a.ics"];
        let extracted = read("application/octet-stream", "x.bin", &octets);
        if !plain.contains(&name) {
            assert_has(&extracted, &["pfeiler"]);
        }
    }
}

#[test]
fn what_is_around_the_text_is_read_too() {
    assert_has(
        &read("", "", &documents::docx()),
        &["Brückenpfeiler & mehr\nZweiter Absatz", "in a footnote", "A title", "embedded"],
    );
    assert!(!read("", "", &documents::docx()).text.contains("no text of it"));
    let slides = read("", "", &documents::pptx()).text;
    assert!(slides.find("second").unwrap() < slides.find("tenth").unwrap(), "{slides}");
    assert!(slides.contains("a note") && !slides.contains("Click"), "{slides}");
    assert_has(&read("", "", &documents::xlsx("x")), &["Bilanz", "1234.5", "2023-03-15", "inline"]);
    assert_has(&read("", "", &documents::xls()), &["Bilanz", "1234.5"]);
    assert_has(
        &read("", "", &documents::opendocument("text", false)),
        &["schrift\nDer", "A writer"],
    );
    assert_has(&read("", "", &documents::doc(0)), &["Der Pfeiler\nund Brücken"]);
    let old = read("", "", &documents::ppt());
    assert_has(&old, &["Latin über"]);
    assert!(!old.text.contains("Click"), "{old:?}");
    assert_has(
        &read("", "", &documents::msg()),
        &["Ein Betreff", "anhang.txt", "in the attachment"],
    );
    let rtf = read("", "", &documents::rtf());
    assert_has(&rtf, &["pfeiler\nGrü€fett"]);
    assert!(!rtf.text.contains("Arial") && !rtf.text.contains("0123"), "{rtf:?}");
    assert_has(&read("", "", &documents::calendar()), &["um zehn", "Jo Doe", "jo@example.org"]);
    assert!(!read("", "", &documents::contact()).text.contains("QUJD"));
    assert_has(
        &read("message/rfc822", "", &documents::message()),
        &["Vom Pfeiler", "a.txt", "inside"],
    );
    assert_has(&read("", "", &documents::pdf()), &["Der Brückenpfeiler", "A title of its own"]);
    let html = b"<p>one<p>two<td>three<td>four <script>no()</script><a href=\"http://x/y\">link</a> a &lt; b<!-- no -->";
    let expected = "one\ntwo three four \nhttp://x/y link a < b";
    assert_eq!(read("text/html", "", html).text.trim(), expected);
}

#[test]
fn passwords_are_told() {
    let sealed = documents::compound(&[("/EncryptedPackage", b"x"), ("/EncryptionInfo", b"y")]);
    for (name, octets) in [
        ("pdf", documents::pdf_encrypted()),
        ("docx", sealed),
        ("doc", documents::doc(0x0100)),
        ("odt", documents::opendocument("text", true)),
        ("zip", locked(documents::zip(&[("secret.txt", b"x")]))),
        ("pgp", b"-----BEGIN PGP MESSAGE-----\n\nx\n".to_vec()),
    ] {
        let extracted = read("", "", &octets);
        assert_eq!(extracted.status, Status::Encrypted, "{name}: {extracted:?}");
        assert!(extracted.why.is_some());
    }
    let mixed = documents::zip(&[("open.txt", b"open"), ("sealed.doc", &documents::doc(0x0100))]);
    let extracted = read("", "", &mixed);
    assert_eq!(extracted.status, Status::Partial);
    assert_has(&extracted, &["open.txt", "sealed.doc"]);
}

/// The flag of encryption set in both headers of a zip's members.
fn locked(mut zip: Vec<u8>) -> Vec<u8> {
    for (magic, at) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let places: Vec<usize> =
            (0..zip.len() - 4).filter(|place| zip[*place..*place + 4] == *magic).collect();
        places.into_iter().for_each(|place| zip[place + at] |= 1);
    }
    zip
}

#[test]
fn what_has_no_text_is_skipped_and_what_is_unknown_failed() {
    for (media_type, octets) in [
        ("image/png", &b"\x89PNG\r\n\x1a\n"[..]),
        ("application/octet-stream", b"\xff\xd8\xff\xe0\0\x10JFIF"),
        ("application/pgp-signature", b"x"),
        ("video/mp4", b"x"),
    ] {
        assert_eq!(read(media_type, "", octets).status, Status::Skipped, "{media_type}");
    }
    for octets in [&b"\0\x01\x02\x03"[..], b"Rar!\x1a\x07\x01\0", b"PK\x03\x04", b"%PDF-1.4\ncut"] {
        let extracted = read("", "", octets);
        assert_eq!(extracted.status, Status::Failed, "{extracted:?}");
        assert!(extracted.why.is_some() && extracted.text.is_empty());
    }
    assert_eq!(read("", "", b"").status, Status::Ok);
}

#[test]
fn archives_are_read_within_their_bounds() {
    let mut nested = documents::zip(&[("a.txt", WORD.as_bytes())]);
    for _ in 0..1000 {
        nested = documents::zip(&[("n.zip", &nested)]);
    }
    let extracted = read("", "", &nested);
    assert_eq!(extracted.status, Status::Failed, "{extracted:?}");
    assert!(extracted.why.unwrap().contains("nested deeper than 12"));

    let zeros = vec![b'0'; 64 * 1024 * 1024];
    let bomb = documents::gzip(&zeros);
    let extracted = read("", "a.gz", &bomb);
    assert_eq!(extracted.why.as_deref(), Some("it expands to more than is allowed"));

    let limits = Limits { text: 100, members: 3, ..Limits::default() };
    let many: Vec<(String, Vec<u8>)> =
        (0..5).map(|n| (format!("{n}.txt"), format!("text {n}").into_bytes())).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(n, c)| (n.as_str(), c.as_slice())).collect();
    let extracted = extract(&Document::default(), &documents::zip(&many), &limits);
    assert_eq!(extracted.status, Status::Partial);
    assert!(extracted.text.contains("text 2") && !extracted.text.contains("text 3"));
    let extracted = extract(&Document::default(), &[b'a'; 200], &limits);
    assert_eq!(extracted.status, Status::Partial);
    assert!(extracted.text.len() <= 100);
}

/// Entities of a document's own are never expanded.
#[test]
fn xml_that_would_expand_does_not() {
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"bbbb\"><!ENTITY c \"&b;&b;&b;\">]><a>x &c; y</a>";
    assert_has(&read("text/xml", "", bomb.as_bytes()), &["x&c;y"]);
}

/// Documents of others, where there are some.
#[test]
fn the_corpus_is_read() {
    let Some(corpus) = std::env::var_os("REDOUBT_CORPUS") else { return };
    let folder = std::path::Path::new(&corpus).join("documents");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let extracted = read("", &name, &std::fs::read(&path).unwrap());
        assert_eq!(extracted.status, Status::Ok, "{name}: {extracted:?}");
        assert!(extracted.text.trim().len() > 2, "{name}: {extracted:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Cut anywhere, with octets changed anywhere: an answer, within the bounds.
    #[test]
    fn cuts_and_flips_have_an_answer(
        which in 0..26_usize,
        cut in 0.0..1.0_f64,
        flips in prop::collection::vec((0.0..1.0_f64, any::<u8>()), 0..6),
    ) {
        let (media_type, name, mut octets) = all().swap_remove(which);
        for (at, octet) in flips {
            let at = (octets.len() as f64 * at) as usize;
            octets[at] = octet;
        }
        if cut > 0.3 {
            octets.truncate((octets.len() as f64 * cut) as usize);
        }
        let limits = Limits { text: 100_000, expanded: 1 << 20, ..Limits::default() };
        let extracted = extract(&named(media_type, name), &octets, &limits);
        prop_assert!(extracted.text.len() <= 100_000);
        prop_assert_eq!(extracted.why.is_some(), extracted.status != Status::Ok);
    }
}
