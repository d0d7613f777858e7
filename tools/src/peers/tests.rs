//! Who is let in, who is not, and what both sides are told.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use redoubt_log::id::NodeId;
use redoubt_log::raft::Dialer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::listen::{Caller, hands};
use super::*;

const LINEAGE: &str = "00112233445566778899aabbccddeeff";
const OTHER: &str = "ffeeddccbbaa99887766554433221100";

fn identity(node: u64, lineage: &str) -> Identity {
    Identity { node: NodeId(node), lineage: lineage.into() }
}

fn own(authority: &Arc<Authority>, node: u64, lineage: &str) -> PeerTls {
    PeerTls::open(identity(node, lineage), Source::Own(authority.clone())).unwrap()
}

/// A certificate from files, good for these days counted from today.
fn site(folder: &Path, authority: &Authority, node: u64, from: i64, to: i64) -> PeerTls {
    use base64::prelude::{BASE64_STANDARD, Engine};
    let pem = |what: &str, der: &[u8]| {
        let body = BASE64_STANDARD.encode(der);
        format!("-----BEGIN {what}-----\n{body}\n-----END {what}-----\n")
    };
    let (certificate, key) = authority.issue_between(NodeId(node), LINEAGE, from, to).unwrap();
    let file = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let source = Source::Site {
        ca: file("ca.pem", authority.to_pem().0),
        certificate: file("cert.pem", pem("CERTIFICATE", &certificate)),
        key: file("key.pem", pem("PRIVATE KEY", key.secret_der())),
    };
    PeerTls::open(identity(node, LINEAGE), source).unwrap()
}

/// What a dial comes to on both sides, and four octets there and back where it is a stream.
async fn meet(
    server: &PeerTls,
    client: &PeerTls,
    dialed: u64,
) -> (Result<Caller, PeerError>, Result<(), String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accept = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let (mut stream, caller) = hands(server, tcp).await?;
        let mut octets = [0; 4];
        stream.read_exact(&mut octets).await.unwrap();
        stream.write_all(&octets).await.unwrap();
        stream.flush().await.unwrap();
        Ok(caller)
    };
    let dial = async {
        let dialer = TlsDialer::new(client.clone());
        let dialed = dialer.dial(NodeId(dialed), &address).await;
        let mut stream = dialed.map_err(|error| error.to_string())?;
        stream.write_all(b"ping").await.unwrap();
        stream.flush().await.unwrap();
        let mut octets = [0; 4];
        stream.read_exact(&mut octets).await.unwrap();
        assert_eq!(&octets, b"ping");
        Ok(())
    };
    tokio::join!(accept, dial)
}

async fn refused(server: &PeerTls, client: &PeerTls, dialed: u64) -> (PeerError, String) {
    let (accepted, dialed) = meet(server, client, dialed).await;
    (accepted.unwrap_err(), dialed.unwrap_err())
}

#[tokio::test]
async fn members_know_each_other_and_certificates_are_renewed() {
    let authority = Arc::new(Authority::make().unwrap());
    let (one, two) = (own(&authority, 1, LINEAGE), own(&authority, 2, LINEAGE));
    let met = meet(&one, &two, 1).await;
    assert_eq!(met, (Ok(Caller::Peer(NodeId(2))), Ok(())));
    two.renew().unwrap();
    assert_eq!(meet(&two, &one, 2).await.0, Ok(Caller::Peer(NodeId(1))));
    let folder = tempfile::tempdir().unwrap();
    let three = site(folder.path(), &authority, 3, -2, 2);
    assert_eq!(meet(&one, &three, 1).await.0, Ok(Caller::Peer(NodeId(3))));
}

#[tokio::test]
async fn another_authority_is_refused_by_either_side() {
    let (mine, theirs) = (Authority::make().unwrap(), Authority::make().unwrap());
    let one = own(&Arc::new(mine), 1, LINEAGE);
    let two = own(&Arc::new(theirs), 2, LINEAGE);
    let (there, here) = refused(&one, &two, 1).await;
    assert!(here.contains("not from this cluster's authority"), "{here}");
    assert!(matches!(there, PeerError::NotAccepted(_)), "{there}");
}

#[tokio::test]
async fn another_node_or_cluster_is_refused() {
    let authority = Arc::new(Authority::make().unwrap());
    let (one, two) = (own(&authority, 1, LINEAGE), own(&authority, 2, LINEAGE));
    let (_, here) = refused(&one, &two, 3).await;
    assert!(here.contains("another node"), "{here}");
    let stranger = own(&authority, 2, OTHER);
    let (_, here) = refused(&one, &stranger, 1).await;
    assert!(here.contains("another cluster"), "{here}");
}

/// A stranger that takes what answers: the listener must know by itself.
#[tokio::test]
async fn the_listener_refuses_a_node_of_a_cluster_made_anew() {
    let authority = Arc::new(Authority::make().unwrap());
    let (one, stranger) = (own(&authority, 1, LINEAGE), own(&authority, 2, OTHER));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let accept = async {
        let (tcp, _) = listener.accept().await.unwrap();
        hands(&one, tcp).await.map(|(_, caller)| caller)
    };
    let connector = tokio_rustls::TlsConnector::from(stranger.client());
    let dial = super::dial::connect(&connector, node_name(NodeId(1), LINEAGE), &address);
    let (there, here) = tokio::join!(accept, dial);
    assert!(matches!(there, Err(PeerError::OtherCluster { node: NodeId(2), .. })), "{there:?}");
    let here = here.unwrap_err();
    assert!(matches!(&here, PeerError::Refused(why) if why.contains(OTHER)), "{here}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_and_says_so() {
    let authority = Arc::new(Authority::make().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let one = own(&authority, 1, LINEAGE);
    let expired = site(folder.path(), &authority, 2, -30, -20);
    let (there, here) = refused(&one, &expired, 1).await;
    assert_eq!(there, PeerError::Expired);
    assert!(here.contains("does not accept") && here.contains("expired"), "{here}");
    let (_, here) = refused(&expired, &one, 2).await;
    assert!(here.contains("has expired"), "{here}");
    let early = site(folder.path(), &authority, 2, 20, 30);
    let (there, _) = refused(&one, &early, 1).await;
    assert_eq!(there, PeerError::NotYet);
}

#[test]
fn a_site_certificate_for_another_node_is_refused_at_the_start() {
    let authority = Authority::make().unwrap();
    let folder = tempfile::tempdir().unwrap();
    site(folder.path(), &authority, 2, -2, 2);
    let file = |name: &str| folder.path().join(name);
    let source =
        Source::Site { ca: file("ca.pem"), certificate: file("cert.pem"), key: file("key.pem") };
    let error = PeerTls::open(identity(3, LINEAGE), source).unwrap_err().to_string();
    assert!(error.contains(&node_name(NodeId(3), LINEAGE)), "{error}");
    assert!(error.contains(&cluster_name(LINEAGE)), "{error}");
}

#[test]
fn the_authority_lies_in_the_data_directory_and_only_its_owner_reads_the_key() {
    use std::os::unix::fs::PermissionsExt;
    let data = tempfile::tempdir().unwrap();
    let made = Authority::load_or_make(data.path()).unwrap();
    let again = Authority::load_or_make(data.path()).unwrap();
    assert_eq!(made.to_pem(), again.to_pem());
    let key = data.path().join("keys/peer-ca.key");
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&key).unwrap();
    assert!(
        Authority::load_or_make(data.path()).is_err(),
        "never made anew beside its certificate"
    );
}
