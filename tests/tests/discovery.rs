//! Searches over accounts and exports, of a real server: found, pinned, proven, and gone on with
//! after a kill.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use redoubt_tests::imap::Imap;
use redoubt_tests::messages::message;
use redoubt_tests::process::Redoubt;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.com";

struct Scene {
    server: Redoubt,
    folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Redoubt::start(&folder.path().join("data"));
        server.domain("example.org");
        server.domain("example.com");
        [ALICE, BOB, CAROL].iter().for_each(|name| server.account(name));
        Self { server, folder }
    }

    fn fill(&self, account: &str, tokens: &[&str]) {
        let mut imap = Imap::login(self.server.imap(), account).unwrap();
        for token in tokens {
            assert!(imap.append("INBOX", "", &message(token, 600)).unwrap().is_ok());
        }
    }

    fn empty(&self, account: &str) {
        let mut imap = Imap::login(self.server.imap(), account).unwrap();
        imap.ok("SELECT INBOX").unwrap();
        imap.ok("STORE 1:* +FLAGS (\\Deleted)").unwrap();
        imap.ok("EXPUNGE").unwrap();
    }

    fn said(&self, arguments: &[&str]) -> (i32, String) {
        redoubt_tests::cluster::said(&self.server.run(arguments))
    }

    /// Lines of JSON that a verb prints.
    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.server.verb(&[arguments, &["--json"]].concat());
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn path(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        let text = path.display().to_string();
        (path, text)
    }

    fn applied(&self) -> u64 {
        self.json(&["status"])[0]["store"]["applied"].as_u64().unwrap()
    }

    /// Waits until a job has ended; what it says then.
    fn ended(&self, job: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let job = self.json(&["discover", "show", job]).remove(0);
            if ["completed", "cancelled", "failed"].contains(&job["phase"].as_str().unwrap()) {
                return job;
            }
            assert!(Instant::now() < deadline, "{job}");
            std::thread::yield_now();
        }
    }

    fn keys(&self) -> String {
        let (_, keys) = self.path("keys.txt");
        self.server.verb(&["audit", "keys", "--out", &keys]);
        keys
    }

    /// The kinds of records of discovery in the log.
    fn audited(&self) -> Vec<String> {
        let text = self.server.verb(&["dump", "--json"]);
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let kinds = lines.map(|line| line["kind"].as_str().unwrap().to_owned());
        kinds.filter(|kind| kind.starts_with("discovery")).collect()
    }
}

fn subjects(found: &[Value]) -> Vec<&str> {
    let mut subjects: Vec<&str> = found.iter().filter_map(|hit| hit["subject"].as_str()).collect();
    subjects.sort_unstable();
    subjects
}

#[test]
fn mail_of_many_accounts_is_found_live_and_in_history() {
    let scene = Scene::new();
    scene.fill(ALICE, &["secret plan", "lunch"]);
    scene.fill(BOB, &["secret dinner"]);
    scene.fill(CAROL, &["secret garden"]);
    let then = format!("@{}", scene.applied());
    scene.empty(BOB);
    let all = scene.json(&["discover", "subject:secret", "--all"]);
    assert_eq!(all[0]["found"], 3);
    assert_eq!(subjects(&all[1..]), ["secret dinner", "secret garden", "secret plan"]);
    assert!(all[1..].iter().any(|hit| hit["account"] == BOB && hit["expunged"].is_string()));
    let live = scene.json(&["discover", "subject:secret", "--domain", "example.org", "--live"]);
    assert_eq!(subjects(&live[1..]), ["secret plan"]);
    let before = ["discover", "subject:secret", "--account", BOB, "--asof", &then];
    assert_eq!(subjects(&scene.json(&before)[1..]), ["secret dinner"]);
    let gone = ["discover", "", "--all", "--deleted"];
    assert_eq!(subjects(&scene.json(&gone)[1..]), ["secret dinner"]);
    let (code, said) = scene.said(&["discover", "subject:secret"]);
    assert_eq!(code, 2, "{said}");
    assert!(said.contains("--account"), "{said}");
    let (code, said) = scene.said(&["discover", "form:x", "--all"]);
    assert_eq!((code, said.contains("from")), (2, true), "{said}");
    assert_eq!(scene.audited().len(), 8);
}

/// What comes later is not in it, and what was found is listed in pages.
#[test]
fn a_search_stays_what_it_was() {
    let scene = Scene::new();
    let tokens: Vec<String> = (0..7).map(|n| format!("token {n}")).collect();
    scene.fill(ALICE, &tokens.iter().map(String::as_str).collect::<Vec<_>>());
    let first = scene.json(&["discover", "token", "--all", "--reason", "case 7"]);
    let job = first[0]["job"].as_str().unwrap().to_owned();
    assert_eq!(first[0]["reason"], "case 7");
    scene.fill(BOB, &["token 8"]);
    let all = scene.json(&["discover", "show", &job, "--hits", "--limit", "1000"]);
    assert_eq!((all.len(), &all[..]), (7, &first[1..]));
    let (_, page) = scene.said(&["discover", "show", &job, "--hits", "--limit", "3"]);
    let next = page.lines().find_map(|line| line.strip_prefix("more: redoubt ")).unwrap();
    let next: Vec<&str> = next.split(' ').collect();
    assert_eq!(subjects(&scene.json(&next)), subjects(&all[3..]));
    let (_, purged) = scene.said(&["discover", "show", &job, "--purged"]);
    assert!(purged.contains("0 emails of what it found left"), "{purged}");
    assert!(scene.server.verb(&["discover", "list"]).contains(&job));
    let (code, said) = scene.said(&["discover", "cancel", &job]);
    assert_eq!((code, said.contains("has ended already")), (1, true), "{said}");
}

#[test]
fn an_export_is_proven_without_the_server() {
    let mut scene = Scene::new();
    scene.fill(ALICE, &["secret plan", "lunch"]);
    scene.fill(BOB, &["secret dinner"]);
    scene.empty(BOB);
    let keys = scene.keys();
    let formats = ["eml", "mbox", "dat", "csv"];
    for format in formats {
        let (dir, out) = scene.path(format);
        let (code, said) = scene.said(&["export", "", "--all", "--format", format, "--out", &out]);
        assert_eq!(code, 0, "{said}");
        let emails = std::fs::read_to_string(dir.join("emails.jsonl")).unwrap();
        assert_eq!(emails.lines().count(), 3);
        let (code, said) = scene.said(&["export", "", "--all", "--format", format, "--out", &out]);
        assert_eq!((code, said.contains("is there already")), (1, true), "{said}");
    }
    let (code, said) = scene.said(&["check"]);
    assert_eq!(code, 0, "{said}");
    scene.server.stop();
    for format in formats {
        let (dir, out) = scene.path(format);
        let verify = |more: &[&str]| {
            let output = Command::new(redoubt_tests::process::binary())
                .args([&["verify-export", &out], more].concat())
                .output()
                .unwrap();
            redoubt_tests::cluster::said(&output)
        };
        let (code, said) = verify(&["--key", &keys]);
        assert_eq!((code, said.contains("proven: all of it")), (0, true), "{said}");
        let head = dir.join("proof/head.txt").display().to_string();
        let (_, copy) = scene.path("head.txt");
        std::fs::copy(head, &copy).unwrap();
        assert_eq!(verify(&["--checkpoint", &copy]).0, 0);
        let (code, said) = verify(&[]);
        let unknown = said.contains("internally consistent, origin not proven");
        assert_eq!((code, unknown), (3, true), "{said}");
        let list = dir.join("list.csv");
        std::fs::write(&list, "nothing").unwrap();
        let (code, said) = verify(&["--key", &keys]);
        assert_eq!((code, said.contains("list.csv was altered")), (1, true), "{said}");
    }
}

/// The octets are those that IMAP gives, and the envelope is that of the delivery.
#[test]
fn what_was_delivered_comes_with_its_envelope() {
    let scene = Scene::new();
    let text = b"Subject: hello\r\n\r\nFrom here\r\n";
    let arguments = ["deliver", "--to", ALICE, "--to", BOB, "--from", "x@example.net", "-"];
    assert!(scene.server.run_with_input(&arguments, text).status.success());
    let (dir, out) = scene.path("out");
    scene.server.verb(&["export", "hello", "--all", "--format", "eml", "--out", &out]);
    let emails = std::fs::read_to_string(dir.join("emails.jsonl")).unwrap();
    let items: Vec<Value> = emails.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(items.len(), 2);
    for item in &items {
        assert_eq!(item["envelope"]["sender"], "x@example.net");
        assert_eq!(item["custodians"], serde_json::json!([ALICE, BOB]));
        let octets = std::fs::read(dir.join(item["file"].as_str().unwrap())).unwrap();
        assert!(octets.ends_with(text));
        let original = blake3_of(&octets[octets.len() - text.len()..]);
        assert_eq!(item["original"], original.as_str());
    }
}

fn blake3_of(octets: &[u8]) -> String {
    redoubt_log::id::BlobId(*blake3::hash(octets).as_bytes()).to_string()
}

/// Killed in the middle of a search and of an export: both go on, and find what they would have.
#[test]
fn jobs_go_on_after_a_kill() {
    let mut scene = Scene::new();
    let tokens: Vec<String> = (0..60).map(|n| format!("token {n}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    scene.fill(ALICE, &tokens);
    scene.fill(BOB, &tokens);
    scene.empty(ALICE);
    let search = scene.json(&["discover", "token", "--all", "--background"]).remove(0);
    let search = search["job"].as_str().unwrap().to_owned();
    scene.server.kill();
    scene.server.start_again();
    let found = scene.ended(&search);
    assert_eq!((&found["phase"], &found["found"]), (&"completed".into(), &120.into()));
    let hits = scene.json(&["discover", "show", &search, "--hits", "--limit", "1000"]);
    let unlike: std::collections::BTreeSet<String> =
        hits.iter().map(|hit| format!("{} {}", hit["account"], hit["email_id"])).collect();
    assert_eq!((hits.len(), unlike.len()), (120, 120));

    let (dir, out) = scene.path("out");
    let arguments = ["export", &search, "--format", "eml", "--out", &out, "--background"];
    let export = scene.json(&arguments).remove(0)["job"].as_str().unwrap().to_owned();
    begun(&dir, &export);
    scene.server.kill();
    scene.server.start_again();
    let exported = scene.ended(&export);
    assert_eq!((&exported["phase"], &exported["found"]), (&"completed".into(), &120.into()));
    let left: Vec<_> = std::fs::read_dir(scene.folder.path())
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter(|name| name.contains("partial"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    let keys = scene.keys();
    let (code, said) = scene.said(&["verify-export", &out, "--key", &keys]);
    assert_eq!(code, 0, "{said}");
}

/// Waits until something of an export is there.
fn begun(dir: &Path, job: &str) {
    let beside = redoubt_search::export::partial(dir, job);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !beside.join("files.jsonl").exists() && !dir.exists() {
        assert!(Instant::now() < deadline, "the export does not begin");
        std::thread::yield_now();
    }
}
