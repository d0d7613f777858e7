//! A member's side: whoever shows a token gets an id from the log.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use redoubt_log::id::NodeId;
use redoubt_log::record::{Actor, Change, Done, NodeAdd};
use redoubt_store::rows::NodeRow;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::wire::{Answer, Grant, IdQuestion, Question, SeatQuestion, receive, send};
use crate::cluster::{Cluster, LeaderAnswer, LeaderWish, Refusal};
use crate::peers::Token;

/// How long a joiner may take to ask.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers those who want to join.
#[derive(Debug)]
pub struct JoinDesk {
    cluster: Cluster,
}

impl JoinDesk {
    /// Of this node.
    pub fn new(cluster: Cluster) -> Self {
        Self { cluster }
    }

    /// One question, one answer.
    pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        from: SocketAddr,
    ) {
        if let Err(error) = self.answer(&mut stream, from).await {
            tracing::warn!(%from, %error, "a node that wants to join has broken off");
        }
    }

    async fn answer<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        from: SocketAddr,
    ) -> io::Result<()> {
        let question = tokio::time::timeout(PATIENCE, receive(stream)).await??;
        let answered = match &question {
            Question::Id(question) => self.id(question, from).await,
            Question::Seat(question) => self.seat(question).await,
        };
        let answer = answered.unwrap_or_else(|refusal| not_so(&refusal));
        if let Answer::Refused(why) = &answer {
            tracing::warn!(%from, "a node that wants to join is refused: {why}");
        }
        send(stream, &answer).await?;
        stream.shutdown().await
    }

    async fn id(&self, question: &IdQuestion, from: SocketAddr) -> Result<Answer, Refusal> {
        let store = self.cluster.mailstore();
        let lineage = store.identity().lineage.clone();
        if question.lineage != lineage {
            return Err(Refusal::Refused(format!(
                "the token is for the cluster {}, this one is {lineage}",
                question.lineage
            )));
        }
        self.new_enough(question.level)?;
        let add = NodeAdd {
            token: Token::hash(&question.secret),
            joiner: question.joiner,
            address: question.address.clone(),
            light: question.light,
        };
        let actor = Actor { from: Some(from.ip()), ..Actor::SYSTEM };
        let added = self.cluster.submit(&actor, Change::NodeAdd(add)).await;
        let Done::Node(node) = added.map_err(another_token)? else {
            return Err(Refusal::Failed("the log gave no id".into()));
        };
        tracing::info!(%node, address = question.address, "a node joins");
        self.grant(node, lineage).await
    }

    fn new_enough(&self, level: u32) -> Result<(), Refusal> {
        let needed = self.cluster.node().cluster().level;
        match level < needed {
            true => Err(Refusal::Refused(format!(
                "the cluster is at level {needed}, that program supports {level} at most: install \
                 the version that the members run, and try again"
            ))),
            false => Ok(()),
        }
    }

    async fn grant(&self, node: NodeId, lineage: String) -> Result<Answer, Refusal> {
        let store = self.cluster.mailstore().clone();
        let secret = tokio::task::spawn_blocking(move || store.secret()).await;
        let secret = secret.map_err(|error| Refusal::Failed(error.to_string()))?;
        let secret = *secret.map_err(|error| Refusal::Failed(error.to_string()))?.bytes();
        let way = self.cluster.way()?;
        let others = self.cluster.node().cluster().members;
        let others = others.into_iter().map(|member| member.address);
        let mut members = vec![way.address.clone()];
        members.extend(others.filter(|address| !address.is_empty() && *address != way.address));
        let authority = way.tls.own_authority().map(crate::peers::Authority::to_pem);
        Ok(Answer::Id(Box::new(Grant { node, lineage, authority, secret, members })))
    }

    async fn seat(&self, question: &SeatQuestion) -> Result<Answer, Refusal> {
        let row = self.row(question.node).await?;
        if row.joiner != Some(question.joiner) {
            return Err(Refusal::Refused(format!("node {} is another one", question.node)));
        }
        if row.removed.is_some() {
            return Err(Refusal::Refused(format!(
                "node {} is removed: empty its data directory, and let it join with a new token",
                question.node
            )));
        }
        let (node, address, light) = (question.node, question.address.clone(), row.light);
        let wish = LeaderWish::Seat { node, address, light };
        match self.cluster.on_leader(&Actor::SYSTEM, wish).await? {
            LeaderAnswer::Seat { voter, lag } => Ok(Answer::Seat { voter, lag }),
            other => Err(Refusal::Failed(format!("the leader answered {other:?}"))),
        }
    }

    async fn row(&self, node: NodeId) -> Result<NodeRow, Refusal> {
        let unavailable = |error: String| Refusal::Unavailable(error);
        let view = self.cluster.mailstore().view().await;
        let view = view.map_err(|error| unavailable(error.to_string()))?;
        let read = tokio::task::spawn_blocking(move || view.nodes()).await;
        let read = read.map_err(|error| unavailable(error.to_string()))?;
        let nodes = read.map_err(|error| unavailable(error.to_string()))?;
        let row = nodes.into_iter().find(|(id, _)| *id == node).map(|(_, row)| row);
        row.ok_or_else(|| Refusal::Refused(format!("node {node} never got its id here")))
    }
}

/// What is refused about a token stays so.
fn another_token(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Refused(why) => {
            Refusal::Refused(format!("{why}; `redoubt cluster token` on a member makes another"))
        }
        other => other,
    }
}

fn not_so(refusal: &Refusal) -> Answer {
    match refusal {
        Refusal::Refused(why) | Refusal::NotFound(why) => Answer::Refused(why.clone()),
        Refusal::Failed(why) | Refusal::Unavailable(why) => Answer::Later(why.clone()),
        Refusal::NotLeader => Answer::Later("the leader changes".into()),
    }
}
