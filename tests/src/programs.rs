//! Real clients and servers from Debian's packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::process::Redoubt;

/// No program may take longer.
const TIMEOUT: Duration = Duration::from_secs(120);

/// A server with `alice@example.org` and `bob@example.org`, and a home for the program under test.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Redoubt,
    home: tempfile::TempDir,
}

impl Scene {
    /// A fresh server.
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let server = Redoubt::start(&home.path().join("data"));
        server.domain("example.org");
        server.account("alice@example.org");
        server.account("bob@example.org");
        Self { server, home }
    }

    /// The program's home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file below the home; its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Runs a program to its end; it is killed when it takes too long.
    pub fn try_run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new("timeout")
            .args(["--kill-after=5", &TIMEOUT.as_secs().to_string(), program])
            .args(arguments)
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .env("XDG_DATA_HOME", self.home().join(".local/share"))
            .env("TERM", "xterm")
            .current_dir(self.home())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; `make setup-test` installs it"))
    }

    /// Runs a program that must succeed; its standard output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}
