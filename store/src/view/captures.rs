//! Capture rules, what they want, and what was captured.

use std::collections::BTreeSet;

use redoubt_log::id::{AccountId, CaptureId, Timestamp};
use redoubt_log::record::{CaptureParty, CaptureRule, CaptureScope};
use serde::{Deserialize, Serialize};

use super::{Key, Object, Parts, StorageError, StoreError, Table, View, decode};
use crate::captures::{Party, Way, covers};
use crate::keys::{DIRECTORY, Meta, captured_domains, captures, kind, objects};
use crate::rows::{CaptureRow, CapturedRow};

/// A capture rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaptureRuleShown {
    /// Its id, for ever.
    pub id: CaptureId,
    /// What it says.
    pub rule: CaptureRule,
    /// When it was set.
    pub set: Timestamp,
}

impl View {
    /// All capture rules, by rising id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn captures(&self) -> Result<Vec<CaptureRuleShown>, StoreError> {
        let mut found = Vec::new();
        if self.source.is_past() {
            let range = objects(DIRECTORY, kind::CAPTURE).range();
            self.source.objects(&range, &mut |object, value| {
                if let Object::Capture(id) = object {
                    found.push(shown(id, decode(Table::History, &[], value)?));
                }
                Ok(true)
            })?;
            return Ok(found);
        }
        let key = Key::Meta(Meta::NextCapture);
        if self.reader().get(key.table(), &key.bytes())?.is_none() {
            return Ok(found);
        }
        for (key, value) in self.reader().scan(Table::Directory, &captures().range(), usize::MAX)? {
            let id = Parts::new(key.get(1..).unwrap_or_default()).u64();
            let id = id.ok_or_else(|| StorageError::corrupt(Table::Directory, &key, "no rule"))?;
            found.push(shown(CaptureId(id), decode(Table::Directory, &key, &value)?));
        }
        Ok(found)
    }

    /// One capture rule.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn capture_rule(&self, id: CaptureId) -> Result<Option<CaptureRuleShown>, StoreError> {
        let row: Option<CaptureRow> = self.source.row(&Key::Capture(id), &Object::Capture(id))?;
        Ok(row.map(|row| shown(id, row)))
    }

    /// Whether journal reports to an archive account's address are taken apart.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn takes_journals(&self, archive: AccountId) -> Result<bool, StoreError> {
        let journals = |shown: &CaptureRuleShown| {
            shown.rule.scope == CaptureScope::Journal && shown.rule.archive == archive
        };
        Ok(self.captures()?.iter().any(journals))
    }

    /// The archive accounts that mail to these accounts goes into.
    pub(crate) fn archives_of_delivered(
        &self,
        accounts: impl Iterator<Item = AccountId>,
    ) -> Result<BTreeSet<AccountId>, StoreError> {
        let (rules, mut found) = (self.captures()?, BTreeSet::new());
        for account in accounts {
            if rules.is_empty() {
                break;
            }
            let Some(domain) = self.domain_of(account)? else { continue };
            let party = CaptureParty { account: Some(account), domain };
            found.extend(self.wanted(&rules, &party, Way::Delivered)?);
        }
        Ok(found)
    }

    /// The archive accounts that mail from any of these goes into.
    pub(crate) fn archives_of_sent(
        &self,
        parties: &[CaptureParty],
    ) -> Result<BTreeSet<AccountId>, StoreError> {
        let (rules, mut found) = (self.captures()?, BTreeSet::new());
        for party in parties {
            found.extend(self.wanted(&rules, party, Way::Sent)?);
        }
        Ok(found)
    }

    fn wanted(
        &self,
        rules: &[CaptureRuleShown],
        party: &CaptureParty,
        way: Way,
    ) -> Result<Vec<AccountId>, StoreError> {
        let class = match party.account {
            Some(account) => self.account_class(account)?.class,
            None => None,
        };
        let class = match (class, party.account) {
            (None, Some(_)) => self.domain_class(&party.domain)?,
            (class, _) => class,
        };
        let party = Party { account: party.account, domain: &party.domain, class };
        let fitting = rules.iter().filter(|shown| covers(&shown.rule, &party, way));
        Ok(fitting.map(|shown| shown.rule.archive).collect())
    }

    /// What was captured of an account's mail from the beginning, as of now; of an archive
    /// account: what journal reports brought.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn captured(&self, account: AccountId) -> Result<CapturedRow, StoreError> {
        let key = Key::Captured(account);
        let found = self.reader().get(key.table(), &key.bytes())?;
        let read = found.map(|value| decode(key.table(), &key.bytes(), &value));
        Ok(read.transpose()?.unwrap_or_default())
    }

    /// What was captured of the mail of each domain's addresses, as of now.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn captured_by_domain(&self) -> Result<Vec<(String, CapturedRow)>, StoreError> {
        let rows = self.reader().scan(Table::Directory, &captured_domains().range(), usize::MAX)?;
        let read = |(key, value): (Vec<u8>, Vec<u8>)| {
            let name = Parts::new(key.get(1..).unwrap_or_default()).text().map(str::to_owned);
            let name =
                name.ok_or_else(|| StorageError::corrupt(Table::Directory, &key, "no domain"))?;
            Ok((name, decode(Table::Directory, &key, &value)?))
        };
        rows.into_iter().map(read).collect()
    }
}

fn shown(id: CaptureId, CaptureRow { rule, set }: CaptureRow) -> CaptureRuleShown {
    CaptureRuleShown { id, rule, set }
}
