//! Texts of a store's attachments: each once, lost and found.

use std::time::Duration;

use redoubt_extract::Status;
use redoubt_log::id::BlobId;
use redoubt_log::record::Actor;
use redoubt_search::texts::{Indexed, Options, PartText, TextStore, Texts, attachments};
use redoubt_store::mailstore::Mailstore;
use redoubt_tests::cluster::until;

use super::documents::{self, WORD};
use super::support::{World, alice, deliver, inbox};
use super::{hostile, options};

const PATIENCE: Duration = Duration::from_secs(60);

/// A message with these attachments.
pub(crate) fn mail(subject: &str, attached: &[(&str, &[u8])]) -> Vec<u8> {
    let mut mail = format!(
        "From: a@example.net\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: \
         multipart/mixed; boundary=xyz\r\n\r\n--xyz\r\n\r\nsee there\r\n"
    );
    for (name, octets) in attached {
        mail += &format!(
            "--xyz\r\nContent-Type: application/octet-stream\r\nContent-Disposition: attachment; \
             filename=\"{name}\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{}",
            base64(octets)
        );
    }
    mail += "--xyz--\r\n";
    mail.into_bytes()
}

fn base64(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for (at, three) in octets.chunks(3).enumerate() {
        if at > 0 && at % 19 == 0 {
            out += "\r\n";
        }
        let bits = three.iter().fold(0_u32, |bits, octet| bits << 8 | u32::from(*octet))
            << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * place) & 63) as usize];
            out.push(if place > three.len() { '=' } else { char::from(digit) });
        }
    }
    out + "\r\n"
}

fn texts(world: &World, store: &Mailstore) -> TextStore {
    let folder = world.data().join("texts");
    TextStore::new(store.clone(), Options { folder, keep: 1 << 30, pool: options() })
}

async fn come(store: &Mailstore, mail: &[u8]) -> BlobId {
    let account = match store.local_view().unwrap().accounts(None, 1).unwrap().first() {
        Some(account) => account.id,
        None => alice(store).await,
    };
    let arrival = deliver(store, account, mail).await;
    let view = store.local_view().unwrap();
    view.email(account, arrival.email).unwrap().unwrap().blob
}

fn statuses(texts: &[PartText]) -> Vec<Status> {
    texts.iter().map(|text| text.extracted.status).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_follow_deliveries_and_each_is_extracted_once() {
    let world = World::new();
    let store = world.open().await;
    let (docx, pdf) = (documents::docx(), documents::pdf());
    let first = come(&store, &mail("1", &[("a.docx", &docx), ("b.pdf", &pdf)])).await;
    let texts = texts(&world, &store);
    texts.follow().unwrap();
    let second =
        come(&store, &mail("2", &[("other.docx", &docx), ("p.png", b"\x89PNG\r\n")])).await;
    let plain = come(&store, b"Subject: none\r\n\r\nno attachment\r\n").await;
    let (this, applied) = (texts.clone(), store.applied());
    tokio::task::spawn_blocking(move || assert!(this.wait_for(applied, PATIENCE))).await.unwrap();

    let found = texts.of(&first).unwrap().unwrap();
    assert_eq!(found.iter().map(|t| t.number.clone()).collect::<Vec<_>>(), [[2], [3]]);
    assert!(found.iter().all(|text| text.extracted.text.contains(WORD)));
    let found = texts.of(&second).unwrap().unwrap();
    assert_eq!(statuses(&found), [Status::Ok, Status::Skipped]);
    assert_eq!(Indexed::of(Some(&found)), Indexed::All);
    assert_eq!(texts.of(&plain).unwrap().unwrap(), []);
    assert_eq!(texts.stats().counts.documents, [2, 1, 0, 0, 0], "the docx once");
    assert_eq!(texts.stats().kept, [2, 1, 0, 0, 0]);
    texts.close();
    assert!(texts.now(&first).is_ok(), "what is kept needs no worker");
    store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_damaged_or_removed_is_extracted_again() {
    let world = World::new();
    let store = world.open().await;
    let blob = come(&store, &mail("1", &[("a.txt", WORD.as_bytes()), ("bad", &[0, 1, 2])])).await;
    let texts = texts(&world, &store);
    assert_eq!(texts.of(&blob).unwrap(), None);
    assert_eq!(Indexed::of(None), Indexed::None);
    let made = texts.now(&blob).unwrap();
    assert_eq!(statuses(&made), [Status::Ok, Status::Failed]);
    assert_eq!(Indexed::of(Some(&made)), Indexed::None);
    assert_eq!(texts.of(&blob).unwrap().unwrap(), made);
    let files = files(&world.data().join("texts"));
    assert_eq!(files.len(), 3, "two texts and the message's names");
    for file in &files {
        let sound = std::fs::read(file).unwrap();
        for at in 0..sound.len() {
            let mut octets = sound.clone();
            octets[at] ^= 0x40;
            std::fs::write(file, &octets).unwrap();
            assert_eq!(texts.of(&blob).unwrap(), None, "octet {at} of {}", file.display());
        }
        std::fs::write(file, &sound[..sound.len() - 1]).unwrap();
        assert_eq!(texts.now(&blob).unwrap(), made);
    }
    std::fs::remove_dir_all(world.data().join("texts")).unwrap();
    assert_eq!(texts.now(&blob).unwrap(), made);
    texts.close();
    store.shutdown().await;
}

fn files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// What no message names any more goes, young texts last; so does what is too much.
#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_goes() {
    let world = World::new();
    let store = world.open().await;
    let folder = world.data().join("texts");
    let blob = come(&store, &mail("1", &[("a.txt", b"kept")])).await;
    let texts = texts(&world, &store);
    texts.now(&blob).unwrap();
    let parsed = redoubt_store::mime::parse(b"Content-Type: application/x\r\n\r\nx");
    let orphan = texts.of_octets(&parsed.structure, b"of no message").unwrap();
    assert_eq!(orphan.text, "of no message");
    let before = files(&folder);
    let names = before.iter().find(|path| path.to_string_lossy().contains(&blob.to_string()));
    let gone = folder.join("m/000").join("0".repeat(64));
    std::fs::create_dir_all(folder.join("m/000")).unwrap();
    std::fs::copy(names.unwrap(), &gone).unwrap();
    for file in &before {
        let old = std::time::SystemTime::now() - Duration::from_secs(7200);
        std::fs::File::options().write(true).open(file).unwrap().set_modified(old).unwrap();
    }
    texts.follow().unwrap();
    let is_swept = || (files(&folder).len() == before.len()).then_some(());
    until(PATIENCE, is_swept).expect("the orphan went, and a position came");
    assert!(!gone.exists() && texts.of(&blob).unwrap().is_some());
    texts.close();
    assert_eq!(texts.stats().kept, [1, 0, 0, 0, 0]);

    let small = Options { folder: folder.clone(), keep: 1, pool: options() };
    let texts = TextStore::new(store.clone(), small);
    texts.follow().unwrap();
    let went = || texts.of(&blob).unwrap().is_none().then_some(());
    until(PATIENCE, went).expect("there is room for nothing");
    assert_eq!(statuses(&texts.now(&blob).unwrap()), [Status::Ok]);
    texts.close();
    store.shutdown().await;
}

/// Texts of a message that died go, however young they are, and those that others have stay.
#[tokio::test(flavor = "multi_thread")]
async fn what_died_goes_at_once() {
    let world = World::with(|options| options.keep_history = Some(Duration::from_millis(1)));
    let store = world.open().await;
    let account = alice(&store).await;
    let shared: (&str, &[u8]) = ("shared.txt", b"of both");
    let arrival = deliver(&store, account, &mail("1", &[("a.txt", b"of one"), shared])).await;
    let other = come(&store, &mail("2", &[shared])).await;
    let view = store.local_view().unwrap();
    let blob = view.email(account, arrival.email).unwrap().unwrap().blob;
    drop(view);
    let texts = texts(&world, &store);
    assert_eq!((texts.now(&blob).unwrap().len(), texts.now(&other).unwrap().len()), (2, 1));
    let actor = Actor::account(account, None);
    store.expunge(&actor, inbox(account), vec![arrival.uid], false).await.unwrap();
    let died = async {
        while store.local_view().unwrap().dead_since(&blob).unwrap().is_none() {
            // The clock of the log goes on with its records.
            come(&store, b"Subject: tick\r\n\r\ntick\r\n").await;
        }
    };
    tokio::time::timeout(PATIENCE, died).await.unwrap();
    texts.follow().unwrap();
    let left = || files(&world.data().join("texts")).len();
    // The names of the other's texts, its text, and the position.
    let swept = || (left() == 3 && texts.stats().kept[0] == 1).then_some(());
    until(PATIENCE, swept).expect("what nobody has went");
    assert!(texts.of(&other).unwrap().is_some());
    texts.close();
    store.shutdown().await;
}

/// A node that was without texts, or whose position is lost, looks through everything.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_position_is_no_loss() {
    let world = World::new();
    let store = world.open().await;
    let blob = come(&store, &mail("1", &[("a.rtf", &documents::rtf())])).await;
    for round in 0..2 {
        let texts = texts(&world, &store);
        texts.follow().unwrap();
        let (this, applied) = (texts.clone(), store.applied());
        tokio::task::spawn_blocking(move || assert!(this.wait_for(applied, PATIENCE)))
            .await
            .unwrap();
        assert_eq!(statuses(&texts.of(&blob).unwrap().unwrap()), [Status::Ok]);
        assert_eq!(texts.stats().counts.documents[0], 1 - round, "kept over the restart");
        texts.close();
        std::fs::remove_file(world.data().join("texts/position")).unwrap();
    }
    store.shutdown().await;
}

/// A walk through everything that was cut short goes on behind the message where it was.
#[tokio::test(flavor = "multi_thread")]
async fn a_walk_goes_on_where_it_was() {
    let world = World::new();
    let store = world.open().await;
    let mut blobs = Vec::new();
    for n in 0..6 {
        let text = format!("text {n}");
        blobs.push(come(&store, &mail(&text, &[("a.txt", text.as_bytes())])).await);
    }
    blobs.sort_unstable();
    let began = store.applied();
    let later = come(&store, &mail("later", &[("a.txt", b"later")])).await;
    let folder = world.data().join("texts");
    std::fs::create_dir_all(&folder).unwrap();
    let place = format!("{} {} {}\n", redoubt_extract::VERSION, began.0, blobs[3]);
    std::fs::write(folder.join("place"), place).unwrap();
    let texts = texts(&world, &store);
    texts.follow().unwrap();
    let (this, applied) = (texts.clone(), store.applied());
    tokio::task::spawn_blocking(move || assert!(this.wait_for(applied, PATIENCE))).await.unwrap();
    for (at, blob) in blobs.iter().enumerate() {
        assert_eq!(texts.of(blob).unwrap().is_some(), at > 3, "{at}");
    }
    assert!(texts.of(&later).unwrap().is_some(), "what came since is in the log");
    texts.close();
    assert!(!folder.join("place").exists() && folder.join("position").exists());
    store.shutdown().await;
}

/// Numbers are those that IMAP gives, in nested messages too.
#[test]
fn numbers_are_imaps() {
    let inner = mail("inner", &[("x.bin", b"x")]);
    let inner = String::from_utf8(inner).unwrap();
    let outer = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\n\
         Content-Type: message/rfc822\r\n\r\n{inner}\r\n--o\r\nContent-Type: application/pdf\
         \r\n\r\nx\r\n--o\r\nContent-Type: message/rfc822\r\n\r\nContent-Type: image/png\r\n\r\nx\r\n--o--\r\n"
    );
    for message in [outer.as_bytes(), b"Content-Type: application/pdf\r\n\r\nx"] {
        let parsed = redoubt_store::mime::parse(message);
        let found = attachments(&parsed.structure);
        let numbers: Vec<_> = found.iter().map(|a| a.number.clone()).collect();
        match message.len() {
            0..100 => assert_eq!(numbers, [vec![1]]),
            _ => assert_eq!(numbers, [vec![1, 2], vec![2], vec![3, 1]]),
        }
        for attachment in found {
            assert_eq!(parsed.part(&attachment.number), Some(attachment.part));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_attachments_are_counted_as_not_extracted() {
    let world = World::new();
    let store = world.open().await;
    let bad = hostile::pdf_in_itself();
    let blob = come(&store, &mail("1", &[("bad.pdf", &bad), ("a.txt", b"good")])).await;
    let texts = texts(&world, &store);
    let made = texts.now(&blob).unwrap();
    assert_eq!(statuses(&made), [Status::Failed, Status::Ok]);
    let why = made[0].extracted.why.as_deref();
    assert_eq!(why, Some("its reader ran out of memory or stack"));
    assert_eq!(texts.stats().counts.ended, 1);
    texts.close();
    store.shutdown().await;
}
