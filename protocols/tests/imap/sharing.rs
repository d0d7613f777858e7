//! Two sessions in one mailbox: what one does, the other is told, and when.

use crate::client::mail;
use crate::world::World;

#[tokio::test]
async fn changes_of_others_are_told_between_commands() {
    let (world, mut one, mut two) = World::with_two_sessions(3).await;
    two.ok("SELECT INBOX").await;
    one.ok("STORE 2 +FLAGS (\\Flagged)").await;
    two.says("NOOP", &["* 2 FETCH (UID 2 FLAGS (\\Flagged))"]).await;
    two.says("NOOP", &[]).await;
    one.append("INBOX", &mail(4)).await;
    two.says("CHECK", &["* 4 EXISTS", "* 0 RECENT"]).await;
    world.stop().await;
}

#[tokio::test]
async fn an_expunge_is_withheld_while_numbers_are_in_use() {
    let (world, mut one, mut two) = World::with_two_sessions(4).await;
    two.ok("SELECT INBOX").await;
    one.ok("STORE 2 +FLAGS.SILENT (\\Deleted)").await;
    one.ok("EXPUNGE").await;
    two.says("FETCH 3 UID", &["* 3 FETCH (UID 3)"]).await;
    let (said, tagged) = two.command("FETCH 1:4 UID").await;
    assert_eq!(said.matches("FETCH (UID").count(), 3, "{said}");
    assert!(tagged.starts_with("NO [EXPUNGEISSUED] "), "{tagged}");
    two.says("SEARCH ALL", &["* SEARCH 1 3 4"]).await;
    two.says("STORE 4 +FLAGS (\\Seen)", &["* 4 FETCH (FLAGS (\\Seen))"]).await;
    let (_, tagged) = two.command("STORE 2 +FLAGS (\\Seen)").await;
    assert!(tagged.starts_with("NO [EXPUNGEISSUED] "), "{tagged}");
    two.says("NOOP", &["* 2 EXPUNGE"]).await;
    two.says("FETCH 3 UID", &["* 3 FETCH (UID 4)"]).await;
    world.stop().await;
}

#[tokio::test]
async fn commands_by_uid_tell_expunges() {
    let (world, mut one, mut two) = World::with_two_sessions(3).await;
    two.ok("SELECT INBOX").await;
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    one.ok("EXPUNGE").await;
    two.says(
        "UID FETCH 1:* FLAGS",
        &["* 1 EXPUNGE", "* 1 FETCH (UID 2 FLAGS ())", "* 2 FETCH (UID 3 FLAGS ())"],
    )
    .await;
    world.stop().await;
}

#[tokio::test]
async fn idle_is_woken() {
    let (world, mut one, mut two) = World::with_two_sessions(2).await;
    two.ok("SELECT INBOX").await;
    two.send("i IDLE\r\n").await;
    assert_eq!(two.response().await, "+ idling\r\n");
    one.append("INBOX", &mail(3)).await;
    assert_eq!(two.response().await, "* 3 EXISTS\r\n");
    // Which of the two sessions it is recent in is left to chance.
    assert!(two.response().await.ends_with(" RECENT\r\n"));
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    assert_eq!(two.response().await, "* 1 FETCH (UID 1 FLAGS (\\Deleted))\r\n");
    one.ok("EXPUNGE").await;
    assert_eq!(two.response().await, "* 1 EXPUNGE\r\n");
    two.send("DONE\r\n").await;
    assert!(two.until("i").await.starts_with("i OK "));
    two.send("i IDLE\r\nDONE\r\n").await;
    assert_eq!(two.until("i").await, "+ idling\r\ni OK IDLE done\r\n");
    two.send("j IDLE\r\nNOOP\r\n").await;
    assert!(two.until("j").await.contains("j BAD "));
    world.stop().await;
}
