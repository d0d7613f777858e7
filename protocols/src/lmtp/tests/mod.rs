#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
//! Sessions as scripts: what the client sends, what it is told.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::limits::Limits;
use crate::server::{Address, Listen, ProtocolStats, Server, TlsMode, pipe};
use crate::tls::{CertificateFiles, Tls};

pub(crate) mod fake;
mod fuzz;
mod listeners;
mod real;
mod scripts;
mod socketmap;

use fake::{Fake, MAX};

fn options() -> LmtpOptions {
    LmtpOptions {
        hostname: "mail.example.org".into(),
        max_message: MAX,
        max_recipients: 4,
        ..LmtpOptions::default()
    }
}

/// A client of a session over a socket pair.
struct Client {
    socket: UnixStream,
    fake: Fake,
    session: tokio::task::JoinHandle<()>,
}

fn connect_with(options: LmtpOptions, limits: Limits, shutdown: CancellationToken) -> Client {
    let fake = Fake::default();
    let (connection, socket) =
        pipe(limits, None, Arc::new(ProtocolStats::default()), shutdown).unwrap();
    let session = tokio::spawn(Arc::new(Lmtp::new(fake.clone(), options)).serve(connection));
    Client { socket, fake, session }
}

fn connect() -> Client {
    connect_with(options(), Limits::default(), CancellationToken::new())
}

impl Client {
    /// Sends it all, then nothing more; all that the session said, the greeting left out.
    async fn talk(mut self, lines: &str) -> (String, Fake) {
        // Beside the reading, so that neither waits for the other.
        let (mut reader, mut writer) = self.socket.split();
        let mut said = String::new();
        let send = async {
            let _ = writer.write_all(lines.as_bytes()).await;
            let _ = writer.shutdown().await;
        };
        let (_, read) = tokio::join!(send, reader.read_to_string(&mut said));
        read.unwrap();
        self.session.await.unwrap();
        let said = said.strip_prefix("220 mail.example.org LMTP Redoubt\r\n").unwrap();
        (said.to_owned(), self.fake)
    }
}

/// Checks a whole session: what follows `>` and a blank is sent, the others are
/// what must come back, in order; `…` at the end of a line stands for anything.
async fn script(text: &str) -> Fake {
    script_of(connect(), text).await
}

async fn script_of(client: Client, text: &str) -> Fake {
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let sent = lines().filter_map(|line| line.strip_prefix('>'));
    let sent: String =
        sent.map(|line| format!("{}\r\n", line.strip_prefix(' ').unwrap_or(line))).collect();
    let (said, fake) = client.talk(&sent).await;
    let mut said_lines = said.split_terminator("\r\n");
    for expected in lines().filter(|line| !line.starts_with('>')) {
        let found = said_lines.next().unwrap_or("(nothing)");
        let fits = match expected.strip_suffix('…') {
            Some(head) => found.starts_with(head),
            None => found == expected,
        };
        assert!(fits, "expected {expected:?}, found {found:?} in\n{said}");
    }
    assert_eq!(said_lines.next(), None, "in\n{said}");
    fake
}

const LHLO: &str = "
    > LHLO mx.example.net
    250-mail.example.org
    250-PIPELINING
    250-SIZE 100000
    250-8BITMIME
    250-SMTPUTF8
    250-XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT
    250 ENHANCEDSTATUSCODES
";
