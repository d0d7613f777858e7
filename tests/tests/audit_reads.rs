//! Who looked at mail of others, and who logged in, is in the audit trail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;

use redoubt_tests::cluster::{PATIENCE, until};
use redoubt_tests::imap::Imap;
use redoubt_tests::scene::{Scene, all};
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

/// What the admin socket answers.
fn got(scene: &Scene, call: &str) -> Value {
    let socket = scene.server.data().join("admin.sock");
    let url = format!("http://localhost/v1/accounts/{ALICE}/travel/{call}");
    let mut curl = Command::new("curl");
    curl.args(["-sSfg", "--unix-socket"]).arg(socket).arg(url);
    let (code, out, err) = all(curl.output().unwrap());
    assert_eq!(code, 0, "{call}: {err}");
    serde_json::from_str(&out).unwrap()
}

/// The pages of a listing are one look; the same listing of another moment is another.
#[test]
fn another_moment_is_another_look() {
    let scene = Scene::of(&[ALICE]);
    scene.fill(ALICE, &["token one", "token two", "token three"]);
    let then = scene.applied();
    scene.fill(ALICE, &["token four"]);
    let looks = || list(&scene, &["--kind", "mail-read"]).len();
    let first = got(&scene, "find?query=subject:token&which=there&limit=1");
    let (next, now) = (first["next"].as_str().unwrap(), &first["moments"][0]["index"]);
    assert_eq!(looks(), 1);
    got(&scene, &format!("find?query=subject:token&which=there&limit=1&after={next}"));
    got(&scene, &format!("find?query=subject:token&which=there&limit=1&after={next}&at=@{now}"));
    assert_eq!(looks(), 1, "another page");
    got(&scene, &format!("find?query=subject:token&which=there&limit=1&after={next}&at=@{then}"));
    assert_eq!(looks(), 2, "another moment");
    got(&scene, &format!("find?query=subject:token&which=there&limit=2&after={next}&at=@{then}"));
    assert_eq!(looks(), 2, "of which this is another page");
    got(
        &scene,
        &format!("find?query=subject:token&which=there&limit=1&after={next}&at=@{}", then - 1),
    );
    assert_eq!(looks(), 3);
    let gone = "find?query=subject:token&which=expunged&limit=1";
    got(&scene, &format!("{gone}&after={next}&at=@{then}"));
    assert_eq!(looks(), 4, "what is gone is something else");
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
