//! The way to one peer for one purpose: connects when needed, keeps the
//! connection, and after a failure waits a little longer each time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};

use crate::id::NodeId;
use crate::raft::conn::{Conn, GreetError, greet};
use crate::raft::hub::Hub;
use crate::raft::seen::Life;
use crate::raft::wire::{Lane, Refusal};
use crate::world::watch;

/// How long a stream may take to come.
const CONNECT: Duration = Duration::from_millis(1000);
/// How long the answer to a hello may take.
const GREET: Duration = Duration::from_millis(2000);
/// The first and the longest wait after a failure.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(1000));

/// The way to a peer for one purpose.
#[derive(Debug)]
pub(crate) struct Link {
    hub: Weak<Hub>,
    peer: NodeId,
    lane: Lane,
    state: watch::Sender<State>,
}

#[derive(Debug, Clone)]
enum State {
    /// Never tried, or what there was has ended.
    Idle,
    Dialing,
    Up(Arc<Conn>),
    /// Not to be tried before then.
    Down {
        until: Instant,
        why: Arc<str>,
        failures: u32,
    },
}

impl Link {
    pub(crate) fn new(hub: Weak<Hub>, peer: NodeId, lane: Lane) -> Self {
        Self { hub, peer, lane, state: watch::Sender::new(State::Idle) }
    }

    /// The connection; where there is none, one is made, which goes on when this
    /// is dropped.
    pub(crate) async fn conn(self: &Arc<Self>, deadline: Instant) -> Result<Arc<Conn>, String> {
        let mut state = self.state.subscribe();
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Up(conn) if conn.is_alive() => return Ok(conn),
                State::Up(_) | State::Idle => self.dial(0),
                State::Down { until, why, failures } => match until > Instant::now() {
                    true => return Err(why.to_string()),
                    false => self.dial(failures),
                },
                State::Dialing => {
                    let late = || format!("no connection to node {} in time", self.peer);
                    let changed = timeout_at(deadline, state.changed()).await;
                    changed.map_err(|_| late())?.map_err(|_| late())?;
                }
            }
        }
    }

    /// Begins to connect where that is due; whether there is a connection now.
    pub(crate) fn warm(self: &Arc<Self>) -> bool {
        let failures = match &*self.state.borrow() {
            State::Up(conn) if conn.is_alive() => return true,
            State::Down { failures, .. } => *failures,
            _ => 0,
        };
        self.dial(failures);
        false
    }

    /// Uses the connection no more.
    pub(crate) fn give_up(&self, why: &str) {
        self.fail(why, 0);
    }

    /// Begins to connect, unless somebody else has.
    fn dial(self: &Arc<Self>, failures: u32) {
        let begun = self.state.send_if_modified(|state| {
            let free = match state {
                State::Idle => true,
                State::Up(conn) => !conn.is_alive(),
                State::Down { until, .. } => *until <= Instant::now(),
                State::Dialing => false,
            };
            if free {
                *state = State::Dialing;
            }
            free
        });
        if !begun {
            return;
        }
        match self.hub.upgrade() {
            Some(hub) => hub.clone().spawn(self.clone().run(hub, failures)),
            None => self.fail("the replica has ended", failures),
        }
    }

    async fn run(self: Arc<Self>, hub: Arc<Hub>, failures: u32) {
        let conn = match self.connect(&hub).await {
            Ok(conn) => conn,
            Err(why) => return self.missed(&why, failures),
        };
        if failures > 0 && self.lane == Lane::Votes {
            tracing::info!(peer = %self.peer, "a peer is reached again");
        }
        // The hub is not kept alive by its connections.
        drop(hub);
        let (conn, life) = conn;
        self.state.send_replace(State::Up(conn.clone()));
        let why = life.await;
        tracing::debug!(peer = %self.peer, lane = ?self.lane, why, "a connection has ended");
        let down = self.down(&why, 0);
        self.state.send_if_modified(|state| {
            // Another may be on its way already.
            let last = matches!(state, State::Up(up) if Arc::ptr_eq(up, &conn));
            if last {
                *state = down;
            }
            last
        });
    }

    /// Said once, not at each try: a peer may be gone for weeks.
    fn missed(&self, why: &str, failures: u32) {
        if failures == 0 && self.lane == Lane::Votes {
            tracing::warn!(peer = %self.peer, why, "a peer is out of reach");
        }
        self.fail(why, failures.saturating_add(1));
    }

    fn fail(&self, why: &str, failures: u32) {
        self.state.send_replace(self.down(why, failures));
    }

    fn down(&self, why: &str, failures: u32) -> State {
        let (first, longest) = BACKOFF;
        let wait = first.saturating_mul(1 << failures.min(6)).min(longest);
        let why = format!("node {}: {why}", self.peer).into();
        State::Down { until: Instant::now() + wait, why, failures }
    }

    async fn connect(
        &self,
        hub: &Arc<Hub>,
    ) -> Result<(Arc<Conn>, impl Future<Output = String> + use<>), String> {
        let options = hub.peers().ok_or("this node was started without peers")?;
        let address = hub.address(self.peer).ok_or("its address is not known")?;
        let dialed = timeout(CONNECT, options.dialer.dial(self.peer, &address)).await;
        let stream = dialed
            .map_err(|_| format!("{address} does not answer"))?
            .map_err(|error| format!("{address}: {error}"))?;
        let hello = hub.hello(self.peer, self.lane);
        let greeted = timeout(GREET, greet(stream, &hello, hub.nonce)).await;
        let greeted = greeted.map_err(|_| format!("{address} does not answer a hello"))?;
        let (welcome, nonce, halves) = greeted.map_err(|error| self.refused(hub, error))?;
        hub.welcomed(self.peer, &welcome, nonce).map_err(|refusal| refusal.to_string())?;
        let life = Life { incarnation: welcome.incarnation, nonce };
        Ok(Conn::new(halves, welcome.version, life))
    }

    fn refused(&self, hub: &Hub, error: GreetError) -> String {
        if let GreetError::Refused { why, exact, .. } = &error {
            hub.was_refused(self.peer, why, *exact);
        }
        error.to_string()
    }
}

impl Hub {
    /// Whether a refusal is true of this node as it is now. To a peer of the release
    /// before a hello may come late, when it has heard more already.
    fn is_condemned_by(&self, why: &Refusal, exact: bool) -> bool {
        let now = self.trace();
        match why {
            _ if exact => why.condemns(),
            Refusal::Incarnation { seen, .. } => now.life.incarnation < *seen,
            Refusal::Restored { seen, .. } => now.durable.map(|id| id.index) < Some(seen.index),
            Refusal::Forgot { seen, .. } => now.term < *seen,
            _ => false,
        }
    }

    /// What a refusal means for this node.
    fn was_refused(&self, by: NodeId, why: &Refusal, exact: bool) {
        tracing::warn!(%by, %why, "a peer refuses this node");
        if self.is_condemned_by(why, exact) {
            self.stop.fatal(format!("node {by} refuses this node: {why}"));
        }
    }
}
