//! Single emails: as they stood at a moment, or as they last stood.

use std::collections::BTreeMap;

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, Uid};
use redoubt_log::record::{Flags, RestoreMode, RestoreTo};

use super::lives::{Mailboxes, end, stood};
use super::stands::{self, Emails, Stand, Twins, Want, flags_step};
use super::tree::Tree;
use super::{EmailWish, Plan, PlanError, Planned, below, reaches};
use crate::keys::Object;
use crate::rows::PlacementVersion;
use crate::storage::{Table, decode};
use crate::view::View;

pub(super) fn plan(view: &View, wish: &EmailWish) -> Planned<Plan> {
    let target = wish.to.unwrap_or(wish.account);
    if view.account(target)?.is_none() {
        return Err(PlanError::NoSuchAccount(target));
    }
    let mut work = Work {
        view,
        wish,
        target,
        mailboxes: Mailboxes::read(view, wish.account)?,
        tree: Tree::now(view, target)?,
        twins: match target == wish.account {
            true => None,
            false => Some(Twins::of_account(view, target)?),
        },
    };
    let mut emails = Emails::default();
    let mut flags = Vec::new();
    for email in work.ids()? {
        let stands = work.stands(email)?;
        if stands.is_empty() {
            return Err(work.unknown(email.to_string())?);
        }
        if wish.flags && work.twins.is_none() {
            flags.extend(work.flags(email, &stands)?);
        }
        let wants = work.wants(stands);
        let twins = work.twins.as_ref();
        if !emails.add(view, wish.account, email, &wants, &|_| 0, twins)? {
            return Err(PlanError::NoSuchEmail(email.to_string()));
        }
    }
    let mut steps = work.tree.steps;
    steps.extend(emails.steps());
    steps.extend(flags);
    let (account, source) = (target, wish.account);
    Ok(Plan { mode: RestoreMode::Email, account, source, at: wish.at, until: None, steps })
}

struct Work<'a> {
    view: &'a View,
    wish: &'a EmailWish,
    target: AccountId,
    mailboxes: Mailboxes,
    tree: Tree,
    twins: Option<Twins>,
}

impl Work<'_> {
    /// Each email once.
    fn ids(&self) -> Planned<Vec<EmailId>> {
        let mut ids = self.wish.emails.clone();
        for (mailbox, uid) in &self.wish.places {
            ids.push(self.email_at(*mailbox, *uid)?);
        }
        let mut seen = std::collections::BTreeSet::new();
        ids.retain(|id| seen.insert(*id));
        Ok(ids)
    }

    /// The email that a UID ever named: UIDs are never used again.
    fn email_at(&self, mailbox: MailboxId, uid: Uid) -> Planned<EmailId> {
        let object = Object::Placement(self.wish.account, mailbox, uid);
        let versions = self.view.history(&object)?;
        let value = versions.into_iter().rev().find_map(|version| version.value);
        let Some(value) = value else {
            return Err(self.unknown(format!("{}/{uid}", mailbox.object_id()))?);
        };
        let version: PlacementVersion = decode(Table::History, &[], &value)?;
        Ok(version.email)
    }

    /// The history knows it not, or not any more.
    fn unknown(&self, email: String) -> Planned<PlanError> {
        let floor = self.view.history_floor(self.wish.account)?;
        Ok(match floor.filter(|_| self.wish.at.is_none()) {
            Some(row) => below(row, format!("email {email}, if there ever was one,")),
            None => PlanError::NoSuchEmail(email),
        })
    }

    /// Where the email stood at the moment, or when it was last seen.
    fn stands(&self, email: EmailId) -> Planned<Vec<(LogIndex, Stand)>> {
        let at = match self.wish.at {
            Some(at) => at,
            None => match self.last_seen(email)? {
                Some(at) => at,
                None => return Ok(Vec::new()),
            },
        };
        let what = || format!("email {email} as it last was");
        match reaches(self.view, self.wish.account, at, what) {
            Err(PlanError::BelowFloor { .. })
                if self.wish.at.is_none() && self.is_kept(email)? =>
            {
                return self.last_places(email, at);
            }
            reached => reached?,
        }
        let found = stands::of_emails(&self.view.at(at), self.wish.account, [email])?;
        Ok(found.into_values().flatten().map(|stand| (at, stand)).collect())
    }

    /// Whether a hold or a policy keeps it, so that all of it is there though the history begins
    /// later.
    fn is_kept(&self, email: EmailId) -> Planned<bool> {
        if !self.view.email_held_by(self.wish.account, email)?.is_empty() {
            return Ok(true);
        }
        let Some(applied) = self.view.applied() else { return Ok(false) };
        let found = self.view.retention_of(self.wish.account, email, applied.time)?;
        Ok(found.is_some_and(|(_, verdict)| verdict.kept_by(applied.time).is_some()))
    }

    /// Where it stood last, by what says so itself: no view goes back there.
    fn last_places(&self, email: EmailId, at: LogIndex) -> Planned<Vec<(LogIndex, Stand)>> {
        let (account, mut found) = (self.wish.account, Vec::new());
        for (mailbox, uid, standing) in stood(self.view, account, email)? {
            let end = end(standing.until, self.mailboxes.hidden_at(mailbox));
            if end.is_none_or(|end| end.0.saturating_sub(1) != at.0) {
                continue;
            }
            let versions = self.view.history(&Object::Placement(account, mailbox, uid))?;
            let Some(value) = versions.into_iter().rev().find_map(|version| version.value) else {
                continue;
            };
            let version: PlacementVersion = decode(Table::History, &[], &value)?;
            let PlacementVersion { flags, keywords, modseq, .. } = version;
            found.push((at, Stand { mailbox, uid, flags, keywords, modseq }));
        }
        Ok(found)
    }

    /// Now, if it is shown; else before the last of its placements went. `None` if there were
    /// none.
    fn last_seen(&self, email: EmailId) -> Planned<Option<LogIndex>> {
        let mut last = None;
        for (mailbox, _, standing) in stood(self.view, self.wish.account, email)? {
            match end(standing.until, self.mailboxes.hidden_at(mailbox)) {
                None => return Ok(Some(self.view.index())),
                Some(end) => last = last.max(Some(end)),
            }
        }
        Ok(last.map(|last| LogIndex(last.0.saturating_sub(1))))
    }

    fn wants(&mut self, stands: Vec<(LogIndex, Stand)>) -> Vec<Want> {
        let mut wants: Vec<Want> = Vec::new();
        for (at, stand) in stands {
            let to = self.place(at, stand.mailbox);
            let stood = (stand.mailbox, stand.uid);
            // Into one mailbox it comes once.
            if self.wish.into.is_none() || wants.is_empty() {
                // Marked as deleted, the next EXPUNGE of any client would take it again.
                let flags = stand.flags.without(Flags::DELETED);
                wants.push(Want { to, stood, flags, keywords: stand.keywords });
            }
        }
        wants
    }

    fn place(&mut self, at: LogIndex, mailbox: MailboxId) -> RestoreTo {
        if let Some(name) = &self.wish.into {
            return self.tree.target(name, None);
        }
        if self.target == self.wish.account && self.tree.has(mailbox) {
            return RestoreTo::Mailbox(mailbox);
        }
        let special_use = self.mailboxes.at(mailbox, at).and_then(|row| row.special_use);
        match self.mailboxes.name_at(mailbox, at) {
            Some(name) => self.tree.target(&name, special_use),
            // What is kept for longer than the history may outlive its mailbox's name.
            None => self.tree.target("INBOX", None),
        }
    }

    /// Flags of placements that are live, as they were.
    fn flags(
        &self,
        email: EmailId,
        then: &[(LogIndex, Stand)],
    ) -> Planned<Vec<redoubt_log::record::RestoreStep>> {
        let then: BTreeMap<(MailboxId, Uid), &Stand> =
            then.iter().map(|(_, stand)| ((stand.mailbox, stand.uid), stand)).collect();
        let now = stands::of_emails(self.view, self.wish.account, [email])?;
        let step = |now: Stand| {
            let was = then.get(&(now.mailbox, now.uid))?;
            let same = (was.flags, &was.keywords) == (now.flags, &now.keywords);
            (!same).then(|| flags_step(email, &now, was.flags, was.keywords.clone()))
        };
        Ok(now.into_values().flatten().filter_map(step).collect())
    }
}
