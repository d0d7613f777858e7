//! Domains, accounts, addresses.

use std::collections::BTreeMap;

use super::*;

fn good_domain(domain: &str) -> bool {
    !domain.is_empty()
        && domain.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
        && domain.split('.').all(|label| !label.is_empty())
}

fn good_local(local: &str) -> bool {
    !local.is_empty() && local.chars().all(|c| !c.is_ascii_uppercase() && c > ' ' && c != '@')
}

fn bad_name() -> Rejection {
    Rejection::InvalidName(String::new())
}

impl Model {
    fn check_settings(&self, settings: &DomainSettings) -> Answer<()> {
        match settings.catch_all {
            Some(id) if !self.now.accounts.contains_key(&id) => Err(Rejection::NoSuchAccount),
            _ => Ok(()),
        }
    }

    fn our_domain(&self, domain: &str) -> Answer<()> {
        match self.now.domains.contains_key(domain) {
            true => Ok(()),
            false => Err(Rejection::NoSuchDomain(domain.into())),
        }
    }

    pub(super) fn domain_add(&mut self, r: &DomainAdd) -> Answer<Done> {
        if !good_domain(&r.domain) {
            return Err(bad_name());
        }
        if self.now.domains.contains_key(&r.domain) {
            return Err(Rejection::Exists(r.domain.clone()));
        }
        self.check_settings(&r.settings)?;
        self.now.domains.insert(r.domain.clone(), r.settings.clone());
        Ok(Done::Unit)
    }

    pub(super) fn domain_set(&mut self, r: &DomainSet) -> Answer<Done> {
        self.our_domain(&r.domain)?;
        self.check_settings(&r.settings)?;
        self.now.domains.insert(r.domain.clone(), r.settings.clone());
        Ok(Done::Unit)
    }

    pub(super) fn domain_remove(&mut self, r: &DomainRemove) -> Answer<Done> {
        self.our_domain(&r.domain)?;
        let accounts = self.now.accounts.values().any(|a| a.address.domain == r.domain);
        if accounts || self.now.aliases.keys().any(|alias| alias.domain == r.domain) {
            return Err(Rejection::DomainInUse);
        }
        self.unneeded(|rule| rule.scope == CaptureScope::Domain(r.domain.clone()))?;
        self.now.domains.remove(&r.domain);
        self.now.domains_captured.remove(&r.domain);
        self.now.domain_classes.remove(&r.domain);
        Ok(Done::Unit)
    }

    pub(super) fn check_free(&self, address: &Address) -> Answer<()> {
        if !good_local(&address.local) || !good_domain(&address.domain) {
            return Err(bad_name());
        }
        self.our_domain(&address.domain)?;
        let taken = self.now.accounts.values().any(|a| a.address == *address);
        if taken || self.now.aliases.contains_key(address) {
            return Err(Rejection::Exists(address.to_string()));
        }
        Ok(())
    }

    pub(super) fn account_add(&mut self, at: &At, r: &AccountAdd) -> Answer<Done> {
        self.check_free(&r.address)?;
        self.accounts_made += 1;
        let id = AccountId(self.accounts_made);
        let mut account = AccountM {
            address: r.address.clone(),
            settings: r.settings.clone(),
            created: at.time,
            credentials: BTreeMap::new(),
            mailboxes: Vec::new(),
            subscriptions: BTreeSet::new(),
            emails: BTreeMap::new(),
            threads: Vec::new(),
            mailboxes_made: 0,
            last_validity: 0,
            erased: (0, 0),
        };
        let uses = [
            ("INBOX", None),
            ("Drafts", Some(SpecialUse::Drafts)),
            ("Sent", Some(SpecialUse::Sent)),
            ("Junk", Some(SpecialUse::Junk)),
            ("Trash", Some(SpecialUse::Trash)),
            ("Archive", Some(SpecialUse::Archive)),
        ];
        for (name, special_use) in uses {
            account.add_mailbox(at, None, name, special_use);
            account.subscriptions.insert(name.into());
        }
        if let Some(phc) = &r.password {
            account.credentials.insert("password".into(), phc.clone());
        }
        self.now.accounts.insert(id, account);
        Ok(Done::Account(id))
    }

    pub(super) fn account_set(&mut self, r: &AccountSet) -> Answer<Done> {
        if r.settings.state == AccountState::Deleted {
            return Err(Rejection::AccountState(AccountState::Deleted));
        }
        let account = self.now.account(r.account)?;
        let archive = |settings: &AccountSettings| settings.state == AccountState::Archive;
        if archive(&account.settings) != archive(&r.settings) {
            return Err(Rejection::ArchiveForEver);
        }
        account.settings = r.settings.clone();
        Ok(Done::Unit)
    }

    pub(super) fn account_rename(&mut self, r: &AccountRename) -> Answer<Done> {
        self.now.account(r.account)?;
        self.check_free(&r.address)?;
        if self.now.account(r.account)?.address.domain != r.address.domain {
            self.leaves(r.account);
        }
        self.now.account(r.account)?.address = r.address.clone();
        Ok(Done::Unit)
    }

    pub(super) fn alias_add(&mut self, r: &AliasAdd) -> Answer<Done> {
        self.now.account(r.account)?;
        self.check_free(&r.alias)?;
        self.now.aliases.insert(r.alias.clone(), r.account);
        Ok(Done::Unit)
    }

    pub(super) fn alias_remove(&mut self, r: &AliasRemove) -> Answer<Done> {
        match self.now.aliases.remove(&r.alias) {
            Some(_) => Ok(Done::Unit),
            None => Err(Rejection::NotFound(String::new())),
        }
    }

    pub(super) fn credential_set(&mut self, r: &CredentialSet) -> Answer<Done> {
        let account = self.now.account(r.account)?;
        account.credentials.insert(r.name.clone(), r.phc.clone());
        Ok(Done::Unit)
    }

    pub(super) fn credential_remove(&mut self, r: &CredentialRemove) -> Answer<Done> {
        match self.now.account(r.account)?.credentials.remove(&r.name) {
            Some(_) => Ok(Done::Unit),
            None => Err(Rejection::NotFound(String::new())),
        }
    }
}
