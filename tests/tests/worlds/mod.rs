//! A history in memory beside the model, and what tests of restores ask of it.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use redoubt_log::id::*;
use redoubt_log::record::*;
use redoubt_store::StateHash;
use redoubt_store::apply::{Position, apply};
use redoubt_store::check::check;
use redoubt_store::restore::{Plan, Wish, plan};
use redoubt_store::storage::MemStorage;
use redoubt_store::view::View;
use redoubt_tests::model::{AccountM, MailboxM, Model, Stage, agree};

use crate::operations::{Step, to_record};

/// A history, and what the model says of it.
#[derive(Clone)]
pub struct World {
    pub storage: MemStorage,
    pub model: Model,
    pub index: u64,
    apart: u64,
    pub clock: i64,
    pub log: Vec<Logged>,
}

/// A record that was applied.
#[derive(Clone)]
pub struct Logged {
    pub index: LogIndex,
    /// Its effective time.
    pub time: Timestamp,
    pub record: Record,
    /// The state's hash after it.
    pub hash: Hash,
}

impl World {
    pub fn new() -> Self {
        let (storage, model) = (MemStorage::new(), Model::new());
        let (index, apart, clock, log) = (0, 2, 1_700_000_000_000, Vec::new());
        Self { storage, model, index, apart, clock, log }
    }

    /// One whose records stand one behind the other, from index 2 on, and later than now.
    pub fn dense() -> Self {
        Self { index: 1, apart: 1, clock: 2_000_000_000_000, ..Self::new() }
    }

    pub fn run(steps: &[Step]) -> Self {
        let mut world = Self::new();
        for (n, step) in (1..).zip(steps) {
            world.step(n, step);
        }
        world
    }

    pub fn step(&mut self, n: u64, step: &Step) {
        self.clock += step.passes();
        let record = to_record(step, &self.model, n);
        let _ = self.apply(&record);
    }

    /// Both do the same.
    pub fn apply(&mut self, record: &Record) -> Result<Done, Rejection> {
        self.index += self.apart;
        let (index, time) = (LogIndex(self.index), Timestamp(self.clock));
        let mark = self.index.to_le_bytes().to_vec();
        let position = Position { index, term: Term(1), time, mark };
        let record = &Record { stamp: time, ..record.clone() };
        let outcome = apply(&mut self.storage, &position, record).unwrap();
        let expected = self.model.apply(index, time, record);
        assert_eq!(kinds(&outcome.result), kinds(&expected.result), "{record:#?}");
        let hash = StateHash::stored(&self.storage).unwrap().digest();
        let effective = self.log.last().map_or(time, |last: &Logged| last.time.max(time));
        self.log.push(Logged { index, time: effective, record: record.clone(), hash });
        outcome.result
    }

    pub fn submit(&mut self, change: Change) -> Result<Done, Rejection> {
        let mut operation = OperationId([0xdd; 16]);
        operation.0[..8].copy_from_slice(&self.index.to_le_bytes());
        let (stamp, actor, why) = (Timestamp(0), Actor::admin(7), Why::default());
        self.apply(&Record { stamp, operation, actor, why, change })
    }

    pub fn view(&self) -> View {
        View::new(Arc::new(self.storage.clone())).unwrap()
    }

    /// Does what a plan says, in pieces of a few steps; what came of each.
    pub fn restore(&mut self, plan: &Plan) -> Vec<Restored> {
        let (restore, account) =
            (OperationId(self.index.to_le_bytes().repeat(2).try_into().unwrap()), plan.account);
        let begin = RestoreBegin {
            restore,
            account,
            source: plan.source,
            mode: plan.mode,
            at: plan.at,
            until: plan.until,
            wish: BlobId([1; 32]),
            plan: Vec::new(),
            steps: plan.steps.len() as u64,
            options: RestoreOptions { over_quota: true, inbox_if_gone: false },
        };
        self.submit(Change::RestoreBegin(begin.clone())).unwrap();
        let busy = RestoreBegin { restore: OperationId([1; 16]), ..begin };
        assert!(self.submit(Change::RestoreBegin(busy)).is_err());
        let mut outcomes = Vec::new();
        for steps in plan.steps.chunks(4) {
            let (first, steps) = (outcomes.len() as u64, steps.to_vec());
            let piece = RestorePiece { restore, account, first, steps };
            match self.submit(Change::RestorePiece(piece.clone())).unwrap() {
                Done::Restored(answers) => outcomes.extend(answers),
                other => panic!("{other:?}"),
            }
            // The same piece again is not the next one.
            assert!(self.submit(Change::RestorePiece(piece)).is_err());
        }
        let mut counts = RestoreCounts::default();
        outcomes.iter().for_each(|outcome| counts.count(outcome));
        let (wish, ended) = (BlobId([1; 32]), RestoreEnded::Completed);
        let audit = RestoreAudit { restore, account, wish, plan: Vec::new(), counts, ended };
        self.submit(Change::RestoreAudit(audit)).unwrap();
        assert_eq!(self.view().restore(restore).unwrap().unwrap().counts, counts);
        let kept: Vec<_> = self.view().restore_outcomes(restore, 0).unwrap();
        assert_eq!(kept.into_iter().map(|(_, o)| o).collect::<Vec<_>>(), outcomes);
        outcomes
    }

    /// A wish twice: the second time nothing changes.
    pub fn twice(&mut self, wish: &Wish) -> Vec<Restored> {
        let planned = plan(&self.view(), wish).unwrap();
        let outcomes = self.restore(&planned);
        let before = self.view();
        let again = plan(&before, wish);
        // A deleted account that is back is not deleted.
        let Ok(again) = again else { return outcomes };
        for (step, outcome) in again.steps.iter().zip(self.restore(&again)) {
            let nothing = !matches!(outcome, Restored::Created(_) | Restored::Changed(_));
            assert!(nothing, "{wish:?}: {step:?} again: {outcome:?}");
        }
        outcomes
    }

    pub fn all_well(&self) {
        agree(&self.view(), &self.model.now);
        assert_eq!(check(&self.view(), &|_| Ok(()), 20).unwrap(), []);
    }
}

/// Without texts, which are for people.
pub fn kinds(result: &Result<Done, Rejection>) -> String {
    let text = match result {
        // How many rows go is what the model has no opinion of.
        Ok(Done::Trimmed(_)) => "Ok(Trimmed)".to_owned(),
        result => format!("{result:?}"),
    };
    let mut bare = String::new();
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        if !quoted {
            bare.push(c);
        }
    }
    bare
}

/// What of an email in a mailbox is kept by a restore.
pub type Content = BTreeMap<(EmailId, BlobId, i64, u64, ThreadId, u8, Vec<String>), usize>;

pub fn content_then(account: &AccountM, mailbox: &MailboxM) -> Content {
    let mut content = Content::new();
    for m in &mailbox.messages {
        let e = &account.emails[&m.email];
        let words = folded(&m.keywords);
        let key = (m.email, e.blob, e.received.0, e.size, e.thread, m.flags, words);
        *content.entry(key).or_default() += 1;
    }
    content
}

pub fn content_now(view: &View, account: AccountId, mailbox: MailboxId) -> Content {
    let mut content = Content::new();
    for p in view.placements(account, mailbox, account, Uid::MIN, Uid::MAX, 10_000).unwrap() {
        let words = folded(&p.keywords);
        let key = (p.email, p.blob, p.received.0, p.size, p.thread, p.flags.0, words);
        *content.entry(key).or_default() += 1;
    }
    content
}

pub fn folded(keywords: &[String]) -> Vec<String> {
    let mut words: Vec<String> = keywords.iter().map(|k| k.to_lowercase()).collect();
    words.sort();
    words
}

pub fn live(account: &AccountM) -> impl Iterator<Item = &MailboxM> {
    account.mailboxes.iter().filter(|m| m.stage == Stage::Live)
}

pub fn copy(world: &World, id: AccountId, at: LogIndex) {
    let mut world = world.clone();
    let then = world.model.past[&at].accounts[&id].clone();
    let domain = world.model.now.domains.keys().next().cloned();
    let Some(domain) = domain else { return };
    let address = Address { local: "copy".into(), domain };
    let settings = AccountSettings::default();
    let add = AccountAdd { address, settings, password: None };
    let Ok(Done::Account(to)) = world.submit(Change::AccountAdd(add)) else { panic!("no account") };
    let outcomes = world.twice(&Wish::Copy { account: id, at, to });
    world.all_well();
    assert!(!outcomes.iter().any(|o| matches!(o, Restored::Failed(_))), "{outcomes:?}");
    let view = world.view();
    let bare = |content: Content| {
        let mut bare: BTreeMap<_, usize> = BTreeMap::new();
        for ((_, blob, received, size, _, flags, words), count) in content {
            *bare.entry((blob, received, size, flags, words)).or_default() += count;
        }
        bare
    };
    for mailbox in live(&then) {
        let name = then.whole_name(mailbox.id);
        let there = view.mailbox_named(to, &name).unwrap().expect(&name);
        assert_eq!(bare(content_now(&view, to, there.id)), bare(content_then(&then, mailbox)));
        let uses: Vec<_> = live(&then).filter_map(|m| m.special_use).collect();
        if let Some(special_use) = mailbox.special_use {
            assert!(uses.contains(&special_use));
        }
    }
    let names: BTreeSet<_> = view.subscriptions(to).unwrap().into_iter().collect();
    assert_eq!(names, then.subscriptions);
    let emails: BTreeSet<_> =
        live(&then).flat_map(|m| m.messages.iter().map(|m| m.email)).collect();
    assert_eq!(view.account(to).unwrap().unwrap().emails, emails.len() as u64);
}
