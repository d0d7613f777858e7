//! Clients note here what they ask, before they ask it, and what they are answered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::{Ask, Heard, History, Operation, Outcome};

static SESSIONS: AtomicU64 = AtomicU64::new(1);

/// A number for a new connection.
pub fn next_session() -> u64 {
    SESSIONS.fetch_add(1, Ordering::Relaxed)
}

/// Shared by all clients of a workload.
#[derive(Debug, Clone)]
pub struct Recorder {
    origin: Instant,
    operations: Arc<Mutex<Vec<Operation>>>,
}

/// An operation that has no answer yet: a place in the history that says unknown.
#[derive(Debug)]
pub struct Asked(usize);

impl Recorder {
    /// Times count from `origin`.
    pub fn new(origin: Instant) -> Self {
        Self { origin, operations: Arc::default() }
    }

    /// Microseconds since the start of the run.
    pub fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Notes an operation that is about to be asked; its times are set here.
    pub fn ask(&self, mut operation: Operation) -> Asked {
        operation.wall = wall();
        operation.outcome = Outcome::Unknown;
        operation.ended = u64::MAX;
        operation.text = "no answer yet".into();
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        operation.asked = self.now();
        operations.push(operation);
        Asked(operations.len() - 1)
    }

    /// Notes what became of it.
    pub fn answer(&self, asked: Asked, outcome: Outcome, text: String, heard: Vec<Heard>) {
        let now = self.now();
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner);
        let operation = &mut operations[asked.0];
        operation.ended = now;
        operation.outcome = outcome;
        operation.text = text;
        operation.heard = heard;
    }

    /// Everything so far. What has no answer yet ends now, unknown.
    pub fn history(&self) -> History {
        let now = self.now();
        let mut operations = self.operations.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for operation in operations.iter_mut().filter(|operation| operation.ended == u64::MAX) {
            operation.ended = now;
        }
        History::new(operations)
    }
}

fn wall() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

impl Operation {
    /// An operation as a client hands it to [`Recorder::ask`].
    pub fn new(client: &str, session: u64, node: u32, account: &str, ask: Ask) -> Self {
        Self {
            client: client.into(),
            session,
            node,
            account: account.into(),
            mailbox: String::new(),
            ask,
            asked: 0,
            wall: 0,
            ended: 0,
            outcome: Outcome::Unknown,
            text: String::new(),
            heard: Vec::new(),
        }
    }
}
