//! A machine whose disk is put back to what it was: the others must not let its
//! node in, which knows nothing of what it has acknowledged and voted since.

use std::time::Duration;

use redoubt_log::id::LogIndex;

use super::machine::Machine;
use super::{Group, members};

/// How long the group must have been in order before the disk is put back.
const ORDER: Duration = Duration::from_millis(1500);
/// How long it is tried to bring it there.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the node is looked at that came back.
const LOOK: Duration = Duration::from_millis(3000);

/// Puts the disk of a machine back, looks on, and replaces it by a new machine.
pub(super) async fn old_disk(group: &Group, machine: Machine) {
    let main = group.main();
    let Some(then) = durable(&machine) else { return };
    let image = machine.image();
    main.rest(Duration::from_millis(main.pick(100..3000))).await;
    let Some(shown) = shown(group, &machine).await else { return };
    machine.kill(true);
    if !in_order(group, &machine).await {
        return machine.start();
    }
    machine.restore(&image);
    machine.start();
    machine.set_sick(true);
    main.rest(LOOK).await;
    if shown > then {
        judge(group, &machine, then, shown);
    }
    members::replace(group, machine).await;
}

fn durable(machine: &Machine) -> Option<LogIndex> {
    machine.running()?.log.last().map(|id| id.index)
}

/// The last entry that the others have surely seen on this machine: they ask twice
/// a second.
async fn shown(group: &Group, machine: &Machine) -> Option<LogIndex> {
    let status = machine.running()?.node.status();
    let shown = status.durable.map(|id| id.index).min(status.committed)?;
    group.main().rest(ORDER).await;
    Some(shown)
}

/// Waits until the others have a leader, and all that was acknowledged, for a while.
async fn in_order(group: &Group, without: &Machine) -> bool {
    let main = group.main();
    let end = main.elapsed() + PATIENCE;
    let mut since = main.elapsed();
    while main.elapsed() < end && group.ledger().broken().is_none() {
        let leads = group.leader().is_some_and(|leader| leader.id() != without.id());
        let floor = group.ledger().floor();
        let others = group.machines().into_iter().filter(|other| other.id() != without.id());
        let caught_up = others.into_iter().all(|m| m.running().is_some() && m.applied() >= floor);
        if !(leads && caught_up) {
            since = main.elapsed();
        }
        if main.elapsed() > since + ORDER {
            return true;
        }
        main.rest(Duration::from_millis(20)).await;
    }
    false
}

fn judge(group: &Group, machine: &Machine, then: LogIndex, shown: LogIndex) {
    let now = durable(machine);
    let leads = machine.running().is_some_and(|running| running.node.is_leader());
    let id = machine.id();
    if leads || now > Some(then) {
        let what = "came back with an older disk and was let in";
        group.ledger().violation(format!("node {id} {what}: {then}, it had {shown}, now {now:?}"));
    }
    group.ledger().count(|counts| counts.restored += 1);
}
