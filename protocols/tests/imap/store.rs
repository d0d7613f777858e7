use crate::world::World;

#[tokio::test]
async fn flags_are_set_and_told() {
    let world = World::new().await;
    let mut alice = world.inbox(3).await;
    alice
        .says(
            "STORE 1 FLAGS (\\Seen \\Flagged)",
            &["* 1 FETCH (FLAGS (\\Flagged \\Seen \\Recent))"],
        )
        .await;
    alice
        .says(
            "UID STORE 1:2 +FLAGS \\Answered",
            &[
                "* 1 FETCH (UID 1 FLAGS (\\Answered \\Flagged \\Seen \\Recent))",
                "* 2 FETCH (UID 2 FLAGS (\\Answered \\Recent))",
            ],
        )
        .await;
    alice.says("STORE 1:3 -FLAGS.SILENT (\\Answered \\Seen)", &[]).await;
    alice.says("FETCH 1 FLAGS", &["* 1 FETCH (FLAGS (\\Flagged \\Recent))"]).await;
    let new = alice.ok("STORE 3 +FLAGS ($Forwarded)").await;
    assert!(
        new.starts_with("* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)\r\n")
    );
    assert!(new.contains("* 3 FETCH (FLAGS (\\Recent $Forwarded))"), "{new}");
    alice.refused("STORE 4 +FLAGS (\\Seen)", "BAD").await;
    alice.says("UID STORE 40 +FLAGS (\\Seen)", &[]).await;
    alice.ok("EXAMINE INBOX").await;
    alice.refused("STORE 1 +FLAGS (\\Seen)", "NO [READ-ONLY]").await;
    world.stop().await;
}

#[tokio::test]
async fn expunge_removes_what_is_deleted() {
    let world = World::new().await;
    let mut alice = world.inbox(5).await;
    alice.ok("STORE 1,3:5 +FLAGS.SILENT (\\Deleted)").await;
    alice.says("UID EXPUNGE 3", &["* 3 EXPUNGE"]).await;
    alice.says("EXPUNGE", &["* 4 EXPUNGE", "* 3 EXPUNGE", "* 1 EXPUNGE"]).await;
    alice.says("EXPUNGE", &[]).await;
    alice.says("FETCH 1:* UID", &["* 1 FETCH (UID 2)"]).await;
    alice.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    alice.says("CLOSE", &[]).await;
    alice.refused("CHECK", "BAD").await;
    alice.says("STATUS INBOX (MESSAGES)", &["* STATUS \"INBOX\" (MESSAGES 0)"]).await;
    world.stop().await;
}

#[tokio::test]
async fn unselect_keeps_what_is_deleted() {
    let world = World::new().await;
    let mut alice = world.inbox(1).await;
    alice.ok("STORE 1 +FLAGS.SILENT (\\Deleted)").await;
    alice.says("UNSELECT", &[]).await;
    alice.says("STATUS INBOX (MESSAGES)", &["* STATUS \"INBOX\" (MESSAGES 1)"]).await;
    alice.ok("EXAMINE INBOX").await;
    alice.refused("EXPUNGE", "NO [READ-ONLY]").await;
    alice.says("CLOSE", &[]).await;
    alice.says("STATUS INBOX (MESSAGES)", &["* STATUS \"INBOX\" (MESSAGES 1)"]).await;
    world.stop().await;
}

#[tokio::test]
async fn copies_and_moves_name_their_uids() {
    let world = World::new().await;
    let mut alice = world.inbox(4).await;
    let done = alice.ok("COPY 2:3 Archive").await;
    assert!(done.starts_with("OK [COPYUID ") && done.contains(" 2:3 1:2] "), "{done}");
    alice.refused("COPY 1 nowhere", "NO [TRYCREATE]").await;
    alice.refused("COPY 9 Archive", "BAD").await;
    alice.says("UID COPY 99 Archive", &[]).await;
    let moved = alice.ok("MOVE 1,4 Archive").await;
    let lines: Vec<&str> = moved.lines().collect();
    assert!(lines[0].starts_with("* OK [COPYUID ") && lines[0].contains(" 1,4 3:4] "), "{moved}");
    assert_eq!(lines[1..3], ["* 4 EXPUNGE", "* 1 EXPUNGE"]);
    alice.says("STATUS Archive (MESSAGES)", &["* STATUS \"Archive\" (MESSAGES 4)"]).await;
    let ids = alice.ok("FETCH 1 EMAILID").await;
    alice.ok("SELECT Archive").await;
    assert_eq!(alice.ok("FETCH 1 EMAILID").await, ids, "a copy is the same email");
    alice.ok("COPY 1 Archive").await;
    alice.says("FETCH * UID", &["* 5 FETCH (UID 5)"]).await;
    alice.ok("EXAMINE INBOX").await;
    alice.refused("MOVE 1 Archive", "NO [READ-ONLY]").await;
    world.stop().await;
}
