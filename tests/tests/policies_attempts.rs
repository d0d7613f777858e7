//! Every way round a floor that can be thought of is tried on a real server, and fails, on record.
//! docs/retention.md lists them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use redoubt_tests::attempts::*;
use redoubt_tests::disaster::{all_archived, archived, moment, strikes};
use redoubt_tests::imap::Imap;
use redoubt_tests::packs::{is_in_packs, planted};
use redoubt_tests::process::Redoubt;
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.org";
/// Under floors that hang on where mail stands.
const DAVE: &str = "dave@example.net";

fn emails(scene: &Scene, account: &str, mailbox: &str) -> Vec<String> {
    let listed = scene.json(&["ls", account, mailbox]);
    listed.iter().map(|line| line["email_id"].as_str().unwrap().to_owned()).collect()
}

/// One story, since each attempt is to fail after all those before it.
#[test]
fn every_way_round_a_floor_is_tried_and_fails() {
    let mut scene = Scene::of(&[ALICE, BOB, CAROL, DAVE, ERIN]);
    let data = scene.server.data().to_owned();
    let keep = ["--keep", "3650d"];
    let add = |name: &str, over: &[&str]| {
        scene.code(&[&["policy", "add", name][..], over, &keep[..]].concat(), 0);
    };
    add("org", &["--domain", "example.org"]);
    add("sent", &["--account", DAVE, "--direction", "sent"]);
    add("case", &["--account", DAVE, "--mailbox", "Case"]);
    add("label", &["--anchor", "labelled"]);
    for policy in ["org", "label"] {
        scene.code(&["policy", "lock", policy, "--yes"], 0);
    }
    for (n, account) in [ALICE, ALICE, ALICE, BOB, CAROL].into_iter().enumerate() {
        put(&scene.server, account, "INBOX", &planted(n));
    }
    let mut dave = Imap::login(scene.server.imap(), DAVE).unwrap();
    dave.ok("CREATE Case").unwrap();
    put(&scene.server, DAVE, "Sent", &planted(5));
    put(&scene.server, DAVE, "Case", &planted(6));
    put_what_is_free(&scene.server, 20..40);
    let alice = emails(&scene, ALICE, "INBOX");
    let case = emails(&scene, DAVE, "Case").remove(0);
    scene.code(&["label", "add", "label", ALICE, &alice[0]], 0);
    let before = scene.applied();

    // A user's expunge, and a mailbox that is deleted with what is in it.
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("CREATE Secret").unwrap();
    imap.ok("MOVE 3 Secret").unwrap();
    imap.ok("DELETE Secret").unwrap();
    drop(imap);
    expunge_all(&scene.server, ALICE, "INBOX");
    // The mailbox that a policy is over is called otherwise; mail leaves it; the mailbox for
    // sent mail goes.
    dave.ok("RENAME Case Other").unwrap();
    dave.ok("SELECT Other").unwrap();
    dave.ok("MOVE 1 INBOX").unwrap();
    dave.ok("DELETE Other").unwrap();
    dave.ok("DELETE Sent").unwrap();
    drop(dave);
    expunge_all(&scene.server, DAVE, "INBOX");
    // An account, deleted; another, renamed into a domain without floors.
    scene.code(&["account", "delete", BOB, "--yes"], 0);
    scene.code(&["account", "rename", CAROL, "carol@example.com"], 0);
    let carol = "carol@example.com";
    expunge_all(&scene.server, carol, "INBOX");
    // A quota, and a class that wants no history.
    scene.code(&["account", "set", ALICE, "--quota", "1"], 0);
    scene.code(&["class", "add", "short", "--history", "1s"], 0);
    for account in [ALICE, carol, DAVE, ERIN] {
        scene.code(&["account", "set", account, "--class", "short"], 0);
    }
    // Restores: to when there was nothing, of what was deleted, of the account, beside it.
    let at = before.to_string();
    scene.said(&["restore", "rewind", ALICE, "--at", &at, "--exact", "--yes"]);
    scene.said(&["restore", "rewind", ALICE, "--at", "1", "--exact", "--yes"]);
    scene.said(&["restore", "undelete", ALICE, "--since", &format!("@{at}"), "--yes"]);
    scene.said(&["restore", "account", BOB, "--yes"]);
    scene.said(&["account", "delete", BOB, "--yes"]);
    if !emails(&scene, ALICE, "INBOX").is_empty() {
        expunge_all(&scene.server, ALICE, "INBOX");
    }
    // Deletions, a shorter floor, its end, and an erasure.
    scene.code(&["policy", "add", "all", "--all", "--delete", "1s"], 0);
    let shorter = scene.code(&["policy", "set", "org", "--keep", "1d"], 1);
    assert!(shorter.contains("locked"), "{shorter}");
    let moved = scene.code(&["policy", "set", "org", "--domain", "example.com"], 1);
    assert!(moved.contains("locked"), "{moved}");
    scene.code(&["policy", "remove", "org"], 1);
    scene.code(&["label", "remove", "label", ALICE, &alice[0]], 1);
    scene.code(&["policy", "remove", "sent"], 0);
    scene.code(&["policy", "set", "case", "--keep", "1s"], 0);
    scene.said(&["erase", "begin", ALICE, "--whole", "--reason", "please", "--yes"]);
    until_what_is_free_has_gone(&scene, 20..40);
    all_there(&data, "deleted, renamed, short of room and of history, shortened, erased");

    // A configuration that wants no history, and a restart.
    put_what_is_free(&scene.server, 40..60);
    scene.server.stop();
    scene.server.set("REDOUBT_HISTORY_KEEP", "1s");
    scene.server.set("REDOUBT_HISTORY_POLICIES_SECONDS", "1");
    scene.server.start_again();
    until_what_is_free_has_gone(&scene, 40..60);
    all_there(&data, "another configuration");

    // It says why, and can be had back though the history begins later.
    scene.code(&["account", "set", ALICE, "--quota", "none"], 0);
    for (account, email, policy) in [(ALICE, &alice[1], "(org)"), (DAVE, &case, "(case)")] {
        let why = scene.code(&["why", account, email], 0);
        assert!(why.contains("expunged") && why.contains(policy), "{why}");
        scene.code(&["restore", "email", account, email], 0);
        let back = emails(&scene, account, "INBOX");
        assert!(back.contains(email), "{back:?}");
    }
    on_record(&scene);
    scene.code(&["check"], 0);
    scene.server.stop();
    with_an_old_program(&data);
}

fn on_record(scene: &Scene) {
    let lines = scene.json(&["audit", "list", "--kind", "retention", "--limit", "100000"]);
    let refused = |kind: &str| {
        let fits = |line: &&Value| line["kind"] == kind && line["outcome"] == "refused";
        lines.iter().filter(fits).count()
    };
    let found = (refused("policy-set"), refused("policy-remove"), refused("unlabel"));
    assert_eq!(found, (2, 1, 1), "{lines:?}");
}

/// The names of the policies that bind, and those of them that are locked.
fn listed(server: &Redoubt) -> (Vec<String>, Vec<String>) {
    let out = server.verb(&["policy", "list", "--json"]);
    let lines = out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (mut all, mut locked) = (Vec::new(), Vec::new());
    for line in lines {
        let version = line["versions"].as_array().unwrap().last().unwrap().clone();
        let name = version["settings"]["name"].as_str().unwrap().to_owned();
        if line["locked"] == true {
            locked.push(name.clone());
        }
        all.push(name);
    }
    (all, locked)
}

/// Who goes back to before a policy was locked has it again, and who takes one account out of a
/// backup has with it what is over it.
#[test]
fn a_recovery_is_no_way_round_a_floor() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut server = archived(&data);
    for account in [ALICE, BOB, DAVE] {
        server.domain(account.split_once('@').unwrap().1);
        server.account(account);
    }
    put(&server, ALICE, "INBOX", &planted(0));
    let before = moment(&server);
    server.verb(&["policy", "add", "late", "--domain", "example.org", "--keep", "3650d"]);
    server.verb(&["policy", "lock", "late", "--yes"]);
    server.verb(&["policy", "add", "loose", "--all", "--keep", "30d"]);
    all_archived(&server);
    strikes(&mut server, &before, &[]);
    let late = || vec!["late".to_owned()];
    assert_eq!(listed(&server), (late(), late()));
    let refused = server.run(&["policy", "remove", "late"]);
    assert_eq!(refused.status.code(), Some(1), "it is locked still");

    // One account, with what is over it.
    for (name, over) in [
        ("everybody", &["--all"][..]),
        ("own", &["--account", ALICE]),
        ("domain", &["--domain", "example.org"]),
        ("bobs", &["--account", BOB]),
        ("elsewhere", &["--domain", "example.net"]),
    ] {
        server.verb(&[&["policy", "add", name, "--keep", "3650d"][..], over].concat());
    }
    expunge_all(&server, ALICE, "INBOX");
    all_archived(&server);
    strikes(&mut server, "latest", &["--account", ALICE]);
    let (all, locked) = listed(&server);
    assert_eq!(all, ["late", "everybody", "own", "domain"]);
    assert_eq!(locked, late());
    assert!(is_in_packs(&data, &planted(0)), "it is kept, and not there");
    assert!(server.run(&["check"]).status.success());
}
