//! `.ci/install`: services that come with packages are started neither now nor
//! at the next boot, and whoever has decided about that before is obeyed.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Stand-ins for the system's own programs, which write down what they are asked.
struct Machine {
    home: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { home: tempfile::tempdir().unwrap() };
        let log = machine.path("log").display().to_string();
        let policy = machine.path("policy-rc.d").display().to_string();
        let done = machine.path("installed").display().to_string();
        // Asked for a service, a postinst of Debian's obeys what the policy's exit code says.
        let asked = format!("sh {policy} nginx start; echo policy $? >>{log}");
        let install = format!("case \"$*\" in *install*) {asked}; touch {done};; esac\n");
        machine.stand_in("apt-get", &format!("echo apt-get $1 >>{log}\n{install}"));
        let new = format!(
            "case \"$*\" in -W*Status*) exit 1;; -W*) echo bash; [ ! -e {done} ] || echo nginx;;\n\
             -L*) [ \"$*\" = '-L nginx' ] && printf '/usr/sbin/nginx\\n/lib/systemd/system/nginx.service\\n';; esac\n"
        );
        machine.stand_in("dpkg-query", &new);
        machine.stand_in("systemctl", &format!("echo systemctl $* >>{log}\n"));
        machine.stand_in("id", "echo 0\n");
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn stand_in(&self, name: &str, script: &str) {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{script}")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn install(&self) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/install");
        let path = format!("{}:/usr/bin:/bin", self.home.path().display());
        let mut command = Command::new(script);
        command.arg("nginx").env("PATH", path).env("POLICY_RC_D", self.path("policy-rc.d"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        fs::read_to_string(self.path("log")).unwrap()
    }
}

#[test]
fn services_are_not_started_and_the_policy_is_gone_afterwards() {
    let machine = Machine::new();
    let log = machine.install();
    assert!(log.contains("policy 101\n"), "services may start: {log}");
    assert!(log.contains("systemctl disable --quiet nginx.service\n"), "{log}");
    assert!(!machine.path("policy-rc.d").exists());
}

#[test]
fn a_policy_that_is_there_stays() {
    let machine = Machine::new();
    machine.stand_in("policy-rc.d", "exit 104\n");
    let log = machine.install();
    assert!(log.contains("policy 104\n"), "{log}");
    assert!(machine.path("policy-rc.d").exists());
}
