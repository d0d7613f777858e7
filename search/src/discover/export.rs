//! Writes out what a search found.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use jiff::tz::TimeZone;
use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, BlobId, LogIndex, Timestamp};
use redoubt_log::record::Principal;
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::rows::EmailData;
use redoubt_store::travel::{Names, Which, life};
use redoubt_store::view::{Account, View};

use super::folder::{Folder, Hit, State};
use super::pace::Effort;
use super::{Asked, DiscoverError, ExportAsked};
use crate::export::{About, AttachmentText, Closed, Export, Expunged, Item, brings};

/// Emails between two looks at the state.
const PIECE: u64 = 200;
/// Accounts that are named as having the same octets.
const CUSTODIANS: usize = 1000;
/// Octets of the log that are read for one record.
const ENTRY: usize = 1 << 20;

/// An export at work.
pub(super) struct Exporting<'a> {
    pub(super) store: &'a Mailstore,
    pub(super) lineage: &'a str,
    pub(super) asked: &'a Asked,
    pub(super) export: &'a ExportAsked,
    /// The search's folder, and how far it came.
    pub(super) found: &'a Folder,
    pub(super) search: &'a State,
    pub(super) texts: &'a dyn AttachmentText,
    pub(super) stop: &'a AtomicBool,
    pub(super) told: &'a dyn Fn(&State),
}

/// Why one email is not in the export: a word that is counted, and details.
struct Failed(&'static str, String);

/// What is known of the account whose emails are at work.
struct Whose {
    account: AccountId,
    address: String,
    names: Names,
    /// What its sequence is above the log's index.
    base: Option<u64>,
}

impl Exporting<'_> {
    /// All but the proof, from the beginning.
    pub(super) fn run(&self, state: &mut State) -> Result<Closed, DiscoverError> {
        let zone = TimeZone::get(&self.export.zone)
            .map_err(|error| DiscoverError::NotNow(error.to_string()))?;
        let mut out = Export::begin(&self.export.out, self.about(), zone)?;
        let mut addresses = BTreeMap::new();
        let mut whose: Option<Whose> = None;
        let mut count = 0_u64;
        state.effort = Effort { done: 0, all: self.search.found };
        (self.told)(state);
        for hit in self.found.lines(0, self.search.hits)? {
            if self.stop.load(Ordering::Relaxed) {
                return Err(DiscoverError::Stopped);
            }
            let hit = hit?;
            let view = self.store.local_view()?;
            if whose.as_ref().is_none_or(|whose| whose.account != hit.account) {
                whose = Some(self.whose(&view, hit.account)?);
            }
            let Some(whose) = &whose else { continue };
            match self.email(&view, whose, &hit, &mut addresses)? {
                Ok((item, received, octets)) => {
                    out.email(item, received, &octets, self.texts)?;
                }
                Err(Failed(why, details)) => {
                    out.failed(&whose.address, &hit.email.to_string(), why, &details)?;
                }
            }
            count += 1;
            if count.is_multiple_of(PIECE) {
                (state.found, state.failed) = (out.counts().exported, out.counts().failed);
                state.effort.done = count;
                (self.told)(state);
            }
        }
        (state.found, state.failed) = (out.counts().exported, out.counts().failed);
        state.effort.done = count;
        Ok(out.finish(self.search.not_searched_count)?)
    }

    fn whose(&self, view: &View, account: AccountId) -> Result<Whose, StoreError> {
        let names = Names::read(view, account)?;
        let base = ever(view, account)?.map(|account| account.base);
        Ok(Whose { account, address: address(view, account)?, names, base })
    }

    fn email(
        &self,
        view: &View,
        whose: &Whose,
        hit: &Hit,
        addresses: &mut BTreeMap<AccountId, String>,
    ) -> Result<Result<(Item, Timestamp, Bytes), Failed>, DiscoverError> {
        let Some(data) = view.email_ever(hit.account, hit.email)? else {
            return Ok(Err(Failed("purged", String::new())));
        };
        let octets = match self.store.blob(&data.blob) {
            Ok(octets) => octets,
            Err(StoreError::Blob(_, why)) => return Ok(Err(Failed("not readable", why))),
            Err(error) => return Err(error.into()),
        };
        let envelope = match data.envelope.map(|blob| self.envelope(&blob)).transpose() {
            Ok(envelope) => envelope,
            Err(StoreError::Blob(_, why)) => return Ok(Err(Failed("no envelope", why))),
            Err(error) => return Err(error.into()),
        };
        let mut item = plain(whose, hit, &data);
        item.envelope = envelope;
        item.custodians = self.custodians(view, &data, hit.account, addresses)?;
        item.records = self.records(view, whose, hit, &data)?;
        Ok(Ok((item, data.received, octets)))
    }

    fn envelope(&self, blob: &BlobId) -> Result<serde_json::Value, StoreError> {
        let text = self.store.salted(blob)?;
        serde_json::from_slice(&text).map_err(|error| StoreError::Blob(*blob, error.to_string()))
    }

    /// Accounts of the search that have the same octets.
    fn custodians(
        &self,
        view: &View,
        data: &EmailData,
        own: AccountId,
        addresses: &mut BTreeMap<AccountId, String>,
    ) -> Result<Vec<String>, StoreError> {
        let mut accounts: Vec<AccountId> = view
            .referrers(&data.blob, CUSTODIANS)?
            .into_iter()
            .map(|(account, _)| account)
            .filter(|account| self.export.of.accounts.binary_search(account).is_ok())
            .chain([own])
            .collect();
        accounts.sort_unstable();
        accounts.dedup();
        let mut named = Vec::new();
        for account in accounts {
            let known = match addresses.get(&account) {
                Some(known) => known.clone(),
                None => address(view, account)?,
            };
            addresses.insert(account, known.clone());
            named.push(known);
        }
        Ok(named)
    }

    /// The records that brought it and did something to it, up to the pinned index.
    fn records(
        &self,
        view: &View,
        whose: &Whose,
        hit: &Hit,
        data: &EmailData,
    ) -> Result<Vec<u64>, StoreError> {
        let events = life(view, hit.account, hit.email, &whose.names)?;
        let mut records: Vec<u64> = events.iter().map(|event| event.by.index.0).collect();
        records.extend(self.origin(whose, hit, data).map(|index| index.0));
        records.retain(|index| *index <= self.export.of.pinned.0);
        records.sort_unstable();
        records.dedup();
        Ok(records)
    }

    /// The record that brought it, by its id: the history may be cut, the log not. One that the
    /// log has and that brought something else is not it.
    fn origin(&self, whose: &Whose, hit: &Hit, data: &EmailData) -> Option<LogIndex> {
        let index = LogIndex(hit.email.sequence.0.checked_sub(whose.base?)?);
        let node = self.store.node();
        if node.status().purged.is_some_and(|purged| index <= purged.index) {
            return Some(index);
        }
        let entry = node.read(index..LogIndex(index.0 + 1), ENTRY).ok()?.pop()?;
        brings(&entry.payload, &data.blob, hit.account).then_some(index)
    }

    fn about(&self) -> About {
        let search = &self.export.of;
        About {
            program: format!("redoubt {}", env!("CARGO_PKG_VERSION")),
            form: self.export.form,
            lineage: self.lineage.to_owned(),
            job: self.asked.job.to_string(),
            search: self.export.search.to_string(),
            query: search.query.clone(),
            scope: search.scope.clone(),
            accounts: search.accounts.len() as u64,
            which: match search.which {
                Which::There => "there",
                Which::Expunged => "expunged",
                Which::Both => "both",
            }
            .to_owned(),
            pinned: search.pinned.0,
            pinned_time: rfc3339(search.pinned_time),
            as_of: search.as_of.0,
            actor: match self.asked.actor.principal {
                Principal::LocalUser(uid) => format!("uid {uid}"),
                Principal::Person(account) => format!("token of account {account}"),
                Principal::Account(account) => format!("account {account}"),
                Principal::System => "system".to_owned(),
                Principal::Mta => "mta".to_owned(),
            },
            reason: self.asked.reason.clone(),
            begun: rfc3339(self.asked.begun),
            time_zone: self.export.zone.clone(),
            extractor: self.texts.version(),
            without_records: self.export.without_records,
        }
    }
}

/// An account, also one that is deleted.
fn ever(view: &View, account: AccountId) -> Result<Option<Account>, StoreError> {
    if let Some(found) = view.account(account)? {
        return Ok(Some(found));
    }
    let deleted = view.deleted_accounts()?;
    Ok(deleted.into_iter().find(|deleted| deleted.id == account))
}

fn address(view: &View, account: AccountId) -> Result<String, StoreError> {
    let found = ever(view, account)?;
    Ok(found.map_or_else(|| format!("account-{account}"), |found| found.address.to_string()))
}

fn plain(whose: &Whose, hit: &Hit, data: &EmailData) -> Item {
    Item {
        account: whose.address.clone(),
        account_id: hit.account.0,
        email_id: hit.email.to_string(),
        thread_id: data.thread.to_string(),
        mailbox: hit.name.clone(),
        uid: hit.uid.get(),
        flags: hit.flags.clone(),
        received: rfc3339(data.received),
        saved: rfc3339(hit.saved),
        expunged: hit.gone.map(|gone| Expunged {
            index: gone.index.0,
            time: rfc3339(gone.time),
            with_mailbox: gone.with_mailbox,
        }),
        size: data.size,
        blob: data.blob.to_string(),
        original: data.original.to_string(),
        ..Item::default()
    }
}
