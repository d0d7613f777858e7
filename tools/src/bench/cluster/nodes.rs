//! Three real nodes on loopback, each a process, with wires between them that can be cut.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::super::node;
use super::super::server::{Server, free_port};
use super::super::wires::Wires;
use crate::cluster::{ClusterBody, Part};

/// How long anything may take that is waited for.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A node of the cluster; `server` is `None` while it is dead.
struct Member {
    data: PathBuf,
    listen: String,
    advertise: String,
    server: Option<Server>,
}

/// The cluster under measurement.
pub(super) struct Nodes {
    members: Vec<Member>,
    wires: Wires,
}

/// The numbers of a node that have no labels.
#[derive(Debug, Default)]
pub(super) struct Counted(BTreeMap<String, f64>);

impl Counted {
    fn read(text: &str) -> Self {
        let number = |line: &str| {
            let (name, value) = line.split_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter_map(number).collect())
    }

    pub(super) fn get(&self, name: &str) -> anyhow::Result<f64> {
        self.0.get(name).copied().with_context(|| format!("the node does not tell {name}"))
    }
}

impl Nodes {
    /// One node over a data directory that is there; others are to join it.
    pub(super) fn found(data: &Path) -> anyhow::Result<Self> {
        let mut nodes = Self { members: Vec::new(), wires: Wires::default() };
        let first = nodes.add(data)?;
        nodes.start(first)?;
        Ok(nodes)
    }

    fn add(&mut self, data: &Path) -> anyhow::Result<usize> {
        let listen = free_port()?;
        let (number, advertise) = self.wires.add(listen)?;
        let (listen, advertise) = (listen.to_string(), advertise.to_string());
        self.members.push(Member { data: data.to_owned(), listen, advertise, server: None });
        Ok(number)
    }

    /// A new node joins through another; how long it took until it voted.
    pub(super) fn join(&mut self, data: &Path, through: usize) -> anyhow::Result<Duration> {
        let token = self.verb(through, &["cluster", "token"])?;
        let member = self.member(through)?.advertise.clone();
        let number = self.add(data)?;
        let began = Instant::now();
        self.start_with(number, &["--join", &member, "--join-token", token.trim()])?;
        self.wait(number, "voting", |body| {
            body.members.iter().filter(|m| matches!(m.role, Part::Leader | Part::Voter)).count()
                == self.members.len()
        })?;
        Ok(began.elapsed())
    }

    pub(super) fn start(&mut self, number: usize) -> anyhow::Result<()> {
        self.start_with(number, &[])
    }

    fn start_with(&mut self, number: usize, serve: &[&str]) -> anyhow::Result<()> {
        let Member { data, listen, advertise, .. } = self.member(number)?;
        let environment =
            [("REDOUBT_LISTEN_PEER", listen.as_str()), ("REDOUBT_PEER_ADVERTISE", advertise)];
        let server = node::start_with(data, &environment, serve)?;
        self.wires.is(number, server.pid());
        if let Some(member) = self.members.get_mut(number) {
            member.server = Some(server);
        }
        Ok(())
    }

    fn member(&self, number: usize) -> anyhow::Result<&Member> {
        self.members.get(number).context("there is no such node")
    }

    pub(super) fn server(&self, number: usize) -> anyhow::Result<&Server> {
        self.member(number)?.server.as_ref().context("the node is dead")
    }

    /// Where each takes mail.
    pub(super) fn take_mail(&self) -> anyhow::Result<Vec<Option<SocketAddr>>> {
        (0..self.members.len()).map(|number| Ok(Some(self.server(number)?.lmtp))).collect()
    }

    /// What a node counts, by the names that monitoring reads.
    pub(super) fn counted(&self, number: usize) -> anyhow::Result<Counted> {
        let socket = node::config(&self.member(number)?.data).admin_socket();
        let client = crate::admin::client::Client::new(socket);
        let text = tokio::runtime::Handle::current().block_on(client.text("/metrics"))?;
        Ok(Counted::read(&text))
    }

    /// SIGKILL; returns at once.
    pub(super) fn kill(&mut self, number: usize) -> anyhow::Result<Server> {
        let member = self.members.get_mut(number).context("there is no such node")?;
        let mut server = member.server.take().context("it is dead already")?;
        server.child.kill()?;
        Ok(server)
    }

    /// SIGTERM, and its end.
    pub(super) fn stop(&mut self, number: usize) -> anyhow::Result<()> {
        let member = self.members.get_mut(number).context("there is no such node")?;
        member.server.take().context("it is dead already")?.stop()
    }

    pub(super) fn wires(&self) -> &Wires {
        &self.wires
    }

    /// Those that run.
    pub(super) fn running(&self) -> impl Iterator<Item = usize> {
        let runs = |member: &Member| member.server.is_some();
        self.members.iter().enumerate().filter(move |(_, m)| runs(m)).map(|(number, _)| number)
    }

    /// A verb on a node; its output.
    pub(super) fn verb(&self, number: usize, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--data").arg(&self.member(number)?.data).args(arguments);
        let output = command.output()?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            bail!("redoubt {arguments:?} ended with {}: {errors}", output.status);
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn look(&self, number: usize) -> Option<ClusterBody> {
        let said = self.verb(number, &["--json", "cluster", "status"]).ok()?;
        serde_json::from_str(&said).ok()
    }

    /// Waits until the status on a node is as wished.
    fn wait(
        &self,
        number: usize,
        what: &str,
        wished: impl Fn(&ClusterBody) -> bool,
    ) -> anyhow::Result<ClusterBody> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.look(number).filter(&wished) {
                Some(body) => return Ok(body),
                None if Instant::now() >= deadline => {
                    bail!("not {what} within {} s", PATIENCE.as_secs())
                }
                None => std::thread::sleep(LOOK),
            }
        }
    }

    /// Waits until all run, one leads, and nobody is behind; who leads.
    pub(super) fn settled(&self) -> anyhow::Result<usize> {
        let any = self.running().next().context("no node runs")?;
        let count = self.members.len();
        let body = self.wait(any, "settled", |body| {
            let fine = |m: &&crate::cluster::MemberLine| {
                m.role == Part::Leader
                    || m.lag_records == Some(0) && m.last_contact_seconds.is_some_and(|s| s < 1.0)
            };
            body.leader.is_some() && body.members.iter().filter(fine).count() == count
        })?;
        self.numbers()?.get(&body.leader.map_or(0, |id| id.0)).copied().context("who leads?")
    }

    /// Waits until a node that was away has everything.
    pub(super) fn caught_up(&self, number: usize) -> anyhow::Result<()> {
        let numbers = self.numbers()?;
        let id = numbers.iter().find(|(_, n)| **n == number).map(|(id, _)| *id);
        let other = self.running().find(|n| *n != number).context("it is alone")?;
        self.wait(other, "caught up", |body| {
            let member = body.members.iter().find(|m| Some(m.node.0) == id);
            member.is_some_and(|m| m.lag_records == Some(0))
        })?;
        Ok(())
    }

    /// Ids in the cluster and which node each is.
    fn numbers(&self) -> anyhow::Result<BTreeMap<u64, usize>> {
        let each = self.members.iter().enumerate();
        each.map(|(number, member)| {
            let text = std::fs::read_to_string(member.data.join("node.toml"))?;
            let id = text.lines().find_map(|line| line.strip_prefix("node = "));
            Ok((id.context("node.toml names no node")?.trim().parse()?, number))
        })
        .collect()
    }
}
