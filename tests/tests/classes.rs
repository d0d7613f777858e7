//! Classes of service of a real server: what holds, who says so, and that it is enforced.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::time::Duration;

use redoubt_tests::cluster::until;
use redoubt_tests::scene::Scene;
use serde_json::{Value, json};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

fn effective(scene: &Scene, account: &str, what: &str) -> Value {
    scene.json(&["account", "show", account])[0]["effective"][what].clone()
}

#[test]
fn what_holds_is_told_with_who_says_so() {
    let scene = Scene::of(&[ALICE, BOB]);
    scene.code(&["domain", "set", "example.org", "--quota", "1G"], 0);
    scene.code(&["class", "add", "staff", "--quota", "5G", "--mailboxes", "8"], 0);
    scene.code(&["class", "add", "staff"], 1);
    scene.code(&["class", "add", "staff", "--if-missing"], 0);
    scene.code(&["class", "add", "12"], 1);
    scene.code(&["class", "set", "staff", "--largest-message", "1K", "--history", "forever"], 0);
    assert_eq!(effective(&scene, BOB, "quota"), json!({"value": 1u64 << 30, "from": "domain"}));
    scene.code(&["account", "set", ALICE, "--class", "staff"], 0);
    assert_eq!(effective(&scene, ALICE, "quota"), json!({"value": 5u64 << 30, "from": "class"}));
    assert_eq!(scene.json(&["account", "show", ALICE])[0]["quota"], 5u64 << 30);
    let forever = json!({"value": null, "from": "class"});
    assert_eq!(effective(&scene, ALICE, "history"), forever);
    let named = json!({"value": {"id": 1, "name": "staff"}, "from": "account"});
    assert_eq!(effective(&scene, ALICE, "class"), named);
    let configured = json!({"value": 50u64 << 20, "from": "configuration"});
    assert_eq!(effective(&scene, BOB, "largest_message"), configured);
    scene.code(&["account", "set", ALICE, "--quota", "2G", "--mailboxes", "7"], 0);
    assert_eq!(effective(&scene, ALICE, "quota"), json!({"value": 2u64 << 30, "from": "account"}));
    assert_eq!(effective(&scene, ALICE, "mailboxes"), json!({"value": 7, "from": "account"}));
    assert_eq!(effective(&scene, ALICE, "class"), named, "what is not named stays");
    // Six mailboxes are there, one more is let in; of the class's eight nobody asks.
    scene.code(&["mailbox", "create", ALICE, "one"], 0);
    let said = scene.code(&["mailbox", "create", ALICE, "two"], 1);
    assert!(said.contains("7 mailboxes"), "{said}");
    // A domain gives its class to whoever has none.
    scene.code(&["domain", "set", "example.org", "--class", "staff"], 0);
    assert_eq!(scene.json(&["domain", "show", "example.org"])[0]["class"], "staff");
    let inherited = json!({"value": {"id": 1, "name": "staff"}, "from": "domain"});
    assert_eq!(effective(&scene, BOB, "class"), inherited);
    let listed = scene.json(&["class", "list"]);
    assert_eq!(
        (&listed[0]["accounts"], &listed[0]["domains"]),
        (&json!(1), &json!(["example.org"]))
    );
    let (path, name) = scene.path("large.eml");
    std::fs::write(path, format!("Subject: x\r\n\r\n{}\r\n", "x".repeat(2000))).unwrap();
    let (_, said) = scene.said(&["deliver", "--to", BOB, &name]);
    assert!(said.contains("1024 octets at most"), "{said}");
    let plan = scene.code(&["class", "remove", "staff"], 6);
    assert!(plan.contains("1 accounts and 1 domains"), "{plan}");
    scene.code(&["class", "remove", "staff", "--yes"], 0);
    assert_eq!(effective(&scene, BOB, "quota"), json!({"value": 1u64 << 30, "from": "domain"}));
    assert_eq!(scene.run(&["deliver", "--to", BOB, &name]).0, 0);
    scene.code(&["account", "set", ALICE, "--class", "staff"], 1);
}

/// One account's history goes, another's stays, on one server that keeps all by itself.
#[test]
fn history_is_kept_by_class() {
    let scene = Scene::of(&[ALICE, BOB]);
    scene.fill(ALICE, &["gone soon"]);
    scene.fill(BOB, &["kept"]);
    let then = format!("@{}", scene.applied());
    scene.empty(ALICE);
    scene.empty(BOB);
    assert_eq!(scene.json(&["ls", ALICE, "INBOX", "--at", &then]).len(), 1);
    scene.code(&["class", "add", "brief", "--history", "1s"], 0);
    scene.code(&["account", "set", ALICE, "--class", "brief"], 0);
    let gone = until(Duration::from_secs(60), || {
        // The log's time goes on with its records.
        scene.code(&["account", "set", BOB, "--name", "Bob"], 0);
        scene.code(&["account", "set", BOB, "--name", "B"], 0);
        (scene.run(&["ls", ALICE, "INBOX", "--at", &then]).0 != 0).then_some(())
    });
    assert!(gone.is_some(), "alice's history is still there");
    assert_eq!(scene.json(&["ls", BOB, "INBOX", "--at", &then]).len(), 1);
}
