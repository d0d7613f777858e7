//! One real node: its process, killed, stopped and started for real.

use std::fs::OpenOptions;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use redoubt_tests::process::binary;
use rustix::process::{Pid, Signal, kill_process};

use super::clock::Clock;
use super::command::system;
use super::disk::Disk;
use super::proxy::Processes;
use super::space::{self, Ground};
use crate::target::Target;

/// From a start until an end is noticed.
const PAUSE: Duration = Duration::from_secs(1);

/// Where a node listens.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// LMTP, for clients.
    pub lmtp: SocketAddr,
    /// IMAP, for clients.
    pub imap: SocketAddr,
    /// Peers: where it listens.
    pub peer: SocketAddr,
    /// Peers: what it tells others.
    pub advertised: SocketAddr,
}

/// How the node comes to its cluster.
#[derive(Debug, Clone)]
pub enum Way {
    /// It is the first, or has been there before.
    Alone,
    /// It joins at this address with this token.
    Join(SocketAddr, String),
}

/// An end that nobody asked for.
#[derive(Debug, Clone)]
pub struct Fall {
    /// The node.
    pub node: u32,
    /// How it ended.
    pub status: ExitStatus,
    /// The end of its log.
    pub said: String,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    number: u32,
    ground: Ground,
    /// Its disk.
    pub disk: Disk,
    /// Its clock, if it can be set.
    pub clock: Option<Clock>,
    /// Where it listens.
    pub addresses: Addresses,
    /// Its id in its cluster, once it is known.
    pub id: Option<u64>,
    /// Where a proxy looks up who calls it.
    pub processes: Option<Processes>,
    child: Option<Running>,
    starts: u32,
    started: Instant,
}

#[derive(Debug)]
struct Running {
    child: Child,
    ready: mpsc::Receiver<()>,
    is_ready: bool,
}

impl Node {
    /// A node that was not started yet.
    pub fn new(
        number: u32,
        ground: Ground,
        disk: Disk,
        clock: Option<Clock>,
        addresses: Addresses,
    ) -> Self {
        Self {
            number,
            ground,
            disk,
            clock,
            addresses,
            id: None,
            processes: None,
            child: None,
            starts: 0,
            started: Instant::now(),
        }
    }

    /// Its number in the rig.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its data directory.
    pub fn data(&self) -> PathBuf {
        self.disk.folder().join("data")
    }

    /// Its admin socket.
    pub fn admin(&self) -> PathBuf {
        self.data().join("admin.sock")
    }

    /// Its log, beside its disk: a full disk must not silence it.
    pub fn log_file(&self) -> PathBuf {
        self.disk.folder().with_extension("log")
    }

    /// As clients see it.
    pub fn target(&self) -> Target {
        Target { node: self.number, lmtp: self.addresses.lmtp, imap: self.addresses.imap }
    }

    /// How often it was started.
    pub fn starts(&self) -> u32 {
        self.starts
    }

    fn command(&self) -> Command {
        let mut command = match self.ground {
            Ground::Namespaces => space::inside(self.number, &binary()),
            Ground::Loopback => {
                let mut command = system("setpriv", &["--pdeathsig", "KILL", "--"]);
                command.arg(binary());
                command
            }
        };
        self.clock.iter().for_each(|clock| clock.give(&mut command));
        self.settings(&mut command);
        command.arg("--data").arg(self.data());
        command
    }

    fn settings(&self, command: &mut Command) {
        let host = self.addresses.lmtp.ip();
        command
            .env("REDOUBT_HOSTNAME", format!("node{}.example.org", self.number))
            .env("REDOUBT_LISTEN_LMTP", self.addresses.lmtp.to_string())
            .env("REDOUBT_LISTEN_IMAP", self.addresses.imap.to_string())
            .env("REDOUBT_LISTEN_IMAPS", "off")
            .env("REDOUBT_LISTEN_SOCKETMAP", "off")
            .env("REDOUBT_LISTEN_ADMIN_HTTPS", format!("{host}:0"))
            .env("REDOUBT_LISTEN_PEER", self.addresses.peer.to_string())
            .env("REDOUBT_PEER_ADVERTISE", self.addresses.advertised.to_string())
            .env("REDOUBT_AUTH_PLAINTEXT", "always")
            .env("REDOUBT_LIMITS_SHUTDOWN_SECONDS", "2")
            .env("XDG_STATE_HOME", self.disk.folder());
    }

    /// Starts it.
    ///
    /// # Errors
    /// When there is no such program, or it runs already.
    pub fn start(&mut self, way: &Way) -> io::Result<()> {
        if self.is_running() {
            return Err(io::Error::other(format!("node {} runs already", self.number)));
        }
        std::fs::create_dir_all(self.data())?;
        let log = OpenOptions::new().create(true).append(true).open(self.log_file())?;
        let mut command = self.command();
        command.args(["serve", "--json"]);
        if let Way::Join(address, token) = way {
            command.args(["--join", &address.to_string(), "--join-token", token]);
        }
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        if let Some(processes) = &self.processes {
            processes.lock().unwrap().insert(self.number, child.id());
        }
        let ready = listen(&mut child);
        self.child = Some(Running { child, ready, is_ready: false });
        self.starts += 1;
        self.started = Instant::now();
        Ok(())
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// When it does not by then.
    pub fn wait_ready(&mut self, deadline: Instant) -> io::Result<()> {
        let number = self.number;
        let silent = || io::Error::other(format!("node {number} does not run or is not ready"));
        let running = self.child.as_mut().ok_or_else(silent)?;
        if !running.is_ready {
            let left = deadline.saturating_duration_since(Instant::now());
            running.ready.recv_timeout(left).map_err(|_| silent())?;
            running.is_ready = true;
        }
        Ok(())
    }

    /// Whether its process lives, stopped or not.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// The id of its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|running| running.child.id())
    }

    /// The state letter of its process, as in ps: `T` is stopped.
    pub fn process_state(&self) -> Option<char> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?)).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    }

    fn signal(&self, signal: Signal) {
        if let Some(running) = &self.child {
            let _ = kill_process(Pid::from_child(&running.child), signal);
        }
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGKILL; whether that is what ended it.
    pub fn kill(&mut self) -> bool {
        let Some(mut running) = self.child.take() else { return false };
        let _ = running.child.kill();
        running.child.wait().is_ok_and(|status| status.signal() == Some(9))
    }

    /// SIGTERM, and SIGKILL if that does not end it in time; how it ended.
    ///
    /// # Errors
    /// When it did not run, or the system does not say.
    pub fn stop(&mut self, limit: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::TERM);
        let mut running = self.child.take().ok_or_else(|| io::Error::other("it does not run"))?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = running.child.try_wait()? {
                return Ok(status);
            }
            std::thread::park_timeout(Duration::from_millis(20));
        }
        running.child.kill()?;
        running.child.wait()
    }

    /// Whether it ended by itself since it was looked at last; seen only after a pause, so that
    /// what ends again and again is not started too often.
    pub fn fallen(&mut self) -> Option<Fall> {
        if self.started.elapsed() < PAUSE {
            return None;
        }
        let status = self.child.as_mut()?.child.try_wait().ok()??;
        self.child = None;
        Some(Fall { node: self.number, status, said: self.log_end(30) })
    }

    /// The last lines of its log.
    pub fn log_end(&self, lines: usize) -> String {
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log).into_owned();
        let all: Vec<&str> = log.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Runs a verb against it, or over its data when it does not run; ends with it after the limit.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn verb(&self, arguments: &[&str], input: &str, limit: Duration) -> io::Result<Output> {
        let mut command = self.command();
        command.env_remove("LD_PRELOAD").args(arguments);
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn()?;
        child.stdin.take().unwrap().write_all(input.as_bytes())?;
        bounded(child, limit)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Tells when the process says that it is ready, and lets it say what it likes.
fn listen(child: &mut Child) -> mpsc::Receiver<()> {
    let (tell, ready) = mpsc::channel();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            if serde_json::from_str::<serde_json::Value>(&line).is_ok() {
                let _ = tell.send(());
            }
        }
    });
    ready
}

/// Waits for a program, and kills it when it takes too long.
fn bounded(child: Child, limit: Duration) -> io::Result<Output> {
    let pid = Pid::from_child(&child);
    let (done, over) = mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if over.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill_process(pid, Signal::KILL);
        }
    });
    let output = child.wait_with_output();
    drop(done);
    let _ = guard.join();
    output
}

/// The text of what a verb said, if it succeeded.
///
/// # Errors
/// When it did not, with what it said.
pub fn said(output: &Output) -> io::Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{}: {text}{errors}", output.status)))
}
