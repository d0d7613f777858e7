//! Whatever is asked, the index and the scan answer alike.

use std::path::PathBuf;

use redoubt_store::mime::parse;
use redoubt_store::search::{Day, Named, Place, SearchKey, texts};

use super::world::{World, both_ways, patient};
use crate::index::Options;

/// Numbers from a seed.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    pub(super) fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

pub(super) const WORDS: &[&str] = &[
    "alpha",
    "Alphabet",
    "beta",
    "gamma-ray",
    "jörg",
    "JÖRG",
    "jorg",
    "日本語",
    "日",
    "straße",
    "foo@bar.example",
    "x1",
    "a",
    "ﬁle",
    "don't",
    "co\u{ad}op",
    "が",
    "か",
    "--",
    "alphabeta",
    "0123456789012345678901234567890123456789012345678901234567890123456789abcdefghij",
    "Привет",
];

const BETWEEN: &[&str] = &[" ", " ", ", ", "-", "\r\n", "", ". "];

fn text(dice: &mut Dice, words: usize) -> String {
    let mut text = String::new();
    for _ in 0..dice.below(words) + 1 {
        text.push_str(dice.of(WORDS));
        text.push_str(dice.of(BETWEEN));
    }
    text
}

/// Some recipients, sometimes more than an index keeps as one term.
fn to(dice: &mut Dice) -> String {
    let mut all = Vec::new();
    for _ in 0..[1, 2, 12][dice.below(3)] {
        let (word, local) =
            (dice.of(&["Ann", "\"Beta, x1\"", "a"]), dice.of(&["ann", "x1", "b.a"]));
        all.push(format!("{word} <{local}@alpha.example>"));
    }
    match dice.below(3) {
        0 => String::new(),
        1 => format!("To: {}\r\n", all.join(", ")),
        _ => format!("To: {}\r\nto: x\r\nCC: {}\r\n", all.join(",\r\n "), all.concat()),
    }
}

pub(super) fn mail(dice: &mut Dice) -> String {
    let subject = text(dice, 3).replace("\r\n", " ");
    let date =
        ["", "Date: Tue, 1 Jul 2003 10:52:37 +0200\r\n", "Date: 5 Aug 2004 01:02:03 -0900\r\n"];
    let html = dice.below(4) == 0;
    let body = text(dice, 8);
    let (kind, body) = match html {
        true => ("text/html", format!("<p>{body}</p><b>{}</b>", text(dice, 3))),
        false => ("text/plain", body),
    };
    let name = dice.of(&["Ann Beta", "Bob", "jörg"]);
    format!(
        "From: {name} <{}@example.net>\r\n{}{}Subject: {subject}\r\nX-Tag: {}\r\n\
         Content-Type: {kind}; charset=utf-8\r\n\r\n{body}",
        dice.of(&["ann", "bob.x1", "alpha"]),
        to(dice),
        dice.of(&date),
        dice.of(WORDS).replace("\r\n", " "),
    )
}

/// A stretch of what mails are made of, so that it is often found.
pub(super) fn needle(dice: &mut Dice) -> String {
    let text = text(dice, 3);
    let chars: Vec<char> = text.chars().collect();
    let from = dice.below(chars.len());
    let len = dice.below(chars.len() - from) + 1;
    let needle: String = chars[from..from + len].iter().collect();
    if dice.below(4) == 0 { needle.to_uppercase() } else { needle }
}

fn part_of_to(dice: &mut Dice) -> String {
    let text = to(dice) + "To: a@alpha.example";
    let from = dice.below(text.len());
    let len = dice.below((text.len() - from).min(30)) + 1;
    text[from..from + len].to_owned()
}

/// Words of mails with letters left out, doubled or swapped.
fn mistyped(dice: &mut Dice) -> String {
    let mut words = Vec::new();
    for _ in 0..dice.below(3) + 1 {
        let mut letters: Vec<char> = dice.of(WORDS).chars().collect();
        for _ in 0..dice.below(3) {
            let at = dice.below(letters.len());
            match dice.below(4) {
                0 if letters.len() > 1 => drop(letters.remove(at)),
                1 => letters.insert(at, letters[at]),
                2 => letters.swap(at, at.saturating_sub(1)),
                _ => letters[at] = ['e', 'ö', '日'][dice.below(3)],
            }
        }
        words.push(letters.into_iter().collect::<String>());
    }
    words.join(dice.of(&[" ", "-", ""]))
}

fn fuzzy(dice: &mut Dice) -> SearchKey {
    let text = if dice.below(3) == 0 { needle(dice) } else { mistyped(dice) };
    SearchKey::Fuzzy(Box::new(match dice.below(6) {
        0 | 1 => SearchKey::Body(text),
        2 => SearchKey::Text(text),
        3 => SearchKey::Subject(text),
        4 => SearchKey::Header { name: "X-Tag".into(), value: text },
        _ => SearchKey::And(vec![SearchKey::Text(text), SearchKey::From(mistyped(dice))]),
    }))
}

fn key(dice: &mut Dice, depth: usize) -> SearchKey {
    let kinds = if depth == 0 { 12 } else { 15 };
    match dice.below(kinds) {
        0 | 2 if dice.below(2) == 0 => fuzzy(dice),
        0 | 1 => SearchKey::Body(needle(dice)),
        2 | 3 => SearchKey::Text(needle(dice)),
        4 => SearchKey::Subject(needle(dice)),
        5 => SearchKey::From(needle(dice)),
        6 => SearchKey::Header { name: "X-Tag".into(), value: needle(dice) },
        7 => SearchKey::Header {
            name: dice.of(&["Date", "X-Tag", "Tag", "Cc", "alpha"]).into(),
            value: String::new(),
        },
        8 => SearchKey::SentSince(Day(12_000 + dice.below(1000) as i32)),
        9 if dice.below(2) == 0 => SearchKey::SentBefore(Day(12_000 + dice.below(1000) as i32)),
        9 => SearchKey::SentOn(Day(12_234)),
        10 => SearchKey::To(part_of_to(dice)),
        11 => SearchKey::Cc(part_of_to(dice)),
        12 => SearchKey::Not(Box::new(key(dice, depth - 1))),
        13 => SearchKey::And(vec![key(dice, depth - 1), key(dice, depth - 1)]),
        _ => SearchKey::Or(Box::new(key(dice, depth - 1)), Box::new(key(dice, depth - 1))),
    }
}

async fn compare(options: Options, seed: u64) {
    let world = World::new().await;
    let index = world.open(options);
    let mut dice = Dice(seed);
    let mails: Vec<String> = (0..120).map(|_| mail(&mut dice)).collect();
    for part in mails[..90].chunks(30) {
        world.add(world.alice, part).await;
        world.add(world.bob, &part[..10]).await;
        index.flush().unwrap();
    }
    // Some are not indexed yet.
    world.add(world.alice, &mails[90..]).await;
    let mut hits = 0;
    for _ in 0..400 {
        let key = key(&mut dice, 2);
        for account in [world.alice, world.bob] {
            let expected = world.scan(account, &key);
            assert_eq!(world.search(&index, account, &key), expected, "{key:?} seed {seed}");
            hits += expected.len();
        }
    }
    assert!(hits > 1000, "{hits}");
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_and_the_scan_answer_alike() {
    for (options, seed) in both_ways() {
        compare(options, seed).await;
    }
}

/// Messages of the corpus that REDOUBT_CORPUS names; none without one.
fn corpus() -> Vec<Vec<u8>> {
    let Some(root) = std::env::var_os("REDOUBT_CORPUS") else { return Vec::new() };
    let (mut folders, mut files) = (vec![PathBuf::from(root)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
            match path.is_dir() {
                true => folders.push(path),
                false if matches!(kind, "eml" | "txt" | "msg") => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    assert!(!files.is_empty(), "REDOUBT_CORPUS has no messages");
    let every = files.len().div_ceil(300);
    let some = files.into_iter().step_by(every);
    some.map(|file| std::fs::read(file).unwrap()).filter(|mail| mail.len() < 300_000).collect()
}

/// A stretch of a text of a message, and where it stands.
fn stretch(dice: &mut Dice, mails: &[Vec<u8>]) -> SearchKey {
    let mail = &mails[dice.below(mails.len())];
    let mut all = Vec::new();
    texts(mail, &parse(mail), &mut |place, text| {
        all.push((place, text.chars().take(20_000).collect::<Vec<char>>()));
    });
    all.retain(|(_, text)| !text.is_empty());
    let Some((place, text)) = all.get(dice.below(all.len().max(1))) else { return SearchKey::All };
    let from = dice.below(text.len());
    let len = dice.below(24.min(text.len() - from)) + 1;
    let needle: String = text[from..from + len].iter().collect();
    match place {
        Place::Body if dice.below(2) == 0 => SearchKey::Body(needle),
        Place::Named(Named::Subject) => SearchKey::Subject(needle),
        Place::Named(Named::From) => SearchKey::From(needle),
        Place::Named(Named::To) => SearchKey::To(needle),
        _ => SearchKey::Text(needle),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_the_corpus() {
    let mails = corpus();
    if mails.is_empty() {
        return;
    }
    let world = World::new().await;
    let index = world.open(patient());
    world.add(world.alice, &mails).await;
    index.flush().unwrap();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for _ in 0..300 {
        let key = stretch(&mut dice, &mails);
        let expected = world.scan(world.alice, &key);
        assert_eq!(world.search(&index, world.alice, &key), expected, "{key:?}");
    }
    index.close();
    world.store.shutdown().await;
}
