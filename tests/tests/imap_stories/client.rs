//! One connection of a story.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A server that says nothing for so long says nothing.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut client =
            Self { stream: BufReader::new(TcpStream::connect(address).await.unwrap()) };
        let greeting = client.response().await;
        assert!(greeting.starts_with("* OK "), "{greeting}");
        client
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next response with its literals, without its line end; empty at the end.
    pub(crate) async fn response(&mut self) -> String {
        let octets = tokio::time::timeout(PATIENCE, self.read()).await;
        let text = String::from_utf8(octets.expect("the server says nothing")).unwrap();
        text.strip_suffix("\r\n").unwrap_or(&text).to_owned()
    }

    async fn read(&mut self) -> Vec<u8> {
        let mut octets = Vec::new();
        loop {
            self.stream.read_until(b'\n', &mut octets).await.unwrap();
            let Some(size) = literal(&octets) else { return octets };
            let begun = octets.len();
            octets.resize(begun + size, 0);
            self.stream.read_exact(&mut octets[begun..]).await.unwrap();
        }
    }
}

fn literal(octets: &[u8]) -> Option<usize> {
    let line = octets.strip_suffix(b"}\r\n")?;
    let at = line.iter().rposition(|octet| *octet == b'{')?;
    std::str::from_utf8(&line[at + 1..]).ok()?.parse().ok()
}
