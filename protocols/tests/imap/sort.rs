//! SORT and THREAD of mailboxes that change between them, by several sessions, now and then; and
//! searches of large mailboxes, which bitmaps answer.

use crate::client::Client;
use crate::world::World;

fn mail(subject: &str, id: &str, answers: &str) -> String {
    let references = match answers {
        "" => String::new(),
        answers => format!("References: <{answers}@x>\r\n"),
    };
    format!(
        "Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nSubject: {subject}\r\nMessage-Id: <{id}@x>\r\n\
         {references}\r\nx\r\n"
    )
}

async fn sorts(client: &mut Client, by_subject: &str) {
    let asked = "UID SORT (SUBJECT) UTF-8 ALL";
    client.says(asked, &[format!("* SORT{by_subject}").as_str()]).await;
}

async fn threads(client: &mut Client, expected: &str) {
    let asked = "UID THREAD REFERENCES UTF-8 ALL";
    client.says(asked, &[format!("* THREAD {expected}").as_str()]).await;
}

#[tokio::test]
async fn what_is_sorted_follows_the_mailbox_and_the_session() {
    let (world, mut one, mut two) = World::with_two_sessions(0).await;
    for (subject, id, answers) in [("milk", "a", ""), ("tea", "b", "a"), ("ale", "c", "")] {
        one.append("INBOX", &mail(subject, id, answers)).await;
    }
    one.ok("NOOP").await;
    two.ok("SELECT INBOX").await;
    sorts(&mut two, " 3 1 2").await;
    threads(&mut two, "(1 2)(3)").await;
    // Between two that are known, and below one of them.
    one.append("INBOX", &mail("Re: beer", "d", "c")).await;
    one.ok("STORE 1 +FLAGS (\\Deleted \\Seen)").await;
    sorts(&mut one, " 3 4 1 2").await;
    one.says("UID SORT (SUBJECT) UTF-8 UNSEEN", &["* SORT 3 4 2"]).await;
    let then = world.store.applied();
    one.ok("CREATE Other").await;
    one.ok("UID COPY 2:4 Other").await;
    one.ok("EXPUNGE").await;
    sorts(&mut one, " 3 4 2").await;
    one.says("SORT (REVERSE SUBJECT) UTF-8 ALL", &["* SORT 1 3 2"]).await;
    threads(&mut one, "(2)(3 4)").await;
    // Another mailbox has UIDs of its own.
    two.ok("NOOP").await;
    sorts(&mut two, " 3 4 2").await;
    two.ok("SELECT Other").await;
    sorts(&mut two, " 2 3 1").await;
    threads(&mut two, "(1)(2 3)").await;
    two.ok("UID MOVE 2 INBOX").await;
    sorts(&mut two, " 3 1").await;
    one.ok("NOOP").await;
    sorts(&mut one, " 3 5 4 2").await;
    // As it was: one that is gone since, and none that came.
    two.ok(&format!("SELECT #history/@{then}/INBOX")).await;
    sorts(&mut two, " 3 4 1 2").await;
    threads(&mut two, "(1 2)(3 4)").await;
    sorts(&mut one, " 3 5 4 2").await;
    world.stop().await;
}

#[tokio::test]
async fn bitmaps_answer_as_rows_do() {
    let world = World::new().await;
    let mut alice = world.inbox(9).await;
    alice.ok("UID EXPUNGE 1").await;
    for _ in 0..6 {
        alice.ok("UID COPY 1:* INBOX").await;
    }
    alice.ok("NOOP").await;
    for (step, flag) in [(3, "\\Seen"), (5, "\\Deleted"), (7, "\\Flagged")] {
        let set: Vec<String> = (1..=570).step_by(step).map(|n| n.to_string()).collect();
        alice.ok(&format!("UID STORE {} +FLAGS.SILENT ({flag})", set.join(","))).await;
    }
    alice.ok("UID EXPUNGE 20:60").await;
    alice.ok("UID SEARCH RETURN (SAVE) UID 100:200").await;
    for keys in [
        "ALL",
        "SEEN",
        "UNDELETED UNSEEN",
        "NOT (SEEN DELETED)",
        "OR SEEN DELETED UID 1:400",
        "NOT 5:300",
        "$ UNSEEN",
        "NOT $",
        "RECENT",
    ] {
        for kind in ["SEARCH", "UID SEARCH", "SORT (SIZE) UTF-8", "UID SORT (ARRIVAL SIZE) UTF-8"] {
            let by_bitmaps = found(&alice.ok(&format!("{kind} {keys}")).await);
            // A date is no bitmap's: each row is looked at.
            let by_rows = found(&alice.ok(&format!("{kind} {keys} SINCE 1-Jan-1980")).await);
            assert_eq!(by_bitmaps, by_rows, "{kind} {keys}");
            assert!(!by_rows.is_empty(), "{kind} {keys}");
        }
    }
    world.stop().await;
}

fn found(said: &str) -> Vec<u32> {
    let line = said.lines().find(|line| line.starts_with("* S")).unwrap();
    line.split(' ').skip(2).map(|number| number.parse().unwrap()).collect()
}
