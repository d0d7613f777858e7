//! Archive accounts, and what rules put into them.

use super::*;

/// Messages and octets: delivered, sent, out of journals, journals kept whole; then what was
/// put off.
pub type Captured = ([(u64, u64); 4], u64);

impl State {
    fn is_archive(&self, account: AccountId) -> bool {
        let found = self.accounts.get(&account);
        found.is_some_and(|account| account.settings.state == AccountState::Archive)
    }

    /// The archives that rules want a party's mail in.
    fn archives(&self, party: &CaptureParty, sent: bool) -> BTreeSet<AccountId> {
        let class = party.account.and_then(|account| {
            let own = self.account_classes.get(&account).and_then(|set| set.class);
            own.or(self.domain_classes.get(&party.domain).copied())
        });
        let fits = |rule: &&CaptureRule| {
            let way = match rule.direction {
                CaptureDirection::Both => true,
                CaptureDirection::Sent => sent,
                CaptureDirection::Delivered => !sent,
            };
            way && match &rule.scope {
                CaptureScope::All => true,
                CaptureScope::Domain(domain) => *domain == party.domain,
                CaptureScope::Class(wanted) => class == Some(*wanted),
                CaptureScope::Account(account) => party.account == Some(*account),
                CaptureScope::Journal => false,
            }
        };
        self.rules.values().filter(fits).map(|rule| rule.archive).collect()
    }

    fn can_take(&self, archive: AccountId) -> bool {
        let inbox = || self.accounts[&archive].mailboxes.iter().find(|m| m.id == MailboxId(1));
        self.is_archive(archive) && inbox().is_some_and(|m| m.uid_next <= u64::from(u32::MAX))
    }

    fn count(&mut self, of: &[CaptureParty], what: impl Fn(&mut Captured)) {
        let accounts: BTreeSet<AccountId> = of.iter().filter_map(|party| party.account).collect();
        for account in accounts {
            if self.accounts.contains_key(&account) || self.deleted.contains_key(&account) {
                what(self.captured.entry(account).or_default());
            }
        }
        let domains: BTreeSet<String> = of.iter().map(|party| party.domain.clone()).collect();
        for domain in domains.into_iter().filter(|domain| self.domains.contains_key(domain)) {
            what(self.domains_captured.entry(domain).or_default());
        }
    }
}

/// What a record captures as it goes on.
#[derive(Default)]
pub(super) struct Under {
    pub(super) wanted: BTreeSet<AccountId>,
    pub(super) of: Vec<CaptureParty>,
    pub(super) refused: Vec<CaptureParty>,
}

fn not_captured() -> Rejection {
    Rejection::NotCaptured(String::new())
}

impl Model {
    pub(super) fn no_archive(&self, account: AccountId) -> Answer<()> {
        match self.now.is_archive(account) {
            true => Err(Rejection::Archive),
            false => Ok(()),
        }
    }

    pub(super) fn unneeded(&self, named: impl Fn(&CaptureRule) -> bool) -> Answer<()> {
        match self.now.rules.iter().find(|(_, rule)| named(rule)) {
            Some((id, _)) => Err(Rejection::CaptureRule(*id)),
            None => Ok(()),
        }
    }

    pub(super) fn capture_set(&mut self, r: &CaptureSet) -> Answer<Done> {
        let rule = &r.rule;
        self.now.account(rule.archive)?;
        if !self.now.is_archive(rule.archive) {
            return Err(Rejection::NotFound(String::new()));
        }
        match &rule.scope {
            CaptureScope::All | CaptureScope::Journal => {}
            CaptureScope::Domain(domain) if !self.now.domains.contains_key(domain) => {
                return Err(Rejection::NoSuchDomain(domain.clone()));
            }
            CaptureScope::Class(class) if !self.now.classes.contains_key(class) => {
                return Err(Rejection::NotFound(String::new()));
            }
            CaptureScope::Account(account) => {
                self.now.account(*account)?;
                self.no_archive(*account)?;
            }
            CaptureScope::Domain(_) | CaptureScope::Class(_) => {}
        }
        if self.now.rules.values().any(|other| other == rule) {
            return Err(Rejection::Exists(String::new()));
        }
        self.captures_made += 1;
        let id = CaptureId(self.captures_made);
        self.now.rules.insert(id, rule.clone());
        Ok(Done::Capture(id))
    }

    pub(super) fn capture_remove(&mut self, r: CaptureRemove) -> Answer<Done> {
        match self.now.rules.remove(&r.rule) {
            Some(_) => Ok(Done::Unit),
            None => Err(Rejection::NotFound(String::new())),
        }
    }

    /// A delivery to an account is captured, or put off.
    pub(super) fn capture_for(
        &mut self,
        account: AccountId,
        named: &[AccountId],
        under: &mut Under,
    ) -> Answer<()> {
        let domain = self.now.accounts[&account].address.domain.clone();
        let party = CaptureParty { account: Some(account), domain };
        let archives = self.now.archives(&party, false);
        if archives.iter().any(|a| !self.now.can_take(*a) || !named.contains(a)) {
            under.refused.push(party);
            return Err(not_captured());
        }
        if !archives.is_empty() {
            under.wanted.extend(archives);
            under.of.push(party);
        }
        Ok(())
    }

    pub(super) fn captured(&mut self, at: &At, r: &Deliver, under: &Under) {
        for archive in &under.wanted {
            self.put_into(at, *archive, &r.message, (r.received, r.envelope), DELIVERED);
        }
        let size = r.message.size;
        self.now.count(&under.of, |row| add(&mut row.0[0], size));
        self.now.count(&under.refused, |row| row.1 += 1);
    }

    fn put_into(
        &mut self,
        at: &At,
        archive: AccountId,
        message: &Message,
        (received, envelope): (Timestamp, BlobId),
        word: &str,
    ) -> Arrival {
        let email = EmailId { sequence: Sequence(at.index), ordinal: 0 };
        let account = self.now.accounts.get_mut(&archive).unwrap();
        account.bring(email, message, received, Some(envelope));
        account.place(at, MailboxId(1), email, 0, &[word.to_owned()], None).unwrap()
    }

    pub(super) fn capture(&mut self, at: &At, r: &Capture) -> Answer<Done> {
        let (mut wanted, mut of, mut word) = (BTreeSet::new(), Vec::new(), SENT);
        match &r.source {
            CaptureSource::Sent(parties) => {
                for party in parties {
                    let archives = self.now.archives(party, true);
                    if !archives.is_empty() {
                        of.push(party.clone());
                    }
                    wanted.extend(archives);
                }
            }
            CaptureSource::Journal { parsed } => {
                word = if *parsed { JOURNAL } else { UNREAD };
                let journals = |archive: &&AccountId| {
                    let mut rules = self.now.rules.values();
                    rules.any(|r| r.scope == CaptureScope::Journal && r.archive == **archive)
                };
                wanted.extend(r.archives.iter().filter(journals));
            }
        }
        if wanted.iter().any(|a| !self.now.can_take(*a) || !r.archives.contains(a)) {
            self.now.count(&of, |row| row.1 += 1);
            return Ok(Done::Arrived(vec![Err(not_captured())]));
        }
        let (mut answers, mut new) = (Vec::new(), Vec::new());
        for archive in wanted {
            let key = (r.retry, archive);
            let first = self.deliveries.get(&key).filter(|m| m.until > self.clock);
            let arrival = match first {
                Some(first) => first.value,
                None => {
                    new.push(archive);
                    let of = (r.received, r.envelope);
                    self.put_into(at, archive, &r.message, of, word)
                }
            };
            if new.last() == Some(&archive) {
                let memory = Memory { until: self.clock + HOUR, value: arrival };
                self.deliveries.insert(key, memory);
            }
            answers.push(Ok(arrival));
        }
        let size = r.message.size;
        match &r.source {
            _ if new.is_empty() => {}
            CaptureSource::Sent(_) => self.now.count(&of, |row| add(&mut row.0[1], size)),
            CaptureSource::Journal { parsed } => {
                let which = if *parsed { 2 } else { 3 };
                for archive in new {
                    add(&mut self.now.captured.entry(archive).or_default().0[which], size);
                }
            }
        }
        Ok(Done::Arrived(answers))
    }
}

const DELIVERED: &str = "$CapturedDelivered";
const SENT: &str = "$CapturedSent";
const JOURNAL: &str = "$CapturedJournal";
const UNREAD: &str = "$JournalUnread";

fn add(volume: &mut (u64, u64), octets: u64) {
    volume.0 += 1;
    volume.1 += octets;
}
