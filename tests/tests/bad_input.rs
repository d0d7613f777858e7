//! Bad input against a real server: each has a clear refusal, memory stays
//! bounded, and the service goes on.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use redoubt_tests::imap::{Imap, item};
use redoubt_tests::lmtp::{Lmtp, stuffed};
use redoubt_tests::messages::{message, without_trace};
use redoubt_tests::process::Redoubt;

const ALICE: &str = "alice@example.org";
const MIB: u64 = 1 << 20;
/// What memory may grow by under any one kind of bad input.
const GROWTH: u64 = 96 * MIB;

/// A server with small limits, and what it takes in memory.
struct Scene {
    server: Redoubt,
    memory: u64,
    _folder: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let own = [
            ("REDOUBT_LIMITS_MESSAGE_BYTES", "4194304"),
            ("REDOUBT_LIMITS_LMTP_IDLE_SECONDS", "2"),
        ];
        let environment = [&own, more].concat();
        let server = Redoubt::start_with(&folder.path().join("data"), &environment);
        server.domain("example.org");
        server.account(ALICE);
        let scene = Self { memory: 0, server, _folder: folder };
        scene.deliver_and_fetch("warm");
        Self { memory: scene.server.memory(), ..scene }
    }

    fn imap(&self) -> SocketAddr {
        self.server.imap()
    }

    fn login(&self) -> Imap {
        Imap::login(self.imap(), ALICE).unwrap()
    }

    fn deliver(&self, message: &[u8]) -> u16 {
        let mut client = Lmtp::connect(self.server.lmtp()).unwrap();
        client.deliver("s@example.net", &[ALICE], message).unwrap()[0].code
    }

    fn deliver_and_fetch(&self, token: &str) {
        assert_eq!(self.deliver(&message(token, 2000)), 250);
        assert!(self.last() == message(token, 2000));
    }

    /// The newest message of the INBOX as it was sent.
    fn last(&self) -> Vec<u8> {
        let mut client = self.login();
        client.ok("EXAMINE INBOX").unwrap();
        let reply = client.ok("FETCH * (BODY.PEEK[])").unwrap();
        let (_, items) = &reply.fetches()[0];
        without_trace(item(items, "BODY[]").unwrap().octets()).to_vec()
    }

    /// The service goes on, and memory is bounded.
    fn is_well(&self) {
        self.deliver_and_fetch("well");
        let now = self.server.memory();
        assert!(now < self.memory + GROWTH, "{} MiB, before {}", now / MIB, self.memory / MIB);
    }
}

/// Sends octets and gives all that comes until the server closes.
fn send_all(address: SocketAddr, octets: &[u8]) -> String {
    let mut stream = connect(address);
    let mut reading = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut said = Vec::new();
        let _ = reading.read_to_end(&mut said);
        String::from_utf8_lossy(&said).into_owned()
    });
    // The server may close in the middle of it.
    let _ = stream.write_all(octets);
    let _ = stream.shutdown(Shutdown::Write);
    reader.join().unwrap()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn refused(reply: &str) -> bool {
    reply.contains(" BAD ") || reply.contains(" NO ") || reply.contains("* BYE ")
}

#[test]
fn oversized_lines() {
    let scene = Scene::new();
    for size in [100_000, 20_000_000] {
        let line = [b"a ".as_slice(), &vec![b'x'; size], b"\r\nb NOOP\r\n"].concat();
        let said = send_all(scene.imap(), &line);
        assert!(refused(&said), "{said:?}");
        let login = format!("a LOGIN {ALICE} secret\r\n");
        let said = send_all(scene.imap(), &[login.as_bytes(), &line].concat());
        assert!(said.contains("a OK") && refused(&said), "{said:?}");
        let said = send_all(scene.server.lmtp(), &line);
        assert!(said.lines().any(|line| line.starts_with("500 ")), "{said:?}");
    }
    // A line that is not even ended, and one that is nothing but a tag.
    assert!(refused(&send_all(scene.imap(), &vec![b'A'; 5_000_000])));
    assert!(refused(&send_all(scene.imap(), b"tag\r\n")));
    scene.is_well();
}

#[test]
fn oversized_literals() {
    let scene = Scene::new();
    for size in ["1000000", "4294967296", "18446744073709551615", "99999999999999999999999"] {
        for command in ["LOGIN", "LOGIN alice", "AUTHENTICATE PLAIN", "APPEND INBOX", "SELECT"] {
            let said = send_all(scene.imap(), format!("a {command} {{{size}}}\r\n").as_bytes());
            assert!(refused(&said) && !said.contains("\r\n+ "), "{command} {size}: {said:?}");
        }
        let said = send_all(scene.imap(), format!("a LOGIN {{{size}+}}\r\nxx").as_bytes());
        assert!(refused(&said), "{size}: {said:?}");
    }
    let mut client = scene.login();
    client.ok("SELECT INBOX").unwrap();
    for command in ["SELECT", "SEARCH SUBJECT", "UID SEARCH BODY", "CREATE", "STORE 1 FLAGS"] {
        let reply = client.command(&format!("{command} {{5000000}}")).unwrap();
        assert!(!reply.is_ok(), "{command}: {reply:?}");
    }
    let many = "SUBJECT {1+}\r\nx ".repeat(2_000);
    let reply = client.command(&format!("SEARCH {many}ALL")).unwrap();
    assert!(!reply.is_ok(), "{reply:?}");
    client.ok("NOOP").unwrap();
    scene.is_well();
}

#[test]
fn oversized_messages() {
    let scene = Scene::new();
    let mut client = scene.login();
    let reply = client.append("INBOX", "", &message("large", 5_000_000)).unwrap();
    assert!(reply.tagged.starts_with("NO ") && reply.tagged.contains("4194304"), "{reply:?}");
    // Without being asked (LITERAL+) it is read to its end and refused.
    let large = message("large", 6_000_000);
    let command = format!("APPEND INBOX {{{}+}}\r\n", large.len());
    let reply = client.command_octets(&[command.as_bytes(), &large].concat()).unwrap();
    assert!(reply.tagged.starts_with("NO "), "{reply:?}");
    client.ok("NOOP").unwrap();
    let endless = [b"a APPEND INBOX {9000000000+}\r\n".as_slice(), &large].concat();
    let login = format!("l LOGIN {ALICE} secret\r\n");
    let said = send_all(scene.imap(), &[login.as_bytes(), &endless].concat());
    assert!(refused(&said), "{said:?}");
    let mut lmtp = Lmtp::connect(scene.server.lmtp()).unwrap();
    let size = lmtp.command("MAIL FROM:<s@example.net> SIZE=6000000").unwrap();
    assert_eq!(size.code, 552, "{size:?}");
    let answers = lmtp.deliver("s@example.net", &[ALICE], &large).unwrap();
    assert_eq!(answers[0].code, 552, "{answers:?}");
    assert_eq!(scene.deliver(&message("fits", 3_000_000)), 250);
    scene.is_well();
}

#[test]
fn deep_nesting_and_huge_sets() {
    let scene = Scene::new();
    let mut client = scene.login();
    client.ok("SELECT INBOX").unwrap();
    let deep = |open: &str, close: &str, n| format!("{}ALL{}", open.repeat(n), close.repeat(n));
    for n in [1_000, 10_000] {
        for search in [deep("(", ")", n), deep("NOT ", "", n), deep("OR ALL ", "", n)] {
            let reply = client.command(&format!("SEARCH {search}")).unwrap();
            assert!(reply.tagged.starts_with("BAD "), "{reply:?}");
        }
        let reply = client.command(&format!("FETCH 1 {}FLAGS{}", "(".repeat(n), ")".repeat(n)));
        assert!(reply.unwrap().tagged.starts_with("BAD "));
        let body = format!("FETCH 1 BODY[{}1]", "1.".repeat(n));
        assert!(client.command(&body).is_ok());
        let list = format!("LIST \"\" {}", "*%".repeat(n));
        assert!(client.command(&list).is_ok());
    }
    for set in ["1:4294967295", "4294967295:1,*:1,1:*", "*,*,*,*", "1,1,1:3,2:*"] {
        assert!(client.ok(&format!("UID FETCH {set} (UID)")).is_ok(), "{set}");
    }
    for set in ["0", "1:0", "4294967296", "1,,2", "1:2:3", "-1", "1 :2", "99999999999999999999"] {
        let reply = client.command(&format!("UID FETCH {set} (UID)")).unwrap();
        assert!(reply.tagged.starts_with("BAD "), "{set}: {reply:?}");
    }
    let began = Instant::now();
    let mut ranges = String::from("UID STORE 1");
    for n in 0..4_000_u32 {
        let _ = write!(ranges, ",{}:{}", n * 1_000_000 + 2, n * 1_000_000 + 900_000);
    }
    let reply = client.command(&format!("{ranges} +FLAGS (\\Seen)")).unwrap();
    assert!(reply.is_ok() || reply.tagged.starts_with("BAD "), "{reply:?}");
    let all = "1:*,".repeat(15_000);
    let reply = client.command(&format!("FETCH {all}1 (FLAGS)")).unwrap();
    assert!(reply.is_ok() || reply.tagged.starts_with("BAD "), "{}", reply.tagged);
    assert!(reply.untagged.len() <= 2, "each message once: {}", reply.untagged.len());
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    scene.is_well();
}

/// Messages as nobody should send them.
fn bad_messages() -> Vec<(&'static str, Vec<u8>)> {
    let nested = |depth: usize| {
        let mut text = String::from("Subject: nested\r\n");
        for n in 0..depth {
            let _ = write!(text, "Content-Type: multipart/mixed; boundary=b{n}\r\n\r\n--b{n}\r\n");
        }
        text.into_bytes()
    };
    let parts = [
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n".to_vec(),
        b"--x\r\n\r\na\r\n".repeat(50_000),
    ];
    let rfc822 = "Content-Type: message/rfc822\r\n\r\n".repeat(5_000);
    let headers = "X-Many: 1\r\n".repeat(100_000);
    let addresses = format!("To: {}\r\n\r\n", "a@b.example, ".repeat(50_000));
    let comments = format!("From: {}x{}\r\n\r\n", "(".repeat(100_000), ")".repeat(50_000));
    let encoded = format!("Subject: {}\r\n\r\n", "=?utf-8?B?////?= ".repeat(20_000));
    vec![
        ("empty", b"\r\n".to_vec()),
        ("no header", b"just text\r\nand more\r\n".to_vec()),
        ("only a header", b"Subject: x\r\n".to_vec()),
        ("header without colon", b"Subject\r\n: x\r\n\tfolded\r\n\r\nbody\r\n".to_vec()),
        (
            "a line of a megabyte",
            [b"Subject: ".as_slice(), &vec![b'x'; 1 << 20], b"\r\n\r\n"].concat(),
        ),
        ("NUL", b"Subject: a\0b\r\n\r\nx\0y\r\n".to_vec()),
        (
            "wrong UTF-8",
            b"Subject: \xff\xfe\xc3\r\nFrom: \xe4\xf6 <\xfc@x>\r\n\r\n\xff\r\n".to_vec(),
        ),
        ("unknown charset", b"Content-Type: text/plain; charset=klingon\r\n\r\n\xff\r\n".to_vec()),
        ("bad base64", b"Content-Transfer-Encoding: base64\r\n\r\n!!!=\xff==a\r\n".to_vec()),
        (
            "boundary that never ends",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n".to_vec(),
        ),
        (
            "boundary that never comes",
            b"Content-Type: multipart/mixed; boundary=x\r\n\r\nhello\r\n".to_vec(),
        ),
        ("no boundary", b"Content-Type: multipart/mixed\r\n\r\n--\r\n\r\n----\r\n".to_vec()),
        (
            "bad parameters",
            b"Content-Type: text/plain; a; =b; c=\"d; e*0*=%ZZ; f*=x''%\r\n\r\n".to_vec(),
        ),
        ("bad date", b"Date: 99 Foo 0000 99:99:99 +9999\r\n\r\n".to_vec()),
        ("deep multiparts", nested(3_000)),
        ("many parts", parts.concat()),
        ("messages in messages", rfc822.into_bytes()),
        ("many fields", [headers.as_bytes(), b"\r\n"].concat()),
        ("many addresses", addresses.into_bytes()),
        ("deep comments", comments.into_bytes()),
        ("many encoded words", encoded.into_bytes()),
        ("dots", b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n".to_vec()),
    ]
}

#[test]
fn bad_mime_comes_back_as_it_was() {
    let scene = Scene::new();
    let mut client = scene.login();
    client.ok("SELECT INBOX").unwrap();
    for (name, bad) in bad_messages() {
        let began = Instant::now();
        assert_eq!(scene.deliver(&bad), 250, "{name}");
        assert!(scene.last() == bad, "{name} came back with other bytes");
        client.ok("NOOP").unwrap();
        for items in ["ENVELOPE", "BODYSTRUCTURE", "RFC822.SIZE", "BODY.PEEK[1.1.1.MIME]"] {
            let reply = client.command(&format!("FETCH * ({items})")).unwrap();
            assert!(reply.is_ok() && !reply.untagged.is_empty(), "{name} {items}: {reply:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(20), "{name}: {:?}", began.elapsed());
    }
    for search in ["TEXT nowhere", "SUBJECT x", "HEADER To b.example", "SENTSINCE 1-Jan-2000"] {
        client.ok(&format!("SEARCH {search}")).unwrap();
    }
    // What Python's and other clients parse: SORT keys and threads of the same.
    for command in ["SORT (SUBJECT DATE FROM) UTF-8 ALL", "THREAD REFERENCES UTF-8 ALL"] {
        let reply = client.command(command).unwrap();
        assert!(reply.is_ok() || reply.tagged.starts_with("BAD "), "{command}: {reply:?}");
    }
    scene.is_well();
    scene.server.verb(&["check"]);
}

#[test]
fn wrong_octets_in_commands() {
    let scene = Scene::new();
    let bad: [&[u8]; 8] = [
        b"CREATE \xff\xfe",
        b"CREATE \"\xc3\x28\"",
        b"CREATE {2+}\r\n\xc3\x28",
        b"SELECT IN\0BOX",
        b"SELECT {3+}\r\na\0b",
        b"SEARCH CHARSET UTF-8 SUBJECT {2+}\r\n\xff\xff",
        b"NOOP \r",
        b"\x01\x02\x03",
    ];
    let mut client = scene.login();
    client.ok("SELECT INBOX").unwrap();
    for command in bad {
        let reply = client.command_octets(command).unwrap();
        assert!(!reply.is_ok(), "{:?}: {reply:?}", String::from_utf8_lossy(command));
    }
    client.ok("NOOP").unwrap();
    for octets in [b"\0\0\0\0\r\n".as_slice(), b"\xff\xff LOGIN a b\r\n", b"\r\n\r\n\r\n"] {
        assert!(refused(&send_all(scene.imap(), octets)), "{octets:?}");
    }
    // TLS where none is spoken, HTTP, and noise.
    let noise: Vec<u8> =
        (0..100_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    for octets in [b"\x16\x03\x01\x02\x00\x01".as_slice(), b"GET / HTTP/1.1\r\n\r\n", &noise] {
        send_all(scene.imap(), octets);
        send_all(scene.server.lmtp(), octets);
        send_all(scene.server.address("imaps"), octets);
        send_all(scene.server.address("socketmap"), octets);
    }
    let said = send_all(scene.server.lmtp(), b"LHLO x\r\nMAIL FROM:<\xff\0@x>\r\nRCPT TO:<\0>\r\n");
    assert!(said.lines().filter(|line| line.starts_with("50")).count() >= 2, "{said:?}");
    let said = send_all(scene.server.lmtp(), b"LHLO x\nMAIL FROM:<>\n");
    assert!(said.contains("500 5.5.2"), "{said:?}");
    for netstring in [b"999999999999:x,".as_slice(), b"-1:", b"5:ab", b"3:abc;", b"00000000001:a,"]
    {
        send_all(scene.server.address("socketmap"), netstring);
    }
    scene.is_well();
}

#[test]
fn half_closed_sockets() {
    let scene = Scene::new();
    let login =
        format!("a LOGIN {ALICE} secret\r\nb SELECT INBOX\r\nc FETCH 1:* (BODY.PEEK[])\r\n");
    let said = send_all(scene.imap(), login.as_bytes());
    assert!(said.contains("\r\nc OK"), "what was asked is answered: {said:?}");
    let idle = format!("a LOGIN {ALICE} secret\r\nb SELECT INBOX\r\nc IDLE\r\n");
    send_all(scene.imap(), idle.as_bytes());
    let cut = format!("a LOGIN {ALICE} secret\r\nb APPEND INBOX {{500+}}\r\nSubject: cut");
    send_all(scene.imap(), cut.as_bytes());
    let start = format!("LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<{ALICE}>\r\nDATA\r\n");
    let whole = stuffed(&message("half", 3000));
    for cut in [0, 1, 100, whole.len() - 3, whole.len() - 1] {
        let said = send_all(scene.server.lmtp(), &[start.as_bytes(), &whole[..cut]].concat());
        let (_, behind) = said.split_once("\r\n354 ").unwrap();
        assert!(!behind.contains("\r\n250 "), "{cut}: {said:?}");
    }
    let mut client = scene.login();
    let status = client.ok("STATUS INBOX (MESSAGES)").unwrap();
    let status = String::from_utf8_lossy(&status.untagged[0]).into_owned();
    assert!(status.ends_with("(MESSAGES 1)"), "nothing cut off was taken: {status}");
    scene.is_well();
}

#[test]
fn slow_senders_are_closed() {
    let scene = Scene::new();
    let began = Instant::now();
    let mut slow: Vec<TcpStream> = (0..50).map(|_| connect(scene.server.lmtp())).collect();
    slow.iter_mut().for_each(|stream| stream.write_all(b"LHL").unwrap());
    for stream in &mut slow {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.contains("\r\n421 4.4.2 "), "{said:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    scene.is_well();
}

/// A client that asks for much and reads nothing.
#[test]
fn clients_that_do_not_read() {
    let scene = Scene::new();
    assert_eq!(scene.deliver(&message("large", 3_500_000)), 250);
    let ask = format!("a LOGIN {ALICE} secret\r\nb SELECT INBOX\r\n");
    let fetch = "c FETCH 1:* (BODY.PEEK[])\r\n".repeat(50);
    let deaf: Vec<TcpStream> = (0..30)
        .map(|_| {
            let mut stream = connect(scene.imap());
            stream.write_all(ask.as_bytes()).unwrap();
            stream.write_all(fetch.as_bytes()).unwrap();
            stream
        })
        .collect();
    scene.is_well();
    drop(deaf);
    scene.is_well();
}

/// Opens connections in a batch at a time, says something or nothing, and drops them.
fn storm(addresses: &[SocketAddr], connections: usize) -> io::Result<()> {
    const BATCH: usize = 250;
    for batch in 0..connections / BATCH {
        let mut open = Vec::with_capacity(BATCH);
        for n in 0..BATCH {
            let stream = TcpStream::connect(addresses[n % addresses.len()])?;
            let said: &[u8] = match (n + batch) % 4 {
                0 => b"",
                1 => b"a NOOP\r\n",
                2 => b"LHLO x\r\nMAIL FROM:<a@b>\r\n",
                _ => b"a LOGIN {5+}\r\nal",
            };
            (&stream).write_all(said)?;
            open.push(stream);
        }
    }
    Ok(())
}

#[test]
fn ten_thousand_connections() {
    let scene = Scene::new();
    let addresses = [scene.imap(), scene.server.lmtp(), scene.server.address("imaps")];
    std::thread::scope(|scope| {
        let storms: Vec<_> = (0..4).map(|_| scope.spawn(|| storm(&addresses, 2_500))).collect();
        storms.into_iter().for_each(|storm| storm.join().unwrap().unwrap());
    });
    scene.is_well();
    let began = Instant::now();
    while scene.sessions() > 1 {
        assert!(began.elapsed() < Duration::from_secs(30), "{} are left", scene.sessions());
    }
}

impl Scene {
    /// Sessions of all protocols now.
    fn sessions(&self) -> u64 {
        let status = self.server.verb(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        let sessions = status["sessions"].as_object().unwrap();
        sessions.values().map(|count| count.as_u64().unwrap()).sum()
    }
}

#[test]
fn more_connections_than_allowed_are_told_so() {
    let scene = Scene::with(&[("REDOUBT_LIMITS_CONNECTIONS", "20")]);
    let began = Instant::now();
    while scene.sessions() > 0 {
        assert!(began.elapsed() < Duration::from_secs(30), "an earlier session does not end");
    }
    let mut open = Vec::new();
    let refusal = loop {
        assert!(open.len() < 40, "nobody was refused");
        let mut stream = connect(scene.imap());
        let mut said = [0; 200];
        let read = stream.read(&mut said).unwrap();
        let said = String::from_utf8_lossy(&said[..read]).into_owned();
        match said.starts_with("* OK ") {
            true => open.push(stream),
            false => break said,
        }
    };
    assert_eq!(open.len(), 20);
    assert!(refusal.starts_with("* BYE [UNAVAILABLE] "), "{refusal}");
    drop(open);
    let began = Instant::now();
    while Imap::login(scene.imap(), ALICE).is_err() {
        assert!(began.elapsed() < Duration::from_secs(30), "nobody is let in any more");
    }
    scene.is_well();
}
