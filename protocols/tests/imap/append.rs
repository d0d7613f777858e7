use redoubt_protocols::imap::Config;

use crate::client::mail;
use crate::world::{Wishes, World};

#[tokio::test]
async fn a_message_is_appended_with_flags_and_date() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let message = mail(1);
    alice
        .send(format!(
            "a APPEND Drafts (\\Seen \\Draft todo) \"17-Jul-1996 02:44:25 -0700\" {{{}}}\r\n",
            message.len()
        ))
        .await;
    assert_eq!(alice.response().await, "+ OK\r\n");
    alice.send(format!("{message}\r\n")).await;
    let done = alice.until("a").await;
    assert!(done.starts_with("a OK [APPENDUID ") && done.contains(" 1] "), "{done}");
    let selected = alice.ok("SELECT Drafts").await;
    assert!(selected.contains("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft todo)\r\n"));
    alice
        .says(
            "FETCH 1 (FLAGS INTERNALDATE RFC822.SIZE)",
            &[&format!(
                "* 1 FETCH (FLAGS (\\Seen \\Draft \\Recent todo) \
                 INTERNALDATE \"17-Jul-1996 09:44:25 +0000\" RFC822.SIZE {})",
                message.len()
            )],
        )
        .await;
    world.stop().await;
}

#[tokio::test]
async fn several_messages_are_appended_together() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let (one, two) = (mail(1), mail(2));
    let done = alice
        .ok(&format!(
            "APPEND INBOX {{{}+}}\r\n{one} (\\Flagged) {{{}+}}\r\n{two}",
            one.len(),
            two.len()
        ))
        .await;
    assert!(done.contains("[APPENDUID ") && done.contains(" 1:2] "), "{done}");
    alice.ok("SELECT INBOX").await;
    let flags = alice.ok("FETCH 1:2 FLAGS").await;
    assert!(flags.contains("* 2 FETCH (FLAGS (\\Flagged \\Recent))"), "{flags}");
    world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_before_it_is_sent() {
    let config = Config { max_message: 1000, ..Config::default() };
    let world = World::with(Wishes { config, quota: Some(2000), ..Wishes::default() }).await;
    let mut alice = world.alice().await;
    alice.refused("APPEND nowhere {10}", "NO [TRYCREATE]").await;
    alice.refused("APPEND INBOX {1001}", "NO [TOOBIG]").await;
    alice.refused("APPEND INBOX {0}", "NO").await;
    // Without being asked for, the message comes all the same and is skipped.
    alice.refused("APPEND nowhere {4+}\r\na NO", "NO [TRYCREATE]").await;
    alice.refused(&format!("APPEND INBOX {{1001+}}\r\n{}", "x".repeat(1001)), "NO [TOOBIG]").await;
    for _ in 0..2 {
        alice.append("INBOX", &"y".repeat(900)).await;
    }
    alice.refused("APPEND INBOX {900}", "NO [OVERQUOTA]").await;
    alice.says("STATUS INBOX (MESSAGES)", &["* STATUS \"INBOX\" (MESSAGES 2)"]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_in_the_middle_leaves_nothing() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.send("a APPEND INBOX {1000+}\r\nonly the beginning").await;
    alice.shut_down().await;
    alice.rest().await;
    let mut alice = world.alice().await;
    alice.says("STATUS INBOX (MESSAGES)", &["* STATUS \"INBOX\" (MESSAGES 0)"]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_large_message_comes_and_goes_byte_for_byte() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let line = "A line of some length, to be repeated many times over and over again.\r\n";
    let message = format!("Subject: large\r\n\r\n{}", line.repeat(60_000));
    alice.append("INBOX", &message).await;
    alice.ok("SELECT INBOX").await;
    let back = alice.ok("FETCH 1 BODY.PEEK[]").await;
    let expected = format!("* 1 FETCH (BODY[] {{{}}}\r\n{message})\r\n", message.len());
    assert!(back.starts_with(&expected), "{} octets came back", back.len());
    let part = alice.ok("FETCH 1 BODY.PEEK[TEXT]<71.3000000>").await;
    let text = &message[message.find("A line").unwrap()..];
    assert!(part.contains(&text[71..3_000_071]));
    world.stop().await;
}
