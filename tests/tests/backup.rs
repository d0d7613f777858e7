//! Real servers with a backup repository, lost with their disks and recovered; docs/backup.md
//! is typed as it stands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redoubt_tests::cluster::{self, PATIENCE, free_port};
use redoubt_tests::imap::{Imap, item};
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::{message, token};
use redoubt_tests::process::{Redoubt, binary};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

const ALICE: &str = "alice@example.org";

fn deliver(server: &Redoubt, token: &str) {
    let mut lmtp = Lmtp::connect(server.lmtp()).unwrap();
    let answers = lmtp.deliver("s@example.net", &[ALICE], &message(token, 30_000)).unwrap();
    assert_eq!(answers[0].code, 250);
}

/// The tokens of all messages in INBOX, in order.
fn inbox(server: &Redoubt) -> Vec<String> {
    let mut imap = Imap::login(server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    let fetched = imap.ok("FETCH 1:* BODY.PEEK[]").unwrap();
    let bodies = fetched.fetches();
    bodies.iter().map(|(_, items)| token(&body(items)).unwrap()).collect()
}

fn body(items: &[(String, redoubt_tests::values::Value)]) -> Vec<u8> {
    item(items, "BODY[]").unwrap().octets().to_vec()
}

fn archive(server: &Redoubt) -> Value {
    serde_json::from_slice(&server.run(&["archive", "status", "--json"]).stdout).unwrap()
}

fn is_archived(server: &Redoubt) -> bool {
    let applied: Value = serde_json::from_str(&server.verb(&["status", "--json"])).unwrap();
    let status = archive(server);
    status["state"] == "feeding" && status["index"].as_u64() >= applied["store"]["applied"].as_u64()
}

fn until(what: &str, mut is: impl FnMut() -> bool) {
    let came = cluster::until(PATIENCE, || is().then_some(()));
    assert!(came.is_some(), "it never came: {what}");
}

fn done(what: &str, output: &Output) -> String {
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{what}: {:?}\n{out}\n{err}", output.status.code());
    out.into_owned()
}

/// A delivery is acknowledged when it is archived: nothing acknowledged is lost with the disk.
#[test]
fn what_was_acknowledged_outlives_the_only_disk() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name).display().to_string();
    let (repository, key, new) = (path("repository"), path("key"), path("new"));
    done("init", &Command::new(binary()).args(["backup", "keys", "init", &key]).output().unwrap());
    let environment = [
        ("REDOUBT_BACKUP_REPOSITORY", repository.as_str()),
        ("REDOUBT_BACKUP_KEY_FILE", &key),
        ("REDOUBT_BACKUP_INTERVAL_MS", "20"),
        ("REDOUBT_BACKUP_FEEDER", "any"),
        ("REDOUBT_BACKUP_ACK_AFTER_ARCHIVE", "true"),
    ];
    let mut server = Redoubt::start_with(&home.path().join("data"), &environment);
    server.domain("example.org");
    server.account(ALICE);
    let tokens: Vec<String> = (0..8).map(|n| format!("kept{n}")).collect();
    tokens.iter().for_each(|token| deliver(&server, token));
    server.kill();
    fs::remove_dir_all(server.data()).unwrap();
    let recover = ["recover", "--into", &new, "--json"];
    let asked = server.run(&recover);
    assert_eq!(asked.status.code(), Some(6), "without --yes it only says what it would do");
    assert!(!Path::new(&new).exists());
    done("recover", &server.run(&[&recover[..], &["--yes"]].concat()));
    let again = server.run(&[&recover[..], &["--yes"]].concat());
    assert_eq!(again.status.code(), Some(1), "it is not empty");
    let report = server.verb(&["backup", "verify", "--level", "data", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["histories"].as_array().unwrap().len(), 1);
    let text = server.verb(&["backup", "status"]);
    assert!(text.starts_with("ok: "), "{text}");
    let recovered = Redoubt::start_with(Path::new(&new), &environment);
    assert_eq!(inbox(&recovered), tokens);
    deliver(&recovered, "after");
    assert_eq!(inbox(&recovered).last().unwrap(), "after");
    recovered.verb(&["check"]);
    until("the new history is archived", || is_archived(&recovered));
    // It begins behind a leap: a base is taken at once, by itself.
    until("it has a base", || recovered.run(&["backup", "verify"]).status.success());
    until("nothing is wrong", || {
        !recovered.verb(&["status", "--json"]).contains("\"kind\":\"archive\"")
    });
    let listed = recovered.verb(&["backup", "list", "--json"]);
    // The history before may have had one as well, from before any mail.
    let bases: Vec<Value> =
        listed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whole = |base: &Value| base["counts"]["emails"].as_u64() >= Some(8);
    assert!(bases.iter().any(whole), "{bases:?}");
    for file in files(Path::new(&repository)) {
        let octets = fs::read(&file).unwrap();
        assert!(!octets.windows(7).any(|text| text == b"Subject"), "{}", file.display());
    }
}

/// Some clients that deliver until the server is gone; what it acknowledged, and when.
fn load(server: &Redoubt, clients: usize) -> Vec<thread::JoinHandle<Vec<(String, Instant)>>> {
    let address = server.lmtp();
    let client = move |client: usize| {
        let mut acknowledged = Vec::new();
        let Ok(mut lmtp) = Lmtp::connect(address) else { return acknowledged };
        for n in 0.. {
            let token = format!("c{client}n{n}");
            match lmtp.deliver("s@example.net", &[ALICE], &message(&token, 3_000)) {
                Ok(answers) if answers[0].code == 250 => {
                    acknowledged.push((token, Instant::now()));
                }
                _ => break,
            }
        }
        acknowledged
    };
    (0..clients).map(|n| thread::spawn(move || client(n))).collect()
}

fn acknowledged(
    clients: Vec<thread::JoinHandle<Vec<(String, Instant)>>>,
) -> BTreeMap<String, Instant> {
    clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
}

/// A server that archives, and the way to its repository.
fn under_load(home: &Path, more: &[(&str, &str)]) -> Redoubt {
    let repository = home.join("repository").display().to_string();
    let mut environment = vec![
        ("REDOUBT_BACKUP_REPOSITORY", repository.as_str()),
        ("REDOUBT_BACKUP_KEY_FILE", "none"),
        ("REDOUBT_BACKUP_FEEDER", "any"),
    ];
    environment.extend(more);
    let server = Redoubt::start_with(&home.join("data"), &environment);
    server.domain("example.org");
    server.account(ALICE);
    server
}

fn lose(server: &mut Redoubt, into: &Path) -> BTreeSet<String> {
    fs::remove_dir_all(server.data()).unwrap();
    let recover = ["recover", "--into", into.to_str().unwrap(), "--yes"];
    done("recover", &server.run(&recover));
    let tokens = inbox(&Redoubt::start(into));
    let all: BTreeSet<String> = tokens.iter().cloned().collect();
    assert_eq!(all.len(), tokens.len(), "each once");
    all
}

/// What is missing is what the archive had not got, and its age is printed.
#[test]
fn what_is_lost_under_load_is_what_was_not_archived() {
    let home = tempfile::tempdir().unwrap();
    let mut server = under_load(home.path(), &[("REDOUBT_BACKUP_INTERVAL_MS", "200")]);
    let clients = load(&server, 3);
    let (begun, mut archived) = (Instant::now(), None);
    let mut samples: Vec<(u64, Instant)> = Vec::new();
    while begun.elapsed() < Duration::from_millis(1500) || archived.is_none() {
        let before = Instant::now();
        let status: Value = serde_json::from_str(&server.verb(&["status", "--json"])).unwrap();
        samples.push((status["store"]["applied"].as_u64().unwrap(), before));
        let reached = archive(&server)["index"].as_u64();
        // Everything that was acknowledged before such a look is in the repository.
        archived =
            samples.iter().rfind(|(applied, _)| reached >= Some(*applied)).map(|(_, at)| *at);
    }
    let killed = Instant::now();
    server.kill();
    let acknowledged = acknowledged(clients);
    let recovered = lose(&mut server, &home.path().join("new"));
    let missing: Vec<(&String, &Instant)> =
        acknowledged.iter().filter(|(token, _)| !recovered.contains(*token)).collect();
    let sure = archived.unwrap();
    for (token, at) in &missing {
        assert!(**at >= sure, "{token} was archived, and is lost");
    }
    let oldest = missing.iter().map(|(_, at)| killed.saturating_duration_since(**at)).max();
    let (all, count, oldest) = (acknowledged.len(), missing.len(), oldest.unwrap_or_default());
    println!("RPO: of {all} acknowledged messages {count} are lost, the oldest {oldest:?} old");
    assert!(all > missing.len() && oldest < Duration::from_secs(60));
}

#[test]
fn nothing_acknowledged_is_lost_under_load_when_the_archive_comes_first() {
    let home = tempfile::tempdir().unwrap();
    let settings =
        [("REDOUBT_BACKUP_INTERVAL_MS", "50"), ("REDOUBT_BACKUP_ACK_AFTER_ARCHIVE", "true")];
    let mut server = under_load(home.path(), &settings);
    let clients = load(&server, 6);
    until("some mail is archived", || archive(&server)["index"].as_u64() > Some(40));
    server.kill();
    let acknowledged: BTreeSet<String> = acknowledged(clients).into_keys().collect();
    assert!(!acknowledged.is_empty());
    let recovered = lose(&mut server, &home.path().join("new"));
    assert!(recovered.is_superset(&acknowledged), "{:?}", acknowledged.difference(&recovered));
}

/// Killed after more and more time, it leaves nothing under the name that was asked for, and
/// ends well when it is said again.
#[test]
fn a_recovery_that_is_killed_is_said_again() {
    let home = tempfile::tempdir().unwrap();
    let mut server = under_load(home.path(), &[("REDOUBT_BACKUP_INTERVAL_MS", "20")]);
    let tokens: Vec<String> = (0..30).map(|n| format!("kept{n}")).collect();
    tokens.iter().for_each(|token| deliver(&server, token));
    until("all is archived", || is_archived(&server));
    server.kill();
    let (into, repository) = (home.path().join("new"), home.path().join("repository"));
    let mut command = Command::new(binary());
    command.args(["recover", "--yes", "--key", "none", "--from"]).arg(&repository);
    command.arg("--into").arg(&into).stdout(Stdio::null()).stderr(Stdio::null());
    let mut killed = 0;
    for wait in (0..).map(|n| Duration::from_millis(4 * n * n)) {
        let mut child = command.spawn().unwrap();
        thread::park_timeout(wait);
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert_eq!(into.exists(), ended.success(), "all or nothing");
        if ended.success() {
            break;
        }
        killed += 1;
        assert!(killed < 60, "it never ends");
    }
    assert!(killed > 2, "{killed}");
    assert!(!home.path().join(".new.recovering").exists());
    let recovered = Redoubt::start(&into);
    assert_eq!(inbox(&recovered), tokens);
    recovered.verb(&["check"]);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A server that speaks as S3 does: moto, from PyPI.
struct Bucket {
    child: Child,
    address: SocketAddr,
}

impl Bucket {
    fn start() -> Self {
        let target = binary().ancestors().nth(2).unwrap().to_path_buf();
        let program = target.join("moto/bin/moto_server");
        assert!(program.is_file(), "{} is missing: run `make setup-test`", program.display());
        loop {
            let address = free_port();
            let mut command = Command::new(&program);
            command.args(["-H", "127.0.0.1", "-p", &address.port().to_string()]);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let mut bucket = Self { child, address };
            if bucket.answers() {
                return bucket;
            }
        }
    }

    /// Waits until it has the bucket; false where it ended, since another took its port.
    fn answers(&mut self) -> bool {
        let url = format!("{}/mail", self.url());
        let mut there = false;
        until("moto answers", || {
            let made = Command::new("curl").args(["-sSf", "-X", "PUT", &url]).output().unwrap();
            there = made.status.success();
            there || self.child.try_wait().unwrap().is_some()
        });
        there
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// A server with an account that archives into a folder of it, encrypted.
    fn fed_by(&self, home: &Path, folder: &str, settings: &[(&str, &str)]) -> Redoubt {
        let path = |name: &str| home.join(name).display().to_string();
        let (key, credentials) = (path("key"), path("credentials"));
        let (url, repository) = (self.url(), format!("s3://mail/{folder}"));
        let secret = "access_key_id = \"any\"\nsecret_access_key = \"thing\"\n";
        fs::write(&credentials, secret).unwrap();
        let init = Command::new(binary()).args(["backup", "keys", "init", &key]).output().unwrap();
        done("init", &init);
        let mut environment = vec![
            ("REDOUBT_BACKUP_REPOSITORY", repository.as_str()),
            ("REDOUBT_BACKUP_ENDPOINT", &url),
            ("REDOUBT_BACKUP_REGION", "us-east-1"),
            ("REDOUBT_BACKUP_CREDENTIALS_FILE", &credentials),
            ("REDOUBT_BACKUP_KEY_FILE", &key),
            ("REDOUBT_BACKUP_INTERVAL_MS", "20"),
        ];
        environment.extend_from_slice(settings);
        let server = Redoubt::start_with(&home.join("data"), &environment);
        server.domain("example.org");
        server.account(ALICE);
        server
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ended_before = self.child.kill();
        self.child.wait().unwrap();
    }
}

#[test]
fn a_bucket_that_hangs_stops_no_mail_and_gets_all_of_it_later() {
    let (home, bucket) = (tempfile::tempdir().unwrap(), Bucket::start());
    let settings = [("REDOUBT_BACKUP_ALARM_LAG_SECONDS", "0")];
    let mut server = bucket.fed_by(home.path(), "a/b", &settings);
    let new = home.path().join("new").display().to_string();
    deliver(&server, "before");
    until("all is archived", || is_archived(&server));
    bucket.signal(Signal::STOP);
    (0..5).for_each(|n| deliver(&server, &format!("meanwhile{n}")));
    until("the lag is told", || archive(&server)["lag_records"].as_u64() >= Some(5));
    let alarmed = || server.verb(&["status", "--json"]).contains("\"kind\":\"archive\"");
    until("it is an alarm", || archive(&server)["lag_ms"].as_u64() > Some(0));
    bucket.signal(Signal::CONT);
    until("all is archived", || is_archived(&server));
    until("the alarm is over", || !alarmed());
    let before = inbox(&server);
    assert_eq!(before.len(), 6);
    server.kill();
    done("recover", &server.run(&["recover", "--into", &new, "--yes"]));
    assert_eq!(inbox(&Redoubt::start(Path::new(&new))), before);
}

/// Killed in the middle of a base, and the bucket stopped under another: what is there is
/// whole, mail goes on, and what was sent is not sent again.
#[test]
fn a_base_that_is_killed_or_hangs_is_there_in_the_end() {
    let (home, bucket) = (tempfile::tempdir().unwrap(), Bucket::start());
    let mut server = bucket.fed_by(home.path(), "c", &[]);
    (0..5).for_each(|n| deliver(&server, &format!("before{n}")));
    until("all is archived", || is_archived(&server));
    let base = |server: &Redoubt| archive(server)["base"].clone();
    done("start", &server.run(&["backup", "start", "--no-wait"]));
    until("something is sent", || base(&server)["sent"].as_u64() > Some(0));
    bucket.signal(Signal::STOP);
    deliver(&server, "meanwhile");
    server.kill();
    bucket.signal(Signal::CONT);
    server.start_again();
    until("all is archived", || is_archived(&server));
    done("verify", &server.run(&["backup", "verify", "--level", "data"]));
    let begun = server.run(&["backup", "start", "--no-wait"]);
    done("start", &begun);
    bucket.signal(Signal::STOP);
    deliver(&server, "again");
    bucket.signal(Signal::CONT);
    until("the base is there", || base(&server)["state"] == "done");
    let listed = server.verb(&["backup", "list", "--json"]);
    let last: Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    assert!(last["counts"]["emails"].as_u64() >= Some(6), "{last}");
    let text = server.verb(&["backup", "verify", "--level", "restore", "--json"]);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert!(report["restored"]["compared"].as_u64() >= Some(1), "{report}");
    assert!(report["ratio"].as_f64() > Some(0.0) && report["findings"] == serde_json::json!([]));
    let metrics = server.verb(&["status", "--json"]);
    assert!(metrics.contains("\"archive\":{"), "{metrics}");
}

/// The commands in a part of a page, in order.
fn typed(page: &str, heading: &str) -> Vec<String> {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page));
    let text = text.unwrap();
    let part = &text[text.find(heading).unwrap() + heading.len()..];
    let part = if heading.is_empty() { part } else { part.split("\n## ").next().unwrap() };
    let blocks = part.split("\n```\n").filter(|block| block.starts_with("redoubt "));
    blocks.flat_map(str::lines).map(str::to_owned).collect()
}

/// A machine that is a folder, with a server that is not started yet.
struct Machine {
    home: tempfile::TempDir,
    server: Redoubt,
}

impl Machine {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        for folder in ["etc/redoubt", "srv", "var/lib/redoubt", "var/tmp"] {
            fs::create_dir_all(home.path().join(folder)).unwrap();
        }
        let server = Self::over(home.path(), "data");
        Self { home, server }
    }

    /// A server of this machine that archives.
    fn over(home: &Path, data: &str) -> Redoubt {
        let here = home.display();
        let (repository, key) =
            (format!("{here}/srv/redoubt-backup"), format!("{here}/etc/redoubt/backup.key"));
        let environment = [
            ("REDOUBT_BACKUP_REPOSITORY", repository.as_str()),
            ("REDOUBT_BACKUP_KEY_FILE", key.as_str()),
            ("REDOUBT_BACKUP_INTERVAL_MS", "20"),
        ];
        Redoubt::prepare(&home.join(data), &environment, &[])
    }

    fn begins(&mut self) {
        self.server.start_again();
        self.server.domain("example.org");
        self.server.account(ALICE);
        deliver(&self.server, "typed");
        until("all is archived", || is_archived(&self.server));
    }

    /// A line as it is typed here.
    fn words(&self, line: &str) -> Vec<String> {
        let words = line.split(' ').skip(1).map(|word| match word.starts_with('/') {
            true => format!("{}{word}", self.home.path().display()),
            false => word.to_owned(),
        });
        words.collect()
    }

    fn types(&self, line: &str) -> Output {
        let words = self.words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        match line.contains("--data") || line.contains("keys init") {
            true => Command::new(binary()).args(&words).output().unwrap(),
            false => self.server.run(&words),
        }
    }
}

/// What stands behind a word of a line.
fn behind<'a>(words: &'a [String], word: &str) -> &'a Path {
    let at = words.iter().position(|there| there == word).unwrap();
    Path::new(&words[at + 1])
}

#[test]
fn the_page_is_typed_as_it_stands() {
    let mut machine = Machine::new();
    let lines = typed("backup.md", "");
    assert!(lines.len() >= 9, "{lines:?}");
    for (n, line) in lines.iter().enumerate() {
        done(line, &machine.types(line));
        if n == 0 {
            machine.begins();
        }
        if line.contains(" recover ") {
            let mut new = Redoubt::start(behind(&machine.words(line), "--into"));
            assert_eq!(inbox(&new), ["typed"]);
            new.stop();
        }
    }
}

#[test]
fn the_walk_through_of_a_disaster_is_typed_as_it_stands() {
    let mut machine = Machine::new();
    done("init", &machine.types("redoubt backup keys init /etc/redoubt/backup.key"));
    machine.begins();
    machine.server.kill();
    fs::remove_dir_all(machine.server.data()).unwrap();
    let lines = typed("operations.md", "\n## All is lost\n");
    assert!(lines.len() >= 12, "{lines:?}");
    let mut drill = None;
    for line in &lines {
        if line.contains(" serve ") {
            let words = machine.words(line);
            let data = behind(&words, "--data");
            if data.ends_with("drill") {
                drill = Some(Redoubt::start(data));
                continue;
            }
            machine.server = Machine::over(machine.home.path(), "var/lib/redoubt/data");
            assert_eq!(machine.server.data(), data);
            machine.server.start_again();
            deliver(&machine.server, "after");
            until("all is archived", || is_archived(&machine.server));
            let verifies = || machine.server.run(&["backup", "verify"]).status.success();
            until("the new history has its first base", verifies);
            continue;
        }
        let output = machine.types(line);
        match line.contains(" recover ") && !line.contains("--yes") {
            true => assert_eq!(output.status.code(), Some(6), "it only says what it would do"),
            false => drop(done(line, &output)),
        }
        if line.contains(" ls ") {
            assert_eq!(inbox(drill.as_ref().unwrap()), ["typed", "after"]);
        }
    }
    assert_eq!(inbox(&machine.server), ["typed", "after"]);
    drill.unwrap().stopped();
}
