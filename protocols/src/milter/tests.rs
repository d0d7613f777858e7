#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! An MTA's side of connections: what it tells, what it is answered, what is captured.

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use proptest::prelude::*;
use redoubt_store::mailstore::Envelope;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::limits::Limits;
use crate::server::{ProtocolStats, pipe};

type Taken = (Sent, Vec<u8>);

#[derive(Debug, Default, Clone)]
struct Fake {
    taken: Arc<Mutex<Vec<Taken>>>,
    /// Says no leader.
    away: bool,
}

/// The most octets of a message here.
const MOST: usize = 500;

impl Capturer for Fake {
    type Content = Vec<u8>;

    fn begin(&self) -> Vec<u8> {
        Vec::new()
    }

    async fn write(content: &mut Vec<u8>, octets: &[u8]) -> Result<(), WriteError> {
        content.extend_from_slice(octets);
        match content.len() > MOST {
            true => Err(WriteError::TooLarge { size: content.len() as u64, limit: MOST as u64 }),
            false => Ok(()),
        }
    }

    async fn capture(
        &self,
        _: Actor,
        sent: Sent,
        content: Result<Vec<u8>, WriteError>,
    ) -> Result<bool, WriteError> {
        if self.away {
            return Err(WriteError::Unavailable("nobody leads".into()));
        }
        self.taken.lock().push((sent, content?));
        Ok(true)
    }
}

fn packet(letter: u8, data: &[u8]) -> Vec<u8> {
    let mut packet = BytesMut::new();
    packet::write(&mut packet, letter, data);
    packet.to_vec()
}

/// What a session answers to octets, by letters, and the replies' texts.
async fn talk(fake: &Fake, octets: Vec<u8>) -> (String, Vec<Bytes>) {
    let (connection, socket) =
        pipe(Limits::default(), None, Arc::new(ProtocolStats::default()), CancellationToken::new())
            .unwrap();
    let session = tokio::spawn(Arc::new(Milter::new(fake.clone())).serve(connection));
    let (mut reader, mut writer) = socket.into_split();
    let send = tokio::spawn(async move {
        let _ = writer.write_all(&octets).await;
        drop(writer);
    });
    let mut said = BytesMut::new();
    while reader.read_buf(&mut said).await.unwrap_or(0) > 0 {}
    send.await.unwrap();
    session.await.unwrap();
    let (mut letters, mut texts) = (String::new(), Vec::new());
    while let Some((letter, data)) = take(&mut said).unwrap() {
        letters.push(char::from(letter));
        texts.push(data);
    }
    (letters, texts)
}

fn negotiate(version: u32, protocol: u32) -> Vec<u8> {
    packet(b'O', [version, 0x1ff, protocol].map(u32::to_be_bytes).as_flattened())
}

const ALL: u32 = 0x1f_ffff;

/// A message as Postfix tells it, its header with leading spaces.
fn message(body: &[u8]) -> Vec<u8> {
    [
        packet(b'D', b"C{daemon_name}\0mta\0"),
        packet(b'C', b"client.example\x004\x12\x34192.0.2.7\0"),
        packet(b'D', b"H{tls_version}\0TLSv1.3\0"),
        packet(b'H', b"helo.example\0"),
        packet(b'D', b"Mi\x004abc\0{auth_authen}\0alice\0"),
        packet(b'M', b"<alice@example.org>\0SIZE=10\0BODY=8BITMIME\0"),
        packet(b'R', b"<bob@example.org>\0"),
        packet(b'R', b"<secret@example.net>\0NOTIFY=NEVER\0"),
        packet(b'T', b""),
        packet(b'L', b"Subject\0  two  spaces\n\tand a fold\0"),
        packet(b'L', b"To\0none\0"),
        packet(b'N', b""),
        packet(b'B', body),
        packet(b'E', b"the end\r\n"),
    ]
    .concat()
}

const REBUILT: &[u8] =
    b"Subject:  two  spaces\r\n\tand a fold\r\nTo:none\r\n\r\nbody\r\n\r\nthe end\r\n";

#[tokio::test]
async fn a_message_is_rebuilt_with_its_envelope() {
    let fake = Fake::default();
    let octets = [negotiate(6, ALL), message(b"body\r\n\r\n"), packet(b'Q', b"")].concat();
    let (letters, texts) = talk(&fake, octets).await;
    assert_eq!(letters, "Oa", "nothing is answered but what must be");
    let wished = u32::from_be_bytes(texts[0][8..12].try_into().unwrap());
    assert_eq!(wished & 0x800, 0, "rejected recipients are not asked for");
    let taken = fake.taken.lock().clone();
    let (sent, content) = &taken[0];
    assert_eq!(String::from_utf8_lossy(content), String::from_utf8_lossy(REBUILT));
    assert_eq!(sent.recipients, ["bob@example.org", "secret@example.net"]);
    assert_eq!(sent.authenticated.as_deref(), Some("alice"));
    let envelope = Envelope {
        sender: "alice@example.org".into(),
        parameters: vec!["SIZE=10".into(), "BODY=8BITMIME".into()],
        client_name: "helo.example".into(),
        client_address: "192.0.2.7".parse().ok(),
        tls: true,
    };
    assert_eq!(sent.envelope, envelope);
}

#[tokio::test]
async fn an_mta_that_waits_for_answers_gets_them() {
    let fake = Fake::default();
    let octets = [negotiate(2, 0), message(b"x"), packet(b'U', b"NOOP\0")].concat();
    let (letters, _) = talk(&fake, octets).await;
    // Connection, HELO, MAIL, two RCPT, DATA, two fields, the header's end, a piece; the verdict.
    assert_eq!(letters, "Occccccccccac");
    let taken = fake.taken.lock().clone();
    assert!(taken[0].1.starts_with(b"Subject:   two"), "one space stands for the one that is cut");
}

#[tokio::test]
async fn nothing_passes_that_is_not_captured() {
    let away = Fake { away: true, ..Fake::default() };
    let (letters, texts) = talk(&away, [negotiate(6, ALL), message(b"x")].concat()).await;
    assert_eq!(letters, "Oy");
    assert!(texts[1].starts_with(b"451 4.3.2 "), "{texts:?}");
    let fake = Fake::default();
    let large = [negotiate(6, ALL), message(&[b'x'; MOST]), message(b"small")].concat();
    let (letters, texts) = talk(&fake, large).await;
    assert_eq!(letters, "Oya");
    assert!(texts[1].starts_with(b"552 5.3.4 "), "{texts:?}");
    assert_eq!(fake.taken.lock().len(), 1);
    // Without a sender there is no message.
    let (letters, _) = talk(&fake, [negotiate(6, ALL), packet(b'E', b"")].concat()).await;
    assert_eq!(letters, "Oy");
}

#[tokio::test]
async fn one_that_is_given_up_leaves_nothing_behind() {
    let fake = Fake::default();
    let begun = [
        negotiate(6, ALL),
        packet(b'D', b"M{auth_authen}\0mallory\0"),
        packet(b'M', b"<mallory@example.org>\0"),
        packet(b'R', b"<bob@example.org>\0"),
        packet(b'L', b"Subject\0 lost\0"),
        packet(b'A', b""),
        packet(b'M', b"<>\0"),
        packet(b'R', b"<carol@example.org>\0"),
        packet(b'N', b""),
        packet(b'E', b""),
        packet(b'K', b""),
        packet(b'M', b"dora@example.org\0"),
        packet(b'E', b""),
    ];
    let (letters, _) = talk(&fake, begun.concat()).await;
    assert_eq!(letters, "Oaa");
    let taken = fake.taken.lock().clone();
    assert_eq!(taken[0].0.recipients, ["carol@example.org"]);
    assert_eq!((taken[0].0.envelope.sender.as_str(), &taken[0].1[..]), ("", &b"\r\n"[..]));
    assert_eq!(taken[0].0.authenticated, None);
    assert_eq!(taken[1].0.envelope.sender, "dora@example.org");
}

#[tokio::test]
async fn what_does_not_read_ends_the_connection() {
    for octets in [
        b"\0\0\0\0".to_vec(),
        b"\x7f\xff\xff\xff".to_vec(),
        negotiate(1, ALL),
        packet(b'O', b"\0\0"),
        [negotiate(6, ALL), packet(b'M', b"no end"), message(b"x")].concat(),
        [negotiate(6, ALL), packet(b'L', b"no value\0"), message(b"x")].concat(),
    ] {
        let fake = Fake::default();
        let (letters, _) = talk(&fake, octets).await;
        assert!(letters.len() <= 1, "{letters}");
        assert!(fake.taken.lock().is_empty());
    }
}

proptest! {
    #[test]
    fn any_packet_reads_or_not(letter in any::<u8>(), data in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = parse(letter, &Bytes::from(data));
    }

    #[test]
    fn packets_come_back_from_any_pieces(
        packets in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..50)), 0..8),
        cut in 1usize..20,
    ) {
        let octets: Vec<u8> = packets.iter().flat_map(|(l, data)| packet(*l, data)).collect();
        let (mut input, mut found) = (BytesMut::new(), Vec::new());
        for piece in octets.chunks(cut) {
            input.extend_from_slice(piece);
            while let Some((letter, data)) = take(&mut input).unwrap() {
                found.push((letter, data.to_vec()));
            }
        }
        prop_assert_eq!(found, packets);
    }

    #[test]
    fn headers_and_bodies_are_rebuilt(
        fields in prop::collection::vec(("[!-9;-~]{1,20}", "[ -~]{0,60}"), 0..6),
        body in prop::collection::vec(any::<u8>(), 0..200),
        cut in 1usize..100,
    ) {
        let mut octets = negotiate(6, ALL);
        octets.extend(packet(b'M', b"<a@example.org>\0"));
        let mut whole = Vec::new();
        for (name, value) in &fields {
            octets.extend(packet(b'L', format!("{name}\0{value}\0").as_bytes()));
            whole.extend(format!("{name}:{value}\r\n").into_bytes());
        }
        octets.extend(packet(b'N', b""));
        whole.extend(b"\r\n");
        for piece in body.chunks(cut) {
            octets.extend(packet(b'B', piece));
        }
        octets.extend(packet(b'E', b""));
        whole.extend(&body);
        prop_assume!(whole.len() <= MOST);
        let fake = Fake::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (letters, _) = runtime.block_on(talk(&fake, octets));
        prop_assert_eq!(letters, "Oa");
        let taken = fake.taken.lock().clone();
        prop_assert_eq!(&taken[0].1, &whole);
    }
}
