//! Domains, accounts, addresses.

use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, MailboxId, OperationId};
use redoubt_log::record::{AccountState, Address, Arrival};
use unicode_normalization::UnicodeNormalization;

use super::{
    Account, AccountRow, Credential, Domain, Key, KeyRange, Object, Order, Parts, Resolved, Row,
    StorageError, StoreError, Table, View, decode,
};
use crate::account::{normal_address, normal_domain, normal_long_local};
use crate::keys::{Bytes, DIRECTORY, kind, objects};
use crate::rows::{AddressRow, CredentialRow, DomainRow, ItemRow, Usage};

impl View {
    /// All domains, by name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn domains(&self) -> Result<Vec<Domain>, StoreError> {
        let mut domains = Vec::new();
        if self.source.is_past() {
            let range = objects(DIRECTORY, kind::DOMAIN).range();
            self.source.objects(&range, &mut |object, value| {
                if let Object::Domain(name) = object {
                    let row: DomainRow = decode(Table::History, name.as_bytes(), value)?;
                    domains.push(Domain { name, settings: row.settings });
                }
                Ok(true)
            })?;
            return Ok(domains);
        }
        for (key, value) in
            self.reader().scan(Table::Directory, &KeyRange::prefix(b"d"), usize::MAX)?
        {
            let name = Parts::new(key.get(1..).unwrap_or_default()).text().unwrap_or_default();
            let row: DomainRow = decode(Table::Directory, &key, &value)?;
            domains.push(Domain { name: name.to_owned(), settings: row.settings });
        }
        Ok(domains)
    }

    /// One domain, by its normalised name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn domain(&self, name: &str) -> Result<Option<Domain>, StoreError> {
        let row: Option<DomainRow> =
            self.source.row(&Key::Domain(name), &Object::Domain(name.to_owned()))?;
        Ok(row.map(|row| Domain { name: name.to_owned(), settings: row.settings }))
    }

    /// Accounts by rising id, from the first above `after`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn accounts(
        &self,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Vec<Account>, StoreError> {
        let mut accounts = Vec::new();
        let mut next = after.map_or(Some(0), |after| after.0.checked_add(1));
        while let Some(id) = next.filter(|_| accounts.len() < limit) {
            // Accounts are never removed: those of then are among those of now.
            let Some(id) = self.first_account(AccountId(id))? else { break };
            accounts.extend(self.account(id)?);
            next = id.0.checked_add(1);
        }
        Ok(accounts)
    }

    pub(super) fn first_account(&self, from: AccountId) -> Result<Option<AccountId>, StorageError> {
        let range = KeyRange { from: Bytes::account(from).done(), to: None };
        let mut found = None;
        self.reader().visit(Table::Account, &range, Order::Rising, &mut |key, _| {
            found = Parts::new(key).account();
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// One account.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn account(&self, account: AccountId) -> Result<Option<Account>, StoreError> {
        let row: Option<AccountRow> =
            self.source.row(&Key::Account(account), &Object::Account(account))?;
        let there = |row: &AccountRow| row.settings.state != AccountState::Deleted;
        let Some(row) = row.filter(there) else { return Ok(None) };
        self.shown(account, row).map(Some)
    }

    /// Accounts that are deleted as of this view, by rising id; their settings say so.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn deleted_accounts(&self) -> Result<Vec<Account>, StoreError> {
        let (mut accounts, mut next) = (Vec::new(), Some(0));
        while let Some(id) = next {
            let Some(id) = self.first_account(AccountId(id))? else { break };
            let row: Option<AccountRow> =
                self.source.row(&Key::Account(id), &Object::Account(id))?;
            let gone = |row: &AccountRow| row.settings.state == AccountState::Deleted;
            if let Some(row) = row.filter(gone) {
                accounts.push(self.shown(id, row)?);
            }
            next = id.0.checked_add(1);
        }
        Ok(accounts)
    }

    fn shown(&self, account: AccountId, row: AccountRow) -> Result<Account, StoreError> {
        let usage: Usage =
            self.source.row(&Key::Usage(account), &Object::Usage(account))?.unwrap_or_default();
        let (_, said) = self.said(account, &row.address, &row.settings)?;
        Ok(Account {
            id: account,
            quota: said.quota().value,
            address: row.address,
            settings: row.settings,
            used_bytes: usage.bytes,
            emails: usage.emails,
            created: row.created,
            base: row.base,
        })
    }

    /// Aliases of one account, or all.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn aliases(
        &self,
        account: Option<AccountId>,
    ) -> Result<Vec<(Address, AccountId)>, StoreError> {
        match account {
            Some(account) if !self.source.is_past() => self.aliases_of(account),
            _ => {
                let mut aliases = self.all_aliases()?;
                aliases.retain(|(_, owner)| account.is_none_or(|account| account == *owner));
                Ok(aliases)
            }
        }
    }

    fn aliases_of(&self, account: AccountId) -> Result<Vec<(Address, AccountId)>, StoreError> {
        let range = Bytes::account(account).u8(b'i').range();
        let rows = self.reader().scan(Table::Account, &range, usize::MAX)?;
        let alias = |(key, _): Row| {
            let address = Parts::new(key.get(9..).unwrap_or_default()).address();
            address
                .map(|address| (address, account))
                .ok_or_else(|| StorageError::corrupt(Table::Account, &key, "no alias"))
        };
        Ok(rows.into_iter().map(alias).collect::<Result<_, _>>()?)
    }

    fn all_aliases(&self) -> Result<Vec<(Address, AccountId)>, StoreError> {
        let mut aliases = Vec::new();
        let mut add = |address: Address, row: AddressRow| {
            if row.alias {
                aliases.push((address, row.account));
            }
        };
        if self.source.is_past() {
            let range = objects(DIRECTORY, kind::ADDRESS).range();
            self.source.objects(&range, &mut |object, value| {
                if let Object::Address(address) = object {
                    let row = decode(Table::History, address.local.as_bytes(), value)?;
                    add(address, row);
                }
                Ok(true)
            })?;
            return Ok(aliases);
        }
        let range = KeyRange::prefix(b"n");
        self.reader().visit(Table::Directory, &range, Order::Rising, &mut |key, value| {
            let address = Parts::new(key.get(1..).unwrap_or_default()).address();
            let address = address
                .ok_or_else(|| StorageError::corrupt(Table::Directory, key, "no address"))?;
            add(address, decode(Table::Directory, key, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(aliases)
    }

    /// What an address stands for: exact account, alias, subaddress, catch-all.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn resolve(&self, address: &str, default_domain: &str) -> Result<Resolved, StoreError> {
        let (written, domain) = address.rsplit_once('@').unwrap_or((address, default_domain));
        let (Some(local), Some(domain)) = (normal_long_local(written), normal_domain(domain))
        else {
            return Ok(Resolved::Invalid);
        };
        let Some(Domain { settings, name }) = self.domain(&domain)? else {
            return Ok(Resolved::NoSuchDomain);
        };
        if let Some(account) = self.addressed(&Address { local, domain: name.clone() })? {
            return Ok(Resolved::Account { account: Box::new(account), detail: None });
        }
        if let Some((user, detail)) =
            settings.subaddress_separator.and_then(|separator| written.split_once(separator))
        {
            let local = normal_long_local(user).unwrap_or_default();
            if let Some(account) = self.addressed(&Address { local, domain: name })? {
                let detail = Some(detail.nfc().collect());
                return Ok(Resolved::Account { account: Box::new(account), detail });
            }
        }
        let Some(catch_all) = settings.catch_all else { return Ok(Resolved::NoSuchUser) };
        Ok(self.account(catch_all)?.map_or(Resolved::NoSuchUser, |account| Resolved::Account {
            account: Box::new(account),
            detail: None,
        }))
    }

    /// The account that a login name means (no subaddress, no catch-all).
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn login(&self, name: &str, default_domain: &str) -> Result<Option<Account>, StoreError> {
        match normal_address(name, default_domain) {
            Some(address) => self.addressed(&address),
            None => Ok(None),
        }
    }

    /// The account or alias with exactly this address.
    fn addressed(&self, address: &Address) -> Result<Option<Account>, StoreError> {
        let row: Option<AddressRow> =
            self.source.row(&Key::Address(address), &Object::Address(address.clone()))?;
        row.map_or(Ok(None), |row| self.account(row.account))
    }

    /// Where an import's item with this operation id has arrived in a mailbox, while that
    /// is remembered; as it is now whatever the view's index.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn imported(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        operation: OperationId,
    ) -> Result<Option<Arrival>, StoreError> {
        let key = Key::Item(operation, account, mailbox);
        let Some(value) = self.reader().get(key.table(), &key.bytes())? else { return Ok(None) };
        let row: ItemRow = decode(key.table(), &key.bytes(), &value)?;
        Ok(Some(row.arrival))
    }

    /// The passwords of an account, as they are now whatever the view's index.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn credentials(&self, account: AccountId) -> Result<Vec<Credential>, StoreError> {
        let range = Bytes::account(account).u8(b'c').range();
        let rows = self.reader().scan(Table::Account, &range, usize::MAX)?;
        let credential = |(key, value): Row| {
            let name = Parts::new(key.get(9..).unwrap_or_default()).text().unwrap_or_default();
            let row: CredentialRow = decode(Table::Account, &key, &value)?;
            Ok(Credential { name: name.to_owned(), phc: row.phc, set: row.set })
        };
        Ok(rows.into_iter().map(credential).collect::<Result<_, StorageError>>()?)
    }
}
