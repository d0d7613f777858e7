//! What is erased was never there, as far as anybody can tell: now and in every state of then.

use super::*;

#[derive(Debug, Clone)]
pub(super) struct ErasureM {
    account: AccountId,
    emails: u64,
    done: u64,
    /// `None` while it waits for a second person.
    goes: Option<bool>,
}

fn refused() -> Rejection {
    Rejection::Erasure(String::new())
}

impl Model {
    pub(super) fn erase_begin(&mut self, record: &Record, r: &EraseBegin) -> Answer<Done> {
        self.known(r.account)?;
        if r.emails == 0 || self.erasures.contains_key(&r.erasure) {
            return Err(refused());
        }
        let goes = (!r.review).then_some(true);
        let erasure = ErasureM { account: r.account, emails: r.emails, done: 0, goes };
        self.erasures.insert(r.erasure, erasure);
        if r.review {
            self.ask(Approves::Erasure(r.erasure), record.actor.principal);
        }
        Ok(Done::Unit)
    }

    fn erasure(&mut self, id: OperationId) -> Answer<&mut ErasureM> {
        self.erasures.get_mut(&id).ok_or(Rejection::NotFound(String::new()))
    }

    pub(super) fn erasure_decided(&mut self, id: OperationId, given: bool) -> Answer<()> {
        self.erasure(id)?.goes = Some(given);
        Ok(())
    }

    pub(super) fn erase_report(&mut self, r: &EraseReport) -> Answer<Done> {
        self.erasure(r.erasure)?;
        Ok(Done::Unit)
    }

    pub(super) fn erase_piece(&mut self, at: &At, r: &ErasePiece) -> Answer<Done> {
        let erasure = self.erasure(r.erasure)?.clone();
        let after = r.first + r.emails.len() as u64;
        let next = erasure.goes == Some(true) && erasure.done == r.first;
        let fits = erasure.account == r.account && !r.emails.is_empty() && after <= erasure.emails;
        if !next || !fits || erasure.done == erasure.emails {
            return Err(refused());
        }
        self.erasure(r.erasure)?.done = after;
        let mut answers = Vec::new();
        for email in &r.emails {
            answers.push(match self.remembers(r.account, *email) {
                true => self.not_held(r.account).map(|()| self.erase(at, r.account, *email)),
                false => Err(Rejection::Gone),
            });
        }
        Ok(Done::Erased(answers))
    }

    pub(super) fn erasures_kept(&mut self, at: &At, r: &ErasuresKept) -> Answer<Done> {
        let mut answers = Vec::new();
        for email in &r.emails {
            answers.push(match (self.known(r.account), self.remembers(r.account, *email)) {
                (Err(why), _) => Err(why),
                (_, false) => Err(Rejection::Gone),
                (_, true) => {
                    self.erase(at, r.account, *email);
                    Ok(())
                }
            });
        }
        Ok(Done::Erased(answers))
    }

    fn remembers(&self, account: AccountId, email: EmailId) -> bool {
        let has = |state: &State| {
            let own = state.accounts.get(&account);
            let own = own.or(state.deleted.get(&account).map(|(account, _)| account));
            own.is_some_and(|own| own.emails.contains_key(&email))
        };
        has(&self.now) || self.past.values().any(has)
    }

    fn erase(&mut self, at: &At, account: AccountId, email: EmailId) {
        if let Ok(own) = self.now.account_too(account) {
            let places = own.mailboxes.iter().flat_map(|mailbox| {
                let of = mailbox.messages.iter().filter(|message| message.email == email);
                of.map(|message| (mailbox.id, message.uid)).collect::<Vec<_>>()
            });
            let places: Vec<(MailboxId, Uid)> = places.collect();
            places.into_iter().for_each(|(mailbox, uid)| own.take(at, mailbox, uid));
        }
        // Of then it is not told either that they vanished: nobody knows that they were there.
        let mut stood = BTreeSet::new();
        for state in self.past.values_mut() {
            let Ok(own) = state.account_too(account) else { continue };
            for mailbox in &own.mailboxes {
                let of = mailbox.messages.iter().filter(|message| message.email == email);
                stood.extend(of.map(|message| (mailbox.id, message.uid)));
            }
        }
        for state in self.past.values_mut() {
            if let Ok(own) = state.account_too(account) {
                if let Some(gone) = own.emails.remove(&email) {
                    own.erased = (own.erased.0 + 1, own.erased.1 + gone.size);
                }
                for mailbox in &mut own.mailboxes {
                    mailbox.messages.retain(|message| message.email != email);
                    let id = mailbox.id;
                    mailbox.vanished.retain(|(uid, _)| !stood.contains(&(id, *uid)));
                }
            }
        }
    }
}
