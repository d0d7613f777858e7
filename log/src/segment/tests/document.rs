//! docs/format.md says what the code does: its tables are read and compared.

use std::collections::BTreeMap;

use super::super::format::*;
use super::*;

const PAGE: &str = include_str!("../../../../docs/format.md");

const SEGMENT: SegmentId =
    SegmentId { number: 1, id: 0x1112_1314_1516_1718, previous: 0, capacity: 64 << 20 };

fn section(title: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n{title}\n")).expect("a heading or line");
    rest.trim_start()
}

fn cells(line: &str) -> Vec<String> {
    line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// The rows of the first table behind a line: cells of each.
fn table(title: &str) -> Vec<Vec<String>> {
    let lines = section(title).lines().skip_while(|line| !line.starts_with('|')).skip(2);
    lines.take_while(|line| line.starts_with('|')).map(cells).collect()
}

/// Field name (up to a colon) to its place, where the length is given.
fn fields(title: &str) -> BTreeMap<String, Range<usize>> {
    let field = |row: Vec<String>| {
        let start: usize = row[0].parse().unwrap();
        let len: usize = row[1].parse().ok()?;
        let name = row[2].split([':', ';']).next().unwrap().to_owned();
        Some((name, start..start + len))
    };
    table(title).into_iter().filter_map(field).collect()
}

fn hex(bytes: &[u8]) -> String {
    let lines = bytes
        .chunks(16)
        .map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join("\n")
}

fn header() -> BatchHeader {
    BatchHeader {
        frames_len: 0,
        frames: 0,
        number: 5,
        synced: (1, 4200),
        tree_size: 0,
        chain: Hash::default(),
    }
}

fn batch(frames: &[Frame<'_>], header: BatchHeader) -> Vec<u8> {
    let mut buffer = BatchBuffer::default();
    buffer.begin();
    frames.iter().for_each(|frame| buffer.push(frame));
    buffer.finish(&SEGMENT, 4200, header).to_vec()
}

#[test]
fn the_constants_are_those_of_the_page() {
    let values: BTreeMap<_, usize> = table("## Segments")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].parse().unwrap()))
        .collect();
    let code = [
        ("FORMAT", FORMAT as usize),
        ("SEGMENT_HEADER_BYTES", SEGMENT_HEADER_BYTES),
        ("BATCH_HEADER_BYTES", BATCH_HEADER_BYTES),
        ("BATCH_TRAILER_BYTES", BATCH_TRAILER_BYTES),
        ("BATCH_ALIGN", BATCH_ALIGN),
        ("FRAME_HEADER_BYTES", FRAME_HEADER_BYTES),
        ("ENTRY_FIXED_BYTES", ENTRY_FIXED_BYTES),
        ("MAX_PAYLOAD_BYTES", MAX_PAYLOAD_BYTES),
        ("MAX_VOTE_BYTES", MAX_VOTE_BYTES),
    ];
    let code = code.map(|(name, value)| (name.to_owned(), value));
    assert_eq!(values, BTreeMap::from(code));
    let bytes = (crate::record::MAX_RECORD_BYTES, crate::record::MAX_CHANGES);
    assert_eq!(bytes, (262_144, 2_000));
    assert!(section("## Records").contains("at most 262,144 bytes"));
    assert!(section("## Records").contains("at most 2,000 recipients"));
}

#[test]
fn a_segment_header_is_laid_out_as_on_the_page() {
    let bytes = SegmentId { previous: 77, ..SEGMENT }.encode();
    let fields = fields("### Segment header");
    let number = |name: &str| {
        let place = fields[name].clone();
        u64::from_le_bytes(bytes[place].try_into().unwrap())
    };
    assert_eq!(bytes[fields["magic"].clone()], SEGMENT_MAGIC);
    assert_eq!(bytes[fields["format"].clone()], FORMAT.to_le_bytes());
    assert_eq!((number("number"), number("previous")), (1, 77));
    assert_eq!((number("id"), number("capacity")), (SEGMENT.id, SEGMENT.capacity));
    let covered = [&bytes[fields["format"].clone()], &bytes[16..48]].concat();
    let checksum = crc32c::crc32c(&covered).to_le_bytes();
    assert_eq!(bytes[fields["checksum"].clone()], checksum);
    assert!(all_zero(&bytes[fields["zero"].clone()]));
    assert_eq!(fields["zero"].end, SEGMENT_HEADER_BYTES);
}

fn seeded(offset: u64, bytes: &[u8]) -> [u8; 4] {
    let seed = [SEGMENT.number, SEGMENT.id, offset].map(u64::to_le_bytes).concat();
    crc32c::crc32c(&[&seed, bytes].concat()).to_le_bytes()
}

#[test]
fn a_batch_is_laid_out_as_on_the_page() {
    let head = BatchHeader { synced: (3, 4), tree_size: 6, chain: Hash([9; 32]), ..header() };
    let bytes = batch(&[Frame::Vote(b"a vote"), Frame::Mark], head);
    let fields = fields("### Batch");
    let at = |name: &str| bytes[fields[name].clone()].to_vec();
    let frames_len = u32::try_from(2 * FRAME_HEADER_BYTES + 6).unwrap();
    assert_eq!(at("magic"), BATCH_MAGIC);
    assert_eq!(at("frames_len"), frames_len.to_le_bytes());
    assert_eq!(at("frames"), 2_u32.to_le_bytes());
    assert_eq!(at("batch number"), 5_u64.to_le_bytes());
    assert_eq!(at("synced segment"), 3_u64.to_le_bytes());
    assert_eq!(at("synced offset"), 4_u64.to_le_bytes());
    assert_eq!(at("tree size"), 6_u64.to_le_bytes());
    assert_eq!(at("chain before this batch"), [9; 32]);
    assert_eq!(bytes[4..8], seeded(4200, &bytes[8..BATCH_HEADER_BYTES]));
    let length = u32::try_from(bytes.len()).unwrap().to_le_bytes();
    assert!(bytes.ends_with(&[&length[..], b"REND"].concat()));
    assert_eq!(bytes.len() % BATCH_ALIGN, 0);
}

#[test]
fn frames_are_laid_out_as_on_the_page() {
    let entry = EntryFrame {
        id: id(2, 3),
        kind: EntryKind::Record,
        stamp: Timestamp(4),
        time: Timestamp(5),
        payload: b"payload",
    };
    let bytes = batch(&[Frame::Entry(entry)], header());
    let frame = &bytes[BATCH_HEADER_BYTES..BATCH_HEADER_BYTES + 9 + 33 + 7];
    assert_eq!(frame[..4], seeded(4200 + BATCH_HEADER_BYTES as u64, &frame[4..]));
    assert_eq!(frame[fields("### Frame")["length of the body"].clone()], 40_u32.to_le_bytes());
    assert_eq!(frame[fields("### Frame")["kind"].clone()], [2]);
    let body = &frame[FRAME_HEADER_BYTES..];
    let fields = fields("An entry's body:");
    let at = |name: &str| body[fields[name].clone()].to_vec();
    assert_eq!((at("term"), at("index")), (2_u64.to_le_bytes().into(), 3_u64.to_le_bytes().into()));
    assert_eq!(at("entry kind"), [2]);
    assert_eq!((at("stamp"), at("time")), (4_u64.to_le_bytes().into(), 5_u64.to_le_bytes().into()));
    assert_eq!(&body[ENTRY_FIXED_BYTES..], b"payload");
}

#[test]
fn the_kinds_of_frames_are_those_of_the_page() {
    let seal = Seal {
        state: State::default(),
        before: None,
        chain_before: Hash::default(),
        first_batch: 1,
        runs: vec![Run { first: LogIndex(0), offset: 4096 }],
    };
    let head = Head::default;
    let entry = EntryFrame {
        id: id(0, 0),
        kind: EntryKind::Blank,
        stamp: Timestamp(0),
        time: Timestamp(0),
        payload: b"",
    };
    let frames = [
        ("start", Frame::Start(State::default())),
        ("entry", Frame::Entry(entry)),
        ("vote", Frame::Vote(b"")),
        ("committed", Frame::Committed(Some(id(1, 2)))),
        ("truncate", Frame::Truncate { last: None, head: head() }),
        ("purge", Frame::Purge { upto: id(1, 1), head: head() }),
        ("reset", Frame::Reset { last: id(1, 1), head: head() }),
        ("seal", Frame::Seal(Box::new(seal))),
        ("mark", Frame::Mark),
    ];
    let rows = section("| kind | name | body |").lines().skip(1).map_while(|line| {
        line.starts_with('|').then(|| (cells(line)[0].clone(), cells(line)[1].clone()))
    });
    let rows: Vec<_> = rows.collect();
    assert_eq!(rows.len(), frames.len());
    for ((number, name), (expected, frame)) in rows.into_iter().zip(frames) {
        let bytes = batch(std::slice::from_ref(&frame), header());
        assert_eq!((name.as_str(), number), (expected, bytes[BATCH_HEADER_BYTES + 8].to_string()));
        let read = decode_batch(&SEGMENT, 4200, &bytes).expect("what is written reads");
        assert_eq!(read.frames, [frame]);
    }
}

#[test]
fn the_chain_is_hashed_as_on_the_page() {
    let rows = table("## Chain");
    let prefixes: BTreeMap<String, String> =
        rows.into_iter().map(|row| (row[0].clone(), row[1][..4].to_owned())).collect();
    let code = [
        ("content", chain::CONTENT_PREFIX),
        ("leaf", chain::LEAF_PREFIX),
        ("node", chain::NODE_PREFIX),
        ("chain", chain::LINK_PREFIX),
    ];
    let code = code.map(|(name, prefix)| (name.to_owned(), format!("`{prefix:02x}`")));
    assert_eq!(prefixes, BTreeMap::from(code));
}

#[test]
fn the_examples_are_what_the_code_writes() {
    let example = section("### Example");
    let segment = hex(&SEGMENT.encode()[..48]);
    assert!(example.contains(&segment), "the header is\n{segment}");
    let mark = hex(&batch(&[Frame::Mark], header()));
    assert!(example.contains(&mark), "the batch is\n{mark}");
}
