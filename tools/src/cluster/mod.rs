//! The cluster as an operator sees and changes it: any node takes the wish, the
//! leader does it, one at a time.

mod changes;
mod leader;
mod removed;
mod status;
mod wire;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redoubt_log::id::{NodeId, OperationId, Timestamp};
use redoubt_log::raft::Node;
use redoubt_log::record::{Actor, Change, TokenAdd};
use redoubt_store::mailstore::Mailstore;

use redoubt_log::world::watch;

use crate::peers::{PeerTls, Token};
use changes::Seats;
pub(crate) use changes::not_a_member;

pub use wire::{ClusterBody, Facts, MemberLine, Part, Refusal, TokenBody, TokenWish, TransferWish};
pub(crate) use wire::{LeaderAnswer, LeaderWish};

/// The longest and the shortest life of a token.
const TOKEN_LIFE: std::ops::RangeInclusive<u64> = 1..=7 * 24 * 3600;

/// This node's way to the cluster. Clones share it.
#[derive(Debug, Clone)]
pub struct Cluster(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    mailstore: Mailstore,
    way: Option<Way>,
    seats: Seats,
    elections: AtomicU64,
}

/// What the services hold that the node holds: it must not hold the node.
#[derive(Debug, Clone)]
struct WeakCluster(Weak<Inner>);

impl WeakCluster {
    fn get(&self) -> Result<Cluster, String> {
        self.0.upgrade().map(Cluster).ok_or_else(|| "this node is stopping".into())
    }
}

/// How this node is reached.
#[derive(Debug, Clone)]
pub struct Way {
    /// Its certificates.
    pub tls: PeerTls,
    /// Its advertised address.
    pub address: String,
}

impl Cluster {
    /// Of an open store; answers other nodes from now on. `way` is `None` for a
    /// node without peers.
    pub fn new(mailstore: Mailstore, way: Option<Way>) -> Self {
        let cluster = Self(Arc::new(Inner {
            mailstore,
            way,
            seats: Seats::default(),
            elections: AtomicU64::new(0),
        }));
        tokio::spawn(count_elections(cluster.node().watch_leader(), cluster.weak()));
        leader::register(&cluster);
        status::register(&cluster);
        removed::register(&cluster);
        cluster
    }

    /// The store.
    pub fn mailstore(&self) -> &Mailstore {
        &self.0.mailstore
    }

    fn weak(&self) -> WeakCluster {
        WeakCluster(Arc::downgrade(&self.0))
    }

    pub(crate) fn node(&self) -> &Node {
        self.0.mailstore.node()
    }

    fn id(&self) -> NodeId {
        self.0.mailstore.identity().node
    }

    /// Leaders that this node has seen elected since it was started.
    pub fn elections(&self) -> u64 {
        self.0.elections.load(Ordering::Relaxed)
    }

    /// How this node is reached.
    ///
    /// # Errors
    /// [`Refusal::Refused`] for a node without peers.
    pub fn way(&self) -> Result<&Way, Refusal> {
        let alone = "this node has no peers: set listen.peer (and peer.advertise), restart it";
        self.0.way.as_ref().ok_or_else(|| Refusal::Refused(alone.into()))
    }

    /// Makes a token that admits one node, once.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn token(&self, actor: &Actor, wish: TokenWish) -> Result<TokenBody, Refusal> {
        let way = self.way()?;
        if !TOKEN_LIFE.contains(&wish.valid_seconds) {
            return Err(Refusal::Refused("a token is good for a second to a week".into()));
        }
        let life = i64::try_from(wish.valid_seconds * 1000).unwrap_or(i64::MAX);
        let expires = Timestamp(self.now().await.0.saturating_add(life));
        let lineage = self.0.mailstore.identity().lineage.clone();
        let token = Token { authority: way.tls.authority(), lineage, secret: rand::random() };
        let add = TokenAdd { token: Token::hash(&token.secret), expires, light: wish.light };
        self.submit(actor, Change::TokenAdd(add)).await?;
        Ok(TokenBody { token: token.to_string(), expires, address: way.address.clone() })
    }

    /// By the log's time where that is ahead, as after a clock that ran ahead on a leader: a token
    /// is judged by it.
    async fn now(&self) -> Timestamp {
        let view = self.0.mailstore.view().await.ok();
        let applied = view.and_then(|view| view.applied());
        applied.map_or(Timestamp::now(), |applied| applied.time.max(Timestamp::now()))
    }

    /// Proposes a record of the system group.
    pub(crate) async fn submit(
        &self,
        actor: &Actor,
        change: Change,
    ) -> Result<redoubt_log::record::Done, Refusal> {
        use redoubt_store::mailstore::WriteError as E;
        let done = self.0.mailstore.submit(actor, OperationId::random(), change).await;
        let outcome = done.map_err(|error| match &error {
            E::Rejected(_) | E::Invalid(_) => Refusal::Refused(error.to_string()),
            E::Unavailable(_) | E::Unknown(_) => Refusal::Unavailable(error.to_string()),
            _ => Refusal::Failed(error.to_string()),
        })?;
        outcome.result.map_err(|rejection| Refusal::Refused(rejection.to_string()))
    }

    /// Hands leadership over; answers who leads then.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn transfer(&self, actor: &Actor, to: Option<NodeId>) -> Result<NodeId, Refusal> {
        match self.on_leader(actor, LeaderWish::Transfer { to }).await? {
            LeaderAnswer::Leader(node) => Ok(node),
            other => Err(strange(&other)),
        }
    }

    /// Removes a member for good.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn remove(&self, actor: &Actor, node: NodeId) -> Result<(), Refusal> {
        self.on_leader(actor, LeaderWish::Remove { node }).await.map(drop)
    }

    /// Raises the level to what all members support; answers the level then.
    ///
    /// # Errors
    /// [`Refusal`].
    pub async fn finalize(&self, actor: &Actor) -> Result<u32, Refusal> {
        match self.on_leader(actor, LeaderWish::Finalize).await? {
            LeaderAnswer::Level(level) => Ok(level),
            other => Err(strange(&other)),
        }
    }
}

async fn count_elections(mut leader: watch::Receiver<Option<NodeId>>, cluster: WeakCluster) {
    loop {
        if leader.borrow_and_update().is_some() {
            let Ok(cluster) = cluster.get() else { return };
            cluster.0.elections.fetch_add(1, Ordering::Relaxed);
        }
        if leader.changed().await.is_err() {
            return;
        }
    }
}

fn strange(answer: &LeaderAnswer) -> Refusal {
    Refusal::Failed(format!("the leader runs another version: it answered {answer:?}"))
}

/// How long a wish waits for a leader.
const FOR_A_LEADER: Duration = Duration::from_secs(10);
