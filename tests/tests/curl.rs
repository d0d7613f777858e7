//! curl: a message up, the same message down, with and without TLS.
#![allow(clippy::unwrap_used)]

use redoubt_tests::messages::message;
use redoubt_tests::programs::{Scene, contents};

const ALICE: &str = "alice@example.org";

#[test]
fn a_message_goes_up_and_comes_down() {
    let scene = Scene::new();
    let file = scene.file("message.eml", message("curl", 50_000));
    let inbox = format!("imap://{}/INBOX", scene.server.imap());
    let curl = |arguments: &[&str]| {
        scene.run("curl", &[&["-sS", "-u", "alice@example.org:secret"], arguments].concat())
    };
    curl(&["-T", file.to_str().unwrap(), &inbox]);
    assert_eq!(curl(&[&format!("{inbox};UID=1")]), message("curl", 50_000));
    let header = curl(&[&format!("{inbox};UID=1;SECTION=HEADER.FIELDS%20(SUBJECT)")]);
    assert_eq!(header, b"Subject: curl\r\n\r\n");
    let found = curl(&[&inbox, "-X", "SEARCH SUBJECT CURL"]);
    assert_eq!(found, b"* SEARCH 1\r\n");
    // What curl brings is seen, and looking at it leaves it so.
    let there = contents(&mut scene.imap(ALICE), "INBOX");
    assert!(there.get("curl").unwrap().has_flags(&["\\Seen"]), "{there:?}");
}

#[test]
fn tls_from_the_start_and_by_starttls() {
    let scene = Scene::new();
    let file = scene.file("message.eml", message("tls", 5_000));
    // The server's certificate is its own; the short name is looked up in the default domain.
    let curl = |arguments: &[&str]| {
        scene.run("curl", &[&["-sS", "-k", "-u", "alice:secret"], arguments].concat())
    };
    let implicit = format!("imaps://{}/INBOX", scene.server.address("imaps"));
    curl(&["-T", file.to_str().unwrap(), &implicit]);
    let plain = format!("imap://{}/INBOX;UID=1", scene.server.imap());
    assert_eq!(curl(&["--ssl-reqd", &plain]), message("tls", 5_000));
    assert_eq!(curl(&[&format!("{implicit};UID=1")]), message("tls", 5_000));
}

#[test]
fn a_wrong_password_is_refused() {
    let scene = Scene::new();
    let inbox = format!("imap://{}/INBOX", scene.server.imap());
    let output = scene.try_run("curl", &["-sS", "-u", "alice@example.org:wrong", &inbox]);
    // CURLE_LOGIN_DENIED
    assert_eq!(output.status.code(), Some(67), "{output:?}");
}
