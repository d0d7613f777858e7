//! The log is followed: in batches, lazily, exactly once, and out of a bucket when it is large.

use std::time::Duration;

use redoubt_log::record::Actor;
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::MailboxRef;

use super::world::{World, mail, patient};
use crate::ask::{Ask, Field, Needle};
use crate::index::folder::Home;
use crate::index::{Discovery, Options, Scope};

fn subject(text: &str) -> Ask {
    Ask::Text { fields: vec![Field::Subject], needle: Needle::Casemapped(text.into()) }
}

fn word(text: &str) -> Ask {
    Ask::Text { fields: vec![Field::Subject, Field::Body], needle: Needle::Word(text.into()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_indexed_yet_is_the_tail() {
    let world = World::new().await;
    let index = world.open(patient());
    world.add_numbered(world.alice, 0..5).await;
    let found = world.ask(&index, world.alice, &subject("n3x"));
    assert_eq!((found.sure.len(), found.maybe.len(), found.tail.len()), (0, 0, 5));
    index.flush().unwrap();
    assert_eq!(world.exact(&index, world.alice, &subject("n3x")), 1);
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 5);
    assert_eq!(world.exact(&index, world.bob, &subject("umbe")), 0);
    let status = index.status();
    assert_eq!((status.emails, status.accounts_behind), (5, 0));
    assert_eq!(status.position, Some(world.store.applied()));
    index.close();
    // Nothing is indexed twice after a restart.
    let index = world.open(patient());
    world.add_numbered(world.alice, 5..8).await;
    index.flush().unwrap();
    assert_eq!(index.status().emails, 3);
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 8);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_terms_tell_needs_no_mail() {
    let world = World::new().await;
    let index = world.open(patient());
    let mails = [
        "From: <ann@b.example>\r\nSubject: [list] a.b\r\n\r\none two, three 日本 日 本\r\n",
        "From: ann <b@example>\r\nSubject: list\r\n\r\ntwo three,\r\none  two\r\n",
    ];
    world.add(world.alice, &mails).await;
    index.flush().unwrap();
    for (field, needle, told, sure) in [
        (Field::From, "ann@", true, 1),
        (Field::From, " <b@ex", true, 1),
        (Field::From, "n", true, 2),
        (Field::Subject, "[LIST] A.", true, 1),
        (Field::Subject, "]", true, 1),
        (Field::Body, "ne tw", true, 1),
        (Field::Body, "two three", true, 1),
        (Field::Body, "日本", true, 1),
        (Field::Body, "three one", true, 0),
        (Field::Body, "two, three", false, 0),
        (Field::Body, "one  two", false, 0),
    ] {
        let ask = Ask::Text { fields: vec![field], needle: Needle::Casemapped(needle.into()) };
        let found = world.ask(&index, world.alice, &ask);
        assert_eq!((found.maybe.is_empty(), found.sure.len()), (told, sure), "{needle} {found:?}");
    }
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_indexed_by_itself() {
    let world = World::new().await;
    let index = world.open(Options { wait: Duration::from_millis(1), ..Options::default() });
    world.add_numbered(world.alice, 0..5).await;
    let indexed = async {
        while index.status().emails < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), indexed).await.unwrap();
    index.flush().unwrap();
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 5);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_terms_are_made_behind_commits() {
    let world = World::new().await;
    let index = world.open(patient());
    let lists = || index.inner.shelf.folder(Home::shared(world.alice)).unwrap().flat_size();
    world.add_numbered(world.alice, 0..5).await;
    index.flush().unwrap();
    assert_eq!(lists(), 0, "nobody asked for a substring");
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 5);
    let before = lists();
    world.add_numbered(world.alice, 5..8).await;
    index.flush().unwrap();
    assert!(lists() > before && before > 0, "{before} {}", lists());
    assert_eq!(world.exact(&index, world.alice, &subject("umbe")), 8);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_account_gets_an_index_of_its_own() {
    let world = World::new().await;
    let index = world.open(Options { own: 20, ..patient() });
    world.add_numbered(world.alice, 0..15).await;
    world.add_numbered(world.bob, 0..3).await;
    index.flush().unwrap();
    let own = world.root().join(format!("a-{:x}", world.alice.0));
    assert!(!own.exists());
    world.add_numbered(world.alice, 15..30).await;
    index.flush().unwrap();
    assert!(own.exists());
    for (account, count) in [(world.alice, 30), (world.bob, 3)] {
        assert_eq!(world.exact(&index, account, &subject("umbe")), count);
    }
    // The bucket has nothing of alice any more, also after a restart.
    index.close();
    let index = world.open(Options { own: 20, ..patient() });
    index.flush().unwrap();
    assert_eq!(index.status().emails, 0);
    std::fs::remove_dir_all(&own).unwrap();
    index.close();
    let index = world.open(patient());
    assert_eq!(world.ask(&index, world.alice, &subject("umbe")).tail.len(), 30);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expunged_emails_stay_and_scopes_name_accounts() {
    let world = World::new().await;
    let index = world.open(patient());
    let mails = [mail("Résumé attached", "don't strasse"), mail("other", "straße")];
    let arrivals = world.add(world.alice, &mails).await;
    world.add(world.bob, &mails[..1]).await;
    index.flush().unwrap();
    let inbox = MailboxRef { account: world.alice, mailbox: INBOX };
    let actor = Actor::account(world.alice, None);
    world.store.expunge(&actor, inbox, vec![arrivals[0].uid], false).await.unwrap();
    let both = Scope::discovery(Discovery::across(vec![world.bob, world.alice, world.bob]));
    for (ask, alice, bob) in [
        (word("resume"), 1, 1),
        (word("résumé"), 1, 1),
        (word("strasse"), 2, 1),
        (word("don't"), 1, 1),
        (word("resum"), 0, 0),
        (subject("RÉSUMÉ"), 1, 1),
        (subject("resume"), 0, 0),
        (Ask::Not(Box::new(subject("other"))), 1, 1),
        (Ask::Received(0, i64::MAX), 2, 1),
        (Ask::Nothing, 0, 0),
        (Ask::All, 2, 1),
    ] {
        let answer = index.answer(&both, &ask).unwrap();
        let counts: Vec<usize> =
            answer.accounts.iter().map(|found| found.candidates().count()).collect();
        assert_eq!(counts, [alice, bob], "{ask:?}");
    }
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_history_lets_go_leaves_the_index() {
    let world = World::that_keeps(Some(Duration::from_millis(1))).await;
    let index = world.open(patient());
    let mails = [mail("number one", "x"), mail("number two", "x"), mail("number three", "x")];
    let arrivals = world.add(world.alice, &mails).await;
    index.flush().unwrap();
    let inbox = MailboxRef { account: world.alice, mailbox: INBOX };
    let actor = Actor::account(world.alice, None);
    world.store.expunge(&actor, inbox, vec![arrivals[1].uid], false).await.unwrap();
    let trimmed = async {
        let left = || world.store.local_view().unwrap().emails_ever(world.alice, None, 9).unwrap();
        while left().len() > 2 {
            // The clock of the log goes on with its records.
            world.add_numbered(world.bob, 0..1).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(50), trimmed).await.unwrap();
    let gone = arrivals[1].email;
    let collected = async {
        loop {
            index.collect().unwrap();
            let found = world.ask(&index, world.alice, &subject("number"));
            if found.candidates().all(|email| email != gone) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(50), collected).await.unwrap();
    assert_eq!(world.exact(&index, world.alice, &subject("number")), 2);
    index.close();
    world.store.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_are_found_however_they_are_written() {
    let world = World::new().await;
    let index = world.open(patient());
    let long = "x".repeat(100);
    let attached = format!(
        "From: \"Jo\\hn\" <j@example.net>\r\nSubject: one\r\n\
         Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\r\nJörg {long}\r\n--b\r\n\
         Content-Type: application/pdf; name=\"=?utf-8?q?M=C3=BCll?= report.pdf\"\r\n\r\nx\r\n--b--\r\n"
    );
    world.add(world.alice, &[attached, mail("two", "nothing")]).await;
    index.flush().unwrap();
    let ask = |field, needle| Ask::Text { fields: vec![field], needle };
    let word = |text: &str| Needle::Word(text.into());
    for (field, needle, expected) in [
        (Field::Body, word(&long), 1),
        (Field::Body, Needle::Prefix("xxx".into()), 1),
        (Field::Body, Needle::Substring("org".into()), 1),
        (Field::Body, Needle::Substring("ÖR".into()), 1),
        (Field::Body, Needle::Substring("urg".into()), 0),
        (Field::Body, Needle::Suffix("hing".into()), 1),
        (Field::Body, Needle::Phrase(vec!["jorg".into(), long.clone()]), 1),
        (Field::From, word("john"), 1),
        (Field::Attachment, word("mull"), 1),
        (Field::Attachment, word("pdf"), 1),
        (Field::Attachment, word("zip"), 0),
        // What is extracted is not in the index: only who has no attachment is out.
        (Field::Extracted, word("zip"), 1),
    ] {
        let ask = ask(field, needle);
        let found = world.ask(&index, world.alice, &ask);
        assert_eq!(found.candidates().count(), expected, "{ask:?}");
        assert!(found.tail.is_empty());
    }
    index.close();
    world.store.shutdown().await;
}
