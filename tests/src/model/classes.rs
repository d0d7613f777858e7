//! Classes of service, roles, personal tokens.

use super::*;

impl Model {
    fn free_class_name(&self, own: Option<ClassId>, name: &str) -> Answer<()> {
        if name.is_empty() || name == "none" || name.chars().all(|c| c.is_ascii_digit()) {
            return Err(Rejection::InvalidName(String::new()));
        }
        let taken = |(id, (other, _)): (&ClassId, &(String, ClassSettings))| {
            Some(*id) != own && other == name
        };
        match self.now.classes.iter().any(taken) {
            true => Err(Rejection::Exists(String::new())),
            false => Ok(()),
        }
    }

    fn known_class(&self, class: ClassId) -> Answer<()> {
        match self.now.classes.contains_key(&class) {
            true => Ok(()),
            false => Err(Rejection::NotFound(String::new())),
        }
    }

    pub(super) fn class_add(&mut self, r: &ClassAdd) -> Answer<Done> {
        self.free_class_name(None, &r.name)?;
        self.classes_made += 1;
        let id = ClassId(self.classes_made);
        self.now.classes.insert(id, (r.name.clone(), r.settings.clone()));
        Ok(Done::Class(id))
    }

    pub(super) fn class_set(&mut self, r: &ClassSet) -> Answer<Done> {
        self.known_class(r.class)?;
        self.free_class_name(Some(r.class), &r.name)?;
        self.now.classes.insert(r.class, (r.name.clone(), r.settings.clone()));
        Ok(Done::Unit)
    }

    pub(super) fn class_remove(&mut self, r: &ClassRemove) -> Answer<Done> {
        self.known_class(r.class)?;
        self.unneeded(|rule| rule.scope == CaptureScope::Class(r.class))?;
        self.now.classes.remove(&r.class);
        Ok(Done::Unit)
    }

    pub(super) fn account_class(&mut self, r: &AccountClass) -> Answer<Done> {
        self.now.account(r.account)?;
        if let Some(class) = r.class {
            self.known_class(class)?;
        }
        self.now.account_classes.insert(r.account, *r);
        Ok(Done::Unit)
    }

    pub(super) fn domain_class(&mut self, r: &DomainClass) -> Answer<Done> {
        if !self.now.domains.contains_key(&r.domain) {
            return Err(Rejection::NoSuchDomain(r.domain.clone()));
        }
        match r.class {
            Some(class) => {
                self.known_class(class)?;
                self.now.domain_classes.insert(r.domain.clone(), class);
            }
            None => drop(self.now.domain_classes.remove(&r.domain)),
        }
        Ok(Done::Unit)
    }

    pub(super) fn role_grant(&mut self, record: &Record, r: &RoleGrant) -> Answer<Done> {
        self.now.account(r.account)?;
        if record.actor.principal == Principal::Person(r.account) {
            return Err(Rejection::Role(String::new()));
        }
        if let Some(domain) = &r.domain {
            if !self.now.domains.contains_key(domain) {
                return Err(Rejection::NoSuchDomain(domain.clone()));
            }
            if !matches!(r.role, Role::DomainAdmin | Role::Discovery) {
                return Err(Rejection::Role(String::new()));
            }
        }
        self.grants.insert(r.clone());
        Ok(Done::Unit)
    }

    pub(super) fn role_revoke(&mut self, r: &RoleGrant) -> Answer<Done> {
        match self.grants.remove(r) {
            true => Ok(Done::Unit),
            false => Err(Rejection::NotFound(String::new())),
        }
    }

    pub(super) fn token_add(&mut self, at: &At, r: &PersonalTokenAdd) -> Answer<Done> {
        self.now.account(r.account)?;
        self.tokens.retain(|_, token| token.expires.is_none_or(|end| end > at.time));
        if self.tokens.contains_key(&r.token) {
            return Err(Rejection::Exists(String::new()));
        }
        self.tokens.insert(r.token, r.clone());
        Ok(Done::Unit)
    }

    pub(super) fn token_revoke(&mut self, r: &PersonalTokenRevoke) -> Answer<Done> {
        match self.tokens.remove(&r.token) {
            Some(_) => Ok(Done::Unit),
            None => Err(Rejection::NotFound(String::new())),
        }
    }
}

impl State {
    /// What the class of an account says: its own class, or else its domain's.
    pub(super) fn class_of(&self, account: AccountId) -> Option<&ClassSettings> {
        let own = self.account_classes.get(&account).and_then(|set| set.class);
        let domain = || self.domain_classes.get(&self.accounts[&account].address.domain).copied();
        self.classes.get(&own.or_else(domain)?).map(|(_, settings)| settings)
    }

    fn limit<T>(&self, account: AccountId, of: impl Fn(&Limits) -> Option<T>) -> Option<T> {
        let own = self.account_classes.get(&account).and_then(|set| of(&set.own));
        own.or_else(|| of(&self.class_of(account)?.limits))
    }

    pub(super) fn largest_message(&self, account: AccountId) -> Option<u64> {
        self.limit(account, |limits| limits.largest_message)
    }

    pub(super) fn most_mailboxes(&self, account: AccountId) -> Answer<u32> {
        if !self.accounts.contains_key(&account) {
            return Err(Rejection::NoSuchAccount);
        }
        Ok(self.limit(account, |limits| limits.mailboxes).unwrap_or(10_000))
    }
}
