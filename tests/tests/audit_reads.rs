//! Who looked at mail of others, and who logged in, is in the audit trail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use redoubt_tests::cluster::{PATIENCE, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

fn list(scene: &Scene, more: &[&str]) -> Vec<Value> {
    scene.json(&[&["audit", "list", "--limit", "1000"], more].concat())
}

#[test]
fn whoever_looks_is_in_the_log_before_anything_is_shown() {
    let scene = Scene::of(&[ALICE, BOB]);
    let tokens: Vec<String> = (0..3).map(|n| format!("token {n}")).collect();
    scene.fill(ALICE, &tokens.iter().map(String::as_str).collect::<Vec<_>>());
    let (then, since) = (format!("@{}", scene.applied()), format!("@{}", scene.applied() + 1));
    let inbox = format!("{ALICE}/INBOX");
    let looks: [&[&str]; 7] = [
        &["ls", ALICE],
        &["ls", &inbox],
        &["find", ALICE, "subject:token"],
        &["show", ALICE, "INBOX/1"],
        &["show", ALICE, "INBOX/1", "--raw"],
        &["history", ALICE],
        &["diff", ALICE, &then],
    ];
    for look in looks {
        let before = list(&scene, &["--from", &since, "--kind", "mail-read"]).len();
        let said = scene.server.verb(&[look, &["--reason", "ticket 12"]].concat());
        assert!(!said.is_empty(), "{look:?}");
        let after = list(&scene, &["--from", &since, "--kind", "mail-read"]);
        assert_eq!(after.len(), before + 1, "{look:?}");
        let last = after.last().unwrap();
        assert_eq!((&last["reason"], &last["outcome"]), (&"ticket 12".into(), &"done".into()));
        assert_eq!(last["accounts"][0]["address"], ALICE);
        assert!(last["actor"].as_str().unwrap().starts_with("uid "), "{last}");
    }
    let found = &list(&scene, &["--reason", "TICKET", "--kind", "mail-read"])[2];
    assert!(found["what"].as_str().unwrap().contains("Find; \"subject:token\""), "{found}");
    assert!(list(&scene, &["--account", BOB, "--kind", "mail-read"]).is_empty());
    // What is not there is not looked at.
    assert_ne!(scene.said(&["ls", "nobody@example.org"]).0, 0);
    assert_eq!(list(&scene, &["--kind", "mail-read"]).len(), looks.len());
    scene.code(&["check"], 0);
}

#[test]
fn logins_are_counted_by_account_and_address() {
    let scene = Scene::with(&[ALICE, BOB], &[("REDOUBT_AUDIT_LOGINS_EVERY_SECONDS", "1")]);
    for _ in 0..3 {
        Imap::login(scene.server.imap(), ALICE).unwrap();
    }
    let mut wrong = Imap::connect(scene.server.imap()).unwrap();
    assert!(!wrong.command(&format!("LOGIN {BOB} nonsense")).unwrap().is_ok());
    assert!(!wrong.command("LOGIN nobody@example.org nonsense").unwrap().is_ok());
    let sum = |account: Option<u64>| {
        let dumped = scene.json(&["dump"]);
        let logins = dumped.iter().filter(|line| line["kind"] == "logins");
        let counts = logins.flat_map(|line| line["change"]["Logins"]["counts"].as_array().unwrap());
        let own: Vec<&Value> =
            counts.filter(|count| count["account"].as_u64() == account).collect();
        assert!(own.iter().all(|count| count["from"] == "127.0.0.1"), "{own:?}");
        let all = |what: &str| own.iter().map(|count| count[what].as_u64().unwrap()).sum::<u64>();
        (all("good"), all("failed"))
    };
    let counted = until(PATIENCE, || {
        let counted = [sum(Some(1)), sum(Some(2)), sum(None)];
        (counted == [(3, 0), (0, 1), (0, 1)]).then_some(())
    });
    assert!(counted.is_some(), "{:?} {:?} {:?}", sum(Some(1)), sum(Some(2)), sum(None));
    let told = list(&scene, &["--kind", "logins", "--account", ALICE]);
    assert!(told[0]["what"].as_str().unwrap().contains("logins"), "{told:?}");
}
