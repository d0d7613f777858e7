//! A Postfix of the test's own: its configuration, queue and log are below the
//! scene's home, and it ends with the test.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use redoubt_tests::programs::Scene;

/// None of them in a chroot.
const SERVICES: &str = "\
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
";

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Postfix {
    config: String,
    /// Where it takes mail by SMTP.
    pub(crate) address: SocketAddr,
    log: PathBuf,
}

impl Postfix {
    /// Starts one that delivers example.org's mail by LMTP to this address.
    #[allow(dead_code, reason = "not every test needs each of these")]
    pub(crate) fn start(scene: &Scene, lmtp: SocketAddr) -> Self {
        Self::start_with(scene, lmtp, "")
    }

    /// The same with more lines of main.cf.
    pub(crate) fn start_with(scene: &Scene, lmtp: SocketAddr, more: &str) -> Self {
        prepare(scene, lmtp, more);
        let config = scene.home().join("postfix").to_str().unwrap().to_string();
        let log = scene.home().join("postfix.log");
        // A free port can be another's before Postfix takes it.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            scene.file("postfix/master.cf", format!("{address} inet n - n - - smtpd\n{SERVICES}"));
            if as_root("postfix", &["-c", &config, "start"]).status.success() {
                return Self { config, address, log };
            }
        }
        panic!("Postfix does not start: {}", read(&log));
    }

    /// Tells it to deliver now what it has, whatever it thinks of the way there.
    #[allow(dead_code, reason = "not every test needs each of these")]
    pub(crate) fn flush(&self) {
        let output = as_root("postqueue", &["-c", &self.config, "-f"]);
        assert!(output.status.success(), "{output:?}");
    }

    /// Sends a message by SMTP; whether all went well, and the talk.
    #[allow(dead_code, reason = "not every test needs each of these")]
    pub(crate) fn send(&self, scene: &Scene, to: &str, message: &[u8]) -> (bool, String) {
        self.send_from(scene, "s@example.net", to, message)
    }

    /// Whether nothing is in its queue.
    #[allow(dead_code, reason = "not every test needs each of these")]
    pub(crate) fn is_empty(&self) -> bool {
        let output = as_root("postqueue", &["-c", &self.config, "-p"]);
        String::from_utf8_lossy(&output.stdout).contains("queue is empty")
    }

    /// Sends as somebody.
    pub(crate) fn send_from(
        &self,
        scene: &Scene,
        from: &str,
        to: &str,
        message: &[u8],
    ) -> (bool, String) {
        let text = String::from_utf8(message.to_vec()).unwrap().replace("\r\n", "\n");
        // swaks ends the last line itself.
        let text = text.strip_suffix('\n').unwrap();
        let data = format!("@{}", scene.file("mail.eml", text).display());
        let server = self.address.to_string();
        let output = scene
            .try_run("swaks", &["--server", &server, "--to", to, "--from", from, "--data", &data]);
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        let _ = as_root("postfix", &["-c", &self.config, "stop"]);
        if std::thread::panicking() {
            eprintln!("Postfix's log:\n{}", read(&self.log));
        }
        // What is Postfix's own can be removed by root only.
        let home = Path::new(&self.config).parent().unwrap();
        let owned = ["postfix-queue", "postfix-data"].map(|name| home.join(name));
        let _ = as_root("rm", &["-rf", owned[0].to_str().unwrap(), owned[1].to_str().unwrap()]);
    }
}

fn prepare(scene: &Scene, lmtp: SocketAddr, more: &str) {
    let home = scene.home().to_str().unwrap();
    for folder in ["postfix", "postfix-queue", "postfix-data"] {
        fs::create_dir_all(scene.home().join(folder)).unwrap();
    }
    scene.file(
        "postfix/main.cf",
        format!(
            "compatibility_level = 3.6\nqueue_directory = {home}/postfix-queue\n\
         data_directory = {home}/postfix-data\n\
         maillog_file = {home}/postfix.log\nmaillog_file_prefixes = {home}\n\
         myhostname = mta.example.net\nmydestination =\n\
         inet_interfaces = 127.0.0.1\ninet_protocols = ipv4\n\
         mynetworks = 127.0.0.0/8\nalias_maps =\nlocal_recipient_maps =\n\
         virtual_mailbox_domains = example.org\n\
         virtual_mailbox_maps = socketmap:inet:{}:virtual\n\
         virtual_transport = lmtp:inet:{lmtp}\n\
         minimal_backoff_time = 1s\nmaximal_backoff_time = 1s\nqueue_run_delay = 1s\n{more}",
            scene.server.address("socketmap"),
        ),
    );
    // Postfix's own user must get to its folders.
    for (program, arguments) in [
        ("chmod", ["755", home]),
        ("chown", ["postfix", &format!("{home}/postfix-data")]),
        ("chown", ["root", &format!("{home}/postfix-queue")]),
    ] {
        let output = as_root(program, &arguments);
        assert!(output.status.success(), "{output:?}");
    }
}

/// Postfix's master needs root.
fn as_root(program: &str, arguments: &[&str]) -> Output {
    let mut command = match rustix::process::geteuid().is_root() {
        true => Command::new(program),
        false => Command::new("sudo"),
    };
    if !rustix::process::geteuid().is_root() {
        command.args(["--non-interactive", program]);
    }
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").args(arguments);
    command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
