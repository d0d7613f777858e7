use crate::world::World;

#[tokio::test]
async fn select_tells_what_a_client_needs() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.fill("INBOX", 3).await;
    let said = alice.ok("SELECT inbox").await;
    for line in [
        "* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)\r\n",
        "* OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] ",
        "* 3 EXISTS\r\n",
        "* 3 RECENT\r\n",
        "* OK [UNSEEN 1] ",
        "* OK [UIDVALIDITY ",
        "* OK [UIDNEXT 4] ",
        "* OK [HIGHESTMODSEQ ",
        "* OK [MAILBOXID (m",
        "OK [READ-WRITE] ",
    ] {
        assert!(said.contains(line), "{line} is not in {said}");
    }
    let said = alice.ok("EXAMINE INBOX").await;
    assert!(said.starts_with("* OK [CLOSED] "), "{said}");
    assert!(said.contains("* 0 RECENT") && said.contains("PERMANENTFLAGS ()"), "{said}");
    assert!(said.contains("OK [READ-ONLY] "), "{said}");
    alice.refused("SELECT nothing", "NO [NONEXISTENT]").await;
    alice.refused("CHECK", "BAD").await;
    world.stop().await;
}

#[tokio::test]
async fn recent_is_shown_to_one_session() {
    let world = World::new().await;
    let mut first = world.inbox(2).await;
    let mut second = world.alice().await;
    let said = second.ok("SELECT INBOX").await;
    assert!(said.contains("* 2 EXISTS") && said.contains("* 0 RECENT"), "{said}");
    second.append("INBOX", &crate::client::mail(3)).await;
    first.says("NOOP", &["* 3 EXISTS", "* 2 RECENT"]).await;
    second.says("FETCH 3 FLAGS", &["* 3 FETCH (FLAGS (\\Recent))"]).await;
    world.stop().await;
}
