//! A client that sends what it is told and shows what it got.

use std::net::SocketAddr;
use std::time::Duration;

use redoubt_protocols::stream::Transport;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

pub(crate) struct Client {
    stream: BufReader<Box<dyn Transport>>,
    tags: u32,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut client = Self::over(Box::new(stream));
        assert!(client.response().await.starts_with("* OK [CAPABILITY "));
        client
    }

    pub(crate) fn over(stream: Box<dyn Transport>) -> Self {
        Self { stream: BufReader::new(stream), tags: 0 }
    }

    pub(crate) fn into_stream(self) -> Box<dyn Transport> {
        self.stream.into_inner()
    }

    pub(crate) async fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).await.unwrap();
    }

    pub(crate) async fn shut_down(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    /// One response with its literals; empty at the end.
    pub(crate) async fn response(&mut self) -> String {
        let read = async {
            let mut response = Vec::new();
            loop {
                self.stream.read_until(b'\n', &mut response).await.unwrap();
                let Some(size) = literal(&response) else { return response };
                let begun = response.len();
                response.resize(begun + size, 0);
                self.stream.read_exact(&mut response[begun..]).await.unwrap();
            }
        };
        let response = tokio::time::timeout(Duration::from_secs(20), read);
        let response = response.await.expect("the server says nothing");
        String::from_utf8_lossy(&response).into_owned()
    }

    /// How many octets are there, read and thrown away; 0 at the end.
    pub(crate) async fn some(&mut self, most: usize) -> usize {
        let mut octets = vec![0; most];
        let read = tokio::time::timeout(Duration::from_secs(20), self.stream.read(&mut octets));
        read.await.expect("the server says nothing").unwrap()
    }

    /// Everything up to the end of the connection.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = String::new();
        loop {
            match self.response().await {
                response if response.is_empty() => return rest,
                response => rest.push_str(&response),
            }
        }
    }

    /// Like [`Client::rest`], but only until enough came.
    pub(crate) async fn rest_or(&mut self, enough: impl Fn(&str) -> bool) -> String {
        let mut rest = String::new();
        while !enough(&rest) {
            match self.response().await {
                response if response.is_empty() => break,
                response => rest.push_str(&response),
            }
        }
        rest
    }

    /// Responses up to the tagged one, which is the last.
    pub(crate) async fn until(&mut self, tag: &str) -> String {
        let mut all = String::new();
        loop {
            let response = self.response().await;
            assert!(!response.is_empty(), "the connection ended after {all:?}");
            let done = response.starts_with(&format!("{tag} "));
            all.push_str(&response);
            if done {
                return all;
            }
        }
    }

    fn tag(&mut self) -> String {
        self.tags += 1;
        format!("t{}", self.tags)
    }

    /// Sends a command and gives everything said to it.
    pub(crate) async fn command(&mut self, command: &str) -> (String, String) {
        let tag = self.tag();
        self.send(format!("{tag} {command}\r\n")).await;
        let all = self.until(&tag).await;
        let at = all.rfind(&format!("{tag} ")).unwrap();
        let (untagged, tagged) = all.split_at(at);
        (untagged.to_owned(), tagged[tag.len() + 1..].to_owned())
    }

    /// A command that succeeds: the untagged responses, then the tagged one without its tag.
    pub(crate) async fn ok(&mut self, command: &str) -> String {
        let (untagged, tagged) = self.command(command).await;
        assert!(tagged.starts_with("OK "), "{command}: {untagged}{tagged}");
        untagged + &tagged
    }

    /// A command that is refused so.
    pub(crate) async fn refused(&mut self, command: &str, how: &str) -> String {
        let (untagged, tagged) = self.command(command).await;
        assert!(tagged.starts_with(how), "{command}: {untagged}{tagged}");
        untagged + &tagged
    }

    /// A command that says exactly these untagged responses.
    pub(crate) async fn says(&mut self, command: &str, expected: &[&str]) -> String {
        let (untagged, tagged) = self.command(command).await;
        assert!(tagged.starts_with("OK "), "{command}: {untagged}{tagged}");
        let said: Vec<&str> = untagged.split_terminator("\r\n").collect();
        assert_eq!(said, expected, "{command}");
        tagged
    }

    pub(crate) async fn append(&mut self, mailbox: &str, message: &str) -> String {
        self.ok(&format!("APPEND {mailbox} {{{}+}}\r\n{message}", message.len())).await
    }

    pub(crate) async fn fill(&mut self, mailbox: &str, messages: usize) {
        for n in 1..=messages {
            self.append(mailbox, &mail(n)).await;
        }
    }
}

fn literal(response: &[u8]) -> Option<usize> {
    let line = response.strip_suffix(b"}\r\n")?;
    let at = line.iter().rposition(|octet| *octet == b'{')?;
    std::str::from_utf8(&line[at + 1..]).ok()?.parse().ok()
}

pub(crate) fn mail(n: usize) -> String {
    format!(
        "Date: Mon, 7 Feb 1994 21:52:25 -0800\r\nFrom: Fred Foobar <foobar@blurdybloop.example>\r\n\
         Subject: number {n}\r\nTo: alice@example.org\r\nMessage-Id: <{n}@blurdybloop.example>\r\n\
         \r\nbody of {n}\r\n"
    )
}
