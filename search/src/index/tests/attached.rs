//! What is extracted from attachments: candidates until it is there, found by the index then.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use redoubt_extract::{Extracted, Status};
use redoubt_log::id::{BlobId, LogIndex};
use redoubt_log::record::Arrival;
use redoubt_store::mime::Part;

use super::equals_scan::{Dice, WORDS, needle};
use super::world::{World, mail, patient};
use crate::ask::{Ask, Field, Needle};
use crate::index::folder::{Folder, Home, commit};
use crate::index::schema::READ;
use crate::index::{Index, Options};
use crate::texts::{NoTexts, PartText, Texts, TextsError, attachments};

/// Texts that come when a test says so.
#[derive(Debug, Default)]
pub(super) struct Fakes {
    texts: Mutex<BTreeMap<BlobId, Extracted>>,
    position: Mutex<Option<LogIndex>>,
}

impl Texts for Fakes {
    fn of(&self, message: &BlobId) -> Result<Option<Vec<PartText>>, TextsError> {
        let text = self.texts.lock().get(message).cloned();
        Ok(text.map(|text| vec![PartText { number: vec![2], extracted: text.into() }]))
    }

    fn now(&self, message: &BlobId) -> Result<Vec<PartText>, TextsError> {
        NoTexts.now(message)
    }

    fn of_octets(&self, part: &Part, octets: &[u8]) -> Result<Arc<Extracted>, TextsError> {
        NoTexts.of_octets(part, octets)
    }

    fn position(&self) -> Option<LogIndex> {
        *self.position.lock()
    }
}

impl Fakes {
    /// Everything that is applied was tried, with this for some emails.
    pub(super) fn come(&self, world: &World, emails: &[Arrival], dice: &mut Dice) {
        for arrival in emails {
            if let Some(text) = outcome(dice) {
                self.set(world, arrival, text);
            }
        }
        *self.position.lock() = Some(world.store.applied());
    }

    fn set(&self, world: &World, arrival: &Arrival, text: Extracted) {
        let view = world.store.local_view().unwrap();
        let data = view.email_ever(world.alice, arrival.email).unwrap().unwrap();
        let parsed = world.store.parsed(&data.blob).unwrap();
        if !attachments(&parsed.structure).is_empty() {
            self.texts.lock().insert(data.blob, text);
        }
    }

    fn tried(&self, world: &World) {
        *self.position.lock() = Some(world.store.applied());
    }

    /// All is removed.
    pub(super) fn forget(&self) {
        self.texts.lock().clear();
    }

    /// It is not known how far it has come.
    pub(super) fn nowhere(&self) {
        *self.position.lock() = None;
    }
}

/// What comes of an attachment; `None` where it is not tried.
fn outcome(dice: &mut Dice) -> Option<Extracted> {
    let text = format!("{} {} {}", dice.of(WORDS), needle(dice), dice.of(WORDS));
    Some(match dice.below(8) {
        0 => return None,
        1 => Extracted::failed("unknown"),
        2 => Extracted { status: Status::Skipped, ..Extracted::failed("a picture") },
        3 => Extracted { status: Status::Partial, text, ..Extracted::failed("cut") },
        4 => Extracted { text: String::new(), ..Extracted::stopped("slow") },
        _ => found(&text),
    })
}

fn found(text: &str) -> Extracted {
    Extracted { status: Status::Ok, text: text.to_owned(), why: None, stopped: false }
}

/// Two of three mails get an attachment.
pub(super) fn with_attachment(dice: &mut Dice, mail: &str) -> String {
    let Some((head, body)) = mail.split_once("\r\n\r\n").filter(|_| dice.below(3) > 0) else {
        return mail.to_owned();
    };
    let (rest, kind) = head.rsplit_once("Content-Type: ").unwrap();
    let attached = dice.of(&["application/pdf; name=\"a-report.pdf\"", "text/calendar"]);
    format!(
        "{rest}Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: {kind}\r\n\
         \r\n{body}\r\n--b\r\nContent-Type: {attached}\r\n\r\n{}\r\n--b--\r\n",
        dice.below(1000)
    )
}

fn folder(world: &World) -> Folder {
    let lineage = &world.store.identity().lineage;
    let of = |home| Folder::open(&world.root(), home, lineage, true).unwrap();
    of(Home::Own(world.alice)).or_else(|| of(Home::shared(world.alice))).unwrap()
}

/// As an index is that was written with another extractor.
pub(super) fn made_stale(world: &World) {
    let folder = folder(world);
    let mut marks = folder.shown().marks.clone();
    marks.accounts.get_mut(&world.alice).unwrap().has_texts_of(0);
    let mut writer = folder.writer(false).unwrap();
    commit(&mut writer, &marks).unwrap();
    writer.wait_merging_threads().unwrap();
}

/// How many emails have in the index what was extracted from their attachments.
pub(super) fn in_it(world: &World) -> usize {
    folder(world).emails_having(world.alice, &[READ]).unwrap().len()
}

fn attached(number: usize) -> String {
    let mail = mail(&format!("number {number}"), "see there");
    let (head, body) = mail.split_once("\r\n\r\n").unwrap();
    format!(
        "{head}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{body}\r\n--b\r\n\
         Content-Type: application/pdf\r\n\r\n{number}\r\n--b--\r\n"
    )
}

fn word(text: &str) -> Ask {
    Ask::Text { fields: vec![Field::Body, Field::Extracted], needle: Needle::Word(text.into()) }
}

fn candidates(world: &World, index: &Index, text: &str) -> usize {
    let found = world.ask(index, world.alice, &word(text));
    assert!(found.tail.is_empty(), "{found:?}");
    found.candidates().count()
}

async fn world() -> (World, Arc<Fakes>, Options) {
    let texts = Arc::new(Fakes::default());
    (World::new().await, texts.clone(), Options { texts: Some(texts), ..patient() })
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_come_behind_their_emails() {
    let (world, texts, options) = world().await;
    let index = world.open(options.clone());
    let mails: Vec<String> = (0..6).map(attached).collect();
    let arrivals = world.add(world.alice, &mails).await;
    texts.set(&world, &arrivals[0], found("rivets and girders"));
    index.flush().unwrap();
    assert_eq!(candidates(&world, &index, "girders"), 6, "one by its text, and five unread");
    assert_eq!(candidates(&world, &index, "nowhere"), 5);
    texts.set(&world, &arrivals[1], found("more Girders"));
    texts.set(&world, &arrivals[2], Extracted::failed("unknown"));
    texts.set(&world, &arrivals[3], Extracted::stopped("slow"));
    texts.set(&world, &arrivals[4], found(&"girder ".repeat(1000)));
    index.flush().unwrap();
    assert_eq!(candidates(&world, &index, "nowhere"), 5, "not everything was tried yet");
    texts.tried(&world);
    index.flush().unwrap();
    assert_eq!(candidates(&world, &index, "girders"), 4, "two, one stopped, one that was lost");
    assert_eq!(candidates(&world, &index, "girder"), 3);
    assert_eq!(candidates(&world, &index, "nowhere"), 2);
    assert_eq!(candidates(&world, &index, "there"), 6, "their own words are still there");
    assert_eq!(index.status().attached, 4);
    let emails = world.ask(&index, world.alice, &Ask::All);
    assert_eq!(emails.maybe.len(), 6, "none is there twice");
    // Nothing is done again, by this process or the next.
    index.flush().unwrap();
    index.close();
    let index = world.open(options);
    index.flush().unwrap();
    assert_eq!((index.status().attached, index.status().commits), (0, 0));
    assert_eq!(candidates(&world, &index, "nowhere"), 2);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_about_a_commit_of_texts_loses_and_doubles_nothing() {
    for fault in ["before texts", "after texts"] {
        let (world, texts, options) = world().await;
        let index = world.open(options.clone());
        let arrivals = world.add(world.alice, &[attached(1), attached(2)]).await;
        index.flush().unwrap();
        texts.set(&world, &arrivals[0], found("girders"));
        texts.set(&world, &arrivals[1], found("rivets"));
        texts.tried(&world);
        *index.inner.state.fault.lock() = Some(fault);
        index.flush().unwrap_err();
        index.close();
        let index = world.open(options);
        assert!(candidates(&world, &index, "girders") >= 1);
        index.flush().unwrap();
        assert_eq!(candidates(&world, &index, "girders"), 1, "{fault}");
        assert_eq!(candidates(&world, &index, "number"), 0);
        assert_eq!(world.ask(&index, world.alice, &Ask::All).maybe.len(), 2);
        // Built anew, it is as before.
        index.rebuild(None).unwrap();
        index.flush().unwrap();
        assert_eq!(candidates(&world, &index, "girders"), 1);
        index.close();
        world.store.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_extractor_is_believed_when_it_has_read() {
    let (world, texts, options) = world().await;
    let index = world.open(options.clone());
    let arrivals = world.add(world.alice, &[attached(1), attached(2), mail("3", "x")]).await;
    texts.set(&world, &arrivals[0], found("girders"));
    texts.set(&world, &arrivals[1], found("rivets"));
    texts.tried(&world);
    index.flush().unwrap();
    assert_eq!(candidates(&world, &index, "bolts"), 0);
    index.close();
    made_stale(&world);
    texts.forget();
    texts.nowhere();
    let index = world.open(options);
    index.flush().unwrap();
    assert_eq!(candidates(&world, &index, "bolts"), 2, "what is there is of the other");
    texts.set(&world, &arrivals[0], found("bolts"));
    texts.tried(&world);
    index.flush().unwrap();
    assert_eq!(candidates(&world, &index, "girders"), 1, "the one that has no text now");
    assert_eq!(candidates(&world, &index, "bolts"), 2);
    index.close();
    assert_eq!(in_it(&world), 1);
    world.store.shutdown().await;
}

/// What is more than an index takes is looked through.
#[tokio::test(flavor = "multi_thread")]
async fn a_text_of_too_many_words_stays_out() {
    let (world, texts, options) = world().await;
    let index = world.open(options);
    let arrivals = world.add(world.alice, &[attached(1)]).await;
    let words: String = (0..700_000).map(|n| format!("w{n} ")).collect();
    texts.set(&world, &arrivals[0], found(&words));
    texts.tried(&world);
    index.flush().unwrap();
    assert_eq!(candidates(&world, &index, "nowhere"), 1);
    assert_eq!(index.status().attached, 0);
    index.close();
    world.store.shutdown().await;
}
