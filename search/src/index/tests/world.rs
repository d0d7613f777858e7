//! A store in a temporary folder, an index beside it, and the shortest way to ask both.

use std::path::PathBuf;

use redoubt_log::id::{AccountId, EmailId, OperationId, Timestamp, Uid};
use redoubt_log::record::{
    AccountAdd, AccountSettings, Actor, Address, Arrival, Change, DomainAdd, DomainSettings, Done,
    Flags,
};
use redoubt_store::mailbox::INBOX;
use redoubt_store::mailstore::{MailboxRef, Mailstore, NewMessage, Options as StoreOptions};
use redoubt_store::search::{Candidate, Hints, NoHints, Query, Scope as SearchScope, SearchKey};

use crate::index::{Found, Index, Options, Scope};

pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) store: Mailstore,
    pub(super) alice: AccountId,
    pub(super) bob: AccountId,
}

/// Nothing is written before a test says so.
pub(super) fn patient() -> Options {
    let hour = std::time::Duration::from_secs(3600);
    Options { wait: hour, least: u32::MAX, ..Options::default() }
}

/// In a bucket with others and in an index of its own, each with a seed.
pub(super) fn both_ways() -> [(Options, u64); 2] {
    let own = Options { own: 40, ..patient() };
    [(patient(), 0x9e37_79b9_7f4a_7c15), (own, 0x2545_f491_4f6c_dd1d)]
}

impl World {
    pub(super) async fn new() -> Self {
        Self::that_keeps(None).await
    }

    /// With a history that goes back so far.
    pub(super) async fn that_keeps(keep_history: Option<std::time::Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::new(folder.path().join("data"));
        let store = Mailstore::open(StoreOptions { keep_history, ..options }).await.unwrap();
        let add = DomainAdd { domain: "example.org".into(), settings: DomainSettings::default() };
        submit(&store, Change::DomainAdd(add)).await;
        let alice = account(&store, "alice").await;
        let bob = account(&store, "bob").await;
        Self { folder, store, alice, bob }
    }

    pub(super) async fn another(&self, local: &str) -> AccountId {
        account(&self.store, local).await
    }

    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join("index")
    }

    pub(super) fn open(&self, options: Options) -> Index {
        Index::open(self.store.clone(), &self.root(), options).unwrap()
    }

    pub(super) async fn add(&self, account: AccountId, mails: &[impl AsRef<[u8]>]) -> Vec<Arrival> {
        let mut arrivals = Vec::new();
        for mails in mails.chunks(100) {
            let mut items = Vec::new();
            for mail in mails {
                let mut content = self.store.spool();
                content.write(mail.as_ref()).await.unwrap();
                items.push(NewMessage {
                    content,
                    received: None,
                    flags: Flags::NONE,
                    keywords: Vec::new(),
                    uid: None,
                    operation: None,
                });
            }
            let to = MailboxRef { account, mailbox: INBOX };
            let done = self.store.append(&Actor::account(account, None), to, items).await.unwrap();
            arrivals.extend(done.into_iter().map(|arrival| arrival.unwrap()));
        }
        arrivals
    }

    pub(super) async fn add_numbered(&self, account: AccountId, numbers: std::ops::Range<usize>) {
        let mails: Vec<String> = numbers.map(|n| mail(&format!("number n{n}x"), "text")).collect();
        self.add(account, &mails).await;
    }

    pub(super) async fn expunge(&self, account: AccountId, uids: std::ops::RangeInclusive<u32>) {
        let inbox = MailboxRef { account, mailbox: INBOX };
        let uids = uids.filter_map(Uid::new).collect();
        self.store.expunge(&Actor::account(account, None), inbox, uids, false).await.unwrap();
    }

    /// The emails of an account's INBOX that match, by scan.
    pub(super) fn scan(&self, account: AccountId, key: &SearchKey) -> Vec<EmailId> {
        self.judged(account, key, &NoHints, |_| true)
    }

    /// The same by the index, as IMAP does it.
    pub(super) fn search(
        &self,
        index: &Index,
        account: AccountId,
        key: &SearchKey,
    ) -> Vec<EmailId> {
        let narrowed = index.narrow(account, &query(key));
        let candidates = narrowed.candidates();
        self.judged(account, key, &narrowed, |email| {
            Some(email) > narrowed.through()
                || candidates.is_none_or(|candidates| candidates.binary_search(&email).is_ok())
        })
    }

    fn judged(
        &self,
        account: AccountId,
        key: &SearchKey,
        hints: &dyn Hints,
        is_candidate: impl Fn(EmailId) -> bool,
    ) -> Vec<EmailId> {
        let view = self.store.local_view().unwrap();
        let uids = view.uids(account, INBOX).unwrap();
        let mut found = Vec::new();
        for (at, uid) in uids.iter().enumerate() {
            let placement = view.placement(account, INBOX, account, uid).unwrap().unwrap();
            let email = placement.email;
            if !is_candidate(email) {
                continue;
            }
            let candidate = Candidate { placement, sequence: at as u32 + 1, recent: false };
            if query(key).matches_hinted(&self.store, &candidate, hints).unwrap() {
                found.push(email);
            }
        }
        found.sort_unstable();
        found
    }

    /// Asks one account and wants an answer that needs no confirmation.
    pub(super) fn exact(&self, index: &Index, account: AccountId, ask: &crate::ask::Ask) -> usize {
        let found = self.ask(index, account, ask);
        assert!(found.exact(), "{found:?}");
        found.sure.len()
    }

    pub(super) fn ask(&self, index: &Index, account: AccountId, ask: &crate::ask::Ask) -> Found {
        index.answer(&Scope::account(account), ask).unwrap().accounts.remove(0)
    }
}

fn query(key: &SearchKey) -> Query {
    let scope = SearchScope { highest_sequence: 1000, highest_uid: 1000, now: Timestamp(0) };
    Query::new(key, &scope)
}

pub(super) fn mail(subject: &str, body: &str) -> String {
    format!("From: Ann <ann@example.net>\r\nSubject: {subject}\r\n\r\n{body}\r\n")
}

async fn submit(store: &Mailstore, change: Change) -> Done {
    let outcome = store.submit(&Actor::SYSTEM, OperationId::random(), change).await.unwrap();
    outcome.result.unwrap()
}

async fn account(store: &Mailstore, local: &str) -> AccountId {
    let address = Address { local: local.into(), domain: "example.org".into() };
    let add = AccountAdd { address, settings: AccountSettings::default(), password: None };
    match submit(store, Change::AccountAdd(add)).await {
        Done::Account(account) => account,
        other => panic!("{other:?}"),
    }
}
