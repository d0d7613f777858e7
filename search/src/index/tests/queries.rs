//! Whatever is asked in the query language, live and gone mail: the emails that an index names
//! have all that match.

use redoubt_log::id::{AccountId, EmailId};
use redoubt_store::travel::{Cursor, Search, Which};

use super::equals_scan::{Dice, WORDS, mail, needle};
use super::world::{World, both_ways};
use crate::find::{Finder, among};
use crate::index::Options;
use crate::query::{Context, Query};
use crate::texts::NoTexts;

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
        among: Option<&[EmailId]>,
    ) -> Vec<(Cursor, EmailId, bool)> {
        let view = self.store.local_view().unwrap();
        let search = Search { view: &view, account, mailboxes: &[], which, among };
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let mut finder = Finder::new(query, &view, account, &self.store, &NoTexts);
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

async fn compare(options: Options, seed: u64) {
    let world = World::new().await;
    let index = world.open(options);
    let mut dice = Dice::new(seed);
    let mails: Vec<String> = (0..120).map(|_| mail(&mut dice)).collect();
    for part in mails[..90].chunks(30) {
        world.add(world.alice, part).await;
        index.flush().unwrap();
    }
    // Some went, and some are not indexed yet.
    world.expunge(world.alice, 1..=25).await;
    world.add(world.alice, &mails[90..]).await;
    let (mut hits, mut narrowed, mut read) = (0, 0, 0);
    for _ in 0..500 {
        let text = asked(&mut dice, 2);
        let Ok(query) = Query::parse(&text, &Context::utc()) else { continue };
        read += 1;
        let emails = among(Some(&index), &query, world.alice).unwrap();
        narrowed += u64::from(emails.as_ref().is_some_and(|emails| emails.len() < 100));
        for which in [Which::There, Which::Expunged, Which::Both] {
            let expected = world.found(world.alice, &query, which, None);
            let found = world.found(world.alice, &query, which, emails.as_deref());
            assert_eq!(found, expected, "{text} {which:?} seed {seed}");
            hits += expected.len();
        }
    }
    assert!(read > 300 && hits > 3000 && narrowed > 150, "{read} {hits} {narrowed}");
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_names_all_that_match() {
    for (options, seed) in both_ways() {
        compare(options, seed).await;
    }
}
