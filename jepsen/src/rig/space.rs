//! A space of its own for the whole run: network, mount and process namespaces. All that is made in
//! it, devices, mounts and processes, is gone when the run ends, however it ends: nothing can be
//! left over, and nothing of the machine's own network is touched.

use std::fmt;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::command::{PATH, run, system};
use super::links::Links;
use super::switch::{self, Switch};

/// Says to a program that it was started in a space of its own.
const INSIDE: &str = "REDOUBT_JEPSEN_INSIDE";
/// Where the run's files are, in a file system of its own.
const HOME: &str = "/run/redoubt-jepsen";

const UNSHARE: [&str; 7] =
    ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/// What a run has to stand on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Network namespaces, and file systems of a fixed size.
    Namespaces,
    /// Loopback addresses and a proxy between peers.
    Loopback,
}

impl fmt::Display for Ground {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespaces => "network namespaces, packets carried by our own switch",
            Self::Loopback => "loopback addresses, streams carried by our own proxy",
        })
    }
}

/// Ways into a space of one's own: as root, as a user, with the help of sudo.
fn ways() -> Vec<Vec<&'static str>> {
    let mut user = UNSHARE.to_vec();
    user.extend(["--user", "--map-root-user"]);
    let mut sudo = vec!["sudo", "-n", "--preserve-env"];
    sudo.extend(UNSHARE);
    match rustix::process::geteuid().is_root() {
        true => vec![UNSHARE.to_vec()],
        false => vec![user, sudo],
    }
}

/// Runs this program again with the same arguments in a space of its own, instead of this process.
/// Comes back, with the ground to stand on, in that space or when there is none to be had.
pub fn enter(allowed: bool) -> Ground {
    if std::env::var_os(INSIDE).is_some() {
        return Ground::Namespaces;
    }
    let Some(way) = allowed.then(ways).and_then(|ways| ways.into_iter().find(|way| leads(way)))
    else {
        return Ground::Loopback;
    };
    let error = again(&way).args(std::env::args_os().skip(1)).exec();
    eprintln!("no space of its own for the run: {error}");
    Ground::Loopback
}

fn again(way: &[&str]) -> Command {
    let mut command = Command::new(way[0]);
    command.args(&way[1..]).arg(std::env::current_exe().expect("the program's own path"));
    command.env(INSIDE, "1").env("PATH", path());
    command
}

/// The caller's PATH, and where the system's programs are.
fn path() -> String {
    let own = std::env::var("PATH").unwrap_or_default();
    format!("{own}:{PATH}")
}

/// Whether a whole space can be made this way.
fn leads(way: &[&str]) -> bool {
    again(way).arg("probe").output().is_ok_and(|output| output.status.success())
}

/// Tries out everything that a space needs: in it.
///
/// # Errors
/// What cannot be had.
pub fn probe() -> io::Result<()> {
    let space = Space::new(&Links::new(0))?;
    space.add(1)?;
    space.disk(1, 1 << 20)?;
    Ok(())
}

/// The space, from inside.
#[derive(Debug)]
pub struct Space {
    switch: Switch,
}

impl Space {
    /// Prepares the space of this process.
    ///
    /// # Errors
    /// What cannot be had.
    pub fn new(links: &Links) -> io::Result<Self> {
        run("mount --make-rprivate /")?;
        run("mount -t tmpfs -o mode=755 tmpfs /run")?;
        std::fs::create_dir_all(HOME)?;
        run("ip link set lo up")?;
        Ok(Self { switch: Switch::new(links)? })
    }

    /// Where the run's files are.
    pub fn home() -> &'static Path {
        Path::new(HOME)
    }

    /// Where a node answers clients.
    pub fn client_address(node: u32) -> std::net::Ipv4Addr {
        let [.., high, low] = (node * 4 + 2).to_be_bytes();
        std::net::Ipv4Addr::new(10, 98, high, low)
    }

    fn rig_address(node: u32) -> std::net::Ipv4Addr {
        let [.., high, low] = (node * 4 + 1).to_be_bytes();
        std::net::Ipv4Addr::new(10, 98, high, low)
    }

    /// A namespace for a node: a device to its peers, a cable to its clients.
    ///
    /// # Errors
    /// What cannot be had.
    pub fn add(&self, node: u32) -> io::Result<()> {
        let (space, peer) = (name(node), switch::device(node));
        run(&format!("ip netns add {space}"))?;
        self.switch.add(node, || run(&format!("ip link set {peer} netns {space}")).map(drop))?;
        run(&format!("ip link add rjrig{node} type veth peer name rjnode{node} netns {space}"))?;
        run(&format!("ip addr add {}/30 dev rjrig{node}", Self::rig_address(node)))?;
        run(&format!("ip link set rjrig{node} up"))?;
        for line in [
            "link set lo up".to_string(),
            format!("addr add {}/30 dev rjnode{node}", Self::client_address(node)),
            format!("link set rjnode{node} up"),
            format!("addr add {}/16 dev {peer}", switch::address(node)),
            format!("link set {peer} mtu 9000 up"),
        ] {
            run(&format!("ip -n {space} {line}"))?;
        }
        Ok(())
    }

    /// Takes a node's namespace away; its processes have ended.
    pub fn remove(&self, node: u32) {
        self.switch.remove(node);
        let _ = run(&format!("ip link del rjrig{node}"));
        let _ = run(&format!("ip netns del {}", name(node)));
        let _ = run(&format!("umount {}", folder(node).display()));
    }

    /// A file system of this many bytes for a node, all of it in memory.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn disk(&self, node: u32, bytes: u64) -> io::Result<PathBuf> {
        let folder = folder(node);
        std::fs::create_dir_all(&folder)?;
        let options = format!("size={bytes},mode=700");
        run(&format!("mount -t tmpfs -o {options} tmpfs {}", folder.display()))?;
        Ok(folder)
    }
}

fn name(node: u32) -> String {
    format!("rj{node}")
}

fn folder(node: u32) -> PathBuf {
    Path::new(HOME).join(format!("node{node}"))
}

/// A program that runs in a node's namespace.
pub fn inside(node: u32, program: &Path) -> Command {
    let space = format!("--net=/run/netns/{}", name(node));
    let mut command = system("nsenter", &[space.as_str(), "--"]);
    command.arg(program);
    command
}
