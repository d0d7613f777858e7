//! A node as operators see it: monitoring, systemd, draining, and damage that is told.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::fs;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;
use redoubt_tests::process::Redoubt;

const ALICE: &str = "alice@example.org";

fn node(environment: &[(&str, &str)]) -> (tempfile::TempDir, Redoubt) {
    let home = tempfile::tempdir().unwrap();
    let server = Redoubt::start_with(&home.path().join("data"), environment);
    server.domain("example.org");
    server.account(ALICE);
    (home, server)
}

fn deliver(server: &Redoubt, token: &str) {
    let mut lmtp = Lmtp::connect(server.lmtp()).unwrap();
    let answers = lmtp.deliver("s@example.net", &[ALICE], &message(token, 40_000)).unwrap();
    assert_eq!(answers[0].code, 250);
}

fn get(server: &Redoubt, path: &str) -> String {
    let url = format!("https://{}{path}", server.address("admin_https"));
    let output = Command::new("curl").args(["-sSkf", &url]).output().unwrap();
    assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn metric(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no {name} in:\n{text}")).parse().unwrap()
}

#[test]
fn monitoring_reads_what_happens() {
    let (_home, server) = node(&[]);
    assert_eq!((get(&server, "/livez").trim(), get(&server, "/readyz").trim()), ("ok", "ok"));
    let before = get(&server, "/metrics");
    deliver(&server, "counted");
    deliver(&server, "counted");
    let after = get(&server, "/metrics");
    for rises in [
        "redoubt_records_total",
        "redoubt_commit_seconds_count",
        "redoubt_log_sync_seconds_count",
        "redoubt_pack_sync_seconds_count",
        "redoubt_blobs",
        "redoubt_sessions_total{protocol=\"lmtp\"}",
    ] {
        assert!(metric(&after, rises) > metric(&before, rises), "{rises}");
    }
    assert_eq!(metric(&after, "redoubt_stopped"), 0.0);
    assert_eq!(metric(&after, "redoubt_apply_lag_records"), 0.0);
    assert!(metric(&after, "redoubt_blob_compression_ratio") > 2.0);
    assert!(metric(&after, "redoubt_disk_free_bytes") > 0.0);
}

#[test]
fn systemd_is_told_and_sessions_are_drained() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let notify = UnixDatagram::bind(&path).unwrap();
    let (_home, mut server) = node(&[("NOTIFY_SOCKET", path.to_str().unwrap())]);
    let mut told = [0; 256];
    let mut next = || {
        let length = notify.recv(&mut told).unwrap();
        String::from_utf8_lossy(&told[..length]).into_owned()
    };
    assert_eq!(next().trim(), "READY=1\nSTATUS=serving");
    let mut session = Imap::login(server.imap(), ALICE).unwrap();
    session.ok("SELECT INBOX").unwrap();
    server.stop();
    assert_eq!(next().trim(), "STOPPING=1");
    let farewell = session.response().unwrap();
    assert!(farewell.starts_with(b"* BYE"), "{}", String::from_utf8_lossy(&farewell));
    assert!(!server.data().join("redoubt.pid").exists());
}

/// What lies in the packs turns to zeros under the running server: what was
/// parsed once still answers, the message itself is refused, never wrong.
#[test]
fn envelope_structure_and_headers_never_open_the_message() {
    let (_home, server) = node(&[]);
    deliver(&server, "cached");
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    for entry in fs::read_dir(server.data().join("shards/0/blobs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "pack") {
            let pack = fs::File::options().write(true).open(&path).unwrap();
            pack.write_all_at(&vec![0; 1024 * 1024], 0).unwrap();
        }
    }
    let parts = "(ENVELOPE BODYSTRUCTURE BODY.PEEK[HEADER] BODY.PEEK[HEADER.FIELDS (SUBJECT)])";
    let fetched = imap.ok(&format!("FETCH 1 {parts}")).unwrap();
    assert!(String::from_utf8_lossy(&fetched.untagged[0]).contains("Subject: cached"));
    let body = imap.command("FETCH 1 BODY.PEEK[TEXT]").unwrap();
    assert!(body.tagged.starts_with("NO"), "{}", body.tagged);
    assert!(body.fetches().is_empty(), "it gave octets out");
    let check = server.run(&["check"]);
    assert_eq!(check.status.code(), Some(1), "{}", String::from_utf8_lossy(&check.stdout));
}
