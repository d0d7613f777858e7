//! A server with some accounts, and a folder for what is written beside it.

use std::path::PathBuf;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::cluster::until;
use crate::imap::Imap;
use crate::messages::message;
use crate::process::Redoubt;

/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Redoubt,
    /// Its data directory is in it, and what tests write.
    pub folder: tempfile::TempDir,
}

impl Scene {
    /// A server with these accounts and their domains.
    pub fn of(accounts: &[&str]) -> Self {
        Self::with(accounts, &[])
    }

    /// The same with environment variables.
    pub fn with(accounts: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Redoubt::start_with(&folder.path().join("data"), environment);
        for account in accounts {
            server.domain(account.split_once('@').unwrap().1);
            server.account(account);
        }
        Self { server, folder }
    }

    /// The exit code, standard output and standard error.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        all(self.server.run(arguments))
    }

    /// The exit code, and all that was said.
    pub fn said(&self, arguments: &[&str]) -> (i32, String) {
        crate::cluster::said(&self.server.run(arguments))
    }

    /// Runs a verb that must end with this code; all that it said.
    pub fn code(&self, arguments: &[&str], code: i32) -> String {
        let (found, said) = self.said(arguments);
        assert_eq!(found, code, "{arguments:?}: {said}");
        assert!(code == 0 || code == 3 || !said.is_empty(), "{arguments:?} says nothing");
        said
    }

    /// The objects that a verb prints with `--json`, one a line.
    pub fn json(&self, arguments: &[&str]) -> Vec<Value> {
        let out = self.server.verb(&[arguments, &["--json"]].concat());
        out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A place in its folder, as path and as text.
    pub fn path(&self, name: &str) -> (PathBuf, String) {
        let path = self.folder.path().join(name);
        let text = path.display().to_string();
        (path, text)
    }

    /// A message for each token into an account's INBOX.
    pub fn fill(&self, account: &str, tokens: &[&str]) {
        let mut imap = Imap::login(self.server.imap(), account).unwrap();
        for token in tokens {
            assert!(imap.append("INBOX", "", &message(token, 600)).unwrap().is_ok());
        }
    }

    /// Expunges all of an account's INBOX.
    pub fn empty(&self, account: &str) {
        let mut imap = Imap::login(self.server.imap(), account).unwrap();
        imap.ok("SELECT INBOX").unwrap();
        imap.ok("STORE 1:* +FLAGS (\\Deleted)").unwrap();
        imap.ok("EXPUNGE").unwrap();
    }

    /// The newest index.
    pub fn applied(&self) -> u64 {
        self.json(&["status"])[0]["store"]["applied"].as_u64().unwrap()
    }

    /// The keys that sign heads, in a file.
    pub fn keys(&self) -> String {
        let (_, keys) = self.path("keys.txt");
        self.server.verb(&["audit", "keys", "--out", &keys]);
        keys
    }
}

/// Exit code, standard output and standard error of a verb.
pub fn all(output: Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Waits until a search or export of a server has ended; what it says then.
pub fn ended(server: &Redoubt, job: &str) -> Value {
    let mut last = Value::Null;
    let found = until(PATIENCE, || {
        let output = server.run(&["discover", "show", job, "--json"]);
        last = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let phase = last["phase"].as_str().unwrap_or_default();
        ["completed", "cancelled", "failed"].contains(&phase).then(|| last.clone())
    });
    found.unwrap_or_else(|| panic!("{job} has not ended: {last}"))
}
