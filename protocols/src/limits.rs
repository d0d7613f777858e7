//! Limits of connections, and who is let in: by total, by address, by user.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::AccountId;

use crate::stream::Peer;

/// What one listener's sessions may take. Every limit has a clear refusal.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections at one time.
    pub connections: usize,
    /// Connections at one time from one address that is not trusted.
    pub connections_per_address: usize,
    /// Sessions at one time of one user.
    pub connections_per_user: usize,
    /// A TLS handshake takes at most this long.
    pub handshake_timeout: Duration,
    /// A connection that has not logged in is closed after this long.
    pub login_timeout: Duration,
    /// A session is closed after this long without a command (RFC 9051 section 5.4: at least
    /// 30 minutes once authenticated).
    pub idle_timeout: Duration,
    /// A client sends the rest of a command, or the next piece of a message, within this time.
    pub receive_timeout: Duration,
    /// A client takes [`Limits::output_buffer`] octets within this time.
    pub send_timeout: Duration,
    /// Octets that wait for a client before the session waits for it.
    pub output_buffer: usize,
    /// Failed logins on one connection before it is closed.
    pub auth_failures: u32,
    /// Unreadable commands in a row before the connection is closed.
    pub bad_commands: u32,
    /// Whose word about the original client is taken, and who has no limit by address.
    pub trusted: Networks,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            connections_per_address: 500,
            connections_per_user: 100,
            handshake_timeout: Duration::from_secs(30),
            login_timeout: Duration::from_secs(180),
            idle_timeout: Duration::from_secs(30 * 60),
            receive_timeout: Duration::from_secs(300),
            send_timeout: Duration::from_secs(120),
            output_buffer: 64 * 1024,
            auth_failures: 5,
            bad_commands: 20,
            trusted: Networks::loopback(),
        }
    }
}

/// Whether a password may cross an unencrypted connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlaintextPolicy {
    /// Only under TLS.
    Never,
    /// Under TLS, and from this machine.
    #[default]
    Loopback,
    /// From everywhere.
    Always,
}

impl PlaintextPolicy {
    /// Whether a client there may send a password now; judged by the original client.
    pub fn allows(self, peer: &Peer) -> bool {
        peer.tls
            || match self {
                Self::Never => false,
                Self::Loopback => peer.is_loopback(),
                Self::Always => true,
            }
    }
}

impl FromStr for PlaintextPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            "loopback" => Ok(Self::Loopback),
            "always" => Ok(Self::Always),
            _ => Err(format!("{text:?} is not never, loopback or always")),
        }
    }
}

/// A list of networks, such as `127.0.0.0/8`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Networks(Vec<(IpAddr, u8)>);

impl Networks {
    /// `127.0.0.0/8` and `::1`.
    pub fn loopback() -> Self {
        let v4 = (IpAddr::from([127, 0, 0, 0]), 8);
        let v6 = (IpAddr::from(std::net::Ipv6Addr::LOCALHOST), 128);
        Self(vec![v4, v6])
    }

    /// Reads networks and addresses.
    ///
    /// # Errors
    /// Names the text that is neither.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, String> {
        texts.iter().map(|text| parse_network(text.as_ref())).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the address lies in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|(network, prefix)| lies_in(address, *network, *prefix))
    }
}

fn parse_network(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || format!("{text:?} is not an address or a network such as 10.0.0.0/8");
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        Some(prefix) => prefix.trim().parse().ok().filter(|p| *p <= bits).ok_or_else(wrong)?,
        None => bits,
    };
    Ok((address, prefix))
}

fn lies_in(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    let prefix = u32::from(prefix);
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => {
            (a.to_bits() ^ n.to_bits()).checked_shr(32 - prefix).unwrap_or(0) == 0
        }
        (IpAddr::V6(a), IpAddr::V6(n)) => {
            (a.to_bits() ^ n.to_bits()).checked_shr(128 - prefix).unwrap_or(0) == 0
        }
        _ => false,
    }
}

/// Why a connection or a login is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The server has as many connections as it may.
    #[error("too many connections to this server; try again later")]
    Server,
    /// The address has as many as it may.
    #[error("too many connections from your address; close some")]
    Address,
    /// The user has as many sessions as one may.
    #[error("too many sessions of this user; close some")]
    User,
    /// It is shutting down.
    #[error("the server is shutting down; connect again later")]
    ShuttingDown,
}

/// Counts of what is connected now. Invariant: every count is that of live
/// [`Permit`]s, and no key with a count of 0 is kept.
#[derive(Debug, Default)]
pub struct Gate {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
    users: HashMap<AccountId, usize>,
}

impl Gate {
    /// Lets a connection in. `address` is `None` where no limit by address applies.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn admit(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<Permit, Refusal> {
        let mut counts = self.counts.lock();
        if counts.total >= limits.connections {
            return Err(Refusal::Server);
        }
        if let Some(address) = address
            && !raise(&mut counts.addresses, address, limits.connections_per_address)
        {
            return Err(Refusal::Address);
        }
        counts.total += 1;
        Ok(Permit { gate: self.clone(), address, user: None })
    }

    /// Connections now.
    pub fn connections(&self) -> usize {
        self.counts.lock().total
    }
}

fn raise<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K, limit: usize) -> bool {
    let count = counts.get(&key).copied().unwrap_or(0);
    if count >= limit {
        return false;
    }
    counts.insert(key, count + 1);
    true
}

fn lower<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    match counts.get_mut(key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => drop(counts.remove(key)),
    }
}

/// One connection's place among the limits; given back when dropped.
#[derive(Debug)]
pub struct Permit {
    gate: Arc<Gate>,
    address: Option<IpAddr>,
    user: Option<AccountId>,
}

impl Permit {
    /// Counts this connection as one of another address: that of the client behind a proxy.
    /// `None` where no limit by address applies.
    ///
    /// # Errors
    /// [`Refusal::Address`] when the address has as many as it may.
    pub fn admit_address(
        &mut self,
        address: Option<IpAddr>,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        if self.address == address {
            return Ok(());
        }
        let mut counts = self.gate.counts.lock();
        if let Some(address) = address
            && !raise(&mut counts.addresses, address, limits.connections_per_address)
        {
            return Err(Refusal::Address);
        }
        if let Some(before) = std::mem::replace(&mut self.address, address) {
            lower(&mut counts.addresses, &before);
        }
        Ok(())
    }

    /// Counts this connection as one of the user's sessions.
    ///
    /// # Errors
    /// [`Refusal::User`] when the user has as many as one may.
    pub fn admit_user(&mut self, user: AccountId, limits: &Limits) -> Result<(), Refusal> {
        let mut counts = self.gate.counts.lock();
        if !raise(&mut counts.users, user, limits.connections_per_user) {
            return Err(Refusal::User);
        }
        if let Some(before) = self.user.replace(user) {
            lower(&mut counts.users, &before);
        }
        Ok(())
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.gate.counts.lock();
        counts.total -= 1;
        if let Some(address) = self.address {
            lower(&mut counts.addresses, &address);
        }
        if let Some(user) = self.user {
            lower(&mut counts.users, &user);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn limits() -> Limits {
        Limits {
            connections: 3,
            connections_per_address: 2,
            connections_per_user: 1,
            ..Limits::default()
        }
    }

    #[test]
    fn counts_are_given_back() {
        let gate = Arc::new(Gate::default());
        let there = Some(IpAddr::from([192, 0, 2, 1]));
        let first = gate.admit(there, &limits()).unwrap();
        let second = gate.admit(there, &limits()).unwrap();
        assert_eq!(gate.admit(there, &limits()).unwrap_err(), Refusal::Address);
        let third = gate.admit(None, &limits()).unwrap();
        assert_eq!(gate.admit(None, &limits()).unwrap_err(), Refusal::Server);
        drop((first, second, third));
        assert_eq!(gate.connections(), 0);
        assert!(gate.counts.lock().addresses.is_empty());
        assert!(gate.admit(there, &limits()).is_ok());
    }

    #[test]
    fn users_have_a_limit_of_their_own() {
        let gate = Arc::new(Gate::default());
        let mut first = gate.admit(None, &limits()).unwrap();
        let mut second = gate.admit(None, &limits()).unwrap();
        assert_eq!(first.admit_user(AccountId(1), &limits()), Ok(()));
        assert_eq!(second.admit_user(AccountId(1), &limits()), Err(Refusal::User));
        assert_eq!(second.admit_user(AccountId(2), &limits()), Ok(()));
        drop(first);
        assert_eq!(second.admit_user(AccountId(1), &limits()), Ok(()));
        assert_eq!(gate.counts.lock().users.len(), 1);
    }

    #[test]
    fn a_client_behind_a_proxy_is_counted_for_itself() {
        let gate = Arc::new(Gate::default());
        let [proxy, client] = [[10, 0, 0, 1], [192, 0, 2, 1]].map(|ip| Some(IpAddr::from(ip)));
        let mut first = gate.admit(proxy, &limits()).unwrap();
        let mut second = gate.admit(proxy, &limits()).unwrap();
        assert_eq!(first.admit_address(client, &limits()), Ok(()));
        assert_eq!(second.admit_address(client, &limits()), Ok(()));
        let mut third = gate.admit(proxy, &limits()).unwrap();
        assert_eq!(third.admit_address(client, &limits()), Err(Refusal::Address));
        assert_eq!(first.admit_address(None, &limits()), Ok(()));
        assert_eq!(third.admit_address(client, &limits()), Ok(()));
        drop((first, second, third));
        assert!(gate.counts.lock().addresses.is_empty());
    }

    #[test]
    fn networks_contain_their_addresses() {
        let networks = Networks::parse(&["10.1.0.0/16", "2001:db8::/32", "192.0.2.7"]).unwrap();
        for inside in ["10.1.2.3", "2001:db8::1", "192.0.2.7", "::ffff:10.1.9.9"] {
            assert!(networks.contain(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["10.2.0.1", "2001:db9::1", "192.0.2.8"] {
            assert!(!networks.contain(outside.parse().unwrap()), "{outside}");
        }
        assert!(Networks::parse(&["0.0.0.0/0"]).unwrap().contain([9, 9, 9, 9].into()));
        for wrong in ["", "10.0.0.0/33", "x", "10.0.0.0/-1"] {
            assert!(Networks::parse(&[wrong]).is_err(), "{wrong}");
        }
    }
}
