//! docs/retention.md typed into a real server, and what its policies keep and take there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use redoubt_tests::clock::Clock;
use redoubt_tests::cluster::until;
use redoubt_tests::imap::Imap;
use redoubt_tests::packs::{is_in_packs, planted};
use redoubt_tests::page::{Page, types};
use redoubt_tests::process::Redoubt;
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const PATIENCE: Duration = Duration::from_secs(120);
const DAY: i64 = 24 * 3600;

/// The id of the only email of a mailbox.
fn email(scene: &Scene) -> String {
    let listed = scene.json(&["ls", ALICE, "INBOX"]);
    assert_eq!(listed.len(), 1, "{listed:?}");
    listed[0]["email_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_page_can_be_typed() {
    let scene = Scene::of(&[ALICE, BOB]);
    scene.fill(ALICE, &["one"]);
    let page = Page::read("retention.md");
    let headings = ["Policies", "What is new or shorter waits", "Labels and events"];
    for heading in headings {
        let commands = page.commands(heading);
        assert!(!commands.is_empty(), "{heading}");
        for command in commands {
            let (code, said) = types(&scene.server, &command, &[("'\\Trash'", "\\Trash")]);
            assert_eq!(code, 0, "{command}: {said}");
        }
    }
    let listed = scene.json(&["policy", "list"]);
    let names: Vec<&str> = listed
        .iter()
        .map(|line| line["versions"].as_array().unwrap().last().unwrap())
        .map(|version| version["settings"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["mail", "trash", "contracts", "case-17", "leavers"]);
    // What would go, before anything does.
    let shown = scene.json(&["policy", "simulate", "--all", "--delete", "1s"]);
    assert_eq!((&shown[0]["emails"], &shown[0]["due"]), (&1.into(), &0.into()), "it is kept");
    let id = email(&scene);
    let why = scene.code(&["why", ALICE, &id], 0);
    assert!(why.contains("by policy 1 (mail), version 1"), "{why}");
    scene.code(&["label", "add", "case-17", ALICE, &id], 0);
    let why = scene.code(&["why", ALICE, &id], 0);
    assert!(why.contains("(case-17)"), "{why}");
    scene.code(&["label", "remove", "case-17", ALICE, &id], 0);
    scene.code(&["why", ALICE, "e1-0"], 1);
    scene.code(&["policy", "lock", "mail", "--yes"], 0);
    let said = scene.code(&["policy", "set", "mail", "--keep", "1d"], 1);
    assert!(said.contains("locked"), "{said}");
    scene.code(&["policy", "remove", "mail"], 1);
    scene.code(&["policy", "approve", "trash", "--yes"], 1);
    scene.code(&["policy", "remove", "contracts"], 0);
    assert!(scene.server.run(&["check"]).status.success());
}

/// What a policy would have done is told by month: of what is live, of what was deleted, of what
/// a query finds, and of what a hold keeps.
#[test]
fn what_would_have_been_is_counted_by_month() {
    let scene = Scene::of(&[ALICE, BOB]);
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    for (n, month) in ["Jan", "Jan", "Mar"].iter().enumerate() {
        let dated = format!("\"10-{month}-2025 12:00:00 +0000\" ");
        assert!(imap.append("INBOX", &dated, &planted(n)).unwrap().is_ok());
    }
    let simulated = |more: &[&str]| {
        let supposed = ["policy", "simulate", "--all", "--anchor", "sent"];
        scene.json(&[&supposed, more].concat()).remove(0)
    };
    let of = |effect: &Value, month: &str, what: &str| effect["months"][month][what].clone();
    let takes = simulated(&["--delete", "30d"]);
    assert_eq!(
        (&takes["due"], &takes["due_live"], &takes["held"]),
        (&3.into(), &3.into(), &0.into())
    );
    assert_eq!(
        (of(&takes, "2025-02", "taken"), of(&takes, "2025-02", "taken_live")),
        (2.into(), 2.into())
    );
    assert_eq!(of(&takes, "2025-04", "taken"), 1);
    assert_eq!(takes["months"].as_object().unwrap().len(), 2, "{takes}");
    let found = simulated(&["--delete", "30d", "--query", "subject:1"]);
    assert_eq!((&found["emails"], &found["due"]), (&3.into(), &1.into()), "{found}");
    assert_eq!(
        (of(&found, "2025-02", "taken"), of(&found, "2025-04", "taken")),
        (1.into(), Value::Null)
    );
    let said =
        scene.code(&["policy", "simulate", "--all", "--delete", "1d", "--query", "is:read"], 2);
    assert!(said.contains("may change"), "{said}");

    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 2 +FLAGS.SILENT (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    let keeps = simulated(&["--keep", "30d"]);
    let months = keeps["months"].as_object().unwrap();
    assert_eq!((&keeps["kept"], &keeps["due"], months.len()), (&3.into(), &0.into(), 1), "{keeps}");
    assert!(months.values().all(|month| month["spared"] == 1), "{keeps}");
    let none = simulated(&["--keep", "30d", "--query", "subject:2"]);
    assert_eq!((&none["kept"], &none["months"]), (&1.into(), &serde_json::json!({})), "{none}");
    scene.code(&["hold", "set", "--account", ALICE, "--name", "inquiry"], 0);
    let held = simulated(&["--delete", "30d"]);
    assert_eq!((&held["due"], &held["held"]), (&0.into(), &3.into()), "{held}");
    let told =
        scene.code(&["policy", "simulate", "--all", "--anchor", "sent", "--delete", "30d"], 0);
    assert!(told.contains("holds keep 3 more") && told.contains("2025-04"), "{told}");
}

/// Expunged mail under a floor stays in the packs while history is trimmed beside it.
#[test]
fn what_a_floor_keeps_stays_in_the_packs() {
    let scene = Scene::with(&[ALICE, BOB], &[("REDOUBT_HISTORY_KEEP", "1s")]);
    scene.code(&["policy", "add", "alice", "--account", ALICE, "--keep", "30d"], 0);
    let mut id = String::new();
    for (account, n) in [(BOB, 1), (ALICE, 0)] {
        let mut imap = Imap::login(scene.server.imap(), account).unwrap();
        assert!(imap.append("INBOX", "", &planted(n)).unwrap().is_ok());
        if account == ALICE {
            id = email(&scene);
        }
        imap.ok("SELECT INBOX").unwrap();
        imap.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").unwrap();
        imap.ok("EXPUNGE").unwrap();
    }
    let gone = until(PATIENCE, || {
        // The log's time goes on with its records.
        scene.code(&["account", "set", BOB, "--name", "Bob"], 0);
        scene.code(&["account", "set", BOB, "--name", "B"], 0);
        (!is_in_packs(scene.server.data(), &planted(1))).then_some(())
    });
    assert!(gone.is_some(), "what nothing keeps is still there");
    assert!(is_in_packs(scene.server.data(), &planted(0)), "alice's is kept");
    let why = scene.code(&["why", ALICE, &id], 0);
    assert!(why.contains("expunged") && why.contains("(alice)"), "{why}");
    assert!(scene.server.run(&["check"]).status.success());
}

/// A policy over a query keeps what that finds, now and later, and nothing else.
#[test]
fn what_a_query_finds_is_kept() {
    let scene = Scene::with(&[ALICE, BOB], &[("REDOUBT_HISTORY_KEEP", "1s")]);
    let put = |n: usize| {
        let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
        assert!(imap.append("INBOX", "", &planted(n)).unwrap().is_ok());
    };
    put(0);
    put(1);
    let query = "from:a@example.net (subject:0 OR subject:2)";
    scene.code(&["policy", "add", "found", "--all", "--query", query, "--keep", "30d"], 0);
    put(2);
    put(3);
    let listed = scene.json(&["ls", ALICE, "INBOX"]);
    let ids: Vec<&str> = listed.iter().map(|line| line["email_id"].as_str().unwrap()).collect();
    let kept = |n: usize| scene.code(&["why", ALICE, ids[n]], 0).contains("(found)");
    let asked = until(PATIENCE, || (!kept(1) && !kept(3)).then_some(()));
    assert!(asked.is_some(), "the query is not asked");
    assert!(kept(0) && kept(2));
    scene.empty(ALICE);
    let gone = until(PATIENCE, || {
        // The log's time goes on with its records.
        scene.code(&["account", "set", BOB, "--name", "Bob"], 0);
        scene.code(&["account", "set", BOB, "--name", "B"], 0);
        [1, 3].iter().all(|n| !is_in_packs(scene.server.data(), &planted(*n))).then_some(())
    });
    assert!(gone.is_some(), "what nothing keeps is still there");
    assert!([0, 2].iter().all(|n| is_in_packs(scene.server.data(), &planted(*n))));
    for (text, why) in [("is:read", "is:"), ("from:", "from"), ("in:INBOX a", "in:")] {
        let said = scene.code(&["policy", "set", "found", "--query", text], 2);
        assert!(said.contains(why), "{said}");
    }
    let shown = scene.code(&["policy", "list"], 0);
    assert!(shown.contains("subject:0"), "{shown}");
    assert!(scene.server.run(&["check"]).status.success());
}

/// A deletion waits seven days, then takes what is due, and nothing of it stays on the disk.
#[test]
fn what_a_policy_takes_leaves_the_packs() {
    let dir = tempfile::tempdir().unwrap();
    let Some(clock) = Clock::new(dir.path()).unwrap() else {
        assert!(std::env::var_os("CI").is_none(), "libfaketime is not installed");
        return;
    };
    let data = dir.path().join("data");
    let environment: Vec<(String, String)> = clock
        .environment()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into_string().unwrap()))
        .chain([("REDOUBT_HISTORY_POLICIES_SECONDS".to_owned(), "1".to_owned())])
        .collect();
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut server = Redoubt::start_with(&data, &environment);
    server.domain("example.org");
    server.account(ALICE);
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    assert!(imap.append("INBOX", "", &planted(0)).unwrap().is_ok());
    assert!(imap.append("INBOX", "", &planted(1)).unwrap().is_ok());
    server.verb(&["policy", "add", "flagless", "--all", "--delete", "8d"]);
    server.verb(&["policy", "add", "starred", "--all", "--mailbox", "Kept", "--keep", "900d"]);
    imap.ok("CREATE Kept").unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("MOVE 2 Kept").unwrap();
    // A node that runs does not believe such a jump.
    server.stop();
    clock.set(9 * DAY).unwrap();
    server.start_again();
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    let gone = until(PATIENCE, || {
        imap.ok("NOOP").unwrap();
        (!is_in_packs(&data, &planted(0))).then_some(())
    });
    assert!(gone.is_some(), "it is still in the packs");
    assert!(is_in_packs(&data, &planted(1)), "a floor keeps it");
    let shown: Value =
        serde_json::from_str(&server.verb(&["policy", "show", "flagless", "--json"])).unwrap();
    assert_eq!(shown["taken"], 1);
    assert!(server.run(&["check"]).status.success());
}
