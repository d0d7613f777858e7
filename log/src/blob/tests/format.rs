//! docs/format.md says what the code does, and bytes of version 1 stay as they are.

use super::frame::*;
use super::*;

fn section() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/format.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n## Packs\n").expect("a section Packs");
    section.split("\n## ").next().unwrap().to_owned()
}

#[test]
fn the_document_agrees() {
    let section = section();
    let ascii = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    let said = [
        format!("`{}`", ascii(&PACK_MAGIC)),
        format!("`{}`", ascii(&TRAILER_MAGIC)),
        "`52 42 46 F1`".to_string(),
        format!("version {PACK_VERSION}"),
        format!("header of {PACK_HEADER} octets"),
        format!("frame header of {FRAME_HEADER} octets"),
        format!("items of {TABLE_ITEM} octets"),
        format!("{CHUNK} octets of the payload"),
        format!("items of {FOOTER_ITEM} octets"),
        format!("trailer of {TRAILER} octets"),
        format!("at most {} parts", recipe::MAX_PARTS),
        format!("at most {} octets each", recipe::MAX_INSTRUCTION),
    ];
    for words in said {
        assert!(section.contains(&words), "docs/format.md, Packs, does not say {words:?}");
    }
    assert_eq!(FRAME_MAGIC, [0x52, 0x42, 0x46, 0xF1]);
    assert_eq!(STORED_RAW, 0x8000_0000);
}

#[test]
fn version_1_has_these_bytes() {
    let key = PackKey { id: 3, lane: Lane::Large, salt: *b"0123456789abcdef" };
    let header = key.encode();
    assert_eq!(header.len(), PACK_HEADER);
    assert_eq!(PackKey::decode(&header), Some(key));
    let hash = |octets: &[u8]| BlobId::of(octets).to_string()[..16].to_owned();
    let mut draft = draft::Draft::new(Kind::Content, BlobId::of(b"hello"), 5, b"hello", 3);
    let (frame, octets) = draft.place(&key, 64, 64);
    assert_eq!((frame.size(), octets.len()), (97, 97));
    let trailer = Trailer { footer: 161, totals: Totals { blobs: 1, raw: 5, stored: 97 } };
    let trailer = trailer.encode(key.seed(300));
    assert_eq!(trailer.len(), TRAILER);
    let found = [hash(&header), hash(octets), hash(&trailer)];
    assert_eq!(found, GOLDEN, "a change of these bytes needs a new version");
}

const GOLDEN: [&str; 3] = ["01b432f5374ad66b", "f1c02135be9bb06c", "89f66b33d1bbf7f0"];
