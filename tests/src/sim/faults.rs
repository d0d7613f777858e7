//! What goes wrong, by the seed, and is put right again.

use std::time::Duration;

use redoubt_log::world::sim::Host;

use super::Group;
use super::machine::Machine;

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
}

/// Those that one machine can suffer by itself.
pub const ALONE: [Fault; 10] = [
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
            machine.disk().fail_reads_of(if main.random() { "log" } else { "blobs" });
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
        }
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
