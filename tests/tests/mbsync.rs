//! mbsync (isync), both ways: what goes in comes out byte for byte, flags and
//! dates included, and changes on either side reach the other.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use redoubt_tests::imap::{Imap, item};
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::{message, token, without_trace};
use redoubt_tests::programs::Scene;

fn configure(scene: &Scene) -> String {
    let port = scene.server.imap().port();
    let text = format!(
        "IMAPAccount r\nHost 127.0.0.1\nPort {port}\nUser alice@example.org\nPass secret\n\
         SSLType None\nAuthMechs LOGIN\n\nIMAPStore remote\nAccount r\n\n\
         MaildirStore local\nPath ~/mail/\nInbox ~/mail/INBOX\nSubFolders Verbatim\n\n\
         Channel c\nFar :remote:\nNear :local:\nPatterns *\nCreate Both\nRemove Both\n\
         Expunge Both\nSyncState *\nCopyArrivalDate yes\n"
    );
    let path = scene.file(".mbsyncrc", text);
    fs::create_dir_all(scene.home().join("mail")).unwrap();
    path.to_str().unwrap().to_string()
}

/// The files of a Maildir by the token of their message.
fn maildir(scene: &Scene, mailbox: &str) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for part in ["cur", "new"] {
        let Ok(entries) = fs::read_dir(scene.home().join("mail").join(mailbox).join(part)) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            found.insert(token(&fs::read(&path).unwrap()).unwrap(), path);
        }
    }
    found
}

fn flags_of(path: &std::path::Path) -> String {
    let name = path.file_name().unwrap().to_str().unwrap();
    name.split_once(":2,").map_or("", |(_, flags)| flags).to_string()
}

fn set_flags(path: &PathBuf, flags: &str) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let base = name.split(":2,").next().unwrap();
    let cur = path.parent().unwrap().parent().unwrap().join("cur");
    fs::rename(path, cur.join(format!("{base}:2,{flags}"))).unwrap();
}

/// mbsync marks what it copies with a header of its own, and Maildir has LF alone.
fn as_sent(copied: &[u8]) -> Vec<u8> {
    let text = String::from_utf8(copied.to_vec()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("X-TUID: "));
    lines.flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect()
}

#[test]
fn both_sides_follow_each_other() {
    let scene = Scene::new();
    let config = configure(&scene);
    let sync = || scene.run("mbsync", &["-c", &config, "-a"]);

    // Delivered mail comes down with its bytes.
    let mut lmtp = Lmtp::connect(scene.server.lmtp()).unwrap();
    for n in 0..20 {
        let answers = lmtp.deliver(
            "s@example.net",
            &["alice@example.org"],
            &message(&format!("down{n}"), 500 + n * 997),
        );
        assert_eq!(answers.unwrap()[0].code, 250);
    }
    sync();
    let local = maildir(&scene, "INBOX");
    assert_eq!(local.len(), 20);
    for n in 0..20 {
        let copied = as_sent(&fs::read(&local[&format!("down{n}")]).unwrap());
        assert_eq!(without_trace(&copied), message(&format!("down{n}"), 500 + n * 997));
    }

    // Local flags, a deletion, a new message with a date, and a new folder go up.
    set_flags(&local["down1"], "FS");
    set_flags(&local["down2"], "T");
    let new = scene.file("mail/INBOX/cur/1700000000.x.h:2,RS", message("up1", 3000));
    let date = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    fs::File::options().write(true).open(&new).unwrap().set_modified(date).unwrap();
    scene.file("mail/Entwürfe &Co/cur/1.a.h:2,", message("up2", 400));
    for part in ["new", "tmp"] {
        fs::create_dir_all(scene.home().join("mail/Entwürfe &Co").join(part)).unwrap();
    }
    sync();
    let mut imap = Imap::login(scene.server.imap(), "alice@example.org").unwrap();
    imap.ok("SELECT INBOX").unwrap();
    let fetched = imap.ok("FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])").unwrap().fetches();
    let by_token: BTreeMap<String, _> = fetched
        .iter()
        .map(|(_, items)| (token(item(items, "BODY[]").unwrap().octets()).unwrap(), items))
        .collect();
    assert_eq!(by_token.len(), 20);
    assert!(!by_token.contains_key("down2"));
    let flags = item(by_token["down1"], "FLAGS").unwrap().text();
    assert!(flags.contains("\\Flagged") && flags.contains("\\Seen"), "{flags}");
    let up = by_token["up1"];
    let flags = item(up, "FLAGS").unwrap().text();
    assert!(flags.contains("\\Answered") && flags.contains("\\Seen"), "{flags}");
    assert_eq!(item(up, "INTERNALDATE").unwrap().text().trim(), "14-Nov-2023 22:13:20 +0000");
    assert_eq!(as_sent(item(up, "BODY[]").unwrap().octets()), message("up1", 3000));
    imap.ok("STATUS \"Entw&APw-rfe &-Co\" (MESSAGES)").unwrap();

    // Changes on the server come down.
    imap.ok("STORE 1 +FLAGS (\\Flagged)").unwrap();
    imap.ok("UID MOVE 4 Archive").unwrap();
    imap.ok("STORE 2 +FLAGS (\\Deleted)").unwrap();
    imap.ok("EXPUNGE").unwrap();
    sync();
    let local = maildir(&scene, "INBOX");
    assert_eq!(local.len(), 18);
    assert!(flags_of(&local["down0"]).contains('F'));
    assert_eq!(maildir(&scene, "Archive").len(), 1);

    // Nothing is left to do, and nothing was doubled.
    sync();
    assert_eq!(maildir(&scene, "INBOX"), local);
    imap.ok("NOOP").unwrap();
    let status = imap.ok("STATUS INBOX (MESSAGES)").unwrap();
    assert_eq!(status.untagged, [b"STATUS INBOX (MESSAGES 18)"]);
}
