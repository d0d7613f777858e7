//! curl: a message up, the same message down.
#![allow(clippy::unwrap_used)]

use redoubt_tests::messages::message;
use redoubt_tests::programs::Scene;

#[test]
fn a_message_goes_up_and_comes_down() {
    let scene = Scene::new();
    let file = scene.file("message.eml", message("curl", 50_000));
    let inbox = format!("imap://{}/INBOX", scene.server.imap());
    let user = ["-sS", "-u", "alice@example.org:secret"];
    scene.run("curl", &[user.as_slice(), &["-T", file.to_str().unwrap(), &inbox]].concat());
    let down = scene.run("curl", &[user.as_slice(), &[&format!("{inbox};UID=1")]].concat());
    assert_eq!(down, message("curl", 50_000));
    let found =
        scene.run("curl", &[user.as_slice(), &[&inbox, "-X", "SEARCH SUBJECT CURL"]].concat());
    assert_eq!(String::from_utf8_lossy(&found).trim(), "* SEARCH 1");
}

#[test]
fn tls_from_the_start_and_by_starttls() {
    let scene = Scene::new();
    let file = scene.file("message.eml", message("tls", 5_000));
    let user = ["-sS", "-k", "-u", "alice:secret"];
    let implicit = format!("imaps://{}/INBOX", scene.server.address("imaps"));
    scene.run("curl", &[user.as_slice(), &["-T", file.to_str().unwrap(), &implicit]].concat());
    let plain = format!("imap://{}/INBOX;UID=1", scene.server.imap());
    let down = scene.run("curl", &[user.as_slice(), &["--ssl-reqd", &plain]].concat());
    assert_eq!(down, message("tls", 5_000));
}
