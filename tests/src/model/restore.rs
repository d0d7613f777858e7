//! What was comes back: by looking at the states of then.

use super::emails::good_keywords;
use super::*;

#[derive(Debug, Clone)]
pub(super) struct RestoreM {
    account: AccountId,
    source: AccountId,
    steps: u64,
    done: u64,
    counts: RestoreCounts,
    options: RestoreOptions,
    made: BTreeMap<u32, MailboxId>,
    ended: bool,
}

impl RestoreM {
    fn new(of: (AccountId, AccountId), steps: u64, options: RestoreOptions) -> Self {
        let ((account, source), counts) = (of, RestoreCounts::default());
        let made = BTreeMap::new();
        Self { account, source, steps, done: 0, counts, options, made, ended: false }
    }

    /// Whether it is not done, and reads or writes this account.
    pub(super) fn needs(&self, account: AccountId) -> bool {
        !self.ended && (self.account == account || self.source == account)
    }
}

fn refused() -> Rejection {
    Rejection::Restore(String::new())
}

impl Model {
    pub(super) fn account_delete(&mut self, r: AccountDelete) -> Answer<Done> {
        self.unneeded(|rule| rule.archive == r.account)?;
        if !self.now.account(r.account)?.emails.is_empty() {
            self.no_archive(r.account)?;
        }
        let account = self.now.accounts.remove(&r.account).unwrap();
        let all = self.now.aliases.iter();
        let own: Vec<_> = all.filter(|(_, a)| **a == r.account).map(|(n, _)| n.clone()).collect();
        self.now.aliases.retain(|_, owner| *owner != r.account);
        self.now.deleted.insert(r.account, (account, own));
        Ok(Done::Unit)
    }

    pub(super) fn account_sweep(&mut self, at: &At, r: &AccountSweep) -> Answer<Done> {
        if self.now.accounts.contains_key(&r.account) {
            return Err(refused());
        }
        let account = self.now.deleted.get_mut(&r.account).ok_or(Rejection::NoSuchAccount)?;
        let (account, mailbox, uids) = (&mut account.0, r.mailbox, r.uids.clone());
        account.expunge(at, &Expunge { account: r.account, mailbox, uids, only_deleted: false })
    }

    pub(super) fn restore_begin(&mut self, r: &RestoreBegin) -> Answer<Done> {
        if !self.now.deleted.contains_key(&r.account) {
            self.now.account(r.account)?;
        }
        self.no_archive(r.account)?;
        let busy = self.restores.values().any(|other| other.account == r.account && !other.ended);
        if busy || self.restores.contains_key(&r.restore) {
            return Err(refused());
        }
        self.restores.insert(r.restore, RestoreM::new((r.account, r.source), r.steps, r.options));
        Ok(Done::Unit)
    }

    pub(super) fn restore_piece(&mut self, at: &At, r: &RestorePiece) -> Answer<Done> {
        let known = self.restores.get(&r.restore).filter(|run| !run.ended);
        let mut run = known.cloned().ok_or_else(refused)?;
        let count = r.steps.len() as u64;
        if run.account != r.account || r.first != run.done || run.done + count > run.steps {
            return Err(refused());
        }
        let answers = self.steps(at, &mut run, &r.steps);
        run.done += count;
        self.restores.insert(r.restore, run);
        Ok(Done::Restored(answers))
    }

    pub(super) fn restore_now(&mut self, at: &At, r: &RestoreNow) -> Answer<Done> {
        self.now.account(r.account)?;
        if self.restores.contains_key(&r.restore) {
            return Err(refused());
        }
        let mut run = RestoreM::new((r.account, r.source), r.steps.len() as u64, r.options);
        let answers = self.steps(at, &mut run, &r.steps);
        run.ended = true;
        self.restores.insert(r.restore, run);
        Ok(Done::Restored(answers))
    }

    pub(super) fn restore_audit(&mut self, r: &RestoreAudit) -> Answer<Done> {
        let run = self.restores.get_mut(&r.restore).ok_or_else(refused)?;
        let early = r.ended == RestoreEnded::Completed && run.done < run.steps;
        if run.ended || run.account != r.account || run.counts != r.counts || early {
            return Err(refused());
        }
        run.ended = true;
        Ok(Done::Unit)
    }

    fn steps(&mut self, at: &At, run: &mut RestoreM, steps: &[RestoreStep]) -> Vec<Restored> {
        let mut answers = Vec::new();
        for (n, step) in (0u32..).zip(steps) {
            let before = self.now.clone();
            let answer = self.step(at, run, step, n).unwrap_or_else(|rejection| {
                self.now = before;
                match rejection {
                    changed @ Rejection::Modified(_) => Restored::Skipped(changed),
                    other => Restored::Failed(other),
                }
            });
            run.counts.count(&answer);
            answers.push(answer);
        }
        answers
    }

    fn step(
        &mut self,
        at: &At,
        run: &mut RestoreM,
        step: &RestoreStep,
        n: u32,
    ) -> Answer<Restored> {
        match step {
            RestoreStep::Account { address, settings } => {
                self.undelete(run.account, address, settings)
            }
            RestoreStep::Email(email) => self.restore_email(at, run, email, n),
            _ => self.restore_in(at, run, step),
        }
    }

    fn undelete(
        &mut self,
        id: AccountId,
        address: &Address,
        settings: &AccountSettings,
    ) -> Answer<Restored> {
        if self.now.accounts.contains_key(&id) {
            return Ok(Restored::Merged);
        }
        self.check_free(address)?;
        if self.now.deleted[&id].0.address.domain != address.domain {
            self.leaves(id);
        }
        let (mut account, aliases) = self.now.deleted.remove(&id).unwrap();
        account.address = address.clone();
        account.settings = settings.clone();
        self.now.accounts.insert(id, account);
        for alias in aliases {
            if self.check_free(&alias).is_ok() {
                self.now.aliases.insert(alias, id);
            }
        }
        Ok(Restored::Created(None))
    }

    /// The envelope of an email of any moment.
    pub fn envelope(&self, id: AccountId, email: EmailId) -> Option<BlobId> {
        self.ever(id, email).and_then(|email| email.envelope)
    }

    /// What an email was when it was last there, in whichever state.
    fn ever(&self, id: AccountId, email: EmailId) -> Option<EmailM> {
        let there = |state: &State| {
            let account =
                state.accounts.get(&id).or_else(|| state.deleted.get(&id).map(|(a, _)| a));
            account.and_then(|account| account.emails.get(&email).cloned())
        };
        there(&self.now).or_else(|| self.past.values().rev().find_map(there))
    }

    fn restore_email(
        &mut self,
        at: &At,
        run: &mut RestoreM,
        step: &RestoreEmail,
        n: u32,
    ) -> Answer<Restored> {
        let mut email = self.ever(step.from, step.email).ok_or(Rejection::Gone)?;
        if (email.blob, email.envelope) != (step.blob, step.envelope) {
            return Err(Rejection::Gone);
        }
        let account = self.now.account(run.account)?;
        let same = |e: &&EmailM| (e.blob, e.received) == (email.blob, email.received);
        let twin = step.twin.filter(|twin| account.emails.get(twin).as_ref().is_some_and(same));
        let own = EmailId { sequence: Sequence(at.index), ordinal: n };
        let id = if step.from == run.account { step.email } else { twin.unwrap_or(own) };
        let mut wanted = Vec::new();
        let mut problems = Vec::new();
        for place in &step.places {
            match account.target(run, place.to) {
                Err(problem) => problems.push(problem),
                Ok(mailbox) => {
                    let there = account.mailbox(mailbox).unwrap();
                    let copies = there.messages.iter().filter(|m| m.email == id).count() as u32;
                    if copies < place.copies.max(1) {
                        wanted.push((mailbox, place));
                    }
                }
            }
        }
        if wanted.is_empty() {
            let all = problems.len() == step.places.len();
            return problems.pop().filter(|_| all).map_or(Ok(Restored::Merged), Err);
        }
        if wanted.iter().any(|(_, place)| !good_keywords(&place.keywords)) {
            return Err(Rejection::InvalidName(String::new()));
        }
        let live = account.emails.contains_key(&id);
        if !live && !run.options.over_quota {
            self.room(run.account, email.size)?;
        }
        let account = self.now.account(run.account)?;
        if !live {
            if step.from != run.account {
                email.thread = account.thread_of(&email.keys.clone(), ThreadId(id));
            }
            account.emails.insert(id, email);
        }
        let mut arrivals = Vec::new();
        for (mailbox, place) in wanted {
            arrivals.push(account.place(at, mailbox, id, place.flags.0, &place.keywords, None)?);
        }
        Ok(Restored::Created(arrivals.first().copied()))
    }

    fn restore_in(&mut self, at: &At, run: &mut RestoreM, step: &RestoreStep) -> Answer<Restored> {
        let most = self.now.most_mailboxes(run.account)?;
        let account = self.now.account(run.account)?;
        match step {
            RestoreStep::Mailbox { slot, parent, name, special_use } => {
                let parent = parent.map(|to| account.meant(run, to)).transpose()?;
                let inbox = parent.is_none() && name.to_lowercase() == "inbox";
                let there = account.child(parent, name).filter(|m| m.stage == Stage::Live);
                let there = if inbox { Some(MailboxId(1)) } else { there.map(|m| m.id) };
                if let Some(id) = there {
                    run.made.insert(*slot, id);
                    return Ok(Restored::Merged);
                }
                let taken = account.mailboxes.iter().any(|m| m.special_use == *special_use);
                let special_use = special_use.filter(|_| !taken);
                let (id, name) = (run.account, name.clone());
                let create = MailboxCreate { account: id, parent, name, special_use };
                let Done::Mailbox(id, _) = account.create(at, &create, most)? else {
                    unreachable!()
                };
                run.made.insert(*slot, id);
                Ok(Restored::Created(None))
            }
            RestoreStep::Rename { mailbox, parent, name } => {
                let parent = parent.map(|to| account.meant(run, to)).transpose()?;
                let now = account.named(*mailbox)?;
                if now.parent == parent && now.name == *name {
                    return Ok(Restored::Merged);
                }
                let (name, mailbox) = (name.clone(), *mailbox);
                let rename = MailboxRename { account: run.account, mailbox, parent, name };
                match account.rename(&rename) {
                    Ok(_) => Ok(Restored::Changed(None)),
                    Err(taken @ Rejection::Exists(_)) => Ok(Restored::Skipped(taken)),
                    Err(other) => Err(other),
                }
            }
            RestoreStep::Delete { mailbox } => {
                if account.named(*mailbox).is_err() {
                    return Ok(Restored::Merged);
                }
                account.delete(&MailboxDelete { account: run.account, mailbox: *mailbox })?;
                Ok(Restored::Changed(None))
            }
            RestoreStep::Subscribe { name, subscribed } => {
                if account.subscriptions.contains(name) == *subscribed {
                    return Ok(Restored::Merged);
                }
                let (name, subscribed) = (name.clone(), *subscribed);
                account.subscribe(&Subscribe { account: run.account, name, subscribed })?;
                Ok(Restored::Changed(None))
            }
            _ => account.restore_placement(at, run, step),
        }
    }
}

impl AccountM {
    fn meant(&mut self, run: &RestoreM, to: RestoreTo) -> Answer<MailboxId> {
        let id = match to {
            RestoreTo::Mailbox(id) => Some(id),
            RestoreTo::Made(slot) => run.made.get(&slot).copied(),
        };
        let id = id.ok_or(Rejection::NoSuchMailbox)?;
        self.named(id).map(|m| m.id)
    }

    fn target(&mut self, run: &RestoreM, to: RestoreTo) -> Answer<MailboxId> {
        let found = self.meant(run, to).and_then(|id| self.live(id).map(|m| m.id));
        match found {
            Err(_) if run.options.inbox_if_gone => Ok(MailboxId(1)),
            found => found,
        }
    }

    fn of(&mut self, mailbox: MailboxId, uid: Uid, email: EmailId) -> Option<MessageM> {
        let mailbox = self.mailboxes.iter_mut().find(|m| m.id == mailbox)?;
        mailbox.message(uid).filter(|m| m.email == email).cloned()
    }

    fn restore_placement(
        &mut self,
        at: &At,
        run: &RestoreM,
        step: &RestoreStep,
    ) -> Answer<Restored> {
        match step {
            RestoreStep::Flags { mailbox, uid, email, modseq, flags, keywords } => {
                self.live(*mailbox)?;
                if !good_keywords(keywords) {
                    return Err(Rejection::InvalidName(String::new()));
                }
                let Some(old) = self.of(*mailbox, *uid, *email) else {
                    return Ok(Restored::Skipped(Rejection::Gone));
                };
                let there = self.live(*mailbox)?;
                let wished = there.clone().spell(keywords);
                if old.flags == flags.0 && old.keywords == wished {
                    return Ok(Restored::Merged);
                }
                if old.modseq > modseq.0 {
                    return Err(Rejection::Modified(ModSeq(old.modseq)));
                }
                there.spell(keywords);
                there.highest = at.index;
                let message = there.message(*uid).unwrap();
                (message.flags, message.keywords, message.modseq) = (flags.0, wished, at.index);
                Ok(Restored::Changed(None))
            }
            RestoreStep::Move { from, uid, email, to, flags, keywords } => {
                let to = self.target(run, *to)?;
                if self.of(*from, *uid, *email).is_none() {
                    return Ok(Restored::Skipped(Rejection::Gone));
                }
                if to == *from {
                    return Ok(Restored::Merged);
                }
                let arrival = self.place(at, to, *email, flags.0, keywords, None)?;
                self.take(at, *from, *uid);
                Ok(Restored::Changed(Some(arrival)))
            }
            RestoreStep::Expunge { mailbox, uid, email } => {
                if self.of(*mailbox, *uid, *email).is_none() {
                    return Ok(Restored::Merged);
                }
                self.take(at, *mailbox, *uid);
                Ok(Restored::Changed(None))
            }
            _ => unreachable!("not about a placement"),
        }
    }
}
