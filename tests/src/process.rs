//! A real `redoubt` process on free loopback ports, killed for real.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The program under test: beside the test's own binary in the target directory.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("REDOUBT_BINARY") {
        return path.into();
    }
    let test = std::env::current_exe().expect("the test's own path");
    let mut folders = test.ancestors().skip(1).map(|folder| folder.join("redoubt"));
    folders.find(|path| path.is_file()).expect("redoubt is not built: run `cargo build` first")
}

/// A server over one data directory.
#[derive(Debug)]
pub struct Redoubt {
    data: PathBuf,
    child: Option<Child>,
    listen: BTreeMap<String, Vec<String>>,
    environment: Vec<(String, String)>,
    serve: Vec<String>,
    paused: bool,
}

impl Redoubt {
    /// Starts a server and waits until it is ready.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with environment variables, which override the configuration.
    pub fn start_with(data: &Path, environment: &[(&str, &str)]) -> Self {
        let mut server = Self::prepare(data, environment, &[]);
        server.start_again();
        server
    }

    /// One that is not started yet, with arguments for `serve`.
    pub fn prepare(data: &Path, environment: &[(&str, &str)], serve: &[&str]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_string(), (*value).to_string());
        Self {
            data: data.into(),
            child: None,
            listen: BTreeMap::new(),
            environment: environment.iter().map(own).collect(),
            serve: serve.iter().map(ToString::to_string).collect(),
            paused: false,
        }
    }

    /// Other arguments for `serve`, from the next start on.
    pub fn serve_with(&mut self, arguments: &[&str]) {
        self.serve = arguments.iter().map(ToString::to_string).collect();
    }

    /// An environment variable that it was given.
    pub fn setting(&self, name: &str) -> &str {
        let found = self.environment.iter().find(|(known, _)| known == name);
        found.map_or_else(|| panic!("{name} is not set"), |(_, value)| value)
    }

    /// An environment variable from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.into(), value.into()));
    }

    /// Starts it over the same data directory.
    pub fn start_again(&mut self) {
        if let Err(error) = self.try_start_again() {
            panic!("{error}");
        }
    }

    /// SIGKILL after this long in the middle of a start, or when it is ready.
    pub fn start_and_kill(&self, after: Duration) {
        let mut child = self.spawn();
        std::thread::park_timeout(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn spawn(&self) -> Child {
        self.spawn_to(Stdio::piped())
    }

    fn spawn_to(&self, output: Stdio) -> Child {
        let mut options = std::fs::OpenOptions::new();
        let errors = options.create(true).append(true).open(self.log_file()).unwrap();
        let serve = self.serve.iter().map(String::as_str);
        let arguments: Vec<&str> = ["serve", "--json"].into_iter().chain(serve).collect();
        let mut command = self.command(&arguments);
        command.stdout(output).stderr(errors).spawn().expect("redoubt starts")
    }

    /// Like [`Redoubt::start_again`], with what it said when it does not start.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        std::fs::create_dir_all(&self.data).unwrap();
        let log = self.log_file();
        let mut child = self.spawn();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let Ok(ready) = serde_json::from_str::<serde_json::Value>(&line) else {
            child.wait().unwrap();
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            return Err(format!(
                "redoubt is not ready, it said {line:?}; the end of its log, newest first:\n{}",
                tail.join("\n")
            ));
        };
        self.listen = serde_json::from_value(ready["listen"].clone()).unwrap();
        self.child = Some(child);
        Ok(())
    }

    /// Where its log goes.
    pub fn log_file(&self) -> PathBuf {
        self.data.with_extension("log")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.arg("--data").arg(&self.data).args(arguments);
        for key in ["LMTP", "IMAP", "IMAPS", "SOCKETMAP", "ADMIN_HTTPS", "PEER"] {
            command.env(format!("REDOUBT_LISTEN_{key}"), "127.0.0.1:0");
        }
        command.env("REDOUBT_HOSTNAME", "mail.example.org");
        command.env("XDG_STATE_HOME", self.data.with_extension("state"));
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The first TCP address of a key of `[listen]`.
    pub fn address(&self, key: &str) -> SocketAddr {
        *self.addresses(key).first().expect("a TCP address")
    }

    /// All TCP addresses of a key of `[listen]`, in the configuration's order.
    pub fn addresses(&self, key: &str) -> Vec<SocketAddr> {
        let addresses = self.listen.get(key).unwrap_or_else(|| panic!("{key} is not served"));
        addresses.iter().filter_map(|text| text.parse().ok()).collect()
    }

    /// Whether it listens for this key of `[listen]`.
    pub fn serves(&self, key: &str) -> bool {
        self.listen.get(key).is_some_and(|addresses| !addresses.is_empty())
    }

    /// Where IMAP is.
    pub fn imap(&self) -> SocketAddr {
        self.address("imap")
    }

    /// Where LMTP is.
    pub fn lmtp(&self) -> SocketAddr {
        self.address("lmtp")
    }

    /// The id of its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    /// Runs a verb and gives its whole output.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().expect("the verb runs")
    }

    /// Runs a verb whose standard output nobody reads: its exit code, and what it says of that.
    pub fn run_unread(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let (read, write) = std::io::pipe().expect("a pipe");
        drop(read);
        let mut command = self.command(arguments);
        let output = command.stdin(Stdio::null()).stdout(write).stderr(Stdio::piped()).output();
        let output = output.expect("the verb runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Runs a verb with standard input.
    pub fn run_with_input(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the verb runs");
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }

    /// Runs a verb that must succeed; its standard output.
    pub fn verb(&self, arguments: &[&str]) -> String {
        done(arguments, &self.run(arguments))
    }

    /// Makes a domain if it is missing.
    pub fn domain(&self, name: &str) {
        self.verb(&["domain", "add", name, "--if-missing"]);
    }

    /// Makes an account with the password `secret`.
    pub fn account(&self, address: &str) {
        let arguments = ["account", "add", address, "--password-stdin", "--if-missing"];
        let output = self.run_with_input(&arguments, b"secret\n");
        done(&arguments, &output);
    }

    /// SIGKILL, at once; waits for the end of the process.
    pub fn kill(&mut self) {
        self.paused = false;
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Whether its process runs and is not paused.
    pub fn runs(&self) -> bool {
        self.child.is_some() && !self.paused
    }

    /// Whether its process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().unwrap().is_some())
    }

    /// SIGSTOP: it does nothing, and does not know.
    pub fn pause(&mut self) {
        self.signal(Signal::STOP);
        self.paused = true;
    }

    /// SIGCONT.
    pub fn resume(&mut self) {
        self.signal(Signal::CONT);
        self.paused = false;
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().expect("it runs")), signal).unwrap();
    }

    /// Starts it without waiting for it to be ready.
    pub fn begin(&mut self) {
        self.child = Some(self.spawn_to(Stdio::null()));
    }

    /// Waits for its end by itself: the exit code, and the end of its log.
    pub fn ended(&mut self) -> (i32, String) {
        let mut child = self.child.take().expect("it was started");
        let ended = crate::cluster::until(crate::cluster::PATIENCE, || child.try_wait().unwrap());
        if ended.is_none() {
            child.kill().unwrap();
        }
        let status = child.wait().unwrap();
        let log = std::fs::read_to_string(self.log_file()).unwrap_or_default();
        let tail: Vec<&str> = log.lines().rev().take(30).collect();
        (status.code().unwrap_or(-1), tail.join("\n"))
    }

    /// SIGTERM; waits for its orderly end.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let pid = Pid::from_child(&child);
            kill_process(pid, Signal::TERM).unwrap();
            let status = child.wait().unwrap();
            assert!(status.success(), "it ended with {status}");
        }
    }

    /// Waits for the end of a process that was told to end otherwise.
    pub fn stopped(&mut self) {
        if let Some(mut child) = self.child.take() {
            let status = child.wait().unwrap();
            assert!(status.success(), "it ended with {status}");
        }
    }

    /// Its resident memory in bytes.
    pub fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

fn done(arguments: &[&str], output: &Output) -> String {
    assert!(
        output.status.success(),
        "redoubt {arguments:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

impl Drop for Redoubt {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
