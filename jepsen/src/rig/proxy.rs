//! The peers' network where no namespaces are allowed: before each node stands a proxy, and all
//! streams between nodes go through it as the links say. A lost packet is what TCP makes of it, a
//! pause; a cut link holds everything back until it is sound again.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::links::{Fate, Links};

/// What counts as one packet.
const PIECE: usize = 8 << 10;
/// What TCP waits before it sends again.
const AGAIN: Duration = Duration::from_millis(200);

/// The processes of the nodes, by their numbers.
pub type Processes = Arc<Mutex<BTreeMap<u32, u32>>>;

/// The proxies of all nodes, on a thread of their own.
#[derive(Debug)]
pub struct Proxies {
    links: Links,
    /// Kept up by the nodes.
    pub processes: Processes,
    runtime: Runtime,
}

impl Proxies {
    /// None yet.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn new(links: &Links) -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("proxy").enable_all().build()?;
        Ok(Self { links: links.clone(), processes: Processes::default(), runtime })
    }

    /// One before a node; where it listens.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn add(&self, node: u32, behind: SocketAddr) -> io::Result<SocketAddr> {
        let _inside = self.runtime.enter();
        let socket = std::net::TcpListener::bind((behind.ip(), 0))?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket)?;
        let address = listener.local_addr()?;
        let (links, processes) = (self.links.clone(), self.processes.clone());
        tokio::spawn(async move {
            while let Ok((stream, from)) = listener.accept().await {
                let (links, processes) = (links.clone(), processes.clone());
                // The kernel's table is long on a machine with much else to do: nobody waits for it.
                let look = move || caller(from, address, &processes);
                tokio::spawn(async move {
                    let Ok(who) = tokio::task::spawn_blocking(look).await else { return };
                    carry(stream, behind, (who, node), links).await;
                });
            }
        });
        Ok(address)
    }
}

async fn carry(stream: TcpStream, behind: SocketAddr, (from, to): (u32, u32), links: Links) {
    // Over a cut link no connection comes about, and who gave up is forgotten: else all that was
    // tried meanwhile would fall upon the node when the link is sound again.
    while matches!(links.judge(from, to), Fate::Lost) {
        pause(AGAIN).await;
    }
    if is_closed(&stream).await {
        return;
    }
    let Ok(other) = TcpStream::connect(behind).await else { return };
    let _ = (stream.set_nodelay(true), other.set_nodelay(true));
    let (near_in, near_out) = stream.into_split();
    let (far_in, far_out) = other.into_split();
    let back = links.clone();
    tokio::join!(
        one_way(near_in, far_out, (from, to), &links),
        one_way(far_in, near_out, (to, from), &back)
    );
}

/// Whether the caller has gone, whatever it said before.
async fn is_closed(stream: &TcpStream) -> bool {
    let ready = stream.ready(Interest::READABLE | Interest::WRITABLE).await;
    ready.is_ok_and(|ready| ready.is_read_closed())
}

/// Until either end is closed.
async fn one_way(
    mut source: OwnedReadHalf,
    mut sink: OwnedWriteHalf,
    (from, to): (u32, u32),
    links: &Links,
) {
    let mut piece = vec![0; PIECE];
    while let Ok(length @ 1..) = source.read(&mut piece).await {
        loop {
            match links.judge(from, to) {
                Fate::Lost => pause(AGAIN).await,
                Fate::Comes(after, _) => break pause(after).await,
            }
        }
        if sink.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        let _ = tokio::time::timeout(time, std::future::pending::<()>()).await;
    }
}

/// The node whose process has this connection; 0 for anybody else.
fn caller(from: SocketAddr, to: SocketAddr, processes: &Processes) -> u32 {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let Some(inode) = table.lines().find_map(|line| inode(line, from, to)) else { return 0 };
    let processes = processes.lock().unwrap().clone();
    let has = |process: &u32| holds(*process, &inode);
    processes.iter().find(|(_, process)| has(process)).map_or(0, |(node, _)| *node)
}

/// The inode of a connection in a line of the kernel's table.
fn inode(line: &str, from: SocketAddr, to: SocketAddr) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let there = *words.get(1)? == written(from)? && *words.get(2)? == written(to)?;
    there.then(|| words.get(9).map(ToString::to_string)).flatten()
}

/// An address as the kernel writes it.
fn written(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    let ip = u32::from_le_bytes(address.ip().octets());
    Some(format!("{ip:08X}:{:04X}", address.port()))
}

fn holds(process: u32, inode: &str) -> bool {
    let wanted = format!("socket:[{inode}]");
    let files = std::fs::read_dir(format!("/proc/{process}/fd")).into_iter().flatten().flatten();
    let mut links = files.filter_map(|file| std::fs::read_link(file.path()).ok());
    links.any(|link| link == Path::new(&wanted))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::time::Instant;

    use super::super::links::Link;
    use super::*;

    /// A server that answers each byte with itself, behind a proxy; and a connection through it.
    fn scene(links: &Links) -> (Proxies, std::net::TcpStream) {
        let proxies = Proxies::new(links).unwrap();
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = proxies.add(2, server.local_addr().unwrap()).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = server.accept().unwrap();
            let mut byte = [0];
            while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
        });
        proxies.processes.lock().unwrap().insert(1, std::process::id());
        (proxies, std::net::TcpStream::connect(address).unwrap())
    }

    fn knock(stream: &mut std::net::TcpStream) -> Option<Duration> {
        let sent = Instant::now();
        stream.write_all(b"x").unwrap();
        stream.read_exact(&mut [0]).ok().map(|()| sent.elapsed())
    }

    #[test]
    fn who_gave_up_while_a_link_was_cut_does_not_come_later() {
        let links = Links::new(1);
        links.set(1, 2, Link::CUT);
        let proxies = Proxies::new(&links).unwrap();
        proxies.processes.lock().unwrap().insert(1, std::process::id());
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = proxies.add(2, server.local_addr().unwrap()).unwrap();
        let mut gone = std::net::TcpStream::connect(address).unwrap();
        gone.write_all(b"gone").unwrap();
        while links.counts(1, 2).dropped == 0 {
            std::thread::yield_now();
        }
        drop(gone);
        links.heal();
        let mut there = std::net::TcpStream::connect(address).unwrap();
        there.write_all(b"here").unwrap();
        let mut said = [0; 4];
        server.accept().unwrap().0.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"here");
    }

    #[test]
    fn the_caller_is_known_and_its_links_count() {
        let links = Links::new(1);
        let (_proxies, mut stream) = scene(&links);
        assert!(knock(&mut stream).is_some());
        // The connection itself counts as one.
        assert_eq!((links.counts(1, 2).passed, links.counts(2, 1).passed), (2, 1));
        links.set(2, 1, Link { delay: Duration::from_millis(30), ..Link::SOUND });
        assert!(knock(&mut stream).unwrap() >= Duration::from_millis(30));
        links.set(1, 2, Link::CUT);
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        assert_eq!(knock(&mut stream), None);
        assert!(links.counts(1, 2).dropped > 0);
        links.heal();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    }
}
