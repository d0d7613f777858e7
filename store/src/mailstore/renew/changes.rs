//! The records with which a history begins that goes on from another: pure.

use redoubt_log::id::{AccountId, EmailId, HoldId, PolicyId, Uid};
use redoubt_log::record::{
    Change, ErasuresKept, HoldRelease, HoldScope, HoldsKept, KeptHold, KeptPolicy, MAX_CHANGES,
    Move, NewLineage, Placed, PoliciesKept, PolicyWhose, Renumber, Version,
};

use crate::apply::APPLY_VERSION;
use crate::mailstore::StoreError;
use crate::view::{Hold, View};

/// UIDs that each mailbox passes over: the lost part may have given them.
const SKIP: u32 = 1 << 20;
/// Of so many messages one gets the UID of a lost one. mbsync goes on by itself where at least
/// four fifths of what it knows is as it was and nothing contradicts.
const STAND_IN_PART: u32 = 5;
/// At most so many in a mailbox.
const STAND_IN_MOST: u32 = 16;
/// Erased emails of one record: each may have many places and versions.
const ERASED: usize = 100;
/// Accounts that are looked at together.
const PAGE: usize = 1000;

/// What binds whoever goes on from a history, to whatever moment of it they go back: read from
/// its newest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// What is held.
    pub holds: Vec<Hold>,
    /// The id that the next hold would get.
    pub next_hold: HoldId,
    /// Policies that are locked.
    pub policies: Vec<KeptPolicy>,
    /// The id that the next policy would get.
    pub next_policy: PolicyId,
    /// What was erased: emails by account and erasure, with when that was begun.
    pub erased: Vec<ErasuresKept>,
}

impl Binding {
    /// What binds as of a state.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn of(view: &View) -> Result<Self, StoreError> {
        let locked = view.policies()?.into_iter().filter(|policy| policy.locked);
        let kept = locked.filter_map(|policy| {
            let settings = policy.settings()?.clone();
            Some(KeptPolicy { policy: policy.id, settings, locked: true })
        });
        Ok(Self {
            holds: view.holds()?,
            next_hold: view.next_hold()?,
            policies: kept.collect(),
            next_policy: view.next_policy()?,
            erased: erased(view)?,
        })
    }

    /// Holds over accounts that an earlier state does not know: nothing of them is there.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn without_account(&self, earlier: &View) -> Result<Vec<Hold>, StoreError> {
        let mut without = Vec::new();
        for hold in &self.holds {
            let HoldScope::Account(account) = hold.scope;
            if !earlier.has_account(account)? {
                without.push(hold.clone());
            }
        }
        Ok(without)
    }

    /// What of it binds one account.
    #[must_use]
    pub fn over(mut self, account: AccountId) -> Self {
        self.holds.retain(|hold| hold.scope == HoldScope::Account(account));
        self.policies.retain(|kept| {
            let whose = &kept.settings.scope.whose;
            matches!(whose, PolicyWhose::All) || *whose == PolicyWhose::Account(account)
        });
        self.erased.retain(|erased| erased.account == account);
        self
    }

    /// What puts it in force in an earlier state.
    fn changes(&self, earlier: &View) -> Result<Vec<Change>, StoreError> {
        let now = Self::of(earlier)?;
        let mut changes = self.holds_since(&now);
        changes.extend(self.policies_since(&now));
        let new = self.erased.iter().filter(|erased| !now.erased.contains(erased));
        changes.extend(new.cloned().map(Change::ErasuresKept));
        Ok(changes)
    }

    /// What locks policies again.
    fn policies_since(&self, now: &Self) -> Option<Change> {
        let policies = self.policies.iter().filter(|kept| !now.policies.contains(kept)).cloned();
        let (policies, next) = (policies.collect::<Vec<_>>(), self.next_policy);
        let wanted = !policies.is_empty() || next > now.next_policy;
        wanted.then(|| Change::PoliciesKept(PoliciesKept { policies, next }))
    }

    /// What brings holds to what they are.
    fn holds_since(&self, now: &Self) -> Vec<Change> {
        if now.holds == self.holds && now.next_hold == self.next_hold {
            return Vec::new();
        }
        let released = now.holds.iter().filter(|old| !self.holds.contains(old));
        let released = released.map(|old| Change::HoldRelease(HoldRelease { hold: old.id }));
        let new = self.holds.iter().filter(|hold| !now.holds.contains(hold)).map(|hold| KeptHold {
            hold: hold.id,
            scope: hold.scope.clone(),
            set: hold.set,
        });
        let new: Vec<_> = new.collect();
        let (next, rest) = (self.next_hold, new.chunks(MAX_CHANGES));
        let kept = rest.map(|holds| Change::HoldsKept(HoldsKept { holds: holds.to_vec(), next }));
        let mut changes: Vec<Change> = released.chain(kept).collect();
        if new.is_empty() {
            changes.push(Change::HoldsKept(HoldsKept { holds: Vec::new(), next }));
        }
        changes
    }
}

/// All that was erased, in records' portions.
fn erased(view: &View) -> Result<Vec<ErasuresKept>, StoreError> {
    let mut found: Vec<ErasuresKept> = Vec::new();
    let mut all = view.erasures()?;
    all.sort_by_key(|(id, row)| (row.account, row.begun, *id));
    for (erasure, row) in all {
        let (mut after, mut emails) = (None, Vec::new());
        loop {
            let page = view.erased(row.account, after, PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(*last);
            emails.extend(page.iter().filter(|(_, by)| *by == erasure).map(|(email, _)| *email));
        }
        let (account, begun) = (row.account, row.begun);
        let portion = |emails: &[EmailId]| {
            let emails = emails.to_vec();
            ErasuresKept { erasure, account, begun, emails }
        };
        found.extend(emails.chunks(ERASED).map(portion));
    }
    Ok(found)
}

/// How a history begins that goes on from a state; with `validity` every mailbox gets a new
/// UIDVALIDITY.
///
/// # Errors
/// The state cannot be read.
pub fn renewal(
    view: &View,
    begin: NewLineage,
    validity: bool,
    binding: &Binding,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    if view.level()? < APPLY_VERSION {
        changes.push(Change::Version(Version { apply: APPLY_VERSION }));
    }
    changes.push(Change::NewLineage(begin));
    changes.extend(binding.changes(view)?);
    let mut after = None;
    loop {
        let accounts = view.accounts(after, PAGE)?;
        let Some(last) = accounts.last() else { break };
        after = Some(last.id);
        for account in &accounts {
            if validity {
                stand_in(view, account.id, &mut changes)?;
            }
            renumber(view, account.id, validity, &mut changes)?;
        }
    }
    for account in view.deleted_accounts()? {
        renumber(view, account.id, validity, &mut changes)?;
    }
    Ok(changes)
}

/// The newest messages of each mailbox take the UIDs that the first of the lost ones had. Who
/// knows those finds other messages there: otherwise mbsync takes the new UIDVALIDITY for a
/// mistake, since all that it finds is as it was, and deletes its copies of the lost ones.
fn stand_in(view: &View, account: AccountId, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    for mailbox in view.mailboxes(account)?.into_iter().filter(|m| m.selectable && m.messages > 0) {
        let count = (mailbox.messages / STAND_IN_PART).clamp(1, STAND_IN_MOST);
        let uids = view.uids(account, mailbox.id)?;
        let Some(first) = uids.select(mailbox.messages.saturating_sub(count).saturating_add(1))
        else {
            continue;
        };
        let limit = count as usize;
        let newest = view.placements(account, mailbox.id, account, first, Uid::MAX, limit)?;
        let items = newest.iter().map(|it| Placed { uid: it.uid, email: it.email }).collect();
        let (from, to) = (mailbox.id, mailbox.id);
        changes.push(Change::Move(Move { account, from, to, items }));
    }
    Ok(())
}

fn renumber(
    view: &View,
    account: AccountId,
    validity: bool,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let ids: Vec<_> = view.mailboxes(account)?.iter().map(|mailbox| mailbox.id).collect();
    changes.extend(ids.chunks(MAX_CHANGES).map(|ids| {
        let mailboxes = ids.to_vec();
        Change::Renumber(Renumber { account, mailboxes, skip: SKIP, validity })
    }));
    Ok(())
}
