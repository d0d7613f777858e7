//! What is known of an account, read once for all its emails.

use std::collections::BTreeMap;
use std::sync::Arc;

use redoubt_log::id::{AccountId, EmailId, HoldId, LogIndex, MailboxId, ThreadId, Uid};
use redoubt_log::record::Address;
use redoubt_store::mailstore::StoreError;
use redoubt_store::travel::{Names, What, gone_places, life};
use redoubt_store::view::{Hold, Placement, View};

use super::{AccountFacts, FactsError, Gone, Known, Mailbox, Standing};

/// Placements that are read at one time.
const PAGE: usize = 1000;

/// An account as of a view, with what was read of it so far.
#[derive(Debug)]
pub struct Account<'a> {
    view: &'a View,
    id: AccountId,
    facts: BTreeMap<AccountId, Option<Arc<AccountFacts>>>,
    names: Option<Arc<Names>>,
    mailboxes: BTreeMap<(MailboxId, LogIndex), Mailbox>,
    threads: Option<BTreeMap<ThreadId, EmailId>>,
    holds: Option<Vec<Hold>>,
}

impl<'a> Account<'a> {
    /// Nothing is read yet.
    pub fn new(view: &'a View, id: AccountId) -> Self {
        let (facts, mailboxes) = (BTreeMap::new(), BTreeMap::new());
        Self { view, id, facts, names: None, mailboxes, threads: None, holds: None }
    }

    /// The view that it is of.
    pub fn view(&self) -> &'a View {
        self.view
    }

    /// Which account.
    pub fn id(&self) -> AccountId {
        self.id
    }

    /// What is known of it.
    ///
    /// # Errors
    /// It is not there; the state cannot be read.
    pub fn own(&mut self) -> Result<Arc<AccountFacts>, FactsError> {
        self.any(self.id)?.ok_or(FactsError::NoAccount(self.id))
    }

    /// What is known of any account that is there.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn any(&mut self, id: AccountId) -> Result<Option<Arc<AccountFacts>>, FactsError> {
        if let Some(known) = self.facts.get(&id) {
            return Ok(known.clone());
        }
        let read = self.read(id)?.map(Arc::new);
        self.facts.insert(id, read.clone());
        Ok(read)
    }

    fn read(&self, id: AccountId) -> Result<Option<AccountFacts>, FactsError> {
        let Some(account) = self.view.account(id)? else { return Ok(None) };
        let domain = self.view.domain(&account.address.domain)?;
        let separator = domain.and_then(|domain| domain.settings.subaddress_separator);
        let aliases = self.view.aliases(Some(id))?.into_iter().map(|(alias, _)| alias);
        let addresses: Vec<Address> =
            std::iter::once(account.address.clone()).chain(aliases).collect();
        Ok(Some(AccountFacts { id, address: account.address, addresses, separator }))
    }

    /// Holds over one of its emails, as of now.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn holds_over(&mut self, email: EmailId) -> Result<Vec<HoldId>, StoreError> {
        if self.holds.is_none() {
            self.holds = Some(self.view.holds_over(self.id)?);
        }
        let holds = self.holds.as_deref().unwrap_or_default();
        match holds.iter().any(|hold| hold.terms.scope.query().is_some()) {
            true => self.view.email_held_by(self.id, email),
            false => Ok(holds.iter().map(|hold| hold.id).collect()),
        }
    }

    /// Every name that its mailboxes had.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn names(&mut self) -> Result<Arc<Names>, StoreError> {
        if let Some(names) = &self.names {
            return Ok(names.clone());
        }
        let names = Arc::new(Names::read(self.view, self.id)?);
        self.names = Some(names.clone());
        Ok(names)
    }

    /// A mailbox as it was called at an index.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn mailbox(&mut self, id: MailboxId, at: LogIndex) -> Result<Mailbox, StoreError> {
        if let Some(known) = self.mailboxes.get(&(id, at)) {
            return Ok(known.clone());
        }
        let names = self.names()?;
        let (name, special_use) = (names.name(id, at), names.special_use(id, at));
        let mailbox = Mailbox { id, name, special_use };
        // One of now serves many emails; those of the past are as many as went.
        if at == self.view.index() {
            self.mailboxes.insert((id, at), mailbox.clone());
        }
        Ok(mailbox)
    }

    /// A placement as a standing.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn standing(
        &mut self,
        mailbox: MailboxId,
        placement: &Placement,
        gone: Option<Gone>,
    ) -> Result<Standing, StoreError> {
        let at = gone.as_ref().map_or(self.view.index(), |gone| gone.by.index);
        Ok(Standing {
            mailbox: self.mailbox(mailbox, at)?,
            uid: placement.uid,
            flags: placement.flags,
            keywords: placement.keywords.clone(),
            modseq: placement.modseq,
            saved: placement.saved,
            gone,
        })
    }

    /// Where an email stands, and with `gone` also where it stood before it went; with what is
    /// known of it. `None` for one that stands nowhere.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn stands(
        &mut self,
        email: EmailId,
        gone: bool,
    ) -> Result<Option<(Known, Vec<Standing>)>, StoreError> {
        let (mut known, mut standings) = (None, Vec::new());
        for (mailbox, uid) in self.view.placements_of(self.id, email)? {
            let placement = self.view.placement(self.id, mailbox, self.id, uid)?;
            if let Some(placement) = placement {
                known = Some(Known::of(&placement));
                standings.push(self.standing(mailbox, &placement, None)?);
            }
        }
        if gone {
            let names = self.names()?;
            for (mailbox, placement, gone) in gone_places(self.view, self.id, email, &names)? {
                known = Some(Known::of(&placement));
                standings.push(self.standing(mailbox, &placement, Some(gone))?);
            }
        }
        Ok(known.map(|known| (known, standings)))
    }

    /// Mailboxes that an email was moved out of.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn moved_from(&mut self, email: EmailId) -> Result<Vec<Mailbox>, StoreError> {
        let names = self.names()?;
        let mut found = Vec::new();
        for event in life(self.view, self.id, email, &names)? {
            if let What::Moved { from, .. } = event.what {
                found.push(self.mailbox(from.mailbox, event.by.index)?);
            }
        }
        Ok(found)
    }

    /// Whether an email is the only one of its thread that stands anywhere.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_alone(&mut self, email: EmailId, thread: ThreadId) -> Result<bool, StoreError> {
        if self.threads.is_none() {
            self.threads = Some(self.lonely()?);
        }
        Ok(self.threads.as_ref().is_some_and(|threads| threads.get(&thread) == Some(&email)))
    }

    /// Threads of one email, and which that is.
    fn lonely(&self) -> Result<BTreeMap<ThreadId, EmailId>, StoreError> {
        let mut threads: BTreeMap<ThreadId, Option<EmailId>> = BTreeMap::new();
        for mailbox in self.view.mailboxes(self.id)?.into_iter().filter(|m| m.selectable) {
            let mut first = Some(Uid::MIN);
            while let Some(from) = first {
                let page =
                    self.view.placements(self.id, mailbox.id, self.id, from, Uid::MAX, PAGE)?;
                let last = page.last().filter(|_| page.len() == PAGE).map(|last| last.uid);
                first = last.and_then(|last| last.get().checked_add(1)).and_then(Uid::new);
                for Placement { thread, email, .. } in page {
                    let one = threads.entry(thread).or_insert(Some(email));
                    *one = one.filter(|one| *one == email);
                }
            }
        }
        Ok(threads.into_iter().filter_map(|(thread, one)| Some((thread, one?))).collect())
    }
}

impl Known {
    /// What a placement says of its email.
    pub fn of(placement: &Placement) -> Self {
        let Placement { email, thread, blob, size, received, .. } = placement.clone();
        Self { id: email, thread, blob, size, received }
    }
}
