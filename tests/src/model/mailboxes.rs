//! Mailboxes (RFC 9051 sections 6.3.4 to 6.3.8).

use super::*;

impl AccountM {
    pub fn mailbox(&self, id: MailboxId) -> Option<&MailboxM> {
        self.mailboxes.iter().find(|m| m.id == id)
    }

    pub(super) fn named(&mut self, id: MailboxId) -> Answer<&mut MailboxM> {
        let found = self.mailboxes.iter_mut().find(|m| m.id == id && m.stage != Stage::Deleted);
        found.ok_or(Rejection::NoSuchMailbox)
    }

    pub(super) fn live(&mut self, id: MailboxId) -> Answer<&mut MailboxM> {
        let mailbox = self.named(id)?;
        match mailbox.stage {
            Stage::Live => Ok(mailbox),
            _ => Err(Rejection::NoSelect),
        }
    }

    pub(super) fn renumber(&mut self, at: &At, r: &Renumber) -> Answer<Done> {
        let clock = (at.time.0 / 1000) as u32;
        if r.mailboxes.contains(&MailboxId(1)) {
            self.mailboxes_made = match u64::from(self.mailboxes_made) + 1 + u64::from(r.skip) {
                next if next <= u64::from(u32::MAX) => (next - 1) as u32,
                _ => self.mailboxes_made,
            };
            if r.validity {
                let next = (self.last_validity + 1).max(clock);
                self.last_validity = next.checked_add(r.skip).unwrap_or(next);
            }
        }
        for id in &r.mailboxes {
            let last = self.last_validity;
            let mailbox = self.named(*id)?;
            let next = mailbox.uid_next + u64::from(r.skip);
            let enough = next <= u64::from(u32::MAX);
            if enough {
                mailbox.uid_next = next;
            }
            if r.validity || !enough {
                mailbox.validity = (last + 1).max(clock);
                self.last_validity = mailbox.validity;
            }
        }
        Ok(Done::Unit)
    }

    pub(super) fn child(&self, parent: Option<MailboxId>, name: &str) -> Option<&MailboxM> {
        let here = |m: &&MailboxM| m.parent == parent && m.name == name;
        self.mailboxes.iter().filter(here).find(|m| m.stage != Stage::Deleted)
    }

    fn children(&self, parent: MailboxId) -> Vec<MailboxId> {
        let here = |m: &&MailboxM| m.parent == Some(parent) && m.stage != Stage::Deleted;
        self.mailboxes.iter().filter(here).map(|m| m.id).collect()
    }

    pub fn whole_name(&self, id: MailboxId) -> String {
        let mailbox = self.mailbox(id).unwrap();
        match mailbox.parent {
            Some(parent) => format!("{}/{}", self.whole_name(parent), mailbox.name),
            None => mailbox.name.clone(),
        }
    }

    fn levels_above(&mut self, parent: Option<MailboxId>) -> Answer<Vec<MailboxId>> {
        let mut above = Vec::new();
        let mut next = parent;
        while let Some(id) = next {
            above.push(id);
            next = self.named(id)?.parent;
        }
        Ok(above)
    }

    fn depth_below(&self, id: MailboxId) -> usize {
        let below = self.children(id).into_iter().map(|child| 1 + self.depth_below(child));
        below.max().unwrap_or(0)
    }

    pub(super) fn add_mailbox(
        &mut self,
        at: &At,
        parent: Option<MailboxId>,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> (MailboxId, UidValidity) {
        self.mailboxes_made += 1;
        self.last_validity = (self.last_validity + 1).max((at.time.0 / 1000) as u32);
        let id = MailboxId(self.mailboxes_made);
        self.mailboxes.push(MailboxM {
            id,
            name: name.into(),
            parent,
            special_use,
            stage: Stage::Live,
            validity: self.last_validity,
            uid_next: 1,
            highest: at.index,
            keywords: Vec::new(),
            messages: Vec::new(),
            vanished: Vec::new(),
        });
        (id, UidValidity::new(self.last_validity).unwrap())
    }

    pub(super) fn create(&mut self, at: &At, r: &MailboxCreate, most: u32) -> Answer<Done> {
        check_level(r.parent, &r.name)?;
        if self.levels_above(r.parent)?.len() >= 32 {
            return Err(Rejection::Limit(String::new()));
        }
        let wished = r.special_use;
        if let Some(taken) =
            wished.filter(|_| self.mailboxes.iter().any(|m| m.special_use == wished))
        {
            return Err(Rejection::UseTaken(taken));
        }
        let old = self.child(r.parent, &r.name).map(|m| (m.id, m.stage));
        if matches!(old, Some((_, Stage::Live))) {
            return Err(Rejection::Exists(String::new()));
        }
        let named = self.mailboxes.iter().filter(|m| m.stage != Stage::Deleted);
        let freed = usize::from(old.is_some());
        if named.count() - freed >= most as usize {
            return Err(Rejection::Limit(String::new()));
        }
        let (id, validity) = self.add_mailbox(at, r.parent, &r.name, wished);
        if let Some((old, _)) = old {
            for child in self.children(old) {
                self.named(child)?.parent = Some(id);
            }
            self.end(old);
        }
        Ok(Done::Mailbox(id, validity))
    }

    /// The mailbox has no name any more, and no place in the tree.
    fn end(&mut self, id: MailboxId) {
        let mailbox = self.named(id).unwrap();
        mailbox.stage = Stage::Deleted;
        mailbox.special_use = None;
    }

    pub(super) fn rename(&mut self, r: &MailboxRename) -> Answer<Done> {
        let old = self.named(r.mailbox)?.clone();
        if old.id == MailboxId(1) {
            return Err(Rejection::Inbox);
        }
        check_level(r.parent, &r.name)?;
        if old.parent == r.parent && old.name == r.name {
            return Ok(Done::Unit);
        }
        let above = self.levels_above(r.parent)?;
        if above.contains(&r.mailbox) {
            return Err(Rejection::Cycle);
        }
        if self.child(r.parent, &r.name).is_some() {
            return Err(Rejection::Exists(String::new()));
        }
        if above.len() + 1 + self.depth_below(r.mailbox) > 32 {
            return Err(Rejection::Limit(String::new()));
        }
        let mailbox = self.named(r.mailbox)?;
        mailbox.parent = r.parent;
        mailbox.name = r.name.clone();
        Ok(Done::Unit)
    }

    pub(super) fn named_change(&mut self, r: &MailboxNamed) -> Answer<Done> {
        let MailboxNamed { account, mailbox, .. } = *r;
        let (mut name, mut next) = (String::new(), Some(mailbox));
        while let Some(id) = next {
            let level = self.named(id)?;
            name = format!("/{}{name}", level.name);
            next = level.parent;
        }
        if name.trim_start_matches('/') != r.name {
            return Err(Rejection::NoSuchMailbox);
        }
        match &r.then {
            NamedChange::Rename { parent, name } => self.rename(&MailboxRename {
                account,
                mailbox,
                parent: *parent,
                name: name.clone(),
            }),
            NamedChange::Delete => self.delete(&MailboxDelete { account, mailbox }),
        }
    }

    pub(super) fn delete(&mut self, r: &MailboxDelete) -> Answer<Done> {
        let stage = self.named(r.mailbox)?.stage;
        if r.mailbox == MailboxId(1) {
            return Err(Rejection::Inbox);
        }
        let parent = !self.children(r.mailbox).is_empty();
        if parent && stage == Stage::OnlyName {
            return Err(Rejection::NoSelect);
        }
        if parent {
            let mailbox = self.named(r.mailbox)?;
            mailbox.stage = Stage::OnlyName;
            mailbox.special_use = None;
        } else {
            self.end(r.mailbox);
        }
        Ok(Done::Unit)
    }

    pub(super) fn subscribe(&mut self, r: &Subscribe) -> Answer<Done> {
        if r.name.split('/').any(str::is_empty) {
            return Err(Rejection::InvalidName(String::new()));
        }
        let inbox = r.name.to_lowercase() == "inbox";
        let name = if inbox { "INBOX".to_owned() } else { r.name.clone() };
        match r.subscribed {
            true => self.subscriptions.insert(name),
            false => self.subscriptions.remove(&name),
        };
        Ok(Done::Unit)
    }
}

fn check_level(parent: Option<MailboxId>, name: &str) -> Answer<()> {
    if name.is_empty() || name.contains(['/', '\n']) {
        return Err(Rejection::InvalidName(String::new()));
    }
    if parent.is_none() && name.to_lowercase() == "inbox" {
        return Err(Rejection::Inbox);
    }
    if parent.is_none() && name.starts_with('#') {
        return Err(Rejection::InvalidName(String::new()));
    }
    Ok(())
}
