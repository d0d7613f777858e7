//! What a state needs beside itself: every blob that it names.

use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, BlobId, HoldId};

use super::{Key, KeyRange, Order, StorageError, StoreError, Table, View, decode};
use crate::keys::{Meta, erasures, kind, objects, restores};
use crate::rows::{EmailData, ErasureRow, RecordRow, RestoreRow, Version};

/// Told of a blob, and whether it is needed.
type Look<'l> = &'l mut dyn FnMut(BlobId, bool);

impl View {
    /// The id that the next hold will get.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn next_hold(&self) -> Result<HoldId, StoreError> {
        let next: Option<u64> = self.source.get(&Key::Meta(Meta::NextHold))?;
        Ok(HoldId(next.unwrap_or(1)))
    }

    /// Whether there is an account, as of now; one that is deleted too.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn has_account(&self, account: AccountId) -> Result<bool, StoreError> {
        let key = Key::Account(account);
        Ok(self.reader().get(key.table(), &key.bytes())?.is_some())
    }

    /// Shows every blob that the state names, of its past too, and whether the state lacks
    /// something without it: content and envelopes of emails, and what restores and erasures
    /// under way were asked for, are needed; reasons, and what those were asked for that have
    /// ended, are not. Some come more than once; parts that others are put together from do not come.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn named_blobs(&self, look: Look<'_>) -> Result<(), StoreError> {
        let mut next = Some(0);
        while let Some(from) = next {
            let Some(account) = self.first_account(AccountId(from))? else { break };
            self.blobs_of_emails(account, look)?;
            next = account.0.checked_add(1);
        }
        self.visit_rows(Table::Record, &KeyRange::all(), &mut |row: RecordRow| {
            row.why.reason.into_iter().for_each(|blob| look(blob, false));
        })?;
        self.visit_rows(Table::Operation, &restores(), &mut |row: RestoreRow| {
            let under_way = row.ended.is_none();
            row.wish.into_iter().chain(row.plan).for_each(|blob| look(blob, under_way));
        })?;
        self.visit_rows(Table::Account, &erasures().range(), &mut |row: ErasureRow| {
            let under_way = row.is_under_way();
            row.list.into_iter().chain(row.asked).for_each(|blob| look(blob, under_way));
        })?;
        Ok(())
    }

    /// Shows the content of every email that the state names, of its past too. Some come more
    /// than once.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn contents(&self, look: &mut dyn FnMut(BlobId)) -> Result<(), StoreError> {
        let mut next = Some(0);
        while let Some(from) = next {
            let Some(account) = self.first_account(AccountId(from))? else { break };
            self.emails_of(account, &mut |data| look(data.blob))?;
            next = account.0.checked_add(1);
        }
        Ok(())
    }

    fn blobs_of_emails(&self, account: AccountId, look: Look<'_>) -> Result<(), StorageError> {
        self.emails_of(account, &mut |data| {
            std::iter::once(data.blob).chain(data.envelope).for_each(|blob| look(blob, true));
        })
    }

    fn emails_of(
        &self,
        account: AccountId,
        look: &mut dyn FnMut(EmailData),
    ) -> Result<(), StorageError> {
        let range = objects(account, kind::EMAIL).range();
        self.reader().visit(Table::History, &range, Order::Rising, &mut |key, value| {
            let corrupt = || StorageError::corrupt(Table::History, key, "no version of an email");
            if let Some(value) = Version::decode(value).ok_or_else(corrupt)? {
                look(decode(Table::History, key, value)?);
            }
            Ok(ControlFlow::Continue(()))
        })
    }

    fn visit_rows<T: serde::de::DeserializeOwned>(
        &self,
        table: Table,
        range: &KeyRange,
        look: &mut dyn FnMut(T),
    ) -> Result<(), StorageError> {
        self.reader().visit(table, range, Order::Rising, &mut |key, value| {
            look(decode(table, key, value)?);
            Ok(ControlFlow::Continue(()))
        })
    }
}
