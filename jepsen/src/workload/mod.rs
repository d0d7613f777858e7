//! Load: real clients that record what they do.

pub mod client;
pub mod edits;
pub mod heard;
pub mod imap;
pub mod lmtp;
pub mod mail;
pub mod messages;
pub mod names;
pub mod values;
pub mod wire;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::history::{Ask, History};
use crate::target::Targets;
use client::{Client, Shared};

pub use edits::Edits;
pub use mail::Mail;
pub use names::Names;

/// A kind of load.
pub trait Workload: Send {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Addresses of the accounts that it needs; their password is `secret`.
    fn accounts(&self) -> Vec<String>;

    /// Starts its clients. They connect to any of the targets, connect anew when a connection
    /// ends, and never panic because of what a server does or does not. `origin` is the zero of
    /// the history's times.
    fn start(&self, targets: &Targets, origin: Instant, seed: u64) -> Box<dyn Running>;
}

/// Load that runs.
pub trait Running: Send {
    /// Ends it, within seconds, and gives what was recorded. What hangs becomes unknown. Sessions
    /// that listen look a last time: what they missed shows only where the nodes answer again
    /// before this is called.
    fn stop(self: Box<Self>) -> History;
}

/// What a run uses unless told otherwise.
pub fn all() -> Vec<Box<dyn Workload>> {
    vec![Box::new(Mail), Box::new(Edits), Box::new(Names)]
}

/// The clients of a workload: those that write end first.
struct Threads {
    shared: Shared,
    writers: Vec<JoinHandle<()>>,
    listeners: Vec<JoinHandle<()>>,
}

impl Threads {
    fn new(shared: &Shared) -> Self {
        Self { shared: shared.clone(), writers: Vec::new(), listeners: Vec::new() }
    }
}

impl Running for Threads {
    fn stop(self: Box<Self>) -> History {
        self.shared.over.set();
        self.writers.into_iter().for_each(|writer| writer.join().expect("a client ends"));
        self.shared.last.set();
        self.listeners.into_iter().for_each(|client| client.join().expect("a client ends"));
        self.shared.recorder.history()
    }
}

/// How long a client tries to look a last time.
const LAST_LOOK: Duration = Duration::from_secs(6);

/// Before a client ends: what it knows now must be what is there.
fn last_look(client: &mut Client, mailbox: &str) {
    let until = Instant::now() + LAST_LOOK;
    while Instant::now() < until {
        let looked = client.select(mailbox).and_then(|()| client.ask(Ask::Noop));
        let learned = looked.filter(|looked| looked.done()).and_then(|_| client.learn());
        if learned.is_some() {
            return;
        }
        client.pause(100, 200);
    }
}
