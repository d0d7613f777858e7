//! Matters, and what is searched and exported in them.

use super::*;

#[derive(Debug, Clone)]
pub struct MatterM {
    pub name: String,
    pub settings: MatterSettings,
    pub members: BTreeMap<AccountId, MatterRole>,
    pub custodians: BTreeSet<AccountId>,
}

/// A search or export.
#[derive(Debug, Clone)]
pub struct JobM {
    pub matter: Option<MatterId>,
}

fn no() -> Rejection {
    Rejection::Matter(String::new())
}

impl Model {
    fn matter_named(&self, own: Option<MatterId>, name: &str) -> Answer<()> {
        if name.is_empty() || name.chars().all(|c| c.is_ascii_digit()) {
            return Err(Rejection::InvalidName(String::new()));
        }
        let taken = self.matters.iter().any(|(id, m)| Some(*id) != own && m.name == name);
        if taken { Err(Rejection::Exists(String::new())) } else { Ok(()) }
    }

    pub(super) fn open_matter(&mut self, matter: MatterId) -> Answer<&mut MatterM> {
        match self.matters.get_mut(&matter) {
            None => Err(Rejection::NotFound(String::new())),
            Some(found) if found.settings.closed => Err(no()),
            Some(found) => Ok(found),
        }
    }

    pub(super) fn matter_add(&mut self, by: Principal, r: &MatterAdd) -> Answer<Done> {
        self.matter_named(None, &r.name)?;
        let id = MatterId(self.matters.len() as u64 + 1);
        let (name, settings) = (r.name.clone(), r.settings.clone());
        let mut made = MatterM { name, settings, members: BTreeMap::new(), custodians: [].into() };
        if let Principal::Person(account) = by {
            made.members.insert(account, MatterRole::Lead);
        }
        self.matters.insert(id, made);
        Ok(Done::Matter(id))
    }

    pub(super) fn matter_set(&mut self, r: &MatterSet) -> Answer<Done> {
        if !self.matters.contains_key(&r.matter) {
            return Err(Rejection::NotFound(String::new()));
        }
        self.matter_named(Some(r.matter), &r.name)?;
        let closes = r.settings.closed && !self.matters[&r.matter].settings.closed;
        let of = |hold: &HoldM| hold.terms.matter == Some(r.matter) && hold.releasing.is_none();
        if closes && self.holds.values().any(of) {
            return Err(no());
        }
        if let Some(found) = self.matters.get_mut(&r.matter) {
            (found.name, found.settings) = (r.name.clone(), r.settings.clone());
        }
        Ok(Done::Unit)
    }

    pub(super) fn matter_member(&mut self, by: Principal, r: &MatterMember) -> Answer<Done> {
        let there = self.now.account(r.account).map(drop);
        let found = self.open_matter(r.matter)?;
        match r.role {
            None => match found.members.remove(&r.account) {
                Some(_) => Ok(Done::Unit),
                None => Err(Rejection::NotFound(String::new())),
            },
            Some(_) if by == Principal::Person(r.account) => Err(Rejection::Role(String::new())),
            Some(role) => {
                there?;
                found.members.insert(r.account, role);
                Ok(Done::Unit)
            }
        }
    }

    pub(super) fn matter_custodian(&mut self, r: &MatterCustodian) -> Answer<Done> {
        let known = self.known(r.account).map(drop);
        let found = self.open_matter(r.matter)?;
        match r.is {
            true => {
                known?;
                found.custodians.insert(r.account);
                Ok(Done::Unit)
            }
            false if found.custodians.remove(&r.account) => Ok(Done::Unit),
            false => Err(Rejection::NotFound(String::new())),
        }
    }

    pub(super) fn matter_note(&mut self, r: &MatterNote) -> Answer<Done> {
        self.open_matter(r.matter)?;
        Ok(Done::Unit)
    }

    pub(super) fn discovery_begin(&mut self, by: Principal, r: &DiscoveryBegin) -> Answer<Done> {
        let from = r.of.and_then(|of| self.jobs.get(&of)).and_then(|job| job.matter);
        if r.of.is_some() && from != r.matter {
            return Err(no());
        }
        if let Some(matter) = r.matter {
            let review = self.open_matter(matter)?.settings.review_exports;
            let of = Approves::Export(r.job);
            let again = matches!(self.approvals.get(&of), Some((_, Word::Waits | Word::Said(_))));
            if review && r.work == DiscoveryWork::Export && !again {
                self.ask(of, by);
            }
        }
        self.jobs.insert(r.job, JobM { matter: r.matter });
        Ok(Done::Unit)
    }

    pub(super) fn discovery_end(&mut self, r: &DiscoveryEnd) -> Answer<Done> {
        let of = Approves::Export(r.job);
        match self.approvals.get(&of) {
            Some((_, Word::Waits | Word::Said(false) | Word::Over))
                if r.ended == DiscoveryEnded::Completed =>
            {
                return Err(Rejection::Approval(String::new()));
            }
            _ if r.ended != DiscoveryEnded::Completed => self.over(of),
            _ => {}
        }
        Ok(Done::Unit)
    }
}
