//! Postfix relays by LMTP and asks the socketmap who exists.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::net::TcpListener;
use std::process::Command;

use redoubt_tests::imap::Imap;
use redoubt_tests::messages::message;
use redoubt_tests::programs::Scene;

/// A Postfix of our own, below the scene's home, ended with it.
struct Postfix {
    config: String,
    port: u16,
}

impl Postfix {
    fn start(scene: &Scene) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let home = scene.home().to_str().unwrap();
        for folder in ["postfix", "postfix-queue", "postfix-data"] {
            fs::create_dir_all(scene.home().join(folder)).unwrap();
        }
        // Postfix's own user must get to its folders.
        sh(&format!("chmod 755 {home} && chown postfix {home}/postfix-data"));
        scene.file("postfix/main.cf", format!(
            "compatibility_level = 3.6\nqueue_directory = {home}/postfix-queue\ndata_directory = {home}/postfix-data\n\
             maillog_file = {home}/postfix.log\nmaillog_file_prefixes = {home}\n\
             myhostname = mta.example.net\nmydestination =\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\nalias_maps =\nlocal_recipient_maps =\n\
             virtual_mailbox_domains = example.org\n\
             virtual_mailbox_maps = socketmap:inet:{}:virtual\n\
             virtual_transport = lmtp:inet:{}\n\
             minimal_backoff_time = 1s\nmaximal_backoff_time = 2s\nqueue_run_delay = 1s\n",
            scene.server.address("socketmap"), scene.server.lmtp(),
        ));
        let services = fs::read_to_string("/usr/share/postfix/master.cf.dist").unwrap();
        let services = services.lines().map(|line| {
            if line.starts_with("smtp      inet") {
                format!("127.0.0.1:{port} inet n - n - - smtpd")
            } else {
                line.replacen(" -       y       ", " -       n       ", 1)
                    .replace("  y       ", "  n       ")
            }
        });
        let services =
            services.collect::<Vec<_>>().join("\n") + "\npostlog unix-dgram n - n - 1 postlogd\n";
        scene.file("postfix/master.cf", services);
        let config = format!("{home}/postfix");
        scene.run("postfix", &["-c", &config, "start"]);
        Self { config, port }
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = Command::new("postfix").args(["-c", &self.config, "stop"]).output();
    }
}

fn sh(command: &str) {
    assert!(Command::new("sh").args(["-c", command]).status().unwrap().success(), "{command}");
}

/// Speaks SMTP; the answers to the last step.
fn send(scene: &Scene, port: u16, to: &str, data: &str) -> (bool, String) {
    let file = scene.file("mail.eml", data);
    let server = format!("127.0.0.1:{port}");
    let data = format!("@{}", file.display());
    let output = scene.try_run(
        "swaks",
        &["--server", &server, "--to", to, "--from", "s@example.net", "--data", &data],
    );
    (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn mail_passes_and_unknown_users_are_refused_at_the_edge() {
    let scene = Scene::new();
    let postfix = Postfix::start(&scene);
    let text = String::from_utf8(message("postfix", 20_000)).unwrap().replace("\r\n", "\n");
    let (sent, talk) = send(&scene, postfix.port, "alice@example.org,bob@example.org", &text);
    assert!(sent, "{talk}");
    let (sent, talk) = send(&scene, postfix.port, "nobody@example.org", &text);
    assert!(!sent && talk.contains("550 5.1.1"), "{talk}");
    for account in ["alice@example.org", "bob@example.org"] {
        // IDLE answers as soon as the message is there.
        let mut imap = Imap::login(scene.server.imap(), account).unwrap();
        let mut there = !imap.ok("SELECT INBOX").unwrap().untagged.contains(&b"0 EXISTS".to_vec());
        imap.raw(b"i IDLE\r\n").unwrap();
        while !there {
            there = imap.response().unwrap().ends_with(b"EXISTS");
        }
        imap.raw(b"DONE\r\n").unwrap();
        imap.finish("i").unwrap();
        let found = imap.ok("SEARCH SUBJECT postfix TEXT \"quick brown fox\"").unwrap();
        assert_eq!(found.search(), [1]);
    }
}
