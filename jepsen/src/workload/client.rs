//! What every client has: whom it may ask, its chance, its pace, and its mailbox as it knows it.

use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::imap::{Lost, Session, Style};
use super::wire::Over;
use crate::check::replay::Cache;
use crate::history::{Ask, Operation, Recorder};
use crate::target::{Target, Targets};

/// How long a client that finds nobody waits before it tries again.
const RETRY: Duration = Duration::from_millis(150);

/// What the clients of one workload share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The nodes.
    pub targets: Targets,
    /// Where everything is noted.
    pub recorder: Recorder,
    /// Set when those that write are to end.
    pub over: Over,
    /// Set when those that listen are to end, too.
    pub last: Over,
}

impl Shared {
    /// For a workload that begins.
    pub fn new(targets: &Targets, origin: Instant) -> Self {
        Self {
            targets: targets.clone(),
            recorder: Recorder::new(origin),
            over: Over::default(),
            last: Over::default(),
        }
    }
}

/// One client. Its connections come and go.
#[derive(Debug)]
pub struct Client {
    /// Its name in the history.
    pub name: String,
    /// The account that it logs in to.
    pub account: String,
    /// What chance is made of.
    pub chance: StdRng,
    /// Its mailbox.
    pub cache: Cache,
    shared: Shared,
    style: Style,
    over: Over,
    session: Option<Session>,
    /// The node that it spoke to last.
    node: u32,
}

impl Client {
    /// A client with a name; `over` says when it is to end.
    pub fn new(shared: &Shared, name: &str, account: &str, style: Style, seed: u64) -> Self {
        Self {
            name: name.into(),
            account: account.into(),
            chance: StdRng::seed_from_u64(seed),
            cache: Cache::default(),
            shared: shared.clone(),
            style,
            over: shared.over.clone(),
            session: None,
            node: 0,
        }
    }

    /// The same, to go on until the others have ended.
    pub fn listening(self) -> Self {
        Self { over: self.shared.last.clone(), ..self }
    }

    /// Whether it is to end.
    pub fn is_over(&self) -> bool {
        self.over.is_set()
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u32) -> u32 {
        self.chance.random_range(0..end.max(1))
    }

    /// One of these.
    pub fn one<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        let at = self.below(u32::try_from(of.len()).unwrap_or(u32::MAX)) as usize;
        of.get(at).cloned()
    }

    /// Waits between two operations, so that load is bounded.
    pub fn pause(&mut self, from_ms: u32, to_ms: u32) {
        let time = from_ms + self.below(to_ms.saturating_sub(from_ms));
        thread::park_timeout(Duration::from_millis(u64::from(time)));
    }

    /// Any node but the last, if there is another.
    pub fn target(&mut self) -> Option<Target> {
        let mut targets = self.shared.targets.all();
        if targets.len() > 1 {
            targets.retain(|target| target.node != self.node);
        }
        let target = self.one(&targets);
        self.node = target.as_ref().map_or(self.node, |target| target.node);
        target
    }

    /// What it shares with the others.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Until when it waits for answers.
    pub fn end(&self) -> &Over {
        &self.over
    }

    /// A session, a new one with the next node if there is none.
    pub fn session(&mut self) -> Option<&mut Session> {
        if self.session.is_none() {
            let target = self.target()?;
            let shared = (&self.shared.recorder, &self.over);
            let who = (self.name.as_str(), self.account.as_str());
            self.session = Session::login(shared, &target, who, self.style);
            self.cache.session = 0;
            if self.session.is_none() {
                thread::park_timeout(RETRY);
            }
        }
        self.session.as_mut()
    }

    /// Ends its connection as many clients do: without a word.
    pub fn leave(&mut self) {
        self.session = None;
        self.cache.session = 0;
    }

    /// Asks over a session, and takes in what is told. `None` when the session is lost.
    pub fn ask(&mut self, ask: Ask) -> Option<Operation> {
        let answer = self.session()?.run(ask);
        self.take(answer)
    }

    /// APPEND.
    pub fn append(&mut self, ask: Ask, message: &[u8]) -> Option<Operation> {
        let answer = self.session()?.append(ask, message);
        self.take(answer)
    }

    /// IDLE.
    pub fn idle(&mut self, time: Duration) -> Option<Operation> {
        let answer = self.session()?.idle(time);
        self.take(answer)
    }

    fn take(&mut self, answer: Result<Operation, Lost>) -> Option<Operation> {
        match answer {
            Ok(operation) => {
                self.cache.apply(&operation);
                Some(operation)
            }
            Err(Lost(operation)) => {
                self.cache.apply(&operation);
                self.leave();
                None
            }
        }
    }

    /// Has this mailbox selected, whatever was before; by QRESYNC where the cache is of it.
    pub fn select(&mut self, mailbox: &str) -> Option<()> {
        if self.session()?.mailbox() == mailbox && self.cache.session != 0 {
            return Some(());
        }
        let known = self.cache.mailbox == mailbox && self.cache.highest > 0;
        let since = (self.style == Style::Qresync && known)
            .then_some((self.cache.validity, self.cache.highest));
        let selected = self.ask(Ask::Select { mailbox: mailbox.into(), since })?;
        if !selected.done() {
            self.leave();
            return None;
        }
        Some(())
    }

    /// Asks for what was only counted so far.
    pub fn learn(&mut self) -> Option<()> {
        match self.cache.untold() {
            Some(from) => self.ask(Ask::Fetch { from }).map(|_| ()),
            None => Some(()),
        }
    }

    /// Whether a MODSEQ is told to it.
    pub fn condstore(&self) -> bool {
        self.style != Style::Plain
    }
}
