//! Changes of the members, asked of whoever leads until they are done.

use std::collections::BTreeSet;
use std::time::Duration;

use redoubt_log::id::NodeId;
use redoubt_log::raft::{MembershipError, Node, Role};

use super::Group;
use super::machine::{Machine, address};

/// How long a change is tried.
const PATIENCE: Duration = Duration::from_secs(15);

type Done = Result<(), MembershipError>;

/// Hands leadership over.
pub(super) async fn transfer(group: &Group) {
    let Some(leader) = group.leader() else { return };
    let done = leader.with(|_, running| async move { running.node.transfer(None).await }).await;
    if done == Some(Ok(())) {
        group.ledger().count(|counts| counts.changes += 1);
    }
}

/// Adds a new machine, and gives it a vote.
pub(super) async fn add(group: &Group) {
    if group.machines().len() >= group.size().1 {
        return;
    }
    let light = group.main().pick(0..4) == 0;
    let machine = group.new_machine(light);
    machine.start();
    grow(group, &machine).await;
}

/// Adds a node and gives it a vote. Whether that was done.
pub(super) async fn grow(group: &Group, machine: &Machine) -> bool {
    let (id, light) = (machine.id(), machine.is_light());
    group.set_voters(None);
    let learner = move |node: Node| async move { node.add_learner(id, address(id), light).await };
    let grown = until_done(group, learner).await
        && until_done(group, move |node| async move { node.promote(id).await }).await;
    settle(group, grown);
    grown
}

/// Removes a node; its machine runs on for a while, and must serve nobody.
pub(super) async fn remove(group: &Group, machine: Machine) {
    let id = machine.id();
    if voters(group).is_none_or(|voters| voters.len() <= group.size().0 || !voters.contains(&id)) {
        return;
    }
    if take_away(group, &machine).await {
        group.main().rest(Duration::from_millis(group.main().pick(0..800))).await;
        group.scrap(&machine);
    }
}

/// Removes a node whose disk is not to be trusted; a new one takes its place.
pub(super) async fn replace(group: &Group, machine: Machine) {
    machine.kill(false);
    while !take_away(group, &machine).await {
        if group.ledger().broken().is_some() {
            return;
        }
    }
    group.scrap(&machine);
    let machine = group.new_machine(machine.is_light());
    machine.start();
    grow(group, &machine).await;
}

async fn take_away(group: &Group, machine: &Machine) -> bool {
    let id = machine.id();
    group.set_voters(None);
    let removed = until_done(group, move |node| async move { node.remove(id).await }).await;
    settle(group, removed);
    removed
}

fn settle(group: &Group, done: bool) {
    if done {
        group.ledger().count(|counts| counts.changes += 1);
        group.set_voters(voters(group));
    }
}

/// The voters, as the leader says.
fn voters(group: &Group) -> Option<BTreeSet<NodeId>> {
    let cluster = group.leader()?.running()?.node.cluster();
    let voters = cluster.members.iter().filter(|member| member.role != Role::Learner);
    Some(voters.map(|member| member.node).collect())
}

/// Whether it was done in time.
async fn until_done<F>(group: &Group, change: impl Fn(Node) -> F) -> bool
where
    F: Future<Output = Done> + Send + 'static,
{
    let end = group.main().elapsed() + PATIENCE;
    while group.main().elapsed() < end && group.ledger().broken().is_none() {
        if let Some(leader) = group.leader() {
            let asked = leader.with(|_, running| change(running.node)).await;
            match asked {
                Some(Ok(()) | Err(MembershipError::AlreadyMember(_))) => return true,
                Some(Err(MembershipError::UnknownNode(_))) => return true,
                _ => {}
            }
        }
        group.main().rest(Duration::from_millis(50)).await;
    }
    false
}
