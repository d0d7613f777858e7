//! The PROXY protocol, versions 1 and 2: how a load balancer that passes on
//! octets says whose they are (HAProxy's proxy-protocol.txt).
//!
//! A header is taken only on listeners that are made for it, and only from
//! trusted networks; there each connection must begin with one. Nothing behind
//! the header is read: it may be the beginning of a TLS handshake.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::{AsyncRead, AsyncReadExt};

/// What version 2 begins with (section 2.2).
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Octets of the longest line of version 1, CRLF included (section 2.1).
const MAX_LINE: usize = 107;
/// Octets behind the fixed part of version 2: addresses, and extensions that
/// are passed over. Room for a client's certificate, not for a flood.
const MAX_BLOCK: usize = 8 * 1024;

/// Who a header says the client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The proxy itself, such as when it looks whether we live.
    Itself,
    /// A client at this address.
    Client(IpAddr),
    /// A client that the proxy has no address of (another family, a Unix socket).
    Unknown,
}

/// Why a connection has no header that can be taken. The connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The octets are none, or not whole.
    #[error("it does not begin with a PROXY header: {0}")]
    Malformed(&'static str),
    /// The network.
    #[error(transparent)]
    Io(#[from] io::Error),
}

use ProxyError::Malformed;

/// Reads a header, and no octet more. Sets no time limit.
///
/// # Errors
/// There is none, or it is malformed or too long.
pub async fn read<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Claim, ProxyError> {
    // Both versions have more octets than this.
    let mut head = [0; SIGNATURE.len()];
    reader.read_exact(&mut head).await?;
    if head == SIGNATURE {
        return binary(reader).await;
    }
    if !head.starts_with(b"PROXY ") {
        return Err(Malformed("neither version 1 nor 2"));
    }
    line(reader, &head).await
}

async fn line<R: AsyncRead + Unpin>(reader: &mut R, head: &[u8]) -> Result<Claim, ProxyError> {
    let mut line = head.to_vec();
    while !line.ends_with(b"\r\n") {
        if line.len() >= MAX_LINE {
            return Err(Malformed("the line is too long"));
        }
        line.push(reader.read_u8().await?);
    }
    line.truncate(line.len() - 2);
    let text = std::str::from_utf8(&line).map_err(|_| Malformed("the line is not ASCII"))?;
    version_1(text)
}

/// `PROXY TCP4 source destination port port`, without its CRLF (section 2.1).
fn version_1(line: &str) -> Result<Claim, ProxyError> {
    let mut words = line.split(' ').skip(1);
    let mut word = || words.next().ok_or(Malformed("the line ends early"));
    let source: IpAddr = match word()? {
        // Whatever stands behind it is passed over.
        "UNKNOWN" => return Ok(Claim::Unknown),
        "TCP4" => pair::<Ipv4Addr>(word()?, word()?)?.into(),
        "TCP6" => pair::<Ipv6Addr>(word()?, word()?)?.into(),
        _ => return Err(Malformed("the family is not known")),
    };
    for _ in 0..2 {
        word()?.parse::<u16>().map_err(|_| Malformed("a port is none"))?;
    }
    match words.next() {
        None => Ok(Claim::Client(source.to_canonical())),
        Some(_) => Err(Malformed("more stands on the line")),
    }
}

/// The first of two addresses; the second must be one too.
fn pair<T: std::str::FromStr>(source: &str, destination: &str) -> Result<T, ProxyError> {
    let parse = |text: &str| text.parse::<T>().map_err(|_| Malformed("an address is none"));
    let source = parse(source)?;
    parse(destination)?;
    Ok(source)
}

async fn binary<R: AsyncRead + Unpin>(reader: &mut R) -> Result<Claim, ProxyError> {
    let [command, family] = [reader.read_u8().await?, reader.read_u8().await?];
    let length = usize::from(reader.read_u16().await?);
    if length > MAX_BLOCK {
        return Err(Malformed("it is too long"));
    }
    let mut block = vec![0; length];
    reader.read_exact(&mut block).await?;
    version_2(command, family, &block)
}

/// Section 2.2: the upper four bits of `command` are the version, those of
/// `family` the kind of addresses that `block` begins with.
fn version_2(command: u8, family: u8, block: &[u8]) -> Result<Claim, ProxyError> {
    if command >> 4 != 2 {
        return Err(Malformed("the version is not known"));
    }
    match command & 15 {
        0 => return Ok(Claim::Itself),
        1 => {}
        _ => return Err(Malformed("the command is not known")),
    }
    match family {
        0x11 => source::<4>(block, 12),
        0x21 => source::<16>(block, 36),
        // Unix sockets, datagrams, or a family that the proxy has no word for.
        _ if family >> 4 <= 3 && family & 15 <= 2 => Ok(Claim::Unknown),
        _ => Err(Malformed("the family is not known")),
    }
}

/// The first address; the second and two ports follow, then extensions
/// (section 2.2.7), which are passed over.
fn source<const N: usize>(block: &[u8], whole: usize) -> Result<Claim, ProxyError>
where
    IpAddr: From<[u8; N]>,
{
    let source = block.get(..whole).and_then(|block| block.first_chunk::<N>());
    let source = source.ok_or(Malformed("its addresses are cut off"))?;
    Ok(Claim::Client(IpAddr::from(*source).to_canonical()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use proptest::prelude::*;

    use super::*;

    /// What the octets claim, and how many of them are left.
    fn take(mut octets: &[u8]) -> (Result<Claim, ProxyError>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let claim = runtime.block_on(read(&mut octets));
        (claim, octets.len())
    }

    fn claim(octets: &[u8]) -> Option<Claim> {
        take(octets).0.ok()
    }

    fn client(text: &str) -> Option<Claim> {
        Some(Claim::Client(text.parse().unwrap()))
    }

    fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    fn ipv4() -> Vec<u8> {
        vec![192, 0, 2, 1, 198, 51, 100, 1, 0x30, 0x39, 0, 143]
    }

    #[test]
    fn lines_of_version_1() {
        let tcp4 = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 143\r\na LOGIN";
        let (said, left) = take(tcp4);
        assert_eq!((said.ok(), left), (client("192.0.2.1"), b"a LOGIN".len()));
        let tcp6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n";
        assert_eq!(claim(tcp6), client("2001:db8::1"));
        let mapped = b"PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2\r\n";
        assert_eq!(claim(mapped), client("192.0.2.1"));
        assert_eq!(claim(b"PROXY UNKNOWN\r\n"), Some(Claim::Unknown));
        assert_eq!(claim(b"PROXY UNKNOWN what ever it says\r\n"), Some(Claim::Unknown));
    }

    #[test]
    fn no_lines_of_version_1() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE));
        for wrong in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.1 1 2\r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY \r\n                    ",
            "proxy TCP4 192.0.2.1 198.51.100.1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 1 2\n",
            "a LOGIN alice secret\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            long.as_str(),
            "",
        ] {
            assert_eq!(claim(wrong.as_bytes()), None, "{wrong:?}");
        }
        assert_eq!(take(long.as_bytes()).1, long.len() - MAX_LINE);
    }

    #[test]
    fn headers_of_version_2() {
        let extended = [ipv4(), b"\x04\0\x01\0".to_vec()].concat();
        let (said, left) = take(&[header(0x21, 0x11, &extended), b"EHLO".to_vec()].concat());
        assert_eq!((said.ok(), left), (client("192.0.2.1"), 4));
        let addresses: Vec<u8> = (0..36).collect();
        assert_eq!(claim(&header(0x21, 0x21, &addresses)), client("1:203:405:607:809:a0b:c0d:e0f"));
        let mapped = ["::ffff:192.0.2.9", "::1"].map(|text| text.parse::<Ipv6Addr>().unwrap());
        let mapped = [&mapped[0].octets()[..], &mapped[1].octets(), &[0; 4]].concat();
        assert_eq!(claim(&header(0x21, 0x21, &mapped)), client("192.0.2.9"));
        // LOCAL: the rest is passed over.
        assert_eq!(claim(&header(0x20, 0, b"")), Some(Claim::Itself));
        assert_eq!(claim(&header(0x20, 0x11, &ipv4())), Some(Claim::Itself));
        for family in [0x00, 0x10, 0x12, 0x22, 0x31, 0x32] {
            assert_eq!(claim(&header(0x21, family, &[0; 216])), Some(Claim::Unknown), "{family}");
        }
    }

    #[test]
    fn no_headers_of_version_2() {
        let cut = header(0x21, 0x11, &ipv4());
        for length in 0..cut.len() {
            assert_eq!(claim(&cut[..length]), None, "{length}");
        }
        for wrong in [
            header(0x21, 0x11, &ipv4()[..11]),
            header(0x21, 0x21, &[0; 35]),
            header(0x11, 0x11, &ipv4()),
            header(0x22, 0x11, &ipv4()),
            header(0x21, 0x41, &ipv4()),
            header(0x21, 0x13, &ipv4()),
            header(0x21, 0x11, &[0; MAX_BLOCK + 1]),
        ] {
            assert_eq!(claim(&wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        /// Any octets: an answer, no panic, and never more than a header is taken.
        #[test]
        fn anything(octets in prop::collection::vec(any::<u8>(), 0..300), how in 0..4usize) {
            let begin: &[u8] = [b"".as_slice(), b"PROXY ", b"PROXY TCP4 ", &SIGNATURE][how];
            let all = [begin, &octets].concat();
            let (said, left) = take(&all);
            prop_assert!(all.len() - left <= SIGNATURE.len() + 4 + MAX_BLOCK);
            if said.is_ok() {
                prop_assert_eq!(take(&all[..all.len() - left]).0.ok(), said.ok());
            }
        }

        #[test]
        fn what_is_written_reads(ip in any::<IpAddr>(), extensions in prop::collection::vec(any::<u8>(), 0..64)) {
            let (family, addresses) = match ip {
                IpAddr::V4(ip) => (0x11, [&ip.octets()[..], &[0; 8]].concat()),
                IpAddr::V6(ip) => (0x21, [&ip.octets()[..], &[0; 20]].concat()),
            };
            let octets = header(0x21, family, &[addresses, extensions].concat());
            prop_assert_eq!(claim(&octets), Some(Claim::Client(ip.to_canonical())));
        }
    }
}
