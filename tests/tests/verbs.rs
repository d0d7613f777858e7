//! The verbs as scripts use them: output, exit codes, repeatability.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use redoubt_tests::imap::{Imap, item};
use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::process::Redoubt;
use redoubt_tests::scene::{Scene, all};
use serde_json::Value;

/// A server with one account.
fn alice() -> Scene {
    Scene::of(&["alice@example.org"])
}

#[test]
fn domains() {
    let scene = alice();
    scene.code(&["domain", "add", "example.net"], 0);
    scene.code(&["domain", "add", "example.net"], 1);
    scene.code(&["domain", "add", "Example.NET", "--if-missing"], 0);
    scene.code(&["domain", "add", "not a domain"], 2);
    let names: Vec<Value> =
        scene.json(&["domain", "list"]).iter().map(|d| d["name"].clone()).collect();
    assert_eq!(names, ["example.net", "example.org"]);
    scene.code(&["domain", "set", "example.net", "--quota", "5M", "--subaddress", "-"], 0);
    let shown = scene.json(&["domain", "show", "example.net"]);
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0]["settings"]["default_quota"], 5 << 20);
    assert_eq!(shown[0]["settings"]["subaddress_separator"], "-");
    scene.code(&["domain", "set", "example.net", "--quota", "lots"], 2);
    scene.code(&["domain", "set", "elsewhere.net", "--quota", "5M"], 1);
    scene.code(&["domain", "show", "elsewhere.net"], 1);
    let plan = scene.code(&["domain", "remove", "example.net"], 6);
    assert!(plan.contains("example.net is removed") && plan.contains("--yes"), "{plan}");
    assert_eq!(scene.json(&["domain", "list"]).len(), 2);
    scene.code(&["domain", "remove", "example.net", "--yes"], 0);
    scene.code(&["domain", "remove", "example.org", "--yes"], 1);
    assert_eq!(scene.json(&["domain", "list"]).len(), 1);
}

#[test]
fn accounts() {
    let scene = alice();
    let add = ["account", "add", "bob@example.org", "--password-stdin", "--name", "Bob", "--json"];
    let (code, out, _) = all(scene.server.run_with_input(&add, b"hunter2\n"));
    let made: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &made["address"]), (0, &Value::from("bob@example.org")));
    assert_eq!(all(scene.server.run_with_input(&add, b"hunter2\n")).0, 1);
    let again = [&add[..], &["--if-missing"]].concat();
    assert_eq!(all(scene.server.run_with_input(&again, b"other\n")).0, 0);
    assert_eq!(all(scene.server.run_with_input(&add, b"\n")).0, 2, "an empty password");
    let login = |password: &str| {
        let mut client = Imap::connect(scene.server.imap()).unwrap();
        client.command(&format!("LOGIN bob {password}")).unwrap().tagged
    };
    assert!(login("hunter2").starts_with("OK "), "--if-missing changed the password");
    let passwd = ["account", "passwd", "bob@example.org", "--password-stdin"];
    assert_eq!(all(scene.server.run_with_input(&passwd, b"new secret\r\n")).0, 0);
    assert!(login("\"new secret\"").starts_with("OK ") && login("hunter2").starts_with("NO "));
    scene.code(&["account", "passwd", "bob@example.org"], 2);
    scene.code(&["account", "set", "bob@example.org", "--quota", "2G"], 0);
    let shown = scene.json(&["account", "show", "bob"]);
    assert_eq!((shown.len(), &shown[0]["quota"]), (1, &Value::from(2_u64 << 30)));
    scene.code(&["account", "set", "bob", "--quota", "none"], 0);
    assert_eq!(scene.json(&["account", "show", "bob"])[0]["quota"], Value::Null);
    let list = scene.json(&["account", "list"]);
    assert_eq!(list.len(), 2);
    assert_eq!(list[1]["display_name"], "Bob");
    scene.code(&["account", "lock", "bob"], 0);
    assert!(login("\"new secret\"").starts_with("NO "));
    scene.code(&["account", "unlock", "bob"], 0);
    assert!(login("\"new secret\"").starts_with("OK "));
    scene.code(&["account", "rename", "bob", "robert@example.org"], 0);
    scene.code(&["account", "show", "bob"], 1);
    assert_eq!(scene.json(&["account", "show", "robert"])[0]["id"], made["id"]);
    scene.code(&["account", "rename", "robert", "alice@example.org"], 1);
    scene.code(&["account", "add", "eve@elsewhere.net"], 1);
    scene.code(&["account", "add", "no address@example.org"], 2);
    scene.code(&["account", "close", "robert"], 6);
    scene.code(&["account", "close", "robert", "--yes"], 0);
    assert_eq!(scene.json(&["account", "list"])[1]["state"], "closed");
}

#[test]
fn aliases() {
    let scene = alice();
    scene.code(&["alias", "add", "postmaster", "alice@example.org"], 0);
    scene.code(&["alias", "add", "postmaster", "alice@example.org"], 1);
    scene.code(&["alias", "add", "PostMaster@example.org", "alice", "--if-missing"], 0);
    scene.server.account("bob@example.org");
    scene.code(&["alias", "add", "postmaster", "bob", "--if-missing"], 1);
    let list = scene.json(&["alias", "list"]);
    assert_eq!(list.len(), 1);
    assert_eq!(scene.json(&["alias", "show", "postmaster"]), list);
    assert_eq!(list[0]["account"], "alice@example.org");
    scene.code(&["alias", "show", "nobody"], 1);
    scene.code(&["alias", "add", "info", "nobody"], 1);
    scene.code(&["alias", "remove", "postmaster"], 0);
    scene.code(&["alias", "remove", "postmaster"], 1);
    assert!(scene.json(&["alias", "list"]).is_empty());
}

#[test]
fn mailboxes() {
    let scene = alice();
    let made = scene.json(&["mailbox", "create", "alice", "Work/2026/Q1"]);
    assert_eq!(made[0]["name"], "Work/2026/Q1");
    let names = || {
        let list = scene.json(&["mailbox", "list", "alice"]);
        list.iter().map(|m| m["name"].as_str().unwrap().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(names().iter().filter(|name| name.starts_with("Work")).count(), 3);
    scene.code(&["mailbox", "create", "alice", "Work"], 1);
    scene.code(&["mailbox", "create", "nobody", "Work"], 1);
    scene.code(&["mailbox", "rename", "alice", "Work", "Büro"], 0);
    assert!(names().contains(&"Büro/2026/Q1".to_string()), "{:?}", names());
    scene.code(&["mailbox", "rename", "alice", "Work", "Other"], 1);
    scene.code(&["mailbox", "delete", "alice", "Büro/2026/Q1"], 6);
    scene.code(&["mailbox", "delete", "alice", "Büro/2026/Q1", "--yes"], 0);
    assert!(!names().contains(&"Büro/2026/Q1".to_string()));
    scene.code(&["mailbox", "delete", "alice", "INBOX", "--yes"], 1);
    scene.code(&["mailbox", "delete", "alice", "No such", "--yes"], 1);
    let table = scene.code(&["mailbox", "list", "alice"], 0);
    assert!(table.lines().next().unwrap().starts_with("ID "), "{table}");
}

#[test]
fn usage_and_what_is_not_reachable() {
    let mut scene = alice();
    for wrong in
        [&["nonsense"][..], &["domain"], &["account", "add"], &["deliver", "x"], &["--nope"]]
    {
        scene.code(wrong, 2);
    }
    for verb in ["--help", "--version"] {
        scene.code(&[verb], 0);
    }
    let config = scene.folder.path().join("redoubt.toml");
    std::fs::write(&config, "[limit]\nconnections = 5\n").unwrap();
    let said = scene.code(&["config", "check", "--config", config.to_str().unwrap()], 2);
    assert!(said.contains("limits"), "{said}");
    std::fs::write(&config, "[limits]\nconnections = 5\n").unwrap();
    scene.code(&["config", "check", "--config", config.to_str().unwrap()], 0);
    scene.server.kill();
    for verb in [
        &["status"][..],
        &["stop"],
        &["reload"],
        &["domain", "list"],
        &["account", "show", "alice"],
    ] {
        let said = scene.code(verb, 4);
        assert!(said.contains("redoubt serve"), "{said}");
    }
    let file = scene.folder.path().join("mail.eml");
    std::fs::write(&file, message("m", 500)).unwrap();
    let file = file.to_str().unwrap();
    scene.code(&["deliver", "--to", "alice", file], 4);
    scene.code(&["import", "--account", "alice", file], 4);
}

#[test]
fn deliver_from_a_file_and_standard_input() {
    let scene = alice();
    scene.server.account("bob@example.org");
    let file = scene.folder.path().join("mail.eml");
    std::fs::write(&file, message("file", 900)).unwrap();
    let file = file.to_str().unwrap();
    let from = ["deliver", "--to", "alice@example.org", "--from", "s@example.net", file];
    assert!(scene.code(&from, 0).contains("alice@example.org: delivered"));
    let stdin = ["deliver", "--to", "alice", "--to", "bob+detail", "-"];
    let (code, out, errors) = all(scene.server.run_with_input(&stdin, &message("stdin", 900)));
    assert_eq!((code, out.lines().count()), (0, 2), "{out}{errors}");
    let partly = scene.run(&["deliver", "--json", "--to", "alice", "--to", "nobody", file]);
    assert_eq!(partly.0, 3, "{partly:?}");
    let answers: Vec<Value> =
        partly.1.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&answers[0]["delivered"], &answers[1]["delivered"]), (&true.into(), &false.into()));
    scene.code(&["deliver", "--to", "nobody", file], 1);
    scene.code(&["deliver", "--to", "alice", "/no/such/file"], 1);
    let mut client = Imap::login(scene.server.imap(), "alice@example.org").unwrap();
    client.ok("EXAMINE INBOX").unwrap();
    let fetched = client.ok("FETCH 1:2 (BODY.PEEK[])").unwrap().fetches();
    for ((_, items), token) in fetched.iter().zip(["file", "stdin"]) {
        let body = item(items, "BODY[]").unwrap().octets();
        assert!(without_trace(body) == message(token, 900), "{token}");
    }
    assert_eq!(fetched.len(), 2);
}

#[test]
fn check_rebuild_and_dump_of_a_stopped_server() {
    let mut scene = alice();
    for n in 0..20 {
        let to = ["deliver", "--to", "alice", "-"];
        let done = scene.server.run_with_input(&to, &message(&format!("m{n}"), 3000));
        assert!(done.status.success());
    }
    let mut client = Imap::login(scene.server.imap(), "alice@example.org").unwrap();
    client.ok("SELECT INBOX").unwrap();
    client.ok("MOVE 1:5 Archive").unwrap();
    client.ok("STORE 1:3 +FLAGS (\\Deleted $Later)").unwrap();
    client.ok("EXPUNGE").unwrap();
    drop(client);
    let checked = &scene.json(&["check"])[0];
    assert_eq!(checked["findings"], Value::Array(Vec::new()));
    let running = scene.server.verb(&["dump"]);
    let objects = scene.json(&["dump", "--from", "3", "--to", "7"]);
    let indexes: Vec<u64> = objects.iter().map(|o| o["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, [3, 4, 5, 6, 7]);
    assert_eq!(running.matches(" deliver by ").count(), 20);
    let refused = scene.code(&["rebuild"], 1);
    assert!(refused.contains("in use") || refused.contains("process"), "{refused}");
    scene.server.verb(&["stop"]);
    scene.server.stopped();
    assert_eq!(scene.server.verb(&["dump"]), running, "the same, read from the segments");
    let hash = |arguments: &[&str]| scene.json(arguments)[0]["state_hash"].clone();
    assert_eq!(hash(&["rebuild"]), checked["state_hash"]);
    assert_eq!(hash(&["rebuild", "--from-log"]), checked["state_hash"]);
    // To check it is to open it: a new term, which moves the log's time.
    let opened = &scene.json(&["check"])[0];
    assert_eq!(opened["findings"], Value::Array(Vec::new()));
    assert_eq!(opened["blobs"], checked["blobs"]);
    assert_eq!(hash(&["rebuild", "--from-log"]), opened["state_hash"]);
    scene.server.start_again();
    assert_eq!(scene.json(&["check"])[0]["findings"], Value::Array(Vec::new()));
}

#[test]
fn one_server_to_a_data_directory() {
    let mut scene = alice();
    let holder = scene.server.pid().to_string();
    let said = scene.code(&["serve"], 1);
    assert!(said.contains(&holder), "{said}");
    scene.code(&["status"], 0);
    let pid = std::fs::read_to_string(scene.server.data().join("redoubt.pid")).unwrap();
    assert_eq!(pid.trim(), holder);
    // After a kill nothing stands in the way.
    scene.server.kill();
    scene.server.start_again();
    scene.code(&["status"], 0);
}

#[test]
fn status_tells_what_runs() {
    let scene = alice();
    let _one = Imap::login(scene.server.imap(), "alice@example.org").unwrap();
    let status = &scene.json(&["status"])[0];
    assert_eq!(status["state"], "serving");
    assert_eq!(status["sessions"]["imap"], 1);
    assert_eq!(status["listen"]["imap"][0], scene.server.imap().to_string());
    assert!(status["store"]["applied"].as_u64().unwrap() > 2, "{status}");
    let text = scene.code(&["status"], 0);
    assert!(text.contains("serving") && text.contains("imap"), "{text}");
}

#[test]
fn a_verb_that_nobody_reads_ends() {
    let scene = alice();
    for verb in [&["status"][..], &["status", "--json"], &["account", "list"], &["check"]] {
        assert_eq!(scene.server.run_unread(verb), (Some(0), String::new()), "{verb:?}");
    }
}

/// The certificate that IMAPS shows, by its fingerprint.
fn fingerprint(scene: &Scene) -> String {
    let script = format!(
        "openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509 -noout -fingerprint",
        scene.server.address("imaps")
    );
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_new_certificate_is_in_force_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
    let make = |name: &str| {
        let subject = format!("/CN={name}");
        let done = std::process::Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args(["-nodes", "-days", "30", "-subj", &subject, "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output();
        assert!(done.unwrap().status.success());
    };
    make("one.example.org");
    let environment = [
        ("REDOUBT_TLS_CERTIFICATE", certificate.to_str().unwrap()),
        ("REDOUBT_TLS_KEY", key.to_str().unwrap()),
    ];
    let server = Redoubt::start_with(&folder.path().join("data"), &environment);
    server.domain("example.org");
    server.account("alice@example.org");
    let scene = Scene { server, folder };
    let mut session = Imap::login(scene.server.imap(), "alice@example.org").unwrap();
    let first = fingerprint(&scene);
    make("two.example.org");
    assert_eq!(fingerprint(&scene), first, "not before it is told to");
    scene.code(&["reload"], 0);
    let second = fingerprint(&scene);
    assert_ne!(second, first);
    session.ok("NOOP").unwrap();
    std::fs::write(&certificate, "no certificate").unwrap();
    let said = scene.code(&["reload"], 1);
    assert!(said.contains("tls.crt"), "{said}");
    assert_eq!(fingerprint(&scene), second, "the old one stays in force");
    session.ok("NOOP").unwrap();
}
