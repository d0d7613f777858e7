//! CONDSTORE and QRESYNC (RFC 7162).

use crate::client::{Client, mail};
use crate::world::World;

async fn number(client: &mut Client, item: &str) -> u64 {
    let said = client.ok(&format!("STATUS INBOX ({item})")).await;
    let at = said.find(&format!("({item} ")).unwrap() + item.len() + 2;
    said[at..].split(')').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_store_that_came_too_late_changes_nothing() {
    let world = World::new().await;
    let mut one = world.inbox(3).await;
    let before = number(&mut one, "HIGHESTMODSEQ").await;
    let mut two = world.alice().await;
    two.ok("SELECT INBOX (CONDSTORE)").await;
    one.ok("STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    let said = two.ok(&format!("STORE 1:3 (UNCHANGEDSINCE {before}) +FLAGS (\\Seen)")).await;
    assert!(said.contains("OK [MODIFIED 2] "), "{said}");
    assert!(said.contains("* 1 FETCH (UID 1 FLAGS (\\Seen) MODSEQ ("), "{said}");
    assert!(said.contains("* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ ("), "{said}");
    let said = two.ok(&format!("UID STORE 1 (UNCHANGEDSINCE {before}) FLAGS ()")).await;
    assert!(said.contains("OK [MODIFIED 1] "), "{said}");
    let silent = two.ok("STORE 3 +FLAGS.SILENT (\\Draft)").await;
    assert!(silent.starts_with("* 3 FETCH (UID 3 MODSEQ ("), "{silent}");
    let changed = two.ok(&format!("FETCH 1:3 FLAGS (CHANGEDSINCE {before})")).await;
    assert_eq!(changed.matches("MODSEQ (").count(), 3, "{changed}");
    let now = number(&mut two, "HIGHESTMODSEQ").await;
    two.says(&format!("FETCH 1:3 FLAGS (CHANGEDSINCE {now})"), &[]).await;
    world.stop().await;
}

#[tokio::test]
async fn highestmodseq_never_passes_a_withheld_expunge() {
    let (world, mut one, mut two) = World::with_two_sessions(3).await;
    two.ok("ENABLE CONDSTORE").await;
    two.ok("SELECT INBOX").await;
    let before = number(&mut two, "HIGHESTMODSEQ").await;
    one.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    one.ok("EXPUNGE").await;
    one.ok("STORE 1 +FLAGS.SILENT (\\Seen)").await;
    two.ok("FETCH 3 UID").await;
    // STATUS may tell the expunge, and does so before it tells the number.
    let said = two.ok("STATUS INBOX (HIGHESTMODSEQ)").await;
    let told = said.find("* 1 EXPUNGE").unwrap();
    assert!(told < said.find("* STATUS").unwrap(), "{said}");
    assert!(number(&mut two, "HIGHESTMODSEQ").await > before);
    world.stop().await;
}

#[tokio::test]
async fn qresync_tells_what_was_missed() {
    let world = World::new().await;
    let mut one = world.inbox(5).await;
    one.ok("ENABLE QRESYNC").await;
    let (validity, modseq) =
        (number(&mut one, "UIDVALIDITY").await, number(&mut one, "HIGHESTMODSEQ").await);
    let mut two = world.alice().await;
    two.refused(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}))"), "BAD").await;
    two.ok("ENABLE QRESYNC").await;

    one.ok("STORE 2,4 +FLAGS.SILENT (\\Deleted)").await;
    let said = one.ok("EXPUNGE").await;
    assert!(said.starts_with("* VANISHED 2,4\r\nOK [HIGHESTMODSEQ "), "{said}");
    one.ok("UID STORE 5 +FLAGS.SILENT (\\Flagged)").await;
    one.append("INBOX", &mail(6)).await;

    let said = two.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq}))")).await;
    assert!(said.contains("* VANISHED (EARLIER) 2,4\r\n"), "{said}");
    assert!(said.contains("* 3 FETCH (UID 5 FLAGS (\\Flagged) MODSEQ ("), "{said}");
    assert!(said.contains("* 4 FETCH (UID 6 FLAGS ("), "{said}");
    assert!(!said.contains("UID 1 "), "{said}");
    let said = two.ok(&format!("SELECT INBOX (QRESYNC ({validity} {modseq} 1:3))")).await;
    assert!(said.contains("* VANISHED (EARLIER) 2\r\n") && !said.contains("UID 5"), "{said}");
    let said = two.ok(&format!("SELECT INBOX (QRESYNC ({} {modseq}))", validity + 1)).await;
    assert!(!said.contains("VANISHED") && !said.contains("FETCH"), "{said}");

    let said = two.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {modseq} VANISHED)")).await;
    assert!(said.starts_with("* VANISHED (EARLIER) 2,4\r\n"), "{said}");
    assert!(said.contains("UID 5 FLAGS (\\Flagged) MODSEQ (") && !said.contains("UID 3"));
    one.ok("UID STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    one.ok("UID EXPUNGE 1").await;
    two.says("NOOP", &["* VANISHED 1"]).await;
    world.stop().await;
}

#[tokio::test]
async fn a_silent_store_hides_no_change_of_another_session() {
    let (world, mut one, mut two) = World::with_two_sessions(3).await;
    two.ok("SELECT INBOX (CONDSTORE)").await;
    one.ok("STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    let said = two.ok("STORE 1:2 +FLAGS.SILENT (\\Seen)").await;
    assert!(said.contains("* 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen) MODSEQ ("), "{said}");
    assert!(said.contains("* 2 FETCH (UID 2 MODSEQ (") && !said.contains("UID 2 FLAGS"), "{said}");
    // Nothing is left to be changed, but the client does not know why.
    one.ok("STORE 3 FLAGS.SILENT (\\Draft \\Seen)").await;
    let said = two.ok("STORE 3 +FLAGS.SILENT (\\Seen)").await;
    assert!(said.contains("* 3 FETCH (UID 3 FLAGS (\\Seen \\Draft) MODSEQ ("), "{said}");
    let mut plain = world.alice().await;
    plain.ok("SELECT INBOX").await;
    one.ok("STORE 1 -FLAGS.SILENT (\\Flagged)").await;
    plain
        .says(
            "STORE 1 +FLAGS.SILENT (\\Answered)",
            &["* 1 FETCH (UID 1 FLAGS (\\Answered \\Seen))"],
        )
        .await;
    plain.says("STORE 1 -FLAGS.SILENT (\\Answered)", &[]).await;
    plain.says("STORE 1 +FLAGS.SILENT (\\Answered)", &[]).await;
    world.stop().await;
}

#[tokio::test]
async fn what_reading_marks_is_told_with_what_others_changed() {
    let (world, mut one, mut two) = World::with_two_sessions(1).await;
    two.ok("SELECT INBOX (CONDSTORE)").await;
    one.ok("STORE 1 +FLAGS.SILENT (\\Flagged)").await;
    let said = two.ok("FETCH 1 BODY[TEXT]").await;
    assert!(said.contains(" FLAGS (\\Flagged \\Seen) MODSEQ ("), "{said}");
    assert_eq!(said.matches("FLAGS").count(), 1, "{said}");
    world.stop().await;
}

fn told_highest(said: &str) -> Vec<u64> {
    let parts = said.split("HIGHESTMODSEQ ").skip(1);
    parts.map(|part| part.split(']').next().unwrap().parse().unwrap()).collect()
}

#[tokio::test]
async fn highestmodseq_never_goes_back_beside_deliveries() {
    let world = World::new().await;
    let mut two = world.inbox(40).await;
    two.ok("ENABLE QRESYNC").await;
    let (mut others, stop) = (Vec::new(), tokio_util::sync::CancellationToken::new());
    for _ in 0..4 {
        let (mut other, stop) = (world.alice().await, stop.clone());
        others.push(tokio::spawn(async move {
            while !stop.is_cancelled() {
                other.append("INBOX", &mail(1)).await;
            }
        }));
    }
    let mut highest = Vec::new();
    for uid in 1..=40 {
        two.ok(&format!("UID STORE {uid} +FLAGS.SILENT (\\Deleted)")).await;
        let gone = match uid % 2 {
            0 => two.ok(&format!("UID EXPUNGE {uid}")).await,
            _ => two.ok(&format!("UID MOVE {uid} Archive")).await,
        };
        highest.extend(told_highest(&gone));
    }
    stop.cancel();
    for other in others {
        other.await.unwrap();
    }
    assert!(highest.is_sorted() && highest.len() >= 40, "{highest:?}");
    world.stop().await;
}
