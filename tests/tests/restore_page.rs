//! docs/restore.md, told by its own commands: every line of it is typed here.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use redoubt_tests::imap::{Imap, item};
use redoubt_tests::messages::message;
use redoubt_tests::page::{Page, types};
use redoubt_tests::process::Redoubt;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const CAROL: &str = "carol@example.org";

struct Scene {
    server: Redoubt,
    _folder: tempfile::TempDir,
    page: Page,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Redoubt::start(&folder.path().join("data"));
        server.domain("example.org");
        [ALICE, CAROL, "bob@example.org"].iter().for_each(|name| server.account(name));
        let page = Page::read("restore.md");
        Self { server, _folder: folder, page }
    }

    fn imap(&self, account: &str) -> Imap {
        Imap::login(self.server.imap(), account).unwrap()
    }

    fn fill(&self, account: &str, mailbox: &str, tokens: &[&str]) {
        let mut imap = self.imap(account);
        for token in tokens {
            assert!(imap.append(mailbox, "", &message(token, 600)).unwrap().is_ok());
        }
    }

    /// Where the log is now, as a moment.
    fn moment(&self) -> String {
        let status: Value = serde_json::from_str(&self.server.verb(&["status", "--json"])).unwrap();
        format!("@{}", status["store"]["applied"])
    }

    /// Types a command of the page; its exit code and what it says.
    fn types(&self, command: &str, words: &[(&str, &str)]) -> (i32, String) {
        types(&self.server, command, words)
    }

    fn done(&self, command: &str, words: &[(&str, &str)]) -> String {
        let (code, said) = self.types(command, words);
        assert_eq!(code, 0, "{command}: {said}");
        said
    }

    fn whole(&self) {
        let (code, said) = redoubt_tests::cluster::said(&self.server.run(&["check"]));
        assert_eq!(code, 0, "{said}");
    }
}

/// Subjects in a mailbox, each once.
fn subjects(imap: &mut Imap, mailbox: &str) -> BTreeSet<String> {
    let examined = imap.ok(&format!("EXAMINE \"{mailbox}\"")).unwrap();
    if examined.untagged.iter().any(|line| line.starts_with(b"0 EXISTS")) {
        return BTreeSet::new();
    }
    let mut found = BTreeSet::new();
    for (_, items) in &imap.ok("FETCH 1:* (ENVELOPE)").unwrap().fetches() {
        let subject = item(items, "ENVELOPE").unwrap().list()[1].text();
        assert!(found.insert(subject.clone()), "{subject} is there twice");
    }
    found
}

fn set(tokens: &[&str]) -> BTreeSet<String> {
    tokens.iter().map(|token| (*token).to_owned()).collect()
}

fn empty(imap: &mut Imap, mailbox: &str) {
    imap.ok(&format!("SELECT \"{mailbox}\"")).unwrap();
    imap.ok("STORE 1:* +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
}

#[test]
fn one_email() {
    let scene = Scene::new();
    scene.fill(ALICE, "INBOX", &["lost", "kept"]);
    let then = scene.moment();
    let mut imap = scene.imap(ALICE);
    imap.ok("SELECT INBOX").unwrap();
    let fetched = imap.ok("FETCH 1 (EMAILID UID)").unwrap().fetches();
    let id = item(&fetched[0].1, "EMAILID").unwrap().list()[0].text();
    let uid = item(&fetched[0].1, "UID").unwrap().number().to_string();
    imap.ok("STORE 1 +FLAGS (\\Flagged $Work)").unwrap();
    imap.ok("STORE 1 +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    let words = [("EMAILID", id.as_str()), ("UID", &uid), ("MOMENT", &then)];
    let commands = scene.page.commands("One email");
    assert_eq!(commands.len(), 4);
    let mut session = scene.imap(ALICE);
    session.ok("SELECT INBOX").unwrap();
    let said = scene.done(&commands[0], &words);
    assert!(said.contains("1 created"), "{said}");
    // An open session is told as of any other email.
    let told = session.ok("NOOP").unwrap();
    assert!(told.untagged.iter().any(|line| line.starts_with(b"2 EXISTS")), "{told:?}");
    let fetched = session.ok("FETCH 2 (EMAILID UID FLAGS)").unwrap().fetches();
    assert_eq!(item(&fetched[0].1, "EMAILID").unwrap().list()[0].text(), id);
    assert_eq!(item(&fetched[0].1, "UID").unwrap().number(), 3);
    let flags = format!("{:?}", item(&fetched[0].1, "FLAGS").unwrap());
    assert!(flags.contains("Flagged") && flags.contains("$Work"), "{flags}");
    assert!(scene.done(&commands[0], &words).contains("1 merged"));
    let said = scene.done(&commands[1], &words);
    assert!(said.contains("(index ") && said.contains("2 created"), "{said}");
    assert_eq!(subjects(&mut session, "Found again"), set(&["lost"]));
    scene.done(&commands[2], &words);
    scene.done(&commands[3], &words);
    assert_eq!(subjects(&mut scene.imap("bob@example.org"), "INBOX"), set(&["lost"]));
    let (code, said) = scene.types(&commands[0], &[("EMAILID", "e1-77")]);
    assert_eq!(code, 1, "{said}");
    scene.whole();
}

#[test]
fn deleted_mail() {
    let scene = Scene::new();
    let commands = scene.page.commands("Deleted mail");
    assert_eq!(commands.len(), 4);
    scene.fill(ALICE, "INBOX", &["a", "b", "c"]);
    let mut imap = scene.imap(ALICE);
    for name in ["Work", "Work/Sub", "Work/Sub/Deep"] {
        imap.ok(&format!("CREATE {name}")).unwrap();
    }
    scene.fill(ALICE, "Work/Sub/Deep", &["deep"]);
    scene.fill(ALICE, "Work", &["top"]);
    let then = scene.moment();
    let words = [("MOMENT", then.as_str())];
    empty(&mut imap, "INBOX");
    imap.ok("RENAME Work Projects").unwrap();
    for name in ["Projects/Sub/Deep", "Projects/Sub", "Projects"] {
        imap.ok(&format!("DELETE {name}")).unwrap();
    }
    let (code, plan) = scene.types(&commands[0], &words);
    assert_eq!(code, 6, "{plan}");
    assert!(plan.contains("Projects/Sub/Deep") && plan.contains("--yes"), "{plan}");
    assert_eq!(subjects(&mut imap, "INBOX"), set(&[]));
    scene.done(&commands[1], &words);
    let all = |imap: &mut Imap| {
        assert_eq!(subjects(imap, "INBOX"), set(&["a", "b", "c"]));
        assert_eq!(subjects(imap, "Projects"), set(&["top"]));
        assert_eq!(subjects(imap, "Projects/Sub/Deep"), set(&["deep"]));
        assert_eq!(subjects(imap, "Projects/Sub"), set(&[]));
    };
    all(&mut imap);
    let again = scene.done(&commands[1], &words);
    assert!(again.contains(" 0 created, 0 changed"), "{again}");
    all(&mut imap);

    // The administrator deletes a mailbox, alice a message: each on its own.
    let then = scene.moment();
    let before = [("MOMENT", then.as_str())];
    scene.server.verb(&["mailbox", "delete", ALICE, "Projects/Sub/Deep", "--yes"]);
    empty(&mut imap, "INBOX");
    scene.fill(ALICE, "INBOX", &["later"]);
    scene.done(&commands[2], &before);
    assert_eq!(subjects(&mut imap, "INBOX"), set(&["a", "b", "c", "later"]));
    assert!(!imap.command("EXAMINE Projects/Sub/Deep").unwrap().is_ok());
    scene.done(&commands[3], &before);
    assert_eq!(subjects(&mut imap, "Projects/Sub/Deep"), set(&["deep"]));
    let nowhere = commands[3].replace("Projects", "Nowhere");
    let (code, said) = scene.types(&nowhere, &before);
    assert_eq!(code, 1, "{said}");
    scene.whole();
}

#[test]
fn back_to_a_moment() {
    let scene = Scene::new();
    let commands = scene.page.commands("Back to a moment");
    assert_eq!(commands.len(), 4);
    scene.fill(ALICE, "INBOX", &["a", "b", "c", "d"]);
    let mut imap = scene.imap(ALICE);
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1 +FLAGS (\\Seen)").unwrap();
    imap.ok("STORE 2 +FLAGS (\\Flagged)").unwrap();
    let then = scene.moment();
    let words = [("MOMENT", then.as_str())];
    let unseen = |imap: &mut Imap| {
        imap.ok("SELECT INBOX").unwrap();
        imap.ok("SEARCH UNSEEN").unwrap().search()
    };

    // Mark all as read.
    imap.ok("STORE 1:* +FLAGS (\\Seen)").unwrap();
    assert!(unseen(&mut imap).is_empty());
    scene.done(&commands[2], &words);
    assert_eq!(unseen(&mut imap), [2, 3, 4]);

    imap.ok("MOVE 3 Trash").unwrap();
    imap.ok("STORE 1 +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    imap.ok("RENAME Archive Old").unwrap();
    scene.fill(ALICE, "INBOX", &["later"]);
    scene.done(&commands[0], &words);
    assert_eq!(subjects(&mut imap, "INBOX"), set(&["a", "b", "c", "d", "later"]));
    assert_eq!(subjects(&mut imap, "Trash"), set(&[]));
    assert_eq!(subjects(&mut imap, "Archive"), set(&[]));
    let again = scene.done(&commands[0], &words);
    assert!(again.contains(" 0 created, 0 changed"), "{again}");
    scene.done(&commands[1], &words);
    assert_eq!(subjects(&mut imap, "INBOX"), set(&["a", "b", "c", "d"]));

    // Alice's own changes go, those of the administrator stay.
    let before = scene.moment();
    imap.ok("SELECT INBOX").unwrap();
    imap.ok("STORE 1:* +FLAGS (\\Answered)").unwrap();
    imap.ok("MOVE 1:2 Junk").unwrap();
    imap.ok("RENAME Drafts Mine").unwrap();
    scene.server.verb(&["mailbox", "create", ALICE, "By the administrator"]);
    scene.done(&commands[3], &[("MOMENT", &before)]);
    assert_eq!(subjects(&mut imap, "INBOX"), set(&["a", "b", "c", "d"]));
    imap.ok("SELECT INBOX").unwrap();
    assert!(imap.ok("SEARCH ANSWERED").unwrap().search().is_empty());
    assert_eq!(subjects(&mut imap, "Drafts"), set(&[]));
    assert_eq!(subjects(&mut imap, "By the administrator"), set(&[]));
    scene.whole();
}

#[test]
fn a_deleted_account() {
    let scene = Scene::new();
    let commands = scene.page.commands("A deleted account");
    scene.server.verb(&["alias", "add", "cc@example.org", CAROL]);
    scene.fill(CAROL, "INBOX", &["a", "b"]);
    scene.fill(CAROL, "Sent", &["c"]);
    let mut open = scene.imap(CAROL);
    let before = open.ok("SELECT INBOX").unwrap().code("UIDVALIDITY");
    scene.done(&commands[0], &[]);
    assert!(Imap::login(scene.server.imap(), CAROL).is_err());
    let (code, said) = redoubt_tests::cluster::said(&scene.server.run(&["account", "show", CAROL]));
    assert_eq!(code, 1, "{said}");
    let said = scene.done(&commands[1], &[]);
    assert!(said.contains("completed"), "{said}");
    let mut imap = scene.imap(CAROL);
    assert_eq!(imap.ok("SELECT INBOX").unwrap().code("UIDVALIDITY"), before);
    assert_eq!(subjects(&mut imap, "INBOX"), set(&["a", "b"]));
    assert_eq!(subjects(&mut imap, "Sent"), set(&["c"]));
    assert!(scene.server.verb(&["alias", "list"]).contains("cc@example.org"));
    let (code, said) = scene.types(&commands[1], &[]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("is not deleted"), "{said}");

    // A later holder of the address inherits nothing, and is not disturbed.
    scene.done(&commands[0], &[]);
    scene.server.account(CAROL);
    assert_eq!(subjects(&mut scene.imap(CAROL), "INBOX"), set(&[]));
    let (code, said) = scene.types(&commands[1], &[]);
    assert_eq!(code, 3, "{said}");
    scene.done(&format!("{} --as carol-again@example.org", commands[1]), &[]);
    assert_eq!(subjects(&mut scene.imap("carol-again@example.org"), "INBOX"), set(&["a", "b"]));
    scene.whole();
}

#[test]
fn a_copy_and_the_list() {
    let scene = Scene::new();
    scene.fill(ALICE, "INBOX", &["a", "b"]);
    let mut imap = scene.imap(ALICE);
    imap.ok("RENAME Sent Gesendet").unwrap();
    scene.fill(ALICE, "Gesendet", &["out"]);
    let then = scene.moment();
    empty(&mut imap, "INBOX");
    imap.ok("DELETE Trash").unwrap();
    let command = scene.page.commands("A copy beside the original").remove(0);
    let (code, plan) = scene.types(&command.replace(" --yes", ""), &[("MOMENT", &then)]);
    assert_eq!(code, 6, "{plan}");
    assert!(plan.contains("alice-then@example.org") && plan.contains("Gesendet"), "{plan}");
    scene.done(&command, &[("MOMENT", &then)]);
    let copy = "alice-then@example.org";
    assert!(Imap::login(scene.server.imap(), copy).is_err());
    let mailboxes = scene.server.verb(&["mailbox", "list", copy, "--json"]);
    let has = |name: &str| mailboxes.contains(&format!("\"name\":\"{name}\""));
    assert!(has("Gesendet") && has("Trash") && !has("Sent"), "{mailboxes}");
    let mut input =
        scene.server.run_with_input(&["account", "passwd", copy, "--password-stdin"], b"secret\n");
    assert!(input.status.success());
    input.stdout.clear();
    assert_eq!(subjects(&mut scene.imap(copy), "INBOX"), set(&["a", "b"]));
    assert_eq!(subjects(&mut scene.imap(copy), "Gesendet"), set(&["out"]));
    assert_eq!(subjects(&mut imap, "INBOX"), set(&[]));

    let listed = scene.server.verb(&["restore", "list", "--json"]);
    let first: Value = serde_json::from_str(listed.lines().next().unwrap()).unwrap();
    assert_eq!((&first["mode"], &first["state"]), (&"copy".into(), &"completed".into()));
    let id = first["id"].as_str().unwrap();
    for command in scene.page.commands("Looking after restores") {
        let said = scene.done(&command, &[("RESTORE", id)]);
        assert!(command.contains("--problems") || said.contains(id), "{command}: {said}");
    }
    let shown = scene.server.verb(&["restore", "show", id, "--json"]);
    let lines: Vec<Value> = shown.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[0]["wish"]["mode"], "copy");
    assert_eq!(lines.iter().filter(|line| line["what"] == "email").count(), 3);
    let (code, _) = scene.types("restore cancel RESTORE", &[("RESTORE", id)]);
    assert_eq!(code, 1);
    scene.whole();
}
