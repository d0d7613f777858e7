//! Where histories begin.

use super::*;

impl Model {
    fn not_restored_from(&self, account: AccountId) -> Answer<()> {
        match self.restores.values().any(|restore| restore.needs(account)) {
            true => Err(Rejection::Floor(String::new())),
            false => Ok(()),
        }
    }

    pub(super) fn history_floor(&mut self, at: &At, r: &HistoryFloor) -> Answer<Done> {
        self.not_held(r.account)?;
        self.not_restored_from(r.account)?;
        if r.floor.0 >= at.index {
            return Err(Rejection::Floor(String::new()));
        }
        match self.floors.get(&r.account) {
            Some(old) if *old > r.floor => return Err(Rejection::FloorBack(*old)),
            Some(old) if *old == r.floor => return Ok(Done::Unit),
            _ => {}
        }
        if r.account.0 > 0 {
            self.known(r.account)?;
        } else {
            let begins = |id| self.floors.get(id).is_some_and(|floor| *floor >= r.floor);
            if !self.now.accounts.keys().chain(self.now.deleted.keys()).all(begins) {
                return Err(Rejection::Floor(String::new()));
            }
        }
        self.floors.insert(r.account, r.floor);
        Ok(Done::Unit)
    }

    /// It changes nothing that anybody may see.
    pub(super) fn history_trim(&mut self, r: &HistoryTrim) -> Answer<Done> {
        self.not_held(r.account)?;
        self.not_restored_from(r.account)?;
        match self.floors.contains_key(&r.account) {
            true => Ok(Done::Trimmed(0)),
            false => Err(Rejection::Floor(String::new())),
        }
    }

    /// One that is deleted, too.
    pub(super) fn known(&self, account: AccountId) -> Answer<()> {
        match self.now.accounts.contains_key(&account) || self.now.deleted.contains_key(&account) {
            true => Ok(()),
            false => Err(Rejection::NoSuchAccount),
        }
    }

    pub fn floor(&self, account: AccountId) -> LogIndex {
        self.floors.get(&account).copied().unwrap_or_default()
    }

    /// Whether a view that may be asked for shows an email with this content.
    pub fn is_needed(&self, blob: &BlobId) -> bool {
        let shown = |index: LogIndex, state: &State| {
            state.accounts.iter().any(|(id, account)| {
                self.floor(*id) <= index && account.emails.values().any(|e| e.blob == *blob)
            })
        };
        let last = LogIndex(u64::MAX);
        shown(last, &self.now) || self.past.iter().any(|(index, state)| shown(*index, state))
    }
}
