//! Whose mail a query is over: there is no query without that.

use redoubt_log::id::AccountId;

/// Whose mail a query is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope(Vec<AccountId>);

impl Scope {
    /// One account's.
    pub fn account(account: AccountId) -> Self {
        Self(vec![account])
    }

    /// That of many, named one by one: for whoever may look across accounts, and has said why.
    pub fn discovery(discovery: Discovery) -> Self {
        Self(discovery.accounts)
    }

    /// The accounts, rising and each once.
    pub fn accounts(&self) -> &[AccountId] {
        &self.0
    }
}

/// The accounts that a discovery looks into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    accounts: Vec<AccountId>,
}

impl Discovery {
    /// Over these accounts.
    pub fn across(mut accounts: Vec<AccountId>) -> Self {
        accounts.sort_unstable();
        accounts.dedup();
        Self { accounts }
    }
}
