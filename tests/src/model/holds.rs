//! What is held: every hold is asked about every account, by what it says.

use super::*;

/// A hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldM {
    pub terms: HoldSet,
    pub set: Timestamp,
    pub at: LogIndex,
    pub releasing: Option<Releasing>,
    /// Accounts that were under it once, whatever became of them.
    pub stay: BTreeSet<AccountId>,
    /// By account up to which email its query was asked, and which it holds.
    pub judged: BTreeMap<AccountId, (Option<EmailId>, BTreeSet<EmailId>)>,
}

fn refused<T>() -> Answer<T> {
    Err(Rejection::Hold(String::new()))
}

impl Model {
    /// The domain of an account, deleted or not.
    fn domain_of(&self, account: AccountId) -> Option<&str> {
        let deleted = self.now.deleted.get(&account).map(|(account, _)| account);
        let account = self.now.accounts.get(&account).or(deleted)?;
        Some(&account.address.domain)
    }

    pub fn reaches(&self, hold: &HoldM, account: AccountId) -> bool {
        let by_scope = match hold.terms.scope.reach() {
            Reach::All => true,
            Reach::Domain(domain) => self.domain_of(account) == Some(domain),
            Reach::Accounts(accounts) => accounts.contains(&account),
        };
        by_scope || hold.stay.contains(&account)
    }

    /// Every email that an account ever had.
    fn all_ever(&self, account: AccountId) -> BTreeSet<EmailId> {
        let states = self.past.values().chain([&self.now]);
        let found = states.filter_map(|state| {
            let deleted = state.deleted.get(&account).map(|(account, _)| account);
            state.accounts.get(&account).or(deleted)
        });
        found.flat_map(|account| account.emails.keys().copied()).collect()
    }

    /// Holds over one email.
    pub fn email_held(&self, account: AccountId, email: EmailId) -> Vec<HoldId> {
        let over = self.holds.iter().filter(|(_, hold)| {
            let query = hold.terms.scope.query().is_some();
            let (upto, held) = hold.judged.get(&account).cloned().unwrap_or_default();
            self.reaches(hold, account) && (!query || upto < Some(email) || held.contains(&email))
        });
        over.map(|(id, _)| *id).collect()
    }

    pub(super) fn not_held(&self, account: AccountId) -> Answer<()> {
        let first = match account.0 {
            0 => self.holds.keys().next().copied(),
            _ => self.holds.iter().find(|(_, hold)| self.binds(hold, account)).map(|(id, _)| *id),
        };
        first.map_or(Ok(()), |hold| Err(Rejection::Held(hold)))
    }

    fn binds(&self, hold: &HoldM, account: AccountId) -> bool {
        if !self.reaches(hold, account) || hold.terms.scope.query().is_none() {
            return self.reaches(hold, account);
        }
        let (upto, held) = hold.judged.get(&account).cloned().unwrap_or_default();
        !held.is_empty() || self.all_ever(account).iter().any(|email| Some(*email) > upto)
    }

    pub(super) fn hold_set(&mut self, at: &At, r: &HoldSet) -> Answer<Done> {
        match r.scope.reach() {
            Reach::Accounts(accounts) => {
                accounts.iter().try_for_each(|account| self.known(*account))?;
            }
            Reach::Domain(domain) if !self.now.domains.contains_key(domain) => {
                return Err(Rejection::NoSuchDomain(domain.to_owned()));
            }
            _ => {}
        }
        self.holds_made += 1;
        let hold = HoldId(self.holds_made);
        let made = HoldM {
            terms: r.clone(),
            set: at.time,
            at: LogIndex(at.index),
            releasing: None,
            stay: BTreeSet::new(),
            judged: BTreeMap::new(),
        };
        self.holds.insert(hold, made);
        Ok(Done::Hold(hold))
    }

    /// An account is about to leave its domain.
    pub(super) fn leaves(&mut self, account: AccountId) {
        let domain = self.domain_of(account).unwrap_or_default().to_owned();
        for hold in self.holds.values_mut() {
            if hold.terms.scope.reach() == Reach::Domain(&domain) {
                hold.stay.insert(account);
            }
        }
    }

    pub(super) fn holds_kept(&mut self, r: &HoldsKept) -> Answer<Done> {
        for KeptHold { hold, terms, set, at, releasing, accounts } in r.holds.clone() {
            self.holds_made = self.holds_made.max(hold.0);
            if let Reach::Accounts(named) = terms.scope.reach()
                && !named.iter().any(|account| self.known(*account).is_ok())
            {
                continue;
            }
            let known: Vec<_> =
                accounts.into_iter().filter(|account| self.known(*account).is_ok()).collect();
            let old = self.holds.remove(&hold);
            let of = Approves::HoldRelease(hold);
            match releasing {
                None => self.over(of),
                Some(_) if old.as_ref().is_some_and(|old| old.releasing == releasing) => {}
                Some(releasing) => self.ask(of, releasing.by),
            }
            let (mut stay, judged) = old.map(|old| (old.stay, old.judged)).unwrap_or_default();
            stay.extend(known);
            self.holds.insert(hold, HoldM { terms, set, at, releasing, stay, judged });
        }
        self.holds_made = self.holds_made.max(r.next.0.saturating_sub(1));
        self.holds.retain(|hold, _| !r.ended.contains(hold));
        r.ended.iter().for_each(|hold| self.over(Approves::HoldRelease(*hold)));
        Ok(Done::Unit)
    }

    fn found(&mut self, hold: HoldId) -> Answer<&mut HoldM> {
        self.holds.get_mut(&hold).ok_or(Rejection::NotFound(String::new()))
    }

    pub(super) fn hold_release(&mut self, at: &At, by: Principal, r: &HoldRelease) -> Answer<Done> {
        let hold = self.found(r.hold)?;
        if hold.releasing.is_some() {
            return refused();
        }
        let delay = hold.terms.delay.max(r.delay);
        if delay == 0 {
            self.holds.remove(&r.hold);
            return Ok(Done::Unit);
        }
        let until = Timestamp(at.time.0 + i64::try_from(delay).unwrap() * 1000);
        hold.releasing = Some(Releasing { since: at.time, until, by, ending: false });
        self.ask(Approves::HoldRelease(r.hold), by);
        Ok(Done::Unit)
    }

    pub(super) fn hold_move(&mut self, r: HoldMove) -> Answer<Done> {
        self.found(r.hold)?;
        self.open_matter(r.matter)?;
        match self.found(r.hold)?.terms.matter.replace(r.matter) {
            before if before == Some(r.matter) => refused(),
            _ => Ok(Done::Unit),
        }
    }

    pub(super) fn hold_stays(&mut self, r: &HoldStays) -> Answer<Done> {
        match self.found(r.hold)?.releasing.take() {
            Some(_) => {
                self.over(Approves::HoldRelease(r.hold));
                Ok(Done::Unit)
            }
            None => refused(),
        }
    }

    pub(super) fn hold_end(&mut self, at: &At, r: &HoldEnd) -> Answer<Done> {
        let Some(releasing) = self.found(r.hold)?.releasing else { return refused() };
        if at.time < releasing.until {
            return refused();
        }
        self.over(Approves::HoldRelease(r.hold));
        self.holds.remove(&r.hold);
        Ok(Done::More(false))
    }

    pub(super) fn hold_marks(&mut self, r: &HoldMarks) -> Answer<Done> {
        if self.found(r.hold)?.terms.scope.query().is_none() {
            return refused();
        }
        Ok(Done::Marked(r.judged.iter().map(|judged| self.hold_mark(r.hold, judged)).collect()))
    }

    fn hold_mark(&mut self, id: HoldId, r: &Judged) -> Answer<()> {
        let hold = self.found(id)?.clone();
        if !self.reaches(&hold, r.account) {
            return refused();
        }
        let (upto, mut held) = hold.judged.get(&r.account).cloned().unwrap_or_default();
        let between = |email: &EmailId| Some(*email) > upto && *email <= r.upto;
        let good = r.marks.iter().all(|(email, _)| between(email));
        if upto != r.after || Some(r.upto) <= upto || !good {
            return Err(Rejection::MarkedSince);
        }
        let ever = self.all_ever(r.account);
        held.extend(r.marks.iter().map(|(email, _)| *email).filter(|email| ever.contains(email)));
        self.found(id)?.judged.insert(r.account, (Some(r.upto), held));
        Ok(())
    }
}
