//! Searches over accounts and exports, of a real server: found, pinned, and proven, also when
//! mail, history and log have gone since.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;
use std::time::Duration;

use redoubt_tests::cluster::until;
use redoubt_tests::process::Redoubt;
use redoubt_tests::scene::{Scene, ended};
use serde_json::Value;

/// How long the server may take to drop what is old.
const PATIENCE: Duration = Duration::from_secs(90);

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.com";

const ALL: [&str; 3] = [ALICE, BOB, CAROL];

/// The kinds of records of discovery in the log.
fn audited(scene: &Scene) -> Vec<String> {
    let lines = scene.json(&["dump"]);
    let kinds = lines.iter().map(|line| line["kind"].as_str().unwrap().to_owned());
    kinds.filter(|kind| kind.starts_with("discovery")).collect()
}

fn subjects(found: &[Value]) -> Vec<&str> {
    let mut subjects: Vec<&str> = found.iter().filter_map(|hit| hit["subject"].as_str()).collect();
    subjects.sort_unstable();
    subjects
}

#[test]
fn mail_of_many_accounts_is_found_live_and_in_history() {
    let scene = Scene::of(&ALL);
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
    // Each has begun, has ended, and was looked at.
    assert_eq!(audited(&scene).len(), 12);
}

/// What comes later is not in it, and what was found is listed in pages.
#[test]
fn a_search_stays_what_it_was() {
    let scene = Scene::of(&ALL);
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
    let mut scene = Scene::of(&ALL);
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
    let scene = Scene::of(&ALL);
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

fn job_of(found: &[Value]) -> String {
    found[0]["job"].as_str().unwrap().to_owned()
}

fn purged(scene: &Scene, job: &str) -> Vec<Value> {
    scene.json(&["discover", "show", job, "--purged"])
}

/// The log's time goes on with its records, until what is old is gone.
fn wait_until(scene: &Scene, what: &str, is_gone: impl Fn() -> bool) {
    let mut n = 0;
    let done = until(PATIENCE, || {
        n += 1;
        scene.fill(CAROL, &[&format!("later {n}")]);
        is_gone().then_some(())
    });
    assert!(done.is_some(), "{what}");
}

/// A horizon of a second: what was found is expunged, and then leaves the history.
#[test]
fn what_was_purged_since_is_counted_listed_and_not_exported() {
    let mut scene = Scene::with(&ALL, &[("REDOUBT_HISTORY_KEEP", "1s")]);
    scene.fill(ALICE, &["secret 1", "secret 2", "secret 3"]);
    scene.fill(BOB, &["secret 4"]);
    let then = format!("@{}", scene.applied());
    let search = job_of(&scene.json(&["discover", "subject:secret", "--all"]));
    assert_eq!(purged(&scene, &search), Vec::<Value>::new());
    scene.empty(ALICE);
    wait_until(&scene, "expunged mail leaves the history", || purged(&scene, &search).len() == 3);
    let gone = purged(&scene, &search);
    assert!(gone.iter().all(|hit| hit["account"] == ALICE && hit["purged"] == true), "{gone:?}");
    let (_, said) = scene.said(&["discover", "show", &search, "--purged"]);
    assert!(said.contains("3 emails of what it found left the history since"), "{said}");
    // What it found stays what it was.
    let hits = scene.json(&["discover", "show", &search, "--hits"]);
    assert_eq!((hits.len(), subjects(&hits)), (4, vec!["", "", "", "secret 4"]));

    let (dir, out) = scene.path("out");
    let said = scene.code(&["export", &search, "--format", "eml", "--out", &out], 3);
    assert!(said.contains("1 email exported") && said.contains("3 emails not exported"), "{said}");
    let manifest = std::fs::read(dir.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["counts"]["found"], 4);
    assert_eq!(manifest["reasons"], serde_json::json!({ "purged": 3 }));
    let failed = std::fs::read_to_string(dir.join("failed.jsonl")).unwrap();
    assert_eq!(failed.matches("\"why\":\"purged\"").count(), 3, "{failed}");
    // Bob's is there, and the log still has the record that brought it.
    let keys = scene.keys();
    scene.code(&["verify-export", &out, "--key", &keys], 0);

    // A moment from before what is kept, and a search that was asked before and comes to look
    // only now: no account is passed over in silence.
    let before = ["discover", "subject:secret", "--account", ALICE, "--asof", &then];
    let (_, said) = scene.said(&before);
    assert!(said.contains("history") || said.contains("before the log begins"), "{said}");
    scene.server.stop();
    let state = scene.server.data().join("discovery").join(&search).join("state.json");
    std::fs::remove_file(state).unwrap();
    scene.server.start_again();
    let late = ended(&scene.server, &search);
    let missed = late["not_searched_count"].as_u64().unwrap();
    assert!(late["phase"] == "completed" && (1..=3).contains(&missed), "{late}");
    let (code, said) = scene.said(&["discover", "show", &search]);
    assert_eq!((code, said.matches("not searched: account").count() as u64), (3, missed), "{said}");
}

/// Up to where a server's log is known to be purged.
fn log_purged(server: &Redoubt) -> u64 {
    let log = std::fs::read_to_string(server.log_file()).unwrap();
    let purges = log.lines().filter(|line| line.contains("the log is purged up to a checkpoint"));
    let upto = purges.filter_map(|line| line.rsplit_once("upto=")?.1.trim().parse().ok());
    upto.max().unwrap_or(0)
}

/// The log goes behind checkpoints: each email that it proves no more is counted, and named with
/// the reason, and what came later is proven.
#[test]
fn what_a_purged_log_cannot_prove_is_told_email_by_email() {
    let environment = [
        ("REDOUBT_STORE_KEEP_LOG", "checkpoint"),
        ("REDOUBT_STORE_KEEP_LOG_HOURS", "0"),
        ("REDOUBT_STORE_CHECKPOINT_RECORDS", "12"),
    ];
    let scene = Scene::with(&ALL, &environment);
    scene.fill(ALICE, &["early 1", "early 2"]);
    let early = scene.applied();
    let (_, old) = scene.path("old.txt");
    scene.server.verb(&["audit", "head", "--out", &old]);
    wait_until(&scene, "the log is purged", || log_purged(&scene.server) > early);
    scene.fill(BOB, &["early bird"]);
    let (_, out) = scene.path("out");
    let export = ["export", "subject:early", "--all", "--format", "eml", "--out", &out];
    let said = scene.code(&export, 3);
    assert!(said.contains("2 emails not proven in all"), "{said}");
    let keys = scene.keys();
    let said = scene.code(&["verify-export", &out, "--key", &keys], 3);
    assert!(said.contains("records of some emails not proven"), "{said}");
    let named = said.lines().filter(|line| line.starts_with("not proven: RDT"));
    let named: Vec<&str> = named.collect();
    assert_eq!(named.len(), 2, "{said}");
    assert!(named.iter().all(|line| line.contains("does not reach back to it")), "{said}");
    let said = scene.code(&["audit", "consistency", &old], 1);
    assert!(said.contains("does not reach back to that head"), "{said}");
}

/// An export is held to a head that was published long after it.
#[test]
fn a_later_head_proves_an_export_and_that_of_another_history_none() {
    let scene = Scene::of(&ALL);
    scene.fill(ALICE, &["secret plan"]);
    let (dir, out) = scene.path("out");
    scene.server.verb(&["export", "", "--all", "--format", "csv", "--out", &out]);
    let head = dir.join("proof/head.txt").display().to_string();
    scene.fill(BOB, &["one", "two", "three"]);
    let (_, later) = scene.path("later.txt");
    scene.server.verb(&["audit", "head", "--out", &later]);
    scene.fill(BOB, &["four"]);
    let (_, proof) = scene.path("proof.txt");
    scene.server.verb(&["audit", "consistency", &head, "--checkpoint", &later, "--out", &proof]);
    let known = ["verify-export", &out, "--checkpoint", &later];
    scene.code(&[&known[..], &["--consistency", &proof]].concat(), 0);
    let said = scene.code(&known, 1);
    assert!(said.contains("redoubt audit consistency"), "{said}");
    let (_, newest) = scene.path("newest.txt");
    scene.server.verb(&["audit", "head", "--out", &newest]);
    let other_head = ["verify-export", &out, "--checkpoint", &newest, "--consistency", &proof];
    assert!(scene.code(&other_head, 2).contains("leads to another head"));

    let other = Scene::of(&ALL);
    other.fill(CAROL, &["one", "two", "three", "four", "five", "six"]);
    let said = other.code(&["audit", "consistency", &head], 1);
    assert!(said.contains("another history"), "{said}");
    let said = scene.code(&["audit", "consistency", &later, "--checkpoint", &head], 1);
    assert!(said.contains("newer than"), "{said}");
}

#[test]
fn what_a_node_keeps_of_a_job_is_removed() {
    let scene = Scene::of(&ALL);
    scene.fill(ALICE, &["secret plan"]);
    let search = job_of(&scene.json(&["discover", "secret", "--all"]));
    let (dir, out) = scene.path("out");
    let export = scene.json(&["export", &search, "--format", "csv", "--out", &out]);
    let export = job_of(&export);
    assert_eq!(scene.json(&["discover", "list"]).len(), 2);
    let plan = scene.code(&["discover", "remove", &search], 6);
    assert!(plan.contains(&search) && plan.contains("--yes"), "{plan}");
    scene.code(&["discover", "remove", &search, "--yes"], 0);
    assert!(scene.code(&["discover", "show", &search], 1).contains("there is no search"));
    assert!(scene.code(&["discover", "remove", &search, "--yes"], 1).contains("no search"));
    assert_eq!(job_of(&scene.json(&["discover", "list"])), export);
    scene.code(&["discover", "remove", "--ended-before", "90d", "--yes"], 0);
    assert_eq!(scene.json(&["discover", "list"]).len(), 1, "it is younger");
    scene.code(&["discover", "remove", "--ended-before", "0h", "--yes"], 0);
    assert_eq!(scene.json(&["discover", "list"]), Vec::<Value>::new());
    assert_eq!(std::fs::read_dir(scene.server.data().join("discovery")).unwrap().count(), 0);
    assert!(dir.join("manifest.json").exists(), "an export stays where it is");
    let removed = audited(&scene).iter().filter(|kind| *kind == "discovery-remove").count();
    assert_eq!(removed, 2);
}

/// The ids of a delivery's other recipients are in its record, and in no file without records.
#[test]
fn an_export_without_records_is_whole_and_not_proven() {
    let scene = Scene::of(&ALL);
    let arguments = ["deliver", "--to", ALICE, "--to", BOB, "--from", "x@example.net", "-"];
    let text = b"Subject: hello\r\n\r\nhello\r\n";
    assert!(scene.server.run_with_input(&arguments, text).status.success());
    let (_, out) = scene.path("out");
    let export = ["export", "", "--account", ALICE, "--format", "eml", "--out", &out];
    scene.code(&[&export[..], &["--without-records"]].concat(), 0);
    let keys = scene.keys();
    let said = scene.code(&["verify-export", &out, "--key", &keys], 3);
    assert!(said.contains("what it says was left out"), "{said}");
}
