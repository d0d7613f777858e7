//! Heads of the log on a schedule: to a file, a webhook, by mail, and stamped by a real time
//! stamping authority (OpenSSL). What does not take them is tried again, and nothing is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use redoubt_search::heads::SignedHead;
use redoubt_tests::cluster::{Cluster, PATIENCE, free_port, until};
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";

/// What the other side does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Well,
    /// 500 to everything.
    Away,
    /// The first time stamp again.
    Replays,
}

/// An HTTP server: `/heads` keeps what is posted, `/tsa` has OpenSSL answer it.
struct Outside {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Outside {
    fn start(authority: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, heads) = (Arc::new(Mutex::new(Mood::Well)), Arc::default());
        let outside = Self { address, mood, heads };
        let (mood, heads) = (outside.mood.clone(), outside.heads.clone());
        let authority = authority.to_owned();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), *mood.lock().unwrap(), &heads, &authority);
            }
        });
        outside
    }

    fn is(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn got(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// One request and its answer.
fn answer(stream: TcpStream, mood: Mood, heads: &Mutex<Vec<String>>, authority: &Path) {
    let mut reader = BufReader::new(stream);
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap() == 0 {
            return;
        }
        match line.trim() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let length = lines.iter().find_map(|line| {
        line.to_lowercase().strip_prefix("content-length: ").map(|n| n.parse::<usize>().unwrap())
    });
    let mut body = vec![0; length.unwrap()];
    reader.read_exact(&mut body).unwrap();
    let (status, said) = match (mood, lines[0].starts_with("POST /tsa ")) {
        (Mood::Away, _) => ("500 Away", b"not now".to_vec()),
        (Mood::Replays, true) => ("200 OK", fs::read(authority.join("first.tsr")).unwrap()),
        (_, true) => ("200 OK", stamped(&body, authority)),
        (_, false) => {
            heads.lock().unwrap().push(String::from_utf8(body).unwrap());
            ("204 No Content", Vec::new())
        }
    };
    let mut stream = reader.into_inner();
    let length = said.len();
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(&[head.as_bytes(), &said].concat()).unwrap();
}

fn stamped(query: &[u8], authority: &Path) -> Vec<u8> {
    fs::write(authority.join("query.tsq"), query).unwrap();
    let reply = "ts -reply -queryfile query.tsq -out reply.tsr -config tsa.cnf -section tsa";
    openssl(authority, reply);
    let reply = fs::read(authority.join("reply.tsr")).unwrap();
    if !authority.join("first.tsr").exists() {
        fs::write(authority.join("first.tsr"), &reply).unwrap();
    }
    reply
}

fn openssl(folder: &Path, arguments: &str) -> (bool, String) {
    let mut command = Command::new("openssl");
    let output = command.current_dir(folder).args(arguments.split(' ')).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// A time stamping authority: its own root, and a certificate for nothing else.
fn authority() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "[tsa]\nserial=serial\nsigner_cert=tsa.pem\nsigner_key=tsa.key\ncerts=ca.pem\n\
        default_policy=1.2.3.4.1\ndigests=sha256\nsigner_digest=sha256\naccuracy=secs:1\n\
        ordering=yes\ntsa_name=yes\ness_cert_id_chain=no\n\
        [req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
        [stamps]\nextendedKeyUsage=critical,timeStamping\nkeyUsage=critical,digitalSignature\n";
    fs::write(folder.path().join("tsa.cnf"), text).unwrap();
    fs::write(folder.path().join("serial"), "01\n").unwrap();
    for step in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem \
         -subj /CN=Root -days 2 -config tsa.cnf -extensions ca",
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tsa.key -out tsa.csr \
         -subj /CN=Stamps -config tsa.cnf",
        "x509 -req -in tsa.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out tsa.pem -days 2 \
         -extfile tsa.cnf -extensions stamps",
    ] {
        let step = step.split_whitespace().collect::<Vec<_>>().join(" ");
        let (done, said) = openssl(folder.path(), &step);
        assert!(done, "openssl {step}: {said}");
    }
    folder
}

/// The alarms of heads that stand.
fn alarms(scene: &Scene) -> Vec<String> {
    let status = &scene.json(&["status"])[0];
    let alarms = status["store"]["alarms"].as_array().unwrap();
    let of_heads = alarms.iter().filter(|alarm| alarm["kind"] == "heads");
    of_heads.map(|alarm| format!("{} {}", alarm["subject"], alarm["text"])).collect()
}

fn heads_of(path: &Path) -> Vec<SignedHead> {
    fs::read_to_string(path).map_or(Vec::new(), |text| SignedHead::read_all(&text).unwrap())
}

fn spool(data: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(folder) = fs::read_dir(data.join("audit/heads")) else { return Vec::new() };
    let files = folder.map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|e| e == extension)).collect();
    files.sort();
    files
}

fn wait(what: &str, wished: impl FnMut() -> bool) {
    let mut wished = wished;
    assert!(until(PATIENCE, || wished().then_some(())).is_some(), "{what}");
}

#[test]
fn heads_go_to_every_place_and_wait_for_one_that_is_away() {
    let authority = authority();
    let outside = Outside::start(authority.path());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heads.txt");
    let lmtp = free_port().to_string();
    let scene = Scene::with(
        &[ALICE],
        &[
            ("REDOUBT_LISTEN_LMTP", &lmtp),
            ("REDOUBT_AUDIT_HEADS_EVERY", "1s"),
            ("REDOUBT_AUDIT_HEADS_FILE", &file.display().to_string()),
            ("REDOUBT_AUDIT_HEADS_WEBHOOK", &format!("http://{}/heads", outside.address)),
            ("REDOUBT_AUDIT_HEADS_TIMESTAMP", &format!("http://{}/tsa", outside.address)),
            ("REDOUBT_AUDIT_HEADS_MAIL_RELAY", &format!("lmtp://{lmtp}")),
            ("REDOUBT_AUDIT_HEADS_MAIL_TO", ALICE),
        ],
    );
    let data = scene.server.data().to_owned();
    // Mail to alice could not go before she was there.
    wait("two heads everywhere", || {
        heads_of(&file).len() >= 2 && outside.got().len() >= 2 && spool(&data, "tsr").len() >= 2
    });
    wait("mail with a head", || !scene.json(&["find", ALICE, "subject:head"]).is_empty());

    // What a stranger says of the time stamps.
    for stamp in &spool(&data, "tsr")[..2] {
        let head = stamp.with_extension("txt");
        let verify = |head: &Path| {
            let (stamp, head) = (stamp.display(), head.display());
            openssl(
                authority.path(),
                &format!("ts -verify -in {stamp} -data {head} -CAfile ca.pem"),
            )
        };
        let (good, said) = verify(&head);
        assert!(good, "{said}");
        assert!(!verify(&authority.path().join("ca.pem")).0, "over something else");
    }

    outside.is(Mood::Away);
    wait("two alarms", || {
        let alarms = alarms(&scene).join("\n");
        alarms.contains("webhook") && alarms.contains("timestamp") && alarms.contains("500")
    });
    let heads = heads_of(&file).len();
    wait("others go on", || heads_of(&file).len() > heads + 1);
    outside.is(Mood::Replays);
    wait("an old stamp is not taken", || alarms(&scene).join("\n").contains("another"));
    outside.is(Mood::Well);
    wait("the alarms are over", || alarms(&scene).is_empty());
    wait("nothing is lost", || {
        let (told, signed) = (outside.got(), spool(&data, "txt"));
        let signed: Vec<String> = signed.iter().map(|p| fs::read_to_string(p).unwrap()).collect();
        // The folder is a second ahead at most.
        told.len() + 2 > signed.len() && signed.starts_with(&told[..told.len().min(signed.len())])
    });

    let (keys, file) = (scene.keys(), file.display().to_string());
    let report = scene.json(&["audit", "verify", "--from", &file, "--key", &keys]);
    assert!(report[0]["heads"].as_array().unwrap().len() > heads);
    assert!(report[0]["heads"].as_array().unwrap().iter().all(|head| head["fits"] == "yes"));
}

#[test]
fn only_the_leader_signs_and_the_next_one_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("heads.txt");
    let path = file.display().to_string();
    let environment =
        [("REDOUBT_AUDIT_HEADS_EVERY", "1s"), ("REDOUBT_AUDIT_HEADS_FILE", path.as_str())];
    let mut cluster = Cluster::with(3, &environment);
    let first = cluster.leader();
    // An idle log has no new head.
    let mut domains = 0;
    let mut writes = |cluster: &Cluster, n: usize| {
        domains += 1;
        cluster.node(n).run(&["domain", "add", &format!("d{domains}.example")]);
    };
    wait("the first leader's heads", || {
        writes(&cluster, first);
        heads_of(&file).len() >= 2
    });
    for n in (0..3).filter(|n| *n != first) {
        assert_eq!(spool(cluster.node(n).data(), "txt").len(), 0, "node {n} does not lead");
    }
    cluster.node_mut(first).kill();
    let before = heads_of(&file).len();
    let second = cluster.leader();
    wait("the next leader's heads", || {
        writes(&cluster, second);
        heads_of(&file).len() > before + 1
    });
    assert_ne!(second, first);
    let keys = folder.path().join("keys.txt").display().to_string();
    cluster.node(second).verb(&["audit", "keys", "--out", &keys]);
    let verify = ["audit", "verify", "--from", &path, "--key", &keys, "--json"];
    let report: Value = serde_json::from_str(&cluster.node(second).verb(&verify)).unwrap();
    let fit = report["heads"].as_array().unwrap().iter().all(|head| head["fits"] == "yes");
    assert!(fit, "{report}");
}

#[test]
fn a_sink_that_cannot_be_is_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    for (key, value, told) in [
        ("WEBHOOK", "ftp://x", "audit.heads_webhook"),
        ("TIMESTAMP", "x", "audit.heads_timestamp"),
        ("MAIL_TO", "nobody", "audit.heads_mail_to"),
    ] {
        let data = folder.path().join(key);
        let key = format!("REDOUBT_AUDIT_HEADS_{key}");
        let mut server =
            redoubt_tests::process::Redoubt::prepare(&data, &[(key.as_str(), value)], &[]);
        let error = server.try_start_again().unwrap_err();
        assert!(error.contains(told), "{error}");
    }
}

/// Python's HTTPS server, with a certificate: what is posted to it is in a file.
struct Https(Child);

impl Https {
    fn start(folder: &Path, port: &str, certificate: &str) -> Self {
        let script = folder.join("https.py");
        fs::write(&script, include_str!("programs/https.py")).unwrap();
        let mut command = Command::new("python3");
        command.current_dir(folder).arg(&script).args([port, certificate, "posted.txt"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "listening\n");
        Self(child)
    }
}

impl Drop for Https {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority, and certificates: of this machine (`good`), of another (`other`), and of this
/// machine by another authority (`stranger`).
fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = "[req]\ndistinguished_name=dn\n[dn]\n[ca]\nbasicConstraints=critical,CA:TRUE\n\
        [good]\nsubjectAltName=IP:127.0.0.1\n[other]\nsubjectAltName=DNS:other.example\n";
    fs::write(folder.path().join("ca.cnf"), text).unwrap();
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -config ca.cnf";
    let done = |step: String| {
        let (done, said) = openssl(folder.path(), &step);
        assert!(done, "openssl {step}: {said}");
    };
    for ca in ["ca", "ca2"] {
        let root = format!("-keyout {ca}.key -out {ca}.pem -subj /CN={ca} -days 2 -extensions ca");
        done(format!("req -x509 {key} {root}"));
    }
    for (name, of, ca) in
        [("good", "good", "ca"), ("other", "other", "ca"), ("stranger", "good", "ca2")]
    {
        done(format!("req -new {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        let signed = format!("-in {name}.csr -out {name}.pem -days 2 -extfile ca.cnf");
        done(format!(
            "x509 -req {signed} -extensions {of} -CA {ca}.pem -CAkey {ca}.key -CAcreateserial"
        ));
    }
    folder
}

#[test]
fn a_webhook_is_asked_for_its_certificate() {
    let folder = certificates();
    let port = free_port().port().to_string();
    let posted = folder.path().join("posted.txt");
    let stranger = Https::start(folder.path(), &port, "stranger");
    let authorities = folder.path().join("ca.pem").display().to_string();
    let scene = Scene::with(
        &[ALICE],
        &[
            ("SSL_CERT_FILE", &authorities),
            ("REDOUBT_AUDIT_HEADS_EVERY", "1s"),
            ("REDOUBT_AUDIT_HEADS_WEBHOOK", &format!("https://127.0.0.1:{port}/heads")),
        ],
    );
    let told = |word: &str| alarms(&scene).iter().any(|alarm| alarm.contains(word));
    wait("an authority that nobody knows is told", || told("UnknownIssuer"));
    drop(stranger);
    let other = Https::start(folder.path(), &port, "other");
    wait("a name that is another's is told", || told("not valid for name"));
    assert!(heads_of(&posted).is_empty(), "nothing is said to either");
    drop(other);
    let _good = Https::start(folder.path(), &port, "good");
    wait("the right one gets heads", || !heads_of(&posted).is_empty());
    wait("the alarm is over", || alarms(&scene).is_empty());
}
