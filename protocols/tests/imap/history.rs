//! Mailboxes as they were.

use redoubt_protocols::imap::Config;

use crate::world::{Wishes, World};

#[tokio::test]
async fn a_mailbox_of_then_resynchronises() {
    let world = World::new().await;
    let mut client = world.inbox(6).await;
    client.ok("ENABLE QRESYNC").await;
    let known = world.store.applied();
    client.ok("STORE 2 +FLAGS.SILENT (\\Flagged)").await;
    client.ok("STORE 3 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    let then = world.store.applied();
    client.ok("STORE 5 +FLAGS.SILENT (\\Deleted)").await;
    client.ok("EXPUNGE").await;
    client.append("INBOX", "Subject: later\r\n\r\nx\r\n").await;
    let status = client.ok("STATUS INBOX (UIDVALIDITY)").await;
    let validity = status.split("UIDVALIDITY ").nth(1).unwrap().split(')').next().unwrap();
    let select = format!("SELECT #history/@{then}/INBOX (QRESYNC ({validity} {known}))");
    let said = client.ok(&select).await;
    assert!(said.contains("* 5 EXISTS\r\n"), "{said}");
    assert!(said.contains("* VANISHED (EARLIER) 3\r\n"), "{said}");
    let fetches: Vec<&str> = said.lines().filter(|line| line.contains(" FETCH ")).collect();
    assert_eq!(fetches.len(), 1, "{said}");
    assert!(fetches[0].starts_with("* 2 FETCH (UID 2 FLAGS (\\Flagged) MODSEQ ("), "{said}");
    let said = client.ok(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {known} VANISHED)")).await;
    assert!(said.contains("* VANISHED (EARLIER) 3\r\n") && said.contains("UID 2 "), "{said}");
    assert_eq!(said.matches(" FETCH (").count(), 1, "{said}");
    world.stop().await;
}

#[tokio::test]
async fn where_it_is_switched_off_there_is_no_past() {
    let config = Config { history: false, ..Config::default() };
    let world = World::with(Wishes { config, ..Wishes::default() }).await;
    let mut client = world.inbox(1).await;
    let name = format!("#history/@{}/INBOX", world.store.applied());
    client.says(&format!("LIST \"\" {name}"), &[]).await;
    client.refused(&format!("STATUS {name} (MESSAGES)"), "NO [CANNOT]").await;
    client.refused(&format!("CREATE {name}/new"), "NO [CANNOT]").await;
    client.refused(&format!("SELECT {name}"), "NO [CANNOT]").await;
    client.refused("FETCH 1 UID", "BAD").await;
    client.ok("SELECT INBOX").await;
    world.stop().await;
}
