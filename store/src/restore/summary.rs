//! A plan in a few lines, for people and for scripts.

use std::collections::BTreeMap;

use redoubt_log::id::MailboxId;
use redoubt_log::record::{RestoreStep, RestoreTo};
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::view::{Mailbox, View};

/// What a plan would do, by mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Steps of the plan.
    pub steps: u64,
    /// Emails that it touches.
    pub emails: u64,
    /// What is done, and how often.
    pub lines: Vec<Line>,
}

/// One line of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// What: `account`, `mailbox`, `rename`, `email`, `move`, `flags`, `expunge`, `delete`,
    /// `subscribe`. Stable.
    pub what: String,
    /// In which mailbox, or which one.
    pub mailbox: String,
    /// How many.
    pub count: u64,
}

/// Lines at most; the rest is counted in the last one.
const LINES: usize = 1000;

impl Summary {
    /// Of a plan, with names as of a view.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn of(view: &View, plan: &Plan) -> Result<Self, crate::mailstore::StoreError> {
        let names = Names::of(view.mailboxes(plan.account)?, &plan.steps);
        let mut counts: BTreeMap<(u8, &'static str, String), u64> = BTreeMap::new();
        for step in &plan.steps {
            names.count(step, &mut counts);
        }
        let more = counts.len().saturating_sub(LINES);
        let line = |((_, what, mailbox), count): ((u8, &str, String), u64)| Line {
            what: what.to_owned(),
            mailbox,
            count,
        };
        let mut lines: Vec<Line> = counts.into_iter().map(line).take(LINES).collect();
        if more > 0 {
            let mailbox = format!("and {more} lines more");
            lines.push(Line { what: "other".to_owned(), mailbox, count: more as u64 });
        }
        let steps = plan.steps.len() as u64;
        Ok(Self { steps, emails: plan.emails(), lines })
    }
}

impl Plan {
    /// Emails that the plan touches.
    pub fn emails(&self) -> u64 {
        let of_email = |step: &&RestoreStep| {
            use RestoreStep as S;
            matches!(step, S::Email(_) | S::Flags { .. } | S::Move { .. } | S::Expunge { .. })
        };
        self.steps.iter().filter(of_email).count() as u64
    }
}

struct Names {
    ids: BTreeMap<MailboxId, String>,
    slots: BTreeMap<u32, String>,
}

impl Names {
    fn of(mailboxes: Vec<Mailbox>, steps: &[RestoreStep]) -> Self {
        let ids = mailboxes.into_iter().map(|m| (m.id, m.name)).collect();
        let mut names = Self { ids, slots: BTreeMap::new() };
        for step in steps {
            match step {
                RestoreStep::Mailbox { slot, parent, name, .. } => {
                    let name = names.below(*parent, name);
                    names.slots.insert(*slot, name);
                }
                RestoreStep::Rename { mailbox, parent, name } => {
                    let name = names.below(*parent, name);
                    names.ids.insert(*mailbox, name);
                }
                _ => {}
            }
        }
        names
    }

    fn name(&self, to: RestoreTo) -> String {
        let (name, id) = match to {
            RestoreTo::Mailbox(id) => (self.ids.get(&id), id.object_id()),
            RestoreTo::Made(slot) => (self.slots.get(&slot), format!("new {slot}")),
        };
        name.cloned().unwrap_or(id)
    }

    fn below(&self, parent: Option<RestoreTo>, name: &str) -> String {
        parent.map_or_else(|| name.to_owned(), |parent| format!("{}/{name}", self.name(parent)))
    }

    fn count(&self, step: &RestoreStep, counts: &mut BTreeMap<(u8, &'static str, String), u64>) {
        let here = |id: &MailboxId| self.name(RestoreTo::Mailbox(*id));
        let key = match step {
            RestoreStep::Account { address, .. } => (0, "account", address.to_string()),
            RestoreStep::Rename { parent, name, .. } => (1, "rename", self.below(*parent, name)),
            RestoreStep::Mailbox { parent, name, .. } => (2, "mailbox", self.below(*parent, name)),
            RestoreStep::Move { to, .. } => (3, "move", self.name(*to)),
            RestoreStep::Email(email) => {
                let to = email.places.first().map(|place| self.name(place.to));
                (4, "email", to.unwrap_or_default())
            }
            RestoreStep::Flags { mailbox, .. } => (5, "flags", here(mailbox)),
            RestoreStep::Expunge { mailbox, .. } => (6, "expunge", here(mailbox)),
            RestoreStep::Delete { mailbox } => (7, "delete", here(mailbox)),
            RestoreStep::Subscribe { name, .. } => (8, "subscribe", name.clone()),
        };
        *counts.entry(key).or_default() += 1;
    }
}
