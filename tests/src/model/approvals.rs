//! What waits for a second person: who asked, and what came of it.

use super::*;

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Waits,
    Said(bool),
    /// It ended otherwise.
    Over,
}

impl Model {
    pub(super) fn ask(&mut self, of: Approves, by: Principal) {
        self.approvals.insert(of, (by, Word::Waits));
    }

    pub(super) fn over(&mut self, of: Approves) {
        match self.approvals.get_mut(&of) {
            Some((_, word)) if *word == Word::Waits => *word = Word::Over,
            _ => {}
        }
    }

    pub(super) fn approval(&mut self, by: Principal, r: &Approval) -> Answer<Done> {
        let no = || Rejection::Approval(String::new());
        let Some((asked, word)) = self.approvals.get(&r.of).copied() else {
            return Err(Rejection::NotFound(String::new()));
        };
        let Principal::Person(account) = by else { return Err(no()) };
        if by == asked {
            return Err(no());
        }
        let grant = RoleGrant { account, role: Role::Approver, domain: None };
        let active = self.now.account(account)?.settings.state == AccountState::Active;
        if !self.grants.contains(&grant) || !active || word != Word::Waits {
            return Err(no());
        }
        self.approvals.insert(r.of, (asked, Word::Said(r.given)));
        match r.of {
            Approves::HoldRelease(hold) if r.given => {
                self.holds.remove(&hold);
                return Ok(Done::More(false));
            }
            Approves::Erasure(erasure) => self.erasure_decided(erasure, r.given)?,
            // The model knows no policies, and asks the row when an export ends.
            _ => {}
        }
        Ok(Done::Unit)
    }
}
