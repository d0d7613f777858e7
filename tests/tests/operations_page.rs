//! The story of three nodes in docs/operations.md, told by its own commands: what
//! the page says is what is typed here, on machines that are folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use redoubt_tests::cluster::{PATIENCE, free_port, until};
use redoubt_tests::process::binary;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The page, and what of it is read.
struct Page(String);

impl Page {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operations.md");
        Self(fs::read_to_string(path).unwrap())
    }

    /// What stands below a heading, up to the next of its kind or above.
    fn below(&self, heading: &str) -> &str {
        let place = self.0.find(&format!("\n{heading}\n"));
        let rest = &self.0[place.unwrap_or_else(|| panic!("no {heading:?}")) + heading.len() + 2..];
        let mark = heading.split(' ').next().unwrap();
        let ends = (2..=mark.len()).filter_map(|n| rest.find(&format!("\n{} ", &mark[..n])));
        &rest[..ends.min().unwrap_or(rest.len())]
    }

    /// The fenced blocks of a kind in a text.
    fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
        let open = format!("\n```{kind}\n");
        let blocks = text.split(open.as_str()).skip(1);
        blocks.map(|rest| rest.split("\n```").next().unwrap()).collect()
    }

    /// Machine and command of each line that is typed below a heading.
    fn typed(&self, heading: &str) -> Vec<(String, String)> {
        let blocks = Self::blocks(self.below(heading), "");
        let lines = blocks.into_iter().flat_map(str::lines);
        let typed = lines.filter_map(|line| line.split_once("# "));
        let typed = typed.filter(|(machine, _)| machine.starts_with("mail"));
        typed.map(|(machine, line)| (machine.to_owned(), line.trim().to_owned())).collect()
    }
}

/// Machines by their names, each a folder.
struct Machines {
    home: tempfile::TempDir,
    peers: BTreeMap<String, String>,
    running: BTreeMap<String, Child>,
    token: String,
    page: Page,
}

impl Machines {
    fn new(names: &[&str]) -> Self {
        let peer = |name: &&str| ((*name).to_owned(), free_port().to_string());
        let machines = Self {
            home: tempfile::tempdir().unwrap(),
            peers: names.iter().map(peer).collect(),
            running: BTreeMap::new(),
            token: String::new(),
            page: Page::read(),
        };
        // What `make build` makes, and what changes the user where there are users.
        machines.script("target/release/redoubt", &format!("exec {} \"$@\"", binary().display()));
        machines.script("bin/runuser", "shift 3; exec \"$@\"");
        names.iter().for_each(|name| machines.install(name));
        machines
    }

    fn script(&self, name: &str, text: &str) {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn root(&self, machine: &str) -> PathBuf {
        self.home.path().join(machine)
    }

    /// What the page says, for a machine that is a folder.
    fn here(&self, machine: &str, text: &str) -> String {
        let mut text = text.replace("redoubt-join-…", &self.token);
        for folder in ["/etc/", "/usr/local/bin/", "/var/lib/redoubt"] {
            text = text.replace(folder, &format!("{}{folder}", self.root(machine).display()));
        }
        for (name, address) in &self.peers {
            text = text.replace(&format!("{name}.example.org:7072"), address);
        }
        text
    }

    /// The file of the page's first part, with what its second part adds to it.
    fn install(&self, machine: &str) {
        for folder in ["etc", "usr/local/bin", "var/lib/redoubt"] {
            fs::create_dir_all(self.root(machine).join(folder)).unwrap();
        }
        let install = "install -m 755 target/release/redoubt /usr/local/bin/";
        assert!(self.page.below("## Install").contains(install));
        self.type_in(machine, install);
        let first = Page::blocks(self.page.below("## Install"), "toml")[0];
        let more = Page::blocks(self.page.below("### Set up from nothing"), "toml")[0];
        let (listen, peer) = more.split_once("\n\n").unwrap();
        let listen = listen.strip_prefix("[listen]\n").unwrap();
        let own = peer.replace("mail1.example.org", &format!("{machine}.example.org"));
        let all =
            format!("{}\n\n{own}\n", first.replace("[listen]", &format!("[listen]\n{listen}")));
        let all = self.free_ports(machine, &all);
        fs::write(self.root(machine).join("etc/redoubt.toml"), self.here(machine, &all)).unwrap();
        let made = self.type_in(
            machine,
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 \
             -subj /CN=mail.example.org -addext subjectAltName=DNS:mail.example.org \
             -keyout /etc/redoubt/key.pem -out /etc/redoubt/fullchain.pem 2>&1",
        );
        assert!(made.status.success(), "{made:?}");
    }

    /// The ports of the page are taken on this machine, and there are several of each.
    fn free_ports(&self, machine: &str, config: &str) -> String {
        fs::create_dir_all(self.root(machine).join("etc/redoubt")).unwrap();
        let peer = format!("\"{}\"", self.peers[machine]);
        let text = config.replace("\"0.0.0.0:7072\"", &peer);
        let text = ["143", "993"].iter().fold(text, |text, port| {
            let all = format!("[\"0.0.0.0:{port}\", \"[::]:{port}\"]");
            assert!(text.contains(&all), "{all} is not in {text}");
            text.replace(&all, "\"127.0.0.1:0\"")
        });
        let others = "admin_https = \"127.0.0.1:0\"\nsocketmap = \"off\"\n";
        text.replace("[listen]\n", &format!("[listen]\n{others}"))
    }

    /// Types a line that is not about services.
    fn type_in(&self, machine: &str, line: &str) -> Output {
        let root = self.root(machine);
        let path = format!(
            "{}:{}:/usr/bin:/bin",
            root.join("usr/local/bin").display(),
            self.home.path().join("bin").display()
        );
        Command::new("bash")
            .args(["-c", &self.here(machine, line)])
            .current_dir(self.home.path())
            .env("PATH", path)
            .env("REDOUBT_CONFIG", root.join("etc/redoubt.toml"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Types all that the page has below a heading, and gives what was printed.
    fn tell(&mut self, heading: &str) -> String {
        let typed = self.page.typed(heading);
        assert!(!typed.is_empty(), "nothing is typed below {heading:?}");
        let mut printed = String::new();
        for (machine, line) in typed {
            if let Some(rest) = line.strip_prefix("systemctl ") {
                self.service(&machine, rest);
                continue;
            }
            self.caught_up(&machine);
            let output = self.type_in(&machine, &line);
            let said =
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            let plan = line.contains("recover") && !line.contains("--yes");
            let code = if plan { 6 } else { 0 };
            assert_eq!(output.status.code(), Some(code), "{machine}# {line}\n{said}");
            let token = said.lines().find(|line| line.starts_with("redoubt-join-"));
            self.token = token.map_or_else(|| self.token.clone(), str::to_owned);
            printed += &said;
        }
        printed
    }

    /// What `systemctl` would do with the page's unit.
    fn service(&mut self, machine: &str, what: &str) {
        let verb = what.split_whitespace().next().unwrap();
        if matches!(verb, "stop" | "restart" | "disable") {
            self.stop(machine);
        }
        if matches!(verb, "start" | "restart" | "enable") {
            self.start(machine);
        }
    }

    fn start(&mut self, machine: &str) {
        let unit = Page::blocks(self.page.below("## Install"), "ini")[0];
        let of = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let environment = self.here(machine, of("EnvironmentFile=-"));
        let command = format!(
            "set -a; [ ! -e {environment} ] || . {environment}; exec {}",
            self.here(machine, of("ExecStart="))
        );
        let root = self.root(machine);
        let log = File::options().create(true).append(true).open(root.join("log")).unwrap();
        let mut child = Command::new("bash")
            .args(["-c", &command])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|line| line.as_ref().is_ok_and(|line| line == "ready"));
        self.running.insert(machine.to_owned(), child);
        let log = || fs::read_to_string(root.join("log")).unwrap();
        assert!(ready.is_some(), "{machine} did not start: {}", log());
    }

    fn stop(&mut self, machine: &str) {
        // One that was removed has ended by itself.
        if let Some(mut child) = self.running.remove(machine)
            && child.try_wait().unwrap().is_none()
        {
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
            child.wait().unwrap();
        }
    }

    /// The machine is gone.
    fn lose(&mut self, machine: &str) {
        let mut child = self.running.remove(machine).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    fn status(&self, machine: &str) -> Option<Value> {
        let output = self.type_in(machine, "redoubt cluster status --json");
        serde_json::from_slice(&output.stdout).ok()
    }

    /// Waits as the page says: until those that run have everything.
    fn caught_up(&self, machine: &str) {
        if !self.running.contains_key(machine) {
            return;
        }
        let mut last = None;
        let done = until(PATIENCE, || {
            last = self.status(machine);
            let status = last.as_ref()?;
            let members = status["members"].as_array()?.iter();
            let well = members.filter(|member| self.is_running(&member["address"])).all(|member| {
                member["lag_records"] == 0 && member["last_contact_seconds"].as_f64() < Some(2.0)
            });
            (status["leader"].is_u64() && well).then_some(())
        });
        assert!(done.is_some(), "not caught up on {machine}: {last:#?}");
    }

    fn is_running(&self, address: &Value) -> bool {
        let of = |name: &String| self.peers[name].as_str();
        self.running.keys().any(|name| address.as_str() == Some(of(name)))
    }

    /// The numbers of its members, as a machine says.
    fn members(&self, machine: &str) -> Vec<u64> {
        let status = self.status(machine).unwrap();
        let members = status["members"].as_array().unwrap().iter();
        members.map(|member| member["node"].as_u64().unwrap()).collect()
    }

    fn deliver(&self, machine: &str, subject: &str) {
        let line = format!(
            "printf 'Subject: {subject}\\n\\nhi\\n' | redoubt deliver --to alice@example.org -"
        );
        let done = until(PATIENCE, || self.type_in(machine, &line).status.success().then_some(()));
        assert!(done.is_some(), "{subject} was not taken by {machine}");
    }

    fn mails(&self, machine: &str) -> u64 {
        let output = self.type_in(machine, "redoubt mailbox list alice --json");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let inbox =
            lines.find(|mailbox| mailbox["name"] == "INBOX" || mailbox["mailbox"] == "INBOX");
        inbox.unwrap_or_else(|| panic!("{text}"))["messages"].as_u64().unwrap()
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn the_page_tells_what_is_so() {
    let names = ["mail1", "mail2", "mail3", "mail4", "mail5", "mail6"];
    let mut machines = Machines::new(&names);
    let printed = machines.tell("### Set up from nothing");
    assert!(printed.contains("leads, level"), "{printed}");
    assert_eq!(machines.members("mail3"), [1, 2, 3]);
    machines.deliver("mail2", "one");
    machines.tell("### Watching");
    let printed = machines.tell("### Planned maintenance");
    assert!(printed.contains("leads"), "{printed}");
    machines.deliver("mail1", "two");
    machines.caught_up("mail1");
    machines.lose("mail3");
    machines.deliver("mail2", "three");
    let printed = machines.tell("### A node died");
    assert!(printed.contains("node 3 is removed"), "{printed}");
    assert_eq!(machines.members("mail4"), [1, 2, 4]);
    machines.tell("### Move to other machines");
    assert_eq!(machines.members("mail5"), [1, 4, 5]);
    machines.deliver("mail5", "four");
    let printed = machines.tell("### Upgrade");
    assert!(printed.contains("nothing to finalize"), "{printed}");
    assert_eq!(machines.mails("mail4"), 4);
    machines.caught_up("mail1");
    machines.lose("mail4");
    machines.lose("mail5");
    let printed = machines.tell("### The majority is gone");
    assert!(printed.contains("LOST") && printed.contains("clean"), "{printed}");
    assert_eq!(machines.members("mail6"), [1, 6]);
    machines.deliver("mail6", "five");
    assert_eq!((machines.mails("mail1"), machines.mails("mail6")), (5, 5));
}
