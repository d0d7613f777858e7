//! The rig: real nodes, what lies between them, and all that can be done to both.

pub mod admin;
pub use redoubt_tests::clock;
pub mod command;
pub mod disk;
pub mod links;
pub mod members;
pub mod node;
pub mod proxy;
pub mod selftest;
pub mod space;
pub mod switch;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use self::clock::Clock;
use self::disk::Disk;
use self::links::Links;
use self::node::{Addresses, Fall, Node, Way};
use self::proxy::Proxies;
use self::space::{Ground, Space};
use crate::target::Targets;

/// No node takes longer to say that it is ready.
pub const READY: Duration = Duration::from_secs(60);
/// No verb takes longer.
pub const VERB: Duration = Duration::from_secs(60);

/// What the rig is made of.
#[derive(Debug, Clone)]
pub struct Options {
    /// What there is to stand on.
    pub ground: Ground,
    /// What chance is made of.
    pub seed: u64,
    /// The size of each node's disk.
    pub disk_bytes: u64,
}

/// The nodes and what is between them.
#[derive(Debug)]
pub struct Rig {
    options: Options,
    /// The ways between nodes.
    pub links: Links,
    nodes: BTreeMap<u32, Node>,
    space: Option<Space>,
    proxies: Option<Proxies>,
    home: PathBuf,
    _folder: Option<tempfile::TempDir>,
    last: u32,
    targets: Targets,
}

impl Rig {
    /// A rig without nodes.
    ///
    /// # Errors
    /// What the system does not give.
    pub fn new(options: Options) -> io::Result<Self> {
        let links = Links::new(options.seed);
        let (space, proxies, folder) = match options.ground {
            Ground::Namespaces => (Some(Space::new(&links)?), None, None),
            Ground::Loopback => (None, Some(Proxies::new(&links)?), Some(folder()?)),
        };
        let own = folder.as_ref().map(|folder| folder.path().to_path_buf());
        let home = own.unwrap_or_else(|| Space::home().to_path_buf());
        let (nodes, targets) = (BTreeMap::new(), Targets::default());
        Ok(Self { options, links, nodes, space, proxies, home, _folder: folder, last: 0, targets })
    }

    /// What it stands on.
    pub fn ground(&self) -> Ground {
        self.options.ground
    }

    /// Where clients find the members.
    pub fn targets(&self) -> Targets {
        self.targets.clone()
    }

    /// Where the run's files are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The numbers of all nodes.
    pub fn numbers(&self) -> Vec<u32> {
        self.nodes.keys().copied().collect()
    }

    /// The numbers of the nodes whose processes live.
    pub fn running(&self) -> Vec<u32> {
        self.all().filter(|node| node.is_running()).map(Node::number).collect()
    }

    /// All nodes.
    pub fn all(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// A node by its number.
    pub fn node(&self, number: u32) -> &Node {
        &self.nodes[&number]
    }

    /// The same, to change it.
    pub fn node_mut(&mut self, number: u32) -> &mut Node {
        self.nodes.get_mut(&number).unwrap()
    }

    /// A new node with an empty disk, not started yet; its number.
    ///
    /// # Errors
    /// What the system does not give.
    pub fn make(&mut self) -> io::Result<u32> {
        let number = self.last + 1;
        self.last = number;
        let (disk, addresses) = match &self.space {
            Some(space) => {
                space.add(number)?;
                let folder = space.disk(number, self.options.disk_bytes)?;
                (Disk::new(folder, true), addresses(number))
            }
            None => {
                let folder = self.home.join(format!("node{number}"));
                std::fs::create_dir_all(&folder)?;
                let mut addresses = loopback(number)?;
                if let Some(proxies) = &self.proxies {
                    addresses.advertised = proxies.add(number, addresses.peer)?;
                }
                (Disk::new(folder, false), addresses)
            }
        };
        let clock = Clock::new(disk.folder())?;
        let mut node = Node::new(number, self.options.ground, disk, clock, addresses);
        node.processes = self.proxies.as_ref().map(|proxies| proxies.processes.clone());
        self.nodes.insert(number, node);
        Ok(number)
    }

    /// Takes a node that does not run away, with all that it had.
    pub fn discard(&mut self, number: u32) {
        self.nodes.remove(&number);
        match &self.space {
            Some(space) => space.remove(number),
            None => drop(std::fs::remove_dir_all(self.home.join(format!("node{number}")))),
        }
        self.publish();
    }

    /// Tells clients who is there.
    pub fn publish(&self) {
        self.targets.replace(self.all().map(Node::target).collect());
    }

    /// Starts a node over what it has, without waiting.
    ///
    /// # Errors
    /// When there is no such program.
    pub fn start(&mut self, number: u32) -> io::Result<()> {
        self.node_mut(number).start(&Way::Alone)
    }

    /// What ended by itself since it was looked at last, and how.
    pub fn fallen(&mut self) -> Vec<Fall> {
        self.nodes.values_mut().filter_map(Node::fallen).collect()
    }

    /// Everything as it should be: links sound, clocks right, disks empty, every node running.
    ///
    /// # Errors
    /// What could not be mended.
    pub fn heal(&mut self) -> io::Result<()> {
        self.links.heal();
        for number in self.numbers() {
            let node = self.node_mut(number);
            node.clock.iter().try_for_each(|clock| clock.set(0))?;
            node.disk.empty()?;
            node.resume();
            if !node.is_running() {
                self.start(number)?;
            }
        }
        Ok(())
    }

    /// Waits until every node says that it is ready.
    ///
    /// # Errors
    /// The first that does not within the limit.
    pub fn wait_ready(&mut self, limit: Duration) -> io::Result<()> {
        let deadline = Instant::now() + limit;
        self.nodes.values_mut().try_for_each(|node| node.wait_ready(deadline))
    }
}

fn addresses(number: u32) -> Addresses {
    let client = IpAddr::V4(Space::client_address(number));
    let peer = SocketAddr::new(IpAddr::V4(switch::address(number)), 7072);
    Addresses {
        lmtp: SocketAddr::new(client, 7025),
        imap: SocketAddr::new(client, 7143),
        peer,
        advertised: peer,
    }
}

/// Free ports of a loopback address of its own.
fn loopback(number: u32) -> io::Result<Addresses> {
    let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 1, number as u8));
    let free = || std::net::TcpListener::bind((ip, 0))?.local_addr();
    let peer = free()?;
    Ok(Addresses { lmtp: free()?, imap: free()?, peer, advertised: peer })
}

const PREFIX: &str = "redoubt-jepsen-";

/// A folder for a run on the machine's own disk; what killed runs left behind is removed.
fn folder() -> io::Result<tempfile::TempDir> {
    let temporary = std::env::temp_dir();
    for entry in std::fs::read_dir(&temporary)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let process = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let dead = |process: &str| !Path::new("/proc").join(process).exists();
        if process.is_some_and(|process| process.parse::<u32>().is_ok() && dead(process)) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir()
}
