//! A server that is killed in the middle of a search or an export, wherever that is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redoubt_search::export::partial;
use redoubt_tests::scene::{Scene, ended};
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.com";
/// How often it is tried to stop a job where it is wanted; one of them must do.
const TRIES: usize = 40;

/// Three accounts, of which the last has the most to look through.
fn filled() -> Scene {
    let scene = Scene::of(&[ALICE, BOB, CAROL]);
    let tokens: Vec<String> = (0..300).map(|n| format!("token {n}")).collect();
    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    scene.fill(ALICE, &tokens[..5]);
    scene.fill(BOB, &tokens[..5]);
    scene.fill(CAROL, &tokens);
    scene
}

fn job(scene: &Scene, arguments: &[&str]) -> String {
    let begun = scene.json(&[arguments, &["--background"]].concat()).remove(0);
    begun["job"].as_str().unwrap().to_owned()
}

fn folder(scene: &Scene, job: &str) -> PathBuf {
    scene.server.data().join("discovery").join(job)
}

fn state(scene: &Scene, job: &str) -> Value {
    let text = fs::read(folder(scene, job).join("state.json")).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Stops the process as soon as a job is where it is wanted, and kills it if it still is there
/// when nothing moves any more.
fn killed_when(scene: &mut Scene, job: &str, is_there: impl Fn(&Scene) -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(30);
    let has_ended = |scene: &Scene| state(scene, job)["ended"].is_i64();
    while !is_there(scene) && !has_ended(scene) {
        assert!(Instant::now() < deadline, "{job} does not go on");
    }
    scene.server.pause();
    let there = is_there(scene);
    match there {
        true => scene.server.kill(),
        false => {
            scene.server.resume();
            ended(&scene.server, job);
        }
    }
    there
}

/// Whether something is found, and not all.
fn is_some(found: &Value) -> bool {
    found.as_u64().is_some_and(|found| (1..310).contains(&found))
}

#[test]
fn a_search_goes_on_where_it_was() {
    let mut scene = filled();
    let halfway = |job: &str| {
        let job = job.to_owned();
        move |scene: &Scene| {
            let state = state(scene, &job);
            state["phase"] == "running" && is_some(&state["found"])
        }
    };
    let killed = (0..TRIES).find_map(|_| {
        let search = job(&scene, &["discover", "token", "--all"]);
        killed_when(&mut scene, &search, halfway(&search)).then_some(search)
    });
    let search = killed.expect("a search that was killed on its way");
    let before = state(&scene, &search);
    assert!(is_some(&before["found"]), "{before}");
    // What a crash left behind what counts is no hit.
    let hits = folder(&scene, &search).join("hits.jsonl");
    let kept = fs::read(&hits).unwrap();
    fs::write(&hits, [kept.as_slice(), b"{\"account\":3,\"em"].concat()).unwrap();
    scene.server.start_again();
    let found = ended(&scene.server, &search);
    assert_eq!((&found["phase"], &found["found"]), (&"completed".into(), &310.into()));
    assert_eq!(found["effort"]["done"], found["effort"]["all"]);
    let hits = scene.json(&["discover", "show", &search, "--hits", "--limit", "1000"]);
    let unlike: BTreeSet<String> =
        hits.iter().map(|hit| format!("{} {}", hit["account"], hit["email_id"])).collect();
    assert_eq!((hits.len(), unlike.len()), (310, 310));
}

fn partials(scene: &Scene) -> Vec<String> {
    let entries = fs::read_dir(scene.folder.path()).unwrap();
    let names = entries.filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    names.filter(|name| name.contains("partial")).collect()
}

fn is_proven(scene: &Scene, out: &str) {
    let keys = scene.keys();
    let (code, said) = scene.said(&["verify-export", out, "--key", &keys]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(partials(scene), Vec::<String>::new());
}

#[test]
fn an_export_is_whole_or_is_none() {
    let mut scene = filled();
    let search = scene.json(&["discover", "token", "--all"])[0]["job"].as_str().unwrap().to_owned();
    let killed = (0..TRIES).find_map(|n| {
        let (dir, out) = scene.path(&format!("out{n}"));
        let export = job(&scene, &["export", &search, "--format", "eml", "--out", &out]);
        let beside = partial(&dir, &export);
        let fiftieth = beside.join(format!("mail/{CAROL}/0000/RDT000000050.eml"));
        let midway = |_: &Scene| fiftieth.exists() && !beside.join("manifest.json").exists();
        killed_when(&mut scene, &export, midway).then_some((export, dir, out))
    });
    let (export, dir, out) = killed.expect("an export that was killed while it was written");
    assert!(!dir.exists(), "what is not whole has no name");
    scene.server.start_again();
    let exported = ended(&scene.server, &export);
    assert_eq!((&exported["phase"], &exported["found"]), (&"completed".into(), &310.into()));
    is_proven(&scene, &out);
    // Each state that a later kill can leave, made of what is there now.
    let beside = partial(&dir, &export);
    let made = || fs::metadata(dir.join("manifest.json")).unwrap().modified().unwrap();
    let before = made();
    for (left, is_kept) in [("named", true), ("proven", false), ("listed", false)] {
        scene.server.stop();
        unnoted(&scene, &export);
        if !is_kept {
            fs::rename(&dir, &beside).unwrap();
        }
        if left == "listed" {
            fs::remove_dir_all(beside.join("proof")).unwrap();
        }
        scene.server.start_again();
        let exported = ended(&scene.server, &export);
        assert_eq!(exported["phase"], "completed", "{left}: {exported}");
        assert_eq!(made() == before, is_kept, "{left}");
        is_proven(&scene, &out);
    }
}

/// As if nothing had been noted since the export began.
fn unnoted(scene: &Scene, export: &str) {
    let mut state = state(scene, export);
    state["phase"] = "running".into();
    state["ended"] = Value::Null;
    let path: &Path = &folder(scene, export).join("state.json");
    fs::write(path, state.to_string()).unwrap();
}
