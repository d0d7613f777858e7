//! The other side of a stream: a peer's requests, answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use openraft::errors::Fatal;
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderError, TransferLeaderRequest, VoteRequest,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;

use crate::codec::CodecError;
use crate::id::NodeId;
use crate::raft::conn::{SILENCE, speak};
use crate::raft::hub::Hub;
use crate::raft::peers::PeerStream;
use crate::raft::read_index::Raft;
use crate::raft::seen::Life;
use crate::raft::types::{Entry, TypeConfig, from_raft, to_raft};
use crate::raft::wire::{
    Answer, AppendAnswer, AppendHead, Frame, Hello, Kind, Lane, MAX_FRAME, MAX_HELLO, Receiver,
    Request, TransferAnswer, VoteBytes, VoteHead, WireError, greeting, nonce_of, write,
};

/// How long a caller may take to say who it is.
const GREETING: Duration = Duration::from_secs(5);
/// Answers that wait to be written.
const QUEUE: usize = 64;
/// Requests of one stream that are worked on at one time.
const AT_ONCE: usize = 256;
/// Octets of the requests of one stream that wait or are worked on; one more may have been read.
const OCTETS: usize = 64 << 20;
/// What a request for bulk counts as beside its own octets: that is how long answers are.
const BULK: usize = 1 << 20;
/// Octets are counted in so many, rounded up.
const UNIT: usize = 1 << 10;
/// Appends of one stream that are on their way into the log at one time.
const PIPELINE: usize = 16;

type Reads = Receiver<ReadHalf<Box<dyn PeerStream>>>;
type Writes = WriteHalf<Box<dyn PeerStream>>;

/// Serves a stream to its end.
pub(crate) async fn serve(hub: Arc<Hub>, stream: Box<dyn PeerStream>, identity: Option<NodeId>) {
    let (reads, mut writes) = tokio::io::split(stream);
    let mut reads = Receiver::new(reads);
    let (hello, life) =
        match timeout(GREETING, welcome(&hub, &mut reads, &mut writes, identity)).await {
            Ok(Ok(Some(caller))) => caller,
            Ok(Ok(None)) => return,
            Ok(Err(error)) => return tracing::warn!(?identity, %error, "a caller said no hello"),
            Err(_) => return tracing::warn!(?identity, "a caller said no hello in time"),
        };
    let ended = tokio::select! {
        biased;
        ended = session(&hub, hello.lane, Caller { node: hello.node, life }, reads, writes) => ended,
        () = hub.superseded(hello.node, hello.incarnation) => return,
        _ = hub.stop.wait() => return,
    };
    if let Err(error) = ended {
        tracing::debug!(peer = %hello.node, lane = ?hello.lane, %error, "a peer has left");
    }
}

async fn welcome(
    hub: &Hub,
    reads: &mut Reads,
    writes: &mut Writes,
    identity: Option<NodeId>,
) -> Result<Option<(Hello, Life)>, WireError> {
    let frame = reads.next(MAX_HELLO, GREETING).await?;
    if frame.kind != Kind::Hello {
        return Err(WireError::Malformed("something else than a hello came first"));
    }
    let (hello, nonce) = (frame.head::<Hello>()?, nonce_of(&frame.bulk));
    let own = greeting(hub.nonce);
    match hub.judge(&hello, nonce, identity) {
        Ok(welcome) => {
            write(writes, &Frame::new(Kind::Welcome, 0, &welcome, own)?).await?;
            let life = Life { incarnation: hello.incarnation, nonce };
            Ok(Some((hello, life)))
        }
        Err(refusal) => {
            tracing::warn!(node = %hello.node, %refusal, "a caller is refused");
            write(writes, &Frame::new(Kind::Refused, 0, &refusal, own)?).await?;
            Ok(None)
        }
    }
}

/// Who calls, and which start of it.
#[derive(Debug, Clone, Copy)]
struct Caller {
    node: NodeId,
    life: Life,
}

async fn session(
    hub: &Arc<Hub>,
    lane: Lane,
    peer: Caller,
    reads: Reads,
    writes: Writes,
) -> Result<(), WireError> {
    let (out, queue) = mpsc::channel(QUEUE);
    let (requests, incoming) = mpsc::channel(PIPELINE);
    let room = Room::new(OCTETS, if lane == Lane::Bulk { BULK } else { 0 });
    tokio::select! {
        biased;
        ended = listen(reads, requests, room) => ended,
        ended = speak(writes, queue) => ended,
        ended = work(hub, lane, peer, incoming, out) => ended,
    }
}

/// A request, its number and its octets.
struct Asked {
    id: u64,
    request: Request,
    bulk: Bytes,
    place: Place,
}

/// Room that a request takes until it is answered.
type Place = OwnedSemaphorePermit;

/// What a peer may make this node hold.
struct Room {
    units: Arc<Semaphore>,
    all: usize,
    each: usize,
}

impl Room {
    /// For so many octets, of which each request takes some beside its own.
    fn new(octets: usize, each: usize) -> Self {
        let all = octets / UNIT;
        Self { units: Arc::new(Semaphore::new(all)), all, each }
    }

    /// Waits for room for a request; one that is larger than all takes all.
    async fn take(&self, octets: usize) -> Result<Place, WireError> {
        let units = (octets + self.each).div_ceil(UNIT).min(self.all);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        self.units.clone().acquire_many_owned(units).await.map_err(|_| WireError::Closed)
    }
}

async fn listen(
    mut reads: Reads,
    requests: mpsc::Sender<Asked>,
    room: Room,
) -> Result<(), WireError> {
    loop {
        // While what came is not taken, the peer's silence says nothing.
        let Ok(sender) = requests.reserve().await else { return Ok(()) };
        loop {
            let frame = reads.next(MAX_FRAME, SILENCE).await?;
            match frame.kind {
                Kind::Ping => {}
                Kind::Request => {
                    let (id, request, bulk) = (frame.id, frame.head()?, frame.bulk);
                    let place = room.take(bulk.len()).await?;
                    sender.send(Asked { id, request, bulk, place });
                    break;
                }
                _ => return Err(WireError::Malformed("a frame that no request is")),
            }
        }
    }
}

async fn work(
    hub: &Arc<Hub>,
    lane: Lane,
    peer: Caller,
    incoming: mpsc::Receiver<Asked>,
    out: mpsc::Sender<Frame>,
) -> Result<(), WireError> {
    let Some(raft) = hub.raft().cloned() else {
        return Err(WireError::Malformed("Raft does not run here yet"));
    };
    let desk = Desk { hub: hub.clone(), raft, peer };
    match lane {
        Lane::Appends => desk.appends(incoming, out).await,
        Lane::Votes | Lane::Bulk | Lane::Calls => desk.any_order(incoming, out).await,
    }
}

async fn reply(
    out: &mpsc::Sender<Frame>,
    id: u64,
    answer: &Answer,
    bulk: Bytes,
) -> Result<(), WireError> {
    let frame = Frame::new(Kind::Answer, id, answer, bulk)?;
    out.send(frame).await.map_err(|_| WireError::Closed)
}

/// Where the requests of one caller are answered.
#[derive(Clone)]
struct Desk {
    hub: Arc<Hub>,
    raft: Raft,
    peer: Caller,
}

impl Desk {
    /// Requests that are answered as they are done.
    async fn any_order(
        &self,
        mut incoming: mpsc::Receiver<Asked>,
        out: mpsc::Sender<Frame>,
    ) -> Result<(), WireError> {
        let mut working = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                Some((id, (answer, bulk), place)) = working.next() => {
                    reply(&out, id, &answer, bulk).await?;
                    drop::<Place>(place);
                }
                asked = incoming.recv(), if working.len() < AT_ONCE => {
                    let Some(Asked { id, request, bulk, place }) = asked else { return Ok(()) };
                    let answer = self.clone().one(request, bulk);
                    working.push(answer.map(move |answer| (id, answer, place)));
                }
            }
        }
    }

    async fn one(self, request: Request, bulk: Bytes) -> (Answer, Bytes) {
        match request {
            Request::Call { topic } => match self.hub.answer(self.peer.node, topic, bulk).await {
                Ok(body) => (Answer::Call(Ok(())), body),
                Err(failure) => (Answer::Call(Err(failure)), Bytes::new()),
            },
            other => {
                let answer = self.of_raft(other, bulk).await;
                (answer.unwrap_or_else(Answer::Failed), Bytes::new())
            }
        }
    }

    async fn of_raft(&self, request: Request, bulk: Bytes) -> Result<Answer, String> {
        let Self { hub, raft, .. } = self;
        let text = |error: &dyn std::fmt::Display| error.to_string();
        match request {
            Request::Vote(head) => {
                hub.looked_around().await;
                raft.vote(vote_request(&head)).await.map(vote_answer).map_err(|e| text(&e))
            }
            Request::PreVote(head) => {
                raft.pre_vote(vote_request(&head)).await.map(vote_answer).map_err(|e| text(&e))
            }
            Request::Transfer { from, to, last } => {
                let request = TransferLeaderRequest::new(from.vote(), to.0, last.map(to_raft));
                let answer = raft.handle_transfer_leader(request).await.map_err(|e| text(&e))?;
                Ok(Answer::Transfer(transfer_answer(answer)))
            }
            Request::Append(_) | Request::AppendFrom { .. } => {
                let request = self.take(self.head_of(request)?, bulk).await?;
                let answer = raft.append_entries(request).await.map_err(|e| text(&e))?;
                Ok(Answer::Append(append_answer(answer)))
            }
            Request::Call { .. } => Err("a call is none of Raft's".to_owned()),
        }
    }

    /// What an append says of itself; what the leader says of its disk is noted.
    fn head_of(&self, request: Request) -> Result<AppendHead, String> {
        match request {
            Request::Append(head) => Ok(head),
            Request::AppendFrom { head, durable } => {
                self.hub.leader_has(self.peer.node, self.peer.life, &head, durable);
                Ok(head)
            }
            _ => Err("only appends come this way".to_owned()),
        }
    }
}

fn vote_request(head: &VoteHead) -> VoteRequest<TypeConfig> {
    let mut request = VoteRequest::new(head.vote.vote(), head.last.map(to_raft));
    request.leadership_transfer = head.transfer;
    request
}

fn vote_answer(answer: openraft::raft::VoteResponse<TypeConfig>) -> Answer {
    let (vote, granted) = (VoteBytes::of(&answer.vote), answer.vote_granted);
    Answer::Vote { vote, granted, last: answer.last_log_id.map(from_raft) }
}

fn transfer_answer(answer: Result<(), TransferLeaderError<TypeConfig>>) -> TransferAnswer {
    match answer {
        Ok(()) => TransferAnswer::Accepted,
        Err(TransferLeaderError::VoteChanged { expected, actual }) => TransferAnswer::VoteChanged {
            expected: VoteBytes::of(&expected),
            actual: VoteBytes::of(&actual),
        },
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => {
            let (expected, actual) = (expected.map(from_raft), actual.map(from_raft));
            TransferAnswer::NotFlushed { expected, actual }
        }
    }
}

fn append_answer(answer: AppendEntriesResponse<TypeConfig>) -> AppendAnswer {
    match answer {
        AppendEntriesResponse::Success => AppendAnswer::Success,
        AppendEntriesResponse::PartialSuccess(upto) => AppendAnswer::Partial(upto.map(from_raft)),
        AppendEntriesResponse::Conflict => AppendAnswer::Conflict,
        AppendEntriesResponse::HigherVote(vote) => AppendAnswer::Higher(VoteBytes::of(&vote)),
    }
}

impl Desk {
    /// Makes of a message what openraft takes: nothing of it is let through whose
    /// history differs, or whose blobs are not durable here.
    async fn take(
        &self,
        head: AppendHead,
        bulk: Bytes,
    ) -> Result<AppendEntriesRequest<TypeConfig>, String> {
        let Self { hub, peer: Caller { node: peer, .. }, .. } = self;
        let received = head.entries(&bulk).map_err(|error| error.to_string())?;
        hub.check_history(&head, &received).inspect_err(|why| hub.stop.fatal(why))?;
        let (mut entries, using) = (Vec::with_capacity(received.len()), hub.gate.using());
        for entry in received {
            let index = entry.id.index;
            let entry = Entry::from_peer(entry).map_err(|error| {
                let why = format!("entry {index} from node {peer}: {error}");
                // What a newer program wrote does not become known by asking again.
                if matches!(
                    error,
                    CodecError::UnknownKind { .. } | CodecError::UnknownVersion { .. }
                ) {
                    hub.stop.fatal(&why);
                }
                why
            });
            let mut entry = entry?;
            entry.keep(using.clone());
            entries.push(entry);
        }
        let blobs = entries.iter().flat_map(|entry| hub.gate.needed(entry)).collect();
        hub.complete(*peer, blobs).await?;
        // One that died may be needed again by a later entry.
        let needed = entries.iter().flat_map(|entry| hub.gate.needed(entry)).collect();
        hub.gate.hold(needed).await.map_err(|error| error.to_string())?;
        let (prev_log_id, leader_commit) = (head.prev.map(to_raft), head.commit.map(to_raft));
        Ok(AppendEntriesRequest { vote: head.vote.vote(), prev_log_id, entries, leader_commit })
    }

    /// Appends, in the order in which they came, several on their way into the log.
    async fn appends(
        &self,
        mut incoming: mpsc::Receiver<Asked>,
        out: mpsc::Sender<Frame>,
    ) -> Result<(), WireError> {
        let mut taking: Option<BoxFuture<'_, TakenAs>> = None;
        loop {
            let (feed, requests) = mpsc::channel(PIPELINE);
            let mut answers = std::pin::pin!(self.raft.stream_append(as_stream(requests)));
            let mut ids = VecDeque::<(u64, Place)>::new();
            // Ends with the first that openraft does not take; then it begins anew.
            loop {
                tokio::select! {
                    biased;
                    answer = answers.next(), if !ids.is_empty() => {
                        let answer = stream_answer(answer);
                        let went_well = matches!(answer, Answer::Append(AppendAnswer::Success));
                        if let Some((id, _)) = ids.pop_front() {
                            reply(&out, id, &answer, Bytes::new()).await?;
                        }
                        if !went_well {
                            break;
                        }
                    }
                    (id, taken, place) = next_taken(&mut taking), if taking.is_some() => {
                        taking = None;
                        match taken {
                            Taken::Append(request) => {
                                // There is room: no more are taken than fit.
                                if feed.send(*request).await.is_err() {
                                    reply(&out, id, &failed("Raft has ended"), Bytes::new()).await?;
                                    break;
                                }
                                ids.push_back((id, place));
                            }
                            Taken::Not(answer) => reply(&out, id, &answer, Bytes::new()).await?,
                        }
                    }
                    asked = incoming.recv(), if taking.is_none() && ids.len() < PIPELINE => {
                        let Some(asked) = asked else { return Ok(()) };
                        taking = Some(self.take_asked(asked).boxed());
                    }
                }
            }
            for (id, _) in ids {
                reply(&out, id, &failed(BEFORE_IT), Bytes::new()).await?;
            }
        }
    }

    async fn take_asked(&self, asked: Asked) -> TakenAs {
        let Asked { id, request, bulk, place } = asked;
        let taken = match self.head_of(request) {
            Ok(head) => self.take(head, bulk).await,
            Err(why) => Err(why),
        };
        match taken {
            Ok(request) => (id, Taken::Append(Box::new(request)), place),
            Err(why) => (id, Taken::Not(Answer::Failed(why)), place),
        }
    }
}

/// What openraft says of an append of a stream.
type StreamAnswer = Result<StreamAppendResult<TypeConfig>, Fatal<TypeConfig>>;

const BEFORE_IT: &str = "an append before it failed";

fn failed(why: &str) -> Answer {
    Answer::Failed(why.to_owned())
}

fn stream_answer(answer: Option<StreamAnswer>) -> Answer {
    match answer {
        Some(Ok(Ok(_))) => Answer::Append(AppendAnswer::Success),
        Some(Ok(Err(StreamAppendError::Conflict(_)))) => Answer::Append(AppendAnswer::Conflict),
        Some(Ok(Err(StreamAppendError::HigherVote(vote)))) => {
            Answer::Append(AppendAnswer::Higher(VoteBytes::of(&vote)))
        }
        Some(Err(error)) => failed(&error.to_string()),
        None => failed(BEFORE_IT),
    }
}

enum Taken {
    Append(Box<AppendEntriesRequest<TypeConfig>>),
    Not(Answer),
}

/// An append that was taken or not, its number, and the room that it takes.
type TakenAs = (u64, Taken, Place);

async fn next_taken(taking: &mut Option<BoxFuture<'_, TakenAs>>) -> TakenAs {
    match taking {
        Some(taking) => taking.await,
        None => std::future::pending().await,
    }
}

fn as_stream<T: Send + 'static>(queue: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send {
    stream::unfold(queue, |mut queue| async { queue.recv().await.map(|item| (item, queue)) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::raft::wire::Frame;
    use crate::world;

    #[tokio::test(start_paused = true)]
    async fn no_more_is_read_than_there_is_room_for() {
        let (near, far) = tokio::io::duplex(1 << 20);
        let (requests, mut asked) = mpsc::channel(PIPELINE);
        let reads = Receiver::new(tokio::io::split(Box::new(far) as Box<dyn PeerStream>).0);
        drop(world::spawn(listen(reads, requests, Room::new(10 * UNIT, UNIT))));
        let (_, mut writes) = tokio::io::split(near);
        for (id, octets) in [(1, 3), (2, 4), (3, 4), (4, 30)] {
            let bulk = Bytes::from(vec![0; octets * UNIT]);
            let frame = Frame::new(Kind::Request, id, &Request::Call { topic: 1 }, bulk);
            write(&mut writes, &frame.unwrap()).await.unwrap();
        }
        let (one, two) = (asked.recv().await.unwrap(), asked.recv().await.unwrap());
        assert_eq!((one.id, two.id), (1, 2));
        // Time goes on only when nothing else can.
        let wait = Duration::from_millis(1);
        assert!(timeout(wait, asked.recv()).await.is_err());
        drop(one);
        let three = asked.recv().await.unwrap();
        assert_eq!(three.id, 3);
        drop(two);
        assert!(timeout(wait, asked.recv()).await.is_err(), "the longest waits until it is alone");
        drop(three);
        assert_eq!(asked.recv().await.unwrap().id, 4);
    }
}
