//! The peers' network where namespaces are allowed: each node's namespace has one TUN device, and
//! this switch carries IP packets between them as the links say. No kernel module for traffic
//! control is needed, each direction can be treated by itself, and every packet is counted.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use futures_util::StreamExt;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_tun::Tun;
use tokio_util::sync::CancellationToken;
use tokio_util::time::DelayQueue;

use super::links::{Fate, Links};

/// Larger than any packet of the devices.
const PACKET: usize = 1 << 16;
/// Packets on their way to one node; more are lost, as in any switch.
const QUEUE: usize = 4096;

/// What travels to a device.
type Parcel = (Duration, Arc<[u8]>);

/// A device's name.
pub fn device(node: u32) -> String {
    format!("rjpeer{node}")
}

/// A node's address between peers, in a network of 16 bits.
pub fn address(node: u32) -> Ipv4Addr {
    let [.., high, low] = node.to_be_bytes();
    Ipv4Addr::new(10, 99, high, low)
}

/// The node that a packet goes to.
fn node_of(packet: &[u8]) -> Option<u32> {
    match (packet.first()? >> 4, packet.get(16..20)?) {
        (4, [10, 99, high, low]) => Some(u32::from_be_bytes([0, 0, *high, *low])),
        _ => None,
    }
}

#[derive(Debug)]
struct Port {
    way: mpsc::Sender<Parcel>,
    over: CancellationToken,
}

/// The ports by the numbers of their nodes.
#[derive(Debug, Clone, Default)]
struct Ports(Arc<RwLock<BTreeMap<u32, Port>>>);

/// The switch, with a thread of its own; its devices are gone when it is dropped.
#[derive(Debug)]
pub struct Switch {
    links: Links,
    ports: Ports,
    runtime: Runtime,
}

impl Switch {
    /// A switch without ports.
    ///
    /// # Errors
    /// When no thread can be made.
    pub fn new(links: &Links) -> io::Result<Self> {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).thread_name("switch").enable_all().build()?;
        Ok(Self { links: links.clone(), ports: Ports::default(), runtime })
    }

    /// Makes a node's device, in the namespace of the caller, lets it be moved to the node's, and
    /// carries its packets from then on.
    ///
    /// # Errors
    /// When the system makes no such device here, or it cannot be moved.
    pub fn add(&self, node: u32, moved: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let _inside = self.runtime.enter();
        let device = open(node)?;
        moved()?;
        let (way, parcels) = mpsc::channel(QUEUE);
        let over = CancellationToken::new();
        tokio::spawn(over.clone().run_until_cancelled_owned(hand_out(device.clone(), parcels)));
        let taking = take_in(node, device, self.ports.clone(), self.links.clone());
        tokio::spawn(over.clone().run_until_cancelled_owned(taking));
        self.ports.0.write().unwrap().insert(node, Port { way, over });
        Ok(())
    }

    /// Takes a node's device away.
    pub fn remove(&self, node: u32) {
        if let Some(port) = self.ports.0.write().unwrap().remove(&node) {
            port.over.cancel();
        }
    }
}

fn open(node: u32) -> io::Result<Arc<Tun>> {
    let opened = Tun::builder().name(&device(node)).build().map_err(io::Error::other)?;
    opened.into_iter().next().map(Arc::new).ok_or_else(|| io::Error::other("no device"))
}

impl Ports {
    fn send(&self, to: u32, times: u8, parcel: &Parcel) {
        if let Some(port) = self.0.read().unwrap().get(&to) {
            (0..times).for_each(|_| drop(port.way.try_send(parcel.clone())));
        }
    }
}

/// Reads what a node sends, until its device is gone.
async fn take_in(from: u32, device: Arc<Tun>, ports: Ports, links: Links) {
    let mut buffer = vec![0; PACKET];
    while let Ok(length) = device.recv(&mut buffer).await {
        let packet = &buffer[..length];
        let Some(to) = node_of(packet) else { continue };
        if let Fate::Comes(after, times) = links.judge(from, to) {
            ports.send(to, times, &(after, packet.into()));
        }
    }
}

/// Gives a node what comes for it, each packet at its time.
async fn hand_out(device: Arc<Tun>, mut parcels: mpsc::Receiver<Parcel>) {
    let mut held: DelayQueue<Arc<[u8]>> = DelayQueue::new();
    loop {
        tokio::select! {
            parcel = parcels.recv() => match parcel {
                None => return,
                Some((after, packet)) if after.is_zero() => drop(device.send(&packet).await),
                Some((after, packet)) => drop(held.insert(packet, after)),
            },
            Some(due) = held.next(), if !held.is_empty() => {
                drop(device.send(&due.into_inner()).await);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_find_their_node() {
        let mut packet = [0u8; 20];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&address(3).octets());
        assert_eq!(node_of(&packet), Some(3));
        packet[16] = 11;
        assert_eq!(node_of(&packet), None);
        assert_eq!(node_of(&packet[..19]), None);
        packet[0] = 0x60;
        assert_eq!(node_of(&packet), None);
    }
}
