//! Erasures of a real server: what was planted is found in its files before, compressed and
//! encoded, and in none of them after; what others have stays, octet by octet.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redoubt_tests::cluster::until;
use redoubt_tests::imap::{Imap, item};
use redoubt_tests::page::{Page, types};
use redoubt_tests::scene::Scene;
use serde_json::Value;

const ALICE: &str = "alice@example.org";
const BOB: &str = "bob@example.org";
/// How long the server may take to reach every file.
const PATIENCE: Duration = Duration::from_secs(120);

/// Texts that are in no other message.
const SUBJECT: &str = "Quillfeather-7731";
const BODY: &str = "zanzibarquokka5519";
const HTML: &str = "vermillionotter8824";
const SMALL: &str = "peppercornlynx3307";
const LARGE: &str = "marzipanheron6642";
const PLANTED: [&str; 5] = [SUBJECT, BODY, HTML, SMALL, LARGE];

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 (RFC 4648), without line ends.
fn base64(octets: &[u8]) -> String {
    let mut text = String::new();
    for three in octets.chunks(3) {
        let at = |n: usize| u32::from(three.get(n).copied().unwrap_or(0));
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS[(bits >> shift & 63) as usize];
            text.push(if place <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

fn lines(text: &str) -> String {
    let chunks = text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap());
    chunks.collect::<Vec<_>>().join("\r\n")
}

/// A message with a text in each of its parts; the large part is a blob of its own.
fn planted(large: &[u8]) -> Vec<u8> {
    let small = base64(format!("notes about {SMALL}\n").as_bytes());
    let text = format!(
        "From: Sender <sender@example.net>\r\nTo: Reader <reader@example.org>\r\n\
         Subject: {SUBJECT}\r\nMessage-ID: <{SUBJECT}@example.net>\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nsee {BODY} at once\r\n\
         --b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
         <p>{}</p>\r\n\
         --b\r\nContent-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{small}\r\n\
         --b\r\nContent-Type: text/plain; name=b.txt\r\nContent-Disposition: attachment\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{}\r\n--b--\r\n",
        format!("{HTML} <b>here</b>").replace('=', "=3D"),
        lines(&base64(large)),
    );
    text.into_bytes()
}

/// Too large to lie within a message, and of no pattern that would compress it away.
fn large(token: &str) -> Vec<u8> {
    let mut text = String::new();
    for line in 0..900 {
        text += &format!("{} {token} {line}\n", blake3::hash(&[line as u8, (line >> 8) as u8]));
    }
    text.into_bytes()
}

/// All forms in which a text may stand in octets.
fn forms(text: &str) -> Vec<Vec<u8>> {
    let mut forms = vec![text.as_bytes().to_vec()];
    for before in 0..3 {
        let whole = base64(&[&vec![b'x'; before][..], text.as_bytes()].concat());
        // Without the digits that depend on what stands before and behind.
        let from = [0, 2, 3][before];
        let to = (before + text.len()) / 3 * 4;
        forms.push(whole.as_bytes()[from..to].to_vec());
    }
    forms
}

/// In lower case, without line ends and without the zeros that files are made of before they
/// are written.
fn folded(octets: &[u8]) -> Vec<u8> {
    let kept = octets.iter().filter(|b| !matches!(b, b'\r' | b'\n' | 0));
    kept.map(u8::to_ascii_lowercase).collect()
}

fn has(folded: &[u8], wanted: &[Vec<u8>]) -> bool {
    wanted.iter().any(|form| {
        let form: Vec<u8> = form.iter().map(u8::to_ascii_lowercase).collect();
        let first = form[0];
        let mut rest = folded;
        while let Some(at) = rest.iter().position(|octet| *octet == first) {
            rest = &rest[at..];
            if rest.starts_with(&form) {
                return true;
            }
            rest = &rest[1..];
        }
        false
    })
}

/// What zstd frames in octets hold, wherever they begin.
fn unpacked(octets: &[u8]) -> Vec<u8> {
    const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
    let mut found = Vec::new();
    for (at, window) in octets.windows(4).enumerate() {
        if window == MAGIC {
            let mut frame = vec![0; 4 << 20];
            let mut decoder =
                zstd::stream::read::Decoder::new(&octets[at..]).unwrap().single_frame();
            let mut read = 0;
            while read < frame.len() {
                match std::io::Read::read(&mut decoder, &mut frame[read..]) {
                    Ok(0) | Err(_) => break,
                    Ok(more) => read += more,
                }
            }
            found.extend_from_slice(&frame[..read]);
        }
    }
    found
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

/// The files of a server, as they are and unpacked.
struct Files(Vec<(String, [Vec<u8>; 2])>);

impl Files {
    fn of(data: &Path) -> Self {
        let mut all = Vec::new();
        files(data, &mut all);
        let read = |path: PathBuf| {
            let mut octets = fs::read(&path).ok()?;
            let used = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + 1);
            octets.truncate(used);
            let name = path.strip_prefix(data).unwrap().display().to_string();
            Some((name, [folded(&octets), folded(&unpacked(&octets))]))
        };
        Self(all.into_iter().filter_map(read).collect())
    }

    /// Those that have a text in any form.
    fn having(&self, text: &str) -> BTreeSet<&str> {
        let wanted = forms(text);
        let holds = |(_, octets): &&(String, [Vec<u8>; 2])| {
            octets.iter().any(|octets| has(octets, &wanted))
        };
        self.0.iter().filter(holds).map(|(name, _)| name.as_str()).collect()
    }
}

fn append(scene: &Scene, account: &str, message: &[u8]) {
    let mut imap = Imap::login(scene.server.imap(), account).unwrap();
    assert!(imap.append("INBOX", "", message).unwrap().is_ok());
}

fn begun(said: &[Value]) -> String {
    said[0]["erasure"].as_str().unwrap().to_owned()
}

fn shown(scene: &Scene, erasure: &str) -> Value {
    let (_, out, _) = scene.run(&["erase", "show", erasure, "--json"]);
    serde_json::from_str(out.lines().next().unwrap()).unwrap()
}

fn complete(scene: &Scene, erasure: &str) {
    let done = || Some(()).filter(|()| shown(scene, erasure)["complete"] == true);
    assert!(until(PATIENCE, done).is_some(), "{}", shown(scene, erasure));
}

#[test]
fn no_file_has_what_was_erased() {
    let mut scene = Scene::of(&[ALICE, BOB]);
    scene.fill(ALICE, &["lunch"]);
    append(&scene, ALICE, &planted(&large(LARGE)));
    scene.fill(BOB, &["dinner"]);
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    // What is kept beside the views is made, and an image has it.
    imap.ok("SORT (SUBJECT) UTF-8 ALL").unwrap();
    imap.ok("STORE 2 +FLAGS (\\Flagged)").unwrap();
    scene.server.stop();
    scene.server.start_again();
    let data = scene.server.data().to_owned();
    let before = Files::of(&data);
    for text in PLANTED {
        let held = before.having(text);
        assert!(held.iter().any(|name| name.contains("blobs")), "{text}: {held:?}");
    }
    let plan = scene.json(&["erase", "plan", ALICE, &format!("subject:{SUBJECT}")]);
    assert_eq!((&plan[0]["emails"], &plan[0]["live"]), (&Value::from(1), &Value::from(1)));
    let wish = ["erase", "begin", ALICE, &format!("subject:{SUBJECT}"), "--reason", "case 7"];
    scene.code(&wish, 6);
    let erasure = begun(&scene.json(&[&wish[..], &["--yes"]].concat()));
    complete(&scene, &erasure);
    let after = Files::of(&data);
    for text in PLANTED {
        let held = after.having(text);
        assert!(held.is_empty(), "{text}: {held:?}");
    }
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    assert_eq!(imap.ok("SEARCH ALL").unwrap().search(), [1]);
    drop(imap);
    scene.code(&["check"], 0);
    let listed = scene.code(&["audit", "list", "--kind", "erase-begin"], 0);
    assert!(listed.contains("erase-begin"), "{listed}");
    scene.server.stop();
    let stopped = Files::of(&data);
    for text in PLANTED {
        let held = stopped.having(text);
        assert!(held.is_empty(), "stopped: {text}: {held:?}");
    }
    scene.server.start_again();
    let mut imap = Imap::login(scene.server.imap(), ALICE).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    assert_eq!(imap.ok("SEARCH ALL").unwrap().search(), [1]);
}

/// What another account has too stays, and all that is another's is as it was.
#[test]
fn what_others_have_stays() {
    let scene = Scene::of(&[ALICE, BOB]);
    let message = planted(&large(LARGE));
    append(&scene, ALICE, &message);
    append(&scene, BOB, &message);
    scene.fill(ALICE, &["first", "second"]);
    let plan = scene.json(&["erase", "plan", ALICE, "--whole"]);
    let said = |name: &str| plan[0][name].as_u64().unwrap();
    assert_eq!((said("emails"), said("shared"), said("shared_with")), (3, 1, 1));
    let erasure =
        begun(&scene.json(&["erase", "begin", ALICE, "--whole", "--reason", "gone", "--yes"]));
    complete(&scene, &erasure);
    let line = shown(&scene, &erasure);
    assert_eq!((&line["erased"], &line["kept"]), (&Value::from(3), &Value::from(0)));
    let packs = line["nodes"][0]["places"].as_array().unwrap().iter();
    let packs = packs.filter(|place| place["place"] == "packs");
    assert!(packs.clone().all(|place| place["stays"] == 1) && packs.count() == 1, "{line}");
    let mut imap = Imap::login(scene.server.imap(), BOB).unwrap();
    imap.ok("SELECT INBOX").unwrap();
    let reply = imap.ok("FETCH 1 BODY.PEEK[]").unwrap().fetches();
    assert_eq!(item(&reply[0].1, "BODY[]").unwrap().octets(), message);
    scene.code(&["check"], 0);
}

/// Nothing goes before a second person says so, who is not the first.
#[test]
fn a_second_person_is_waited_for() {
    let scene = Scene::of(&[ALICE]);
    scene.fill(ALICE, &["secret"]);
    let wish = ["erase", "begin", ALICE, "--whole", "--reason", "x", "--review", "--yes"];
    let erasure = begun(&scene.json(&wish));
    assert_eq!(shown(&scene, &erasure)["state"], "review");
    let said = scene.code(&["erase", "review", &erasure], 1);
    assert!(said.contains("another person"), "{said}");
    assert_eq!(shown(&scene, &erasure)["erased"], 0);
    assert!(scene.code(&["erase", "list"], 0).contains("waits for a second person"));
}

#[test]
fn the_page_says_what_is() {
    let scene = Scene::of(&[ALICE]);
    scene.fill(ALICE, &["invoice", "lunch"]);
    let page = Page::read("erasure.md");
    let mut erasure = String::new();
    for command in page.commands("Erasing") {
        let (code, said) = types(&scene.server, &command, &[("ERASURE", &erasure)]);
        if let Some(id) = said.strip_prefix("erasure ").and_then(|rest| rest.split(':').next()) {
            erasure = id.to_owned();
            complete(&scene, &erasure);
        }
        assert_eq!(code, 0, "{command}: {said}");
    }
    assert!(!erasure.is_empty());
}
