//! Histories of several clients at one time, made by the model: right ones pass, and each bug is
//! found by the checker that is there for it.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::model::{Bug, Model, View};
use crate::check::replay::Cache;
use crate::check::{Checked, Verdict, judge};
use crate::history::{Ask, Heard, History, How, Operation, Outcome, Store};

const FOLDERS: [&str; 2] = ["INBOX", "Archive"];
const FLAGS: [&str; 4] = ["\\Seen", "\\Deleted", "Blue", "\\Flagged"];
const STEPS: u64 = 600;

/// One client, and what its server keeps for it.
struct Client {
    name: String,
    account: String,
    session: u64,
    view: View,
    cache: Cache,
    /// When its operation ends.
    busy: u64,
    appended: u32,
    /// What is done later, if ever: an operation whose answer was lost.
    late: Option<(u64, Operation)>,
}

struct World {
    model: Model,
    chance: StdRng,
    now: u64,
    sessions: u64,
    operations: Vec<Operation>,
}

fn client(name: &str, account: &str) -> Client {
    Client {
        name: name.into(),
        account: account.into(),
        session: 0,
        view: View::default(),
        cache: Cache::default(),
        busy: 0,
        appended: 0,
        late: None,
    }
}

impl World {
    fn below(&mut self, end: u32) -> u32 {
        self.chance.random_range(0..end)
    }

    fn step(&mut self, client: &mut Client) {
        if let Some((_, operation)) = client.late.take_if(|(at, _)| *at <= self.now) {
            let mut nobody = View { mailbox: operation.mailbox.clone(), ..View::default() };
            drop(self.effect(&operation, &mut nobody, None));
        }
        if client.busy > self.now || self.below(3) > 0 {
            return;
        }
        let ask = self.choose(client);
        let node = 1 + self.below(2);
        let mut operation =
            Operation::new(&client.name, client.session, node, &client.account, ask);
        operation.mailbox.clone_from(&client.view.mailbox);
        (operation.asked, operation.ended) = (self.now, self.now + u64::from(1 + self.below(6)));
        client.busy = operation.ended + 1;
        if self.below(20) == 0 {
            self.lose(client, &mut operation);
        } else {
            self.answer(client, &mut operation);
        }
        client.cache.apply(&operation);
        self.operations.push(operation);
    }

    /// The answer is lost: it happens now, later, or never.
    fn lose(&mut self, client: &mut Client, operation: &mut Operation) {
        operation.outcome = Outcome::Unknown;
        match self.below(3) {
            0 => {}
            1 => drop(self.effect(operation, &mut client.view, None)),
            _ => client.late = Some((self.now + 1 + u64::from(self.below(40)), operation.clone())),
        }
        client.session = 0;
        client.view = View::default();
    }

    fn answer(&mut self, client: &mut Client, operation: &mut Operation) {
        if operation.ask == Ask::Login {
            self.sessions += 1;
            client.session = self.sessions;
            operation.session = client.session;
        }
        let since = match &operation.ask {
            Ask::Select { since, .. } => since.map(|(_, modseq)| modseq),
            _ => None,
        };
        match self.effect(operation, &mut client.view, since) {
            Ok(heard) => (operation.outcome, operation.heard) = (Outcome::Done, heard),
            Err(()) => operation.outcome = Outcome::Refused,
        }
        if !client.account.starts_with('n') && !matches!(operation.ask, Ask::Select { .. }) {
            operation.heard.extend(self.model.sync(&client.account, &mut client.view));
        }
    }

    fn choose(&mut self, client: &mut Client) -> Ask {
        match client.account.get(..1) {
            None | Some("") => return self.delivery(client),
            _ if client.session == 0 => return Ask::Login,
            Some("n") => return self.naming(),
            _ => {}
        }
        let inbox = FOLDERS[0].to_string();
        if client.view.mailbox.is_empty() {
            let known = client.cache.mailbox == inbox && client.cache.highest > 0;
            let since = known.then_some((client.cache.validity, client.cache.highest));
            return Ask::Select { mailbox: inbox, since };
        }
        if let Some(from) = client.cache.untold() {
            return Ask::Fetch { from };
        }
        if client.account.starts_with('d') {
            return Ask::Noop;
        }
        self.edit(client)
    }

    fn delivery(&mut self, client: &mut Client) -> Ask {
        // An MTA tries again with the same octets.
        client.appended += u32::from(self.below(4) > 0);
        let token = format!("{}-{}", client.name, client.appended);
        Ask::Deliver { hash: format!("h-{token}"), token, to: vec!["d0".into(), "d1".into()] }
    }

    fn naming(&mut self) -> Ask {
        let epoch = self.now / 100;
        let (one, other) = (self.below(3), self.below(3));
        let name = |number: u32| format!("t{epoch}-{number}");
        match self.below(10) {
            0..4 => Ask::Create { name: name(one) },
            4..6 if one != other => Ask::Rename { from: name(one), to: name(other) },
            6..8 => Ask::Delete { name: name(one) },
            8 => Ask::Status { mailbox: name(one) },
            _ => Ask::List,
        }
    }

    fn edit(&mut self, client: &mut Client) -> Ask {
        let uids = client.cache.uids().unwrap_or_default();
        if uids.is_empty() || uids.len() < 6 && self.below(4) == 0 {
            client.appended += 1;
            let token = format!("{}-{}", client.name, client.appended);
            let mailbox = client.view.mailbox.clone();
            return Ask::Append { mailbox, hash: format!("h-{token}"), token, flags: self.flags() };
        }
        let uid = uids[self.below(uids.len() as u32) as usize];
        let to = FOLDERS[1].to_string();
        match self.below(20) {
            0..3 => Ask::Noop,
            3..5 => Ask::Fetch { from: 1 },
            5..7 => Ask::Expunge { uids: vec![uid] },
            7..9 => Ask::Move { uids: vec![uid], to },
            9 => Ask::Copy { uids: vec![uid], to },
            _ => {
                let how = [How::Add, How::Remove, How::Replace][self.below(3) as usize];
                let modseq = client.cache.known.get(&uid).and_then(|known| known.modseq);
                let old = u64::from(self.below(2));
                let unchanged_since = modseq.filter(|_| self.below(3) == 0).map(|n| n - old);
                let silent = self.below(3) == 0;
                Ask::Store(Store { uid, how, flags: self.flags(), silent, unchanged_since })
            }
        }
    }

    fn flags(&mut self) -> Vec<String> {
        let mut flags: Vec<String> =
            FLAGS.iter().filter(|_| self.chance.random()).map(|flag| (*flag).to_string()).collect();
        flags.sort();
        flags
    }

    fn effect(
        &mut self,
        by: &Operation,
        view: &mut View,
        since: Option<u64>,
    ) -> Result<Vec<Heard>, ()> {
        let (account, mailbox, model) = (&by.account, &by.mailbox, &mut self.model);
        Ok(match &by.ask {
            Ask::Deliver { token, to, .. } => {
                to.iter().for_each(|to| model.deliver(to, token));
                to.iter().map(|to| Heard::Answered(to.clone(), 250)).collect()
            }
            Ask::Append { mailbox, token, flags, .. } => {
                vec![model.append(account, mailbox, token, flags)]
            }
            Ask::Select { mailbox, .. } => model.select(account, mailbox, view, since),
            Ask::Fetch { from } => {
                let mut heard = model.sync(account, view);
                heard.extend(model.fetch(account, view, *from));
                heard
            }
            Ask::Store(store) => model.store(account, mailbox, store, view),
            Ask::Copy { uids, to } => {
                model.transfer(account, (mailbox, uids[0], to), false).into_iter().collect()
            }
            Ask::Move { uids, to } => {
                model.transfer(account, (mailbox, uids[0], to), true).into_iter().collect()
            }
            Ask::Expunge { uids } => {
                model.expunge(account, mailbox, uids[0]);
                Vec::new()
            }
            Ask::Create { name } => vec![Heard::Id(model.create(account, name)?)],
            Ask::Rename { from, to } => model.rename(account, from, to).map(|()| Vec::new())?,
            Ask::Delete { name } => model.delete(account, name).map(|()| Vec::new())?,
            Ask::List => {
                let names = model.names(account);
                names.into_iter().map(|name| Heard::Listed(name, true)).collect()
            }
            Ask::Status { mailbox } => vec![model.status(account, mailbox).ok_or(())?],
            _ => Vec::new(),
        })
    }
}

/// What each checker says.
type Judged = BTreeMap<&'static str, Checked>;

/// A whole run, judged.
fn run(bug: Bug, seed: u64) -> Judged {
    let accounts: [(&str, &[&str]); 4] =
        [("d0", &FOLDERS[..1]), ("d1", &FOLDERS[..1]), ("s0", &FOLDERS), ("n0", &FOLDERS[..1])];
    let mut world = World {
        model: Model::new(bug, &accounts),
        chance: StdRng::seed_from_u64(seed),
        now: 1,
        sessions: 0,
        operations: Vec::new(),
    };
    let mut clients = [
        client("mta", ""),
        client("watch", "d0"),
        client("edit0", "s0"),
        client("edit1", "s0"),
        client("names0", "n0"),
        client("names1", "n0"),
    ];
    while world.now < STEPS {
        clients.iter_mut().for_each(|client| world.step(client));
        world.now += 1;
    }
    last_looks(&mut world, &mut clients);
    let finals = world.model.finals();
    let history = History::new(world.operations);
    judge(&history, &finals).into_iter().map(|checked| (checked.name, checked)).collect()
}

/// As clients do when the load ends.
fn last_looks(world: &mut World, clients: &mut [Client]) {
    world.now += 100;
    for _ in 0..2 {
        for client in clients.iter_mut().filter(|client| !client.view.mailbox.is_empty()) {
            let (session, account) = (client.session, client.account.clone());
            let mut look = Operation::new(&client.name, session, 1, &account, Ask::Noop);
            look.mailbox.clone_from(&client.view.mailbox);
            (look.asked, look.ended, look.outcome) = (world.now, world.now + 1, Outcome::Done);
            look.heard = world.model.sync(&account, &mut client.view);
            client.cache.apply(&look);
            world.operations.push(look);
            world.now += 5;
        }
    }
}

#[test]
fn what_is_right_is_called_right() {
    for seed in 0..24 {
        for (name, checked) in run(Bug::None, seed) {
            assert_eq!(checked.verdict, Verdict::Valid, "seed {seed}: {name}");
        }
    }
}

/// Runs of the model with each bug.
const RUNS: u64 = 8;

#[test]
fn each_bug_is_found() {
    let bugs: [(Bug, &[&str]); 24] = [
        (Bug::LostDelivery, &["deliveries", "fresh reads"]),
        (Bug::DoubledDelivery, &["deliveries"]),
        (Bug::ChangedOctets, &["deliveries"]),
        (Bug::Phantom, &["deliveries"]),
        (Bug::LostAppend, &["moves", "fresh reads"]),
        (Bug::ReusedUid, &["numbers"]),
        (Bug::UidNextBack, &["numbers"]),
        (Bug::ModSeqBack, &["flags", "numbers"]),
        (Bug::LostStore, &["flags"]),
        (Bug::StaleFlags, &["flags", "numbers"]),
        (Bug::StaleSelect, &["fresh reads"]),
        (Bug::IgnoredUnchangedSince, &["flags"]),
        (Bug::NeedlessConflict, &["flags"]),
        (Bug::MoveInBoth, &["moves"]),
        (Bug::MoveInNeither, &["moves"]),
        (Bug::ExpungeComesBack, &["moves", "flags"]),
        (Bug::UntoldExists, &["fresh reads"]),
        (Bug::UntoldExpunge, &["fresh reads"]),
        (Bug::WrongNumber, &["sessions' views"]),
        (Bug::UntoldFlags, &["fresh reads"]),
        (Bug::OtherReplica, &["replicas are equal"]),
        (Bug::CreatedTwice, &["mailbox names"]),
        (Bug::RenameForgotten, &["mailbox names"]),
        (Bug::ValidityTwice, &["numbers"]),
    ];
    for (bug, by) in bugs {
        let runs: Vec<_> = (0..RUNS).map(|seed| run(bug, seed)).collect();
        for name in by {
            let invalid = |run: &&Judged| matches!(run[name].verdict, Verdict::Invalid(_));
            let times = runs.iter().filter(invalid).count();
            println!("{bug:?} by {name}: {times} of {RUNS}");
            assert!(times >= 2, "{bug:?} is found by {name} in {times} of {RUNS} runs only");
        }
    }
}
