//! What Postfix asks and is told.

use super::*;
use crate::socketmap::Socketmap;

async fn ask(fake: Fake, requests: &str) -> String {
    let stats = Arc::new(ProtocolStats::default());
    let (connection, mut socket) =
        pipe(Limits::default(), None, stats, CancellationToken::new()).unwrap();
    let session = tokio::spawn(Arc::new(Socketmap::new(fake)).serve(connection));
    socket.write_all(requests.as_bytes()).await.unwrap();
    socket.shutdown().await.unwrap();
    let mut said = String::new();
    socket.read_to_string(&mut said).await.unwrap();
    session.await.unwrap();
    said
}

#[tokio::test]
async fn addresses_are_found() {
    for (request, answer) in [
        ("mailbox alice@example.org", "OK alice@example.org"),
        ("mailbox al@example.org", "OK alice@example.org"),
        ("mailbox bob+x@example.org", "OK bob@example.org"),
        ("mailbox nobody@example.org", "NOTFOUND "),
        ("mailbox closed@example.org", "NOTFOUND "),
        ("mailbox a@elsewhere.example", "NOTFOUND "),
        ("mailbox @example.org", "NOTFOUND "),
        ("virtual al@example.org", "OK alice@example.org"),
        ("virtual bob+x@example.org", "OK bob+x@example.org"),
        ("virtual any@catch.example", "OK bob@example.org"),
        ("domain example.org", "OK example.org"),
        ("domain elsewhere.example", "NOTFOUND "),
        ("what alice", "PERM no such map: there are mailbox, virtual and domain"),
        ("mailbox", "PERM this is no request"),
    ] {
        let netstring = |text: &str| format!("{}:{text},", text.len());
        let two = netstring(request).repeat(2);
        assert_eq!(ask(Fake::default(), &two).await, netstring(answer).repeat(2), "{request}");
    }
}

#[tokio::test]
async fn failures_are_temporary_and_nonsense_ends_it() {
    let fake = Fake::default();
    fake.fail_lookups();
    let said = ask(fake, "25:mailbox alice@example.org,").await;
    assert!(said.contains(":TEMP the store cannot answer"), "{said}");
    assert_eq!(ask(Fake::default(), "9999:x").await, "23:PERM this is no request,");
}
