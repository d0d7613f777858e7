//! Emails and their placements.

use super::captures::Under;
use super::*;

const SEEN: u8 = 1;
const DELETED: u8 = 8;

fn folded(keyword: &str) -> String {
    keyword.to_lowercase()
}

impl MailboxM {
    /// As the mailbox spells it, learning it when it is new.
    pub(super) fn spell(&mut self, keywords: &[String]) -> Vec<String> {
        let mut spelt: Vec<String> = Vec::new();
        for keyword in keywords {
            if !self.keywords.iter().any(|k| folded(k) == folded(keyword)) {
                self.keywords.push(keyword.clone());
            }
            let known = self.keywords.iter().find(|k| folded(k) == folded(keyword)).unwrap();
            if !spelt.contains(known) {
                spelt.push(known.clone());
            }
        }
        spelt.sort_by_key(|k| folded(k));
        spelt
    }

    pub fn message(&mut self, uid: Uid) -> Option<&mut MessageM> {
        self.messages.iter_mut().find(|m| m.uid == uid)
    }
}

pub(super) fn good_keywords(keywords: &[String]) -> bool {
    keywords
        .iter()
        .all(|k| !k.is_empty() && k.chars().all(|c| c.is_ascii_alphanumeric() || c == '$'))
}

impl AccountM {
    pub fn used(&self) -> u64 {
        self.emails.values().map(|email| email.size).sum()
    }

    pub(super) fn thread_of(&mut self, keys: &ThreadKeys, own: ThreadId) -> ThreadId {
        let with = |id: &ThreadKey| {
            let hit = self.threads.iter().find(|(i, s, _)| i == id && *s == keys.subject);
            hit.map(|hit| hit.2)
        };
        let thread = keys.message_ids.iter().filter_map(with).min().unwrap_or(own);
        for id in &keys.message_ids {
            if !self.threads.iter().any(|(i, s, _)| i == id && *s == keys.subject) {
                self.threads.push((*id, keys.subject, thread));
            }
        }
        thread
    }

    pub(super) fn bring(
        &mut self,
        id: EmailId,
        message: &Message,
        received: Timestamp,
        envelope: Option<BlobId>,
    ) {
        let thread = self.thread_of(&message.thread, ThreadId(id));
        let (blob, size, keys) = (message.blob, message.size, message.thread.clone());
        let email = EmailM { blob, size, received, thread, keys, envelope };
        self.emails.insert(id, email);
    }

    pub(super) fn place(
        &mut self,
        at: &At,
        to: MailboxId,
        email: EmailId,
        flags: u8,
        keywords: &[String],
        wished: Option<Uid>,
    ) -> Answer<Arrival> {
        let thread = self.emails[&email].thread;
        let mailbox = self.live(to)?;
        if !good_keywords(keywords) {
            return Err(Rejection::InvalidName(String::new()));
        }
        let next = mailbox.uid_next;
        let uid = match wished {
            Some(uid) if u64::from(uid.get()) < next => return Err(Rejection::UidTaken(uid)),
            Some(uid) => uid,
            None if next > u64::from(u32::MAX) => return Err(Rejection::UidsExhausted),
            None => Uid::new(next as u32).unwrap(),
        };
        mailbox.uid_next = u64::from(uid.get()) + 1;
        mailbox.highest = at.index;
        let keywords = mailbox.spell(keywords);
        mailbox.messages.push(MessageM {
            uid,
            email,
            flags,
            keywords,
            saved: at.time,
            modseq: at.index,
            readers: BTreeSet::new(),
        });
        Ok(Arrival {
            email,
            thread,
            mailbox: to,
            uid_validity: UidValidity::new(mailbox.validity).unwrap(),
            uid,
            modseq: ModSeq(at.index),
        })
    }

    pub(super) fn take(&mut self, at: &At, from: MailboxId, uid: Uid) {
        let mailbox = self.mailboxes.iter_mut().find(|m| m.id == from).unwrap();
        let email = mailbox.message(uid).unwrap().email;
        mailbox.messages.retain(|m| m.uid != uid);
        mailbox.vanished.push((uid, at.index));
        mailbox.highest = at.index;
        // A reader's `\Seen` is not kept beyond a chunk of 1,024 UIDs that is empty;
        // UIDs are never used again, so nobody can tell.
        let placed = |m: &MailboxM| m.messages.iter().any(|p| p.email == email);
        if !self.mailboxes.iter().any(placed) {
            self.emails.remove(&email);
        }
        let over = |m: &MailboxM| m.stage == Stage::Deleted && m.messages.is_empty();
        self.mailboxes.retain(|m| !over(m) || m.id != from);
    }

    pub(super) fn copy(
        &mut self,
        at: &At,
        from: MailboxId,
        to: MailboxId,
        items: &[Placed],
        leave: bool,
    ) -> Answer<Done> {
        self.live(from)?;
        self.live(to)?;
        let mut answers = Vec::new();
        for item in items {
            let source = self.live(from)?.message(item.uid).cloned();
            let Some(source) = source.filter(|m| m.email == item.email) else {
                answers.push(Err(Rejection::Gone));
                continue;
            };
            let arrival = self.place(at, to, source.email, source.flags, &source.keywords, None)?;
            if leave {
                self.take(at, from, item.uid);
            }
            answers.push(Ok(arrival));
        }
        Ok(Done::Arrived(answers))
    }

    pub(super) fn expunge(&mut self, at: &At, r: &Expunge) -> Answer<Done> {
        if self
            .mailbox(r.mailbox)
            .is_none_or(|m| m.stage == Stage::Deleted && m.messages.is_empty())
        {
            return Err(Rejection::NoSuchMailbox);
        }
        let mut answers = Vec::new();
        for uid in &r.uids {
            let mailbox = self.mailboxes.iter_mut().find(|m| m.id == r.mailbox);
            let flags = mailbox.and_then(|m| m.message(*uid)).map(|m| m.flags);
            answers.push(match flags {
                None => Err(Rejection::Gone),
                Some(flags) if r.only_deleted && flags & DELETED == 0 => Err(Rejection::NotDeleted),
                Some(_) => {
                    self.take(at, r.mailbox, *uid);
                    Ok(Sequence(at.index))
                }
            });
        }
        Ok(Done::Changed(answers))
    }
}

impl Model {
    pub(super) fn deliver(&mut self, at: &At, r: &Deliver, archives: &[AccountId]) -> Done {
        let mut under = Under::default();
        let mut answers = Vec::new();
        for (n, to) in (0u32..).zip(&r.recipients) {
            answers.push(self.deliver_one(at, r, (to, n), (archives, &mut under)));
        }
        self.captured(at, r, &under);
        Done::Delivered(answers)
    }

    fn deliver_one(
        &mut self,
        at: &At,
        r: &Deliver,
        (to, n): (&Recipient, u32),
        (archives, under): (&[AccountId], &mut Under),
    ) -> Answer<Arrival> {
        let clock = self.clock;
        let retry = to.operation.map(|operation| (operation, to.account));
        if let Some(first) = retry.and_then(|key| self.deliveries.get(&key))
            && first.until > clock
        {
            return Ok(first.value);
        }
        let account = self.now.account(to.account)?;
        if account.settings.state == AccountState::Closed {
            return Err(Rejection::AccountState(AccountState::Closed));
        }
        self.no_archive(to.account)?;
        self.takes(to.account, r.message.size)?;
        let account = self.now.account(to.account)?;
        let mailbox = match account.live(to.mailbox) {
            Ok(_) => to.mailbox,
            Err(_) => MailboxId(1),
        };
        if account.live(mailbox)?.uid_next > u64::from(u32::MAX) {
            return Err(Rejection::UidsExhausted);
        }
        self.capture_for(to.account, archives, under)?;
        let account = self.now.account(to.account)?;
        let email = EmailId { sequence: Sequence(at.index), ordinal: n };
        account.bring(email, &r.message, r.received, Some(r.envelope));
        let keywords: &[String] = if good_keywords(&to.keywords) { &to.keywords } else { &[] };
        let arrival = account.place(at, mailbox, email, to.flags.0, keywords, None)?;
        if let Some(key) = retry {
            self.deliveries.insert(key, Memory { until: clock + HOUR, value: arrival });
        }
        Ok(arrival)
    }

    pub(super) fn room(&self, account: AccountId, size: u64) -> Answer<()> {
        let used = self.now.accounts[&account].used();
        match self.now.quota(account) {
            Some(limit) if used + size > limit => Err(Rejection::OverQuota { used, limit }),
            _ => Ok(()),
        }
    }

    /// Whether a new message may come in.
    fn takes(&self, account: AccountId, size: u64) -> Answer<()> {
        match self.now.largest_message(account) {
            Some(limit) if size > limit => Err(Rejection::TooLarge { size, limit }),
            _ => self.room(account, size),
        }
    }

    pub(super) fn append(&mut self, at: &At, r: &Append) -> Answer<Done> {
        self.now.account(r.account)?.live(r.mailbox)?;
        let mut answers = Vec::new();
        for (n, item) in (0u32..).zip(&r.items) {
            answers.push(Ok(self.append_one(at, r, item, n)?));
        }
        Ok(Done::Arrived(answers))
    }

    fn append_one(&mut self, at: &At, r: &Append, item: &AppendItem, n: u32) -> Answer<Arrival> {
        let clock = self.clock;
        let same = |(key, m): &&((OperationId, AccountId, MailboxId), Memory<Arrival>)| {
            Some(key.0) == item.operation && key.1 == r.account && m.until > clock
        };
        let mut earlier: Vec<_> = self.imports.iter().filter(same).cloned().collect();
        earlier.sort_by_key(|(key, _)| key.2);
        if let Some((_, first)) = earlier.iter().find(|(key, _)| key.2 == r.mailbox) {
            return Ok(first.value);
        }
        let known = earlier.first().map(|(_, m)| m.value.email);
        let alive = known.filter(|email| self.now.accounts[&r.account].emails.contains_key(email));
        let email = match alive {
            Some(email) => email,
            None => {
                self.takes(r.account, item.message.size)?;
                let email = EmailId { sequence: Sequence(at.index), ordinal: n };
                self.now.account(r.account)?.bring(email, &item.message, item.received, None);
                email
            }
        };
        let account = self.now.account(r.account)?;
        let arrival =
            account.place(at, r.mailbox, email, item.flags.0, &item.keywords, item.uid)?;
        if let Some(operation) = item.operation {
            let key = (operation, r.account, r.mailbox);
            self.imports.retain(|(other, _)| *other != key);
            self.imports.push((key, Memory { until: clock + 24 * HOUR, value: arrival }));
        }
        Ok(arrival)
    }

    pub(super) fn set_flags(&mut self, at: &At, r: &SetFlags) -> Answer<Done> {
        let taking = r.how == FlagChange::Remove;
        self.now.account(r.account)?.live(r.mailbox)?;
        if !taking && !good_keywords(&r.keywords) {
            return Err(Rejection::InvalidName(String::new()));
        }
        self.now.account(r.reader)?;
        let mailbox = self.now.account(r.account)?.live(r.mailbox)?;
        let answers = r.uids.iter().map(|uid| mailbox.flag_one(at, r, *uid)).collect();
        Ok(Done::Changed(answers))
    }
}

impl MailboxM {
    fn flag_one(&mut self, at: &At, r: &SetFlags, uid: Uid) -> Answer<Sequence> {
        let old = self.message(uid).cloned().ok_or(Rejection::Gone)?;
        if r.unchanged_since.is_some_and(|since| old.modseq > since.0) {
            return Err(Rejection::Modified(ModSeq(old.modseq)));
        }
        let mut new = old.clone();
        let owner = r.reader == r.account;
        let seen = if owner { old.flags & SEEN != 0 } else { old.readers.contains(&r.reader) };
        let start = (old.flags & !SEEN) | u8::from(seen);
        let wished = match r.how {
            FlagChange::Add => start | r.flags.0,
            FlagChange::Remove => start & !r.flags.0,
            FlagChange::Replace => r.flags.0,
        };
        if owner {
            new.flags = wished;
        } else {
            new.flags = (wished & !SEEN) | (old.flags & SEEN);
            match wished & SEEN {
                0 => new.readers.remove(&r.reader),
                _ => new.readers.insert(r.reader),
            };
        }
        new.keywords = self.new_keywords(&old, r);
        if new.flags != old.flags || new.keywords != old.keywords {
            new.keywords = self.spell(&new.keywords);
            new.modseq = at.index;
            self.highest = at.index;
        }
        let modseq = new.modseq;
        *self.message(uid).unwrap() = new;
        Ok(Sequence(modseq))
    }

    /// Spelt as the mailbox would; it learns them only when something changes.
    fn new_keywords(&self, old: &MessageM, r: &SetFlags) -> Vec<String> {
        let mut trial = self.clone();
        let wished: BTreeSet<String> = r.keywords.iter().map(|k| folded(k)).collect();
        match r.how {
            FlagChange::Add => {
                trial.spell(&[old.keywords.as_slice(), r.keywords.as_slice()].concat())
            }
            FlagChange::Replace => trial.spell(&r.keywords),
            FlagChange::Remove => {
                old.keywords.iter().filter(|k| !wished.contains(&folded(k))).cloned().collect()
            }
        }
    }
}
