//! What waits for a second person is there, and nothing else waits.

use redoubt_log::id::HoldId;
use redoubt_log::record::Approves;

use super::{Checked, Checker};
use crate::keys::{DIRECTORY, Key, Parts, approvals, approves, holds_over, policies};
use crate::retention::Policy;
use crate::rows::{ApprovalRow, ApprovalState, ErasureRow, ErasureState, HoldRow, JobRow};
use crate::storage::{StorageError, Table};

impl Checker<'_> {
    pub(super) fn approvals(&mut self) -> Checked {
        let range = approvals().range();
        self.rows(Table::Directory, &range, approves, |c, of, row: ApprovalRow| {
            let waits = row.state == ApprovalState::Waits;
            let right = !waits || c.waits(of)?;
            c.expect(right, "approval", of, "it waits for a second person, and is not there");
            Ok(())
        })?;
        let hold = |mut parts: Parts<'_>| parts.account().and(parts.u8()).and(parts.u64());
        let range = holds_over(DIRECTORY).range();
        self.rows(Table::Account, &range, hold, |c, hold, row: HoldRow| {
            match row.releasing.is_some_and(|releasing| !releasing.ending) {
                true => c.asked(Approves::HoldRelease(HoldId(hold))),
                false => Ok(()),
            }
        })?;
        let range = policies().range();
        self.rows(
            Table::Account,
            &range,
            |_| Some(()),
            |c, (), policy: Policy| {
                for version in policy.versions.iter().filter(|version| version.review) {
                    c.asked(Approves::Policy { policy: policy.id, version: version.number })?;
                }
                Ok(())
            },
        )
    }

    /// That somebody has to decide it is known.
    fn asked(&mut self, of: Approves) -> Checked {
        let there = self.has(&Key::Approval(of))?;
        self.expect(there, "approval", of, "it needs a second person, and nobody can tell");
        Ok(())
    }

    fn waits(&self, of: Approves) -> Result<bool, StorageError> {
        Ok(match of {
            Approves::Export(job) => {
                self.get::<JobRow>(&Key::Job(job))?.is_some_and(|job| job.end.is_none())
            }
            Approves::HoldRelease(hold) => {
                let row: Option<HoldRow> = self.get(&Key::Hold(DIRECTORY, hold))?;
                row.and_then(|row| row.releasing).is_some_and(|releasing| !releasing.ending)
            }
            Approves::Policy { policy, version } => {
                let row: Option<Policy> = self.get(&Key::Policy(policy))?;
                let mut versions = row.into_iter().flat_map(|policy| policy.versions);
                versions.any(|it| it.number == version && it.review && it.approved.is_none())
            }
            Approves::Erasure(erasure) => {
                let row: Option<ErasureRow> = self.get(&Key::Erasure(erasure))?;
                row.is_some_and(|row| row.state == ErasureState::Review)
            }
        })
    }
}
