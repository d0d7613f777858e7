//! A mailstore that answers as it is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use redoubt_log::id::{
    AccountId, EmailId, MailboxId, ModSeq, ThreadId, Timestamp, Uid, UidValidity,
};
use redoubt_log::record::{AccountSettings, AccountState, Actor, Address, Arrival, Rejection};
use redoubt_store::mailstore::{CutOff, DeliveryRecipient, Envelope, StoreError, WriteError};
use redoubt_store::view::{Account, Resolved};
use tokio::sync::watch;

use crate::lmtp::{Deliverer, Found, OverQuota};

/// What came in.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    pub(crate) actor: Actor,
    pub(crate) envelope: Envelope,
    pub(crate) trace: Bytes,
    pub(crate) content: Vec<u8>,
    pub(crate) recipients: Vec<DeliveryRecipient>,
}

#[derive(Debug, Default)]
struct State {
    mails: Vec<Mail>,
    /// What the next delivery answers, if not that all is well.
    failure: Option<WriteError>,
    rejections: BTreeMap<AccountId, Rejection>,
    lookups_fail: bool,
    full_after: Option<usize>,
    cut_off: watch::Sender<bool>,
}

/// Accounts of example.org: alice (1), bob (2), full (3, over quota), closed (4),
/// locked (5); `al` is alice's alias; anyone at catch.example is bob, and
/// that domain defers what is over quota.
#[derive(Debug, Default, Clone)]
pub(crate) struct Fake(Arc<Mutex<State>>);

pub(crate) struct Content {
    octets: Vec<u8>,
    full_after: Option<usize>,
}

pub(crate) const MAX: u64 = 100_000;

impl Fake {
    pub(crate) fn mails(&self) -> Vec<Mail> {
        self.0.lock().mails.clone()
    }

    pub(crate) fn fail(&self, error: WriteError) {
        self.0.lock().failure = Some(error);
    }

    pub(crate) fn reject(&self, account: u64, rejection: Rejection) {
        self.0.lock().rejections.insert(AccountId(account), rejection);
    }

    pub(crate) fn fail_lookups(&self) {
        self.0.lock().lookups_fail = true;
    }

    pub(crate) fn cut_off(&self) {
        self.0.lock().cut_off.send_replace(true);
    }

    pub(crate) fn full_after(&self, octets: usize) {
        self.0.lock().full_after = Some(octets);
    }
}

fn account(id: u64, local: &str) -> Account {
    let state = match local {
        "closed" => AccountState::Closed,
        "locked" => AccountState::Locked,
        _ => AccountState::Active,
    };
    let settings = AccountSettings { state, ..AccountSettings::default() };
    Account {
        id: AccountId(id),
        address: Address { local: local.into(), domain: "example.org".into() },
        settings,
        used_bytes: 900,
        emails: 1,
        quota: (local == "full").then_some(1000),
        created: Timestamp(0),
        base: 0,
    }
}

fn look(address: &str) -> Resolved {
    let names = ["alice", "bob", "full", "closed", "locked"];
    let (local, domain) = address.split_once('@').unwrap_or((address, "example.org"));
    let (local, detail) = match local.split_once('+') {
        Some((local, detail)) => (local, Some(detail.to_owned())),
        None => (local, None),
    };
    let local = match (local, domain) {
        ("", _) => return Resolved::Invalid,
        (_, "catch.example") => "bob",
        ("al", "example.org") => "alice",
        (local, "example.org") => local,
        _ => return Resolved::NoSuchDomain,
    };
    match names.iter().position(|name| *name == local) {
        None => Resolved::NoSuchUser,
        Some(at) => Resolved::Account { account: Box::new(account(at as u64 + 1, local)), detail },
    }
}

impl Deliverer for Fake {
    type Content = Content;

    async fn resolve(&self, address: &str) -> Result<Found, StoreError> {
        if self.0.lock().lookups_fail {
            return Err(StoreError::Stopped("a test".into()));
        }
        let defers = address.ends_with("catch.example");
        let over_quota = if defers { OverQuota::Defer } else { OverQuota::Refuse };
        Ok(Found { resolved: look(address), over_quota, journals: false })
    }

    async fn is_ours(&self, domain: &str) -> Result<bool, StoreError> {
        Ok(["example.org", "catch.example"].contains(&domain))
    }

    fn cut_off(&self) -> CutOff {
        CutOff::told_by(&self.0.lock().cut_off)
    }

    fn begin(&self) -> Content {
        Content { octets: Vec::new(), full_after: self.0.lock().full_after }
    }

    async fn write(content: &mut Content, octets: &[u8]) -> Result<(), WriteError> {
        content.octets.extend_from_slice(octets);
        let size = content.octets.len() as u64;
        if content.full_after.is_some_and(|full| content.octets.len() > full) {
            return Err(WriteError::DiskFull { free: 1, reserve: 2 });
        }
        if size > MAX { Err(WriteError::TooLarge { size, limit: MAX }) } else { Ok(()) }
    }

    async fn deliver(
        &self,
        actor: Actor,
        envelope: Envelope,
        trace: Bytes,
        content: Content,
        recipients: Vec<DeliveryRecipient>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        let mut state = self.0.lock();
        if let Some(error) = state.failure.clone() {
            return Err(error);
        }
        let answers = recipients.iter().map(|recipient| {
            state.rejections.get(&recipient.account).map_or(Ok(arrival()), |r| Err(r.clone()))
        });
        let answers = answers.collect();
        state.mails.push(Mail { actor, envelope, trace, content: content.octets, recipients });
        Ok(answers)
    }
}

fn arrival() -> Arrival {
    Arrival {
        email: EmailId::default(),
        thread: ThreadId::default(),
        mailbox: MailboxId(1),
        uid_validity: UidValidity::MIN,
        uid: Uid::MIN,
        modseq: ModSeq(1),
    }
}
