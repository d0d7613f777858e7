//! A real Postfix with the milter: what is sent through it is captured with its whole envelope,
//! and while the milter is away nothing is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "programs/postfix_process.rs"]
mod postfix_process;

use postfix_process::Postfix;
use redoubt_tests::messages::message;
use redoubt_tests::process::Redoubt;
use redoubt_tests::programs::{Scene, contents, prepared, wait_for_messages};

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const ARCHIVE: &str = "archive@example.org";

/// A server with a milter, an archive account and a rule over what alice sends.
fn scene() -> Scene {
    let settings =
        [("REDOUBT_LISTEN_MILTER", "127.0.0.1:0"), ("REDOUBT_LIMITS_MESSAGE_BYTES", "200000")];
    let scene = Scene::over(|data| prepared(Redoubt::start_with(data, &settings)));
    let add = ["account", "add", ARCHIVE, "--archive", "--password-stdin"];
    assert!(scene.server.run_with_input(&add, b"secret\n").status.success());
    let rule = ["capture", "rule", "add", "--account", ALICE, "--direction", "sent"];
    scene.server.verb(&[&rule[..], &["--into", ARCHIVE]].concat());
    scene
}

/// A Postfix that asks the milter, throws away what goes elsewhere, and knows a list.
fn postfix(scene: &Scene, milter: &str) -> Postfix {
    let more = format!(
        "smtpd_milters = inet:{milter}\nmilter_default_action = tempfail\n\
         milter_connect_timeout = 5s\ndefault_transport = discard:\n\
         virtual_alias_domains = list.example.org\n\
         virtual_alias_maps = inline:{{ {{staff@list.example.org = {ALICE}, {BOB}}} }}\n"
    );
    Postfix::start_with(scene, scene.server.lmtp(), &more)
}

fn found(scene: &Scene, query: &str) -> u64 {
    let said = scene.server.verb(&["discover", query, "--account", ARCHIVE, "--json"]);
    let first: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    first["found"].as_u64().unwrap()
}

fn archived(scene: &Scene) -> Vec<String> {
    contents(&mut scene.imap(ARCHIVE), "INBOX").into_keys().collect()
}

#[test]
fn what_is_sent_is_captured_whole() {
    let scene = scene();
    let postfix = postfix(&scene, &scene.server.address("milter").to_string());
    let made = message("sent", 20_000);
    let to = [BOB, "secret@elsewhere.example", "staff@list.example.org"].join(",");
    let (sent, talk) = postfix.send_from(&scene, ALICE, &to, &made);
    assert!(sent, "{talk}");
    let there = contents(&mut scene.imap(ARCHIVE), "INBOX");
    let one = there.get("sent").expect("it is captured before the MTA takes it");
    assert_eq!(String::from_utf8_lossy(&one.content), String::from_utf8_lossy(&made));
    assert!(one.has_flags(&["$CapturedSent"]), "{:?}", one.flags);
    for query in ["envto:secret@elsewhere.example", "envto:staff@list.example.org", "envto:bob"] {
        assert_eq!(found(&scene, &format!("{query} envfrom:{ALICE}")), 1, "{query}");
    }
    // The list is expanded behind the milter; what its members get is delivered.
    wait_for_messages(&mut scene.imap(ALICE), "INBOX", 1);
    assert_eq!(found(&scene, &format!("envto:{ALICE}")), 0);
    // The client tries again: it is captured once. Another's mail is not captured at all.
    assert!(postfix.send_from(&scene, ALICE, &to, &made).0);
    assert!(postfix.send_from(&scene, BOB, ALICE, &message("of bob", 500)).0);
    assert_eq!(archived(&scene), ["sent"]);
    // A recipient that is refused gets nothing, and is in no envelope.
    let (_, talk) = postfix.send_from(
        &scene,
        ALICE,
        &format!("nobody@example.org,{BOB}"),
        &message("some", 500),
    );
    assert!(talk.contains("<** 550 5.1.1 <nobody@example.org>"), "{talk}");
    assert_eq!(archived(&scene), ["sent", "some"]);
    assert_eq!(found(&scene, "envto:nobody@example.org"), 0);
    // What is larger than may be captured is refused for good.
    let (sent, talk) = postfix.send_from(&scene, ALICE, BOB, &message("large", 250_000));
    assert!(!sent && talk.contains("552 5.3.4"), "{talk}");
    assert_eq!(archived(&scene), ["sent", "some"]);
}

#[test]
fn while_the_milter_is_away_nothing_is_sent() {
    let mut scene = scene();
    let milter = scene.server.address("milter").to_string();
    scene.server.set("REDOUBT_LISTEN_MILTER", &milter);
    let postfix = postfix(&scene, &milter);
    scene.server.kill();
    let made = message("deferred", 3000);
    let (sent, talk) = postfix.send_from(&scene, ALICE, "a@elsewhere.example", &made);
    assert!(!sent && talk.contains("<** 451 4.7.1"), "{talk}");
    assert!(postfix.is_empty(), "Postfix has kept or sent something");
    scene.server.start_again();
    let (sent, talk) = postfix.send_from(&scene, ALICE, "a@elsewhere.example", &made);
    assert!(sent, "{talk}");
    assert_eq!(archived(&scene), ["deferred"]);
    assert_eq!(found(&scene, "envto:a@elsewhere.example"), 1);
}
