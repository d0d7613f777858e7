//! Mailboxes that a plan needs: those that are there, and steps for those that are not.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{AccountId, MailboxId};
use redoubt_log::record::{RestoreStep, RestoreTo, SpecialUse};

use super::Planned;
use crate::mailbox::is_inbox;
use crate::view::{Mailbox, View};

/// The mailboxes of an account as a plan will find them, by their whole names.
#[derive(Debug)]
pub(super) struct Tree {
    names: BTreeMap<String, Known>,
    ids: BTreeSet<MailboxId>,
    uses: BTreeSet<SpecialUse>,
    slots: u32,
    /// What makes those that are missing, parents first.
    pub(super) steps: Vec<RestoreStep>,
}

#[derive(Debug, Clone, Copy)]
struct Known {
    to: RestoreTo,
    selectable: bool,
}

impl Tree {
    pub(super) fn now(view: &View, account: AccountId) -> Planned<Self> {
        Ok(Self::of(&view.mailboxes(account)?))
    }

    pub(super) fn of(mailboxes: &[Mailbox]) -> Self {
        let known = |m: &Mailbox| Known { to: RestoreTo::Mailbox(m.id), selectable: m.selectable };
        Self {
            names: mailboxes.iter().map(|m| (m.name.clone(), known(m))).collect(),
            ids: mailboxes.iter().filter(|m| m.selectable).map(|m| m.id).collect(),
            uses: mailboxes.iter().filter_map(|m| m.special_use).collect(),
            slots: 0,
            steps: Vec::new(),
        }
    }

    /// Whether the mailbox is there and can be selected.
    pub(super) fn has(&self, id: MailboxId) -> bool {
        self.ids.contains(&id)
    }

    /// The mailbox of a name, with a step that makes it if it is not there.
    pub(super) fn target(&mut self, name: &str, special_use: Option<SpecialUse>) -> RestoreTo {
        let name = canonical(name);
        match self.names.get(&name) {
            Some(known) if known.selectable => known.to,
            _ => self.make(&name, special_use),
        }
    }

    fn make(&mut self, name: &str, special_use: Option<SpecialUse>) -> RestoreTo {
        let (above, own) = match name.rsplit_once('/') {
            Some((above, own)) => (Some(self.parent(above)), own),
            None => (None, name),
        };
        let slot = self.slots;
        self.slots += 1;
        let special_use = special_use.filter(|wished| self.uses.insert(*wished));
        let name_own = own.to_owned();
        self.steps.push(RestoreStep::Mailbox { slot, parent: above, name: name_own, special_use });
        let to = RestoreTo::Made(slot);
        self.names.insert(name.to_owned(), Known { to, selectable: true });
        to
    }

    /// A mailbox that others stand below: a name that only has children will do.
    pub(super) fn parent(&mut self, name: &str) -> RestoreTo {
        match self.names.get(&canonical(name)) {
            Some(known) => known.to,
            None => self.make(&canonical(name), None),
        }
    }
}

/// `INBOX` in any case, alone and above others, is one mailbox (RFC 9051 section 5.1).
fn canonical(name: &str) -> String {
    match name.split_once('/') {
        None if is_inbox(name) => "INBOX".to_owned(),
        Some((top, rest)) if is_inbox(top) => format!("INBOX/{rest}"),
        _ => name.to_owned(),
    }
}
