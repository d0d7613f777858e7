//! Whatever is asked in the query language, live and gone mail: the emails that an index names
//! have all that match.

use std::sync::Arc;

use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::travel::{Cursor, Search, Which};

use super::attached::{Fakes, in_it, made_stale, with_attachment};
use super::equals_scan::{Dice, WORDS, mail, needle};
use super::world::{World, both_ways};
use crate::find::{Finder, among};
use crate::index::{Index, Options};
use crate::query::{Context, Query};

const FIELDS: &[&str] =
    &["", "", "subject:", "body:", "text:", "content:", "from:", "header[X-Tag]:", "participants:"];

fn term(dice: &mut Dice) -> String {
    let word = |dice: &mut Dice| match dice.below(3) {
        0 => needle(dice),
        _ => dice.of(WORDS).to_owned(),
    };
    let plain = |text: String| -> String { text.chars().filter(|c| c.is_alphanumeric()).collect() };
    let field = dice.of(FIELDS);
    match dice.below(9) {
        0 | 1 => format!("{field}{}", plain(word(dice))),
        2 => format!("{field}{}*", plain(word(dice))),
        3 => format!("{field}*{}", plain(word(dice))),
        4 => format!("{field}*{}*", plain(word(dice))),
        5 => format!("{field}\"{} {}\"", word(dice), word(dice)).replace("\r\n", " "),
        6 => format!("{field}\"{}\"", word(dice)).replace("\r\n", " "),
        7 => format!("sent:{}..", dice.of(&["2003-07-01", "2004-08-05", "2003"])),
        _ => {
            dice.of(&["from:ann@example.net", "from:example.net", "is:unread", "larger:400"]).into()
        }
    }
}

fn asked(dice: &mut Dice, depth: usize) -> String {
    match if depth == 0 { 0 } else { dice.below(6) } {
        0..=2 => term(dice),
        3 => format!("{} {}", asked(dice, depth - 1), asked(dice, depth - 1)),
        4 => format!("({} OR {})", asked(dice, depth - 1), asked(dice, depth - 1)),
        _ => format!("-({})", asked(dice, depth - 1)),
    }
}

impl World {
    /// What a query finds, in pieces, with or without knowing which emails it can mean.
    fn found(
        &self,
        account: AccountId,
        query: &Query,
        which: Which,
        texts: &Fakes,
        among: Option<&[EmailId]>,
    ) -> Vec<(Cursor, EmailId, bool)> {
        let view = self.store.local_view().unwrap();
        let search = Search { view: &view, account, mailboxes: &[], which, among };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let mut finder = Finder::new(query, &view, account, &self.store, texts);
            let piece = search.piece(&mut finder, after, 7).unwrap();
            found.extend(piece.hits.into_iter().map(|hit| {
                let cursor = Cursor { mailbox: hit.place.mailbox, uid: hit.place.uid.get() };
                (cursor, hit.placement.email, hit.gone.is_some())
            }));
            match piece.next {
                Some(next) => after = Some(next),
                None => return found,
            }
        }
    }
}

/// What was asked, and what came of it.
#[derive(Debug, Default)]
struct Counts {
    read: u64,
    hits: usize,
    narrowed: u64,
}

impl Counts {
    /// Asks so many random queries, by the index and without it.
    fn ask(&mut self, world: &World, index: &Index, texts: &Fakes, dice: &mut Dice, times: u32) {
        for _ in 0..times {
            let text = asked(dice, 2);
            let Ok(query) = Query::parse(&text, &Context::utc()) else { continue };
            self.read += 1;
            let emails = among(Some(index), &query, world.alice).unwrap();
            self.narrowed += u64::from(emails.as_ref().is_some_and(|emails| emails.len() < 100));
            for which in [Which::There, Which::Expunged, Which::Both] {
                let expected = world.found(world.alice, &query, which, texts, None);
                let found = world.found(world.alice, &query, which, texts, emails.as_deref());
                assert_eq!(found, expected, "{text} {which:?}");
                self.hits += expected.len();
            }
        }
    }
}

async fn compare(options: Options, seed: u64) {
    let world = World::new().await;
    let texts = Arc::new(Fakes::default());
    let options = Options { texts: Some(texts.clone()), ..options };
    let index = world.open(options.clone());
    let (mut dice, mut counts) = (Dice::new(seed), Counts::default());
    let mails: Vec<String> = (0..160).map(|_| mail(&mut dice)).collect();
    let mails: Vec<String> =
        mails.into_iter().map(|mail| with_attachment(&mut dice, &mail)).collect();
    // Texts are there before their emails are indexed, behind them, or not at all.
    let first = world.add(world.alice, &mails[..40]).await;
    texts.come(&world, &first, &mut dice);
    index.flush().unwrap();
    let second = world.add(world.alice, &mails[40..80]).await;
    index.flush().unwrap();
    let third = world.add(world.alice, &mails[80..120]).await;
    index.flush().unwrap();
    // Some went, and some are not indexed yet.
    world.expunge(world.alice, 1..=25).await;
    let last = world.add(world.alice, &mails[120..]).await;
    counts.ask(&world, &index, &texts, &mut dice, 100);
    texts.come(&world, &second, &mut dice);
    counts.ask(&world, &index, &texts, &mut dice, 100);
    index.flush().unwrap();
    assert!(index.status().attached > 20, "{:?}", index.status());
    counts.ask(&world, &index, &texts, &mut dice, 150);
    // Another extractor reads something else, and the process ends while that is taken in.
    index.close();
    made_stale(&world);
    let index = world.open(options.clone());
    texts.forget();
    texts.come(&world, &first, &mut dice);
    texts.nowhere();
    counts.ask(&world, &index, &texts, &mut dice, 100);
    texts.come(&world, &third, &mut dice);
    *index.inner.state.fault.lock() = Some("after texts");
    index.flush().unwrap_err();
    index.close();
    let index = world.open(options);
    texts.come(&world, &last, &mut dice);
    counts.ask(&world, &index, &texts, &mut dice, 100);
    index.flush().unwrap();
    counts.ask(&world, &index, &texts, &mut dice, 100);
    // What is kept is removed: the index may know more, never less.
    texts.forget();
    counts.ask(&world, &index, &texts, &mut dice, 50);
    let Counts { read, hits, narrowed } = counts;
    assert!(read > 400 && hits > 4000 && narrowed > 200, "{counts:?}");
    index.close();
    assert!(in_it(&world) > 0);
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_names_all_that_match() {
    for (options, seed) in both_ways() {
        compare(options, seed).await;
    }
}
