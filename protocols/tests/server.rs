//! Listeners, limits, TLS and shutdown, with a protocol that repeats lines.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use redoubt_protocols::limits::{Limits, Networks, Refusal};
use redoubt_protocols::server::{Address, Listen, Protocol, ProtocolStats, Server, TlsMode};
use redoubt_protocols::stream::{Connection, READ_SIZE, StreamError};
use redoubt_protocols::tls::{CertificateFiles, Tls};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;

/// Repeats lines; `who` says who the client is, `flood` sends without end, `hold` waits for the test, `tls` starts TLS.
#[derive(Default)]
struct Echo {
    held: Notify,
    go: Notify,
}

impl Echo {
    async fn talk(&self, conn: &mut Connection) -> Result<(), StreamError> {
        loop {
            let Some(line) = conn.take_line() else {
                let shutdown = conn.shutdown_token();
                tokio::select! {
                    () = shutdown.cancelled() => {
                        conn.queue(b"bye\r\n");
                        return Ok(());
                    }
                    filled = conn.fill(READ_SIZE) => filled?,
                };
                continue;
            };
            match line.as_ref() {
                b"hold" => {
                    self.held.notify_one();
                    self.go.notified().await;
                    conn.queue(b"held\r\n");
                }
                b"flood" => loop {
                    conn.write(&[b'x'; 4096]).await?;
                },
                b"who" => {
                    let peer = conn.peer();
                    let who =
                        format!("{:?} {} {}\r\n", peer.ip(), peer.trusted, peer.is_loopback());
                    conn.queue(who.as_bytes());
                }
                b"tls" => {
                    conn.queue(b"go\r\n");
                    conn.flush().await?;
                    conn.start_tls().await?;
                }
                line => conn.queue(&[line, b"\r\n"].concat()),
            }
            conn.flush().await?;
        }
    }
}

impl Protocol for Echo {
    async fn serve(self: Arc<Self>, mut conn: Connection) {
        conn.queue(b"hello\r\n");
        if conn.flush().await.is_ok() && self.talk(&mut conn).await.is_ok() {
            conn.close().await;
        }
    }

    fn refuse(&self, refusal: Refusal) -> String {
        format!("no: {refusal}\r\n")
    }
}

fn loopback() -> Address {
    Address::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)))
}

fn start(echo: &Arc<Echo>, address: Address, tls: TlsMode, limits: Limits) -> Server {
    let stats = Arc::new(ProtocolStats::default());
    Server::start(echo.clone(), vec![Listen { address, tls, proxied: false }], limits, stats)
        .unwrap()
}

fn plain(limits: Limits) -> (Arc<Echo>, Server, SocketAddr) {
    let echo = Arc::new(Echo::default());
    let server = start(&echo, loopback(), TlsMode::Off, limits);
    let address = bound(&server);
    (echo, server, address)
}

fn bound(server: &Server) -> SocketAddr {
    match &server.addresses()[0] {
        Address::Tcp(address) => *address,
        Address::Unix(path) => panic!("{path:?}"),
    }
}

async fn line(stream: &mut (impl AsyncBufReadExt + Unpin)) -> String {
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    line
}

async fn connect(address: SocketAddr) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(address).await.unwrap())
}

async fn until(what: impl Fn() -> bool) {
    let waited = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waited).await.expect("it never came");
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn ten_thousand_connections_leave_nothing_behind() {
    let (_, server, address) = plain(Limits::default());
    let open_and_drop = |rounds: usize| async move {
        for _ in 0..rounds {
            let mut clients = Vec::new();
            for _ in 0..100 {
                clients.push(TcpStream::connect(address).await.unwrap());
            }
            for client in &mut clients {
                client.write_all(b"a line without end").await.unwrap();
            }
        }
    };
    open_and_drop(10).await;
    until(|| server.stats().sessions_now() == 0).await;
    let before = resident_kib();
    open_and_drop(90).await;
    until(|| server.stats().sessions_ended.get() == 10_000).await;
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 32 * 1024, "{grown} KiB more after 9,000 connections");
    assert_eq!(server.shutdown(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn limits_are_refused_with_a_reason() {
    let limits = Limits {
        connections: 3,
        connections_per_address: 2,
        trusted: Networks::default(),
        ..Limits::default()
    };
    let (_, server, address) = plain(limits);
    let (mut one, mut two) = (connect(address).await, connect(address).await);
    assert_eq!(
        (line(&mut one).await, line(&mut two).await),
        ("hello\r\n".into(), "hello\r\n".into())
    );
    let refused = line(&mut connect(address).await).await;
    assert_eq!(refused, "no: too many connections from your address; close some\r\n");
    assert_eq!(server.stats().refused.get(), 1);
    drop(one);
    until(|| server.stats().sessions_now() == 1).await;
    assert_eq!(line(&mut connect(address).await).await, "hello\r\n");
}

#[tokio::test]
async fn a_shutdown_lets_the_running_command_end() {
    let (echo, server, address) = plain(Limits::default());
    let (mut busy, mut idle) = (connect(address).await, connect(address).await);
    line(&mut busy).await;
    line(&mut idle).await;
    busy.write_all(b"hold\r\n").await.unwrap();
    echo.held.notified().await;
    let stopping = tokio::spawn(async move { server.shutdown(Duration::from_secs(20)).await });
    assert_eq!(line(&mut idle).await, "bye\r\n");
    echo.go.notify_one();
    assert_eq!(line(&mut busy).await, "held\r\n");
    assert_eq!(line(&mut busy).await, "bye\r\n");
    assert_eq!(stopping.await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_session_that_does_not_end_is_ended() {
    let (echo, server, address) = plain(Limits::default());
    let mut busy = connect(address).await;
    line(&mut busy).await;
    busy.write_all(b"hold\r\n").await.unwrap();
    echo.held.notified().await;
    assert_eq!(server.shutdown(Duration::from_millis(50)).await, 1);
    assert_eq!(line(&mut busy).await, "");
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed() {
    let limits = Limits { send_timeout: Duration::from_millis(200), ..Limits::default() };
    let (_, server, address) = plain(limits);
    let mut client = connect(address).await;
    client.write_all(b"flood\r\n").await.unwrap();
    until(|| server.stats().sessions_ended.get() == 1).await;
    let sent = server.stats().bytes_out.get();
    assert!(sent < 64 << 20, "{sent} octets were queued for nobody");
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answers() {
    let (_, server, address) = plain(Limits::default());
    let mut client = connect(address).await;
    client.write_all(b"one\r\ntwo\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    let mut all = String::new();
    client.read_to_string(&mut all).await.unwrap();
    assert_eq!(all, "hello\r\none\r\ntwo\r\n");
    until(|| server.stats().sessions_now() == 0).await;
}

#[tokio::test]
async fn a_unix_socket_serves_and_a_stale_one_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("echo.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let echo = Arc::new(Echo::default());
    let server = start(&echo, Address::Unix(path.clone()), TlsMode::Off, Limits::default());
    let mut client = BufReader::new(UnixStream::connect(&path).await.unwrap());
    assert_eq!(line(&mut client).await, "hello\r\n");
    let taken = Listen { address: Address::Unix(path.clone()), tls: TlsMode::Off, proxied: false };
    let second = Server::start(echo.clone(), vec![taken], Limits::default(), Arc::default());
    assert!(second.is_err(), "a socket in use was taken over");
    server.shutdown(Duration::from_secs(5)).await;
    drop(server);
    assert!(!path.exists());
}

// ---------------------------------------------------------------------- proxies

fn proxied(tls: TlsMode, limits: Limits) -> (Server, SocketAddr) {
    let listen = Listen { address: loopback(), tls, proxied: true };
    let server =
        Server::start(Arc::new(Echo::default()), vec![listen], limits, Arc::default()).unwrap();
    let address = bound(&server);
    (server, address)
}

/// A connection that begins with these octets.
async fn through(address: SocketAddr, header: &[u8]) -> BufReader<TcpStream> {
    let mut client = connect(address).await;
    client.write_all(header).await.unwrap();
    client
}

const CLIENT: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 1024 143\r\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
/// Version 2, UNSPEC.
const NOBODY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";

#[tokio::test]
async fn a_proxy_says_whose_octets_it_passes_on() {
    let (server, address) = proxied(TlsMode::Off, Limits::default());
    for (header, expected) in [
        (CLIENT, "Some(192.0.2.7) false false\r\n"),
        (b"PROXY TCP6 ::1 ::1 1 2\r\n".as_slice(), "Some(::1) true true\r\n"),
        (LOCAL, "Some(127.0.0.1) true true\r\n"),
        (NOBODY, "None false false\r\n"),
    ] {
        let mut client = through(address, &[header, b"who\r\n"].concat()).await;
        assert_eq!(line(&mut client).await, "hello\r\n");
        assert_eq!(line(&mut client).await, expected);
    }
    assert_eq!(server.stats().refused.get(), 0);
}

#[tokio::test]
async fn clients_behind_a_proxy_have_their_own_limit() {
    let limits = Limits { connections_per_address: 1, ..Limits::default() };
    let (server, address) = proxied(TlsMode::Off, limits);
    let mut first = through(address, CLIENT).await;
    assert_eq!(line(&mut first).await, "hello\r\n");
    let mut second = through(address, CLIENT).await;
    let refused = "no: too many connections from your address; close some\r\n";
    assert_eq!(line(&mut second).await, refused);
    let mut other = through(address, b"PROXY TCP4 192.0.2.8 198.51.100.1 1 2\r\n").await;
    assert_eq!(line(&mut other).await, "hello\r\n");
    assert_eq!(server.stats().refused.get(), 1);
    drop((first, second));
    until(|| server.stats().sessions_now() == 1).await;
    assert_eq!(line(&mut through(address, CLIENT).await).await, "hello\r\n");
}

#[tokio::test]
async fn without_a_header_nobody_is_served() {
    let limits = Limits { handshake_timeout: Duration::from_millis(200), ..Limits::default() };
    let (server, address) = proxied(TlsMode::Off, limits);
    for octets in [b"hello I am a client\r\n".as_slice(), b"PROXY TCP4 nonsense\r\n", b"PROXY"] {
        let mut said = Vec::new();
        // What was not read may come back as a reset.
        let _ = through(address, octets).await.read_to_end(&mut said).await;
        assert_eq!(said, b"");
    }
    until(|| server.stats().refused.get() == 3 && server.stats().sessions_now() == 0).await;
}

#[tokio::test]
async fn who_is_not_trusted_speaks_for_nobody() {
    let limits = Limits { trusted: Networks::default(), ..Limits::default() };
    let (server, address) = proxied(TlsMode::Off, limits.clone());
    let mut said = Vec::new();
    let _ = through(address, CLIENT).await.read_to_end(&mut said).await;
    assert_eq!((said.as_slice(), server.stats().refused.get()), (b"".as_slice(), 1));
    // Where no header is expected, one is a line like others.
    let (_, _server, address) = plain(limits);
    let mut client = through(address, &[CLIENT, b"who\r\n"].concat()).await;
    assert_eq!(line(&mut client).await, "hello\r\n");
    assert_eq!(line(&mut client).await.as_bytes(), CLIENT);
    assert_eq!(line(&mut client).await, "Some(127.0.0.1) false true\r\n");
}

#[tokio::test]
async fn a_header_comes_before_tls() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, connector) = certificate(folder.path());
    let (_server, address) = proxied(TlsMode::Implicit(tls), Limits::default());
    let stream = through(address, CLIENT).await.into_inner();
    let mut client = BufReader::new(connector.connect(localhost(), stream).await.unwrap());
    assert_eq!(line(&mut client).await, "hello\r\n");
    client.write_all(b"who\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "Some(192.0.2.7) false false\r\n");
}

// ------------------------------------------------------------------------ TLS

fn certificate(folder: &std::path::Path) -> (Tls, TlsConnector) {
    let files = CertificateFiles::self_signed(folder, &["localhost".to_owned()]).unwrap();
    let pem = std::fs::read(&files.certificate).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Tls::open(vec![files]).unwrap(), TlsConnector::from(Arc::new(client)))
}

fn localhost() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

#[tokio::test]
async fn tls_serves_from_the_first_octet_or_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, connector) = certificate(folder.path());
    let echo = Arc::new(Echo::default());
    let implicit = start(&echo, loopback(), TlsMode::Implicit(tls.clone()), Limits::default());
    let stream = TcpStream::connect(bound(&implicit)).await.unwrap();
    let mut client = BufReader::new(connector.connect(localhost(), stream).await.unwrap());
    assert_eq!(line(&mut client).await, "hello\r\n");

    let asked = start(&echo, loopback(), TlsMode::StartTls(tls), Limits::default());
    let mut client = connect(bound(&asked)).await;
    assert_eq!(line(&mut client).await, "hello\r\n");
    client.write_all(b"tls\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "go\r\n");
    let stream = connector.connect(localhost(), client.into_inner()).await.unwrap();
    let mut client = BufReader::new(stream);
    client.write_all(b"under tls\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "under tls\r\n");
    assert_eq!(asked.stats().tls_sessions.get(), 1);
}

#[tokio::test]
async fn what_was_sent_before_the_handshake_is_never_taken_for_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, connector) = certificate(folder.path());
    let echo = Arc::new(Echo::default());
    let server = start(&echo, loopback(), TlsMode::StartTls(tls), Limits::default());
    let mut client = connect(bound(&server)).await;
    line(&mut client).await;
    client.write_all(b"tls\r\ninjected\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "go\r\n");
    let stream = connector.connect(localhost(), client.into_inner()).await.unwrap();
    let mut client = BufReader::new(stream);
    client.write_all(b"mine\r\n").await.unwrap();
    assert_eq!(line(&mut client).await, "mine\r\n");
}

#[tokio::test]
async fn a_handshake_that_fails_or_stalls_ends_the_connection() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = certificate(folder.path());
    let echo = Arc::new(Echo::default());
    let limits = Limits { handshake_timeout: Duration::from_millis(100), ..Limits::default() };
    let server = start(&echo, loopback(), TlsMode::Implicit(tls), limits);
    let mut garbage = connect(bound(&server)).await;
    garbage.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let _stalled = connect(bound(&server)).await;
    until(|| server.stats().tls_failures.get() == 2).await;
    until(|| server.stats().sessions_now() == 0).await;
}
