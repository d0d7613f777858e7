//! What a state image holds and names, for who carries it elsewhere.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use redoubt_log::id::{AccountId, BlobId};

use crate::Pauses;
use crate::checkpoint::BaseError;
use crate::keys::{Key, Meta, kind, objects};
use crate::mailstore::StoreError;
use crate::rows::{EmailData, RecordRow, Version};
use crate::storage::{KeyRange, Order, RocksOptions, RocksStorage, StorageError, Table, decode};
use crate::view::View;

/// Accounts that are looked at together.
const PAGE: usize = 1000;
/// Rows between two looks at whether to go on.
const ROWS: u64 = 4096;

/// What a state holds and names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// What `apply` does in it: the highest level.
    pub level: u32,
    /// Accounts.
    pub accounts: u64,
    /// Mailboxes.
    pub mailboxes: u64,
    /// Live emails.
    pub emails: u64,
    /// Their octets, each email once in its account.
    pub raw_bytes: u64,
    /// Every blob that it names, by rising id, each once: contents and envelopes of all emails
    /// of its history, wishes and plans of restores and erasures, reasons. Parts of recipes are not among
    /// them.
    pub blobs: Vec<BlobId>,
}

impl Contents {
    /// Reads an image without changing it.
    ///
    /// # Errors
    /// [`BaseError::Image`] when it cannot be read, or the work is to end.
    pub fn of_image(dir: &Path, pauses: &Pauses) -> Result<Self, BaseError> {
        let storage = RocksStorage::open_read_only(dir, &RocksOptions::default())?;
        let unread =
            |error: StoreError| StorageError::Io { table: "all", error: error.to_string() };
        let view = View::new(Arc::new(storage.snapshot()?)).map_err(unread)?;
        Self::of(&view, pauses).map_err(unread).map_err(BaseError::from)
    }

    /// Reads the state that a view of the present shows.
    ///
    /// # Errors
    /// The state cannot be read, or the work is to end.
    pub fn of(view: &View, pauses: &Pauses) -> Result<Self, StoreError> {
        let mut contents = Self { level: view.level()?, ..Self::default() };
        contents.count(view, pauses)?;
        contents.name(view, pauses)?;
        contents.blobs.sort_unstable();
        contents.blobs.dedup();
        Ok(contents)
    }

    fn count(&mut self, view: &View, pauses: &Pauses) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let accounts = view.accounts(after, PAGE)?;
            let Some(last) = accounts.last() else { return Ok(()) };
            after = Some(last.id);
            for account in &accounts {
                self.accounts += 1;
                self.emails += account.emails;
                self.raw_bytes += account.used_bytes;
                self.mailboxes += view.mailboxes(account.id)?.len() as u64;
            }
            pauses.between_rows()?;
        }
    }

    fn name(&mut self, view: &View, pauses: &Pauses) -> Result<(), StoreError> {
        let next = view.reader().get(Table::Meta, &Key::Meta(Meta::NextAccount).bytes())?;
        let next: Option<u64> = next.map(|value| decode(Table::Meta, &[], &value)).transpose()?;
        // Deleted ones too: their emails are in the history.
        for account in 1..next.unwrap_or(1) {
            self.history(view, AccountId(account), pauses)?;
        }
        for (_, row) in view.restores()? {
            self.blobs.extend(row.plan.into_iter().chain(row.wish));
        }
        for (_, row) in view.erasures()? {
            self.blobs.extend(row.list.into_iter().chain(row.asked));
        }
        self.reasons(view, pauses).map_err(StoreError::from)
    }

    fn reasons(&mut self, view: &View, pauses: &Pauses) -> Result<(), StorageError> {
        let mut rows = 0_u64;
        let all = KeyRange::all();
        view.reader().visit(Table::Record, &all, Order::Rising, &mut |key, value| {
            let row: RecordRow = decode(Table::Record, key, value)?;
            self.blobs.extend(row.why.reason);
            step(&mut rows, pauses)
        })
    }

    fn history(
        &mut self,
        view: &View,
        account: AccountId,
        pauses: &Pauses,
    ) -> Result<(), StorageError> {
        let range = objects(account, kind::EMAIL).range();
        let mut rows = 0_u64;
        view.reader().visit(Table::History, &range, Order::Rising, &mut |key, value| {
            let corrupt = || StorageError::corrupt(Table::History, key, "no version of an email");
            if let Some(value) = Version::decode(value).ok_or_else(corrupt)? {
                let data: EmailData = decode(Table::History, key, value)?;
                self.blobs.extend(std::iter::once(data.blob).chain(data.envelope));
            }
            step(&mut rows, pauses)
        })
    }
}

fn step(rows: &mut u64, pauses: &Pauses) -> Result<ControlFlow<()>, StorageError> {
    *rows += 1;
    if rows.is_multiple_of(ROWS) {
        pauses.between_rows()?;
    }
    Ok(ControlFlow::Continue(()))
}
