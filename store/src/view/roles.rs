//! Who has which role, and by which tokens they are known. Always as of now.

use redoubt_log::id::{AccountId, Hash};
use redoubt_log::record::{Role, RoleGrant};
use serde::de::DeserializeOwned;

use super::{Key, KeyRange, Parts, StorageError, StoreError, Table, View, decode};
use crate::keys::{Meta, grants, grants_of, personal_tokens};
use crate::rows::{GrantRow, PersonalTokenRow};

impl View {
    /// All roles that somebody has.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn grants(&self) -> Result<Vec<(RoleGrant, GrantRow)>, StoreError> {
        self.grants_in(&grants().range())
    }

    /// The roles that an account has.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn grants_of(&self, account: AccountId) -> Result<Vec<RoleGrant>, StoreError> {
        let found = self.grants_in(&grants_of(account).range())?;
        Ok(found.into_iter().map(|(grant, _)| grant).collect())
    }

    fn grants_in(&self, range: &KeyRange) -> Result<Vec<(RoleGrant, GrantRow)>, StoreError> {
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Directory, range, usize::MAX)? {
            let grant = grant_of(&key)
                .ok_or_else(|| StorageError::corrupt(Table::Directory, &key, "no role"))?;
            found.push((grant, decode(Table::Directory, &key, &value)?));
        }
        Ok(found)
    }

    /// Whether somebody was ever given a role.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn was_given(&self, role: Role) -> Result<bool, StoreError> {
        let given: u64 = self.row_now(&Key::Meta(Meta::RolesGiven))?.unwrap_or(0);
        Ok(given & (1 << role.number()) != 0)
    }

    /// A personal token, by the hash of its secret; one that has expired too.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn personal_token(&self, token: Hash) -> Result<Option<PersonalTokenRow>, StoreError> {
        self.row_now(&Key::PersonalToken(token))
    }

    /// All personal tokens, by their hashes.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn personal_tokens(&self) -> Result<Vec<(Hash, PersonalTokenRow)>, StoreError> {
        let mut found = Vec::new();
        let range = personal_tokens().range();
        for (key, value) in self.reader().scan(Table::Directory, &range, usize::MAX)? {
            let token = key.get(1..).unwrap_or_default().try_into();
            let token =
                token.map_err(|_| StorageError::corrupt(Table::Directory, &key, "no token"))?;
            found.push((Hash(token), decode(Table::Directory, &key, &value)?));
        }
        Ok(found)
    }

    pub(crate) fn row_now<T: DeserializeOwned>(
        &self,
        key: &Key<'_>,
    ) -> Result<Option<T>, StoreError> {
        let found = self.reader().get(key.table(), &key.bytes())?;
        let read = found.map(|value| decode(key.table(), &key.bytes(), &value));
        Ok(read.transpose()?)
    }
}

/// The role that the key of a grant names.
pub(crate) fn grant_of(key: &[u8]) -> Option<RoleGrant> {
    let mut parts = Parts::new(key);
    parts.u8()?;
    let (account, number) = (parts.account()?, parts.u8()?);
    let role = Role::ALL.into_iter().find(|role| role.number() == number)?;
    let domain = parts.text()?;
    let domain = (!domain.is_empty()).then(|| domain.to_owned());
    Some(RoleGrant { account, role, domain })
}
