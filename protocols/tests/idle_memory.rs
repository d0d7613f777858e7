//! What a session costs while its client only listens. A process of its own, so that
//! nobody else's memory is measured.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]
// The helpers are shared with the larger suite; this one uses a few of them.
#![allow(dead_code)]

#[path = "imap/client.rs"]
mod client;
#[path = "imap/world.rs"]
mod world;

use redoubt_protocols::limits::Limits;
use redoubt_protocols::stream::Transport;

use crate::world::{Wishes, World};

const SESSIONS: u64 = 300;

async fn idle(world: &World) -> Box<dyn Transport> {
    let mut alice = world.alice().await;
    alice.ok("SELECT INBOX").await;
    alice.ok("FETCH 1:* (FLAGS BODY[])").await;
    alice.send("i IDLE\r\n").await;
    assert_eq!(alice.response().await, "+ idling\r\n");
    alice.into_stream()
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn an_idle_session_takes_less_than_40_kib() {
    let limits = Limits { connections_per_user: 1000, ..Limits::default() };
    let world = World::with(Wishes { limits, ..Wishes::default() }).await;
    world.inbox(20).await.ok("LOGOUT").await;
    let mut sessions = Vec::new();
    for _ in 0..50 {
        sessions.push(idle(&world).await);
    }
    let before = resident_kib();
    for _ in 0..SESSIONS {
        sessions.push(idle(&world).await);
    }
    let each = resident_kib().saturating_sub(before) / SESSIONS;
    assert!(each < 40, "{each} KiB a session");
    drop(sessions);
    world.stop().await;
}
