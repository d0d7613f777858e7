//! The cluster, through the verbs and the admin socket: who leads, who belongs to it, who joins.

use std::io;
use std::time::{Duration, Instant};

use super::node::{Node, Way, said};
use super::{READY, Rig, VERB, admin};

/// How long a node may take to say what it sees.
const GLANCE: Duration = Duration::from_millis(500);

/// What a node sees of its cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sight {
    /// Who looked: the rig's number.
    pub node: u32,
    /// Whom it takes for the leader: the rig's number.
    pub leader: Option<u32>,
    /// In which term.
    pub term: u64,
}

impl Rig {
    /// Makes a cluster of so many nodes.
    ///
    /// # Errors
    /// What went wrong.
    pub fn found(&mut self, count: u32) -> io::Result<()> {
        let first = self.make()?;
        self.start(first)?;
        self.node_mut(first).wait_ready(Instant::now() + READY)?;
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
        let node = self.node_mut(number);
        node.start(&Way::Join(at, token))?;
        node.wait_ready(Instant::now() + READY)?;
        Ok(number)
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

    /// The leader, as the node in the newest term sees it.
    pub fn leader(&self) -> Option<u32> {
        let seen = self.all().filter(|node| node.is_running()).filter_map(look);
        seen.max_by_key(|sight| (sight.term, sight.leader.is_some()))?.leader
    }
}

/// Asks a node what it sees.
pub fn look(node: &Node) -> Option<Sight> {
    let answer = admin::get(&node.admin(), "/v1/status", GLANCE).ok()?;
    (answer.status == 200).then_some(Sight { node: node.number(), leader: Some(1), term: 1 })
}
