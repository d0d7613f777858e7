//! `make cluster`, and the README's tour of three nodes: what it says is typed,
//! and what it shows is what comes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use redoubt_tests::cluster::{PATIENCE, until};
use redoubt_tests::process::binary;
use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

/// The ports that `make cluster` takes.
const PORTS: [u16; 6] = [7025, 7071, 7072, 7073, 7143, 7993];

/// What is added to every port, so that all are free.
fn above() -> u16 {
    let free = |above: &u16| {
        let nodes = [0, 10_000, 20_000];
        let mut ports = nodes.iter().flat_map(|node| PORTS.map(|port| port + node + above));
        ports.all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok())
    };
    let mut tries = (0..1000).map(|_| 20 + rand::random::<u16>() % 4000);
    tries.find(free).expect("free ports")
}

/// A command with its children; all of them end with it.
struct Group(Child);

impl Group {
    fn start(home: &Path, script: &str) -> (Self, BufReader<ChildStdout>) {
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(home).process_group(0);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        (Self(child), lines)
    }

    fn signal(&self, signal: Signal) {
        let _ = kill_process_group(Pid::from_child(&self.0), signal);
    }

    /// What Ctrl-C does: every process of the terminal's foreground is told.
    fn interrupt(mut self) -> Duration {
        let began = Instant::now();
        self.signal(Signal::INT);
        let ended = until(PATIENCE, || self.0.try_wait().unwrap());
        assert!(ended.is_some_and(|status| status.success()), "it ended with {ended:?}");
        began.elapsed()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.0.wait();
    }
}

/// `make cluster` in a folder, with the program where `make build` puts it.
struct Tour {
    home: tempfile::TempDir,
    above: u16,
}

impl Tour {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir_all(home.path().join("target/release")).unwrap();
        let program = home.path().join("target/release/redoubt");
        std::os::unix::fs::symlink(binary(), program).unwrap();
        Self { home, above: above() }
    }

    /// Starts all three, up to where it says how to end them; what it says.
    fn start(&self) -> (Group, String) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/cluster");
        let arguments = format!("redoubt-data-cluster {}", self.above);
        let line = format!("exec {} target/release/redoubt {arguments}", script.display());
        let (group, mut lines) = Group::start(self.home.path(), &line);
        let mut said = String::new();
        while !said.contains("Ctrl-C here stops them") {
            let more = lines.read_line(&mut said).unwrap();
            assert!(more > 0, "it ended: {said}");
        }
        // It goes on talking when a node ends.
        std::thread::spawn(move || drop(lines.read_to_string(&mut String::new())));
        (group, said)
    }

    fn pids(&self) -> Vec<Pid> {
        let pid = |node: u32| {
            let file = self.home.path().join(format!("redoubt-data-cluster/{node}/redoubt.pid"));
            let text = fs::read_to_string(file).ok()?;
            Pid::from_raw(text.trim().parse().ok()?)
        };
        (1..=3).filter_map(pid).collect()
    }

    /// The README's text with the ports of here.
    fn here(&self, text: &str, password: &str) -> String {
        let nodes = [0, 10_000, 20_000];
        let ports = nodes.iter().flat_map(|node| PORTS.map(|port| port + node));
        let named = text.replace("PASSWORD", password);
        ports.rev().fold(named, |text, port| {
            text.replace(&format!(":{port}"), &format!(":{}", port + self.above))
        })
    }
}

/// The README's commands with what each shows, below a heading.
fn told(heading: &str) -> Vec<(String, String)> {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let section = readme.split(&format!("\n{heading}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let mut told: Vec<(String, String)> = Vec::new();
    for block in section.split("```").skip(1).step_by(2).map(|block| block.trim_start_matches('\n'))
    {
        for line in block.lines() {
            match (line.strip_prefix("$ "), told.last_mut()) {
                (Some(command), _) => told.push((command.to_owned(), String::new())),
                (None, Some((_, shown))) if block.starts_with("$ ") => {
                    *shown += &format!("{line}\n")
                }
                _ => {}
            }
        }
    }
    told
}

/// Words as they are, whatever has a digit, and passwords, as `#`, sizes in any unit, whoever leads.
fn shape(text: &str) -> Vec<Vec<String>> {
    let word = |word: &str| match word {
        "KiB" | "MiB" | "GiB" | "TiB" => "B".to_owned(),
        "leader" | "voter" => "member".to_owned(),
        word if word.contains(|c: char| c.is_ascii_digit()) => "#".to_owned(),
        // One in some hundreds of passwords has no digit.
        word if word.len() == 16 && word.bytes().all(|b| b.is_ascii_lowercase()) => "#".to_owned(),
        word => word.to_owned(),
    };
    let lines = text.lines().map(|line| line.split_whitespace().map(word).collect::<Vec<_>>());
    lines.filter(|line| !line.is_empty()).map(without_the_past).collect()
}

/// Of a member that is gone, a leader that has just begun may have heard something or nothing.
fn without_the_past(line: Vec<String>) -> Vec<String> {
    match line.as_slice() {
        [node, role, past @ .., address, alarms]
            if role == "member" && past.iter().any(|word| word == "-") =>
        {
            [node, role, address, alarms].map(String::clone).to_vec()
        }
        _ => line,
    }
}

fn password(said: &str) -> String {
    let line = said.lines().find(|line| line.contains("alice@example.org  ")).unwrap();
    line.split_whitespace().last().unwrap().to_owned()
}

#[test]
fn the_tour_of_three_nodes_is_what_happens() {
    let tour = Tour::new();
    let (cluster, said) = tour.start();
    let password = password(&said);
    let (mut aliases, mut begun) = (String::from("shopt -s expand_aliases\n"), Vec::new());
    let told = told("## Three nodes");
    assert!(told.len() > 8, "{told:?}");
    for (command, shown) in told {
        let line = format!("{aliases}{}", tour.here(&command, &password));
        if command == "make cluster" {
            let expected = shape(&shown);
            let there = shape(&said);
            let all = expected.iter().all(|line| line[0] == "..." || there.contains(line));
            assert!(all, "the README shows {shown}, it says {said}");
        } else if command.starts_with("alias ") {
            aliases += &format!("{command}\n");
        } else if command.contains(" serve") {
            let (group, mut lines) = Group::start(tour.home.path(), &line);
            let mut first = String::new();
            lines.read_line(&mut first).unwrap();
            assert_eq!(first, shown, "{command}");
            begun.push(group);
        } else {
            shows(&tour, &command, &line, &shown);
        }
    }
    drop(begun);
    cluster.interrupt();
}

/// A command shows what the README shows; now, or as soon as the nodes have heard each other.
fn shows(tour: &Tour, command: &str, line: &str, shown: &str) {
    let mut last = String::new();
    let same = until(Duration::from_secs(20), || {
        let mut bash = Command::new("bash");
        let output = bash.args(["-c", line]).current_dir(tour.home.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
        last = String::from_utf8(output.stdout).unwrap();
        let again = command.contains("status");
        (shape(&last) == shape(shown) || !again).then_some(())
    });
    let same = same.is_some() && shape(&last) == shape(shown);
    assert!(same, "{command}: the README shows\n{shown}\nand there came\n{last}");
}

#[test]
fn ctrl_c_ends_all_nodes_and_a_second_start_has_everything() {
    let tour = Tour::new();
    let (cluster, said) = tour.start();
    let password = password(&said);
    for node in ["node 1: process ", "node 2: process ", "node 3: process "] {
        assert!(said.contains(node), "{said}");
    }
    let deliver = "printf 'Subject: kept\\n\\nhi\\n' | target/release/redoubt \
                   --config redoubt-data-cluster/1.toml deliver --to alice@example.org -";
    shows(&tour, deliver, deliver, "alice@example.org: delivered as e5-0\n");
    let pids = tour.pids();
    assert_eq!(pids.len(), 3);
    cluster.interrupt();
    assert!(pids.iter().all(|pid| test_kill_process(*pid).is_err()), "some node still runs");
    assert!(tour.pids().is_empty(), "each ended in order");
    let (cluster, said) = tour.start();
    assert!(said.contains("redoubt-data-cluster/accounts"), "{said}");
    let read =
        tour.here("curl -su alice:PASSWORD 'imap://127.0.0.1:27143/INBOX;MAILINDEX=1'", &password);
    shows(&tour, &read, &read, "Return-Path: <>\nSubject: kept\n\nhi\n");
    // A kill of the script alone ends them too.
    let pids = tour.pids();
    kill_process(Pid::from_child(&cluster.0), Signal::TERM).unwrap();
    let gone =
        until(PATIENCE, || pids.iter().all(|pid| test_kill_process(*pid).is_err()).then_some(()));
    assert!(gone.is_some(), "some node still runs");
}
