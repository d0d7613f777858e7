//! HAProxy, nginx and Dovecot in front, swaks as an MTA's gateway: the original
//! client's address is what stands in records and Received lines. Clients come
//! from other loopback addresses than the proxies do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redoubt_tests::imap::Imap;
use redoubt_tests::messages::message;
use redoubt_tests::process::Redoubt;
use redoubt_tests::programs::{Scene, TIMEOUT, contents, prepared};

const CLIENT: &str = "127.0.0.2";

/// Redoubt with a second listener of each kind, for proxies.
fn scene() -> Scene {
    Scene::over(|data| {
        let two = "127.0.0.1:0,proxy:127.0.0.1:0";
        let keys = ["LMTP", "IMAP", "IMAPS", "ADMIN_HTTPS"];
        let listen = keys.map(|key| (format!("REDOUBT_LISTEN_{key}"), two));
        let mut environment = vec![("REDOUBT_LOG_LEVEL", "info,redoubt_tools=debug")];
        environment.extend(listen.iter().map(|(name, value)| (name.as_str(), *value)));
        prepared(Redoubt::start_with(data, &environment))
    })
}

fn behind(scene: &Scene, key: &str) -> SocketAddr {
    scene.server.addresses(key)[1]
}

/// A program in front; it ends with the test.
struct Front(Child);

impl Front {
    /// Starts it, and waits until it takes connections at all of these.
    fn start(command: &mut Command, ports: &[SocketAddr]) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let front =
            Self(child.unwrap_or_else(|error| {
                panic!("{command:?}: {error}; `make setup-test` installs it")
            }));
        let deadline = Instant::now() + TIMEOUT;
        for port in ports {
            while TcpStream::connect(port).is_err() {
                assert!(Instant::now() < deadline, "nobody listens on {port}");
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
        front
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.0.wait();
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Appends a message by curl from the client's address.
fn append(scene: &Scene, url: &str, token: &str) {
    let file = scene.file(&format!("{token}.eml"), message(token, 3_000));
    let file = file.to_str().unwrap();
    let arguments = ["-sS", "-k", "--interface", CLIENT, "-u", "alice:secret", "-T", file, url];
    scene.run("curl", &arguments);
}

/// From where the last record came.
fn last_from(scene: &Scene) -> String {
    let dump = scene.server.verb(&["dump"]);
    let last = dump.lines().rfind(|line| line.contains(" append ")).unwrap().to_owned();
    let from = last.split_once(" from ").map_or("", |(_, rest)| rest);
    from.split([' ', ',']).next().unwrap().to_owned()
}

fn received(scene: &Scene, token: &str) -> String {
    let there = contents(&mut scene.imap("alice"), "INBOX");
    let text = String::from_utf8(there[token].content.clone()).unwrap();
    text.split("Received: ").nth(1).unwrap().lines().next().unwrap().to_owned()
}

fn swaks(scene: &Scene, server: SocketAddr, token: &str, more: &[&str]) -> String {
    let (server, header) = (server.to_string(), format!("Subject: {token}"));
    let all = ["--protocol", "LMTP", "--server", &server, "--from", "s@example.net"];
    let rest = ["--to", "alice@example.org", "--header", &header];
    let output = scene.try_run("swaks", &[&all[..], &rest, more].concat());
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn haproxy_by_version_2_and_1() {
    let scene = scene();
    let (imap, imaps, lmtp) = (free(), free(), free());
    let mut config = "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 20s\n  \
                      timeout client 60s\n  timeout server 60s\n"
        .to_owned();
    let version_2 = "send-proxy-v2 check check-send-proxy inter 50ms";
    let parts =
        [("imap", imap, version_2), ("imaps", imaps, version_2), ("lmtp", lmtp, "send-proxy")];
    for (key, front, how) in parts {
        let to = behind(&scene, key);
        config += &format!("listen {key}\n  bind {front}\n  server redoubt {to} {how}\n");
    }
    let file = scene.file("haproxy.cfg", config);
    let mut command = Command::new("/usr/sbin/haproxy");
    let _haproxy = Front::start(command.arg("-db").arg("-f").arg(file), &[imap, imaps, lmtp]);
    append(&scene, &format!("imap://{imap}/INBOX"), "plain");
    assert_eq!(last_from(&scene), CLIENT);
    append(&scene, &format!("imaps://{imaps}/INBOX"), "tls");
    assert_eq!(last_from(&scene), CLIENT);
    let talk = swaks(&scene, lmtp, "relayed", &["--local-interface", CLIENT]);
    assert!(talk.contains("<-  250 2.0.0"), "{talk}");
    assert!(received(&scene, "relayed").ends_with(&format!("([{CLIENT}])")));
}

#[test]
fn nginx_by_version_1_and_x_forwarded_for() {
    let scene = scene();
    let (imap, https, auth) = (free(), free(), free());
    let home = scene.home().display();
    let backend = behind(&scene, "imap");
    let config = format!(
        "load_module /usr/lib/nginx/modules/ngx_mail_module.so;\n\
         daemon off;\npid {home}/nginx.pid;\nerror_log {home}/nginx.log;\n\
         events {{}}\n\
         http {{\n  access_log off;\n  client_body_temp_path {home}/t1;\n  proxy_temp_path {home}/t2;\n\
         \x20 fastcgi_temp_path {home}/t3;\n  uwsgi_temp_path {home}/t4;\n  scgi_temp_path {home}/t5;\n\
         \x20 server {{\n    listen {https};\n    location / {{\n      proxy_pass https://{};\n\
         \x20     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n    }}\n  }}\n\
         \x20 server {{\n    listen {auth};\n    location / {{\n      add_header Auth-Status OK;\n\
         \x20     add_header Auth-Server {};\n      add_header Auth-Port {};\n      return 204;\n    }}\n  }}\n}}\n\
         mail {{\n  auth_http {auth}/;\n  server {{\n    listen {imap};\n    protocol imap;\n\
         \x20   proxy_protocol on;\n  }}\n}}\n",
        scene.server.address("admin_https"),
        backend.ip(),
        backend.port(),
    );
    let file = scene.file("nginx.conf", config);
    let mut command = Command::new("/usr/sbin/nginx");
    let _nginx = Front::start(command.arg("-c").arg(file), &[imap, https, auth]);
    append(&scene, &format!("imap://{imap}/INBOX"), "by nginx");
    assert_eq!(last_from(&scene), CLIENT);
    let smuggled = ["-H", "X-Forwarded-For: 192.0.2.99"];
    let url = format!("http://{https}/livez");
    let asked = scene.run("curl", &[&["-sS", "--interface", CLIENT, &url], &smuggled[..]].concat());
    assert_eq!(asked, b"ok\n");
    // The client is on this machine and so trusted itself: its own word is taken too.
    let log = std::fs::read_to_string(scene.server.log_file()).unwrap();
    assert!(log.contains("client=192.0.2.99"), "{log}");
}

/// Dovecot as a proxy that knows no passwords: it passes them on, and says by ID who the client is.
fn dovecot_conf(scene: &Scene, front: SocketAddr) -> String {
    let (home, to) = (scene.home().display(), scene.server.imap());
    let me = rustix::process::geteuid();
    let own = |what: &str| if me.is_root() { String::new() } else { what.to_owned() };
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let users = format!("default_internal_user = {user}default_login_user = {user}");
    let group = format!("default_internal_group = {}\n", rustix::process::getegid().as_raw());
    let (users, chroot) = (own(&(users + &group)), own("  chroot =\n"));
    format!(
        "base_dir = {home}/run\nstate_dir = {home}/state\nlog_path = {home}/dovecot.log\n\
         protocols = imap\nlisten = {}\nssl = no\ndisable_plaintext_auth = no\n{users}\
         passdb {{\n  driver = static\n  args = proxy=y host={} port={} nopassword=y\n}}\n\
         service anvil {{\n{chroot}}}\nservice stats {{\n{chroot}}}\n\
         service imap-login {{\n{chroot}  inet_listener imap {{\n    port = {}\n  }}\n\
         \x20 inet_listener imaps {{\n    port = 0\n  }}\n}}\n",
        front.ip(),
        to.ip(),
        to.port(),
        front.port(),
    )
}

#[test]
fn dovecot_says_by_id_who_the_client_is() {
    let scene = scene();
    let front = free();
    let home = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(scene.home(), home).unwrap();
    let file = scene.file("dovecot.conf", dovecot_conf(&scene, front));
    let mut command = Command::new("/usr/sbin/dovecot");
    let _dovecot = Front::start(command.arg("-F").arg("-c").arg(file), &[front]);
    append(&scene, &format!("imap://{front}/INBOX"), "through dovecot");
    assert_eq!(last_from(&scene), CLIENT);
}

#[test]
fn swaks_speaks_for_others_by_xclient() {
    let scene = scene();
    let xclient = ["--xclient-addr", "192.0.2.7", "--xclient-name", "out.example.net"];
    let helo = ["--xclient-helo", "client.example.net", "--xclient-proto", "ESMTP"];
    let talk = swaks(&scene, scene.server.lmtp(), "for another", &[xclient, helo].concat());
    assert!(talk.contains("<-  250 2.0.0"), "{talk}");
    let from = "from client.example.net (out.example.net [192.0.2.7])";
    assert_eq!(received(&scene, "for another"), from);
    let dump = scene.server.verb(&["dump"]);
    assert!(dump.contains(" by mta from 192.0.2.7"), "{dump}");
    // IPv6, as Postfix writes it.
    let talk = swaks(
        &scene,
        scene.server.lmtp(),
        "six",
        &["--xclient", "ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE]"],
    );
    assert!(talk.contains("<-  250 2.0.0"), "{talk}");
    assert!(received(&scene, "six").ends_with("([IPv6:2001:db8::7])"));
}

#[test]
fn a_proxy_that_is_not_trusted_is_not_heard() {
    let scene = Scene::over(|data| {
        let environment = [
            ("REDOUBT_TRUSTED", "192.0.2.0/24"),
            ("REDOUBT_LISTEN_IMAP", "127.0.0.1:0,proxy:127.0.0.1:0"),
        ];
        prepared(Redoubt::start_with(data, &environment))
    });
    let talk = swaks(&scene, scene.server.lmtp(), "lie", &["--xclient-addr", "192.0.2.7"]);
    assert!(
        !talk.contains("XCLIENT NAME")
            && !talk.contains("<-  220 mail.example.org LMTP Redoubt\n -> LHLO\n -> XCLIENT"),
        "{talk}"
    );
    assert!(!scene.server.verb(&["dump"]).contains("192.0.2.7"));
    assert!(Imap::connect(behind(&scene, "imap")).is_err());
    assert!(Imap::connect(scene.server.imap()).is_ok());
}
