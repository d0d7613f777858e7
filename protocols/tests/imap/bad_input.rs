//! Clients that do not keep to the protocol.

use std::time::Duration;

use redoubt_protocols::limits::Limits;

use crate::world::{PASSWORD, Wishes, World};

#[tokio::test]
async fn unreadable_commands_are_answered_and_counted() {
    let limits = Limits { bad_commands: 4, ..Limits::default() };
    let world = World::with(Wishes { limits, ..Wishes::default() }).await;
    let mut client = world.stranger().await;
    client.refused("NONSENSE", "BAD").await;
    client.refused("LOGIN alice", "BAD").await;
    client.ok("NOOP").await;
    client.send("\r\n\u{0}\u{ff}\r\na\r\nb NONSENSE\r\n").await;
    let all = client.rest().await;
    assert!(all.contains("b BAD ") && all.contains("* BYE "), "{all}");
    world.stop().await;
}

#[tokio::test]
async fn long_lines_and_literals_are_refused() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client.refused(&format!("LOGIN alice {}", "x".repeat(20_000)), "BAD").await;
    client.refused("LOGIN {100000}", "BAD").await;
    client.refused(&format!("LOGIN {{8000+}}\r\n{} y", "x".repeat(8000)), "BAD").await;
    client.ok(&format!("LOGIN {{5+}}\r\nalice {{{}}}\r\n{PASSWORD}", PASSWORD.len())).await;
    client.ok("SELECT INBOX").await;
    let deep = format!("SEARCH {}ALL{}", "(".repeat(500), ")".repeat(500));
    client.refused(&deep, "BAD").await;
    client.refused(&format!("FETCH {}1 UID", "1,".repeat(40_000)), "BAD").await;
    client.ok("NOOP").await;
    world.stop().await;
}

#[tokio::test]
async fn a_stranger_cannot_make_the_server_hold_much() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    // A line without end: refused, skipped, and in the end closed; never kept.
    let piece = "x".repeat(64 * 1024);
    client.send("a LOGIN ").await;
    for _ in 0..4 {
        client.send(&piece).await;
    }
    client.send("\r\n").await;
    let all = client.rest_or(|all| all.contains(" BAD ")).await;
    assert!(all.contains("BAD ") || all.contains("* BYE"), "{all}");
    world.stop().await;
}

#[tokio::test]
async fn a_client_that_stops_in_a_command_is_closed() {
    let limits = Limits { receive_timeout: Duration::from_millis(150), ..Limits::default() };
    let world = World::with(Wishes { limits, ..Wishes::default() }).await;
    let mut alice = world.alice().await;
    alice.send("a SELECT IN").await;
    assert!(alice.rest().await.starts_with("* BYE "));
    let mut alice = world.alice().await;
    alice.send("a APPEND INBOX {100}\r\n").await;
    alice.response().await;
    alice.send("half").await;
    assert!(alice.rest().await.starts_with("* BYE "));
    world.stop().await;
}

#[tokio::test]
async fn pipelined_commands_are_answered_in_order() {
    let world = World::new().await;
    let mut alice = world.inbox(2).await;
    alice
        .send("a NOOP\r\nb FETCH 1 UID\r\nc UID STORE 2 FLAGS.SILENT (\\Seen)\r\nd CHECK\r\ne FETCH 2 FLAGS\r\nf LOGOUT\r\n")
        .await;
    let all = alice.rest().await;
    let order: Vec<char> = all
        .lines()
        .filter(|line| !line.starts_with('*'))
        .filter_map(|line| line.chars().next())
        .collect();
    assert_eq!(order, ['a', 'b', 'c', 'd', 'e', 'f'], "{all}");
    assert!(all.contains("* 2 FETCH (FLAGS (\\Seen \\Recent))"), "{all}");
    world.stop().await;
}

#[tokio::test]
async fn a_half_closed_client_gets_its_answers() {
    let world = World::new().await;
    let mut alice = world.alice().await;
    alice.send("a SELECT INBOX\r\nb STATUS INBOX (MESSAGES)\r\n").await;
    alice.shut_down().await;
    let all = alice.rest().await;
    assert!(all.contains("\r\na OK ") && all.contains("\r\nb OK "), "{all}");
    world.stop().await;
}

#[tokio::test]
async fn thousands_of_strangers_come_and_go() {
    let world = World::new().await;
    for _ in 0..10 {
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(world.stranger().await);
        }
        for client in &mut clients {
            client.send("a LOGIN alice {100000").await;
        }
    }
    let ended = async {
        while world.server.stats().sessions_now() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap();
    world.stop().await;
}
