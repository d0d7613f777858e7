//! The audit trail of a real server: who did what, why, and what came of it; also of a stopped
//! one, and of a log whose beginning is purged.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use redoubt_tests::imap::Imap;
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

fn list(scene: &Scene, more: &[&str]) -> Vec<Value> {
    scene.json(&[&["audit", "list", "--limit", "1000"], more].concat())
}

fn kinds(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["kind"].as_str().unwrap()).collect()
}

fn scene() -> Scene {
    let scene = Scene::of(&[ALICE, BOB]);
    scene.fill(ALICE, &["one", "two"]);
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    for command in [
        "SELECT INBOX",
        "STORE 1 +FLAGS (\\Flagged)",
        "CREATE Work",
        "RENAME Work Done",
        "MOVE 2 Done",
    ] {
        imap.ok(command).unwrap();
    }
    scene.server.verb(&["account", "set", BOB, "--quota", "5M"]);
    let (code, said) = scene.said(&["domain", "add", "example.org"]);
    assert_ne!(code, 0, "{said}");
    scene.code(&["discover", "subject:one", "--account", ALICE, "--reason", "Case Seven"], 0);
    scene
}

#[test]
fn who_did_what_is_told_with_what_was_before() {
    let scene = scene();
    let uid = format!("uid {}", rustix::process::getuid().as_raw());
    let flags = list(&scene, &["--kind", "set-flags", "--account", ALICE]);
    assert_eq!(flags.len(), 1, "{flags:?}");
    let flags = &flags[0];
    assert_eq!((&flags["actor"], &flags["from"]), (&ALICE.into(), &"127.0.0.1".into()));
    assert_eq!((&flags["outcome"], &flags["group"]), (&"done".into(), &"email".into()));
    assert_eq!(flags["before"][0]["flags"], serde_json::json!([]));
    assert_eq!(flags["after"][0]["flags"], serde_json::json!(["\\Flagged"]));

    let set = &list(&scene, &["--kind", "account-set"])[0];
    assert_eq!(set["actor"], uid);
    assert_eq!(
        (&set["before"]["quota"], &set["after"]["quota"]),
        (&Value::Null, &5_242_880.into())
    );
    assert_eq!(set["accounts"][0]["address"], BOB);

    let renamed = &list(&scene, &["--kind", "mailbox-named"])[0];
    assert_eq!(renamed["before"]["mailbox"], "Work");
    assert_eq!(renamed["after"]["mailbox"], "Done");
    let moved = &list(&scene, &["--kind", "move"])[0];
    assert_eq!(
        (&moved["before"]["mailbox"], &moved["after"]["mailbox"]),
        (&"INBOX".into(), &"Done".into())
    );

    let refused = list(&scene, &["--outcome", "refused"]);
    assert_eq!(kinds(&refused), ["domain-add"]);
    assert!(refused[0]["detail"].as_str().unwrap().contains("exists already"));

    let searched = list(&scene, &["--reason", "case seven"]);
    assert_eq!(kinds(&searched), ["discovery-begin"]);
    assert_eq!(searched[0]["reason"], "Case Seven");
    assert!(searched[0]["what"].as_str().unwrap().contains("subject:one"));
    assert_eq!(searched[0]["accounts"][0]["address"], ALICE);
    assert_eq!(list(&scene, &["--reason", ""]).len(), 1);
    assert!(list(&scene, &["--account", BOB, "--kind", "audit"]).is_empty());
}

#[test]
fn filters_and_pages_give_the_same_lines() {
    let scene = scene();
    let all = list(&scene, &[]);
    let indexes: Vec<u64> = all.iter().map(|line| line["index"].as_u64().unwrap()).collect();
    assert!(indexes.is_sorted() && indexes.len() > 12, "{indexes:?}");
    let by_alice = list(&scene, &["--actor", ALICE]);
    assert!(by_alice.iter().all(|line| line["actor"] == ALICE) && by_alice.len() >= 6);
    let of_two = list(&scene, &["--kind", "directory", "--kind", "restore"]);
    assert!(of_two.iter().all(|line| line["group"] == "directory") && of_two.len() >= 4);

    let mut pieces = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let page = scene.json(&["audit", "list", "--limit", "4", "--after", &after]);
        let Some(last) = page.last() else { break };
        after = last["index"].to_string();
        assert!(page.len() <= 4);
        pieces.extend(page);
    }
    assert_eq!(pieces, all.iter().filter(|l| l["index"] != 0).cloned().collect::<Vec<_>>());

    let (third, tenth) = (&all[3], &all[10]);
    let bound = |line: &Value| format!("@{}", line["index"]);
    let part = list(&scene, &["--from", &bound(third), "--until", &bound(tenth)]);
    assert_eq!(part, all[3..=10]);
    let time = tenth["time"].as_str().unwrap();
    let since = list(&scene, &["--from", time]);
    assert!(since.iter().all(|line| line["time"].as_str().unwrap() >= time));
    assert_eq!(since.last(), all.last());
    // The first membership is from before there was a clock.
    let long_ago = list(&scene, &["--until", "2020-01-01T00:00:00Z"]);
    assert!(kinds(&long_ago).iter().all(|kind| *kind == "membership"), "{long_ago:?}");

    let (code, said) = scene.said(&["audit", "list", "--kind", "delivery"]);
    assert_eq!((code, said.contains("deliver")), (2, true), "{said}");
    let (code, said) = scene.said(&["audit", "list", "--account", "nobody@example.org"]);
    assert_eq!((code, said.contains("no account")), (1, true), "{said}");
    let (_, table) = scene.said(&["audit", "list", "--limit", "5"]);
    assert!(table.contains("WHO") && table.contains("more: the same with --after"), "{table}");
}

#[test]
fn an_export_is_whole_and_a_stopped_server_is_read_too() {
    let mut scene = scene();
    let all = list(&scene, &[]);
    let (lines, out) = scene.path("trail.jsonl");
    scene.code(&["audit", "export", "--out", &out], 0);
    let text = std::fs::read_to_string(&lines).unwrap();
    let written: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(written[..all.len()], all);
    let head = std::fs::read_to_string(format!("{out}.head.txt")).unwrap();
    assert!(head.starts_with("redoubt/"), "{head}");
    assert_eq!(scene.said(&["audit", "export", "--out", &out]).0, 1, "it is there already");
    let (csv, out) = scene.path("trail.csv");
    scene.code(&["audit", "export", "--out", &out, "--format", "csv", "--kind", "set-flags"], 0);
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.starts_with("index,time,kind,group,actor,"), "{csv}");
    assert_eq!((csv.lines().count(), csv.contains("[\"\"\\\\Flagged\"\"]")), (2, true), "{csv}");

    scene.server.stop();
    let without = list(&scene, &["--until", &format!("@{}", all.last().unwrap()["index"])]);
    assert_eq!(kinds(&without), kinds(&all));
    let own = list(&scene, &["--actor", "account:1", "--kind", "set-flags", "--account", "1"]);
    assert_eq!(own.len(), 1);
    let (code, said) = scene.said(&["audit", "list", "--reason", "case"]);
    assert_eq!((code, said.contains("no server runs")), (2, true), "{said}");
}
