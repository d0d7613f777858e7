//! openraft's way to peers.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use futures_util::{FutureExt, Stream, StreamExt};
use openraft::OptionalSend;
use openraft::alias::{SnapshotOf, VoteOf};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{Backoff, RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendError,
    StreamAppendResult, TransferLeaderError, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};
use tokio::time::{Instant, timeout};

use crate::id::{BlobId, LogIndex, NodeId, Term};
use crate::raft::conn::{Conn, Lost};
use crate::raft::hub::Hub;
use crate::raft::members::matched;
use crate::raft::seen::{Life, Shown};
use crate::raft::state_machine::Checkpoint;
use crate::raft::types::{Entry, Member, RaftLogId, TypeConfig, from_raft, record_of, to_raft};
use crate::raft::wire::{
    Answer, AppendAnswer, AppendHead, EntryHead, Lane, Request, TransferAnswer, VoteBytes, VoteHead,
};
use crate::segment::{EntryKind, LogEntry, LogId};

/// How long a connection may take before a peer counts as unreachable.
const CONNECT: Duration = Duration::from_millis(1500);
/// How long a peer may take to make entries durable. Whether it is still there,
/// its connection tells sooner.
const APPEND: Duration = Duration::from_secs(20);
/// Appends that are on their way to one peer at one time.
const WINDOW: usize = 8;
/// The waits before a peer that was not reached is tried again.
const BACKOFF: [u64; 4] = [50, 100, 200, 400];

type RpcError = RPCError<TypeConfig>;

/// Makes ways to peers, one for each purpose.
#[derive(Debug, Clone)]
pub(crate) struct Peers(pub(crate) Arc<Hub>);

impl Peers {
    fn peer(&self, node: u64, lane: Lane) -> Peer {
        Peer { hub: self.0.clone(), node: NodeId(node), lane }
    }
}

impl RaftNetworkFactory<TypeConfig> for Peers {
    type Network = Peer;

    async fn new_client(&mut self, node: u64, _: &Member) -> Peer {
        self.peer(node, Lane::Appends)
    }

    async fn new_heartbeat_client(&mut self, node: u64, _: &Member) -> Peer {
        self.peer(node, Lane::Votes)
    }

    async fn new_snapshot_client(&mut self, node: u64, _: &Member) -> Peer {
        self.peer(node, Lane::Bulk)
    }
}

/// A peer. Votes and the hand-over of leadership go where heartbeats go,
/// whatever the lane.
#[derive(Debug)]
pub(crate) struct Peer {
    hub: Arc<Hub>,
    node: NodeId,
    lane: Lane,
}

fn unreachable(why: impl ToString) -> RpcError {
    RPCError::Unreachable(Unreachable::from_string(why))
}

fn broken(why: impl ToString) -> RpcError {
    RPCError::Network(NetworkError::from_string(why))
}

impl Peer {
    async fn conn(&self, lane: Lane) -> Result<Arc<Conn>, RpcError> {
        if self.hub.peers().is_none() {
            let why = format!("node {}: this node was started without peers", self.node);
            return Err(unreachable(why));
        }
        let deadline = Instant::now() + CONNECT;
        self.hub.link(self.node, lane).conn(deadline).await.map_err(unreachable)
    }

    /// A small request on the lane that nothing large goes over; which start of the
    /// peer has answered it.
    async fn ask(&self, request: &Request, option: &RPCOption) -> Result<(Answer, Life), RpcError> {
        let asked = async {
            let conn = self.conn(Lane::Votes).await?;
            let answer = conn.ask(request, Bytes::new()).await.map_err(|lost| broken(lost.0))?;
            Ok::<_, RpcError>((answer.0, conn.life))
        };
        let late = || broken(format!("node {} did not answer in time", self.node));
        match timeout(option.soft_ttl(), asked).await.map_err(|_| late())?? {
            (Answer::Failed(why), _) => Err(broken(why)),
            answered => Ok(answered),
        }
    }

    async fn ask_for_vote(
        &self,
        request: Request,
        option: &RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.hub.looked_around().await;
        let (answer, life) = self.ask(&request, option).await?;
        let Answer::Vote { vote, granted, last } = answer else {
            return Err(broken("it gave another answer"));
        };
        if let Request::Vote(head) = &request
            && granted
        {
            let term = Term(head.vote.vote().leader_id().term);
            self.hub.shown(self.node, life, &Shown::term(term));
        }
        Ok(VoteResponse::new(vote.vote(), last.map(to_raft), granted))
    }

    fn vote_head(request: &VoteRequest<TypeConfig>) -> VoteHead {
        VoteHead {
            vote: VoteBytes::of(&request.vote),
            last: request.last_log_id.map(from_raft),
            transfer: request.leadership_transfer,
        }
    }
}

/// An append on its way: what it reaches from and to, and its answer.
struct Sent<F> {
    prev: Option<RaftLogId>,
    last: Option<RaftLogId>,
    term: Term,
    /// Which start of the peer it goes to, and what the peer had acknowledged before.
    life: Life,
    acked: Option<LogId>,
    answer: Result<F, RpcError>,
}

/// Sends an append, behind the blobs that its entries name.
async fn send(
    hub: &Hub,
    node: NodeId,
    conn: &Conn,
    request: AppendEntriesRequest<TypeConfig>,
) -> Sent<impl Future<Output = Result<(Answer, Bytes), Lost>> + Send + use<>> {
    let prev = request.prev_log_id;
    let last = request.entries.last().and_then(Entry::stored).map(|entry| to_raft(entry.id));
    let term = Term(request.vote.leader_id().term);
    let (life, acked) = (conn.life, hub.acked(node, term));
    let answer = async {
        let (head, bulk, blobs) = message(hub, &request).map_err(broken)?;
        hub.carriers.give(node, blobs, false).await.map_err(unreachable)?;
        let durable = hub.log.durable();
        let request = match conn.version {
            ..2 => Request::Append(head),
            _ => Request::AppendFrom { head, durable },
        };
        conn.send(&request, bulk).await.map_err(|lost| broken(lost.0))
    };
    Sent { prev, last: last.or(prev), term, life, acked, answer: answer.await }
}

/// An append as it is sent, and the blobs that it needs.
fn message(
    hub: &Hub,
    request: &AppendEntriesRequest<TypeConfig>,
) -> Result<(AppendHead, Bytes, Vec<BlobId>), String> {
    let entries: Option<Vec<&LogEntry>> = request.entries.iter().map(Entry::stored).collect();
    let entries = entries.ok_or("an entry that the log did not give")?;
    let mut bulk = BytesMut::with_capacity(entries.iter().map(|entry| entry.payload.len()).sum());
    let mut blobs = Vec::new();
    for entry in &entries {
        bulk.put_slice(&entry.payload);
        if entry.kind == EntryKind::Record {
            let record = record_of(&entry.payload).map_err(|error| error.to_string())?;
            blobs.extend(record.blobs());
        }
    }
    let prev = request.prev_log_id.map(from_raft);
    let head = AppendHead {
        vote: VoteBytes::of(&request.vote),
        prev,
        prev_chain: hub.chain_at(prev),
        commit: request.leader_commit.map(from_raft),
        entries: entries.into_iter().map(EntryHead::of).collect(),
    };
    Ok((head, bulk.freeze(), blobs))
}

fn append_response(answer: Answer) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
    match answer {
        Answer::Append(AppendAnswer::Success) => Ok(AppendEntriesResponse::Success),
        Answer::Append(AppendAnswer::Partial(upto)) => {
            Ok(AppendEntriesResponse::PartialSuccess(upto.map(to_raft)))
        }
        Answer::Append(AppendAnswer::Conflict) => Ok(AppendEntriesResponse::Conflict),
        Answer::Append(AppendAnswer::Higher(vote)) => {
            Ok(AppendEntriesResponse::HigherVote(vote.vote()))
        }
        Answer::Failed(why) => Err(unreachable(why)),
        _ => Err(broken("it gave another answer")),
    }
}

/// Waits for the answer to an append. One that takes back what the peer had
/// acknowledged never reaches openraft, which takes for granted that there is none.
async fn answered<F>(hub: &Hub, node: NodeId, sent: Sent<F>) -> Result<AppendedUpto, RpcError>
where
    F: Future<Output = Result<(Answer, Bytes), Lost>>,
{
    let Sent { prev, last, term, life, acked, answer } = sent;
    let answer = timeout(APPEND, answer?).await.map_err(|_| broken("no answer to an append"))?;
    let (answer, _) = answer.map_err(|lost| broken(lost.0))?;
    let response = append_response(answer)?;
    let has = match &response {
        AppendEntriesResponse::Success => last,
        AppendEntriesResponse::PartialSuccess(upto) => *upto,
        AppendEntriesResponse::Conflict => {
            not_reverted(hub, node, prev, acked, term)?;
            None
        }
        AppendEntriesResponse::HigherVote(_) => None,
    };
    if has.is_some() {
        hub.shown(node, life, &Shown::acked(term, has.map(from_raft)));
    }
    Ok(AppendedUpto { prev, last, response })
}

/// What comes of an answer to an append behind `prev`, with what the peer had
/// acknowledged when it was sent.
#[cfg(test)]
pub(crate) async fn answer_for_test(
    hub: &Hub,
    node: NodeId,
    prev: LogId,
    acked: Option<LogId>,
    answer: AppendAnswer,
) -> Result<(), String> {
    let term = acked.map_or(prev.term, |acked| acked.term);
    let answer = std::future::ready(Ok((Answer::Append(answer), Bytes::new())));
    let (prev, life) = (Some(to_raft(prev)), Life::default());
    let sent = Sent { prev, last: prev, term, life, acked, answer: Ok(answer) };
    answered(hub, node, sent).await.map(drop).map_err(|error| error.to_string())
}

/// Whether a peer may say that it has not got the entry `prev`.
fn not_reverted(
    hub: &Hub,
    node: NodeId,
    prev: Option<RaftLogId>,
    acked: Option<LogId>,
    term: Term,
) -> Result<(), RpcError> {
    let Some(prev) = prev.map(from_raft) else { return Ok(()) };
    if let Some(acked) = acked.filter(|acked| prev.index <= acked.index) {
        let said =
            prev.index.0.checked_sub(1).map(|index| LogId { index: LogIndex(index), ..prev });
        return Err(unreachable(hub.has_reverted(node, acked, said)));
    }
    // Of what came by a snapshot openraft alone knows.
    let known = hub.raft().and_then(|raft| matched(raft, node)).map(LogIndex);
    let known = known.max(hub.acked(node, term).map(|acked| acked.index));
    match Some(prev.index) <= known {
        true => Err(broken("the answer has been overtaken by a later one")),
        false => Ok(()),
    }
}

struct AppendedUpto {
    prev: Option<RaftLogId>,
    last: Option<RaftLogId>,
    response: AppendEntriesResponse<TypeConfig>,
}

impl AppendedUpto {
    fn result(self) -> Result<StreamAppendResult<TypeConfig>, RpcError> {
        match self.response {
            AppendEntriesResponse::Success => Ok(Ok(self.last)),
            AppendEntriesResponse::PartialSuccess(upto) => Ok(Ok(upto)),
            AppendEntriesResponse::HigherVote(vote) => Ok(Err(StreamAppendError::HigherVote(vote))),
            AppendEntriesResponse::Conflict => match self.prev {
                Some(prev) => Ok(Err(StreamAppendError::Conflict(prev))),
                None => Err(broken("a conflict at the very beginning")),
            },
        }
    }
}

type Answers<'s> = BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>;

impl RaftNetworkV2<TypeConfig> for Peer {
    type SnapshotData = Checkpoint;

    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<TypeConfig>, RpcError> {
        let conn = self.conn(self.lane).await?;
        let sent = send(&self.hub, self.node, &conn, request).await;
        Ok(answered(&self.hub, self.node, sent).await?.response)
    }

    // Several on their way at one time, answered in their order; over at the
    // first that fails.
    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        _: RPCOption,
    ) -> BoxFuture<'s, Result<Answers<'s>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + OptionalSend + Unpin + 'static,
    {
        async move {
            let conn = match self.conn(self.lane).await {
                Ok(conn) => conn,
                Err(error) => {
                    // openraft waits between tries only when it is asked what to send.
                    drop(input.next().await);
                    return Err(error);
                }
            };
            let (hub, node) = (&self.hub, self.node);
            let sent = input.then(move |request| {
                let conn = conn.clone();
                async move { send(hub, node, &conn, request).await }
            });
            let answers = sent.map(move |sent| answered(hub, node, sent)).buffered(WINDOW);
            let results = answers.map(|answer| answer.and_then(AppendedUpto::result));
            let upto_failure = results.scan(false, |over, result| {
                let last = std::mem::replace(over, !matches!(result, Ok(Ok(_))));
                std::future::ready((!last).then_some(result))
            });
            Ok(upto_failure.boxed())
        }
        .boxed()
    }

    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_for_vote(Request::Vote(Self::vote_head(&request)), &option).await
    }

    // The trait's default grants, which would make pre-vote no vote at all.
    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        self.ask_for_vote(Request::PreVote(Self::vote_head(&request)), &option).await
    }

    async fn full_snapshot(
        &mut self,
        vote: VoteOf<TypeConfig>,
        snapshot: SnapshotOf<TypeConfig, Checkpoint>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        tokio::select! {
            biased;
            closed = cancel => Err(StreamingError::Closed(closed)),
            done = self.hub.send_snapshot(self.node, vote, snapshot) => done,
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let (to, last) = (NodeId(*request.to_node_id()), request.last_log_id().copied());
        let from = VoteBytes::of(request.from_leader());
        let asked = Request::Transfer { from, to, last: last.map(from_raft) };
        match self.ask(&asked, &option).await?.0 {
            Answer::Transfer(answer) => Ok(transfer_response(answer)),
            _ => Err(broken("it gave another answer")),
        }
    }

    fn backoff(&self) -> Option<Backoff> {
        let longest = BACKOFF.last().copied().unwrap_or(400);
        let waits = BACKOFF.into_iter().chain(std::iter::repeat(longest));
        Some(Backoff::new(waits.map(Duration::from_millis)))
    }
}

fn transfer_response(answer: TransferAnswer) -> TransferLeaderResponse<TypeConfig> {
    match answer {
        TransferAnswer::Accepted => Ok(()),
        TransferAnswer::VoteChanged { expected, actual } => Err(TransferLeaderError::VoteChanged {
            expected: expected.vote(),
            actual: actual.vote(),
        }),
        TransferAnswer::NotFlushed { expected, actual } => {
            Err(TransferLeaderError::LogNotFlushed {
                expected: expected.map(to_raft),
                actual: actual.map(to_raft),
            })
        }
    }
}
