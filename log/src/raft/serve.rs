//! The other side of a stream: a peer's requests, answered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, StreamAppendError, TransferLeaderError,
    TransferLeaderRequest, VoteRequest,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::sync::mpsc;
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
    tokio::select! {
        biased;
        ended = listen(reads, requests) => ended,
        ended = speak(writes, queue) => ended,
        ended = work(hub, lane, peer, incoming, out) => ended,
    }
}

/// A request, its number and its octets.
struct Asked {
    id: u64,
    request: Request,
    bulk: Bytes,
}

async fn listen(mut reads: Reads, requests: mpsc::Sender<Asked>) -> Result<(), WireError> {
    loop {
        // While what came is not taken, the peer's silence says nothing.
        let Ok(place) = requests.reserve().await else { return Ok(()) };
        loop {
            let frame = reads.next(MAX_FRAME, SILENCE).await?;
            match frame.kind {
                Kind::Ping => {}
                Kind::Request => {
                    place.send(Asked { id: frame.id, request: frame.head()?, bulk: frame.bulk });
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
    match lane {
        Lane::Appends => appends(hub, &raft, peer, incoming, out).await,
        Lane::Votes | Lane::Bulk | Lane::Calls => any_order(hub, &raft, peer, incoming, out).await,
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

/// Requests that are answered as they are done.
async fn any_order(
    hub: &Arc<Hub>,
    raft: &Raft,
    peer: Caller,
    mut incoming: mpsc::Receiver<Asked>,
    out: mpsc::Sender<Frame>,
) -> Result<(), WireError> {
    let mut working = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some((id, (answer, bulk))) = working.next() => reply(&out, id, &answer, bulk).await?,
            asked = incoming.recv(), if working.len() < AT_ONCE => {
                let Some(Asked { id, request, bulk }) = asked else { return Ok(()) };
                let answer = one(hub.clone(), raft.clone(), peer, request, bulk);
                working.push(answer.map(move |answer| (id, answer)));
            }
        }
    }
}

async fn one(
    hub: Arc<Hub>,
    raft: Raft,
    peer: Caller,
    request: Request,
    bulk: Bytes,
) -> (Answer, Bytes) {
    match request {
        Request::Call { topic } => match hub.answer(peer.node, topic, bulk).await {
            Ok(body) => (Answer::Call(Ok(())), body),
            Err(failure) => (Answer::Call(Err(failure)), Bytes::new()),
        },
        other => {
            let answer = of_raft(&hub, &raft, peer, other, bulk).await;
            (answer.unwrap_or_else(Answer::Failed), Bytes::new())
        }
    }
}

async fn of_raft(
    hub: &Arc<Hub>,
    raft: &Raft,
    peer: Caller,
    request: Request,
    bulk: Bytes,
) -> Result<Answer, String> {
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
        Request::Append(head) => append(hub, raft, peer, head, bulk).await,
        Request::AppendFrom { head, durable } => {
            hub.leader_has(peer.node, peer.life, &head, durable);
            append(hub, raft, peer, head, bulk).await
        }
        Request::Call { .. } => Err("a call is none of Raft's".to_owned()),
    }
}

async fn append(
    hub: &Arc<Hub>,
    raft: &Raft,
    peer: Caller,
    head: AppendHead,
    bulk: Bytes,
) -> Result<Answer, String> {
    let request = take(hub, peer.node, head, bulk).await?;
    let answer = raft.append_entries(request).await.map_err(|error| error.to_string())?;
    Ok(Answer::Append(append_answer(answer)))
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

/// Makes of a message what openraft takes: nothing of it is let through whose
/// history differs, or whose blobs are not durable here.
async fn take(
    hub: &Arc<Hub>,
    peer: NodeId,
    head: AppendHead,
    bulk: Bytes,
) -> Result<AppendEntriesRequest<TypeConfig>, String> {
    let received = head.entries(&bulk).map_err(|error| error.to_string())?;
    hub.check_history(&head, &received).inspect_err(|why| hub.stop.fatal(why))?;
    let mut entries = Vec::with_capacity(received.len());
    for entry in received {
        let index = entry.id.index;
        entries.push(Entry::from_peer(entry).map_err(|error| {
            let why = format!("entry {index} from node {peer}: {error}");
            // What a newer program wrote does not become known by asking again.
            if matches!(error, CodecError::UnknownKind { .. } | CodecError::UnknownVersion { .. }) {
                hub.stop.fatal(&why);
            }
            why
        })?);
    }
    let blobs = entries.iter().flat_map(Entry::unheld).copied().collect();
    hub.complete(peer, blobs).await?;
    let (prev_log_id, leader_commit) = (head.prev.map(to_raft), head.commit.map(to_raft));
    Ok(AppendEntriesRequest { vote: head.vote.vote(), prev_log_id, entries, leader_commit })
}

/// Appends, in the order in which they came, several on their way into the log.
async fn appends(
    hub: &Arc<Hub>,
    raft: &Raft,
    peer: Caller,
    mut incoming: mpsc::Receiver<Asked>,
    out: mpsc::Sender<Frame>,
) -> Result<(), WireError> {
    let mut taking: Option<BoxFuture<'_, (u64, Taken)>> = None;
    loop {
        let (feed, requests) = mpsc::channel(PIPELINE);
        let mut answers = std::pin::pin!(raft.stream_append(as_stream(requests)));
        let mut ids = VecDeque::new();
        // Ends with the first that openraft does not take; then it begins anew.
        loop {
            tokio::select! {
                biased;
                answer = answers.next(), if !ids.is_empty() => {
                    let answer = match answer {
                        Some(Ok(Ok(_))) => Answer::Append(AppendAnswer::Success),
                        Some(Ok(Err(StreamAppendError::Conflict(_)))) => Answer::Append(AppendAnswer::Conflict),
                        Some(Ok(Err(StreamAppendError::HigherVote(vote)))) => {
                            Answer::Append(AppendAnswer::Higher(VoteBytes::of(&vote)))
                        }
                        Some(Err(error)) => Answer::Failed(error.to_string()),
                        None => Answer::Failed("an append before it failed".to_owned()),
                    };
                    let went_well = matches!(answer, Answer::Append(AppendAnswer::Success));
                    if let Some(id) = ids.pop_front() {
                        reply(&out, id, &answer, Bytes::new()).await?;
                    }
                    if !went_well {
                        break;
                    }
                }
                (id, taken) = next_taken(&mut taking), if taking.is_some() => {
                    taking = None;
                    match taken {
                        Taken::Append(request) => {
                            // There is room: no more are taken than fit.
                            if feed.send(*request).await.is_err() {
                                reply(&out, id, &Answer::Failed("Raft has ended".to_owned()), Bytes::new()).await?;
                                break;
                            }
                            ids.push_back(id);
                        }
                        Taken::Not(answer) => reply(&out, id, &answer, Bytes::new()).await?,
                    }
                }
                asked = incoming.recv(), if taking.is_none() && ids.len() < PIPELINE => {
                    let Some(asked) = asked else { return Ok(()) };
                    taking = Some(take_asked(hub, peer, asked).boxed());
                }
            }
        }
        let failed = Answer::Failed("an append before it failed".to_owned());
        for id in ids {
            reply(&out, id, &failed, Bytes::new()).await?;
        }
    }
}

enum Taken {
    Append(Box<AppendEntriesRequest<TypeConfig>>),
    Not(Answer),
}

async fn take_asked(hub: &Arc<Hub>, peer: Caller, asked: Asked) -> (u64, Taken) {
    let Asked { id, request, bulk } = asked;
    let head = match request {
        Request::Append(head) => head,
        Request::AppendFrom { head, durable } => {
            hub.leader_has(peer.node, peer.life, &head, durable);
            head
        }
        _ => return (id, Taken::Not(Answer::Failed("only appends come this way".to_owned()))),
    };
    match take(hub, peer.node, head, bulk).await {
        Ok(request) => (id, Taken::Append(Box::new(request))),
        Err(why) => (id, Taken::Not(Answer::Failed(why))),
    }
}

async fn next_taken(taking: &mut Option<BoxFuture<'_, (u64, Taken)>>) -> (u64, Taken) {
    match taking {
        Some(taking) => taking.await,
        None => std::future::pending().await,
    }
}

fn as_stream<T: Send + 'static>(queue: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send {
    stream::unfold(queue, |mut queue| async { queue.recv().await.map(|item| (item, queue)) })
}
