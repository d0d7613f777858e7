//! Dovecot from the distribution's packages, with a configuration of its own.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::owner::Owner;
use super::server::{Server, free_port};
use super::{DOMAIN, PASSWORD, user};

const PROGRAM: &str = "/usr/sbin/dovecot";

/// Its version, if it is installed.
pub(super) fn version() -> Option<String> {
    let lmtp = Path::new("/usr/lib/dovecot/lmtp").exists();
    let imap = Path::new("/usr/lib/dovecot/imap").exists();
    if !lmtp || !imap {
        return None;
    }
    let output = Command::new(PROGRAM).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.split_whitespace().next().map(str::to_owned)
}

/// Starts it over a folder of its own with mail in `format` (maildir, sdbox, mdbox).
pub(super) fn start(dir: &Path, format: &str) -> anyhow::Result<Server> {
    start_with(dir, format, "")
}

/// Whether its full-text plugin that keeps a Xapian index is installed.
pub(super) fn has_xapian() -> bool {
    Path::new("/usr/lib/dovecot/modules/lib21_fts_xapian_plugin.so").exists()
}

/// What switches that plugin on, and keeps it from falling back on looking through messages.
pub(super) const XAPIAN: &str = "mail_plugins = fts fts_xapian\n\
     plugin {\n  fts = xapian\n  fts_xapian = partial=3 full=20\n  fts_autoindex = no\n  fts_enforced = yes\n}\n\
     service indexer-worker {\n  vsz_limit = 4G\n}\n";

/// Brings its index of an account's INBOX to where its mail is.
pub(super) fn index(dir: &Path, account: &str) -> anyhow::Result<()> {
    let mut command = Command::new("/usr/bin/doveadm");
    command.arg("-c").arg(dir.canonicalize()?.join("dovecot.conf"));
    let output = command.args(["index", "-u", account, "INBOX"]).output()?;
    if !output.status.success() {
        bail!("doveadm index: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Starts it with more of a configuration.
pub(super) fn start_with(dir: &Path, format: &str, more: &str) -> anyhow::Result<Server> {
    fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let mail = dir.join("mail");
    fs::create_dir_all(&mail)?;
    let (lmtp, imap) = (free_port()?, free_port()?);
    let owner = Owner::find()?;
    owner.give(&mail)?;
    let text = configuration(&dir, format, &owner, lmtp.port(), imap.port()) + more;
    let file = dir.join("dovecot.conf");
    fs::write(&file, text)?;
    let output = fs::File::create(dir.join("output"))?;
    let mut command = Command::new(PROGRAM);
    command.arg("-F").arg("-c").arg(&file);
    let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
    let mut server = Server { name: "Dovecot", lmtp, imap, mail, child, login: user };
    server
        .wait()
        .with_context(|| format!("see {} and {}", path(&dir, "output"), path(&dir, "log")))?;
    Ok(server)
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

fn configuration(dir: &Path, format: &str, owner: &Owner, lmtp: u16, imap: u16) -> String {
    let dir = dir.display();
    let (uid, gid, internal, no_chroot) = (owner.uid, owner.gid, internal(owner), no_chroot(owner));
    format!(
        "base_dir = {dir}/run\n\
         state_dir = {dir}/state\n\
         log_path = {dir}/log\n\
         protocols = imap lmtp\n\
         listen = 127.0.0.1\n\
         ssl = no\n\
         disable_plaintext_auth = no\n\
         auth_mechanisms = plain login\n\
         hostname = mail.example.org\n\
         postmaster_address = postmaster@{DOMAIN}\n\
         mail_location = {format}:{dir}/mail/%n\n\
         mail_home = {dir}/mail/home-%n\n\
         first_valid_uid = 1\n\
         {internal}\
         passdb {{\n  driver = static\n  args = password={PASSWORD}\n}}\n\
         userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={dir}/mail/home-%n allow_all_users=yes\n}}\n\
         namespace inbox {{\n  inbox = yes\n}}\n\
         protocol imap {{\n  mail_max_userip_connections = 2000\n}}\n\
         service anvil {{\n  {no_chroot}\n}}\n\
         service imap {{\n  process_limit = 2000\n}}\n\
         service imap-login {{\n  {no_chroot}\n  service_count = 0\n  client_limit = 4000\n  process_min_avail = 1\n\
         \x20 inet_listener imap {{\n    port = {imap}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\n\
         service lmtp {{\n  process_min_avail = 1\n  inet_listener lmtp {{\n    port = {lmtp}\n  }}\n}}\n"
    )
}

/// Who runs what is not the mail's owner.
fn internal(owner: &Owner) -> String {
    if owner.is_root {
        return String::new();
    }
    let (user, group) = (owner.name(), owner.gid);
    format!(
        "default_internal_user = {user}\ndefault_login_user = {user}\n\
         default_internal_group = {group}\n"
    )
}

fn no_chroot(owner: &Owner) -> &'static str {
    if owner.is_root { "" } else { "chroot =" }
}
