//! Every way round a hold that can be thought of is tried on a real server, and fails, on record.
//! docs/holds.md lists them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use redoubt_tests::attempts::*;
use redoubt_tests::cluster::until;
use redoubt_tests::imap::Imap;
use redoubt_tests::messages::message;
use redoubt_tests::packs::planted;
use redoubt_tests::page::{Page, types};
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.org";
/// Under the hold of a query.
const DAVE: &str = "dave@example.net";

fn shown(scene: &Scene, hold: u64) -> Value {
    scene.json(&["hold", "show", &hold.to_string()])[0].clone()
}

/// Waits until a query has judged all there is; what it comes to.
fn judged(scene: &Scene, hold: u64) -> Value {
    let mut last = Value::Null;
    let found = until(PATIENCE, || {
        last = shown(scene, hold);
        (last["unjudged"] == 0).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("hold {hold} is not judged: {last}"))
}

/// One story, since each attempt is to fail after all those before it.
#[test]
fn every_way_round_a_hold_is_tried_and_fails() {
    let mut scene = Scene::of(&[ALICE, BOB, CAROL, DAVE, ERIN]);
    let data = scene.server.data().to_owned();
    for (n, account) in [ALICE, ALICE, ALICE, BOB, CAROL, DAVE].into_iter().enumerate() {
        put(&scene.server, account, "INBOX", &planted(n));
    }
    put_what_is_free(&scene.server, 20..40);
    let domain = "example.org";
    scene.code(&["hold", "set", "--domain", domain, "--name", "inquiry", "--delay", "30d"], 0);
    let query = ["--query", "from:a@example.net planted"];
    scene.code(&[&["hold", "set", "--account", DAVE][..], &query].concat(), 0);
    assert_eq!(judged(&scene, 2)["held"], 1);
    // What comes later is held, too.
    put(&scene.server, DAVE, "INBOX", &planted(6));
    put(&scene.server, DAVE, "INBOX", &message("nothing", 500));
    let dave = judged(&scene, 2);
    assert_eq!((&dave["held"], &dave["unread"]), (&2.into(), &0.into()), "{dave}");

    // A user's expunge, and a mailbox that is deleted with what is in it.
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("CREATE Secret").unwrap();
    imap.ok("MOVE 3 Secret").unwrap();
    imap.ok("DELETE Secret").unwrap();
    drop(imap);
    expunge_all(&scene.server, ALICE, "INBOX");
    expunge_all(&scene.server, DAVE, "INBOX");
    // An account, deleted; another, renamed into a domain that is not held.
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
    // A restore to when there was nothing.
    let before = scene.json(&["hold", "list"])[0]["index"].as_u64().unwrap();
    scene.said(&["restore", "rewind", ALICE, "--at", &before.to_string(), "--exact", "--yes"]);
    until_what_is_free_has_gone(&scene, 20..40);
    all_there(&data, "deleted, renamed, short of room and of history");

    // A configuration that wants neither history nor delays, and a restart.
    put_what_is_free(&scene.server, 40..60);
    scene.server.stop();
    scene.server.set("REDOUBT_HISTORY_KEEP", "1s");
    scene.server.set("REDOUBT_RETENTION_HOLD_DELAY_DAYS", "0");
    scene.server.start_again();
    scene.code(&["hold", "release", "1", "--yes"], 0);
    let released = shown(&scene, 1);
    assert_eq!(released["state"], "releasing", "{released}");
    let refused = scene.code(&["hold", "release", "1", "--yes"], 1);
    assert!(refused.contains("already"), "{refused}");
    let refused = scene.code(&["hold", "approve", "1", "--yes"], 5);
    assert!(refused.contains("approver"), "{refused}");
    until_what_is_free_has_gone(&scene, 40..60);
    all_there(&data, "another configuration, and a release");
    assert_eq!(shown(&scene, 1)["state"], "releasing");
    scene.code(&["hold", "cancel", "1"], 0);

    // All of it can be had back.
    let find = |account: &str, what: &str| scene.json(&["find", account, what]).len();
    assert_eq!(find(ALICE, "deleted:any planted held:1"), 3);
    assert_eq!(find(DAVE, "deleted:any planted held:2"), 2);
    assert_eq!(find(DAVE, "deleted:any subject:nothing held:no"), 1);
    assert_eq!(find(carol, "deleted:any planted held:1"), 1);
    on_record(&scene);
    scene.code(&["check"], 0);
    scene.server.stop();
    with_an_old_program(&data);
}

fn on_record(scene: &Scene) {
    let lines = scene.json(&["audit", "list", "--kind", "retention", "--limit", "100000"]);
    let kinds = |kind: &str| lines.iter().filter(|line| line["kind"] == kind).count();
    assert_eq!((kinds("hold-set"), kinds("hold-stays")), (2, 1));
    assert!(kinds("hold-marks") >= 2, "{}", kinds("hold-marks"));
    let refused: Vec<&Value> = lines
        .iter()
        .filter(|line| line["outcome"] == "refused")
        .filter(|line| line["kind"].as_str().is_some_and(|kind| kind.starts_with("hold-")))
        .collect();
    // Whoever is no person is turned away at the door.
    assert_eq!(refused.len(), 1, "{refused:?}");
}

/// A release is over when its delay is, and a second person need not wait for that.
#[test]
fn a_hold_ends_by_its_delay_or_by_a_second_person() {
    let scene = Scene::of(&[ALICE, BOB]);
    scene.code(&["hold", "set", "--account", ALICE, "--delay", "2s"], 0);
    scene.code(&["hold", "set", "--account", BOB], 0);
    scene.code(&["hold", "release", "1", "--yes"], 0);
    let ended = until(PATIENCE, || (scene.json(&["hold", "list"]).len() == 1).then_some(()));
    assert!(ended.is_some(), "{:?}", scene.json(&["hold", "list"]));
    assert_eq!(shown(&scene, 2)["delay"], 30 * 86_400);
    scene.code(&["role", "grant", BOB, "approver"], 0);
    let token = scene.json(&["token", "add", "--account", BOB])[0]["secret"].clone();
    let (path, file) = scene.path("token");
    std::fs::write(path, token.as_str().unwrap()).unwrap();
    let approve = ["hold", "approve", "2", "--yes", "--token-file", &file];
    assert!(scene.code(&approve, 1).contains("hold:2 that waits"), "nobody has released it");
    scene.code(&["hold", "release", "2", "--yes"], 0);
    let own = scene.code(&["hold", "approve", "2", "--yes"], 5);
    assert!(own.contains("approver"), "{own}");
    scene.code(&approve, 0);
    assert_eq!(scene.json(&["hold", "list"]).len(), 0);
    let done = |kind: &str| {
        let lines = scene.json(&["audit", "list", "--kind", kind]);
        lines.iter().filter(|line| line["outcome"] == "done").cloned().collect::<Vec<_>>()
    };
    let (ended, approved) = (done("hold-end"), done("approval"));
    assert_eq!((ended.len(), approved.len()), (1, 1), "{ended:?} {approved:?}");
    assert!(approved[0].to_string().contains("token of"), "{approved:?}");
}

#[test]
fn the_page_says_what_is() {
    let scene = Scene::of(&[ALICE, BOB]);
    put(&scene.server, ALICE, "INBOX", &message("merger", 500));
    let page = Page::read("holds.md");
    let mut typed = 0;
    let mut below = |heading: &str, words: &[(&str, &str)]| {
        let commands = page.commands(heading);
        typed += commands.len();
        let said = commands.iter().map(|command| {
            let (code, said) = types(&scene.server, command, words);
            assert_eq!(code, 0, "{command}: {said}");
            said
        });
        said.collect::<Vec<_>>()
    };
    let (path, file) = scene.path("carol.token");
    let set = below("Setting a hold", &[]);
    assert!(set[5].contains("domain example.org") && set[5].contains("subject:merger"), "{set:?}");
    assert!(set[6].contains("\"unjudged\""), "{}", set[6]);
    assert!(set[7].contains("merger"), "{}", set[7]);
    scene.server.account(CAROL);
    let token = scene.json(&["token", "add", "--account", CAROL])[0]["secret"].clone();
    std::fs::write(path, token.as_str().unwrap()).unwrap();
    scene.code(&["role", "grant", CAROL, "approver"], 0);
    let released = below("Releasing a hold", &[("carol.token", &file)]);
    assert!(released[1].contains("releasing"), "{}", released[1]);
    let all = page.text().lines().filter(|line| line.starts_with("$ redoubt ")).count();
    assert_eq!(typed, all, "every command is typed");
    for (text, why) in [("is:read", "is:"), ("from:", "from"), ("in:INBOX a", "in:")] {
        let said = scene.code(&["hold", "set", "--all", "--query", text], 2);
        assert!(said.contains(why), "{said}");
    }
    scene.code(&["hold", "set", "--all"], 2);
    scene.code(&["hold", "show", "99"], 1);
}
