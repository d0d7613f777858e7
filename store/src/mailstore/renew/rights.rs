//! Who may do what is as it was last, whatever moment somebody goes back to: pure.

use redoubt_log::id::{AccountId, Hash, MatterId};
use redoubt_log::record::{AccountState, Change, KeptToken, MAX_CHANGES, Right, RightsKept};
use serde::de::DeserializeOwned;

use crate::keys::{Bytes, Key, Meta, Parts, custodians, grants, matters, members, personal_tokens};
use crate::mailstore::StoreError;
use crate::rows::{
    AccountRow, CredentialRow, GrantRow, MatterMemberRow, MatterRow, PersonalTokenRow, SinceRow,
};
use crate::storage::{KeyRange, StorageError, Table, decode};
use crate::view::{View, grant_of};

/// What of rights differs between a moment and the newest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    given: u64,
    next_matter: MatterId,
    rights: Vec<Right>,
}

/// Accounts that are looked at together.
const PAGE: usize = 1000;
/// Octets of one record's rights, about; a record has four times as many.
const MAX_OCTETS: usize = 64 * 1024;
/// Octets of a right beside its texts.
const OCTETS: usize = 128;

impl Rights {
    /// What brings those of an earlier state to those of a later one.
    ///
    /// # Errors
    /// A state cannot be read.
    pub fn since(earlier: &View, later: &View) -> Result<Self, StoreError> {
        let given: u64 = later.row_now(&Key::Meta(Meta::RolesGiven))?.unwrap_or(0);
        let next: u64 = later.row_now(&Key::Meta(Meta::NextMatter))?.unwrap_or(1);
        let mut found = Self { given, next_matter: MatterId(next), rights: Vec::new() };
        found.of_accounts(earlier, later)?;
        let states = (earlier, later);
        let rights = &mut found.rights;
        differing(states, &grants().range(), |key, is: Option<GrantRow>| {
            let is = is.map(|row| (row.index, row.since));
            rights.push(Right::Grant { grant: grant_of(key)?, is });
            Some(())
        })?;
        differing(states, &personal_tokens().range(), |key, is: Option<PersonalTokenRow>| {
            let token = Hash(key.get(1..)?.try_into().ok()?);
            rights.push(Right::Token { token, is: is.map(kept_token) });
            Some(())
        })?;
        differing(states, &matters().range(), |key, is: Option<MatterRow>| {
            let matter = MatterId(number(key, 2)?);
            // Matters are closed, and never removed.
            let Some(MatterRow { name, settings, opened, by, .. }) = is else { return Some(()) };
            rights.push(Right::Matter { matter, name, settings, opened, by });
            Some(())
        })?;
        differing(states, &members().range(), |key, is: Option<MatterMemberRow>| {
            let (matter, account) = (MatterId(number(key, 2)?), AccountId(number(key, 10)?));
            let is = is.map(|row| (row.role, row.since));
            rights.push(Right::Member { matter, account, is });
            Some(())
        })?;
        differing(states, &custodians().range(), |key, is: Option<SinceRow>| {
            let (matter, account) = (MatterId(number(key, 2)?), AccountId(number(key, 10)?));
            rights.push(Right::Custodian { matter, account, is: is.map(|row| row.since) });
            Some(())
        })?;
        Ok(found)
    }

    /// States and passwords of the accounts of the earlier state. What a deletion left of an
    /// account is what it had.
    fn of_accounts(&mut self, earlier: &View, later: &View) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let accounts = earlier.accounts(after, PAGE)?;
            let Some(last) = accounts.last() else { break };
            after = Some(last.id);
            for account in &accounts {
                self.of_account(earlier, later, account.id)?;
            }
        }
        for account in earlier.deleted_accounts()? {
            self.of_account(earlier, later, account.id)?;
        }
        Ok(())
    }

    fn of_account(
        &mut self,
        earlier: &View,
        later: &View,
        account: AccountId,
    ) -> Result<(), StoreError> {
        let state = |view: &View| -> Result<Option<AccountState>, StoreError> {
            let row: Option<AccountRow> = view.row_now(&Key::Account(account))?;
            Ok(row.map(|row| row.settings.state))
        };
        let Some(state_later) = state(later)? else { return Ok(()) };
        let rights = &mut self.rights;
        if state(earlier)? != Some(state_later) && state_later != AccountState::Deleted {
            rights.push(Right::State { account, state: state_later });
        }
        let range = Bytes::account(account).u8(b'c').range();
        differing_in(Table::Account, (earlier, later), &range, |key, is: Option<CredentialRow>| {
            let name = Parts::new(key.get(9..)?).text()?.to_owned();
            rights.push(Right::Password { account, name, is: is.map(|row| (row.phc, row.set)) });
            Some(())
        })
    }

    /// What of it is one account's.
    #[must_use]
    pub fn over(mut self, account: AccountId) -> Self {
        self.rights.retain(|right| match right {
            Right::State { account: whose, .. } | Right::Password { account: whose, .. } => {
                *whose == account
            }
            _ => false,
        });
        self
    }

    /// What puts it in force in the earlier state.
    pub(super) fn changes(&self, earlier: &View) -> Result<Vec<Change>, StoreError> {
        let given: u64 = earlier.row_now(&Key::Meta(Meta::RolesGiven))?.unwrap_or(0);
        let next: u64 = earlier.row_now(&Key::Meta(Meta::NextMatter))?.unwrap_or(1);
        let same = given | self.given == given && next >= self.next_matter.0;
        if same && self.rights.is_empty() {
            return Ok(Vec::new());
        }
        let of = |rights| {
            let (given, next_matter) = (self.given, self.next_matter);
            Change::RightsKept(RightsKept { given, next_matter, rights })
        };
        let (mut changes, mut open, mut octets) = (Vec::new(), Vec::new(), 0_usize);
        for right in &self.rights {
            octets = octets.saturating_add(octets_of(right));
            if open.len() >= MAX_CHANGES || octets > MAX_OCTETS {
                changes.push(of(std::mem::take(&mut open)));
                octets = octets_of(right);
            }
            open.push(right.clone());
        }
        changes.push(of(open));
        Ok(changes)
    }
}

fn octets_of(right: &Right) -> usize {
    let texts = match right {
        Right::Password { name, is, .. } => {
            name.len().saturating_add(is.as_ref().map_or(0, |(phc, _)| phc.len()))
        }
        Right::Grant { grant, .. } => grant.domain.as_ref().map_or(0, String::len),
        Right::Token { is, .. } => is.as_ref().map_or(0, |token| token.name.len()),
        Right::Matter { name, settings, .. } => name.len().saturating_add(settings.about.len()),
        Right::State { .. } | Right::Member { .. } | Right::Custodian { .. } => 0,
    };
    texts.saturating_add(OCTETS)
}

fn kept_token(row: PersonalTokenRow) -> KeptToken {
    let PersonalTokenRow { account, name, made, by, expires } = row;
    KeptToken { account, name, made, by, expires }
}

fn number(key: &[u8], from: usize) -> Option<u64> {
    Parts::new(key.get(from..)?).u64()
}

/// Rows of the directory that are other ones in the later state, or no more there.
fn differing<T: DeserializeOwned>(
    states: (&View, &View),
    range: &KeyRange,
    told: impl FnMut(&[u8], Option<T>) -> Option<()>,
) -> Result<(), StoreError> {
    differing_in(Table::Directory, states, range, told)
}

/// `told` says whether it could read the key, and what it was told of is something that can be.
fn differing_in<T: DeserializeOwned>(
    table: Table,
    (earlier, later): (&View, &View),
    range: &KeyRange,
    mut told: impl FnMut(&[u8], Option<T>) -> Option<()>,
) -> Result<(), StoreError> {
    let corrupt = |key: &[u8]| StorageError::corrupt(table, key, "no right");
    for (key, value) in later.reader().scan(table, range, usize::MAX)? {
        if earlier.reader().get(table, &key)?.as_ref() != Some(&value) {
            let row = decode(table, &key, &value)?;
            told(&key, Some(row)).ok_or_else(|| corrupt(&key))?;
        }
    }
    for (key, _) in earlier.reader().scan(table, range, usize::MAX)? {
        if later.reader().get(table, &key)?.is_none() {
            told(&key, None).ok_or_else(|| corrupt(&key))?;
        }
    }
    Ok(())
}
