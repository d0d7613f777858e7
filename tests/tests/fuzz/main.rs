//! The inputs of the fuzz targets (`fuzz/fuzz_targets`), run on seeds that read and on what becomes
//! of them: a fuzzer finds more, but only where it is run.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

mod document;
#[path = "../../../extract/tests/documents/mod.rs"]
mod documents;
mod imap;
mod journal;
mod milter;
mod moment;
mod peer;
mod proxy;
mod query;

use proptest::prelude::*;

/// A session that reads; the fuzzer begins with it too.
const SESSION: &[u8] = include_bytes!("../../../fuzz/seeds/imap/session");

/// What an MTA tells of a message.
const MILTER: &[u8] = b"\0\0\0\x0dO\0\0\0\x06\0\0\x01\xff\0\x1f\xff\xff\
    \0\0\0\x15DM{auth_authen}\0alice\0\0\0\0\x14Cc.example\x004\x12\x34192.0.2\0\
    \0\0\0\x0cM<a@x>\0SIZE\0\0\0\0\x07R<b@x>\0\0\0\0\x01T\0\0\0\x0cLSubject\0 x\0\
    \0\0\0\x01N\0\0\0\x05Bbody\0\0\0\x04Eend\0\0\0\x01A\0\0\0\x01Q";

const JOURNAL: &[u8] = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
    Content-Type: text/plain\r\n\r\nSender: a@x\r\nTo: b@x, Expanded: l@x\r\nBcc: c@x\r\n\
    --b\r\nContent-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nbody\r\n--b--\r\n";

const HEADERS: [&[u8]; 4] = [
    b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\na LOGIN",
    b"PROXY UNKNOWN\r\n",
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbbEHLO",
    b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
];

const MOMENTS: [&str; 7] = [
    "2026-11-20T14:00:00.5+01:00",
    "2026-11-20 14:00",
    "yesterday 14:00:05",
    "-1w2d3h4m5s",
    "@1234",
    "20261120T140005Z",
    "-0001-01-01T00:00:00Z",
];

const QUERIES: [&str; 6] = [
    "from:bob subject:\"Q 3\" after:2026-11-20 -is:read",
    "(a OR *b*) NOT (c* NEAR(3) \"d e\") header[X-Y]:z attachment:image/*",
    "zone:Europe/Berlin date:-7d..2026-11-20T14:00Z asof:@77 deleted:any",
    "size:1k..2m uid:1,5..9,20.. modseq:..7 emailid:e1f-0 held:7",
    "to:(bob@example.org OR @x OR \"B \\\" M\") in:\"Work/2026\" deletedby:uid=0",
    "2026年の報告 AND 見積 -\u{e9}t\u{e9}*",
];

/// One change of an input.
#[derive(Debug, Clone)]
enum Edit {
    Set(usize, u8),
    Flip(usize, u8),
    Cut(usize, usize),
    Double(usize, usize),
    Insert(usize, Vec<u8>),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let telling = prop::sample::select(b"\r\n\0 (){}[]\"\\*%+,:<>~\x7f\xff0199".to_vec());
    let octet = prop_oneof![telling, any::<u8>()];
    let octets = prop::collection::vec(any::<u8>(), 1..12);
    let at = || 0..4096usize;
    let edit = prop_oneof![
        4 => (at(), octet).prop_map(|(at, octet)| Edit::Set(at, octet)),
        2 => (at(), 0..8u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        1 => (at(), 1..40usize).prop_map(|(at, len)| Edit::Cut(at, len)),
        1 => (at(), 1..40usize).prop_map(|(at, len)| Edit::Double(at, len)),
        1 => (at(), octets).prop_map(|(at, octets)| Edit::Insert(at, octets)),
    ];
    prop::collection::vec(edit, 0..12)
}

fn edited(seed: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for edit in edits {
        let len = octets.len().max(1);
        let range = |at: &usize, more: &usize| at % len..(at % len + more).min(octets.len());
        match edit {
            _ if octets.is_empty() => {}
            Edit::Set(at, octet) => octets[at % len] = *octet,
            Edit::Flip(at, bit) => octets[at % len] ^= 1 << bit,
            Edit::Cut(at, more) => drop(octets.drain(range(at, more))),
            Edit::Double(at, more) => {
                let again = octets[range(at, more)].to_vec();
                octets.splice(at % len..at % len, again);
            }
            Edit::Insert(at, more) => drop(octets.splice(at % len..at % len, more.clone())),
        }
    }
    octets
}

/// A frame with a checksum that fits: `[length][CRC32C][kind][id][length of the head][head][bulk]`.
fn frame(kind: u8, head: &[u8], bulk: &[u8]) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend(7u64.to_le_bytes());
    body.extend(u32::try_from(head.len()).unwrap().to_le_bytes());
    body.extend(head);
    body.extend(bulk);
    let mut octets = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
    octets.extend(crc32c::crc32c(&body).to_le_bytes());
    octets.extend(body);
    octets
}

#[test]
fn the_seeds_read() {
    imap::run(SESSION);
    HEADERS.iter().for_each(|header| proxy::run(header));
    MOMENTS.iter().for_each(|text| moment::run(text.as_bytes()));
    QUERIES.iter().for_each(|text| query::run(text.as_bytes()));
    documents::all().iter().for_each(|(_, _, octets)| document::run(&labelled(0, octets)));
    peer::run(&frame(6, b"", b""));
    assert_eq!(redoubt_log::raft::wire::read_any(&frame(6, b"", b"")), 1);
}

fn labelled(label: u8, octets: &[u8]) -> Vec<u8> {
    [&[label], octets].concat()
}

proptest! {
    #[test]
    fn documents_take_any_octets(which in 0..26_usize, label in 0..6_u8, edits in edits()) {
        let octets = documents::all().swap_remove(which).2;
        document::run(&labelled(label, &edited(&octets, &edits)));
    }

    #[test]
    fn imap_takes_any_octets(edits in edits(), from in 0..SESSION.len()) {
        imap::run(&edited(SESSION, &edits));
        imap::run(&edited(&SESSION[from..], &edits));
    }

    #[test]
    fn proxy_headers_take_any_octets(which in 0..HEADERS.len(), edits in edits()) {
        proxy::run(&edited(HEADERS[which], &edits));
    }

    #[test]
    fn milters_take_any_octets(edits in edits(), from in 0..MILTER.len()) {
        milter::run(&edited(MILTER, &edits));
        milter::run(&edited(&MILTER[from..], &edits));
    }

    #[test]
    fn journals_take_any_octets(edits in edits()) {
        journal::run(&edited(JOURNAL, &edits));
    }

    #[test]
    fn queries_take_any_octets(which in 0..QUERIES.len(), edits in edits()) {
        query::run(&edited(QUERIES[which].as_bytes(), &edits));
    }

    #[test]
    fn moments_take_any_octets(which in 0..MOMENTS.len(), edits in edits()) {
        moment::run(&edited(MOMENTS[which].as_bytes(), &edits));
    }

    #[test]
    fn peers_take_any_octets(
        kind in 0..8u8,
        head in prop::collection::vec(any::<u8>(), 0..200),
        bulk in prop::collection::vec(any::<u8>(), 0..100),
        edits in edits(),
    ) {
        let one = frame(kind, &head, &bulk);
        peer::run(&one);
        peer::run(&edited(&one, &edits));
        // Edits behind a checksum that fits, and several frames at one time.
        let head = edited(&head, &edits);
        peer::run(&[one, frame(kind, &head, &bulk), frame(6, b"", b"")].concat());
    }
}
