//! Sessions whose login does not hold any more.

use redoubt_log::id::{AccountId, OperationId};
use redoubt_log::record::{
    AccountDelete, AccountSet, AccountSettings, AccountState, Actor, Change, CredentialRemove,
    CredentialSet,
};

use crate::client::Client;
use crate::world::{PASSWORD, World};

const LOCKED: &str = "* BYE [AUTHORIZATIONFAILED] This account may not log in any more\r\n";
const EXPIRED: &str = "* BYE [EXPIRED] The password of this login is not valid any more\r\n";

fn state(world: &World, state: AccountState) -> Change {
    let settings = AccountSettings { state, quota: Some(1 << 40), ..AccountSettings::default() };
    Change::AccountSet(AccountSet { account: world.alice_id, settings })
}

async fn set_password(world: &World, account: AccountId, name: &str, password: &str) {
    let phc = world.store.hash_password(password.as_bytes()).await.unwrap();
    let set = CredentialSet { account, name: name.into(), phc };
    submit(world, Change::CredentialSet(set)).await;
}

async fn submit(world: &World, change: Change) {
    let outcome = world.store.submit(&Actor::SYSTEM, OperationId::random(), change).await.unwrap();
    outcome.result.unwrap();
}

async fn idle(world: &World) -> Client {
    let mut idle = world.inbox(0).await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.response().await, "+ idling\r\n");
    idle
}

#[tokio::test]
async fn a_locked_account_ends_its_sessions_whatever_they_do() {
    let world = World::new().await;
    let mut waits = world.alice().await;
    let mut idles = idle(&world).await;
    let mut appends = world.alice().await;
    appends.send("a APPEND INBOX {100}\r\n").await;
    assert!(appends.response().await.starts_with("+ "));
    appends.send("Subject: half\r\n").await;
    let mut half = world.alice().await;
    half.send("a NO").await;
    let mut bob = world.stranger().await;
    bob.ok(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    // What leaves the login as it is ends nothing.
    submit(&world, state(&world, AccountState::Active)).await;
    waits.ok("NOOP").await;
    submit(&world, state(&world, AccountState::Locked)).await;
    for session in [&mut waits, &mut idles, &mut appends, &mut half] {
        assert_eq!(session.rest().await, LOCKED);
    }
    bob.ok("NOOP").await;
    let mut again = world.stranger().await;
    let login = format!("LOGIN alice \"{PASSWORD}\"");
    again.refused(&login, "NO [AUTHORIZATIONFAILED]").await;
    submit(&world, state(&world, AccountState::Active)).await;
    again.ok(&login).await;
    world.stop().await;
}

#[tokio::test]
async fn a_deleted_account_ends_its_sessions() {
    let world = World::new().await;
    let (mut waits, mut idles) = (world.inbox(2).await, idle(&world).await);
    submit(&world, Change::AccountDelete(AccountDelete { account: world.alice_id })).await;
    assert_eq!(waits.rest().await, LOCKED);
    assert!(idles.rest().await.ends_with(LOCKED));
    world.stop().await;
}

#[tokio::test]
async fn a_password_ends_the_sessions_that_it_opened() {
    let world = World::new().await;
    let alice = world.alice_id;
    set_password(&world, alice, "phone", "app password").await;
    let mut phone = world.stranger().await;
    phone.ok("LOGIN alice \"app password\"").await;
    let (mut waits, mut idles) = (world.alice().await, idle(&world).await);
    set_password(&world, alice, "password", "another horse").await;
    for session in [&mut waits, &mut idles] {
        assert_eq!(session.rest().await, EXPIRED);
    }
    phone.ok("SELECT INBOX").await;
    let mut renewed = world.stranger().await;
    renewed.ok("LOGIN alice \"another horse\"").await;
    let gone = CredentialRemove { account: alice, name: "phone".into() };
    submit(&world, Change::CredentialRemove(gone)).await;
    assert_eq!(phone.rest().await, EXPIRED);
    renewed.ok("NOOP").await;
    world.stop().await;
}

/// More than sockets hold, so that the answer is on its way when the account is locked.
#[tokio::test]
async fn a_long_answer_is_cut_short() {
    const SIZE: usize = 32 << 20;
    let world = World::new().await;
    let mut reads = world.alice().await;
    let line = "x".repeat(62) + "\r\n";
    let message = "Subject: long\r\n\r\n".to_owned() + &line.repeat(SIZE / line.len());
    reads.append("INBOX", &message).await;
    reads.ok("SELECT INBOX").await;
    reads.send("a FETCH 1 BODY.PEEK[]\r\n").await;
    assert!(reads.some(1 << 10).await > 0);
    submit(&world, state(&world, AccountState::Locked)).await;
    let mut read = 0;
    loop {
        match reads.some(1 << 20).await {
            0 => break,
            some => read += some,
        }
    }
    assert!(read < SIZE, "all of it was sent to who may not read it: {read}");
    world.stop().await;
}
