//! What a policy does to mail and to the history, or would do.

use std::collections::BTreeMap;

use redoubt_log::dump::rfc3339;
use redoubt_log::id::{AccountId, PolicyId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{StoreError, View};
use crate::retention::{Facts, Judged, Policy, judge};

/// Emails that are looked at together.
const PAGE: usize = 500;

/// What a policy does to mail, or would do if all of it acted at once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyEffect {
    /// Emails that were looked at, live and in the history.
    pub emails: u64,
    /// Those that it keeps.
    pub kept: u64,
    /// Those that go at once, by it or by others.
    pub due: u64,
    /// Octets of these.
    pub due_bytes: u64,
    /// Those of these that are live.
    pub due_live: u64,
    /// Those that would go at once, did no hold keep them.
    pub held: u64,
    /// What it would have done if it had acted from the first email on, by month (`2026-11`, UTC).
    pub months: BTreeMap<String, MonthEffect>,
}

/// What a policy would have done in a month, by what is known of the mail today.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MonthEffect {
    /// Emails that would have gone by it.
    pub taken: u64,
    /// Octets of these.
    pub taken_bytes: u64,
    /// Those of these that stood in a mailbox then.
    pub taken_live: u64,
    /// Emails that left their last mailbox then, and that it would have kept.
    pub spared: u64,
}

impl PolicyEffect {
    /// Counts what another has counted.
    pub fn add(&mut self, other: &Self) {
        self.emails += other.emails;
        self.kept += other.kept;
        self.due += other.due;
        self.due_bytes += other.due_bytes;
        self.due_live += other.due_live;
        self.held += other.held;
        for (month, effect) in &other.months {
            let all = self.months.entry(month.clone()).or_default();
            all.taken += effect.taken;
            all.taken_bytes += effect.taken_bytes;
            all.taken_live += effect.taken_live;
            all.spared += effect.spared;
        }
    }

    fn month(&mut self, time: Timestamp) -> &mut MonthEffect {
        let text = rfc3339(time);
        self.months.entry(text.get(..7).unwrap_or(&text).to_owned()).or_default()
    }
}

impl View {
    /// What a policy would do to an account's mail if its newest version acted now, among all
    /// others as they are, and what it would have done had it always acted. `know` is asked for
    /// what is to be known of each email beside what the state knows, before it is judged.
    ///
    /// # Errors
    /// The state cannot be read, and those of `know`.
    pub fn policy_effect<E: From<StoreError>>(
        &self,
        policies: &[Policy],
        policy: PolicyId,
        account: AccountId,
        now: Timestamp,
        mut know: impl FnMut(&mut Facts) -> Result<(), E>,
    ) -> Result<PolicyEffect, E> {
        let acting: Vec<Policy> = policies.iter().map(|it| it.acting(policy, now)).collect();
        let (mut effect, mut after) = (PolicyEffect::default(), None);
        loop {
            let page = self.emails_ever(account, after, PAGE)?;
            let Some(last) = page.last() else { return Ok(effect) };
            after = Some(*last);
            for mut facts in self.facts(account, &page)?.into_iter().flatten() {
                know(&mut facts)?;
                self.count(&acting, policy, &facts, now, &mut effect)?;
            }
        }
    }

    fn count(
        &self,
        acting: &[Policy],
        policy: PolicyId,
        facts: &Facts,
        now: Timestamp,
        effect: &mut PolicyEffect,
    ) -> Result<(), StoreError> {
        let verdict = judge(acting, facts, now);
        let own = verdict.by.iter().find(|judged| judged.policy == policy);
        let keeps = |at: Timestamp| own.is_some_and(|own| keeps(own, at));
        let data = self.email_ever(facts.account, facts.email)?;
        let bytes = data.map_or(0, |data| data.size);
        effect.emails += 1;
        effect.kept += u64::from(keeps(now));
        if let Some(gone) = facts.expunged.filter(|gone| keeps(*gone)) {
            effect.month(gone).spared += 1;
        }
        let Some(goes) = verdict.goes().filter(|goes| *goes <= now) else { return Ok(()) };
        if own.is_some_and(|own| own.deletion.is_some()) {
            let month = effect.month(goes);
            month.taken += 1;
            month.taken_bytes += bytes;
            month.taken_live += u64::from(facts.expunged.is_none_or(|gone| gone > goes));
        }
        if !self.email_held_by(facts.account, facts.email)?.is_empty() {
            effect.held += 1;
            return Ok(());
        }
        effect.due += 1;
        effect.due_bytes += bytes;
        effect.due_live += u64::from(self.email(facts.account, facts.email)?.is_some());
        Ok(())
    }
}

/// Whether a policy's floor keeps an email at a time.
fn keeps(judged: &Judged, at: Timestamp) -> bool {
    judged.floor.is_some_and(|floor| floor.until.binds(at))
}
