//! Matters, their members, custodians, notes, searches and exports, and what waits for a second
//! person. Always as of now.

use redoubt_log::id::{AccountId, MatterId, OperationId};
use redoubt_log::record::{Approves, MatterRole};
use serde::de::DeserializeOwned;

use super::{Key, KeyRange, Parts, StorageError, StoreError, Table, View, decode};
use crate::keys::{
    approvals, approves, custodians_of, jobs_of, matters, members, members_of, notes_of,
};
use crate::rows::{ApprovalRow, JobRow, MatterMemberRow, MatterNoteRow, MatterRow, SinceRow};

/// Octets before what a key of a matter's part is about: two letters and the matter.
const OF_MATTER: usize = 10;

impl View {
    /// All matters, closed ones too, by rising id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn matters(&self) -> Result<Vec<(MatterId, MatterRow)>, StoreError> {
        self.numbered(&matters().range(), 2, MatterId)
    }

    /// One matter.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn matter(&self, matter: MatterId) -> Result<Option<MatterRow>, StoreError> {
        self.row_now(&Key::Matter(matter))
    }

    /// The members of a matter.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn matter_members(
        &self,
        matter: MatterId,
    ) -> Result<Vec<(AccountId, MatterMemberRow)>, StoreError> {
        self.numbered(&members_of(matter).range(), OF_MATTER, AccountId)
    }

    /// What an account may do in a matter.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn matter_role(
        &self,
        matter: MatterId,
        account: AccountId,
    ) -> Result<Option<MatterRole>, StoreError> {
        let row: Option<MatterMemberRow> = self.row_now(&Key::MatterMember(matter, account))?;
        Ok(row.map(|row| row.role))
    }

    /// Whether an account is a member of any matter.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_member(&self, account: AccountId) -> Result<bool, StoreError> {
        let rows = self.reader().scan(Table::Directory, &members().range(), usize::MAX)?;
        let of = |key: &[u8]| Parts::new(key.get(OF_MATTER..).unwrap_or_default()).account();
        Ok(rows.iter().any(|(key, _)| of(key) == Some(account)))
    }

    /// Whose mail a matter is about, by rising id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn custodians(&self, matter: MatterId) -> Result<Vec<(AccountId, SinceRow)>, StoreError> {
        self.numbered(&custodians_of(matter).range(), OF_MATTER, AccountId)
    }

    /// The notes of a matter behind one, at most `limit`.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn matter_notes(
        &self,
        matter: MatterId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, MatterNoteRow)>, StoreError> {
        let mut range = notes_of(matter).range();
        range.from = Key::MatterNote(matter, after.saturating_add(1)).bytes();
        self.page(&range, limit, OF_MATTER, |number| number)
    }

    /// The searches and exports of a matter, whichever node they are on, the oldest first.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn matter_jobs(&self, matter: MatterId) -> Result<Vec<(OperationId, JobRow)>, StoreError> {
        let mut found = Vec::new();
        let rows = self.reader().scan(Table::Directory, &jobs_of(matter).range(), usize::MAX)?;
        for (key, _) in rows {
            let job = operation(&key, OF_MATTER)?;
            found.extend(self.job(job)?.map(|row| (job, row)));
        }
        found.sort_by_key(|(job, row)| (row.begun, *job));
        Ok(found)
    }

    /// What the log tells of a search or export.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn job(&self, job: OperationId) -> Result<Option<JobRow>, StoreError> {
        self.row_now(&Key::Job(job))
    }

    /// What a second person has to say of something; `None` where nobody has to.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn approval(&self, of: Approves) -> Result<Option<ApprovalRow>, StoreError> {
        self.row_now(&Key::Approval(of))
    }

    /// All that a second person has to decide, what was decided too.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn approvals(&self) -> Result<Vec<(Approves, ApprovalRow)>, StoreError> {
        let mut found = Vec::new();
        for (key, value) in
            self.reader().scan(Table::Directory, &approvals().range(), usize::MAX)?
        {
            let of = approves(Parts::new(&key)).ok_or_else(|| corrupt(&key))?;
            found.push((of, decode(Table::Directory, &key, &value)?));
        }
        Ok(found)
    }

    fn numbered<K, T: DeserializeOwned>(
        &self,
        range: &KeyRange,
        from: usize,
        key_of: impl Fn(u64) -> K,
    ) -> Result<Vec<(K, T)>, StoreError> {
        self.page(range, usize::MAX, from, key_of)
    }

    /// Rows whose keys end in a number.
    fn page<K, T: DeserializeOwned>(
        &self,
        range: &KeyRange,
        limit: usize,
        from: usize,
        key_of: impl Fn(u64) -> K,
    ) -> Result<Vec<(K, T)>, StoreError> {
        let mut found = Vec::new();
        for (key, value) in self.reader().scan(Table::Directory, range, limit)? {
            let number = Parts::new(key.get(from..).unwrap_or_default()).u64();
            let number = number.ok_or_else(|| corrupt(&key))?;
            found.push((key_of(number), decode(Table::Directory, &key, &value)?));
        }
        Ok(found)
    }
}

fn operation(key: &[u8], from: usize) -> Result<OperationId, StorageError> {
    let octets = key.get(from..).unwrap_or_default().try_into();
    octets.map(OperationId).map_err(|_| corrupt(key))
}

fn corrupt(key: &[u8]) -> StorageError {
    StorageError::corrupt(Table::Directory, key, "no part of a matter")
}
