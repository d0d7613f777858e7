//! What is tried and refused is on record, by whom and why, and nobody fills the log by trying;
//! what may be looked at only with a record of it is not shown without; and a token says who made it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use redoubt_tests::cluster::{Cluster, PATIENCE, said, until};
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";

/// Keeps a token's secret in a file; the file, and the token's id.
fn token(
    scene: &Scene,
    name: &str,
    wish: &[&str],
    password: &str,
) -> (PathBuf, Result<String, String>) {
    let arguments = [&["token", "add", "--account", name, "--json"], wish].concat();
    let output = scene.server.run_with_input(&arguments, password.as_bytes());
    let path = scene.folder.path().join(format!("{name}.{}", wish.len()));
    let Ok(made) = serde_json::from_slice::<Value>(&output.stdout) else {
        return (path, Err(said(&output).1));
    };
    std::fs::write(&path, made["secret"].as_str().unwrap()).unwrap();
    (path, Ok(made["id"].as_str().unwrap().to_owned()))
}

fn by(scene: &Scene, token: &Path, arguments: &[&str]) -> (i32, String) {
    let file = token.to_string_lossy().into_owned();
    scene.said(&[arguments, &["--token-file", file.as_str()]].concat())
}

/// The refusals of an actor, once there are some that have this in them.
fn refusals(scene: &Scene, actor: &str, having: &str) -> Vec<Value> {
    let found = until(PATIENCE, || {
        let wish = ["audit", "list", "--kind", "refused", "--outcome", "refused", "--actor", actor];
        let lines = scene.json(&wish);
        lines.iter().any(|line| line.to_string().contains(having)).then_some(lines)
    });
    found.unwrap_or_else(|| panic!("no refusal of {actor} has {having:?}"))
}

#[test]
fn every_attempt_to_get_round_is_on_record() {
    let scene = Scene::of(&[ALICE, BOB]);
    let (bob, made) = token(&scene, BOB, &[], "");
    made.unwrap();
    // By no role: a hundred times the same are two records at most, however often it is tried.
    for _ in 0..100 {
        let (code, text) = by(&scene, &bob, &["hold", "list"]);
        assert!(code == 5 && text.contains("role"), "{code} {text}");
    }
    let told = refusals(&scene, BOB, "hold");
    assert!(told.len() <= 2, "{told:?}");
    assert_eq!(told[0]["outcome"], "refused", "{told:?}");
    // Another attempt of the same person is another record; so is what shows a token of nobody.
    assert_eq!(by(&scene, &bob, &["discover", "x", "--all"]).0, 5);
    assert_eq!(by(&scene, &bob, &["account", "delete", ALICE, "--yes"]).0, 5);
    refusals(&scene, BOB, "discover");
    refusals(&scene, BOB, "/v1/accounts");
    let (nobody, _) = scene.path("nobody");
    std::fs::write(&nobody, format!("rdt-{}", "0".repeat(64))).unwrap();
    assert_eq!(by(&scene, &nobody, &["status"]).0, 5);
    let uid = format!("uid:{}", rustix::process::getuid().as_raw());
    refusals(&scene, &uid, "not known here");
    // By the rules, also for the server's own user.
    scene.code(&["role", "grant", BOB, "discovery"], 0);
    scene.code(&["discover", "x", "--all"], 5);
    refusals(&scene, &uid, "personal token");
    // It goes on over a start, and for as long as the log goes back.
    let before = refusals(&scene, BOB, "hold").len();
    let mut scene = scene;
    scene.server.stop();
    scene.server.start_again();
    assert_eq!(refusals(&scene, BOB, "hold").len(), before);
    scene.code(&["check"], 0);
}

#[test]
fn a_token_says_who_made_it_and_what_another_made_makes_none() {
    let scene = Scene::of(&[ALICE, BOB]);
    scene.code(&["role", "grant", BOB, "approver"], 0);
    let (given, made) = token(&scene, BOB, &[], "");
    let given_id = made.unwrap();
    let (_, refused) = token(&scene, BOB, &["--password-stdin"], "wrong\n");
    assert!(
        refused.as_ref().is_err_and(|text| text.contains("wrong user name or password")),
        "{refused:?}"
    );
    let (own, made) = token(&scene, BOB, &["--password-stdin"], "secret\n");
    let own_id = made.unwrap();
    let (code, text) = by(&scene, &given, &["token", "add", "--account", BOB]);
    assert!(code == 5 && text.contains("made by somebody else"), "{code} {text}");
    let (code, text) = by(&scene, &own, &["token", "add", "--account", BOB, "--json"]);
    assert_eq!(code, 0, "{text}");
    // Bob is told of all of them; the record names who made each.
    let (_, text) = by(&scene, &given, &["token", "list", "--json"]);
    let listed: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: &str| listed.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(listed.len(), 3, "{text}");
    let uid = format!("uid {}", rustix::process::getuid().as_raw());
    assert_eq!(
        (&of(&given_id)["by"], &of(&given_id)["own"]),
        (&Value::from(uid), &Value::from(false))
    );
    assert_eq!(of(&own_id)["own"], true);
    assert_eq!(listed.iter().filter(|line| line["own"] == true).count(), 2);
    assert!(listed.iter().all(|line| !line["expires"].is_null()), "every token ends: {text}");
    let made = scene.json(&["audit", "list", "--kind", "personal-token-add"]).len();
    let by_bob = ["audit", "list", "--kind", "personal-token-add", "--actor", BOB];
    assert_eq!((made, scene.json(&by_bob).len()), (3, 2));
    let said = scene.code(&["token", "add", "--account", BOB, "--expires", "367d"], 2);
    assert!(said.contains("366 days"), "{said}");
}

#[test]
fn what_is_to_be_on_record_is_not_shown_without() {
    let waits = [("REDOUBT_LIMITS_LEADER_WAIT_SECONDS", "2")];
    let mut cluster = Cluster::with(3, &waits);
    cluster.caught_up();
    cluster.node(0).domain("example.org");
    cluster.node(0).account(ALICE);
    let mail = redoubt_tests::messages::message("found", 600);
    let delivered = cluster.node(0).run_with_input(&["deliver", "--to", ALICE, "-"], &mail);
    assert!(delivered.status.success(), "{delivered:?}");
    assert!(cluster.node(0).verb(&["find", ALICE, "found"]).contains("found"));
    cluster.node_mut(1).kill();
    cluster.node_mut(2).kill();
    let out = cluster.home().join("export").display().to_string();
    let reads: [&[&str]; 4] = [
        &["find", ALICE, "found"],
        &["ls", "alice@example.org/INBOX"],
        &["discover", "found", "--all"],
        &["export", "found", "--all", "--format", "eml", "--out", &out],
    ];
    for read in reads {
        let output = cluster.node(0).run(read);
        let (code, text) = said(&output);
        assert!(code != 0, "{read:?}: {text}");
        assert!(!String::from_utf8_lossy(&output.stdout).contains("found"), "{read:?}: {text}");
    }
    assert!(!std::path::Path::new(&out).exists());
}
