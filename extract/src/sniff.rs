//! What a document is: by its octets, then by its media type, then by its name.

use crate::Document;
use crate::decode::looks_like_text;

/// Who reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Format {
    Pdf,
    Zip,
    Compound,
    Rtf,
    Gzip,
    Tar,
    Html,
    Xml,
    Card,
    Message,
    Text,
    /// No text in it: what it is.
    Media(String),
    /// Encrypted: what it is.
    Sealed(&'static str),
    /// What it looks like.
    Unknown(String),
}

/// First octets that tell what has no text, or none that is read here.
const MAGIC: &[(usize, &[u8], Magic)] = &[
    (0, b"\x89PNG", Magic::Media("a picture")),
    (0, b"\xff\xd8\xff", Magic::Media("a picture")),
    (0, b"GIF8", Magic::Media("a picture")),
    (0, b"II*\0", Magic::Media("a picture")),
    (0, b"MM\0*", Magic::Media("a picture")),
    (8, b"WEBP", Magic::Media("a picture")),
    (4, b"ftyp", Magic::Media("sound or film")),
    (8, b"WAVE", Magic::Media("sound")),
    (8, b"AVI ", Magic::Media("a film")),
    (0, b"OggS", Magic::Media("sound or film")),
    (0, b"ID3", Magic::Media("sound")),
    (0, b"fLaC", Magic::Media("sound")),
    (0, b"\x1aE\xdf\xa3", Magic::Media("a film")),
    (0, b"wOFF", Magic::Media("a font")),
    (0, b"wOF2", Magic::Media("a font")),
    (0, b"7z\xbc\xaf\x27\x1c", Magic::Unread("a 7z archive")),
    (0, b"Rar!\x1a\x07", Magic::Unread("a RAR archive")),
    (0, b"BZh", Magic::Unread("compressed by bzip2")),
    (0, b"\xfd7zXZ\0", Magic::Unread("compressed by xz")),
    (0, b"\x28\xb5\x2f\xfd", Magic::Unread("compressed by zstd")),
    (0, b"\x78\x9f\x3e\x22", Magic::Unread("a TNEF container")),
    (0, b"MZ", Magic::Unread("a program")),
    (0, b"\x7fELF", Magic::Unread("a program")),
];

enum Magic {
    Media(&'static str),
    Unread(&'static str),
}

/// What of its label decides how a document is read: nothing, where its octets tell for
/// themselves. Equal octets of one class have one text.
pub fn class(document: &Document, octets: &[u8]) -> String {
    if by_octets(octets).is_some() {
        return String::new();
    }
    let media = document.media_type.trim().to_ascii_lowercase();
    let charset = document.charset.trim().to_ascii_lowercase();
    format!("{media} {} {charset}", extension(&document.name))
}

/// What the document is.
pub(crate) fn format(document: &Document, octets: &[u8]) -> Format {
    by_octets(octets).unwrap_or_else(|| by_label(document, octets))
}

fn by_octets(octets: &[u8]) -> Option<Format> {
    let head = octets.get(..1024).unwrap_or(octets);
    if octets.starts_with(b"PK\x03\x04") || octets.starts_with(b"PK\x05\x06") {
        return Some(Format::Zip);
    }
    if octets.starts_with(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") {
        return Some(Format::Compound);
    }
    if octets.starts_with(b"{\\rt") {
        return Some(Format::Rtf);
    }
    if octets.starts_with(b"\x1f\x8b\x08") {
        return Some(Format::Gzip);
    }
    if octets.get(257..262) == Some(b"ustar") {
        return Some(Format::Tar);
    }
    if is_pdf(head) {
        return Some(Format::Pdf);
    }
    by_magic(octets).or_else(|| by_first_line(head))
}

/// Some write octets before the mark, which readers look for in the first thousand.
fn is_pdf(head: &[u8]) -> bool {
    let at = head.windows(5).position(|w| w == b"%PDF-");
    at.is_some_and(|at| at == 0 || !looks_like_text(head))
}

fn by_magic(octets: &[u8]) -> Option<Format> {
    let is_there = |(at, magic, _): &&(usize, &[u8], Magic)| {
        octets.get(*at..at + magic.len()).is_some_and(|found| found == *magic)
    };
    let (_, magic, what) = MAGIC.iter().find(is_there)?;
    // Two octets say little of what is text otherwise.
    if magic.len() <= 3 && looks_like_text(octets) {
        return None;
    }
    Some(match what {
        Magic::Media(what) => Format::Media((*what).into()),
        Magic::Unread(what) => Format::Unknown((*what).into()),
    })
}

fn by_first_line(head: &[u8]) -> Option<Format> {
    let begins = |with: &str| begins(head, with);
    if begins("BEGIN:VCARD") || begins("BEGIN:VCALENDAR") {
        return Some(Format::Card);
    }
    if begins("<!DOCTYPE HTML") || begins("<HTML") {
        return Some(Format::Html);
    }
    if begins("-----BEGIN PGP MESSAGE-----") {
        return Some(Format::Sealed("encrypted by OpenPGP"));
    }
    None
}

fn begins(head: &[u8], with: &str) -> bool {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    head.get(..with.len()).is_some_and(|found| found.eq_ignore_ascii_case(with.as_bytes()))
}

fn by_label(document: &Document, octets: &[u8]) -> Format {
    let media = document.media_type.trim().to_ascii_lowercase();
    by_media_type(&media)
        .or_else(|| by_name(&extension(&document.name)))
        .unwrap_or_else(|| by_looks(&media, octets))
}

fn by_media_type(media: &str) -> Option<Format> {
    let (kind, sub) = media.split_once('/')?;
    Some(match (kind, sub) {
        (_, "html" | "xhtml+xml") => Format::Html,
        (_, "xml" | "svg+xml" | "fb2+xml") => Format::Xml,
        (_, sub) if sub.ends_with("+xml") => Format::Xml,
        ("text", "calendar" | "vcard" | "x-vcard" | "directory" | "x-vcalendar") => Format::Card,
        ("application", "ics") => Format::Card,
        ("text", "rtf" | "richtext") | ("application", "rtf") => Format::Rtf,
        ("message", "rfc822" | "global") => Format::Message,
        ("application", "x-tar") => Format::Tar,
        ("application", sub) if sub.ends_with("-signature") => Format::Media("a signature".into()),
        ("application", "pkcs7-mime" | "x-pkcs7-mime") => Format::Sealed("S/MIME"),
        ("application", "pgp-encrypted") => Format::Media("a mark of OpenPGP".into()),
        ("application", "pgp-keys") => Format::Media("a key".into()),
        ("image", _) => Format::Media("a picture".into()),
        ("audio", _) => Format::Media("sound".into()),
        ("video", _) => Format::Media("a film".into()),
        ("font", _) => Format::Media("a font".into()),
        _ => return None,
    })
}

fn by_name(extension: &str) -> Option<Format> {
    Some(match extension {
        "htm" | "html" | "xhtml" | "mht" => Format::Html,
        "xml" | "svg" | "fodt" | "fods" | "fodp" => Format::Xml,
        "ics" | "vcf" | "vcs" => Format::Card,
        "eml" => Format::Message,
        "tar" => Format::Tar,
        "p7s" | "sig" => Format::Media("a signature".into()),
        "p7m" => Format::Sealed("S/MIME"),
        "gpg" | "pgp" => Format::Sealed("encrypted by OpenPGP"),
        _ => return None,
    })
}

fn by_looks(media: &str, octets: &[u8]) -> Format {
    if begins(octets, "<?xml") {
        return Format::Xml;
    }
    match media.starts_with("text/") || looks_like_text(octets) {
        true => Format::Text,
        false => Format::Unknown("of an unknown kind".into()),
    }
}

/// What is behind the last dot, in small letters.
fn extension(name: &str) -> String {
    name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(media_type: &str, name: &str, octets: &[u8]) -> Format {
        let document =
            Document { media_type: media_type.into(), name: name.into(), ..Document::default() };
        format(&document, octets)
    }

    #[test]
    fn octets_win_over_labels_and_media_types_over_names() {
        assert_eq!(told("text/plain", "a.txt", b"%PDF-1.4\n"), Format::Pdf);
        assert_eq!(told("application/pdf", "a.pdf", b"PK\x03\x04"), Format::Zip);
        assert_eq!(told("application/octet-stream", "a.ics", b"x"), Format::Card);
        assert_eq!(told("text/html", "a.eml", b"x"), Format::Html);
        assert_eq!(told("", "", b"  <!doctype html><p>"), Format::Html);
        assert_eq!(told("", "", b"<?xml version='1.0'?><a/>"), Format::Xml);
        assert_eq!(told("image/heic", "", b"x"), Format::Media("a picture".into()));
        assert_eq!(told("text/plain", "", b"MZ is how it begins"), Format::Text);
        assert_eq!(told("text/plain", "", b"I said %PDF- to him"), Format::Text);
        assert!(matches!(told("", "", b"MZ\x90\0\x03\0\0\0"), Format::Unknown(_)));
        assert!(matches!(told("", "", b"\x01\x02\0\x03"), Format::Unknown(_)));
    }
}
