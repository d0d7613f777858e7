//! Matters against a real server: docs/matters.md word for word, and every way around them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::PathBuf;

use redoubt_tests::cluster::{PATIENCE, until};
use redoubt_tests::page::{Page, types};
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
const CAROL: &str = "carol@example.org";
const DORA: &str = "dora@example.org";

/// A server with four people, and each one's token in a file.
struct World {
    scene: Scene,
}

impl World {
    fn new() -> Self {
        let scene = Scene::of(&[ALICE, BOB, CAROL, DORA]);
        scene.fill(ALICE, &["invoice of the third quarter", "lunch"]);
        scene.fill(BOB, &["invoice of a stranger"]);
        let world = Self { scene };
        for name in [ALICE, BOB, CAROL, DORA] {
            let made = world.scene.json(&["token", "add", "--account", name]);
            let secret = made[0]["secret"].as_str().unwrap();
            std::fs::write(world.token(name), secret).unwrap();
        }
        world.scene.code(&["role", "grant", CAROL, "discovery"], 0);
        world.scene.code(&["role", "grant", BOB, "approver"], 0);
        world
    }

    fn token(&self, who: &str) -> PathBuf {
        self.scene.folder.path().join(format!("{who}.token"))
    }

    fn by(&self, who: &str, arguments: &[&str]) -> (i32, String) {
        let file = self.token(who).to_string_lossy().into_owned();
        self.scene.said(&[arguments, &["--token-file", file.as_str()]].concat())
    }

    fn may(&self, who: &str, arguments: &[&str]) -> String {
        let (code, said) = self.by(who, arguments);
        assert_eq!(code, 0, "{who} {arguments:?}: {said}");
        said
    }

    fn may_not(&self, who: &str, arguments: &[&str], why: &str) {
        let (code, said) = self.by(who, arguments);
        assert!(code != 0 && said.contains(why), "{who} {arguments:?}: {code} {said}");
    }

    fn lines(&self, who: &str, arguments: &[&str]) -> Vec<Value> {
        let said = self.may(who, &[arguments, &["--json"]].concat());
        said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Alice's mail is what case 7 is about, dora its reviewer.
    fn case(&self, review: bool) {
        let review: &[&str] = if review { &["--review-exports"] } else { &[] };
        self.may(CAROL, &[&["matter", "add", "case 7"], review].concat());
        self.may(CAROL, &["matter", "custodian", "add", "case 7", ALICE]);
        self.may(CAROL, &["matter", "member", "add", "case 7", DORA, "reviewer"]);
    }

    fn search(&self, who: &str) -> String {
        let found = self.lines(who, &["discover", "invoice", "--matter", "case 7"]);
        found[0]["job"].as_str().unwrap().to_owned()
    }

    /// Begins an export; its id.
    fn export(&self, who: &str, search: &str, out: &str) -> String {
        let out = self.scene.folder.path().join(out).to_string_lossy().into_owned();
        let words = ["export", search, "--format", "eml", "--out", &out, "--background"];
        self.lines(who, &words)[0]["job"].as_str().unwrap().to_owned()
    }

    /// The phase that a job comes to, once `fits`.
    fn phase(&self, who: &str, job: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let found = until(PATIENCE, || {
            let (_, said) = self.by(who, &["discover", "show", job, "--json"]);
            let line: Value = serde_json::from_str(said.lines().next()?).ok()?;
            fits(&line).then_some(line)
        });
        found.unwrap_or_else(|| panic!("{job}: {:?}", self.by(who, &["discover", "show", job])))
    }
}

#[test]
fn the_page_does_what_it_says() {
    let world = World::new();
    let (folder, server) = (world.scene.folder.path(), &world.scene.server);
    let page = Page::read("matters.md");
    let text = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let files = [CAROL, BOB, DORA].map(|who| world.token(who).to_string_lossy().into_owned());
    let (mut job, mut export) = (String::new(), String::new());
    let (out, mut typed) = (text("out"), 0);
    std::fs::create_dir(&out).unwrap();
    for command in page.commands("From a question to an export") {
        let words = [
            ("carol.token", files[0].as_str()),
            ("bob.token", files[1].as_str()),
            ("dora.token", files[2].as_str()),
            ("JOB", job.as_str()),
            ("EXPORT", export.as_str()),
            ("OUT", out.as_str()),
        ];
        let (code, said) = types(server, &command, &words);
        assert_eq!(code, 0, "{command}: {said}");
        let id = |prefix: &str| {
            let found = said.split(prefix).nth(1).unwrap_or_default();
            found.chars().take_while(char::is_ascii_hexdigit).collect::<String>()
        };
        if command.starts_with("discover") {
            job = id("search ");
            assert!(said.contains("1 email found") && said.contains("third quarter"), "{said}");
        }
        if command.starts_with("export") {
            export = said
                .split(|c: char| !c.is_ascii_hexdigit())
                .find(|w| w.len() == 32)
                .unwrap()
                .to_owned();
            let waits = world.phase(DORA, &export, |line| !line["why"].is_null());
            assert!(waits["why"].as_str().unwrap().contains("approval give"), "{waits}");
        }
        if command.starts_with("approval give") {
            world.phase(DORA, &export, |line| line["phase"] == "completed");
        }
        if command.starts_with("matter show") {
            for part in ["Who knew of it", "reviewer", ALICE, "Only invoices", &job, &export] {
                assert!(said.contains(part), "{part}: {said}");
            }
        }
        typed += 1;
    }
    assert_eq!(typed, 10);
    world.scene.code(&["verify-export", &format!("{out}/case7")], 3);
}

#[test]
fn a_matter_is_its_members_own() {
    let world = World::new();
    world.case(false);
    let job = world.search(DORA);
    // Who reviews reaches the custodians, and only through the matter.
    world.may_not(DORA, &["discover", "invoice", "--all"], "--matter");
    world.may_not(DORA, &["discover", "invoice", "--account", ALICE], "--matter");
    let stranger = ["discover", "invoice", "--matter", "case 7", "--account", BOB];
    world.may_not(DORA, &stranger, "no custodian");
    world.may(DORA, &["discover", "lunch", "--matter", "case 7", "--account", ALICE]);
    world.may_not(DORA, &["find", ALICE, "invoice"], "the role discovery");
    world.may_not(DORA, &["matter", "custodian", "add", "case 7", BOB], "the role discovery");
    world.may_not(
        DORA,
        &["matter", "member", "add", "case 7", BOB, "reader"],
        "this is for a lead",
    );
    world.may_not(DORA, &["matter", "close", "case 7"], "this is for a lead");
    world.may_not(DORA, &["matter", "add", "another"], "the role discovery");
    world.may_not(CAROL, &["matter", "member", "add", "case 7", CAROL, "reader"], "himself");
    // Who is no member sees nothing, whatever role he has elsewhere.
    world.scene.code(&["role", "grant", BOB, "discovery"], 0);
    assert!(world.lines(BOB, &["matter", "list"]).is_empty());
    world.may_not(BOB, &["matter", "show", "case 7"], "a member of");
    world.may_not(BOB, &["discover", "invoice", "--matter", "case 7"], "a member of");
    world.may_not(BOB, &["discover", "show", &job], "a member of");
    world.may_not(BOB, &["discover", "show", &job, "--hits"], "a member of");
    assert!(!world.may(BOB, &["discover", "list"]).contains(&job));
    world.may_not(ALICE, &["matter", "list"], "the role discovery or compliance");
    // A reader sees, and does nothing.
    world.may(CAROL, &["matter", "member", "add", "case 7", ALICE, "reader"]);
    assert!(world.may(ALICE, &["discover", "show", &job, "--hits"]).contains("third quarter"));
    world.may_not(ALICE, &["discover", "x", "--matter", "case 7"], "for a reviewer");
    world.may_not(ALICE, &["matter", "note", "case 7", "hm"], "for a reviewer");
    world.may_not(ALICE, &["discover", "cancel", &job], "for a reviewer");
    world.may_not(
        ALICE,
        &["export", &job, "--format", "csv", "--out", "/nowhere/x"],
        "for a reviewer",
    );
    world.may(CAROL, &["matter", "member", "remove", "case 7", ALICE]);
    world.may_not(ALICE, &["discover", "show", &job], "the role discovery");
    // Without a lead, who has the role compliance makes one; what was found stays closed to him.
    world.scene.code(&["role", "grant", BOB, "compliance"], 0);
    world.scene.code(&["role", "revoke", BOB, "discovery"], 0);
    assert_eq!(world.lines(BOB, &["matter", "list"]).len(), 1);
    world.may_not(BOB, &["matter", "show", "case 7"], "the role discovery");
    world.may(BOB, &["matter", "member", "add", "case 7", DORA, "lead"]);
    world.may(DORA, &["matter", "set", "case 7", "--name", "case 8"]);
    world.may_not(CAROL, &["matter", "add", "case 8"], "exists already");
    world.may_not(CAROL, &["matter", "add", "12"], "name is not possible");
    // Closed, it is seen, and nothing is done in it.
    world.may(DORA, &["matter", "close", "case 8"]);
    let (_, said) = world.by(DORA, &["discover", "x", "--matter", "case 8"]);
    assert!(said.contains("is closed"), "{said}");
    world.may_not(DORA, &["matter", "note", "case 8", "hm"], "is closed");
    world.may(DORA, &["discover", "show", &job, "--hits"]);
    world.may(DORA, &["matter", "reopen", "case 8"]);
    world.may(DORA, &["matter", "note", "case 8", "hm"]);
    // All of it is on record, who looked too.
    world.scene.code(&["role", "grant", ALICE, "auditor"], 0);
    let trail = world.lines(ALICE, &["audit", "list"]);
    let of = |kind: &str| trail.iter().filter(|line| line["kind"] == kind).count();
    // Two of those made were refused for their names, one note because it was closed.
    assert_eq!([of("matter-add"), of("matter-custodian"), of("matter-note")], [3, 1, 2]);
    assert_eq!(of("matter-member"), 5);
    assert!(of("discovery-look") >= 4, "{}", of("discovery-look"));
    let refused = trail.iter().filter(|line| line["outcome"] == "refused").count();
    assert!(refused >= 3, "{refused}");
}

#[test]
fn nothing_leaves_a_reviewed_matter_without_a_second_person() {
    let mut world = World::new();
    world.case(true);
    let job = world.search(DORA);
    let out = |name: &str| world.scene.folder.path().join(name);
    let (refused, given) = (out("refused"), out("given"));
    let first = world.export(DORA, &job, "refused");
    world.phase(DORA, &first, |line| !line["why"].is_null());
    world.may_not(DORA, &["approval", "give", &first, "--yes"], "or approver");
    // Not by who asked for it, though he has the role.
    world.scene.code(&["role", "grant", DORA, "approver"], 0);
    world.may_not(DORA, &["approval", "give", &first, "--yes"], "a second person has to");
    let waits = world.lines(BOB, &["approval", "list"]);
    assert_eq!((waits.len(), &waits[0]["found"]), (1, &Value::from(1)), "{waits:?}");
    world.may(BOB, &["approval", "refuse", &first, "--note", "not that one"]);
    let ended = world.phase(DORA, &first, |line| line["phase"] == "failed");
    assert!(ended["why"].as_str().unwrap().contains("not that one"), "{ended}");
    world.may_not(BOB, &["approval", "give", &first, "--yes"], "decided already");
    assert!(!refused.exists() && world.lines(BOB, &["approval", "list"]).is_empty());
    // It waits over a restart, and two that wait keep no search from its turn.
    let second = world.export(DORA, &job, "given");
    let third = world.export(DORA, &job, "third");
    world.phase(DORA, &third, |line| !line["why"].is_null());
    world.scene.server.kill();
    world.scene.server.start_again();
    world.phase(DORA, &second, |line| !line["why"].is_null());
    assert!(!given.exists());
    world.search(DORA);
    world.may(DORA, &["discover", "cancel", &third]);
    world.phase(DORA, &third, |line| line["phase"] == "cancelled");
    world.may(BOB, &["approval", "give", &second, "--yes"]);
    world.phase(DORA, &second, |line| line["phase"] == "completed");
    assert!(given.join("manifest.json").exists());
    let all = world.lines(BOB, &["approval", "list", "--all"]);
    assert_eq!(all.len(), 3, "{all:?}");
}

/// A hold is for a matter that is there and open, and outlives no matter.
#[test]
fn a_matter_has_its_holds_and_is_not_closed_over_them() {
    let world = World::new();
    world.case(false);
    world.scene.code(&["role", "grant", BOB, "compliance"], 0);
    let reason = ["--reason", "letter of 3 May"];
    let hold = ["hold", "set", "--account", ALICE, "--name", "all of alice", "--matter"];
    world.may_not(BOB, &[&hold[..], &["case 9"]].concat(), "there is no matter case 9");
    world.may(BOB, &[&hold[..], &["case 7", "--delay", "30d"], &reason[..]].concat());
    let shown = &world.lines(DORA, &["matter", "show", "case 7"])[0]["holds"];
    assert_eq!(
        (shown[0]["name"].as_str(), shown[0]["state"].as_str()),
        (Some("all of alice"), Some("held"))
    );
    assert!(world.may(DORA, &["matter", "show", "case 7"]).contains("all of alice"));
    world.may_not(CAROL, &["matter", "close", "case 7"], "holds of matter 1 are in force (1)");
    world.may(BOB, &["hold", "release", "1", "--yes"]);
    world.may(CAROL, &["matter", "close", "case 7"]);
    let shown = &world.lines(DORA, &["matter", "show", "case 7"])[0]["holds"];
    assert_eq!(shown[0]["state"], "releasing", "its delay goes on");
    // It stays after all, and is for a matter that is open.
    world.may(BOB, &["hold", "cancel", "1"]);
    world.may_not(BOB, &["hold", "move", "1", "--matter", "case 9"], "there is no matter case 9");
    world.may_not(BOB, &["hold", "move", "1", "--matter", "case 7"], "is closed");
    world.may(CAROL, &["matter", "add", "case 8"]);
    world.may(BOB, &["hold", "move", "1", "--matter", "case 8"]);
    world.may_not(BOB, &["hold", "move", "1", "--matter", "case 8"], "for that matter already");
    world.may_not(CAROL, &["hold", "move", "1", "--matter", "case 8"], "the role compliance");
    assert_eq!(world.lines(CAROL, &["matter", "show", "case 7"])[0]["holds"], Value::Array(vec![]));
    let shown = &world.lines(CAROL, &["matter", "show", "case 8"])[0]["holds"];
    let said = (shown[0]["reason"].as_str(), shown[0]["state"].as_str());
    assert_eq!(said, (Some("letter of 3 May"), Some("held")));
    world.may_not(CAROL, &["matter", "close", "case 8"], "are in force (1)");
    world.scene.code(&["role", "grant", DORA, "auditor"], 0);
    let trail = world.lines(DORA, &["audit", "list", "--kind", "retention"]);
    let told = |kind: &str, what: &str| {
        let of = |line: &&Value| line["kind"] == kind && line["outcome"] == "done";
        trail.iter().filter(of).any(|line| line.to_string().contains(what))
    };
    assert!(told("hold-set", "letter of 3 May") && told("hold-move", "matter 2"), "{trail:?}");
    world.may(CAROL, &["matter", "reopen", "case 7"]);
    world.may(CAROL, &["matter", "close", "case 7"]);
    world.may_not(BOB, &[&hold[..], &["case 7"]].concat(), "is closed");
}
