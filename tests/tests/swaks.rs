//! swaks: LMTP with a true status for each recipient.
#![allow(clippy::unwrap_used)]

use redoubt_tests::imap::{Imap, item};
use redoubt_tests::programs::Scene;

#[test]
fn each_recipient_has_its_own_answer() {
    let scene = Scene::new();
    let server = scene.server.lmtp().to_string();
    let arguments = [
        "--protocol",
        "LMTP",
        "--server",
        &server,
        "--from",
        "s@example.net",
        "--to",
        "alice@example.org,nobody@example.org,bob+detail@example.org",
        "--header",
        "Subject: from swaks",
        "--body",
        "line one\n.dot\nend",
    ];
    let output = scene.try_run("swaks", &arguments);
    let talk = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        talk.matches("<-  250 2.1.5").count() + talk.matches("<-  250 2.0.0").count(),
        4 + 1 - 1,
        "{talk}"
    );
    assert!(talk.contains("<** 550 5.1.1"), "{talk}");
    for account in ["alice@example.org", "bob@example.org"] {
        let mut imap = Imap::login(scene.server.imap(), account).unwrap();
        imap.ok("SELECT INBOX").unwrap();
        let fetched =
            imap.ok("FETCH 1:* (BODY[TEXT] BODY[HEADER.FIELDS (SUBJECT RETURN-PATH)])").unwrap();
        let fetches = fetched.fetches();
        assert_eq!(fetches.len(), 1);
        let (_, items) = fetches.first().unwrap();
        let body =
            String::from_utf8_lossy(item(items, "BODY[TEXT]").unwrap().octets()).into_owned();
        assert!(body.starts_with("line one\r\n.dot\r\nend"), "{body:?}");
        let header =
            items.iter().find(|(name, _)| name.starts_with("BODY[HEADER")).unwrap().1.text();
        assert!(
            header.contains("Subject: from swaks")
                && header.contains("Return-Path: <s@example.net>")
        );
    }
}

#[test]
fn starttls() {
    let scene = Scene::new();
    let server = scene.server.lmtp().to_string();
    let arguments =
        ["--protocol", "LMTP", "--server", &server, "-tls", "--to", "alice", "--from", ""];
    let talk = String::from_utf8_lossy(&scene.run("swaks", &arguments)).into_owned();
    assert!(talk.contains("TLS started"), "{talk}");
}
