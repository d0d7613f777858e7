//! Python's imaplib: bytes, flags and dates survive; malformed mail too.
#![allow(clippy::unwrap_used)]

use redoubt_tests::programs::Scene;

#[test]
fn what_goes_in_comes_out() {
    let scene = Scene::new();
    let script = scene.file("roundtrip.py", include_str!("programs/roundtrip.py"));
    let corpus = std::env::var("REDOUBT_CORPUS").unwrap_or_default();
    let port = scene.server.imap().port().to_string();
    let output = scene.run("python3", &[script.to_str().unwrap(), &port, &corpus]);
    let text = String::from_utf8_lossy(&output);
    assert!(text.contains("all came back"), "{text}");
}
