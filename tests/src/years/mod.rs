//! Retention over simulated years: the real `apply` and the real rounds of whoever leads, by a
//! clock that leaps, against a ledger that says what must be there and what must be gone.

#![allow(unreachable_pub)]

mod doings;
mod ledger;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_log::world::Mutation;
use redoubt_log::world::sim::{self, Host};
use redoubt_store::apply::APPLY_VERSION;
use redoubt_store::check::check;
use redoubt_store::mailstore::StoreError;
use redoubt_store::sim::SimLeader;
use redoubt_store::travel::{Cursor, Gone as WasGone, Judge, Search, Which};
use redoubt_store::view::{Placement, View};

use doings::DOMAINS;
use ledger::{DAY, Gone, Ledger};

/// Things that are done in a run.
const STEPS: u64 = 260;
/// Rounds until nothing is taken any more.
const ROUNDS: usize = 20;

/// What a run has seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seen {
    /// Emails that came.
    pub emails: u64,
    /// Emails, or placements of them, that policies took.
    pub purged: u64,
    /// Those of these that a policy's query has found.
    pub found: u64,
    /// Emails that left the history.
    pub trimmed: u64,
    /// Emails that were expunged, were older than the history, and were kept at some moment.
    pub kept: u64,
    /// Days that it took.
    pub days: u64,
}

/// Lives through some years.
///
/// # Errors
/// What was lost or stayed, in words.
pub fn run(seed: u64, mutation: Option<Mutation>) -> Result<Seen, String> {
    let life = move |host: Host| async move {
        if let Some(rule) = mutation {
            host.break_rule(rule);
        }
        Life::new(host).live().await
    };
    sim::run(seed, life).unwrap_or_else(|error| Err(error.to_string()))
}

struct Life {
    host: Host,
    leader: Arc<SimLeader>,
    ledger: Ledger,
    ahead: i64,
    keep: Duration,
    kept: BTreeSet<(AccountId, EmailId)>,
}

impl Life {
    fn new(host: Host) -> Self {
        let days = host.pick(1..200);
        let keep = Duration::from_secs(days * 24 * 3600);
        let (leader, ledger) = (Arc::default(), Ledger::default());
        Self { host, leader, ledger, ahead: 0, keep, kept: BTreeSet::new() }
    }

    fn view(&self) -> View {
        self.leader.now().unwrap()
    }

    fn done(&mut self, actor: &Actor, change: Change) -> Outcome {
        let outcome = self.leader.submit(actor, change, Why::default()).unwrap();
        self.told();
        outcome
    }

    /// The ledger takes in what was done.
    fn told(&mut self) {
        let leader = self.leader.clone();
        for applied in self.leader.applied() {
            self.ledger.take(&applied, &|| leader.now().unwrap());
        }
    }

    fn begin(&mut self) {
        let mut first = vec![Change::Version(Version { apply: APPLY_VERSION })];
        first.extend(DOMAINS.map(|domain| {
            let settings = DomainSettings::default();
            Change::DomainAdd(DomainAdd { domain: domain.to_owned(), settings })
        }));
        for name in ["one", "two"] {
            let settings = ClassSettings::default();
            first.push(Change::ClassAdd(ClassAdd { name: name.to_owned(), settings }));
        }
        for n in 0..3 {
            first.push(Change::AccountAdd(AccountAdd {
                address: Address { local: format!("u{n}"), domain: DOMAINS[n % 2].to_owned() },
                settings: AccountSettings::default(),
                password: None,
            }));
        }
        for change in first {
            assert!(self.done(&Actor::SYSTEM, change).result.is_ok());
        }
    }

    fn pass(&mut self) {
        self.ahead += match self.host.pick(0..20) {
            0..12 => self.host.pick(0..10 * 3600 * 1000) as i64,
            12..18 => self.host.pick(0..12) as i64 * DAY,
            _ => self.host.pick(0..90) as i64 * DAY,
        };
        self.host.set_clock_ahead(self.ahead);
        self.ledger.now = Timestamp::now().0;
    }

    async fn live(mut self) -> Result<Seen, String> {
        self.begin();
        for step in 0..STEPS {
            self.pass();
            if let Some((actor, change)) = doings::next(&self.host, &mut self.ledger) {
                self.done(&actor, change);
            }
            if step % 4 == 0 || step + 1 == STEPS {
                self.rounds().await?;
            }
        }
        let went = |gone| self.ledger.mails.values().filter(|m| m.gone == gone).count() as u64;
        Ok(Seen {
            emails: self.ledger.mails.len() as u64,
            purged: self.ledger.purged,
            found: self.ledger.found,
            trimmed: went(Gone::Trimmed),
            kept: self.kept.len() as u64,
            days: (self.ahead / DAY) as u64,
        })
    }

    // ------------------------------------------------------------------ rounds

    async fn rounds(&mut self) -> Result<(), String> {
        // So that the log's time is now.
        let mark = CheckpointMark { index: LogIndex(0), state: Hash([0; 32]) };
        self.done(&Actor::SYSTEM, Change::CheckpointMark(mark));
        let error = |error: &dyn std::fmt::Display| error.to_string();
        if self.host.pick(0..3) > 0 {
            self.leader.sweep().await.map_err(|e| error(&e))?;
        }
        if self.host.pick(0..4) > 0 {
            self.judge();
        }
        if self.host.pick(0..4) > 0 {
            self.ask();
        }
        self.leader.holds().await.map_err(|e| error(&e))?;
        self.told();
        for _ in 0..ROUNDS {
            let round = self.leader.policies().await.map_err(|e| error(&e))?;
            self.told();
            if round.taken == 0 {
                break;
            }
        }
        self.wrong()?;
        if let Some(((account, email), overdue)) = self.ledger.overdue() {
            let now = Timestamp(self.ledger.now);
            let verdict = self.view().retention_of(account, email, now).unwrap();
            return Err(format!("{overdue}, and the store says {verdict:?}"));
        }
        if self.host.random() {
            self.leader.history(self.keep).await.map_err(|e| error(&e))?;
            self.told();
            self.ledger.trimmed(&self.view());
            self.begins_where_it_should()?;
            self.blobs()?;
        }
        self.wrong()?;
        self.compare()
    }

    fn wrong(&self) -> Result<(), String> {
        self.ledger.wrong.first().map_or(Ok(()), |wrong| Err(wrong.clone()))
    }

    /// What is not judged yet is judged, by who knows what is meant.
    fn judge(&mut self) {
        let holds = self.ledger.holds.iter();
        let queries = holds.filter(|(_, hold)| matches!(hold.scope, HoldScope::Query(_)));
        for hold in queries.map(|(id, _)| *id).collect::<Vec<_>>() {
            for account in self.ledger.accounts.keys().copied().collect::<Vec<_>>() {
                if self.ledger.over(account).any(|(id, _)| *id == hold) {
                    self.judge_one(hold, account);
                }
            }
        }
    }

    /// Queries of policies are asked, in part now and then.
    fn ask(&mut self) {
        let asks = |(id, policy): (&PolicyId, &ledger::PolicyL)| Some((*id, policy.asks()?));
        let asked: Vec<_> = self.ledger.policies.iter().filter_map(asks).collect();
        for (policy, version) in asked {
            for account in self.ledger.accounts.keys().copied().collect::<Vec<_>>() {
                let whose = &self.ledger.policies[&policy].settings.scope.whose;
                if self.ledger.covers(whose, account) && self.host.pick(0..5) > 0 {
                    self.ask_one(policy, version, account);
                }
            }
        }
    }

    fn ask_one(&mut self, policy: PolicyId, version: u32, account: AccountId) {
        let limit = if self.host.random() { 1000 } else { 2 };
        let emails = self.view().unasked((policy, version), account, limit).unwrap();
        let Some(upto) = emails.last().map(|last| last.sequence) else { return };
        let found = |email: &EmailId| {
            let mail = &self.ledger.mails[&(account, *email)];
            mail.gone == Gone::No && self.ledger.mergers.contains(&mail.blob)
        };
        let found = emails.into_iter().filter(found).map(|email| (email, Held::Matches));
        let emails = found.collect();
        let matched = PolicyMatched { policy, version, account, emails, upto };
        self.done(&Actor::SYSTEM, Change::PolicyMatched(matched));
    }

    fn judge_one(&mut self, hold: HoldId, account: AccountId) {
        let view = self.view();
        let emails = view.unjudged(hold, account, 1000).unwrap();
        let Some(upto) = emails.last().copied() else { return };
        let after = view.judged(hold, account).unwrap().upto;
        let meant = |email: &EmailId| {
            let mail = &self.ledger.mails[&(account, *email)];
            mail.gone == Gone::No && self.ledger.mergers.contains(&mail.blob)
        };
        let marks = emails.iter().copied().filter(meant).map(|email| (email, Held::Matches));
        let judged = vec![Judged { account, after, upto, marks: marks.collect() }];
        self.done(&Actor::SYSTEM, Change::HoldMarks(HoldMarks { hold, judged }));
    }

    // ---------------------------------------------------------------- compared

    /// No history goes back further than it is kept, but where a hold says so.
    fn begins_where_it_should(&self) -> Result<(), String> {
        let keep = self.keep.as_millis() as i64;
        let Some(wished) = self.ledger.index_at(self.ledger.now - keep) else { return Ok(()) };
        for account in self.ledger.accounts.keys() {
            let floor = self.ledger.floors.get(account).copied().unwrap_or(0);
            let may_stay = self.ledger.account_held(*account).1;
            if floor < wished && !may_stay {
                return Err(format!("account {account} begins at {floor} and not at {wished}"));
            }
        }
        Ok(())
    }

    /// What nobody has is dead, what somebody has is not.
    fn blobs(&self) -> Result<(), String> {
        let view = self.view();
        let (mut needed, mut all) = (BTreeSet::new(), BTreeSet::new());
        for mail in self.ledger.mails.values() {
            all.insert(mail.blob);
            if mail.gone == Gone::No {
                needed.insert(mail.blob);
            }
        }
        for blob in all {
            let dead = view.dead_since(&blob).unwrap().is_some();
            if dead == needed.contains(&blob) {
                let what = if dead { "is dead and needed" } else { "is nobody's and not dead" };
                return Err(format!("blob {blob} {what}"));
            }
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), String> {
        let view = self.view();
        let found = check(&view, &|_| Ok(()), 5).unwrap();
        if !found.is_empty() {
            return Err(format!("{found:?}"));
        }
        for (key, mail) in &self.ledger.mails {
            let there = view.email_ever(key.0, key.1).unwrap().is_some();
            if there != (mail.gone == Gone::No) {
                let what = if there { "is still there" } else { "is lost" };
                return Err(format!("{key:?} {what} at {}: {mail:?}", self.ledger.index));
            }
            let floor = self.ledger.floors.get(&key.0).copied().unwrap_or(0);
            if there && mail.expunged().is_some_and(|at| at <= floor) {
                self.kept.insert(*key);
            }
        }
        self.compare_at(&view, self.ledger.index)?;
        for _ in 0..2 {
            let index = self.host.pick(1..self.ledger.index);
            self.compare_at(&view.at(LogIndex(index)), index)?;
        }
        Ok(())
    }

    fn compare_at(&self, view: &View, index: u64) -> Result<(), String> {
        for (id, account) in &self.ledger.accounts {
            let floor = self.ledger.floors.get(id).copied().unwrap_or(0);
            let gone = |at: Option<u64>| at.is_some_and(|at| at <= index);
            if index < floor || gone(account.deleted_at) {
                continue;
            }
            for (mailbox, row) in &account.mailboxes {
                if row.made > index || gone(row.gone) {
                    continue;
                }
                let (first, last) = (Uid::MIN, Uid::new(u32::MAX).unwrap());
                let stands = view.placements(*id, *mailbox, *id, first, last, 10_000).unwrap();
                let stands: Vec<_> = stands.iter().map(|p| (p.uid, p.email, p.saved.0)).collect();
                let expected = self.stood(*id, *mailbox, index);
                if stands != expected {
                    let what = format!("account {id}, mailbox {mailbox} at {index}");
                    return Err(format!("{what}: {stands:?} and not {expected:?}"));
                }
            }
            self.search(view, *id, index, floor)?;
        }
        Ok(())
    }

    fn stood(&self, a: AccountId, m: MailboxId, index: u64) -> Vec<(Uid, EmailId, i64)> {
        let mut stood = Vec::new();
        for ((of, email), mail) in &self.ledger.mails {
            if *of != a || mail.gone == Gone::Purged {
                continue;
            }
            for place in mail.places.iter().filter(|place| place.mailbox == m) {
                if place.from <= index && place.until.is_none_or(|until| until > index) {
                    stood.push((place.uid, *email, place.saved));
                }
            }
        }
        stood.sort();
        stood
    }

    /// A search of all that stood there and was expunged since finds what is there, and nothing
    /// that has gone.
    fn search(&self, view: &View, a: AccountId, index: u64, floor: u64) -> Result<(), String> {
        let found = everything(view, a);
        for ((of, email), mail) in &self.ledger.mails {
            if *of != a {
                continue;
            }
            let came = mail.places.iter().any(|place| place.from <= index);
            // As of the moment: what of it had not gone, or went behind the floor.
            let stood = mail
                .places
                .iter()
                .any(|place| place.from <= index && place.until.is_none_or(|until| until > floor));
            if found.contains(email) && (mail.gone != Gone::No || !came) {
                return Err(format!("{email} of {a} has gone and is found at {index}: {mail:?}"));
            }
            if !found.contains(email) && mail.gone == Gone::No && stood {
                return Err(format!("{email} of {a} is not found at {index}: {mail:?}"));
            }
        }
        Ok(())
    }
}

fn everything(view: &View, account: AccountId) -> BTreeSet<EmailId> {
    let search = Search { view, account, mailboxes: &[], which: Which::Both, among: None };
    let (mut found, mut after) = (BTreeSet::new(), None::<Cursor>);
    loop {
        let page = search.piece(&mut Everything, after, 50).unwrap();
        found.extend(page.hits.iter().map(|hit| hit.placement.email));
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

/// Looks for everything.
struct Everything;

impl Judge for Everything {
    type Error = StoreError;

    fn opens_messages(&self) -> bool {
        false
    }

    fn is_meant(
        &mut self,
        _: MailboxId,
        _: &Placement,
        _: Option<&WasGone>,
    ) -> Result<bool, StoreError> {
        Ok(true)
    }
}
