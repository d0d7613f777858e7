//! The rig tried out without any node: echo servers in the namespaces, and what the links do to
//! packets as a program in a namespace sees it.

use std::io::{self, BufRead, BufReader};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::links::{Link, Links};
use super::space::{self, Space};
use super::switch;

const PORT: u16 = 9;
/// Packets of one try.
const PACKETS: u32 = 40;
/// Packets that nobody is to answer.
const FEW: u32 = 5;
/// No echo takes longer.
const PATIENCE: Duration = Duration::from_millis(250);

/// Answers every packet with itself, for ever.
///
/// # Errors
/// When the address cannot be had.
pub fn echo(node: u32) -> io::Result<()> {
    let socket = UdpSocket::bind(peer(node))?;
    println!("ready");
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
}

/// Sends packets one by one: prints how many came back, and the median time in microseconds.
///
/// # Errors
/// When there is no network.
pub fn knock(node: u32, packets: u32) -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut times: Vec<u128> = Vec::new();
    for n in 0..packets {
        times.extend(knock_once(&socket, node, n)?);
    }
    times.sort_unstable();
    println!("{} {}", times.len(), times.get(times.len() / 2).unwrap_or(&0));
    Ok(())
}

fn knock_once(socket: &UdpSocket, node: u32, n: u32) -> io::Result<Option<u128>> {
    let sent = Instant::now();
    socket.send_to(&n.to_be_bytes(), peer(node))?;
    let mut answer = [0; 4];
    loop {
        match socket.recv(&mut answer) {
            Ok(4) if answer == n.to_be_bytes() => return Ok(Some(sent.elapsed().as_micros())),
            Ok(_) => {}
            Err(_) => return Ok(None),
        }
    }
}

fn peer(node: u32) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(switch::address(node)), PORT)
}

/// What a program in a namespace saw: packets that came back, and their median time.
#[derive(Debug, Clone, Copy)]
struct Seen {
    back: u32,
    median: Duration,
}

/// Two namespaces, and each thing that links can do.
///
/// # Errors
/// What is not as it should be.
pub fn run() -> io::Result<()> {
    let links = Links::new(1);
    let space = Space::new(&links)?;
    for node in [1, 2, 3] {
        space.add(node)?;
    }
    let (two, three) = (Echo::start(2)?, Echo::start(3)?);
    let tried = tries(&links);
    drop((two, three));
    tried
}

fn tries(links: &Links) -> io::Result<()> {
    let sound = ask(1, 2, PACKETS)?;
    expect("sound links", sound, sound.back == PACKETS && sound.median < PATIENCE / 5)?;
    links.set(1, 2, Link::CUT);
    let there = ask(1, 2, FEW)?;
    expect("a cut way there", there, links.counts(1, 2).dropped == u64::from(FEW))?;
    let other = ask(1, 3, PACKETS)?;
    expect("the way to another", other, other.back == PACKETS)?;
    links.heal();
    links.set(2, 1, Link::CUT);
    let back = ask(1, 2, FEW)?;
    expect("a cut way back", back, back.back == 0 && links.counts(2, 1).dropped > 0)?;
    links.heal();
    links.set_both(1, 2, Link { delay: Duration::from_millis(20), ..Link::SOUND });
    let slow = ask(1, 2, PACKETS)?;
    expect("slow links", slow, slow.back == PACKETS && slow.median > Duration::from_millis(39))?;
    links.set_both(1, 2, Link { loss: 0.3, doubled: 0.3, ..Link::SOUND });
    let lossy = ask(1, 2, PACKETS)?;
    expect("lossy links", lossy, (1..PACKETS).contains(&lossy.back))?;
    links.heal();
    let healed = ask(1, 2, PACKETS)?;
    expect("healed links", healed, healed.back == PACKETS)
}

fn expect(what: &str, seen: Seen, holds: bool) -> io::Result<()> {
    println!("{what}: {} came back, median {:?}", seen.back, seen.median);
    if holds { Ok(()) } else { Err(io::Error::other(format!("{what}: not so"))) }
}

/// A server in a node's namespace.
struct Echo(Child);

impl Echo {
    fn start(node: u32) -> io::Result<Self> {
        let mut command = space::inside(node, &std::env::current_exe()?);
        command.args(["echo", &node.to_string()]).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        if let Some(said) = child.stdout.take() {
            BufReader::new(said).read_line(&mut line)?;
        }
        Ok(Self(child))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ask(from: u32, to: u32, packets: u32) -> io::Result<Seen> {
    let mut command = space::inside(from, &std::env::current_exe()?);
    command.args(["knock", &to.to_string(), &packets.to_string()]);
    let said = super::command::done(command)?;
    let mut numbers = said.split_whitespace().filter_map(|word| word.parse::<u64>().ok());
    let (Some(back), Some(median)) = (numbers.next(), numbers.next()) else {
        return Err(io::Error::other(format!("it said {said:?}")));
    };
    Ok(Seen { back: back as u32, median: Duration::from_micros(median) })
}
