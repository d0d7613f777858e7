//! The rig itself: what its links do is what programs in its namespaces see, and nothing is left.
#![allow(clippy::unwrap_used)]

use std::process::Command;

const NO_NAMESPACES: i32 = 4;

#[test]
fn links_do_what_they_are_told_and_leave_nothing_behind() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_redoubt-jepsen")).arg("selftest").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.code() == Some(NO_NAMESPACES) {
        assert!(errors.contains("no namespaces"), "{errors}");
        return;
    }
    assert!(output.status.success(), "{said}{errors}");
    assert!(said.contains("healed links: 40 came back"), "{said}");
    let devices = std::fs::read_to_string("/proc/net/dev").unwrap();
    assert!(!devices.contains("rjpeer") && !devices.contains("rjrig"), "{devices}");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    assert!(!mounts.contains("redoubt-jepsen"), "{mounts}");
}
