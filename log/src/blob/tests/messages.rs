//! Messages as recipes: byte-exact, and their parts stored once.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// A message being built, with the hints that a MIME parser would give.
#[derive(Default)]
struct Message {
    octets: Vec<u8>,
    hints: Vec<PartHint>,
}

impl Message {
    fn literal(mut self, octets: &[u8]) -> Self {
        self.octets.extend_from_slice(octets);
        self
    }

    fn part(mut self, octets: &[u8], encoding: PartEncoding) -> Self {
        let (start, len) = (self.octets.len() as u64, octets.len() as u64);
        self.hints.push(PartHint { start, len, encoding });
        self.literal(octets)
    }

    fn base64(self, octets: &[u8], line: usize, ending: &str, last: &str) -> Self {
        let text = lines(octets, line, ending);
        self.part(&[&text, last.as_bytes()].concat(), PartEncoding::Base64)
    }

    fn put(&self, store: &BlobStore) -> Put {
        store.put_message(&self.octets, &self.hints).unwrap()
    }
}

fn lines(octets: &[u8], line: usize, ending: &str) -> Vec<u8> {
    let text = STANDARD.encode(octets);
    let lines: Vec<&[u8]> = text.as_bytes().chunks(line).collect();
    lines.join(ending.as_bytes())
}

#[test]
fn an_attachment_in_fifty_mails_is_stored_once() {
    let (store, _) = open(&SimDisk::new(1));
    let attachment = noise(1, 50_000);
    for n in 0..50 {
        let head = format!("Subject: mail {n}\r\n\r\n--b\r\n");
        // Other encoders, other lines: the same part.
        let (line, ending) = [(76, "\r\n"), (72, "\n"), (64, "\r\n"), (75, "\n")][n % 4];
        let message = Message::default().literal(head.as_bytes());
        let message = message.base64(&attachment, line, ending, "\r\n").literal(b"--b--\r\n");
        let put = message.put(&store);
        assert_eq!(put, Put { id: BlobId::of(&message.octets), new: true });
        assert_eq!(read(&store, &put.id).unwrap(), message.octets);
    }
    let stats = store.stats();
    assert_eq!((stats.blobs, stats.dedup_hits), (51, 49));
    assert_eq!(stats.dedup_bytes, 49 * 50_000);
    assert!(stats.stored_bytes < 50_000 + 50 * 400, "{stats:?}");
    assert_eq!(read(&store, &BlobId::of(&attachment)).unwrap(), attachment);
}

#[test]
fn a_message_is_durable_with_its_parts() {
    let disk = SimDisk::new(1);
    let (store, _) = open(&disk);
    // The part is in the pack of the large ones, the recipe in the other.
    let message = Message::default().literal(b"x").base64(&noise(1, 50_000), 76, "\r\n", "");
    let id = message.put(&store).id;
    store.wait_durable(&[id]).unwrap();
    for seed in 0..5 {
        let (store, _) = open(&disk.crash());
        assert_eq!(read(&store, &id).unwrap(), message.octets, "{seed}");
    }
}

#[test]
fn a_message_attached_whole_stays_literal_where_it_is_a_recipe() {
    let (store, _) = open(&SimDisk::new(1));
    let inner =
        Message::default().literal(b"In: ner\r\n\r\n").base64(&noise(1, 30_000), 76, "\n", "");
    inner.put(&store);
    let outer = Message::default().literal(b"--b\r\n").part(&inner.octets, PartEncoding::Identity);
    let put = outer.literal(b"\r\n--b--").put(&store);
    assert!(put.new);
    let octets = read(&store, &put.id).unwrap();
    assert_eq!(&octets[5..5 + inner.octets.len()], inner.octets);
    // The other way round: what was a part is delivered as a message.
    let part = noise(2, 30_000);
    Message::default().literal(b"a").part(&part, PartEncoding::Identity).put(&store);
    let alone = Message::default().literal(&part[..1]).part(&part[1..], PartEncoding::Identity);
    assert_eq!(alone.put(&store), Put { id: BlobId::of(&part), new: false });
}

#[test]
fn senseless_hints_are_passed_over() {
    let (store, _) = open(&SimDisk::new(1));
    let octets = noise(1, 60_000);
    let hint = |start, len| PartHint { start, len, encoding: PartEncoding::Base64 };
    let wrong = [
        hint(0, 60_000),
        hint(0, u64::MAX),
        hint(u64::MAX, u64::MAX),
        hint(59_000, 20_000),
        hint(5, 100),
        hint(10_000, 20_000),
        hint(20_000, 20_000),
    ];
    let put = store.put_message(&octets, &wrong).unwrap();
    assert_eq!(read(&store, &put.id).unwrap(), octets);
    assert_eq!(store.stats().blobs, 2, "one of the two that overlap, and the recipe");
}

#[test]
fn a_part_that_is_gone_is_named() {
    let dir = tempfile::tempdir().unwrap();
    // An index that stays says that there was more.
    let open = || {
        let options = BlobOptions { index: IndexKind::RocksDb { cache: 1 << 20 }, ..small() };
        BlobStore::open(Arc::new(crate::disk::RealDisk), dir.path(), options).unwrap()
    };
    let (store, _) = open();
    let message = Message::default().literal(b"x").base64(&noise(1, 50_000), 76, "\r\n", "");
    let id = message.put(&store).id;
    store.wait_durable(&[id]).unwrap();
    drop(store);
    std::fs::remove_file(dir.path().join("0000000000000001.pack")).unwrap();
    let (store, report) = open();
    assert_eq!(report.missing, ["0000000000000001.pack"]);
    let error = read(&store, &id).unwrap_err();
    assert!(matches!(&error, BlobError::Part { blob, .. } if *blob == id), "{error}");
    assert!(error.to_string().contains(&BlobId::of(&noise(1, 50_000)).to_string()));
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(Vec<u8>),
    Raw(u64, usize),
    Base64 {
        seed: u64,
        len: usize,
        line: usize,
        crlf: bool,
        last: &'static str,
        break_at: Option<usize>,
    },
}

fn piece() -> impl Strategy<Value = Piece> {
    let base64 = (0..6u64, 1..3_000usize, 1..100usize, any::<bool>());
    let last = prop::sample::select(vec!["", "\r\n", "\n", "\r\n\r\n", " \n", "="]);
    let base64 = (base64, last, prop::option::weighted(0.2, 0..4_000usize));
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200).prop_map(Piece::Literal),
        (0..6u64, 0..3_000usize).prop_map(|(seed, len)| Piece::Raw(seed, len)),
        base64.prop_map(|((seed, len, line, crlf), last, break_at)| {
            Piece::Base64 { seed, len, line, crlf, last, break_at }
        }),
    ]
}

fn build(pieces: &[Piece]) -> Message {
    pieces.iter().fold(Message::default(), |message, piece| match piece {
        Piece::Literal(octets) => message.literal(octets),
        Piece::Raw(seed, len) => message.part(&noise(*seed, *len), PartEncoding::Identity),
        Piece::Base64 { seed, len, line, crlf, last, break_at } => {
            let ending = if *crlf { "\r\n" } else { "\n" };
            let mut encoded = lines(&noise(*seed, *len), *line, ending);
            encoded.extend_from_slice(last.as_bytes());
            if let Some(octet) = break_at.and_then(|at| encoded.get_mut(at)) {
                *octet = b'!';
            }
            message.part(&encoded, PartEncoding::Base64)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_message_comes_back_exactly(
        pieces in prop::collection::vec(piece(), 0..8), from in 0.0..1.0f64, to in 0.0..1.0f64,
    ) {
        let options = BlobOptions { part_threshold: 200, ..small() };
        let disk = SimDisk::new(1);
        let (store, _) = BlobStore::open(Arc::new(disk.clone()), Path::new(DIR), options).unwrap();
        let message = build(&pieces);
        let id = message.put(&store).id;
        prop_assert_eq!(id, BlobId::of(&message.octets));
        prop_assert_eq!(&read(&store, &id).unwrap(), &message.octets);
        let len = message.octets.len() as f64;
        let (a, b) = ((from * len) as usize, (to * len) as usize);
        let (a, b) = (a.min(b), a.max(b));
        let range = store.reader(&id).unwrap().read_at(a as u64, b - a).unwrap();
        prop_assert_eq!(range, &message.octets[a..b]);
        prop_assert!(!message.put(&store).new);
        drop(store);
        let (store, _) = open(&disk);
        prop_assert_eq!(&read(&store, &id).unwrap(), &message.octets);
    }
}
