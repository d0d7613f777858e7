//! After the last fault: every node is there, has applied the same, and says so in the same bytes.

use std::io;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::check::{Checked, Verdict};
use crate::rig::Rig;
use crate::rig::members::Sight;

/// How long the nodes may take until all have applied the same.
const LEVEL: Duration = Duration::from_secs(60);
/// How often the hashes are asked for: a record may come between two nodes' answers.
const TRIES: u32 = 5;

/// Waits until all nodes have applied the same.
pub fn level(rig: &Rig) -> Checked {
    let deadline = Instant::now() + LEVEL;
    let mut before: Vec<Sight> = Vec::new();
    loop {
        let sights = rig.sights();
        let all = sights.len() == rig.numbers().len();
        let same = sights.iter().all(|sight| sight.applied == sights[0].applied);
        if all && same && before == sights {
            return judged("all nodes come to the same index", chains(&sights), sights.len());
        }
        if Instant::now() > deadline {
            let what = format!("not all nodes come to the same index: {sights:?}");
            return judged("all nodes come to the same index", vec![what], sights.len());
        }
        before = sights;
        std::thread::park_timeout(Duration::from_millis(300));
    }
}

fn chains(sights: &[Sight]) -> Vec<String> {
    let differ = sights.iter().filter(|sight| sight.chain != sights[0].chain);
    differ.map(|sight| format!("the chain heads differ: {sight:?} and {:?}", sights[0])).collect()
}

fn judged(name: &'static str, wrong: Vec<String>, looked: usize) -> Checked {
    let verdict = if wrong.is_empty() { Verdict::Valid } else { Verdict::Invalid(wrong) };
    Checked { name, verdict, counts: [("nodes".into(), looked as u64)].into() }
}

/// `redoubt check` on every node: nothing is found, and the state hashes at the same index are the
/// same.
pub fn checks(rig: &Rig) -> Vec<Checked> {
    let mut last = Vec::new();
    for _ in 0..TRIES {
        last = rig.numbers().into_iter().map(|node| (node, check(rig, node))).collect();
        let indexes = last.iter().filter_map(|(_, told)| told.as_ref().ok()?["index"].as_u64());
        let indexes: std::collections::BTreeSet<u64> = indexes.collect();
        if indexes.len() == 1 {
            break;
        }
    }
    vec![clean(&last), hashes(&last)]
}

type Told = (u32, io::Result<Value>);

fn check(rig: &Rig, node: u32) -> io::Result<Value> {
    let output = rig.node(node).verb(&["check", "--json"], "", Duration::from_secs(300))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_str(&text).map_err(|_| io::Error::other(format!("{text}{errors}")))
}

fn clean(told: &[Told]) -> Checked {
    let mut wrong = Vec::new();
    for (node, told) in told {
        match told {
            Err(error) => wrong.push(format!("node {node}: {error}")),
            Ok(report) => {
                let findings = report["findings"].as_array().into_iter().flatten();
                wrong.extend(findings.map(|finding| format!("node {node}: {finding}")));
            }
        }
    }
    judged("`redoubt check` finds nothing on any node", wrong, told.len())
}

fn hashes(told: &[Told]) -> Checked {
    let name = "state hashes are equal on all nodes";
    let at = |report: &Value| (report["index"].as_u64(), report["state_hash"].to_string());
    let known: Vec<_> = told.iter().filter_map(|(_, told)| told.as_ref().ok()).map(at).collect();
    let nodes: Vec<_> = told.iter().map(|(node, _)| node).zip(&known).collect();
    if known.len() < told.len() || known.iter().any(|(index, _)| *index != known[0].0) {
        let what = format!("not all told their hash at the same index: {nodes:?}");
        let counts = [("nodes".into(), known.len() as u64)].into();
        return Checked { name, verdict: Verdict::Unknown(vec![what]), counts };
    }
    let differ = known.iter().any(|(_, hash)| *hash != known[0].1);
    let wrong = differ.then(|| format!("the state hashes differ: {nodes:?}"));
    judged(name, wrong.into_iter().collect(), known.len())
}
