//! Dovecot, with the same mail: it sorts and threads as this server does.
#![allow(clippy::unwrap_used)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redoubt_tests::programs::{Scene, TIMEOUT};

/// Dovecot gives no mail to root: this is Debian's `nobody`.
const NOBODY: u32 = 65_534;

struct Dovecot(Child);

impl Drop for Dovecot {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

fn configuration(scene: &Scene, address: SocketAddr) -> String {
    let home = scene.home().display();
    let me = rustix::process::geteuid();
    let (uid, gid) = match me.is_root() {
        true => (NOBODY, NOBODY),
        false => (me.as_raw(), rustix::process::getegid().as_raw()),
    };
    let own = |what: &str| if me.is_root() { String::new() } else { what.to_owned() };
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let users = own(&format!(
        "default_internal_user = {user}default_login_user = {user}default_internal_group = {gid}\n"
    ));
    let chroot = own("  chroot =\n");
    format!(
        "base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {home}/dovecot.log\n\
         protocols = imap\nlisten = {}\nssl = no\ndisable_plaintext_auth = no\n{users}\
         mail_location = maildir:{home}/mail\nmail_home = {home}/mail\nfirst_valid_uid = 1\n\
         passdb {{\n  driver = static\n  args = password=secret\n}}\n\
         userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={home}/mail allow_all_users=yes\n}}\n\
         namespace inbox {{\n  inbox = yes\n}}\n\
         service anvil {{\n{chroot}}}\nservice stats {{\n{chroot}}}\n\
         service imap-login {{\n{chroot}  inet_listener imap {{\n    port = {}\n  }}\n\
         \x20 inet_listener imaps {{\n    port = 0\n  }}\n}}\n",
        address.ip(),
        address.port(),
    )
}

fn dovecot(scene: &Scene) -> (Dovecot, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::set_permissions(scene.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mail = scene.home().join("mail");
    std::fs::create_dir_all(&mail).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&mail, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let file = scene.file("dovecot.conf", configuration(scene, address));
    let mut command = Command::new("/usr/sbin/dovecot");
    let quiet = command.arg("-F").arg("-c").arg(file).stdin(Stdio::null()).stdout(Stdio::null());
    let dovecot = Dovecot(quiet.spawn().unwrap());
    let since = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(since.elapsed() < TIMEOUT, "it does not listen");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    (dovecot, address)
}

#[test]
fn the_same_mail_comes_in_the_same_order() {
    let scene = Scene::new();
    let (_dovecot, address) = dovecot(&scene);
    let script = scene.file("comparing.py", include_str!("programs/comparing.py"));
    let ports = [scene.server.imap().port().to_string(), address.port().to_string()];
    let output = scene.run("python3", &[script.to_str().unwrap(), &ports[0], &ports[1]]);
    assert_eq!(String::from_utf8(output).unwrap(), "compared 110\n");
}
