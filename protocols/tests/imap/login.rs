use std::time::Duration;

use redoubt_log::id::LogIndex;
use redoubt_log::raft::record_of;
use rustls::pki_types::ServerName;

use redoubt_protocols::imap::Config;
use redoubt_protocols::limits::Limits;

use crate::client::Client;
use crate::world::{PASSWORD, Wishes, World};

#[tokio::test]
async fn login_and_authenticate_open_the_session() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    let capability = client.ok("CAPABILITY").await;
    assert!(capability.contains(" AUTH=PLAIN") && capability.contains(" STARTTLS"));
    client.refused("SELECT INBOX", "BAD").await;
    client.refused("LOGIN alice wrong", "NO [AUTHENTICATIONFAILED]").await;
    client.refused("LOGIN nobody wrong", "NO [AUTHENTICATIONFAILED]").await;
    let done = client.ok(&format!("LOGIN Alice@Example.ORG \"{PASSWORD}\"")).await;
    assert!(done.contains("[CAPABILITY IMAP4rev1 ") && !done.contains("STARTTLS"));
    client.refused("LOGIN alice x", "BAD").await;
    client.ok("NAMESPACE").await;

    let mut plain = world.stranger().await;
    // NUL alice NUL correct horse
    plain.ok("AUTHENTICATE PLAIN AGFsaWNlAGNvcnJlY3QgaG9yc2U=").await;
    let mut plain = world.stranger().await;
    plain.send("a AUTHENTICATE PLAIN\r\n").await;
    assert_eq!(plain.response().await, "+ \r\n");
    plain.send("AGFsaWNlAGNvcnJlY3QgaG9yc2U=\r\n").await;
    assert!(plain.until("a").await.starts_with("a OK "));
    let mut plain = world.stranger().await;
    plain.send("a AUTHENTICATE PLAIN\r\n").await;
    plain.response().await;
    plain.send("*\r\n").await;
    assert!(plain.until("a").await.starts_with("a BAD "));
    plain.refused("AUTHENTICATE PLAIN !!", "BAD").await;
    plain.refused("AUTHENTICATE GSSAPI", "NO").await;
    assert_eq!(world.server.stats().logins.get(), 3);
    world.stop().await;
}

#[tokio::test]
async fn no_password_crosses_in_the_clear_unless_it_may() {
    let world = World::without_plaintext().await;
    let mut client = world.stranger().await;
    let capability = client.ok("CAPABILITY").await;
    assert!(capability.contains(" LOGINDISABLED") && !capability.contains("AUTH=PLAIN"));
    client.refused(&format!("LOGIN alice \"{PASSWORD}\""), "NO [PRIVACYREQUIRED]").await;
    client.refused("AUTHENTICATE PLAIN AGEAYg==", "NO [PRIVACYREQUIRED]").await;

    client.ok("STARTTLS").await;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = world.connector.connect(name, client.into_stream()).await.unwrap();
    let mut client = Client::over(Box::new(stream));
    let capability = client.ok("CAPABILITY").await;
    assert!(capability.contains(" AUTH=PLAIN") && !capability.contains("STARTTLS"));
    client.refused("STARTTLS", "BAD").await;
    client.ok(&format!("LOGIN alice \"{PASSWORD}\"")).await;
    client.ok("SELECT INBOX").await;
    world.stop().await;
}

#[tokio::test]
async fn commands_behind_starttls_are_not_taken() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    client.send(format!("a STARTTLS\r\nb LOGIN alice \"{PASSWORD}\"\r\n")).await;
    assert!(client.response().await.starts_with("a OK "));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = world.connector.connect(name, client.into_stream()).await.unwrap();
    let mut client = Client::over(Box::new(stream));
    client.refused("SELECT INBOX", "BAD").await;
    assert_eq!(world.server.stats().logins.get(), 0);
    world.stop().await;
}

#[tokio::test]
async fn failures_and_sessions_are_limited() {
    let limits = Limits { connections_per_user: 2, auth_failures: 2, ..Limits::default() };
    let world = World::with(Wishes { limits, ..Wishes::default() }).await;
    let mut client = world.stranger().await;
    client.refused("LOGIN alice wrong", "NO").await;
    client.send("x LOGIN alice wrong\r\n").await;
    assert!(client.rest().await.starts_with("* BYE "));

    let _one = world.alice().await;
    let two = world.alice().await;
    let mut three = world.stranger().await;
    three.refused(&format!("LOGIN alice \"{PASSWORD}\""), "NO [LIMIT]").await;
    three.ok(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    drop(two);
    let mut again = world.stranger().await;
    let mut tries = 0;
    while !again.command(&format!("LOGIN alice \"{PASSWORD}\"")).await.1.starts_with("OK") {
        tries += 1;
        assert!(tries < 1000, "a session that ended still counts");
    }
    world.stop().await;
}

#[tokio::test]
async fn the_silent_are_logged_out() {
    let limits = Limits {
        login_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(300),
        ..Limits::default()
    };
    let world = World::with(Wishes { limits, ..Wishes::default() }).await;
    let mut stranger = world.stranger().await;
    assert!(stranger.rest().await.starts_with("* BYE "));
    let mut alice = world.alice().await;
    assert!(alice.rest().await.starts_with("* BYE "));
    let mut idle = world.alice().await;
    idle.send("a IDLE\r\n").await;
    let all = idle.rest().await;
    assert!(all.starts_with("+ idling\r\n* BYE "), "{all}");
    world.stop().await;
}

#[tokio::test]
async fn id_enable_noop_and_logout() {
    let world = World::new().await;
    let mut client = world.stranger().await;
    let id = client.ok("ID (\"name\" \"test\" \"version\" NIL)").await;
    assert!(id.starts_with("* ID (\"name\" \"Redoubt\" "));
    client.ok("ID NIL").await;
    client.says("NOOP", &[]).await;
    client.refused("ENABLE CONDSTORE", "BAD").await;
    client.ok(&format!("LOGIN alice \"{PASSWORD}\"")).await;
    client.says("ENABLE X-UNKNOWN", &["* ENABLED"]).await;
    client.says("ENABLE CONDSTORE", &["* ENABLED CONDSTORE"]).await;
    client.says("ENABLE CONDSTORE QRESYNC", &["* ENABLED QRESYNC"]).await;
    client.says("NAMESPACE", &["* NAMESPACE ((\"\" \"/\")) NIL NIL"]).await;
    client.refused("CHECK", "BAD").await;
    client.send("z LOGOUT\r\n").await;
    let end = client.rest().await;
    assert!(end.starts_with("* BYE ") && end.contains("\r\nz OK "), "{end}");
    world.stop().await;
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client_by_id() {
    let limits = Limits { connections_per_address: 1, ..Limits::default() };
    let world = World::with(Wishes { limits, ..Wishes::default() }).await;
    let mut client = world.stranger().await;
    client.ok("ID (\"x-originating-ip\" \"nonsense\")").await;
    client.ok("ID (\"x-originating-ip\" \"192.0.2.4\")").await;
    // From now on it is that client who speaks, and nobody believes what it says of others.
    client.ok("ID (\"x-originating-ip\" \"127.0.0.1\")").await;
    let login = format!("LOGIN alice \"{PASSWORD}\"");
    client.refused(&login, "NO [PRIVACYREQUIRED]").await;
    assert!(client.ok("CAPABILITY").await.contains("LOGINDISABLED"));
    let mut second = world.stranger().await;
    second.send("a ID (\"x-originating-ip\" \"192.0.2.4\")\r\n").await;
    assert!(second.rest().await.starts_with("* BYE too many connections from your address"));

    let mut named = world.stranger().await;
    named.ok("ID (\"X-ORIGINATING-IP\" \"127.0.0.9\" \"name\" \"proxy\")").await;
    named.ok(&login).await;
    named.ok("ID (\"x-originating-ip\" \"192.0.2.4\")").await;
    named.append("INBOX", "Subject: x\r\n\r\nx\r\n").await;
    let applied = world.store.applied();
    let appended = world.store.node().read(applied..LogIndex(applied.0 + 1), 1).unwrap();
    let record = record_of(&appended[0].payload).unwrap();
    assert_eq!(record.actor.from, Some([127, 0, 0, 9].into()));
    world.stop().await;
}

#[tokio::test]
async fn a_shutdown_says_bye_to_all() {
    let world = World::with(Wishes { config: Config::default(), ..Wishes::default() }).await;
    let mut waiting = world.inbox(1).await;
    let mut idle = world.inbox(1).await;
    idle.send("a IDLE\r\n").await;
    assert_eq!(idle.response().await, "+ idling\r\n");
    let stopping = tokio::spawn(world.stop());
    assert_eq!(waiting.rest().await, "* BYE The server is shutting down\r\n");
    let said = idle.rest().await;
    assert!(said.ends_with("* BYE The server is shutting down\r\n"), "{said}");
    stopping.await.unwrap();
}
