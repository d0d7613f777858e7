//! A stream to a peer, shaken hands over: requests out, answers in, any number
//! of them on their way at one time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncWrite, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::raft::peers::PeerStream;
use crate::raft::seen::Life;
use crate::raft::wire::{
    Answer, Frame, Hello, Kind, MAX_FRAME, MAX_HELLO, Receiver, Refusal, Request, Welcome,
    WireError, greeting, nonce_of, write,
};

/// After so long without a frame out, a ping goes.
pub(crate) const PING_EVERY: Duration = Duration::from_millis(500);
/// After so long without a frame in, the stream is taken for dead.
pub(crate) const SILENCE: Duration = Duration::from_secs(3);
/// Frames that wait to be written.
const QUEUE: usize = 64;
/// From this many requests on, those that nobody waits for any more are looked for.
const PRUNE: usize = 64;

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Lost(pub(crate) String);

type Waiter = oneshot::Sender<(Answer, Bytes)>;

/// A stream that a peer has welcomed.
#[derive(Debug)]
pub(crate) struct Conn {
    /// The version of the messages that are spoken.
    pub(crate) version: u16,
    /// The start of the peer that answers.
    pub(crate) life: Life,
    out: mpsc::Sender<Frame>,
    pending: Arc<Mutex<Pending>>,
}

#[derive(Debug)]
struct Pending {
    next: u64,
    waiting: HashMap<u64, Waiter>,
    /// When there are so many, those are forgotten that nobody waits for.
    prune_at: usize,
    lost: Option<String>,
}

impl Default for Pending {
    fn default() -> Self {
        Self { next: 0, waiting: HashMap::new(), prune_at: PRUNE, lost: None }
    }
}

impl Pending {
    fn add(&mut self, waiter: Waiter) -> u64 {
        if self.waiting.len() >= self.prune_at {
            self.waiting.retain(|_, waiter| !waiter.is_closed());
            // As many again come before the next look, so that it costs each of them little.
            self.prune_at = PRUNE.max(2 * self.waiting.len());
        }
        self.next += 1;
        self.waiting.insert(self.next, waiter);
        self.next
    }
}

/// Why a stream is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    /// The peer refuses this node.
    #[error("node {by} refuses this one: {why}")]
    Refused {
        /// Who.
        by: crate::id::NodeId,
        /// Why.
        why: Refusal,
        /// Whether it told this start of this node from earlier ones: then what it says
        /// is so, and not only of a greeting that came late.
        exact: bool,
    },
    /// The stream, or what came over it.
    #[error(transparent)]
    Wire(#[from] WireError),
}

type Halves = (Receiver<ReadHalf<Box<dyn PeerStream>>>, WriteHalf<Box<dyn PeerStream>>);

/// Says hello, and gives what the peer answers, with the nonce of its start.
pub(crate) async fn greet(
    stream: Box<dyn PeerStream>,
    hello: &Hello,
    nonce: u64,
) -> Result<(Welcome, u64, Halves), GreetError> {
    let (reads, mut writes) = tokio::io::split(stream);
    let mut reads = Receiver::new(reads);
    write(&mut writes, &Frame::new(Kind::Hello, 0, hello, greeting(nonce))?).await?;
    let answer = reads.next(MAX_HELLO, SILENCE).await?;
    let theirs = nonce_of(&answer.bulk);
    match answer.kind {
        Kind::Welcome => Ok((answer.head()?, theirs, (reads, writes))),
        Kind::Refused => {
            let (by, why, exact) = (hello.to, answer.head()?, theirs != 0);
            Err(GreetError::Refused { by, why, exact })
        }
        _ => Err(WireError::Malformed("no answer to a hello").into()),
    }
}

impl Conn {
    /// Starts to speak with this start of a peer; the future is the stream's life and
    /// says why it ended.
    pub(crate) fn new(
        (reads, writes): Halves,
        version: u16,
        life: Life,
    ) -> (Arc<Self>, impl Future<Output = String>) {
        let (out, queue) = mpsc::channel(QUEUE);
        let pending = Arc::new(Mutex::new(Pending::default()));
        let conn = Arc::new(Self { version, life, out, pending: pending.clone() });
        let life = async move {
            let ended = tokio::select! {
                biased;
                ended = hear(reads, &pending) => ended,
                ended = speak(writes, queue) => ended,
            };
            let why = match ended {
                Err(error) => error.to_string(),
                Ok(()) => "it was given up".to_owned(),
            };
            let mut pending = pending.lock();
            pending.lost = Some(why.clone());
            pending.waiting.clear();
            why
        };
        (conn, life)
    }

    /// Whether it may still be used.
    pub(crate) fn is_alive(&self) -> bool {
        self.pending.lock().lost.is_none()
    }

    /// Sends a request, in the order of the calls; what it gives waits for the answer.
    pub(crate) async fn send(
        &self,
        request: &Request,
        bulk: Bytes,
    ) -> Result<impl Future<Output = Result<(Answer, Bytes), Lost>> + Send + use<>, Lost> {
        let place = self.out.reserve().await.map_err(|_| self.lost())?;
        let (id, answer) = self.expect()?;
        match Frame::new(Kind::Request, id, request, bulk) {
            Ok(frame) => place.send(frame),
            Err(error) => {
                self.pending.lock().waiting.remove(&id);
                return Err(Lost(error.to_string()));
            }
        }
        let pending = self.pending.clone();
        Ok(async move { answer.await.map_err(|_| lost(&pending)) })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(
        &self,
        request: &Request,
        bulk: Bytes,
    ) -> Result<(Answer, Bytes), Lost> {
        self.send(request, bulk).await?.await
    }

    fn expect(&self) -> Result<(u64, oneshot::Receiver<(Answer, Bytes)>), Lost> {
        let (waiter, answer) = oneshot::channel();
        let mut pending = self.pending.lock();
        if let Some(why) = &pending.lost {
            return Err(Lost(why.clone()));
        }
        Ok((pending.add(waiter), answer))
    }

    fn lost(&self) -> Lost {
        lost(&self.pending)
    }
}

fn lost(pending: &Mutex<Pending>) -> Lost {
    Lost(pending.lock().lost.clone().unwrap_or_else(|| "the connection ended".to_owned()))
}

async fn hear(
    mut reads: Receiver<ReadHalf<Box<dyn PeerStream>>>,
    pending: &Mutex<Pending>,
) -> Result<(), WireError> {
    loop {
        let frame = reads.next(MAX_FRAME, SILENCE).await?;
        match frame.kind {
            Kind::Answer => {
                let answer = frame.head()?;
                // Nobody may wait for it any more.
                if let Some(waiter) = pending.lock().waiting.remove(&frame.id) {
                    drop(waiter.send((answer, frame.bulk)));
                }
            }
            Kind::Ping => {}
            _ => return Err(WireError::Malformed("a frame that no answer is")),
        }
    }
}

/// Writes what is queued, and a ping where that is nothing for a while.
pub(crate) async fn speak<S: AsyncWrite + Unpin>(
    mut writes: S,
    mut queue: mpsc::Receiver<Frame>,
) -> Result<(), WireError> {
    loop {
        match timeout(PING_EVERY, queue.recv()).await {
            Ok(Some(frame)) => write(&mut writes, &frame).await?,
            Ok(None) => return Ok(()),
            Err(_) => write(&mut writes, &Frame::bare(Kind::Ping)).await?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_wait_is_forgotten_and_who_waits_is_not_looked_at_each_time() {
        let (mut pending, mut waits) = (Pending::default(), Vec::new());
        for _ in 0..10 * PRUNE {
            let (waiter, answer) = oneshot::channel();
            pending.add(waiter);
            waits.push(answer);
        }
        assert_eq!(pending.waiting.len(), 10 * PRUNE);
        assert!(pending.prune_at > 10 * PRUNE, "{}", pending.prune_at);
        waits.clear();
        for _ in 0..20 * PRUNE {
            pending.add(oneshot::channel().0);
            assert!(pending.waiting.len() <= 16 * PRUNE);
        }
        assert!(pending.waiting.len() <= PRUNE && pending.prune_at == PRUNE);
    }
}
