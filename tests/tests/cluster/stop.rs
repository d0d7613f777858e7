//! Nodes are stopped in the midst of their work, and end well each time.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;

use redoubt_tests::cluster::Cluster;
use redoubt_tests::lmtp::Lmtp;
use redoubt_tests::messages::message;

use super::mail::{ALICE, alice, all_agree, set};

/// Something is going on all the time: checkpoints, replicas compared at each, purging.
const BUSY: [(&str, &str); 3] = [
    ("REDOUBT_STORE_KEEP_LOG", "checkpoint"),
    ("REDOUBT_STORE_CHECKPOINT_RECORDS", "10"),
    ("REDOUBT_STORE_SCRUB_HOURS", "1"),
];
/// How often a node is stopped.
const ROUNDS: usize = 6;

/// Where nodes take mail, and what was taken.
#[derive(Debug)]
struct Mail {
    nodes: Mutex<Vec<SocketAddr>>,
    taken: Mutex<Vec<String>>,
    end: AtomicBool,
}

impl Mail {
    /// Delivers to a node until the end, whatever becomes of the node meanwhile.
    fn deliver_to<'s>(&'s self, scope: &'s Scope<'s, '_>, n: usize) {
        scope.spawn(move || {
            for round in 0.. {
                if self.end.load(Ordering::Relaxed) {
                    return;
                }
                let address = self.nodes.lock().unwrap()[n];
                drop(self.connection(address, n, round));
            }
        });
    }

    fn connection(&self, address: SocketAddr, n: usize, round: u64) -> std::io::Result<()> {
        let mut lmtp = Lmtp::connect(address)?;
        for number in 0.. {
            let token = format!("{n} {round} {number}");
            let answers = lmtp.deliver("s@example.net", &[ALICE], &message(&token, 2000))?;
            if answers[0].code != 250 {
                return Ok(());
            }
            self.taken.lock().unwrap().push(token);
            if self.end.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Waits until so many more were taken.
    fn goes_on(&self, more: usize) {
        let until = self.taken.lock().unwrap().len() + more;
        let there = || (self.taken.lock().unwrap().len() >= until).then_some(());
        let found = redoubt_tests::cluster::until(redoubt_tests::cluster::PATIENCE, there);
        assert!(found.is_some(), "deliveries do not go on");
    }
}

#[test]
fn a_node_that_is_stopped_under_load_ends_well() {
    let mut cluster = Cluster::with(3, &BUSY);
    alice(&cluster);
    let nodes = Mutex::new((0..3).map(|n| cluster.node(n).lmtp()).collect());
    let mail = Mail { nodes, taken: Mutex::default(), end: AtomicBool::new(false) };
    std::thread::scope(|scope| {
        (0..3).for_each(|n| mail.deliver_to(scope, n));
        for round in 0..ROUNDS {
            mail.goes_on(12);
            let stopped = if round % 2 == 0 { cluster.leader() } else { cluster.follower() };
            // Asserts that it ends with 0.
            cluster.node_mut(stopped).stop();
            let log = std::fs::read_to_string(cluster.node(stopped).log_file()).unwrap();
            let last = log.lines().last().unwrap_or_default();
            assert!(last.contains("stopped sessions_cut_off"), "round {round}: {last}");
            cluster.node_mut(stopped).start_again();
            mail.nodes.lock().unwrap()[stopped] = cluster.node(stopped).lmtp();
        }
        mail.end.store(true, Ordering::Relaxed);
    });
    let taken = mail.taken.into_inner().unwrap();
    let shown = set(&taken);
    all_agree_at_least(&cluster, &shown);
}

/// What had no answer may be there or not.
fn all_agree_at_least(cluster: &Cluster, taken: &std::collections::BTreeSet<String>) {
    cluster.caught_up();
    let shown = super::mail::tokens(cluster, cluster.leader());
    let lost: Vec<_> = taken.difference(&shown).collect();
    assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
    all_agree(cluster, &shown);
}
