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

/// Of the messages of a load that goes on for long, one of so many is as those of all loads;
/// the others share attachments, so that a disk holds them.
const NEW_OF: u64 = 50;
/// The attachments that they share.
const SHARED: u64 = 64;

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

/// What is sent, and what is kept of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Mail as of all loads; each answer is kept.
    Short,
    /// Mail that fits on a disk for many minutes; each answer is kept.
    Sharing,
    /// Mail that fits on a disk for hours; answers are counted.
    Long,
}

/// What deliveries that are only counted came to since they were asked for last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Messages that were answered 250.
    pub(super) answered: u64,
    /// Tries that had to be made again.
    pub(super) again: u64,
    /// The longest time between two 250s.
    pub(super) pause: Duration,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, later: Self) {
        self.answered += later.answered;
        self.again += later.again;
        self.pause = self.pause.max(later.pause);
    }
}

/// Answers as they come.
struct Answers {
    kept: Vec<Answered>,
    tally: Tally,
    last: Instant,
}

impl Answers {
    fn new(now: Instant) -> Self {
        Self { kept: Vec::new(), tally: Tally::default(), last: now }
    }

    fn count(&mut self, now: Instant) {
        self.tally.answered += 1;
        self.pause(now);
        self.last = now;
    }

    fn pause(&mut self, now: Instant) {
        self.tally.pause = self.tally.pause.max(now.saturating_duration_since(self.last));
    }

    /// Also the pause that has not ended yet; what is left of it counts later, from its beginning.
    fn take(&mut self, now: Instant) -> Tally {
        self.pause(now);
        std::mem::take(&mut self.tally)
    }
}

struct Shared {
    kind: Kind,
    /// The least time between two messages of one connection.
    gap: Duration,
    mix: Mix,
    /// Where each node takes mail; they change when a node starts again.
    nodes: Mutex<Vec<Option<SocketAddr>>>,
    answers: Mutex<Answers>,
    number: AtomicU64,
    /// Tries that did not end with 250.
    again: AtomicU64,
    end: AtomicBool,
}

impl Traffic {
    /// Begins with so many connections, spread over the nodes.
    pub(super) fn start(connections: usize, nodes: Vec<Option<SocketAddr>>) -> Self {
        Self::of(Kind::Short, connections, nodes, None)
    }

    /// The same with little new on the disks, and no more than `rate` messages a second.
    pub(super) fn start_sharing(
        connections: usize,
        nodes: Vec<Option<SocketAddr>>,
        rate: Option<u32>,
    ) -> Self {
        Self::of(Kind::Sharing, connections, nodes, rate)
    }

    /// The same for hours: nothing is kept of each answer, and little new on the disks.
    pub(super) fn start_long(connections: usize, nodes: Vec<Option<SocketAddr>>) -> Self {
        Self::of(Kind::Long, connections, nodes, None)
    }

    fn of(
        kind: Kind,
        connections: usize,
        nodes: Vec<Option<SocketAddr>>,
        rate: Option<u32>,
    ) -> Self {
        let each = |rate| connections as f64 / f64::from(rate).max(1.0);
        let gap = rate.map_or(Duration::ZERO, |rate: u32| Duration::from_secs_f64(each(rate)));
        let shared = Arc::new(Shared {
            kind,
            gap,
            mix: Mix::new(),
            nodes: Mutex::new(nodes),
            answers: Mutex::new(Answers::new(Instant::now())),
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
        let mut all = self.shared.answers.lock().kept.clone();
        all.sort_unstable_by_key(|one| one.answered);
        all
    }

    /// What came since the last call.
    pub(super) fn tally(&self) -> Tally {
        let again = self.shared.again.swap(0, Ordering::Relaxed);
        Tally { again, ..self.shared.answers.lock().take(Instant::now()) }
    }

    /// Ends it; messages that were answered, and tries that had to be made again.
    pub(super) fn end(self) -> (u64, u64) {
        self.shared.end.store(true, Ordering::Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
        let answered = self.shared.answers.lock().kept.len() as u64;
        (answered, self.shared.again.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn deliver(&self, at: usize) {
        let (mut random, mut client) = (Random::new(at as u64 + 29), None);
        while !self.end.load(Ordering::Relaxed) {
            let begun = Instant::now();
            self.one(at % LOADED, at, None, &mut random, &mut client);
            std::thread::sleep(self.gap.saturating_sub(begun.elapsed()));
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
        let message = self.message(number, random, &token);
        for node in first.. {
            let sent = Instant::now();
            if client.is_none() {
                *client = self.connect(node, but);
            }
            let taken = client.as_mut().map(|client| client.deliver(&[user(account)], &message));
            if matches!(taken, Some(Ok(()))) {
                return self.answered(sent);
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

    fn message(&self, number: u64, random: &mut Random, token: &str) -> Vec<u8> {
        let subject = format!("Report {number}");
        let shares = self.kind != Kind::Short;
        if shares && !number.is_multiple_of(NEW_OF) {
            return self.mix.forwarded(random, token, &subject, number % SHARED);
        }
        let each = if shares { NEW_OF } else { 1 };
        self.mix.message(random, token, &subject, Sizes::Mail.of(number / each))
    }

    fn answered(&self, sent: Instant) {
        let mut answers = self.answers.lock();
        let answered = Instant::now();
        answers.count(answered);
        if self.kind != Kind::Long {
            answers.kept.push(Answered { sent, answered });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_over_two_tallies_is_not_cut_in_two() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        let tally =
            |answered, pause| Tally { answered, again: 0, pause: Duration::from_millis(pause) };
        let mut answers = Answers::new(zero);
        answers.count(at(10));
        answers.count(at(40));
        assert_eq!(answers.take(at(100)), tally(2, 60));
        answers.count(at(190));
        let mut all = answers.take(at(200));
        assert_eq!(all, tally(1, 150));
        all += tally(3, 20);
        assert_eq!(all, tally(4, 150));
    }
}
