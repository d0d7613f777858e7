//! Time travel with real processes: each verb as table and as JSON, what docs/time-travel.md
//! says typed as it stands there, and curl in a mailbox as it was.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::process::{Command, Output};

use redoubt_tests::imap::Imap;
use redoubt_tests::process::{Redoubt, binary};
use serde_json::Value;

const BUREAU: &str = "Work/2026 Büro";

/// Alice's mail before and after a morning's work.
struct Scene {
    server: Redoubt,
    /// The index before it.
    before: u64,
    /// The ids of the three emails of before.
    emails: Vec<String>,
    _folder: tempfile::TempDir,
}

fn mail(number: &str) -> Vec<u8> {
    let from = "=?utf-8?q?J=C3=B6rg?= <bob@example.net>";
    format!(
        "From: {from}\r\nTo: alice@example.org\r\nSubject: report {number}\r\n\r\nhi {number}\r\n"
    )
    .into_bytes()
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Redoubt::start(&folder.path().join("data"));
        server.domain("example.org");
        server.account("alice@example.org");
        server.verb(&["mailbox", "create", "alice", BUREAU]);
        let mut scene = Self { server, before: 0, emails: Vec::new(), _folder: folder };
        scene.emails = ["one", "two", "three"].map(|number| scene.deliver(number)).to_vec();
        let listed = scene.json(&["ls", "alice/INBOX"]);
        scene.before = listed[0]["as_of"]["index"].as_u64().unwrap();
        scene
    }

    /// One is moved, two is marked, three is expunged, four comes, a mailbox gets another name.
    fn work(self) -> Self {
        let mut client = Imap::login(self.server.imap(), "alice@example.org").unwrap();
        client.ok("SELECT INBOX").unwrap();
        client.ok("UID MOVE 1 \"Work/2026 B&APw-ro\"").unwrap();
        client.ok("UID STORE 2 +FLAGS (\\Seen $Later)").unwrap();
        client.ok("UID STORE 3 +FLAGS (\\Deleted)").unwrap();
        client.ok("EXPUNGE").unwrap();
        self.deliver("four");
        self.server.verb(&["mailbox", "rename", "alice", "Junk", "Spam"]);
        self
    }

    fn deliver(&self, number: &str) -> String {
        let to = ["deliver", "--to", "alice", "--json", "-"];
        let done = self.server.run_with_input(&to, &mail(number));
        let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
        answer["email_id"].as_str().unwrap().to_owned()
    }

    fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.server.verb(&[arguments, &["--json"]].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Standard output and standard error of a verb that must succeed.
    fn table(&self, arguments: &[&str]) -> (String, String) {
        let (code, out, errors) = all(self.server.run(arguments));
        assert_eq!(code, 0, "{arguments:?}: {errors}");
        (out, errors)
    }

    fn at(&self) -> String {
        format!("@{}", self.before)
    }
}

fn all(output: Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn texts<'a>(lines: &'a [Value], field: &str) -> Vec<&'a str> {
    lines.iter().map(|line| line[field].as_str().unwrap()).collect()
}

#[test]
fn ls_shows_then_and_now() {
    let scene = Scene::new().work();
    let at = scene.at();
    assert_eq!(texts(&scene.json(&["ls", "alice", BUREAU]), "subject"), ["report one"]);
    assert_eq!(scene.json(&["ls", "alice", BUREAU, "--at", &at]).len(), 0);
    let then = scene.json(&["ls", "alice@example.org/INBOX", "--at", &at]);
    assert_eq!(texts(&then, "subject"), ["report one", "report two", "report three"]);
    assert_eq!(texts(&then, "email_id"), scene.emails);
    assert_eq!(texts(&then, "from")[0], "Jörg <bob@example.net>");
    assert_eq!(then[1]["flags"], Value::Array(Vec::new()));
    assert_eq!(then[2]["as_of"]["index"], scene.before);
    let now = scene.json(&["ls", "alice/INBOX"]);
    assert_eq!(texts(&now, "subject"), ["report two", "report four"]);
    assert_eq!(now[0]["flags"], serde_json::json!(["\\Seen", "$Later"]));
    assert_eq!(scene.json(&["ls", "alice/INBOX", "--at", &at, "--limit", "2"]).len(), 2);
    let names = |arguments: &[&str]| {
        let lines = scene.json(arguments);
        texts(&lines, "mailbox").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let then = names(&["ls", "alice", "--at", &at]);
    assert!(then.contains(&"Junk".to_owned()) && !then.contains(&"Spam".to_owned()), "{then:?}");
    assert!(names(&["ls", "alice"]).contains(&"Spam".to_owned()));
    let (out, errors) = scene.table(&["ls", "alice/INBOX", "--at", &at]);
    assert!(out.starts_with("UID ") && out.lines().count() == 4, "{out}");
    assert!(errors.contains(&format!("(index {})", scene.before)), "{errors}");
}

#[test]
fn moments_that_cannot_be_seen_say_why() {
    let scene = Scene::new();
    for (at, code, says) in [
        ("-2x", 2, "yesterday 14:00"),
        ("2h", 2, "perhaps -2h"),
        ("@99999", 2, "in the future"),
        ("-2h", 2, "before the log begins"),
        ("2999-01-01", 2, "in the future"),
    ] {
        let (found, _, errors) = all(scene.server.run(&["ls", "alice", "--at", at]));
        assert!(found == code && errors.contains(says), "{at}: {found} {errors}");
    }
    for wrong in [&["ls", "nobody"][..], &["ls", "alice/Nope"], &["show", "alice", "e99-0"]] {
        assert_eq!(all(scene.server.run(wrong)).0, 1, "{wrong:?}");
    }
    for wrong in
        [&["show", "alice", "INBOX"][..], &["find", "alice", "form:bob"], &["diff", "alice"]]
    {
        assert_eq!(all(scene.server.run(wrong)).0, 2, "{wrong:?}");
    }
    // Of the present everything is said that was done before the question.
    scene.deliver("five");
    assert_eq!(scene.json(&["ls", "alice/INBOX", "--at", "now"]).len(), 4);
}

#[test]
fn show_gives_the_octets_of_then() {
    let scene = Scene::new().work();
    let at = scene.at();
    let raw = |arguments: &[&str]| scene.server.run(&[&["show", "alice"], arguments].concat());
    let output = raw(&["INBOX/3", "--at", &at, "--raw"]);
    assert_eq!(output.stdout, [b"Return-Path: <>\r\n", mail("three").as_slice()].concat());
    let header = raw(&[&scene.emails[2], "--at", &at, "--headers"]);
    assert!(output.stdout.starts_with(&header.stdout) && header.stdout.ends_with(b"\r\n\r\n"));
    let (code, _, errors) = all(raw(&[&scene.emails[2], "--raw"]));
    assert!(code == 1 && errors.contains("redoubt history"), "{errors}");
    let shown = &scene.json(&["show", "alice", &scene.emails[0]])[0];
    assert_eq!(shown["places"][0], format!("{BUREAU}/1"));
    let then = &scene.json(&["show", "alice", &scene.emails[0], "--at", &at])[0];
    assert_eq!(then["places"][0], "INBOX/1");
    assert_eq!(then["as_of"]["index"], scene.before);
    let (out, _) = scene.table(&["show", "alice", "INBOX/2"]);
    assert!(out.contains("report two") && out.contains("\\Seen $Later"), "{out}");
}

#[test]
fn find_finds_what_went() {
    let scene = Scene::new().work();
    let found = |arguments: &[&str]| scene.json(&[&["find", "alice"], arguments].concat());
    let there = found(&["from:jörg", "subject:report"]);
    assert_eq!(texts(&there, "subject"), ["report two", "report four", "report one"]);
    assert_eq!(texts(&found(&["subject:\"report two\"", "flag:seen"]), "mailbox"), ["INBOX"]);
    assert_eq!(found(&["hi", "three"]).len(), 0);
    let gone = found(&["--deleted"]);
    assert_eq!(texts(&gone, "email_id"), [scene.emails[2].as_str()]);
    assert_eq!(gone[0]["expunged"]["who"], "alice@example.org from 127.0.0.1");
    assert!(gone[0]["expunged"]["index"].as_u64() > Some(scene.before));
    assert_eq!(found(&["report", "--in-history", "--mailbox", "INBOX"]).len(), 3);
    let then = found(&["hi", "three", "--at", &scene.at()]);
    assert_eq!((then.len(), &then[0]["uid"]), (1, &3.into()));
    let (out, _) = scene.table(&["find", "alice", "--deleted"]);
    assert!(out.contains("report three") && out.contains("alice@example.org from"), "{out}");
}

#[test]
fn history_tells_who_did_what() {
    let scene = Scene::new().work();
    let life = |arguments: &[&str]| scene.json(&[&["history", "alice"], arguments].concat());
    let moved = life(&[&scene.emails[0]]);
    assert_eq!(texts(&moved, "what"), ["came", "moved"]);
    assert_eq!(moved[0]["record"], "delivered");
    assert_eq!(moved[1]["to"]["mailbox"], BUREAU);
    assert_eq!(moved[1]["who"], "alice@example.org from 127.0.0.1");
    let marked = life(&["INBOX/2"]);
    assert_eq!(texts(&marked, "what"), ["came", "flags"]);
    assert_eq!(marked[1]["added"], serde_json::json!(["\\Seen", "$Later"]));
    let gone = life(&["INBOX/3"]);
    assert_eq!(texts(&gone, "what"), ["came", "flags", "expunged"]);
    let mailbox = life(&["Spam"]);
    let whats: Vec<&Value> = mailbox.iter().map(|line| &line["mailboxes"][0]["what"]).collect();
    assert_eq!(whats, ["created", "renamed"]);
    let all = life(&["--from", &scene.at()]);
    assert_eq!(all.first().unwrap()["index"], scene.before);
    let after = life(&["--from", &format!("@{}", scene.before + 1), "--limit", "2"]);
    assert_eq!(texts(&after, "record"), ["moved", "flags"]);
    let (out, _) = scene.table(&["history", "alice", &scene.emails[2]]);
    assert!(out.contains("expunged   INBOX/3"), "{out}");
}

#[test]
fn diff_tells_what_is_different() {
    let scene = Scene::new().work();
    let at = scene.at();
    let of = |arguments: &[&str]| {
        let lines = scene.json(&[&["diff"], arguments].concat());
        texts(&lines, "change").iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let whole = ["mailbox-moved", "moved", "flags", "removed", "added"];
    assert_eq!(of(&["alice", &at]), whole);
    assert_eq!(of(&["alice", "--since", &at, "--until", "now"]), whole);
    assert_eq!(of(&["alice/INBOX", &at, "now"]), whole[1..]);
    assert_eq!(of(&["alice", BUREAU, &at]), ["moved"]);
    assert_eq!(of(&["alice", &at, &at]), Vec::<String>::new());
    let (out, errors) = scene.table(&["diff", "alice", &at]);
    let marks: Vec<&str> = out.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(marks, ["→", "→", "M", "-", "+"], "{out}");
    assert!(errors.starts_with("from ") && out.contains("+\\Seen +$Later"), "{out}{errors}");
    let (code, ..) = all(scene.server.run(&["diff", "alice", "-2h"]));
    assert_eq!(code, 2, "a moment with a minus is no option");
}

#[test]
fn an_account_is_found_by_its_address_of_then() {
    let scene = Scene::new();
    let at = scene.at();
    let renamed = scene.server.run(&["account", "rename", "alice", "alicia@example.org"]);
    assert!(renamed.status.success());
    assert_eq!(all(scene.server.run(&["ls", "alice"])).0, 1);
    assert_eq!(scene.json(&["ls", "alice/INBOX", "--at", &at]).len(), 3);
}

#[test]
fn curl_reads_a_mailbox_as_it_was() {
    let scene = Scene::new().work();
    let url = format!("imap://{}/%23history%2F%40{}%2FINBOX", scene.server.imap(), scene.before);
    let curl = |arguments: &[&str]| {
        let user = ["-sS", "-u", "alice@example.org:secret"];
        let output = Command::new("curl").args(user).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let message = curl(&[&format!("{url};UID=3")]);
    assert_eq!(message, [b"Return-Path: <>\r\n", mail("three").as_slice()].concat());
    let found = curl(&[&url, "-X", "UID SEARCH SUBJECT three"]);
    assert_eq!(String::from_utf8(found).unwrap().trim(), "* SEARCH 3");
    let copied = curl(&[&url, "-X", "UID COPY 3 Archive"]);
    assert_eq!(copied, b"");
    let back = scene.json(&["ls", "alice/Archive"]);
    assert_eq!(texts(&back, "email_id"), [scene.emails[2].as_str()]);
}

/// Every command of docs/time-travel.md, with the moment and the email of this scene.
#[test]
fn the_page_is_typed() {
    let scene = Scene::new().work();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/time-travel.md");
    let page = std::fs::read_to_string(page).unwrap();
    let typed: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    for verb in ["ls", "show", "find", "history", "diff"] {
        assert!(typed.iter().any(|line| line.starts_with(&format!("redoubt {verb} "))), "{verb}");
    }
    for line in typed {
        let here = line
            .replace("@1200", &scene.at())
            .replace("%401200", &format!("%40{}", scene.before))
            .replace("e4b0-0", &scene.emails[1])
            .replace("127.0.0.1:7143", &scene.server.imap().to_string());
        let redoubt = format!("{} --data {}", binary().display(), scene.server.data().display());
        let here = match here.strip_prefix("redoubt ") {
            Some(rest) => format!("{redoubt} {rest}"),
            None => here,
        };
        let output = Command::new("bash").args(["-c", &here]).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {output:?}");
    }
}
