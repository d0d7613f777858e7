use crate::world::World;

#[tokio::test]
async fn a_new_account_has_its_mailboxes_with_their_uses() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice
        .says(
            "LIST \"\" *",
            &[
                "* LIST (\\HasNoChildren \\Archive) \"/\" \"Archive\"",
                "* LIST (\\HasNoChildren \\Drafts) \"/\" \"Drafts\"",
                "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
                "* LIST (\\HasNoChildren \\Junk) \"/\" \"Junk\"",
                "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"",
                "* LIST (\\HasNoChildren \\Trash) \"/\" \"Trash\"",
            ],
        )
        .await;
    alice.says("LIST \"\" \"\"", &["* LIST (\\Noselect) \"/\" \"\""]).await;
    alice.says("LIST \"\" inbox", &["* LIST (\\HasNoChildren) \"/\" \"INBOX\""]).await;
    let special = alice.ok("LIST (SPECIAL-USE) \"\" *").await;
    assert!(special.contains("Sent") && !special.contains("INBOX"));
    world.stop().await;
}

#[tokio::test]
async fn mailboxes_are_made_renamed_and_deleted() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    let made = alice.ok("CREATE work/2024/&ZeVnLIqe-").await;
    assert!(made.starts_with("OK [MAILBOXID (m"), "{made}");
    alice.refused("CREATE work", "NO [ALREADYEXISTS]").await;
    alice.refused("CREATE INBOX", "NO").await;
    alice.refused("CREATE a//b", "NO [CANNOT]").await;
    alice
        .says(
            "LIST \"\" (work work/%)",
            &[
                "* LIST (\\HasChildren) \"/\" \"work\"",
                "* LIST (\\HasChildren) \"/\" \"work/2024\"",
            ],
        )
        .await;
    alice.ok("RENAME work/2024 past/2024").await;
    let all = alice.ok("LIST work *").await;
    assert!(!all.contains("2024"), "{all}");
    let all = alice.ok("LIST \"past/\" *").await;
    assert!(all.contains("\"past/2024/&ZeVnLIqe-\""), "{all}");
    alice.refused("RENAME nothing else", "NO [NONEXISTENT]").await;
    alice.refused("RENAME past/2024 Sent", "NO [ALREADYEXISTS]").await;
    alice.refused("RENAME past past/2024/below", "NO [CANNOT]").await;
    alice.ok("DELETE past/2024").await;
    let left = alice.ok("LIST \"\" past/*").await;
    assert!(left.contains("(\\Noselect \\HasChildren) \"/\" \"past/2024\""), "{left}");
    alice.refused("SELECT past/2024", "NO [NONEXISTENT]").await;
    alice.refused("DELETE past/2024", "NO").await;
    alice.ok("DELETE past/2024/&ZeVnLIqe-").await;
    alice.refused("DELETE INBOX", "NO [CANNOT]").await;
    alice.refused("DELETE nothing", "NO [NONEXISTENT]").await;
    alice.refused("CREATE todo (USE (\\Archive))", "NO [USEATTR]").await;
    alice.ok("DELETE Archive").await;
    alice.ok("CREATE todo (USE (\\Archive))").await;
    alice.says("LIST \"\" todo", &["* LIST (\\HasNoChildren \\Archive) \"/\" \"todo\""]).await;
    alice.refused("CREATE all (USE (\\All))", "NO [USEATTR]").await;
    world.stop().await;
}

#[tokio::test]
async fn deleting_the_selected_mailbox_ends_what_was_selected() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.ok("CREATE here").await;
    alice.ok("SELECT here").await;
    let mut other = world.alice().await;
    other.ok("SELECT here").await;
    alice.ok("DELETE here").await;
    alice.refused("CHECK", "BAD").await;
    other.send("a NOOP\r\n").await;
    assert_eq!(other.rest().await, "* BYE The selected mailbox was deleted\r\n");
    world.stop().await;
}

#[tokio::test]
async fn renaming_inbox_moves_its_mail() {
    let world = World::new().await;
    let mut alice = world.inbox(3).await;
    alice.says("RENAME INBOX old-mail", &["* 3 EXPUNGE", "* 2 EXPUNGE", "* 1 EXPUNGE"]).await;
    alice.says("STATUS old-mail (MESSAGES)", &["* STATUS \"old-mail\" (MESSAGES 3)"]).await;
    alice.says("STATUS INBOX (MESSAGES)", &["* STATUS \"INBOX\" (MESSAGES 0)"]).await;
    world.stop().await;
}

#[tokio::test]
async fn subscriptions_may_outlive_their_mailbox() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.ok("CREATE a/b/c").await;
    for name in ["Archive", "Drafts", "Junk", "Sent", "Trash"] {
        alice.ok(&format!("UNSUBSCRIBE {name}")).await;
    }
    for name in ["INBOX", "a/b/c", "gone/x"] {
        alice.ok(&format!("SUBSCRIBE {name}")).await;
    }
    alice
        .says(
            "LSUB \"\" *",
            &[
                "* LSUB () \"/\" \"INBOX\"",
                "* LSUB () \"/\" \"a/b/c\"",
                "* LSUB (\\Noselect) \"/\" \"gone/x\"",
            ],
        )
        .await;
    alice.says("LSUB \"\" a/%", &["* LSUB (\\Noselect) \"/\" \"a/b\""]).await;
    alice
        .says(
            "LIST (SUBSCRIBED) \"\" *",
            &[
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"INBOX\"",
                "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"a/b/c\"",
                "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"gone/x\"",
            ],
        )
        .await;
    alice
        .says(
            "LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a gone)",
            &[
                "* LIST (\\HasChildren) \"/\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
                "* LIST (\\NonExistent \\HasNoChildren) \"/\" \"gone\" (\"CHILDINFO\" (\"SUBSCRIBED\"))",
            ],
        )
        .await;
    alice.ok("UNSUBSCRIBE gone/x").await;
    alice.ok("UNSUBSCRIBE gone/x").await;
    let returned = alice.ok("LIST \"\" (INBOX Sent) RETURN (SUBSCRIBED CHILDREN)").await;
    assert!(returned.contains("(\\HasNoChildren \\Subscribed) \"/\" \"INBOX\""), "{returned}");
    world.stop().await;
}

#[tokio::test]
async fn status_tells_all_items_and_list_can() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.fill("INBOX", 2).await;
    alice.ok("SELECT INBOX").await;
    alice.ok("STORE 1 FLAGS (\\Seen \\Deleted)").await;
    alice.ok("UNSELECT").await;
    let status = alice
        .ok("STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN SIZE HIGHESTMODSEQ MAILBOXID)")
        .await;
    let size = 2 * crate::client::mail(1).len();
    assert!(status.starts_with("* STATUS \"INBOX\" (MESSAGES 2 RECENT 0 UIDNEXT 3 UIDVALIDITY "));
    assert!(status.contains(&format!(" UNSEEN 1 SIZE {size} HIGHESTMODSEQ ")), "{status}");
    assert!(status.contains(" MAILBOXID (m"), "{status}");
    alice
        .says(
            "LIST \"\" (INBOX Sent) RETURN (STATUS (MESSAGES UNSEEN))",
            &[
                "* LIST (\\HasNoChildren) \"/\" \"INBOX\"",
                "* STATUS \"INBOX\" (MESSAGES 2 UNSEEN 1)",
                "* LIST (\\HasNoChildren \\Sent) \"/\" \"Sent\"",
                "* STATUS \"Sent\" (MESSAGES 0 UNSEEN 0)",
            ],
        )
        .await;
    alice.refused("STATUS nothing (MESSAGES)", "NO [NONEXISTENT]").await;
    world.stop().await;
}
