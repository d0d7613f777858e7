//! Over the mailstore itself: what was acknowledged is there, after a restart too.

use std::num::NonZeroU32;

use redoubt_log::id::{AccountId, OperationId, Uid};
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address as MailAddress, Change, DomainAdd, DomainSettings,
    Done,
};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{Mailstore, Options};

use super::*;

async fn submit(store: &Mailstore, change: Change) -> Done {
    let outcome = store.submit(&Actor::SYSTEM, OperationId::random(), change).await.unwrap();
    outcome.result.unwrap()
}

async fn add_account(store: &Mailstore, local: &str, quota: Option<u64>) -> AccountId {
    let address = MailAddress { local: local.into(), domain: "example.org".into() };
    let settings = AccountSettings { quota, ..AccountSettings::default() };
    match submit(store, Change::AccountAdd(AccountAdd { address, settings, password: None })).await
    {
        Done::Account(account) => account,
        other => panic!("{other:?}"),
    }
}

async fn talk(store: &Mailstore, lines: &str) -> String {
    let deliverer =
        MailstoreDeliverer { mailstore: store.clone(), default_domain: "example.org".into() };
    let stats = Arc::new(ProtocolStats::default());
    let (connection, socket) =
        pipe(Limits::default(), None, stats, CancellationToken::new()).unwrap();
    let session = tokio::spawn(Arc::new(Lmtp::new(deliverer, options())).serve(connection));
    let (mut reader, mut writer) = socket.into_split();
    let mut said = String::new();
    let send = async {
        writer.write_all(lines.replace('\n', "\r\n").as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, reader.read_to_string(&mut said));
    read.unwrap();
    session.await.unwrap();
    said
}

fn first_in_inbox(
    store: &Mailstore,
    view: &redoubt_store::view::View,
    account: AccountId,
) -> Vec<Vec<u8>> {
    let (first, last) = (Uid(NonZeroU32::MIN), Uid(NonZeroU32::MAX));
    let placements = view.placements(account, INBOX, account, first, last, 10).unwrap();
    placements.iter().map(|placement| store.blob(&placement.blob).unwrap().to_vec()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_is_kept_and_a_retry_is_not_a_second_mail() {
    let dir = tempfile::tempdir().unwrap();
    let mut options = Options::new(dir.path().join("data"));
    options.blobs.pack_bytes = 8 << 20;
    options.log.segment_bytes = 4 << 20;
    let store = Mailstore::open(options.clone()).await.unwrap();
    let settings = DomainSettings {
        subaddress_separator: Some('+'),
        retry_recognised: true,
        ..DomainSettings::default()
    };
    submit(&store, Change::DomainAdd(DomainAdd { domain: "example.org".into(), settings })).await;
    let alice = add_account(&store, "alice", None).await;
    let full = add_account(&store, "full", Some(10)).await;
    let lines = "LHLO mx.example.net\nMAIL FROM:<a@example.net>\nRCPT TO:<alice+x@example.org>\n\
        RCPT TO:<full@example.org>\nRCPT TO:<nobody@example.org>\nRCPT TO:<a@elsewhere.example>\n\
        RCPT TO:<ALICE>\nDATA\nSubject: x\n\n..body\n.\nQUIT\n";
    for attempt in 0..2 {
        let said = talk(&store, lines).await;
        for expected in [
            "552 5.2.2 ",
            "550 5.1.1 ",
            "550 5.1.2 ",
            "250 2.0.0 <alice+x@example.org> delivered\r\n",
            "250 2.0.0 <ALICE> delivered\r\n",
        ] {
            // The full one has room for an octet: only the delivery itself finds out.
            assert!(said.contains(expected), "{attempt}: {expected} in {said}");
        }
    }
    store.shutdown().await;
    drop(store);
    let store = Mailstore::open(options).await.unwrap();
    let view = store.view().await.unwrap();
    let reading = store.clone();
    let looked = tokio::task::spawn_blocking(move || {
        (first_in_inbox(&reading, &view, alice), first_in_inbox(&reading, &view, full))
    });
    let (mails, none) = looked.await.unwrap();
    assert!(none.is_empty());
    for mail in &mails {
        let mail = String::from_utf8(mail.clone()).unwrap();
        assert!(
            mail.starts_with("Return-Path: <a@example.net>\r\nReceived: from mx.example.net\r\n"),
            "{mail}"
        );
        assert!(mail.ends_with("+0000\r\nSubject: x\r\n\r\n.body\r\n"), "{mail}");
    }
    // Two addresses, each of them retried once: two operations, not four.
    assert_eq!(mails.len(), 2, "{mails:?}");
    store.shutdown().await;
}
