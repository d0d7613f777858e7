//! A real server among hostile documents.

use std::time::Duration;

use redoubt_tests::cluster::until;
use redoubt_tests::imap::Imap;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::process::Redoubt;
use serde_json::Value;

use super::store::mail;
use super::{documents, hostile};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

fn status(server: &Redoubt) -> Value {
    serde_json::from_str(&server.verb(&["status", "--json"])).unwrap()
}

/// The status once everything that came was tried.
fn settled(server: &Redoubt) -> Value {
    let applied = status(server)["store"]["applied"].as_u64().unwrap();
    let is_there = |status: &Value| status["texts"]["position"].as_u64() >= Some(applied);
    let found = until(Duration::from_secs(120), || Some(status(server)).filter(is_there));
    found.expect("attachments are extracted within two minutes")
}

#[test]
fn mail_is_delivered_and_counted_whatever_is_attached() {
    let home = tempfile::tempdir().unwrap();
    let limits = [("REDOUBT_EXTRACT_SECONDS", "3"), ("REDOUBT_EXTRACT_MEMORY_MIB", "256")];
    let mut server = Redoubt::start_with(&home.path().join("data"), &limits);
    server.domain("example.org");
    [ALICE, BOB].iter().for_each(|account| server.account(account));
    let pid = server.pid();
    let good = documents::docx();
    let mut bad = hostile::all();
    bad.push(("endless.pdf", hostile::pdf_without_end()));
    let mut lmtp = Lmtp::connect(server.lmtp()).unwrap();
    for (name, octets) in &bad {
        let mail = mail(name, &[(name, octets), ("good.docx", &good)]);
        let answers = lmtp.deliver("s@example.net", &[ALICE, BOB], &mail).unwrap();
        assert!(answers.iter().all(|answer| answer.code == 250), "{name}: {answers:?}");
    }
    let texts = settled(&server)["texts"].clone();
    let whole = texts["kept"]["ok"].as_u64().unwrap();
    assert_eq!(whole, 1, "the good one, once: {texts}");
    let kept: u64 = ["partial", "failed"].iter().map(|s| texts["kept"][s].as_u64().unwrap()).sum();
    assert_eq!(kept, bad.len() as u64, "{texts}");
    assert_eq!(texts["workers"]["slow"], 1, "{texts}");
    assert!(texts["workers"]["ended"].as_u64() >= Some(2), "{texts}");
    let bounds = texts["workers"]["bounds"].as_array().unwrap();
    assert!(bounds.contains(&"seccomp".into()) && bounds.contains(&"rlimits".into()), "{texts}");
    assert!(server.runs() && server.pid() == pid);

    // Queries find it, and name what they could not look into.
    let found = |query: &str| {
        let page = server.verb(&["--json", "find", ALICE, query]);
        page.lines().filter(|line| line.contains("\"email_id\"")).count()
    };
    assert_eq!(found(&format!("content:{}", documents::WORD)), bad.len());
    assert_eq!(found("content:nowheretobefound"), 0);
    assert_eq!(found("indexed:none") + found("indexed:partial"), bad.len());

    // What was kept is there after a restart, and nothing is extracted again.
    server.stop();
    server.start_again();
    let after = settled(&server)["texts"].clone();
    assert_eq!(after["workers"]["started"], 0, "{after}");
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    let answer = imap.command("STATUS INBOX (MESSAGES)").unwrap();
    let told = String::from_utf8_lossy(&answer.untagged[0]).into_owned();
    assert!(told.contains(&format!("MESSAGES {})", bad.len())), "{told}");
}
