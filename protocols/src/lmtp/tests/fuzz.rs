//! Any octets in any pieces: no panic, an end, bounded memory, and the same answers.

use proptest::prelude::*;

use super::*;

fn words() -> impl Strategy<Value = Vec<u8>> {
    let known: Vec<&[u8]> = vec![
        b"LHLO x\r\n",
        b"MAIL FROM:<a@b>\r\n",
        b"RCPT TO:<alice@example.org>\r\n",
        b"DATA\r\n",
        b".\r\n",
        b"RSET\r\n",
        b"\r\n",
        b"\n",
        b"\r",
        b"x",
        b"..",
        b"NOOP\r\n",
        b"STARTTLS\r\n",
        b"XCLIENT ADDR=192.0.2.1 NAME=",
        b"XCLIENT HELO=+41\r\n",
        b"MAIL FROM:<",
        b"> SIZE=9",
        b"QUIT\r\n",
        b"\xff\x00",
        b"\"",
        b" ",
    ];
    let known = prop::sample::select(known).prop_map(<[u8]>::to_vec);
    let any = prop::collection::vec(any::<u8>(), 0..6);
    prop::collection::vec(prop_oneof![9 => known, 1 => any], 0..40).prop_map(|words| words.concat())
}

/// All that the session says to octets that come in pieces of this size.
async fn said(octets: &[u8], piece: usize) -> (Vec<u8>, usize) {
    let mut client = connect();
    let (mut reader, mut writer) = client.socket.split();
    let mut said = Vec::new();
    let send = async {
        for piece in octets.chunks(piece) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = writer.shutdown().await;
    };
    // A session that closed early resets the rest of what is sent to it.
    let (_, _) = tokio::join!(send, reader.read_to_end(&mut said));
    client.session.await.unwrap();
    (said, client.fake.mails().len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    #[test]
    fn any_octets_in_any_pieces(octets in words(), piece in 1usize..9) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let whole = said(&octets, octets.len().max(1)).await;
            let pieces = said(&octets, piece).await;
            prop_assert_eq!(&whole, &pieces);
            prop_assert!(whole.0.starts_with(b"220 ") && whole.0.ends_with(b"\r\n"));
            // An answer is at most so long for what it answers.
            prop_assert!(whole.0.len() <= 60 + 250 * (1 + octets.len()));
            Ok(())
        })?;
    }
}
