//! The wires between nodes on one machine: a TCP proxy before each node's peer
//! port, so that a node can be cut off from the others without a word to anybody.
//! What is sent meanwhile waits, as on a network that drops packets.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// All proxies.
#[derive(Debug, Clone, Default)]
pub struct Wires(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    healed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// By node its process.
    processes: Vec<u32>,
    /// Those that are cut off.
    cut: HashSet<usize>,
}

impl Wires {
    /// A proxy to a node's peer port: the node's number, from 0 on, and the address that it is
    /// to give to its peers.
    ///
    /// # Errors
    /// The system's, for a listener.
    pub fn add(&self, target: SocketAddr) -> io::Result<(usize, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let number = {
            let mut state = self.0.state.lock();
            state.processes.push(0);
            state.processes.len() - 1
        };
        let shared = self.0.clone();
        thread::spawn(move || {
            for dialer in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || shared.connect(dialer, number, target));
            }
        });
        Ok((number, address))
    }

    /// Which process is a node, so that what it dials is known to be its.
    pub fn is(&self, node: usize, process: u32) {
        if let Some(known) = self.0.state.lock().processes.get_mut(node) {
            *known = process;
        }
    }

    /// Cuts a node off from all others, both ways.
    pub fn cut(&self, node: usize) {
        self.0.state.lock().cut.insert(node);
    }

    /// Joins it again: what was held back goes on.
    pub fn heal(&self, node: usize) {
        self.0.state.lock().cut.remove(&node);
        self.0.healed.notify_all();
    }
}

impl Shared {
    fn connect(self: Arc<Self>, dialer: TcpStream, node: usize, target: SocketAddr) -> Option<()> {
        let socket = socket_of(dialer.peer_addr().ok()?, dialer.local_addr().ok()?);
        let ends = Arc::new(Ends { to: node, socket, from: Mutex::default() });
        self.pass(&ends);
        let target = TcpStream::connect(target).ok()?;
        dialer.set_nodelay(true).ok()?;
        target.set_nodelay(true).ok()?;
        let back = (target.try_clone().ok()?, dialer.try_clone().ok()?);
        let (shared, both) = (self.clone(), ends.clone());
        let thread = thread::spawn(move || shared.pump(&both, back.0, back.1));
        self.pump(&ends, dialer, target);
        thread.join().ok()
    }

    fn pump(&self, ends: &Ends, mut from: TcpStream, mut to: TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            self.pass(ends);
            let whole = buffer.get(..length).map(|octets| to.write_all(octets));
            if !matches!(whole, Some(Ok(()))) {
                break;
            }
        }
        // Nobody hears over a cut wire that the other end is gone.
        self.pass(ends);
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }

    /// Waits while either end is cut off.
    fn pass(&self, ends: &Ends) {
        let mut state = self.state.lock();
        while ends.is_cut(&state) {
            self.healed.wait(&mut state);
        }
    }
}

/// The two nodes of a connection.
#[derive(Debug)]
struct Ends {
    to: usize,
    /// The dialer's, as Linux names it.
    socket: Option<String>,
    /// Who that is, once it was found out.
    from: Mutex<Option<usize>>,
}

impl Ends {
    fn is_cut(&self, state: &State) -> bool {
        if state.cut.is_empty() {
            return false;
        }
        state.cut.contains(&self.to)
            || self.from(state).is_some_and(|from| state.cut.contains(&from))
    }

    /// The node whose process has the dialer's socket.
    fn from(&self, state: &State) -> Option<usize> {
        let socket = self.socket.as_ref()?;
        let mut from = self.from.lock();
        if from.is_none() {
            *from = state.processes.iter().position(|process| has_socket(*process, socket));
        }
        *from
    }
}

/// The inode of the socket with these ends, by Linux's table.
fn socket_of(local: SocketAddr, remote: SocketAddr) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let (local, remote) = (hexadecimal(local)?, hexadecimal(remote)?);
    table.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let is_it =
            fields.get(1) == Some(&local.as_str()) && fields.get(2) == Some(&remote.as_str());
        is_it.then(|| fields.get(9).map(|inode| format!("socket:[{inode}]")))?
    })
}

/// `127.0.0.1:8080` as `0100007F:1F90`.
fn hexadecimal(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    let ip = u32::from_ne_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}

fn has_socket(process: u32, inode: &str) -> bool {
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let leads = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == inode);
    files.into_iter().any(|file| leads(&file.path()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

    use super::*;

    /// A server that repeats octets.
    fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut back = stream.try_clone().unwrap();
                thread::spawn(move || io::copy(&mut &stream, &mut back));
            }
        });
        address
    }

    #[test]
    fn what_is_cut_waits_until_it_is_healed() {
        let wires = Wires::default();
        let (node, address) = wires.add(echo()).unwrap();
        let (other, _) = wires.add(echo()).unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let mut octet = [0];
        stream.write_all(b"a").unwrap();
        stream.read_exact(&mut octet).unwrap();
        // Of another node nothing is known here.
        wires.cut(other);
        wires.cut(node);
        stream.write_all(b"b").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(stream.read_exact(&mut octet).is_err());
        wires.heal(node);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read_exact(&mut octet).unwrap();
        assert_eq!(octet, *b"b");
    }

    #[test]
    fn who_dials_is_known_by_its_process() {
        let wires = Wires::default();
        let (_, address) = wires.add(echo()).unwrap();
        let (own, _) = wires.add(echo()).unwrap();
        wires.is(own, std::process::id());
        wires.cut(own);
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        stream.write_all(b"a").unwrap();
        assert!(stream.read_exact(&mut [0]).is_err(), "what it dials is cut");
        wires.heal(own);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
}
