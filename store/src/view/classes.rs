//! Classes of service, and what holds for an account.

use std::collections::BTreeMap;

use redoubt_log::id::{AccountId, ClassId, LogIndex};
use redoubt_log::record::{AccountSettings, Address, ClassSettings};
use serde::{Deserialize, Serialize};

use super::{AccountRow, Key, Object, Parts, StorageError, StoreError, Table, View, decode};
use crate::classes::{ClassNamed, Effective, Origin, Said, Setting};
use crate::keys::{DIRECTORY, Meta, classes, kind, objects};
use crate::rows::{AccountClassRow, ClassRow};

/// A class of service as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Class {
    /// Its id, for ever.
    pub id: ClassId,
    /// What people call it.
    pub name: String,
    /// What it says.
    pub settings: ClassSettings,
}

impl View {
    /// All classes, by rising id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn classes(&self) -> Result<Vec<Class>, StoreError> {
        let mut found = Vec::new();
        if self.source.is_past() {
            let range = objects(DIRECTORY, kind::CLASS).range();
            self.source.objects(&range, &mut |object, value| {
                if let Object::Class(id) = object {
                    found.push(class(id, decode(Table::History, &[], value)?));
                }
                Ok(true)
            })?;
            return Ok(found);
        }
        let range = classes().range();
        for (key, value) in self.reader().scan(Table::Directory, &range, usize::MAX)? {
            let id = Parts::new(key.get(1..).unwrap_or_default()).u64();
            let id = id.ok_or_else(|| StorageError::corrupt(Table::Directory, &key, "no class"))?;
            found.push(class(ClassId(id), decode(Table::Directory, &key, &value)?));
        }
        Ok(found)
    }

    /// One class.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn class(&self, id: ClassId) -> Result<Option<Class>, StoreError> {
        let row: Option<ClassRow> = self.source.row(&Key::Class(id), &Object::Class(id))?;
        Ok(row.map(|row| class(id, row)))
    }

    /// The class of a domain's accounts that have none of their own.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn domain_class(&self, domain: &str) -> Result<Option<ClassId>, StoreError> {
        let object = Object::DomainClass(domain.to_owned());
        Ok(self.source.row(&Key::DomainClass(domain), &object)?)
    }

    /// What an account says of its class and above it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn account_class(&self, account: AccountId) -> Result<AccountClassRow, StoreError> {
        let row = self.source.row(&Key::AccountClass(account), &Object::AccountClass(account))?;
        Ok(row.unwrap_or_default())
    }

    /// All that holds for an account, with where it comes from; also for a deleted one.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn effective(&self, account: AccountId) -> Result<Option<Effective>, StoreError> {
        let row: Option<AccountRow> =
            self.source.row(&Key::Account(account), &Object::Account(account))?;
        let Some(row) = row else { return Ok(None) };
        let (class, said) = self.said(account, &row.address, &row.settings)?;
        Ok(Some(Effective {
            class,
            quota: said.quota(),
            history: said.history(),
            largest_message: said.largest_message(),
            mailboxes: said.mailboxes(),
        }))
    }

    /// The domain of an account, of a deleted one too.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn domain_of(&self, account: AccountId) -> Result<Option<String>, StoreError> {
        let row: Option<AccountRow> =
            self.source.row(&Key::Account(account), &Object::Account(account))?;
        Ok(row.map(|row| row.address.domain))
    }

    /// Octets of the largest message that an account takes, where it or its class says.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn largest_message(&self, account: AccountId) -> Result<Option<u64>, StoreError> {
        Ok(self.effective(account)?.and_then(|effective| effective.largest_message.value))
    }

    pub(super) fn said(
        &self,
        account: AccountId,
        address: &Address,
        settings: &AccountSettings,
    ) -> Result<(Setting<ClassNamed>, Said), StoreError> {
        let own = self.account_class(account)?;
        let domain = self.domain_class(&address.domain)?;
        let (class, from) = match own.class {
            Some(class) => (Some(class), Origin::Account),
            None if domain.is_some() => (domain, Origin::Domain),
            None => (None, Origin::Configuration),
        };
        // One that was removed says nothing.
        let class = class.map(|id| self.class(id)).transpose()?.flatten();
        let domain_quota = self.domain(&address.domain)?.and_then(|d| d.settings.default_quota);
        let said = Said {
            own_quota: settings.quota,
            own: own.own,
            class: class.as_ref().map(|class| class.settings.clone()).unwrap_or_default(),
            domain_quota,
        };
        let class = class.map(|Class { id, name, .. }| ClassNamed { id, name });
        Ok((Setting { value: class, from }, said))
    }

    /// For how long the history of each account is kept, in seconds, where it or its class says;
    /// deleted ones too.
    pub(crate) fn histories(&self) -> Result<BTreeMap<AccountId, Option<u64>>, StoreError> {
        let mut found = BTreeMap::new();
        for id in self.account_ids()? {
            let history = self.effective(id)?.and_then(|effective| effective.history.value);
            found.insert(id, history);
        }
        Ok(found)
    }

    /// Where a class, or who has which, changed last.
    pub(crate) fn classes_changed(&self) -> Result<Option<LogIndex>, StoreError> {
        let key = Key::Meta(Meta::Classes);
        let found = self.reader().get(key.table(), &key.bytes())?;
        let read = found.map(|value| decode(key.table(), &key.bytes(), &value));
        Ok(read.transpose()?)
    }
}

fn class(id: ClassId, ClassRow { name, settings }: ClassRow) -> Class {
    Class { id, name, settings }
}
