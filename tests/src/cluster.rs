//! Real nodes on loopback that join each other by the real verbs, and what
//! happens to them: killed, stopped, paused, started again.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use redoubt_tools::bench::wires::Wires;
use serde_json::Value;

use crate::process::Redoubt;

/// How long anything may take that is waited for.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// Some nodes. They are counted from 0 in the order in which they were made; their
/// ids in the cluster are others ([`Cluster::id`]).
#[derive(Debug)]
pub struct Cluster {
    home: PathBuf,
    nodes: Vec<Redoubt>,
    made: usize,
    environment: Vec<(String, String)>,
    wires: Option<Wires>,
    _temporary: Option<tempfile::TempDir>,
}

impl Cluster {
    /// Nodes from empty directories: the first founds, the others join through it.
    pub fn of(count: usize) -> Self {
        Self::with(count, &[])
    }

    /// The same with environment variables for all.
    pub fn with(count: usize, environment: &[(&str, &str)]) -> Self {
        Self::make(count, environment, None)
    }

    /// The same, with wires between them that can be cut.
    pub fn wired(count: usize, environment: &[(&str, &str)]) -> Self {
        Self::make(count, environment, Some(Wires::default()))
    }

    fn make(count: usize, environment: &[(&str, &str)], wires: Option<Wires>) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let own = |(name, value): &(&str, &str)| ((*name).to_string(), (*value).to_string());
        let mut cluster = Self {
            home: temporary.path().into(),
            nodes: Vec::new(),
            made: 0,
            environment: environment.iter().map(own).collect(),
            wires,
            _temporary: Some(temporary),
        };
        if count > 0 {
            cluster.found(&[]);
        }
        for _ in 1..count {
            cluster.join(0);
        }
        cluster
    }

    /// Where its data directories are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    fn prepare(&mut self, serve: &[&str]) -> Redoubt {
        let data = self.home.join(format!("n{}", self.made));
        self.made += 1;
        let peer = free_port().to_string();
        let mut environment: Vec<(&str, &str)> =
            self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        environment.push(("REDOUBT_LISTEN_PEER", &peer));
        let wired = self.wires.as_ref().map(|wires| wires.add(peer.parse().unwrap()).unwrap());
        let advertised = wired.map(|(_, address)| address.to_string());
        environment.extend(advertised.iter().map(|it| ("REDOUBT_PEER_ADVERTISE", it.as_str())));
        Redoubt::prepare(&data, &environment, serve)
    }

    /// Cuts a node off from all others, both ways; what is sent meanwhile waits.
    pub fn cut(&self, n: usize) {
        let wires = self.wires.as_ref().expect("made by `wired`");
        self.running().for_each(|n| wires.is(n, self.node(n).pid()));
        wires.cut(n);
    }

    /// Joins it again.
    pub fn heal(&self, n: usize) {
        self.wires.as_ref().expect("made by `wired`").heal(n);
    }

    /// A node that founds a cluster, with arguments for `serve`.
    pub fn found(&mut self, serve: &[&str]) -> usize {
        let mut node = self.prepare(serve);
        node.start_again();
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A new node joins through a member; returns when it votes.
    pub fn join(&mut self, through: usize) -> usize {
        self.join_with(through, &[])
    }

    /// The same with more arguments for `serve`.
    pub fn join_with(&mut self, through: usize, serve: &[&str]) -> usize {
        let light = serve.iter().filter(|argument| **argument == "--light").copied();
        let token = self.token(through, &light.collect::<Vec<_>>());
        let mut node = self.joiner(through, &token, serve);
        node.start_again();
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A new node that is to join, not yet started and not yet one of these.
    pub fn joiner(&mut self, through: usize, token: &str, serve: &[&str]) -> Redoubt {
        let member = self.peer_address(through);
        self.prepare(&[&["--join", &member, "--join-token", token], serve].concat())
    }

    /// Takes a node in that was made by [`Cluster::joiner`].
    pub fn take_in(&mut self, node: Redoubt) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// A token, made on a node.
    pub fn token(&self, on: usize, arguments: &[&str]) -> String {
        let made = self.node(on).verb(&[&["cluster", "token"], arguments].concat());
        made.trim().to_owned()
    }

    /// Where a node's peers reach it.
    pub fn peer_address(&self, n: usize) -> String {
        self.node(n).setting("REDOUBT_LISTEN_PEER").to_owned()
    }

    /// How many nodes were made.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// A node.
    pub fn node(&self, n: usize) -> &Redoubt {
        &self.nodes[n]
    }

    /// A node, to be killed, stopped, paused or started again.
    pub fn node_mut(&mut self, n: usize) -> &mut Redoubt {
        &mut self.nodes[n]
    }

    /// Its id in the cluster.
    pub fn id(&self, n: usize) -> u64 {
        let path = self.node(n).data().join("node.toml");
        let text = std::fs::read_to_string(path).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("node = "));
        line.unwrap().parse().unwrap()
    }

    /// Which node has this id.
    pub fn with_id(&self, id: u64) -> usize {
        (0..self.len()).find(|n| self.id(*n) == id).unwrap_or_else(|| panic!("no node has {id}"))
    }

    /// Those that run and are not paused.
    pub fn running(&self) -> impl Iterator<Item = usize> {
        (0..self.len()).filter(|n| self.nodes[*n].runs())
    }

    /// What `cluster status --json` says on a node.
    pub fn status(&self, n: usize) -> Option<Value> {
        let output = self.node(n).run(&["cluster", "status", "--json"]);
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits until the status on a node is as wished, and gives it.
    pub fn wait(&self, n: usize, what: &str, wished: impl Fn(&Value) -> bool) -> Value {
        let mut last = None;
        let found = until(PATIENCE, || {
            last = self.status(n);
            last.clone().filter(&wished)
        });
        found.unwrap_or_else(|| panic!("not {what} on node {n} in {PATIENCE:?}: {last:#?}"))
    }

    /// Hands leadership to a node.
    pub fn let_lead(&self, n: usize) {
        self.caught_up();
        let id = self.id(n).to_string();
        self.node(n).verb(&["cluster", "transfer", &id]);
        assert_eq!(self.leader(), n, "node {n} does not lead");
    }

    /// Waits until the nodes that run agree on a leader among them, and gives it.
    pub fn leader(&self) -> usize {
        let found = until(PATIENCE, || {
            let running: Vec<usize> = self.running().collect();
            let mut leaders = running.iter().map(|n| self.status(*n)?["leader"].as_u64());
            let first = leaders.next()??;
            let leader = running.iter().copied().find(|n| self.id(*n) == first)?;
            leaders.all(|other| other == Some(first)).then_some(leader)
        });
        found.expect("the nodes that run agree on a leader")
    }

    /// Some node that runs and does not lead.
    pub fn follower(&self) -> usize {
        let leader = self.leader();
        self.running().find(|n| *n != leader).expect("a follower runs")
    }

    /// Waits until every member has everything.
    pub fn caught_up(&self) {
        let leader = self.leader();
        self.wait(leader, "caught up", |status| {
            members(status).iter().all(|m| m["lag_records"] == 0 && m["role"] != "learner")
        });
    }

    /// Runs a verb on a node: exit code, and all that it said.
    pub fn verb(&self, n: usize, arguments: &[&str]) -> (i32, String) {
        said(&self.node(n).run(arguments))
    }
}

/// The members of a status.
pub fn members(status: &Value) -> Vec<Value> {
    status["members"].as_array().cloned().unwrap_or_default()
}

/// A member of a status, by its id.
pub fn member(status: &Value, id: u64) -> Option<Value> {
    members(status).into_iter().find(|member| member["node"] == id)
}

/// The exit code and everything that was said.
pub fn said(output: &Output) -> (i32, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
    (output.status.code().unwrap_or(-1), all)
}

/// Looks again and again until there is something, or the time is over.
pub fn until<T>(patience: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        std::thread::park_timeout(PAUSE);
    }
}

/// A loopback port that nobody has, and that no outgoing connection gets meanwhile.
pub fn free_port() -> SocketAddr {
    let mut tries = (0..1000).map(|_| SocketAddr::from(([127, 0, 0, 1], port())));
    tries.find(|address| TcpListener::bind(address).is_ok()).expect("a free port")
}

/// Below the range of Linux's ephemeral ports.
fn port() -> u16 {
    10_000 + rand::random::<u16>() % 22_000
}
