//! From one store to another: byte-exact, and nothing believed.

use bytes::Bytes;

use super::*;

fn two() -> (BlobStore, BlobStore) {
    (open(&SimDisk::new(1)).0, open(&SimDisk::new(2)).0)
}

fn carry(from: &BlobStore, to: &BlobStore, id: &BlobId) -> Result<Put, BlobError> {
    to.import(&from.export(id)?)
}

#[test]
fn a_blob_arrives_as_it_was() {
    let (from, to) = two();
    for octets in [vec![], text(1, 10), text(2, 700_000), noise(3, 300_000)] {
        let id = put_durably(&from, &octets);
        assert_eq!(carry(&from, &to, &id).unwrap(), Put { id, new: true });
        assert_eq!(carry(&from, &to, &id).unwrap(), Put { id, new: false });
        to.wait_durable(&[id]).unwrap();
        assert_eq!(read(&to, &id).unwrap(), octets);
        assert_eq!(from.export(&id).unwrap(), to.export(&id).unwrap());
    }
}

/// A message with a part of its own, as it stands and in base64.
fn message() -> (Vec<u8>, Vec<PartHint>, Vec<u8>) {
    use base64::Engine as _;
    let part = noise(5, 90_000);
    let encoded = base64::engine::general_purpose::STANDARD.encode(&part);
    let lines: Vec<&str> =
        encoded.as_bytes().chunks(76).map(|l| std::str::from_utf8(l).unwrap()).collect();
    let (head, body) = ("Subject: x\r\n\r\n--b\r\n", lines.join("\r\n"));
    let hint = PartHint {
        start: head.len() as u64,
        len: body.len() as u64,
        encoding: PartEncoding::Base64,
    };
    (format!("{head}{body}\r\n--b--\r\n").into_bytes(), vec![hint], part)
}

#[test]
fn a_recipe_needs_its_parts_first() {
    let (from, to) = two();
    let (octets, hints, part) = message();
    let id = from.put_message(&octets, &hints).unwrap().id;
    let part = BlobId::of(&part);
    assert_eq!(from.export(&id).unwrap().head.parts, [part]);
    assert!(matches!(carry(&from, &to, &id), Err(BlobError::Missing(missing)) if missing == part));
    carry(&from, &to, &part).unwrap();
    assert!(carry(&from, &to, &id).unwrap().new);
    assert_eq!(read(&to, &id).unwrap(), octets);
    assert_eq!(to.export(&id).unwrap().head.kind, ExportedKind::Recipe);
}

#[test]
fn a_part_that_is_a_recipe_here_makes_the_whole_literal() {
    let (from, to) = two();
    // The receiver stored the inner message as a recipe, the sender as octets.
    let (inner, hints, _) = message();
    to.put_message(&inner, &hints).unwrap();
    let outer = [b"Subject: forwarded\r\n\r\n".as_slice(), &inner, b"\r\nend\r\n"].concat();
    let hint = PartHint { start: 22, len: inner.len() as u64, encoding: PartEncoding::Identity };
    let id = from.put_message(&outer, &[hint]).unwrap().id;
    assert_eq!(from.export(&id).unwrap().head.parts, [BlobId::of(&inner)]);
    carry(&from, &to, &id).unwrap();
    assert_eq!(to.export(&id).unwrap().head.kind, ExportedKind::Whole);
    assert_eq!(read(&to, &id).unwrap(), outer);
}

#[test]
fn what_is_not_the_blob_is_refused() {
    let (from, to) = two();
    let id = put_durably(&from, &text(1, 300_000));
    let good = from.export(&id).unwrap();
    let mut other = good.clone();
    other.head.id = BlobId::of(b"other");
    let mut long = good.clone();
    (long.head.len, long.head.payload) = (u64::MAX, u64::MAX);
    let mut recipe = good.clone();
    recipe.head.kind = ExportedKind::Recipe;
    for wrong in [other, long, recipe] {
        assert!(matches!(to.import(&wrong), Err(BlobError::Foreign { .. })), "{:?}", wrong.head);
    }
    for at in (0..good.body.len()).step_by(7) {
        let mut body = good.body.to_vec();
        body[at] ^= 1;
        let wrong = Exported { head: good.head.clone(), body: Bytes::from(body) };
        assert!(matches!(to.import(&wrong), Err(BlobError::Foreign { .. })), "octet {at}");
        let cut = Exported { head: good.head.clone(), body: good.body.slice(..at) };
        assert!(matches!(to.import(&cut), Err(BlobError::Foreign { .. })), "cut at {at}");
    }
    assert!(!to.contains(&id).unwrap());
    assert_eq!(to.stats().blobs, 0);
}

#[test]
fn pieces_make_the_whole() {
    let (from, _) = two();
    let id = put_durably(&from, &noise(1, 200_000));
    let (exporter, whole) = (from.exporter(&id).unwrap(), from.export(&id).unwrap());
    let mut octets = Vec::new();
    loop {
        let piece = exporter.piece(octets.len() as u64, 1000).unwrap();
        if piece.is_empty() {
            break;
        }
        octets.extend_from_slice(&piece);
    }
    assert_eq!(octets, whole.body);
    assert_eq!(from.ids(None, 10).unwrap(), [id]);
}

fn in_a_file(exported: &Exported) -> Arc<dyn DiskFile> {
    let disk = SimDisk::new(3);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    let file = disk.create(&Path::new(DIR).join("came")).unwrap();
    file.write_all_at(&exported.body, 0).unwrap();
    file
}

#[test]
fn what_lies_in_a_file_is_stored_as_what_is_in_memory() {
    let (from, to) = two();
    for octets in [text(2, 5_000_000), noise(3, 3_000_000), text(1, 10), vec![]] {
        let id = put_durably(&from, &octets);
        let exported = from.export(&id).unwrap();
        let file = in_a_file(&exported);
        assert_eq!(to.import_file(&exported.head, file).unwrap(), Put { id, new: true });
        to.wait_durable(&[id]).unwrap();
        assert_eq!(read(&to, &id).unwrap(), octets);
        assert_eq!(to.export(&id).unwrap(), exported);
    }
    let (octets, hints, part) = message();
    let id = from.put_message(&octets, &hints).unwrap().id;
    carry(&from, &to, &BlobId::of(&part)).unwrap();
    let exported = from.export(&id).unwrap();
    assert!(to.import_file(&exported.head, in_a_file(&exported)).unwrap().new);
    assert_eq!(read(&to, &id).unwrap(), octets);
}

#[test]
fn what_lies_in_a_file_is_believed_no_more_and_does_not_stop_the_store() {
    let (from, to) = two();
    let id = put_durably(&from, &noise(4, 2_500_000));
    let good = from.export(&id).unwrap();
    let mut body = good.body.to_vec();
    *body.last_mut().unwrap() ^= 1;
    let bad = Exported { body: body.into(), ..good.clone() };
    let refused = to.import_file(&bad.head, in_a_file(&bad));
    assert!(matches!(refused, Err(BlobError::Foreign { .. })), "{refused:?}");
    let short = Exported { body: good.body.slice(..1_000_000), ..good.clone() };
    let refused = to.import_file(&short.head, in_a_file(&short));
    assert!(matches!(refused, Err(BlobError::Io { .. })), "{refused:?}");
    assert!(carry(&from, &to, &id).unwrap().new);
    to.wait_durable(&[id]).unwrap();
    assert_eq!(to.export(&id).unwrap(), good);
}
