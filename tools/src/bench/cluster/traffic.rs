//! Deliveries that go on whatever happens, as an MTA's do: what was not answered
//! 250 is sent again, at any node, until it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::super::lmtp::Client;
use super::super::mix::{Mix, Random, Sizes};
use super::super::{LOADED, user};

/// Before the next node is tried.
const REST: Duration = Duration::from_millis(5);
/// The accounts of those who ask after a failure are not those of the load.
const ASKER: usize = LOADED + 8;

/// One delivery, as its client saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Answered {
    /// When the try that succeeded began.
    pub(super) sent: Instant,
    /// When 250 came.
    pub(super) answered: Instant,
}

/// Connections that deliver without end.
pub(super) struct Traffic {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    mix: Mix,
    /// Where each node takes mail; they change when a node starts again.
    nodes: Mutex<Vec<Option<SocketAddr>>>,
    answered: Mutex<Vec<Answered>>,
    number: AtomicU64,
    /// Tries that did not end with 250.
    again: AtomicU64,
    end: AtomicBool,
}

impl Traffic {
    /// Begins with so many connections, spread over the nodes.
    pub(super) fn start(connections: usize, nodes: Vec<Option<SocketAddr>>) -> Self {
        let shared = Arc::new(Shared {
            mix: Mix::new(),
            nodes: Mutex::new(nodes),
            answered: Mutex::default(),
            number: AtomicU64::new(0),
            again: AtomicU64::new(0),
            end: AtomicBool::new(false),
        });
        let threads = (0..connections).map(|at| {
            let shared = shared.clone();
            std::thread::spawn(move || shared.deliver(at))
        });
        Self { threads: threads.collect(), shared }
    }

    /// Where a node takes mail from now on; `None` while it is dead.
    pub(super) fn set_node(&self, number: usize, address: Option<SocketAddr>) {
        if let Some(known) = self.shared.nodes.lock().get_mut(number) {
            *known = address;
        }
    }

    /// One more message, begun now at any node but `but`, sent until it is taken. When 250 came.
    pub(super) fn ask(&self, but: usize) -> Instant {
        self.shared.one(ASKER, but + 1, Some(but), &mut Random::new(but as u64 + 7), &mut None);
        Instant::now()
    }

    /// Deliveries that were answered so far, in the order of their answers.
    pub(super) fn answered(&self) -> Vec<Answered> {
        let mut all = self.shared.answered.lock().clone();
        all.sort_unstable_by_key(|one| one.answered);
        all
    }

    /// Ends it; messages that were answered, and tries that had to be made again.
    pub(super) fn end(self) -> (u64, u64) {
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        let answered = self.shared.answered.lock().len() as u64;
        (answered, self.shared.again.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn deliver(&self, at: usize) {
        let (mut random, mut client) = (Random::new(at as u64 + 29), None);
        while !self.end.load(Ordering::Relaxed) {
            self.one(at % LOADED, at, None, &mut random, &mut client);
        }
    }

    /// Sends one message until it is taken or all is to end, first over the connection that is there.
    fn one(
        &self,
        account: usize,
        first: usize,
        but: Option<usize>,
        random: &mut Random,
        client: &mut Option<Client>,
    ) {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let token = format!("{:x}.{number:x}.failover", std::process::id());
        let size = Sizes::Mail.of(number);
        let message = self.mix.message(random, &token, &format!("Report {number}"), size);
        for node in first.. {
            let sent = Instant::now();
            if client.is_none() {
                *client = self.connect(node, but);
            }
            let taken = client.as_mut().map(|client| client.deliver(&[user(account)], &message));
            if matches!(taken, Some(Ok(()))) {
                self.answered.lock().push(Answered { sent, answered: Instant::now() });
                return;
            }
            self.again.fetch_add(1, Ordering::Relaxed);
            *client = None;
            // Where all nodes are gone it would never be taken.
            if self.end.load(Ordering::Relaxed) {
                return;
            }
            std::thread::sleep(REST);
        }
    }

    fn connect(&self, node: usize, but: Option<usize>) -> Option<Client> {
        let address = {
            let nodes = self.nodes.lock();
            let number = node % nodes.len().max(1);
            nodes.get(number).copied().flatten().filter(|_| Some(number) != but)
        };
        Client::connect(address?).ok()
    }
}
