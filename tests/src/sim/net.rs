//! A network between machines: octets come late, not at all while a link is cut,
//! and in order within a connection only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redoubt_log::id::NodeId;
use redoubt_log::raft::{Dialer, PeerStream};
use redoubt_log::world::sim::{Alarm, Host};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::machine::{Machine, WeakMachine};

/// Octets on their way in one direction before a writer has to wait.
const WINDOW: usize = 256 << 10;
/// How often one who waits behind a cut link looks again.
const AGAIN: Duration = Duration::from_millis(5);
/// How long a dialer knocks at a door that does not answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// The network. Clones are the same.
#[derive(Clone)]
pub struct Net(Arc<State>);

struct State {
    main: Host,
    /// They know the network: it must not keep them.
    machines: Mutex<BTreeMap<NodeId, WeakMachine>>,
    /// Links that carry nothing, from and to.
    cut: Mutex<BTreeSet<(NodeId, NodeId)>>,
    /// Milliseconds that octets take.
    delay: Mutex<Range<u64>>,
    pipes: Mutex<Vec<Weak<Pipe>>>,
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl Net {
    /// Without machines.
    pub fn new(main: &Host) -> Self {
        let (main, machines, cut) = (main.clone(), Mutex::default(), Mutex::default());
        Self(Arc::new(State {
            main,
            machines,
            cut,
            delay: Mutex::new(0..4),
            pipes: Mutex::default(),
        }))
    }

    /// Adds a machine, which can be dialed when its node is up.
    pub fn add(&self, machine: &Machine) {
        self.0.machines.lock().insert(machine.id(), machine.downgrade());
    }

    /// What a machine dials with.
    pub fn dialer(&self, from: NodeId) -> Arc<dyn Dialer> {
        Arc::new(From { net: self.clone(), from })
    }

    /// Nothing goes from one to the other any more.
    pub fn cut(&self, from: NodeId, to: NodeId) {
        self.0.cut.lock().insert((from, to));
    }

    /// Every link carries again.
    pub fn mend(&self) {
        self.0.cut.lock().clear();
        *self.0.delay.lock() = 0..4;
    }

    /// How many milliseconds octets take from now on.
    pub fn set_delay(&self, delay: Range<u64>) {
        *self.0.delay.lock() = delay;
    }

    /// Breaks the connections of a node, each by chance.
    pub fn break_some(&self, node: NodeId) {
        for pipe in self.pipes(node) {
            if self.0.main.pick(0..2) == 0 {
                pipe.change(|half| half.broken = true);
            }
        }
    }

    /// What a node's machine has open says nothing more: no octet, no end.
    pub fn silence(&self, node: NodeId) {
        self.pipes(node).iter().for_each(|pipe| pipe.change(|half| half.silent = true));
    }

    /// The machine is up again and knows nothing of what was open.
    pub fn forget(&self, node: NodeId) {
        for pipe in self.pipes(node) {
            pipe.change(|half| half.broken |= half.silent);
        }
    }

    fn pipes(&self, node: NodeId) -> Vec<Arc<Pipe>> {
        let mut pipes = self.0.pipes.lock();
        pipes.retain(|pipe| pipe.strong_count() > 0);
        let all = pipes.iter().filter_map(Weak::upgrade);
        all.filter(|pipe| pipe.from == node || pipe.to == node).collect()
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.0.cut.lock().contains(&(from, to))
    }

    fn late(&self) -> Duration {
        let range = self.0.delay.lock().clone();
        Duration::from_millis(self.0.main.pick(range))
    }

    fn pipe(&self, from: NodeId, to: NodeId) -> Arc<Pipe> {
        let pipe = Arc::new(Pipe { from, to, half: Mutex::default() });
        self.0.pipes.lock().push(Arc::downgrade(&pipe));
        pipe
    }

    async fn dial(self, from: NodeId, to: NodeId) -> io::Result<Box<dyn PeerStream>> {
        let begun = self.0.main.elapsed();
        self.0.main.rest(self.late()).await;
        while self.is_cut(from, to) || self.is_cut(to, from) {
            if self.0.main.elapsed() > begun + PATIENCE {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.0.main.rest(AGAIN).await;
        }
        let machine = self.0.machines.lock().get(&to).and_then(WeakMachine::upgrade);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let machine = machine.ok_or_else(refused)?;
        let node = machine.running().ok_or_else(refused)?.node;
        let (there, back) = (self.pipe(from, to), self.pipe(to, from));
        let mine = self.stream(back.clone(), there.clone());
        let theirs = Box::new(self.stream(there, back));
        drop(machine.host().spawn(async move { node.serve_peer(theirs, Some(from)).await }));
        Ok(Box::new(mine))
    }

    fn stream(&self, incoming: Arc<Pipe>, outgoing: Arc<Pipe>) -> Stream {
        Stream { net: self.clone(), incoming, outgoing, alarm: None }
    }
}

#[derive(Debug)]
struct From {
    net: Net,
    from: NodeId,
}

impl Dialer for From {
    fn dial(&self, peer: NodeId, _: &str) -> BoxFuture<'static, io::Result<Box<dyn PeerStream>>> {
        self.net.clone().dial(self.from, peer).boxed()
    }
}

/// One direction of a connection.
struct Pipe {
    from: NodeId,
    to: NodeId,
    half: Mutex<Half>,
}

#[derive(Default)]
struct Half {
    /// When they arrive, and the octets.
    pieces: VecDeque<(Duration, VecDeque<u8>)>,
    octets: usize,
    ended: bool,
    broken: bool,
    silent: bool,
    waiting: Vec<Waker>,
}

impl Pipe {
    fn change(&self, change: impl FnOnce(&mut Half)) {
        let mut half = self.half.lock();
        change(&mut half);
        let waiting = std::mem::take(&mut half.waiting);
        drop(half);
        waiting.into_iter().for_each(Waker::wake);
    }
}

/// One end of a connection.
struct Stream {
    net: Net,
    incoming: Arc<Pipe>,
    outgoing: Arc<Pipe>,
    alarm: Option<Alarm>,
}

impl Drop for Stream {
    fn drop(&mut self) {
        for pipe in [&self.incoming, &self.outgoing] {
            pipe.change(|half| half.ended |= !half.silent);
        }
    }
}

impl Stream {
    /// Whether it is time to look again.
    fn is_time(&mut self, at: Duration, context: &mut Context<'_>) -> bool {
        let host = &self.net.0.main;
        let alarm = self.alarm.insert(host.alarm(at));
        alarm.as_mut().poll(context).is_ready()
    }

    /// When there is more to see; `None` when something has changed already.
    fn take(&self, buffer: &mut ReadBuf<'_>, context: &Context<'_>) -> Result<Look, io::Error> {
        let (net, pipe) = (&self.net, &self.incoming);
        let now = net.0.main.elapsed();
        let mut half = pipe.half.lock();
        if half.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let (cut, ended) = (net.is_cut(pipe.from, pipe.to), half.ended);
        match half.pieces.front_mut() {
            Some(_) if cut => return Ok(Look::Later(now + AGAIN)),
            Some((at, _)) if *at > now => return Ok(Look::Later(*at)),
            Some((_, octets)) => {
                let count = octets.len().min(buffer.remaining());
                let taken: Vec<u8> = octets.drain(..count).collect();
                let empty = octets.is_empty();
                buffer.put_slice(&taken);
                half.octets -= count;
                if empty {
                    half.pieces.pop_front();
                }
            }
            None if ended && !cut => return Ok(Look::Now),
            None if ended => return Ok(Look::Later(now + AGAIN)),
            None => {
                half.waiting.push(context.waker().clone());
                return Ok(Look::Changed);
            }
        }
        drop(half);
        pipe.change(|_| {});
        Ok(Look::Now)
    }
}

enum Look {
    Now,
    Later(Duration),
    Changed,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            match self.take(buffer, context)? {
                Look::Now => return Poll::Ready(Ok(())),
                Look::Changed => return Poll::Pending,
                Look::Later(at) => {
                    if !self.is_time(at, context) {
                        self.incoming.half.lock().waiting.push(context.waker().clone());
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        octets: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut half = self.outgoing.half.lock();
        if half.broken || half.ended {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let room = WINDOW.saturating_sub(half.octets);
        if room == 0 {
            half.waiting.push(context.waker().clone());
            return Poll::Pending;
        }
        let count = octets.len().min(room);
        let last = half.pieces.back().map_or(Duration::ZERO, |(at, _)| *at);
        let at = last.max(self.net.0.main.elapsed() + self.net.late());
        half.pieces.push_back((at, octets[..count].iter().copied().collect()));
        half.octets += count;
        drop(half);
        self.outgoing.change(|_| {});
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.change(|half| half.ended |= !half.silent);
        Poll::Ready(Ok(()))
    }
}
