//! Cyrus from the distribution's packages, with a configuration of its own. They
//! cannot be installed beside Dovecot's: it is enough that they are unpacked.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::imap::Client;
use super::owner::Owner;
use super::server::{Server, free_port};
use super::{ACCOUNTS, COMPARED, DOMAIN, PASSWORD};

const ADMIN: &str = "admin";

fn master(programs: &Path) -> PathBuf {
    programs.join("lib/cyrus/bin/master")
}

/// Its version, if it is below this folder.
pub(super) fn version(programs: &Path) -> Option<String> {
    if !master(programs).exists() {
        return None;
    }
    let facts = fs::read_to_string(programs.join("lib/cyrus/cyrus-hardwired-config.txt"));
    let facts = facts.unwrap_or_default();
    let version = facts.lines().find_map(|line| line.strip_prefix("PACKAGE_VERSION "));
    Some(version.unwrap_or("of unknown version").to_owned())
}

/// Where unpacked packages have their libraries; nothing where they are installed.
fn libraries(programs: &Path) -> OsString {
    if programs == Path::new("/usr") {
        return OsString::new();
    }
    let roots = [programs.join("lib"), programs.join("../lib")];
    let folders = roots.iter().flat_map(fs::read_dir).flatten().flatten();
    let folders = folders.filter(|entry| entry.file_name().to_string_lossy().contains("-linux-"));
    std::env::join_paths(folders.map(|entry| entry.path())).unwrap_or_default()
}

/// Starts it over a folder of its own, with a mailbox for each account.
pub(super) fn start(dir: &Path, programs: &Path) -> anyhow::Result<Server> {
    start_with(dir, programs, "")
}

/// What makes SEARCH with FUZZY ask the index that squatter keeps. Of its default, batches of 20
/// emails, each takes longer than the one before.
pub(super) fn xapian(dir: &Path) -> String {
    format!(
        "search_engine: xapian\nconversations: 1\ndefaultsearchtier: t1\nsearch_batchsize: 2000\n\
         t1searchpartition-default: {}/search\n",
        dir.display()
    )
}

/// Brings that index to where the mail is.
pub(super) fn index(dir: &Path, programs: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(programs.join("sbin/squatter"));
    if !programs.join("sbin/squatter").exists() {
        command = Command::new(programs.join("lib/cyrus/bin/squatter"));
    }
    command.env("LD_LIBRARY_PATH", libraries(programs));
    command.arg("-C").arg(dir.canonicalize()?.join("imapd.conf"));
    let output = command.stdin(Stdio::null()).output()?;
    if !output.status.success() {
        bail!("squatter: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Starts it with more of a configuration.
pub(super) fn start_with(dir: &Path, programs: &Path, more: &str) -> anyhow::Result<Server> {
    fs::create_dir_all(dir)?;
    let (dir, programs) = (dir.canonicalize()?, programs.canonicalize()?);
    let owner = Owner::find()?;
    owner.reaches(&programs)?;
    let is_new = !dir.join("spool").exists();
    let mail = folders(&dir, &owner)?;
    // Of an earlier run over the same folder.
    let _ = fs::remove_file(dir.join("state/mux"));
    answer_logins(&dir.join("state/mux"))?;
    let (lmtp, imap) = (free_port()?, free_port()?);
    fs::write(dir.join("imapd.conf"), configuration(&dir, &owner) + more)?;
    fs::write(dir.join("cyrus.conf"), services(&dir, &programs, lmtp.port(), imap.port()))?;
    let output = fs::File::create(dir.join("output"))?;
    let mut command = Command::new(master(&programs));
    command.env("LD_LIBRARY_PATH", libraries(&programs));
    command.arg("-C").arg(dir.join("imapd.conf")).arg("-M").arg(dir.join("cyrus.conf"));
    command.arg("-p").arg(dir.join("state/master.pid"));
    let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
    let mut server = Server { name: "Cyrus", lmtp, imap, mail, child, login };
    server.wait().with_context(|| format!("see {}", dir.join("output").display()))?;
    if is_new {
        mailboxes(&server)?;
    }
    Ok(server)
}

fn login(number: usize) -> String {
    format!("u{number}")
}

fn folders(dir: &Path, owner: &Owner) -> anyhow::Result<PathBuf> {
    let mail = dir.join("spool");
    for name in ["state", "state/socket", "state/proc", "state/lock", "state/db", "spool", "search"]
    {
        let folder = dir.join(name);
        fs::create_dir_all(&folder)?;
        owner.give(&folder)?;
    }
    Ok(mail)
}

fn mailboxes(server: &Server) -> anyhow::Result<()> {
    let mut client = Client::login(server.imap, ADMIN, PASSWORD, false)?;
    for number in 0..ACCOUNTS {
        client.command(&format!("CREATE user/u{number}"))?;
    }
    Ok(())
}

fn configuration(dir: &Path, owner: &Owner) -> String {
    let (dir, user) = (dir.display(), owner.name());
    format!(
        "configdirectory: {dir}/state\n\
         defaultpartition: default\n\
         partition-default: {dir}/spool\n\
         proc_path: {dir}/state/proc\n\
         mboxname_lockpath: {dir}/state/lock\n\
         idlesocket: {dir}/state/socket/idle\n\
         notifysocket: {dir}/state/socket/notify\n\
         lmtpsocket: {dir}/state/socket/lmtp\n\
         cyrus_user: {user}\n\
         servername: mail.example.org\n\
         defaultdomain: {DOMAIN}\n\
         admins: {ADMIN}\n\
         unixhierarchysep: yes\n\
         altnamespace: yes\n\
         allowplaintext: yes\n\
         sasl_mech_list: PLAIN\n\
         sasl_pwcheck_method: saslauthd\n\
         sasl_saslauthd_path: {dir}/state/mux\n\
         hashimapspool: yes\n\
         duplicatesuppression: no\n"
    )
}

fn services(dir: &Path, programs: &Path, lmtp: u16, imap: u16) -> String {
    let bin = programs.join("lib/cyrus/bin");
    let (bin, dir) = (bin.display(), dir.display());
    format!(
        "START {{\n\
         \x20 recover cmd=\"{bin}/ctl_cyrusdb -C {dir}/imapd.conf -r\"\n\
         \x20 idled cmd=\"{bin}/idled -C {dir}/imapd.conf\"\n}}\n\
         SERVICES {{\n\
         \x20 imap cmd=\"{bin}/imapd -C {dir}/imapd.conf\" listen=\"127.0.0.1:{imap}\" prefork=1 maxchild=2000\n\
         \x20 lmtp cmd=\"{bin}/lmtpd -C {dir}/imapd.conf -a\" listen=\"127.0.0.1:{lmtp}\" prefork={COMPARED} maxchild=100\n}}\n\
         EVENTS {{\n}}\n"
    )
}

/// Says yes to every login, as the daemon would that checks passwords: its thread
/// ends with this process.
fn answer_logins(socket: &Path) -> anyhow::Result<()> {
    let listener = UnixListener::bind(socket)?;
    fs::set_permissions(socket, fs::Permissions::from_mode(0o777))?;
    std::thread::Builder::new().name("logins".into()).spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = yes(stream);
        }
    })?;
    Ok(())
}

/// A request is four strings (login, password, service, realm), each behind its length.
fn yes(mut stream: UnixStream) -> io::Result<()> {
    for _ in 0..4 {
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut string = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut string)?;
    }
    stream.write_all(b"\0\x02OK")
}
