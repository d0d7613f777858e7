//! Retention policies, and what they say of emails. All as of now.

use redoubt_log::id::{
    AccountId, EmailId, LogIndex, MailboxId, PolicyId, Sequence, Timestamp, Uid,
};

use redoubt_log::record::PolicySettings;

use super::{Key, StorageError, StoreError, View};
use crate::holds;
use crate::keys::Meta;
use crate::retention::{self, Facts, Policy, Verdict, account_facts, email_facts, judge};
use crate::rows::{AccountRow, PolicyDayRow};

impl View {
    /// All policies, by id; those that have ended too.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn policies(&self) -> Result<Vec<Policy>, StoreError> {
        Ok(retention::policies(self)?)
    }

    /// What a policy has taken.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn policy_taken(&self, policy: PolicyId) -> Result<PolicyDayRow, StoreError> {
        Ok(self.source.get(&Key::PolicyDay(policy))?.unwrap_or_default())
    }

    /// The next policy's id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn next_policy(&self) -> Result<PolicyId, StoreError> {
        let next: Option<u64> = self.source.get(&Key::Meta(Meta::NextPolicy))?;
        Ok(PolicyId(next.unwrap_or(1)))
    }

    /// Where what binds an account's mail changed last: a policy, a hold, a class, a label or an
    /// event.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn bound_since(&self, account: AccountId) -> Result<LogIndex, StoreError> {
        let keys = [
            Key::Meta(Meta::LastHold),
            Key::Meta(Meta::Policies),
            Key::Meta(Meta::Classes),
            Key::Labelled(account),
        ];
        let mut last = LogIndex(0);
        for key in keys {
            last = last.max(self.source.get::<LogIndex>(&key)?.unwrap_or_default());
        }
        Ok(last)
    }

    /// An account's row as it is, a deleted one's too.
    pub(crate) fn account_row(&self, a: AccountId) -> Result<Option<AccountRow>, StoreError> {
        Ok(self.source.get(&Key::Account(a))?)
    }

    /// What is known of emails of an account, as policies see it, in their order; `None` for one
    /// that is not in the history.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn facts(
        &self,
        account: AccountId,
        emails: &[EmailId],
    ) -> Result<Vec<Option<Facts>>, StoreError> {
        let Some(of) = account_facts(self, account)? else {
            return Ok(vec![None; emails.len()]);
        };
        let facts = emails.iter().map(|email| email_facts(self, &of, *email));
        Ok(facts.collect::<Result<_, StorageError>>()?)
    }

    /// What policies say of one email at a time, and what they know of it.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn retention_of(
        &self,
        account: AccountId,
        email: EmailId,
        now: Timestamp,
    ) -> Result<Option<(Facts, Verdict)>, StoreError> {
        let policies = self.policies()?;
        let facts = self.facts(account, &[email])?.pop().flatten();
        Ok(facts.map(|facts| {
            let verdict = judge(&policies, &facts, now);
            (facts, verdict)
        }))
    }

    /// Up to which entry an account's mail has left the history, by its floor or by policies:
    /// who keeps something of it looks again behind that.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn let_go(&self, account: AccountId) -> Result<Option<LogIndex>, StoreError> {
        let purged: Option<LogIndex> = self.source.get(&Key::Purged(account))?;
        let floor = self.source.floor(account)?.map(|row| row.floor);
        Ok(purged.max(floor))
    }

    /// The email that stands at a place, or stood there.
    ///
    /// # Errors
    /// The state cannot be read.
    pub(crate) fn stood_there(
        &self,
        account: AccountId,
        mailbox: MailboxId,
        uid: Uid,
    ) -> Result<Option<EmailId>, StoreError> {
        let version = retention::version_there(self, account, mailbox, uid)?;
        Ok(version.map(|version| version.email))
    }

    /// Up to which of an account's emails a policy's query was asked, and by which version.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn asked_upto(
        &self,
        account: AccountId,
        policy: PolicyId,
    ) -> Result<Option<(u32, Sequence)>, StoreError> {
        Ok(retention::asked_upto(self, account, policy)?)
    }

    /// Emails of an account, live or in its history, that a version of a policy's query was not
    /// asked about: by rising id, about `limit`, and those of one entry together.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn unasked(
        &self,
        (policy, version): (PolicyId, u32),
        account: AccountId,
        limit: usize,
    ) -> Result<Vec<EmailId>, StoreError> {
        let asked = self.asked_upto(account, policy)?.filter(|(known, _)| *known == version);
        let after = asked.map(|(_, sequence)| EmailId { sequence, ordinal: u32::MAX });
        let mut emails = holds::behind(&self.reader(), account, after, limit)?;
        while let Some(last) = emails.last().copied() {
            let more = holds::behind(&self.reader(), account, Some(last), limit.max(1))?;
            let before = emails.len();
            emails.extend(more.into_iter().take_while(|email| email.sequence == last.sequence));
            if emails.len() == before {
                break;
            }
        }
        Ok(emails)
    }

    /// Whether what a policy says is over an account, wherever its mail stands.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_under(&self, said: &PolicySettings, account: AccountId) -> Result<bool, StoreError> {
        let facts = account_facts(self, account)?;
        Ok(facts.is_some_and(|facts| {
            retention::covers(&said.scope.whose, account, facts.domain(), facts.class())
        }))
    }

    /// Accounts that what a policy says is over, deleted ones too, by id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn under(&self, said: &PolicySettings) -> Result<Vec<AccountId>, StoreError> {
        let mut under = Vec::new();
        for account in self.account_ids()? {
            if self.is_under(said, account)? {
                under.push(account);
            }
        }
        Ok(under)
    }

    /// Whether a policy keeps an email that is expunged.
    pub(super) fn is_kept(
        &self,
        of: Option<&retention::AccountFacts>,
        policies: &[Policy],
        email: EmailId,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let Some(of) = of.filter(|_| !policies.is_empty()) else { return Ok(false) };
        let facts = email_facts(self, of, email)?;
        Ok(facts.is_some_and(|facts| judge(policies, &facts, now).kept_by(now).is_some()))
    }
}
