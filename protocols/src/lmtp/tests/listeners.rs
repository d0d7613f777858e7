//! Over real sockets: TCP, Unix, STARTTLS.

use redoubt_log::id::AccountId;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;

use super::*;

async fn until<S: AsyncRead + Unpin>(socket: &mut S, end: &str) -> String {
    let mut said = Vec::new();
    while !said.ends_with(end.as_bytes()) {
        let octet = socket.read_u8().await;
        said.push(octet.unwrap_or_else(|_| panic!("{:?}", String::from_utf8_lossy(&said))));
    }
    String::from_utf8(said).unwrap()
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    line: &str,
    end: &str,
) -> String {
    socket.write_all(format!("{line}\r\n").as_bytes()).await.unwrap();
    until(socket, end).await
}

fn start(fake: &Fake, address: Address, tls: TlsMode) -> Server {
    let lmtp = Arc::new(Lmtp::new(fake.clone(), options()));
    let listen = Listen { address, tls, proxied: false };
    Server::start(lmtp, vec![listen], Limits::default(), Arc::default()).unwrap()
}

fn tcp(server: &Server) -> SocketAddr {
    match &server.addresses()[0] {
        Address::Tcp(address) => *address,
        Address::Unix(_) => panic!("not TCP"),
    }
}

#[tokio::test]
async fn over_a_unix_socket() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lmtp.sock");
    let fake = Fake::default();
    let server = start(&fake, Address::Unix(path.clone()), TlsMode::Off);
    let mut socket = UnixStream::connect(path).await.unwrap();
    let lines = "LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n";
    socket.write_all(lines.as_bytes()).await.unwrap();
    until(&mut socket, "<CRLF>.<CRLF>\r\n").await;
    exchange(&mut socket, "x\r\n.", "delivered\r\n").await;
    assert_eq!(fake.mails()[0].recipients[0].account, AccountId(1));
    assert_eq!(server.shutdown(Duration::from_secs(5)).await, 0);
}

fn connector(folder: &std::path::Path) -> tokio_rustls::TlsConnector {
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject;
    let mut roots = rustls::RootCertStore::empty();
    for file in std::fs::read_dir(folder).unwrap() {
        for certificate in CertificateDer::pem_file_iter(file.unwrap().path()).unwrap().flatten() {
            roots.add(certificate).unwrap();
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider);
    let config = config.with_safe_default_protocol_versions().unwrap();
    let config = config.with_root_certificates(roots).with_no_client_auth();
    tokio_rustls::TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn starttls_forgets_what_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let files = CertificateFiles::self_signed(dir.path(), &["localhost".to_owned()]).unwrap();
    let tls = Tls::open(vec![files]).unwrap();
    let fake = Fake::default();
    let server = start(&fake, Address::Tcp(([127, 0, 0, 1], 0).into()), TlsMode::StartTls(tls));
    let mut socket = TcpStream::connect(tcp(&server)).await.unwrap();
    until(&mut socket, "Redoubt\r\n").await;
    let can = exchange(&mut socket, "LHLO plain", "ENHANCEDSTATUSCODES\r\n").await;
    assert!(can.contains("250-STARTTLS\r\n"), "{can}");
    exchange(&mut socket, "MAIL FROM:<a@b>", "ok\r\n").await;
    // What is behind STARTTLS in the clear is never run.
    exchange(&mut socket, "STARTTLS\r\nQUIT", "TLS\r\n").await;
    let name = ServerName::try_from("localhost").unwrap();
    let mut socket = connector(dir.path()).connect(name, socket).await.unwrap();
    let said = exchange(&mut socket, "RCPT TO:<alice@example.org>", "\r\n").await;
    assert_eq!(said, "503 5.5.1 MAIL first\r\n");
    let said = exchange(&mut socket, "MAIL FROM:<a@b>", "\r\n").await;
    assert_eq!(said, "503 5.5.1 LHLO first\r\n");
    let can = exchange(&mut socket, "LHLO inside", "ENHANCEDSTATUSCODES\r\n").await;
    assert!(!can.contains("STARTTLS"), "{can}");
    for (line, end) in [("MAIL FROM:<a@b>", "ok\r\n"), ("RCPT TO:<bob@example.org>", "ok\r\n")] {
        exchange(&mut socket, line, end).await;
    }
    exchange(&mut socket, "DATA", "<CRLF>.<CRLF>\r\n").await;
    exchange(&mut socket, "x\r\n.", "delivered\r\n").await;
    let mail = fake.mails().remove(0);
    assert!(mail.envelope.tls && mail.envelope.client_name == "inside");
    let trace = String::from_utf8(mail.trace.to_vec()).unwrap();
    assert!(trace.contains("from inside ([127.0.0.1])") && trace.contains("with LMTPS"), "{trace}");
    assert!(trace.contains("for <bob@example.org>;"), "{trace}");
}

#[tokio::test]
async fn too_many_connections_are_told() {
    let lmtp = Arc::new(Lmtp::new(Fake::default(), options()));
    let listen = Listen {
        address: Address::Tcp(([127, 0, 0, 1], 0).into()),
        tls: TlsMode::Off,
        proxied: false,
    };
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::start(lmtp, vec![listen], limits, Arc::default()).unwrap();
    let mut first = TcpStream::connect(tcp(&server)).await.unwrap();
    until(&mut first, "Redoubt\r\n").await;
    let mut second = TcpStream::connect(tcp(&server)).await.unwrap();
    let mut said = String::new();
    second.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("421 4.3.2 mail.example.org too many connections"), "{said}");
}
