//! What goes wrong, by the seed, and is put right again.

use std::time::Duration;

use redoubt_log::id::NodeId;
use redoubt_log::world::sim::Host;

use super::machine::Machine;
use super::{Group, behind, levels, members, restored};

/// A kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The process of one node is killed.
    Kill,
    /// The power of one node goes off.
    PowerOff,
    /// The power of one node goes off in the middle of some write or sync.
    PowerOffMidway,
    /// The power of all goes off.
    AllOff,
    /// A node stands still.
    Pause,
    /// A disk takes long for a sync.
    SlowDisk,
    /// A sync fails.
    FailedSync,
    /// Reads of a node's files fail.
    FailedReads,
    /// A disk has little room left.
    FullDisk,
    /// A clock is set.
    Clock,
    /// Some nodes do not reach the others.
    Partition,
    /// The leader does not reach the others, or is not reached by them.
    LeaderCut,
    /// Links carry in one direction only, or not at all, each by chance.
    Ragged,
    /// Everything takes long.
    Delay,
    /// Connections break.
    Broken,
    /// Leadership is handed over.
    Transfer,
    /// A node is added.
    Add,
    /// A node is removed for good.
    Remove,
    /// A node is away until the others' logs begin behind what it has.
    LeftBehind,
    /// A node ends while a snapshot is on its way to it.
    MidSnapshot,
    /// The disk of a node is put back to what it was some time ago.
    OldDisk,
    /// A node gets a newer program.
    Upgrade,
    /// A node gets the program of the release before.
    Downgrade,
}

/// Those that one machine can suffer by itself.
pub(super) const ALONE: [Fault; 10] = [
    Fault::Kill,
    Fault::PowerOff,
    Fault::PowerOffMidway,
    Fault::AllOff,
    Fault::Pause,
    Fault::SlowDisk,
    Fault::FailedSync,
    Fault::FailedReads,
    Fault::FullDisk,
    Fault::Clock,
];

/// Those of a group whose members stay.
pub(super) const TOGETHER: [Fault; 20] = [
    Fault::Kill,
    Fault::Kill,
    Fault::PowerOff,
    Fault::PowerOff,
    Fault::PowerOffMidway,
    Fault::AllOff,
    Fault::Pause,
    Fault::Pause,
    Fault::SlowDisk,
    Fault::FailedSync,
    Fault::FailedReads,
    Fault::FullDisk,
    Fault::Clock,
    Fault::Partition,
    Fault::Partition,
    Fault::LeaderCut,
    Fault::Ragged,
    Fault::Delay,
    Fault::Broken,
    Fault::Transfer,
];

/// Those after which somebody is elected.
pub(super) const VOTES: [Fault; 6] = [
    Fault::Kill,
    Fault::PowerOff,
    Fault::AllOff,
    Fault::LeaderCut,
    Fault::Partition,
    Fault::Transfer,
];

/// Those of a group whose members change.
pub(super) const CHANGING: [Fault; 12] = [
    Fault::Add,
    Fault::Add,
    Fault::Remove,
    Fault::Remove,
    Fault::Transfer,
    Fault::Kill,
    Fault::PowerOff,
    Fault::Pause,
    Fault::Partition,
    Fault::LeaderCut,
    Fault::Delay,
    Fault::Broken,
];

/// Those of a group that purges its log.
pub(super) const PURGING: [Fault; 16] = [
    Fault::LeftBehind,
    Fault::LeftBehind,
    Fault::MidSnapshot,
    Fault::MidSnapshot,
    Fault::MidSnapshot,
    Fault::Kill,
    Fault::PowerOff,
    Fault::PowerOffMidway,
    Fault::AllOff,
    Fault::Pause,
    Fault::FailedReads,
    Fault::FullDisk,
    Fault::Partition,
    Fault::LeaderCut,
    Fault::Broken,
    Fault::Transfer,
];

/// Those of a group in which disks are put back.
pub(super) const PUT_BACK: [Fault; 8] = [
    Fault::OldDisk,
    Fault::OldDisk,
    Fault::OldDisk,
    Fault::Kill,
    Fault::PowerOff,
    Fault::Partition,
    Fault::Broken,
    Fault::Transfer,
];

/// Those of a group of different releases.
pub(super) const RELEASES: [Fault; 12] = [
    Fault::Upgrade,
    Fault::Upgrade,
    Fault::Downgrade,
    Fault::Kill,
    Fault::PowerOff,
    Fault::PowerOffMidway,
    Fault::Pause,
    Fault::Partition,
    Fault::LeaderCut,
    Fault::Broken,
    Fault::Delay,
    Fault::Transfer,
];

/// Makes faults of these kinds until the run is over.
pub(super) async fn trouble(group: Group, kinds: &'static [Fault]) {
    let main = group.main().clone();
    loop {
        main.rest(Duration::from_millis(main.pick(20..900))).await;
        if group.is_over() || kinds.is_empty() {
            return;
        }
        let kind = kinds[main.pick(0..kinds.len() as u64) as usize];
        let machines = group.machines();
        let machine = machines[main.pick(0..machines.len() as u64) as usize].clone();
        group.saw(kind);
        super::tell(|| format!("{:?} {kind:?} {}", main.elapsed(), machine.id()));
        one(&group, &main, machine, kind).await;
    }
}

async fn one(group: &Group, main: &Host, machine: Machine, kind: Fault) {
    match kind {
        Fault::Kill => off(main, &machine, false).await,
        Fault::PowerOff => off(main, &machine, true).await,
        Fault::PowerOffMidway => {
            machine.set_sick(true);
            machine.disk().power_off_after(main.pick(1..12));
            main.rest(Duration::from_millis(main.pick(1..100))).await;
            off(main, &machine, true).await;
        }
        Fault::AllOff => all_off(main, group).await,
        Fault::Pause => {
            let host = machine.host();
            host.pause(true);
            main.rest(Duration::from_millis(main.pick(50..2500))).await;
            host.pause(false);
        }
        Fault::SlowDisk => {
            machine.host().set_sync_time(20..main.pick(40..1500));
            main.rest(Duration::from_millis(main.pick(100..1500))).await;
            machine.host().set_sync_time(0..4);
        }
        Fault::FailedSync => {
            machine.set_sick(true);
            machine.disk().fail_syncs_after(main.pick(0..3));
            main.rest(Duration::from_millis(main.pick(50..500))).await;
            off(main, &machine, true).await;
        }
        Fault::FailedReads => {
            machine.set_sick(true);
            let part = ["log", "blobs", "base"].into_iter().nth(main.pick(0..3) as usize);
            machine.disk().fail_reads_of(part.unwrap_or("log"));
            main.rest(Duration::from_millis(main.pick(50..500))).await;
            off(main, &machine, false).await;
        }
        Fault::FullDisk => {
            machine.disk().set_room(main.pick(0..200_000));
            main.rest(Duration::from_millis(main.pick(100..2000))).await;
            machine.disk().set_total(1 << 40);
        }
        Fault::Clock => {
            let ahead = main.pick(0..7_200_000) as i64 - 3_600_000;
            machine.host().set_clock_ahead(ahead);
            main.rest(Duration::from_millis(main.pick(0..1000))).await;
            machine.host().set_clock_ahead(0);
        }
        Fault::Partition | Fault::LeaderCut | Fault::Ragged | Fault::Delay | Fault::Broken => {
            links(group, main, machine, kind).await;
        }
        Fault::Transfer => members::transfer(group).await,
        Fault::Add => members::add(group).await,
        Fault::Remove => members::remove(group, machine).await,
        Fault::LeftBehind => behind::left_behind(group, &machine).await,
        Fault::MidSnapshot => behind::mid_snapshot(group, &machine).await,
        Fault::OldDisk => restored::old_disk(group, machine).await,
        Fault::Upgrade => levels::upgrade(group, &machine).await,
        Fault::Downgrade => levels::downgrade(group, &machine).await,
    }
}

async fn off(main: &Host, machine: &Machine, power: bool) {
    machine.kill(power);
    main.rest(Duration::from_millis(main.pick(0..1200))).await;
    machine.start();
}

async fn all_off(main: &Host, group: &Group) {
    let machines = group.machines();
    machines.iter().for_each(|machine| machine.kill(true));
    for machine in machines {
        main.rest(Duration::from_millis(main.pick(0..300))).await;
        machine.start();
    }
}

async fn links(group: &Group, main: &Host, machine: Machine, kind: Fault) {
    let Some(net) = group.net() else { return };
    let nodes: Vec<_> = group.machines().iter().map(Machine::id).collect();
    let pairs = nodes.iter().flat_map(|a| nodes.iter().map(move |b| (*a, *b)));
    let leader = group.leader().map_or(machine.id(), |leader| leader.id());
    let (mask, direction) = (main.random::<u64>(), main.pick(0..3));
    let side = |node: NodeId| mask >> (node.0 % 64) & 1;
    for (a, b) in pairs.filter(|(a, b)| a != b) {
        let cut = match kind {
            Fault::Partition => side(a) != side(b),
            Fault::LeaderCut => (a == leader && direction != 0) || (b == leader && direction != 1),
            Fault::Ragged => main.pick(0..3) == 0,
            _ => false,
        };
        if cut {
            net.cut(a, b);
        }
    }
    match kind {
        Fault::Delay => net.set_delay(10..main.pick(20..700)),
        Fault::Broken => net.break_some(machine.id()),
        _ => {}
    }
    main.rest(Duration::from_millis(main.pick(50..2500))).await;
    net.mend();
}
