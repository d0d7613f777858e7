//! A store in a temporary folder, and the shortest way to what tests ask of it.
#![allow(clippy::unwrap_used, clippy::panic, dead_code, unreachable_pub, missing_docs)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use redoubt_log::disk::{Disk, DiskFile, RealDisk, Space};
use redoubt_log::id::{AccountId, MailboxId, OperationId, Uid};
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address, Arrival, Change, DomainAdd, DomainSettings, Done,
    Flags, Rejection,
};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{
    DeliveryRecipient, Envelope, Layout, Lock, MailboxRef, Mailstore, NewMessage, OpenError,
    Options, WriteError,
};

pub const DOMAIN: &str = "example.org";

/// Until it is worth looking again: who looks all the time takes the processors from what it
/// waits for.
pub async fn a_moment() {
    let moment = Duration::from_millis(5);
    tokio::time::interval_at(tokio::time::Instant::now() + moment, moment).tick().await;
}

/// Waits for what a store or its archive does by itself.
pub async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        a_moment().await;
    }
}

/// A data directory that outlives the stores opened on it.
pub struct World {
    pub dir: tempfile::TempDir,
    pub options: Options,
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Options)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new(dir.path().join("data"));
        options.block_cache = 8 << 20;
        options.log.segment_bytes = 4 << 20;
        options.blobs.pack_bytes = 8 << 20;
        change(&mut options);
        Self { dir, options }
    }

    pub async fn open(&self) -> Mailstore {
        self.wait_until_free().await;
        Mailstore::open(self.options.clone()).await.unwrap()
    }

    /// The threads of a store that was dropped may hold the directory a moment longer.
    pub async fn wait_until_free(&self) {
        let layout = Layout::new(self.data());
        while let Err(OpenError::InUse { .. }) = Lock::take(&layout) {
            a_moment().await;
        }
    }

    pub fn data(&self) -> &Path {
        &self.options.data
    }
}

pub async fn submit(store: &Mailstore, change: Change) -> Result<Done, WriteError> {
    let outcome = store.submit(&Actor::SYSTEM, OperationId::random(), change).await?;
    Ok(outcome.result.unwrap())
}

pub async fn add_domain(store: &Mailstore, settings: DomainSettings) {
    let add = DomainAdd { domain: DOMAIN.to_owned(), settings };
    submit(store, Change::DomainAdd(add)).await.unwrap();
}

pub async fn add_account(store: &Mailstore, local: &str, settings: AccountSettings) -> AccountId {
    add_account_with(store, local, settings, None).await
}

pub async fn add_account_with(
    store: &Mailstore,
    local: &str,
    settings: AccountSettings,
    password: Option<String>,
) -> AccountId {
    let address = Address { local: local.to_owned(), domain: DOMAIN.to_owned() };
    let add = AccountAdd { address, settings, password };
    match submit(store, Change::AccountAdd(add)).await.unwrap() {
        Done::Account(account) => account,
        other => panic!("{other:?}"),
    }
}

/// A domain and the account alice in it.
pub async fn alice(store: &Mailstore) -> AccountId {
    add_domain(store, DomainSettings::default()).await;
    add_account(store, "alice", AccountSettings::default()).await
}

pub fn inbox(account: AccountId) -> MailboxRef {
    MailboxRef { account, mailbox: INBOX }
}

pub fn mail(n: usize) -> Vec<u8> {
    format!(
        "From: a@example.net\r\nTo: alice@example.org\r\nSubject: number {n}\r\n\
         Message-ID: <{n}@example.net>\r\n\r\nbody of {n}\r\n"
    )
    .into_bytes()
}

/// A message with an attachment of `octets` in base64.
pub fn mail_with_attachment(octets: usize) -> Vec<u8> {
    let line = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n";
    let mut mail = b"From: a@example.net\r\nSubject: attached\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee there\r\n--b\r\n\
        Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n"
        .to_vec();
    mail.extend(line.bytes().cycle().take(octets / line.len() * line.len()));
    mail.extend_from_slice(b"--b--\r\n");
    mail
}

pub fn recipient(account: AccountId, address: &str, detail: Option<&str>) -> DeliveryRecipient {
    let (address, detail) = (address.to_owned(), detail.map(str::to_owned));
    DeliveryRecipient { address, account, detail }
}

pub async fn deliver_to(
    store: &Mailstore,
    mail: &[u8],
    recipients: Vec<DeliveryRecipient>,
) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
    let mut spool = store.spool();
    for piece in mail.chunks(16 * 1024) {
        spool.write(piece).await?;
    }
    let envelope = Envelope { sender: "a@example.net".to_owned(), ..Envelope::default() };
    let trace = Bytes::from_static(b"Return-Path: <a@example.net>\r\n");
    store.deliver(&Actor::mta(None), envelope, trace, spool, recipients).await
}

pub async fn deliver(store: &Mailstore, account: AccountId, mail: &[u8]) -> Arrival {
    let to = vec![recipient(account, "alice@example.org", None)];
    deliver_to(store, mail, to).await.unwrap().remove(0).unwrap()
}

pub async fn new_message(store: &Mailstore, mail: &[u8]) -> NewMessage {
    let mut content = store.spool();
    content.write(mail).await.unwrap();
    NewMessage {
        content,
        received: None,
        flags: Flags::NONE,
        keywords: Vec::new(),
        uid: None,
        operation: None,
    }
}

/// Appends this many small messages; their UIDs.
pub async fn fill(store: &Mailstore, to: MailboxRef, count: usize) -> Vec<Uid> {
    let actor = Actor::account(to.account, None);
    let mut uids = Vec::new();
    while uids.len() < count {
        let mut items = Vec::new();
        for n in 0..(count - uids.len()).min(500) {
            items.push(new_message(store, &mail(n)).await);
        }
        let arrivals = store.append(&actor, to, items).await.unwrap();
        uids.extend(arrivals.into_iter().map(|arrival| arrival.unwrap().uid));
    }
    uids
}

pub async fn read_back(store: &Mailstore, account: AccountId, arrival: &Arrival) -> Vec<u8> {
    let view = store.view().await.unwrap();
    let placement = view.placement(account, arrival.mailbox, account, arrival.uid).unwrap();
    store.blob(&placement.unwrap().blob).unwrap().to_vec()
}

pub async fn count(store: &Mailstore, account: AccountId, mailbox: MailboxId) -> u32 {
    let view = store.view().await.unwrap();
    view.mailbox(account, mailbox).unwrap().unwrap().messages
}

/// The system's files, with as little room as the test says.
#[derive(Debug)]
pub struct SmallDisk {
    pub free: AtomicU64,
}

impl SmallDisk {
    pub fn roomy() -> Arc<Self> {
        Arc::new(Self { free: AtomicU64::new(100 << 30) })
    }
    pub fn set_free(&self, free: u64) {
        self.free.store(free, Ordering::SeqCst);
    }
}

impl Disk for SmallDisk {
    fn create(&self, path: &Path) -> std::io::Result<Arc<dyn DiskFile>> {
        RealDisk.create(path)
    }
    fn open(&self, path: &Path) -> std::io::Result<Arc<dyn DiskFile>> {
        RealDisk.open(path)
    }
    fn list(&self, dir: &Path) -> std::io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn create_dir_all(&self, dir: &Path) -> std::io::Result<()> {
        RealDisk.create_dir_all(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        RealDisk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> std::io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn space(&self, _dir: &Path) -> std::io::Result<Space> {
        Ok(Space { free: self.free.load(Ordering::SeqCst), total: 200 << 30 })
    }
}
