//! The cluster, through the verbs and the admin socket: who leads, who belongs to it, who joins.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::node::{Way, said};
use super::{READY, Rig, VERB, admin};

/// How long a node may take to say what it sees.
const GLANCE: Duration = Duration::from_millis(500);

/// What a node sees of its cluster, by ids of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// Its own id.
    pub id: u64,
    /// Whom it takes for the leader.
    pub leader: Option<u64>,
    /// In which term.
    pub term: u64,
    /// What it has applied.
    pub applied: u64,
    /// The hash chain up to there.
    pub chain: String,
}

impl Sight {
    /// Asks the node behind an admin socket.
    pub fn of(socket: &Path) -> Option<Self> {
        let answer = admin::get(socket, "/v1/status", GLANCE).ok()?;
        let store = answer.body.get("store")?;
        let number = |name: &str| store.get(name).and_then(Value::as_u64);
        Some(Self {
            id: number("node")?,
            leader: number("leader"),
            term: number("term")?,
            applied: number("applied")?,
            chain: store.get("chain").and_then(Value::as_str).unwrap_or_default().into(),
        })
    }
}

impl Rig {
    /// Makes a cluster of so many nodes.
    ///
    /// # Errors
    /// What went wrong.
    pub fn found(&mut self, count: u32) -> io::Result<()> {
        let first = self.make()?;
        self.start(first)?;
        self.came(first)?;
        self.verb(first, &["domain", "add", "example.org", "--if-missing"], "")?;
        for _ in 1..count {
            self.grow(first)?;
        }
        self.publish();
        Ok(())
    }

    /// A fresh node joins; its number.
    ///
    /// # Errors
    /// What went wrong.
    pub fn grow(&mut self, through: u32) -> io::Result<u32> {
        let token = self.verb(through, &["cluster", "token"], "")?.trim().to_string();
        let number = self.make()?;
        let at = self.node(through).addresses.advertised;
        self.node_mut(number).start(&Way::Join(at, token))?;
        let joined = self.came(number).and_then(|()| self.promoted(through, number));
        if joined.is_err() {
            self.node_mut(number).kill();
            self.discard(number);
        }
        joined.map(|()| number)
    }

    /// Waits until a node votes.
    fn promoted(&self, through: u32, number: u32) -> io::Result<()> {
        let deadline = Instant::now() + READY;
        while !self.members(through).is_ok_and(|voters| voters.contains(&number)) {
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("node {number} does not become a voter")));
            }
            std::thread::park_timeout(Duration::from_millis(100));
        }
        Ok(())
    }

    /// Waits until a new node is ready, and learns its id.
    fn came(&mut self, number: u32) -> io::Result<()> {
        let node = self.node_mut(number);
        let limit = Instant::now() + READY;
        let ready = node.wait_ready(limit);
        ready.map_err(|error| io::Error::other(format!("{error}:\n{}", node.log_end(20))))?;
        node.id = Sight::of(&node.admin()).map(|sight| sight.id);
        Ok(())
    }

    /// A node is removed from the cluster, and its process and disk with it; what the verb said if
    /// it did not succeed and yet had done its work.
    ///
    /// # Errors
    /// What went wrong, when the node is still a member.
    pub fn shrink(&mut self, gone: u32) -> io::Result<Option<String>> {
        let others = self.running().into_iter().find(|node| *node != gone);
        let through = others.ok_or_else(|| io::Error::other("nobody else runs"))?;
        let id = self.id(gone)?;
        let complaint = match self.verb(through, &["cluster", "remove", &id, "--yes"], "") {
            Ok(_) => None,
            Err(error) if self.members(through)?.contains(&gone) => return Err(error),
            Err(error) => Some(error.to_string()),
        };
        self.node_mut(gone).kill();
        self.discard(gone);
        Ok(complaint)
    }

    /// Leadership goes to a node.
    ///
    /// # Errors
    /// What the verb said.
    pub fn transfer(&self, from: u32, to: u32) -> io::Result<()> {
        self.verb(from, &["cluster", "transfer", &self.id(to)?], "").map(drop)
    }

    /// A node's id, as an argument of verbs.
    fn id(&self, number: u32) -> io::Result<String> {
        let unknown = || io::Error::other(format!("the id of node {number} is not known"));
        self.node(number).id.map(|id| id.to_string()).ok_or_else(unknown)
    }

    /// The node that has an id.
    pub fn number(&self, id: u64) -> Option<u32> {
        self.all().find(|node| node.id == Some(id)).map(|node| node.number())
    }

    /// The voters, as a node sees them; those that the rig does not know are left out.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn members(&self, through: u32) -> io::Result<Vec<u32>> {
        let answer = admin::get(&self.node(through).admin(), "/v1/cluster", GLANCE)?;
        let members = answer.body["members"].as_array().into_iter().flatten();
        let votes = |member: &&Value| matches!(member["role"].as_str(), Some("leader" | "voter"));
        let ids = members.filter(votes).filter_map(|member| member["node"].as_u64());
        Ok(ids.filter_map(|id| self.number(id)).collect())
    }

    /// Runs a verb that must succeed.
    ///
    /// # Errors
    /// What it said otherwise.
    pub fn verb(&self, node: u32, arguments: &[&str], input: &str) -> io::Result<String> {
        said(&self.node(node).verb(arguments, input, VERB)?)
    }

    /// Makes an account with the password `secret`.
    ///
    /// # Errors
    /// What the verb said.
    pub fn account(&self, through: u32, address: &str) -> io::Result<()> {
        let arguments = ["account", "add", address, "--password-stdin", "--if-missing"];
        self.verb(through, &arguments, "secret\n").map(drop)
    }

    /// What each running node sees.
    pub fn sights(&self) -> Vec<Sight> {
        let running = self.all().filter(|node| node.is_running());
        running.filter_map(|node| Sight::of(&node.admin())).collect()
    }

    /// The leader, as the node in the newest term sees it.
    pub fn leader(&self) -> Option<u32> {
        let newest =
            self.sights().into_iter().max_by_key(|sight| (sight.term, sight.leader.is_some()))?;
        self.number(newest.leader?)
    }

    /// Whether all nodes run, are ready and see the same leader.
    pub fn is_settled(&mut self) -> bool {
        let now = Instant::now();
        if !self.nodes.values_mut().all(|node| node.wait_ready(now).is_ok()) {
            return false;
        }
        let sights = self.sights();
        let leader = sights.first().and_then(|sight| sight.leader);
        let agreed = sights.iter().all(|sight| sight.leader == leader);
        leader.is_some() && agreed && sights.len() == self.nodes.len()
    }
}
