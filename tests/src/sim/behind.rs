//! Nodes that come back when the log of the others begins behind what they have:
//! they need a snapshot, and may end again while it is on its way.

use std::time::Duration;

use super::Group;
use super::machine::Machine;

/// How long a node stays away at most.
const AWAY: Duration = Duration::from_secs(5);
/// How long a snapshot is waited for.
const PATIENCE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(4);

/// Keeps a machine off until the leader's log begins behind its own.
pub(super) async fn left_behind(group: &Group, machine: &Machine) {
    let last = machine.running().and_then(|running| running.log.last());
    machine.kill(group.main().random());
    until(group, AWAY, || {
        let leader = group.leader().filter(|leader| leader.id() != machine.id());
        let purged = leader.and_then(|leader| leader.running()?.node.status().purged);
        purged > last
    })
    .await;
    machine.start();
}

/// Ends a node to which a snapshot is on its way, some times, or has just come.
pub(super) async fn mid_snapshot(group: &Group, machine: &Machine) {
    let before = machine.installed();
    left_behind(group, machine).await;
    let main = group.main();
    if main.random() {
        until(group, PATIENCE, || machine.installed() > before).await;
        machine.kill(true);
        main.rest(Duration::from_millis(main.pick(0..400))).await;
        return machine.start();
    }
    for _ in 0..main.pick(1..4) {
        until(group, PATIENCE, || machine.is_fetching()).await;
        main.rest(Duration::from_millis(main.pick(0..300))).await;
        if !machine.is_fetching() {
            return;
        }
        if main.random() {
            machine.set_sick(true);
            machine.disk().power_off_after(main.pick(1..8));
            main.rest(Duration::from_millis(main.pick(1..60))).await;
        }
        group.ledger().count(|counts| counts.interrupted += 1);
        machine.kill(main.random());
        main.rest(Duration::from_millis(main.pick(0..400))).await;
        machine.start();
    }
}

async fn until(group: &Group, time: Duration, done: impl Fn() -> bool) {
    let main = group.main();
    let end = main.elapsed() + time;
    while main.elapsed() < end && !done() && !group.is_over() {
        main.rest(LOOK).await;
    }
}
