//! A mail server under measurement, whichever it is.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to start or stop.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; ended when dropped.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: &'static str,
    pub(super) lmtp: SocketAddr,
    pub(super) imap: SocketAddr,
    /// Where it keeps mail.
    pub(super) mail: PathBuf,
    pub(super) child: Child,
    /// What an account's name is at LOGIN.
    pub(super) login: fn(usize) -> String,
}

impl Server {
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until both ports answer.
    pub(super) fn wait(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        for port in [self.lmtp, self.imap] {
            while TcpStream::connect(port).is_err() {
                if let Some(status) = self.child.try_wait()? {
                    bail!("{} ended at its start with {status}", self.name);
                }
                if began.elapsed() > PATIENCE {
                    bail!("{} does not listen on {port}", self.name);
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL when that does not help.
    pub(super) fn stop(&mut self) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).with_context(|| format!("stop {}", self.name))?;
        let began = Instant::now();
        while self.child.try_wait()?.is_none() {
            if began.elapsed() > PATIENCE {
                self.child.kill()?;
                self.child.wait()?;
                bail!("{} did not stop within {} s", self.name, PATIENCE.as_secs());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.stop();
        }
    }
}

/// A loopback port that nobody uses now.
pub(super) fn free_port() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
