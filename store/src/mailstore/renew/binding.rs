//! What binds whoever goes on from a history: pure.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{AccountId, BlobId, EmailId, HoldId, OperationId, PolicyId, Timestamp};
use redoubt_log::record::{
    Actor, Change, EraseBegin, ErasuresKept, HoldsKept, KeptHold, KeptPolicy, MAX_CHANGES,
    PoliciesKept, PolicyWhose, Reach,
};

use super::Rights;
use crate::mailstore::StoreError;
use crate::rows::{ErasureRow, ErasureState};
use crate::view::{Hold, View};

/// What binds whoever goes on from a history, to whatever moment of it they go back: read from
/// its newest state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// What is held.
    pub holds: Vec<Hold>,
    /// Accounts that holds over domains reach: an earlier state may have them in other domains.
    pub accounts: BTreeMap<HoldId, Vec<AccountId>>,
    /// The id that the next hold would get.
    pub next_hold: HoldId,
    /// Policies that are locked.
    pub policies: Vec<KeptPolicy>,
    /// The id that the next policy would get.
    pub next_policy: PolicyId,
    /// What was erased: emails by account and erasure, with when that was begun.
    pub erased: Vec<ErasuresKept>,
    /// Erasures that were begun, and not done with their lists.
    pub erasing: Vec<EraseBegin>,
    /// Who may do what, where it is not what an earlier state says; `None` where none is.
    pub rights: Option<Rights>,
    /// Who has asked for these: not who approves them.
    pub askers: BTreeMap<OperationId, Actor>,
}

impl Binding {
    /// What binds as of a state.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn of(view: &View) -> Result<Self, StoreError> {
        let holds = view.holds()?;
        let mut accounts = BTreeMap::new();
        for hold in &holds {
            if let Reach::Domain(_) = hold.terms.scope.reach() {
                accounts.insert(hold.id, view.reached_by(hold)?);
            }
        }
        let locked = view.policies()?.into_iter().filter(|policy| policy.locked);
        let kept = locked.filter_map(|policy| {
            let settings = policy.settings()?.clone();
            Some(KeptPolicy { policy: policy.id, settings, locked: true })
        });
        Ok(Self {
            holds,
            accounts,
            next_hold: view.next_hold()?,
            policies: kept.collect(),
            next_policy: view.next_policy()?,
            erased: erased(view)?,
            erasing: erasing(view)?,
            rights: None,
            askers: view.erasures()?.into_iter().map(|(id, row)| (id, row.actor)).collect(),
        })
    }

    /// The same, and what brings the rights of an earlier state to what they are.
    ///
    /// # Errors
    /// A state cannot be read.
    pub fn with_rights(self, earlier: &View, view: &View) -> Result<Self, StoreError> {
        Ok(Self { rights: Some(Rights::since(earlier, view)?), ..self })
    }

    /// Content was forgotten for good: emails of an earlier state that have it go with what was
    /// erased, also such as were gone when that was.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn and_forgotten(
        &mut self,
        earlier: &View,
        forgotten: &BTreeMap<BlobId, OperationId>,
    ) -> Result<(), StoreError> {
        let known = self.gone();
        let mut more: BTreeMap<(OperationId, AccountId), BTreeSet<EmailId>> = BTreeMap::new();
        for (blob, erasure) in forgotten {
            let having = earlier.referrers(blob, usize::MAX)?.into_iter();
            for (account, email) in having.filter(|email| !known.contains(email)) {
                more.entry((*erasure, account)).or_default().insert(email);
            }
        }
        for ((erasure, account), emails) in more {
            let emails: Vec<EmailId> = emails.into_iter().collect();
            let begun = self.erased.iter().find(|it| it.erasure == erasure);
            let begun = begun.map_or(Timestamp(0), |it| it.begun);
            self.erased.extend(portions(erasure, account, begun, &emails));
        }
        Ok(())
    }

    /// Blobs of an earlier state that nobody has any more once this binds it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn dying(&self, earlier: &View) -> Result<BTreeSet<BlobId>, StoreError> {
        let (gone, mut dying) = (self.gone(), BTreeSet::new());
        if earlier.references_counted()?.is_none() {
            return Ok(dying);
        }
        for (account, email) in &gone {
            let Some(data) = earlier.email_ever(*account, *email)? else { continue };
            for blob in std::iter::once(data.blob).chain(data.envelope) {
                let having = earlier.referrers(&blob, usize::MAX)?;
                if having.iter().all(|email| gone.contains(email)) {
                    dying.insert(blob);
                }
            }
        }
        Ok(dying)
    }

    fn gone(&self) -> BTreeSet<(AccountId, EmailId)> {
        let of = |it: &ErasuresKept| {
            let account = it.account;
            it.emails.clone().into_iter().map(move |email| (account, email))
        };
        self.erased.iter().flat_map(of).collect()
    }

    /// Holds over accounts of which an earlier state knows none: nothing of them is there.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn without_account(&self, earlier: &View) -> Result<Vec<Hold>, StoreError> {
        let mut without = Vec::new();
        for hold in &self.holds {
            if let Reach::Accounts(accounts) = hold.terms.scope.reach() {
                let known = accounts.iter().map(|account| earlier.has_account(*account));
                if !known.collect::<Result<Vec<_>, _>>()?.contains(&true) {
                    without.push(hold.clone());
                }
            }
        }
        Ok(without)
    }

    /// What of it binds one account, that is or was in these domains.
    #[must_use]
    pub fn over(mut self, account: AccountId, domains: &[String]) -> Self {
        let accounts = &self.accounts;
        self.holds.retain(|hold| match hold.terms.scope.reach() {
            Reach::All => true,
            Reach::Accounts(named) => named.contains(&account),
            Reach::Domain(_) => accounts.get(&hold.id).is_some_and(|all| all.contains(&account)),
        });
        self.accounts.values_mut().for_each(|all| all.retain(|one| *one == account));
        let left: Vec<HoldId> = self.holds.iter().map(|hold| hold.id).collect();
        self.accounts.retain(|hold, _| left.contains(hold));
        self.policies.retain(|kept| match &kept.settings.scope.whose {
            PolicyWhose::All | PolicyWhose::Class(_) => true,
            PolicyWhose::Domain(domain) => domains.contains(domain),
            PolicyWhose::Account(wished) => *wished == account,
        });
        self.erased.retain(|erased| erased.account == account);
        self.erasing.retain(|begun| begun.account == account);
        self.rights = self.rights.map(|rights| rights.over(account));
        self
    }

    /// Who has asked for what a record begins anew, where that was not the server.
    pub(super) fn asker(&self, change: &Change) -> Option<Actor> {
        match change {
            Change::EraseBegin(begun) => self.askers.get(&begun.erasure).cloned(),
            _ => None,
        }
    }

    /// What puts it in force in an earlier state.
    pub(super) fn changes(&self, earlier: &View) -> Result<Vec<Change>, StoreError> {
        let now = Self::of(earlier)?;
        let mut changes = self.holds_since(&now, earlier)?;
        changes.extend(self.policies_since(&now));
        for begun in &self.erasing {
            if earlier.erasure(begun.erasure)?.is_none() && earlier.has_account(begun.account)? {
                changes.push(Change::EraseBegin(begun.clone()));
            }
        }
        let new = self.erased.iter().filter(|erased| !now.erased.contains(erased));
        changes.extend(new.cloned().map(Change::ErasuresKept));
        if let Some(rights) = &self.rights {
            changes.extend(rights.changes(earlier)?);
        }
        Ok(changes)
    }

    /// What locks policies again.
    fn policies_since(&self, now: &Self) -> Option<Change> {
        let policies = self.policies.iter().filter(|kept| !now.policies.contains(kept)).cloned();
        let (policies, next) = (policies.collect::<Vec<_>>(), self.next_policy);
        let wanted = !policies.is_empty() || next > now.next_policy;
        wanted.then_some(Change::PoliciesKept(PoliciesKept { policies, next }))
    }

    /// What brings holds to what they are.
    fn holds_since(&self, now: &Self, earlier: &View) -> Result<Vec<Change>, StoreError> {
        let same = (&now.holds, &now.accounts, now.next_hold)
            == (&self.holds, &self.accounts, self.next_hold);
        if same {
            return Ok(Vec::new());
        }
        let next = self.next_hold;
        let ended = now.holds.iter().map(|old| old.id);
        let ended = ended.filter(|id| self.holds.iter().all(|hold| hold.id != *id));
        let mut parts = Parts { next, done: Vec::new(), open: empty(next) };
        parts.open.ended = ended.collect();
        for hold in &self.holds {
            let accounts = self.elsewhere(hold, now, earlier)?;
            if !accounts.is_empty() || !now.holds.contains(hold) {
                parts.keep(hold, &accounts);
            }
        }
        parts.done.push(parts.open);
        Ok(parts.done.into_iter().map(Change::HoldsKept).collect())
    }

    /// Accounts that a hold reaches, and would not in the earlier state by itself.
    fn elsewhere(
        &self,
        hold: &Hold,
        now: &Self,
        earlier: &View,
    ) -> Result<Vec<AccountId>, StoreError> {
        let Some(all) = self.accounts.get(&hold.id) else { return Ok(Vec::new()) };
        let reached = match now.accounts.get(&hold.id) {
            Some(reached) => reached.clone(),
            // It is put over the domain as it is there.
            None => earlier.reached_by(hold)?,
        };
        let mut elsewhere = Vec::new();
        for account in all.iter().filter(|account| !reached.contains(account)) {
            if earlier.has_account(*account)? {
                elsewhere.push(*account);
            }
        }
        Ok(elsewhere)
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
        found.extend(portions(erasure, row.account, row.begun, &emails));
    }
    Ok(found)
}

fn portions(
    erasure: OperationId,
    account: AccountId,
    begun: Timestamp,
    emails: &[EmailId],
) -> impl Iterator<Item = ErasuresKept> + '_ {
    let kept = move |emails: &[EmailId]| {
        let emails = emails.to_vec();
        ErasuresKept { erasure, account, begun, emails }
    };
    emails.chunks(ERASED).map(kept)
}

/// Erasures whose lists are not done, as they were begun.
fn erasing(view: &View) -> Result<Vec<EraseBegin>, StoreError> {
    let mut all = view.erasures()?;
    all.sort_by_key(|(id, row)| (row.account, row.begun, *id));
    let begun = |(erasure, row): (OperationId, ErasureRow)| {
        let (account, asked, emails) = (row.account, row.asked, row.emails);
        let review = row.state == ErasureState::Review;
        let list = row.list.clone();
        let asked = asked.filter(|_| row.is_under_way())?;
        Some(EraseBegin { erasure, account, asked, list, emails, review })
    };
    Ok(all.into_iter().filter_map(begun).collect())
}

/// Erased emails of one record: each may have many places and versions.
const ERASED: usize = 100;
/// Erased emails that are read together.
const PAGE: usize = 1000;

fn empty(next: HoldId) -> HoldsKept {
    HoldsKept { holds: Vec::new(), ended: Vec::new(), next }
}

/// Records of a bounded size.
struct Parts {
    next: HoldId,
    done: Vec<HoldsKept>,
    open: HoldsKept,
}

impl Parts {
    /// A hold with many accounts is named by several records.
    fn keep(&mut self, hold: &Hold, accounts: &[AccountId]) {
        let Hold { id, terms, set, at, releasing } = hold.clone();
        let first = KeptHold { hold: id, terms, set, at, releasing, accounts: Vec::new() };
        let pieces = accounts.chunks(MAX_CHANGES / 2).map(<[AccountId]>::to_vec);
        let pieces: Vec<_> = if accounts.is_empty() { vec![Vec::new()] } else { pieces.collect() };
        for accounts in pieces {
            self.push(KeptHold { accounts, ..first.clone() });
        }
    }

    fn push(&mut self, kept: KeptHold) {
        let so_far = |held: &HoldsKept| {
            let octets = |kept: &KeptHold| {
                kept.terms.scope.query().map_or(0, |query| query.text.len()) + 2048
            };
            let changes: usize = held.holds.iter().map(KeptHold::changes).sum();
            (changes + held.ended.len(), held.holds.iter().map(octets).sum::<usize>())
        };
        let (changes, octets) = so_far(&self.open);
        if changes + kept.changes() > MAX_CHANGES || octets > MAX_OCTETS {
            self.done.push(std::mem::replace(&mut self.open, empty(self.next)));
        }
        self.open.holds.push(kept);
    }
}

/// Octets that one record's queries and names have, about; a record has four times as many.
const MAX_OCTETS: usize = 64 * 1024;
