//! What the leader does, and what it refuses to do.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::NodeId;
use redoubt_log::raft::{MembershipError, Role};
use redoubt_log::record::{Actor, Change, NodeRemove, Version};

use super::wire::{LeaderAnswer, LeaderCall, LeaderWish};
use super::{Cluster, ClusterBody, MemberLine, Refusal};

/// How long a leader listens for those that it has not heard.
const LISTEN: Duration = Duration::from_secs(3);
/// A member that is so many records behind leads only after a pause.
const FAR_BEHIND: u64 = 10_000;

/// How far a clock may be from the leader's, in milliseconds.
const CLOCKS_MS: i64 = 2000;

/// Nodes that are on their way to a vote, each with why the last try failed.
#[derive(Debug, Default)]
pub(super) struct Seats {
    trying: Mutex<HashMap<NodeId, Option<String>>>,
    turn: tokio::sync::Mutex<()>,
    /// Who joins, one at a time; the members can be changed in other ways meanwhile, since it may
    /// take long, and must not keep a learner from being removed.
    joining: tokio::sync::Mutex<()>,
}

impl Cluster {
    /// Does a wish as the leader.
    pub(super) async fn lead(&self, call: &LeaderCall) -> Result<LeaderAnswer, Refusal> {
        if !self.node().is_leader() || !self.look().has_majority() {
            return Err(Refusal::NotLeader);
        }
        match &call.wish {
            LeaderWish::Look => Ok(LeaderAnswer::Cluster(Box::new(self.look()))),
            LeaderWish::Seat { node, address, light } => self.seat(*node, address, *light),
            LeaderWish::Transfer { to } => self.hand_over(*to).await,
            LeaderWish::Remove { node } => self.take_out(&call.actor, *node).await,
            LeaderWish::Finalize => self.raise_level(&call.actor).await,
        }
    }

    /// The cluster as this node alone sees it.
    pub(super) fn look(&self) -> ClusterBody {
        ClusterBody::of(&self.node().cluster(), &self.0.mailstore.identity().lineage)
    }

    /// A change of the members, one at a time.
    fn turn(&self) -> Result<tokio::sync::MutexGuard<'_, ()>, Refusal> {
        let busy = "another change of the members is under way: `redoubt cluster status` shows it";
        self.0.seats.turn.try_lock().map_err(|_| Refusal::Refused(busy.into()))
    }

    // -------------------------------------------------------------- joining

    /// Brings a node to its vote behind the scene, and says how far it is.
    fn seat(&self, node: NodeId, address: &str, light: bool) -> Result<LeaderAnswer, Refusal> {
        let cluster = self.node().cluster();
        let member = cluster.member(node);
        if member.is_some_and(|member| member.role != Role::Learner) {
            self.0.seats.trying.lock().remove(&node);
            return Ok(LeaderAnswer::Seat { voter: true, lag: Some(0) });
        }
        let lag = member.and_then(|member| member.lag_records);
        let mut trying = self.0.seats.trying.lock();
        match trying.get(&node) {
            Some(None) => {}
            Some(Some(_)) => {
                let why = trying.remove(&node).flatten().unwrap_or_default();
                return Err(Refusal::Unavailable(why));
            }
            None => {
                trying.insert(node, None);
                let (cluster, address) = (self.clone(), address.to_owned());
                tokio::spawn(async move { cluster.bring(node, address, light).await });
            }
        }
        Ok(LeaderAnswer::Seat { voter: false, lag })
    }

    async fn bring(self, node: NodeId, address: String, light: bool) {
        let _turn = self.0.seats.joining.lock().await;
        let done = self.learn_and_vote(node, address, light).await;
        let mut trying = self.0.seats.trying.lock();
        match done {
            Ok(()) => drop(trying.remove(&node)),
            Err(error) => {
                tracing::warn!(%node, "a node that joins has no vote yet: {error}");
                trying.insert(node, Some(error.to_string()));
            }
        }
    }

    async fn learn_and_vote(
        &self,
        node: NodeId,
        address: String,
        light: bool,
    ) -> Result<(), MembershipError> {
        let cluster = self.node().cluster();
        if cluster.member(node).is_none_or(|member| member.role == Role::Learner) {
            self.remember_others().await.map_err(MembershipError::Stopped)?;
            self.node().add_learner(node, address, light).await?;
            tracing::info!(%node, light, "a node that joins has the log");
        }
        self.node().promote(node).await?;
        tracing::info!(%node, light, "a node has joined and votes");
        Ok(())
    }

    async fn remember_others(&self) -> Result<(), String> {
        let store = self.mailstore().clone();
        let done = tokio::task::spawn_blocking(move || store.has_others()).await;
        done.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    // ------------------------------------------------------------- transfer

    async fn hand_over(&self, to: Option<NodeId>) -> Result<LeaderAnswer, Refusal> {
        let _turn = self.turn()?;
        match to {
            Some(node) if node == self.id() => return Ok(LeaderAnswer::Leader(node)),
            Some(node) => self.soon(|look| may_lead(look, node)).await?,
            None => self.soon(|look| another_may_lead(look, self.id())).await?,
        }
        let done = self.node().transfer(to).await;
        match (done, self.node().leader().filter(|now| *now != self.id())) {
            (_, Some(now)) if to.is_none_or(|to| to == now) => Ok(LeaderAnswer::Leader(now)),
            // Another was faster than the one that was meant: it can hand over to that one.
            (_, Some(_)) => Err(Refusal::NotLeader),
            (Ok(()), None) => to.map(LeaderAnswer::Leader).ok_or(Refusal::NotLeader),
            (Err(error), None) => Err(refused(error)),
        }
    }

    // --------------------------------------------------------------- remove

    async fn take_out(&self, actor: &Actor, node: NodeId) -> Result<LeaderAnswer, Refusal> {
        let _turn = self.turn()?;
        if self.look().member(node).is_some() {
            self.soon(|look| may_go(look, node)).await?;
            if node == self.id() {
                return self.leave().await;
            }
            self.node().remove(node).await.map_err(refused)?;
        }
        self.submit(actor, Change::NodeRemove(NodeRemove { node })).await?;
        Ok(LeaderAnswer::Done)
    }

    /// A new leader has not heard everybody yet, nor anyone a node that has just started: it
    /// listens before it refuses.
    async fn soon(&self, may: impl Fn(&ClusterBody) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let deadline = tokio::time::Instant::now() + LISTEN;
        loop {
            match may(&self.look()) {
                Err(Refusal::Refused(_)) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(LISTEN / 20).await;
                }
                other => return other,
            }
        }
    }

    /// Who is to go does not do it itself: the next leader takes the wish up.
    async fn leave(&self) -> Result<LeaderAnswer, Refusal> {
        self.node().transfer(None).await.map_err(refused)?;
        Err(Refusal::NotLeader)
    }

    // ------------------------------------------------------------- finalize

    async fn raise_level(&self, actor: &Actor) -> Result<LeaderAnswer, Refusal> {
        let look = self.look();
        let level = common_level(&look)?;
        if level > look.level {
            self.submit(actor, Change::Version(Version { apply: level })).await?;
        }
        Ok(LeaderAnswer::Level(level))
    }
}

/// What is said of a node that nobody knows.
pub(crate) fn not_a_member(node: NodeId) -> String {
    format!("node {node} is not a member: `redoubt cluster status` shows who is")
}

fn refused(error: MembershipError) -> Refusal {
    use MembershipError as E;
    let text = error.to_string();
    match error {
        E::NotLeader { .. } => Refusal::NotLeader,
        E::UnknownNode(node) => Refusal::NotFound(not_a_member(node)),
        E::Unreachable { .. } | E::Unknown(_) | E::Stopped(_) => Refusal::Failed(text),
        _ => Refusal::Refused(text),
    }
}

/// Whether a member could lead without a pause.
fn may_lead(look: &ClusterBody, node: NodeId) -> Result<(), Refusal> {
    let member = look.member(node).ok_or_else(|| Refusal::NotFound(not_a_member(node)))?;
    let why = match member {
        m if !m.votes() => "has no vote yet: wait until it has caught up".to_owned(),
        m if m.light => "is a light voter: it has no views and serves nobody".to_owned(),
        m if !m.runs() => "is not heard: start it, or look at the network".to_owned(),
        m if m.lag_records.is_some_and(|lag| lag > FAR_BEHIND) => {
            let lag = m.lag_records.unwrap_or_default();
            format!("is {lag} records behind: wait until it has caught up")
        }
        m if m.growth_allowed == Some(false) => "has a full disk: free some space there".to_owned(),
        m if far_off(look, m) => "has a clock that is far from the leader's: set it (NTP)".into(),
        _ => return Ok(()),
    };
    Err(Refusal::Refused(format!("node {node} cannot lead: it {why}")))
}

/// Whether another than this one could lead without a pause.
fn another_may_lead(look: &ClusterBody, node: NodeId) -> Result<(), Refusal> {
    let mut others = look.members.iter().filter(|member| member.node != node);
    let none = "no other voter could lead now: `redoubt cluster status` shows why";
    match others.any(|member| may_lead(look, member.node).is_ok()) {
        true => Ok(()),
        false => Err(Refusal::Refused(none.into())),
    }
}

/// Whether a member's clock is not the leader's, and the leader's is right as far as it knows.
fn far_off(look: &ClusterBody, member: &MemberLine) -> bool {
    let far = |m: &MemberLine| m.clock_offset_ms.is_some_and(|ms| ms.abs() > CLOCKS_MS);
    let others = look.members.iter().filter(|other| other.votes() && other.node != member.node);
    far(member) && !others.into_iter().any(far)
}

/// Whether those who stay can decide without it.
fn may_go(look: &ClusterBody, node: NodeId) -> Result<(), Refusal> {
    let stay: Vec<&MemberLine> =
        look.members.iter().filter(|member| member.votes() && member.node != node).collect();
    let running = stay.iter().filter(|member| member.runs()).count();
    if stay.iter().all(|member| member.light) {
        return Err(Refusal::Refused(format!(
            "without node {node} nobody is left who serves: let another full node join first"
        )));
    }
    if running * 2 <= stay.len() {
        return Err(Refusal::Refused(format!(
            "without node {node} only {running} of {} voters would run, which is no majority: \
             start the others first, or let a new node join",
            stay.len()
        )));
    }
    Ok(())
}

/// What every member supports.
fn common_level(look: &ClusterBody) -> Result<u32, Refusal> {
    let unknown: Vec<String> = look
        .members
        .iter()
        .filter(|member| member.level.is_none() || !member.runs())
        .map(|member| member.node.to_string())
        .collect();
    if !unknown.is_empty() {
        return Err(Refusal::Refused(format!(
            "node {} does not answer, so nobody knows what it supports: start it, or remove it",
            unknown.join(", ")
        )));
    }
    let lowest = look.members.iter().filter_map(|member| member.level).min();
    let lowest = lowest.unwrap_or(look.level).max(look.level);
    let newest = look.members.iter().filter_map(|member| member.level).max().unwrap_or(lowest);
    if lowest == look.level && newest > lowest {
        let old = look.members.iter().filter(|member| member.level == Some(lowest));
        let old: Vec<String> = old.map(|member| member.node.to_string()).collect();
        return Err(Refusal::Refused(format!(
            "node {} runs an older version that knows level {lowest} only: upgrade it first",
            old.join(", ")
        )));
    }
    Ok(lowest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Part;
    use super::*;

    fn member(node: u64, role: Part) -> MemberLine {
        MemberLine {
            node: NodeId(node),
            address: format!("host{node}:7072"),
            role,
            light: false,
            matched: Some(100),
            applied: Some(100),
            lag_records: Some(0),
            lag_seconds: Some(0.0),
            last_contact_seconds: Some(0.1),
            incarnation: Some(1),
            level: Some(2),
            version: None,
            clock_offset_ms: Some(0),
            disk_free_bytes: None,
            growth_allowed: Some(true),
            trouble: None,
            alarms: Vec::new(),
        }
    }

    fn three() -> ClusterBody {
        ClusterBody {
            cluster: "c".into(),
            node: NodeId(1),
            term: 1,
            leader: Some(NodeId(1)),
            level: 2,
            next_level: None,
            changing: false,
            members: vec![member(1, Part::Leader), member(2, Part::Voter), member(3, Part::Voter)],
        }
    }

    fn with(node: u64, change: impl FnOnce(&mut MemberLine)) -> ClusterBody {
        let mut look = three();
        change(look.members.iter_mut().find(|member| member.node.0 == node).unwrap());
        look
    }

    fn why<T: std::fmt::Debug>(refused: Result<T, Refusal>) -> String {
        refused.unwrap_err().to_string()
    }

    #[test]
    fn who_lags_is_light_or_silent_does_not_lead() {
        assert_eq!(may_lead(&three(), NodeId(2)), Ok(()));
        type Spoil = fn(&mut MemberLine);
        let cases: [(&str, Spoil); 6] = [
            ("20000 records", |m| m.lag_records = Some(20_000)),
            ("light", |m| m.light = true),
            ("not heard", |m| m.last_contact_seconds = Some(9.0)),
            ("no vote", |m| m.role = Part::Learner),
            ("full disk", |m| m.growth_allowed = Some(false)),
            ("clock", |m| m.clock_offset_ms = Some(-5000)),
        ];
        for (expected, change) in cases {
            let why = why(may_lead(&with(2, change), NodeId(2)));
            assert!(why.contains(expected), "{why}");
        }
        assert!(matches!(may_lead(&three(), NodeId(9)), Err(Refusal::NotFound(_))));
    }

    #[test]
    fn a_removal_leaves_a_majority_that_runs_and_serves() {
        assert_eq!(may_go(&three(), NodeId(1)), Ok(()));
        let silent = with(3, |m| m.last_contact_seconds = None);
        assert_eq!(may_go(&silent, NodeId(3)), Ok(()), "the one that is gone may go");
        assert!(why(may_go(&silent, NodeId(2))).contains("only 1 of 2"));
        let mut one = three();
        one.members.truncate(1);
        assert!(may_go(&one, NodeId(1)).is_err());
        let mut light = with(3, |m| m.light = true);
        light.members.remove(1);
        assert!(why(may_go(&light, NodeId(1))).contains("who serves"));
    }

    #[test]
    fn all_must_answer_and_support_the_level() {
        assert_eq!(common_level(&three()), Ok(2), "nothing to do is no error");
        let mut newer = three();
        newer.members.iter_mut().for_each(|m| m.level = Some(3));
        assert_eq!(common_level(&newer), Ok(3));
        assert!(why(common_level(&with(1, |m| m.level = Some(3)))).contains("node 2, 3 runs"));
        assert!(why(common_level(&with(3, |m| m.level = None))).contains("node 3 does not answer"));
    }
}
