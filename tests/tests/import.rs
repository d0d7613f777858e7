//! Mail of other servers: octets, flags, dates and UIDs are kept, an import that
//! was cut off goes on, and what cannot be taken is named.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use redoubt_tests::imap::{Imap, item};
use redoubt_tests::messages::{message, token};
use redoubt_tests::process::{Redoubt, binary};
use serde_json::Value;

const ALICE: &str = "alice@example.org";

struct Scene {
    server: Redoubt,
    folder: tempfile::TempDir,
}

/// A message as IMAP shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    uid: u32,
    flags: BTreeSet<String>,
    date: String,
    octets: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = [("REDOUBT_LIMITS_MESSAGE_BYTES", "1048576")];
        let server = Redoubt::start_with(&folder.path().join("data"), &environment);
        server.domain("example.org");
        server.account(ALICE);
        Self { server, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Imports with `--json`: the exit code, what was not imported, the numbers.
    fn import(&self, path: &Path, more: &[&str]) -> (i32, Vec<Value>, Value) {
        let path = path.to_str().unwrap();
        let arguments = [&["import", "--json", "--account", ALICE], more, &[path]].concat();
        let output = self.server.run(&arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let numbers = lines.pop().unwrap_or_else(|| panic!("{:?}", output.stderr));
        (output.status.code().unwrap(), lines, numbers)
    }

    fn show(&self, mailbox: &str) -> Vec<Shown> {
        let mut client = Imap::login(self.server.imap(), ALICE).unwrap();
        client.ok(&format!("EXAMINE \"{mailbox}\"")).unwrap();
        let reply = client.ok("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])").unwrap();
        let shown = |(_, items): (u32, Vec<_>)| {
            let flags = item(&items, "FLAGS").unwrap().list().iter().map(|flag| flag.text());
            Shown {
                uid: item(&items, "UID").unwrap().number() as u32,
                flags: flags.filter(|flag| flag != "\\Recent").collect(),
                date: item(&items, "INTERNALDATE").unwrap().text(),
                octets: item(&items, "BODY[]").unwrap().octets().to_vec(),
            }
        };
        reply.fetches().into_iter().map(shown).collect()
    }

    fn tokens(&self, mailbox: &str) -> Vec<String> {
        self.show(mailbox).iter().map(|shown| token(&shown.octets).unwrap()).collect()
    }
}

fn flags(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_string()).collect()
}

fn lf(message: &[u8]) -> Vec<u8> {
    String::from_utf8(message.to_vec()).unwrap().replace("\r\n", "\n").into_bytes()
}

fn write_at(path: &Path, octets: &[u8], seconds: u64) {
    fs::write(path, octets).unwrap();
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

fn maildir(path: &Path) {
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(path.join(part)).unwrap();
    }
}

/// 2026-11-10 23:11:05 UTC.
const WHEN: u64 = 1_794_352_265;

#[test]
fn a_maildir_of_dovecot() {
    let scene = Scene::new();
    let source = scene.path("Maildir");
    maildir(&source);
    maildir(&source.join(".Work.2026"));
    maildir(&source.join(".Entw&APw-rfe"));
    // Dovecot keeps LF by default; with mail_save_crlf = yes CRLF.
    write_at(&source.join("cur/1.a.host:2,FSab"), &lf(&message("a", 900)), WHEN);
    write_at(&source.join("cur/2.b.host,S=1:2,RT"), &message("b", 900), WHEN + 60);
    write_at(&source.join("new/3.c.host"), &lf(&message("c", 900)), WHEN + 120);
    write_at(&source.join(".Work.2026/cur/4.d.host:2,D"), &message("d", 900), WHEN);
    write_at(&source.join(".Entw&APw-rfe/cur/5.e.host:2,"), &message("e", 900), WHEN);
    fs::write(source.join("dovecot-keywords"), "0 $Forwarded\n1 blue\n").unwrap();
    let list = "3 V1275660208 N90 Gabc\n17 W920 :2.b.host,S=1\n25 :1.a.host\n80 :3.c.host\n";
    fs::write(source.join("dovecot-uidlist"), list).unwrap();
    let (code, failed, numbers) = scene.import(&source, &[]);
    assert_eq!((code, failed.len(), &numbers["imported"]), (0, 0, &5.into()), "{failed:?}");
    assert_eq!(numbers["new_uid"], 0);
    let inbox = scene.show("INBOX");
    let expected = [
        (17, flags(&["\\Answered", "\\Deleted"]), "10-Nov-2026 23:12:05 +0000", "b"),
        (
            25,
            flags(&["\\Flagged", "\\Seen", "$Forwarded", "blue"]),
            "10-Nov-2026 23:11:05 +0000",
            "a",
        ),
        (80, flags(&[]), "10-Nov-2026 23:13:05 +0000", "c"),
    ];
    for (shown, (uid, flags, date, token)) in inbox.iter().zip(expected) {
        assert_eq!((shown.uid, &shown.flags, shown.date.as_str()), (uid, &flags, date));
        assert!(shown.octets == message(token, 900), "{token}");
    }
    assert_eq!(inbox.len(), 3);
    assert_eq!(scene.show("Work/2026")[0].flags, flags(&["\\Draft"]));
    assert_eq!(scene.tokens("Entw&APw-rfe"), ["e"]);
    let (code, _, numbers) = scene.import(&source, &[]);
    assert_eq!((code, &numbers["imported"], &numbers["skipped"]), (0, &0.into(), &5.into()));
    assert_eq!(scene.show("INBOX"), inbox);
    // Without its journal, too: the server knows what it has taken.
    let journal = scene.path("other-journal");
    let (code, _, _) = scene.import(&source, &["--journal", journal.to_str().unwrap()]);
    assert_eq!((code, scene.show("INBOX")), (0, inbox));
}

#[test]
fn an_mbox_of_any_program() {
    let scene = Scene::new();
    let quoted = "Subject: one\nStatus: RO\nX-Status: AF\nX-Keywords: work home\n\nbody\n>From here\n>>From there\n";
    let text = format!(
        "From a@b Tue Nov 10 23:11:05 2026\n{quoted}\nFrom c@d Wed Nov 11 01:02:03 2026\nSubject: two\n\nend\n"
    );
    let path = scene.path("old.mbox");
    fs::write(&path, text).unwrap();
    let (code, failed, numbers) = scene.import(&path, &["--mailbox", "Old/Mail"]);
    assert_eq!((code, failed.len(), &numbers["imported"]), (0, 0, &2.into()), "{failed:?}");
    let shown = scene.show("Old/Mail");
    assert_eq!(shown[0].date, "10-Nov-2026 23:11:05 +0000");
    assert_eq!(shown[0].flags, flags(&["\\Seen", "\\Answered", "\\Flagged", "work", "home"]));
    let body = String::from_utf8(shown[0].octets.clone()).unwrap();
    assert!(body.ends_with("\r\n\r\nbody\r\nFrom here\r\n>From there\r\n"), "{body:?}");
    assert_eq!(shown[1].octets, b"Subject: two\r\n\r\nend\r\n");
    assert_eq!((shown[1].date.as_str(), shown.len()), ("11-Nov-2026 01:02:03 +0000", 2));
}

#[test]
fn a_tree_of_files_and_what_cannot_be_taken() {
    let scene = Scene::new();
    let tree = scene.path("tree");
    fs::create_dir_all(tree.join("2025/spring")).unwrap();
    fs::write(tree.join("1.eml"), message("one", 700)).unwrap();
    fs::write(tree.join("2025/2.eml"), message("two", 700)).unwrap();
    fs::write(tree.join("2025/spring/3.EML"), message("three", 700)).unwrap();
    fs::write(tree.join("2025/large.eml"), message("large", 3_000_000)).unwrap();
    fs::write(tree.join("notes.txt"), "not mail").unwrap();
    std::os::unix::fs::symlink("/no/such/file", tree.join("2025/gone.eml")).unwrap();
    let (code, failed, numbers) = scene.import(&tree, &["--mailbox", "Tree"]);
    assert_eq!((code, &numbers["imported"]), (3, &3.into()), "{failed:?}");
    let places: Vec<&str> = failed.iter().map(|f| f["place"].as_str().unwrap()).collect();
    assert!(places.iter().any(|place| place.ends_with("large.eml")), "{failed:?}");
    assert!(places.iter().any(|place| place.ends_with("gone.eml")), "{failed:?}");
    let large = failed.iter().find(|f| f["place"].as_str().unwrap().ends_with("large.eml"));
    assert!(large.unwrap()["reason"].as_str().unwrap().contains("1048576"), "{large:?}");
    let large = tree.join("2025/large.eml");
    let output = scene.server.run(&["deliver", "--to", ALICE, large.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("1048576"), "{said}");
    assert_eq!(scene.tokens("Tree"), ["one"]);
    assert_eq!(scene.tokens("Tree/2025"), ["two"]);
    assert_eq!(scene.tokens("Tree/2025/spring"), ["three"]);
    let sent = "21-Nov-2026 12:00:00 +0000";
    assert_eq!(scene.show("Tree")[0].date, sent, "the header's, since there is no other");
    let (code, failed, numbers) = scene.import(&tree.join("1.eml"), &["--mailbox", "One"]);
    assert_eq!((code, failed.len(), &numbers["imported"]), (0, 0, &1.into()));
    for wrong in [scene.path("nowhere"), scene.path("data/keys")] {
        let path = wrong.to_str().unwrap();
        let output = scene.server.run(&["import", "--account", ALICE, path]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
    }
    let output = scene.server.run(&["import", "--account", "nobody", tree.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn uids_that_are_taken_are_given_anew() {
    let scene = Scene::new();
    let source = scene.path("Maildir");
    maildir(&source);
    fs::write(source.join("cur/1.a:2,"), message("a", 500)).unwrap();
    fs::write(source.join("cur/2.b:2,"), message("b", 500)).unwrap();
    fs::write(source.join("dovecot-uidlist"), "3 V1 N9\n1 :1.a\n7 :2.b\n").unwrap();
    let mut client = Imap::login(scene.server.imap(), ALICE).unwrap();
    client.append("INBOX", "", &message("there", 500)).unwrap();
    let (code, _, numbers) = scene.import(&source, &[]);
    assert_eq!((code, &numbers["imported"], &numbers["new_uid"]), (0, &2.into(), &1.into()));
    let uids: Vec<u32> = scene.show("INBOX").iter().map(|shown| shown.uid).collect();
    assert_eq!(uids, [1, 2, 7]);
    assert_eq!(scene.tokens("INBOX"), ["there", "a", "b"]);
    fs::write(source.join("dovecot-uidlist"), "3 V1 N9\n5 :1.a\n5 :2.b\n").unwrap();
    let (code, failed, _) = scene.import(&source, &["--mailbox", "Other"]);
    assert_eq!((code, failed.len()), (3, 1));
    assert!(failed[0]["reason"].as_str().unwrap().contains("UIDs are not kept"), "{failed:?}");
}

/// The journal was cut off in the middle of a batch: what has arrived takes no
/// UID of what comes behind it in the same call.
#[test]
fn uids_are_kept_behind_what_has_arrived_already() {
    let scene = Scene::new();
    let source = scene.path("Maildir");
    maildir(&source);
    let fill = |upto: usize| {
        let mut list = String::from("3 V1 N99999\n");
        for n in 1..=upto {
            let file = source.join(format!("cur/{n:05}.m:2,"));
            fs::write(file, message(&format!("m{n}"), 500)).unwrap();
            list += &format!("{n} :{n:05}.m\n");
        }
        fs::write(source.join("dovecot-uidlist"), list).unwrap();
    };
    let journal = scene.path("journal");
    let more = ["--journal", journal.to_str().unwrap()];
    fill(60);
    assert_eq!(scene.import(&source, &more).0, 0);
    let text = fs::read_to_string(&journal).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 60);
    fs::write(&journal, format!("{}\n{}", lines[..20].join("\n"), &lines[20][..7])).unwrap();
    fill(100);
    let (code, _, numbers) = scene.import(&source, &more);
    assert_eq!((code, &numbers["skipped"], &numbers["new_uid"]), (0, &20.into(), &0.into()));
    let uids: Vec<u32> = scene.show("INBOX").iter().map(|shown| shown.uid).collect();
    assert_eq!(uids, (1..=100).collect::<Vec<u32>>());
}

const MANY: usize = 1_500;

fn many(scene: &Scene) -> PathBuf {
    let source = scene.path("Many");
    maildir(&source);
    let mut list = String::from("3 V1 N99999\n");
    for n in 0..MANY {
        fs::write(source.join(format!("cur/{n:05}.m:2,S")), message(&format!("m{n}"), 2_000))
            .unwrap();
        list += &format!("{} :{n:05}.m\n", 3 * n + 10);
    }
    fs::write(source.join("dovecot-uidlist"), list).unwrap();
    source
}

fn start_import(scene: &Scene, source: &Path) -> Child {
    Command::new(binary())
        .arg("--data")
        .arg(scene.server.data())
        .args(["import", "--account", ALICE])
        .arg(source)
        .env("XDG_STATE_HOME", scene.server.data().with_extension("state"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until some of it is there, and not all.
fn some_are_there(scene: &Scene) -> usize {
    let mut client = Imap::login(scene.server.imap(), ALICE).unwrap();
    let began = Instant::now();
    loop {
        let selected = client.ok("EXAMINE INBOX").unwrap();
        let exists = selected.untagged.iter().find_map(|line| {
            String::from_utf8_lossy(line).strip_suffix(" EXISTS")?.parse::<usize>().ok()
        });
        match exists.unwrap() {
            0 => assert!(began.elapsed() < Duration::from_secs(30), "nothing comes"),
            some => return some,
        }
    }
}

fn all_are_there_once(scene: &Scene) {
    let expected: Vec<String> = (0..MANY).map(|n| format!("m{n}")).collect();
    let shown = scene.show("INBOX");
    let tokens: Vec<String> = shown.iter().map(|m| token(&m.octets).unwrap()).collect();
    assert_eq!(tokens, expected);
    let kept = shown.iter().enumerate().all(|(n, m)| m.uid as usize == 3 * n + 10);
    assert!(kept, "UIDs are kept");
}

#[test]
fn an_import_that_was_killed_goes_on() {
    let scene = Scene::new();
    let source = many(&scene);
    let mut import = start_import(&scene, &source);
    let there = some_are_there(&scene);
    import.kill().unwrap();
    let ended = import.wait().unwrap();
    assert!(!ended.success() && there < MANY, "it was over before the kill");
    let (code, failed, numbers) = scene.import(&source, &[]);
    assert_eq!((code, failed.len()), (0, 0), "{failed:?} {numbers}");
    all_are_there_once(&scene);
}

#[test]
fn an_import_whose_server_was_killed_goes_on() {
    let mut scene = Scene::new();
    let source = many(&scene);
    let mut import = start_import(&scene, &source);
    let there = some_are_there(&scene);
    scene.server.kill();
    let ended = import.wait().unwrap();
    assert!(there < MANY && ended.code() == Some(4), "{ended}");
    scene.server.start_again();
    let (code, failed, numbers) = scene.import(&source, &[]);
    assert_eq!((code, failed.len()), (0, 0), "{failed:?} {numbers}");
    all_are_there_once(&scene);
}
