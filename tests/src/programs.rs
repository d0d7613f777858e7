//! Real clients and servers from Debian's packages.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::imap::{Imap, item, parse};
use crate::lmtp::Lmtp;
use crate::maildir::Maildir;
use crate::messages::token;
use crate::process::Redoubt;

/// No program and no message on its way may take longer.
pub const TIMEOUT: Duration = Duration::from_secs(120);
/// Debian's programs go before others of their names.
const PATH: &str = "/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A server with `alice@example.org` and `bob@example.org`, and a home for the program under test.
#[derive(Debug)]
pub struct Scene {
    /// The server.
    pub server: Redoubt,
    home: tempfile::TempDir,
}

impl Scene {
    /// A fresh server.
    pub fn new() -> Self {
        Self::over(serve)
    }

    /// A server that `start` starts over a data directory.
    pub fn over(start: impl FnOnce(&Path) -> Redoubt) -> Self {
        let home = tempfile::tempdir().unwrap();
        let server = start(&home.path().join("data"));
        Self { server, home }
    }

    /// The program's home.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Writes a file below the home; its path.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Delivers a message by LMTP; every recipient must take it.
    pub fn deliver(&self, to: &[&str], message: &[u8]) {
        let mut lmtp = Lmtp::connect(self.server.lmtp()).unwrap();
        let answers = lmtp.deliver("s@example.net", to, message).unwrap();
        assert!(answers.len() == to.len() && answers.iter().all(|a| a.code == 250), "{answers:?}");
    }

    /// A connection to the server, logged in.
    pub fn imap(&self, account: &str) -> Imap {
        Imap::login(self.server.imap(), account).unwrap()
    }

    /// Runs a program to its end; it is killed when it takes too long.
    pub fn try_run(&self, program: &str, arguments: &[&str]) -> Output {
        Command::new("timeout")
            .args(["--kill-after=5", &TIMEOUT.as_secs().to_string(), program])
            .args(arguments)
            .env("HOME", self.home())
            .env("XDG_CONFIG_HOME", self.home().join(".config"))
            .env("XDG_DATA_HOME", self.home().join(".local/share"))
            .env("XDG_CACHE_HOME", self.home().join(".cache"))
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8")
            .env("TERM", "xterm")
            .env("NO_PROXY", "*")
            .current_dir(self.home())
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("{program}: {error}; `make setup-test` installs it"))
    }

    /// Runs a program that must succeed; its standard output.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let output = self.try_run(program, arguments);
        assert!(
            output.status.success(),
            "{program} {arguments:?} ended with {}:\n{}{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

/// A server, and a program that keeps a Maildir like alice's mail.
#[derive(Debug)]
pub struct Synced {
    /// Server and program's home.
    pub scene: Scene,
    /// Alice at the server.
    pub imap: Imap,
    command: Vec<String>,
}

impl Synced {
    /// A program that reads `config` below its home; `CONFIG` in the command is its path.
    pub fn new(config: &str, text: impl FnOnce(&Scene) -> String, command: &[&str]) -> Self {
        Self::with(Scene::new(), config, text, command)
    }

    /// The same with a server that there is.
    pub fn with(
        scene: Scene,
        config: &str,
        text: impl FnOnce(&Scene) -> String,
        command: &[&str],
    ) -> Self {
        let path = scene.file(config, text(&scene));
        std::fs::create_dir_all(scene.home().join("mail")).unwrap();
        let imap = scene.imap("alice@example.org");
        let command = command.iter().map(|word| word.replace("CONFIG", path.to_str().unwrap()));
        Self { imap, command: command.collect(), scene }
    }

    /// Lets the program bring both sides together.
    pub fn sync(&self) {
        let arguments: Vec<&str> = self.command.iter().skip(1).map(String::as_str).collect();
        self.scene.run(&self.command[0], &arguments);
    }

    /// The same where it may refuse: whether it did it, and what it said.
    pub fn try_sync(&self) -> (bool, String) {
        let arguments: Vec<&str> = self.command.iter().skip(1).map(String::as_str).collect();
        let output = self.scene.try_run(&self.command[0], &arguments);
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Where a mailbox is on this side.
    pub fn path(&self, mailbox: &str) -> PathBuf {
        self.scene.home().join("mail").join(mailbox)
    }

    /// A mailbox on this side.
    pub fn local(&self, mailbox: &str) -> Maildir {
        Maildir::open(self.path(mailbox))
    }

    /// Puts a message into a mailbox of the server.
    pub fn append(&mut self, mailbox: &str, flags: &str, message: &[u8]) {
        assert!(self.imap.append(mailbox, flags, message).unwrap().is_ok());
    }
}

impl Default for Scene {
    fn default() -> Self {
        Self::new()
    }
}

/// A fresh server with `alice@example.org` and `bob@example.org`.
pub fn serve(data: &Path) -> Redoubt {
    prepared(Redoubt::start(data))
}

/// Makes `alice@example.org` and `bob@example.org` there.
pub fn prepared(server: Redoubt) -> Redoubt {
    server.domain("example.org");
    server.account("alice@example.org");
    server.account("bob@example.org");
    server
}

/// A message as a client of IMAP sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its UID.
    pub uid: u64,
    /// Its flags and keywords, without `\Recent`.
    pub flags: BTreeSet<String>,
    /// INTERNALDATE without a leading space.
    pub date: String,
    /// Its octets.
    pub content: Vec<u8>,
}

impl Message {
    /// Whether these are its flags, no more and no fewer.
    pub fn has_flags(&self, flags: &[&str]) -> bool {
        self.flags.iter().map(String::as_str).eq(BTreeSet::from_iter(flags.iter().copied()))
    }
}

/// Selects a mailbox and fetches all that is in it, by the messages' tokens: no token twice.
pub fn contents(imap: &mut Imap, mailbox: &str) -> BTreeMap<String, Message> {
    imap.ok(&format!("SELECT \"{mailbox}\"")).unwrap();
    let fetched = imap.ok("UID FETCH 1:* (FLAGS INTERNALDATE BODY.PEEK[])").unwrap();
    let mut found = BTreeMap::new();
    for (_, items) in fetched.fetches() {
        let get = |name| item(&items, name).unwrap();
        let flags = get("FLAGS").list().iter().map(crate::imap::Value::text);
        let message = Message {
            uid: get("UID").number(),
            flags: flags.filter(|flag| flag != "\\Recent").collect(),
            date: get("INTERNALDATE").text().trim().into(),
            content: get("BODY[]").octets().into(),
        };
        let token = token(&message.content).unwrap();
        assert!(found.insert(token.clone(), message).is_none(), "{token} is there twice");
    }
    found
}

/// An item of STATUS.
pub fn status(imap: &mut Imap, mailbox: &str, name: &str) -> u64 {
    let reply = imap.ok(&format!("STATUS \"{mailbox}\" ({name})")).unwrap();
    let values = reply.values().into_iter().find(|values| values[0].text() == "STATUS").unwrap();
    values[2].list()[1].number()
}

/// Selects a mailbox and waits by IDLE until so many messages are in it.
pub fn wait_for_messages(imap: &mut Imap, mailbox: &str, count: u64) {
    let deadline = Instant::now() + TIMEOUT;
    let selected = imap.ok(&format!("SELECT \"{mailbox}\"")).unwrap();
    let mut there = selected.untagged.iter().find_map(|line| exists(line)).unwrap();
    let tag = imap.send(b"IDLE").unwrap();
    while there < count {
        assert!(Instant::now() < deadline, "{there} of {count} messages came");
        let line = imap.response().unwrap();
        there = line.strip_prefix(b"* ").and_then(exists).unwrap_or(there);
    }
    imap.raw(b"DONE\r\n").unwrap();
    assert!(imap.finish(&tag).unwrap().is_ok());
}

fn exists(line: &[u8]) -> Option<u64> {
    match parse(line.strip_suffix(b" EXISTS")?).as_slice() {
        [number] => Some(number.number()),
        _ => None,
    }
}

/// What a synchroniser has brought up: of `m0` and `m1` what was set beside keywords that it
/// knows nothing of, `m2` gone, `up` new with the date that its file had.
pub fn went_up(there: &BTreeMap<String, Message>) {
    assert_eq!(there.keys().collect::<Vec<_>>(), ["m0", "m1", "up"]);
    assert!(there["m0"].has_flags(&["$Work"]), "{:?}", there["m0"].flags);
    let flags = ["$Work", "\\Flagged", "\\Answered", "\\Seen"];
    assert!(there["m1"].has_flags(&flags), "{:?}", there["m1"].flags);
    assert!(there["up"].has_flags(&["\\Draft", "\\Seen"]), "{:?}", there["up"].flags);
    assert_eq!(there["up"].date, "14-Nov-2023 22:13:20 +0000");
}
