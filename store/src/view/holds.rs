//! What is held. All as of now, also where the view is of the past: a hold binds whoever looks.

use std::ops::ControlFlow;

use redoubt_log::id::{AccountId, EmailId, HoldId, LogIndex, MatterId, Timestamp};
use redoubt_log::record::{Held, HoldSet, Reach, Releasing};

use super::{Key, Order, Parts, StorageError, StoreError, Table, View, decode};
use crate::holds;
use crate::keys::{DIRECTORY, judged_by, marks_of};
use crate::rows::{HoldAtRow, HoldRow};

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Hold {
    /// Its id, for ever.
    pub id: HoldId,
    /// What it says.
    pub terms: HoldSet,
    /// When it was set.
    pub set: Timestamp,
    /// Where it was set.
    pub at: LogIndex,
    /// Whether it is being released.
    pub releasing: Option<Releasing>,
}

/// What a hold comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HoldCounts {
    /// Accounts that it is over, deleted ones too.
    pub accounts: u64,
    /// Emails that its query was found to hold.
    pub held: u64,
    /// Of these, emails of which not all text could be had.
    pub unread: u64,
    /// Emails that its query has not judged yet.
    pub unjudged: u64,
}

impl Hold {
    fn of((id, row): (HoldId, HoldRow)) -> Self {
        let HoldRow { terms, set, at, releasing } = row;
        Self { id, terms, set, at, releasing }
    }
}

impl View {
    /// All holds, by id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>, StoreError> {
        Ok(holds::all(&self.reader())?.into_iter().map(Hold::of).collect())
    }

    /// Holds of a matter that are in force, by id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn holds_of(&self, matter: MatterId) -> Result<Vec<Hold>, StoreError> {
        let mut holds = self.holds()?;
        holds.retain(|hold| hold.terms.matter == Some(matter));
        Ok(holds)
    }

    /// A hold, while it is in force.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn hold(&self, id: HoldId) -> Result<Option<Hold>, StoreError> {
        let row: Option<HoldRow> = self.source.get(&Key::Hold(DIRECTORY, id))?;
        Ok(row.map(|row| Hold::of((id, row))))
    }

    /// Holds that reach an account, by id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn holds_over(&self, account: AccountId) -> Result<Vec<Hold>, StoreError> {
        Ok(holds::over(&self.reader(), account)?.into_iter().map(Hold::of).collect())
    }

    /// A hold because of which nothing of an account's history may go, if there is any; over
    /// account 0, any at all.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn held_by(&self, account: AccountId) -> Result<Option<HoldId>, StoreError> {
        Ok(holds::of_account(&self.reader(), account)?)
    }

    /// Holds over one email: also those of queries that have not judged it yet.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn email_held_by(
        &self,
        account: AccountId,
        email: EmailId,
    ) -> Result<Vec<HoldId>, StoreError> {
        Ok(holds::of_email(&self.reader(), account, email, false)?)
    }

    /// Why a query holds an email; `None` for one that it does not hold or has not judged.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn hold_mark(
        &self,
        hold: HoldId,
        account: AccountId,
        email: EmailId,
    ) -> Result<Option<Held>, StoreError> {
        Ok(self.source.get(&Key::HoldMark(hold, account, email))?)
    }

    /// How far a query has judged an account.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn judged(&self, hold: HoldId, account: AccountId) -> Result<HoldAtRow, StoreError> {
        Ok(holds::at(&self.reader(), hold, account)?)
    }

    /// Emails of an account that a query has not judged yet, live or in its history, by rising
    /// id, at most about `limit`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn unjudged(
        &self,
        hold: HoldId,
        account: AccountId,
        limit: usize,
    ) -> Result<Vec<EmailId>, StoreError> {
        let at = holds::at(&self.reader(), hold, account)?;
        Ok(holds::behind(&self.reader(), account, at.upto, limit)?)
    }

    /// Accounts that a hold reaches, deleted ones too, by id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn reached_by(&self, hold: &Hold) -> Result<Vec<AccountId>, StoreError> {
        let mut accounts = match hold.terms.scope.reach() {
            Reach::All => return self.account_ids(),
            Reach::Domain(domain) => self.once_in(domain)?,
            Reach::Accounts(accounts) => {
                let mut known = Vec::new();
                for account in accounts {
                    if self
                        .reader()
                        .get(Table::Account, &Key::Hold(*account, hold.id).bytes())?
                        .is_some()
                    {
                        known.push(*account);
                    }
                }
                known
            }
        };
        accounts.extend(self.stays_under(hold.id)?);
        accounts.sort_unstable();
        accounts.dedup();
        Ok(accounts)
    }

    /// What a hold comes to; of one without a query the accounts alone.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn hold_counts(&self, hold: &Hold) -> Result<HoldCounts, StoreError> {
        let accounts = self.reached_by(hold)?;
        let mut counts = HoldCounts { accounts: accounts.len() as u64, ..HoldCounts::default() };
        if hold.terms.scope.query().is_none() {
            return Ok(counts);
        }
        let range = marks_of(hold.id).range();
        self.reader().visit(Table::EmailPlacement, &range, Order::Rising, &mut |key, value| {
            let held: Held = decode(Table::EmailPlacement, key, value)?;
            counts.held += 1;
            counts.unread += u64::from(held == Held::Unread);
            Ok(ControlFlow::Continue(()))
        })?;
        for account in accounts {
            counts.unjudged += self.unjudged(hold.id, account, usize::MAX)?.len() as u64;
        }
        Ok(counts)
    }

    /// Accounts whose domain it is now, or was when they were deleted.
    fn once_in(&self, domain: &str) -> Result<Vec<AccountId>, StoreError> {
        let mut found = Vec::new();
        for account in self.account_ids()? {
            let row: Option<crate::rows::AccountRow> = self.source.get(&Key::Account(account))?;
            if row.is_some_and(|row| row.address.domain == domain) {
                found.push(account);
            }
        }
        Ok(found)
    }

    /// Accounts of which a hold knows more: those that left its domain, and those judged.
    fn stays_under(&self, hold: HoldId) -> Result<Vec<AccountId>, StoreError> {
        let rows = self.reader().scan(Table::Account, &judged_by(hold).range(), usize::MAX)?;
        let account = |(key, value): &(Vec<u8>, Vec<u8>)| {
            let _: HoldAtRow = decode(Table::Account, key, value)?;
            let account = Parts::new(key.get(17..).unwrap_or_default()).account();
            account.ok_or_else(|| StorageError::corrupt(Table::Account, key, "no account"))
        };
        Ok(rows.iter().map(account).collect::<Result<_, StorageError>>()?)
    }
}
