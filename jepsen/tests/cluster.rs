//! A short run of everything: three nodes, all workloads, each fault at least once.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// A fixed seed: what the nodes make of it differs all the same from run to run.
const SEED: &str = "20261122";
/// Other tests run beside it: a node that is killed may need most of a minute to start again.
const PATIENCE: &str = "240";

#[test]
fn three_nodes_keep_their_promises_under_every_fault() {
    let time = std::env::var("REDOUBT_JEPSEN_TIME").unwrap_or("110".into());
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("jepsen");
    let mut command = Command::new(env!("CARGO_BIN_EXE_redoubt-jepsen"));
    command.args(["run", "--nodes", "3", "--time", &time, "--seed", SEED, "--patience", PATIENCE]);
    command.arg("--out").arg(&out);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{}: {said}\n{errors}\n{}", output.status, out.display());
    assert!(said.ends_with("\nvalid\n"), "{said}");
    let namespaces = said.contains("on network namespaces");
    assert!(!namespaces || !said.contains("not tried"), "{said}");
    let page = std::fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("<svg") && page.contains("Faults by kind"));
}
