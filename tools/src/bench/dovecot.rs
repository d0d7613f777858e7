//! Dovecot from the distribution's packages, with a configuration of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

use super::server::{Server, free_port};
use super::{DOMAIN, PASSWORD};

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
    fs::create_dir_all(dir)?;
    let dir = dir.canonicalize()?;
    let mail = dir.join("mail");
    fs::create_dir_all(&mail)?;
    let (lmtp, imap) = (free_port()?, free_port()?);
    let owner = Owner::find()?;
    owner.give(&mail)?;
    let text = configuration(&dir, format, &owner, lmtp.port(), imap.port());
    let file = dir.join("dovecot.conf");
    fs::write(&file, text)?;
    let output = fs::File::create(dir.join("output"))?;
    let mut command = Command::new(PROGRAM);
    command.arg("-F").arg("-c").arg(&file);
    let child = command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).spawn()?;
    let mut server = Server { name: "Dovecot", lmtp, imap, mail, child };
    server
        .wait()
        .with_context(|| format!("see {} and {}", path(&dir, "output"), path(&dir, "log")))?;
    Ok(server)
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).display().to_string()
}

/// Whose the mail is: root may not own mail, and who is not root can use only himself.
struct Owner {
    uid: u32,
    gid: u32,
    is_root: bool,
}

impl Owner {
    fn find() -> anyhow::Result<Self> {
        let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
        if !uid.is_root() {
            return Ok(Self { uid: uid.as_raw(), gid: gid.as_raw(), is_root: false });
        }
        let users = fs::read_to_string("/etc/passwd")?;
        let line = users.lines().find_map(|line| line.strip_prefix("mail:"));
        let mut fields = line.context("there is no user \"mail\"")?.split(':').skip(1);
        let mut number = || fields.next().and_then(|field| field.parse().ok());
        let (uid, gid) = (number(), number());
        let broken = || "the line of \"mail\" in /etc/passwd does not read";
        Ok(Self { uid: uid.with_context(broken)?, gid: gid.with_context(broken)?, is_root: true })
    }

    fn give(&self, folder: &Path) -> anyhow::Result<()> {
        if !self.is_root {
            return Ok(());
        }
        for above in folder.ancestors().skip(1) {
            if fs::metadata(above)?.permissions().mode() & 0o001 == 0 {
                bail!("user \"mail\" cannot pass through {}: name another --dir", above.display());
            }
        }
        Ok(std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid))?)
    }

    /// Who runs what is not the mail's owner.
    fn internal(&self) -> String {
        if self.is_root {
            return String::new();
        }
        format!(
            "default_internal_user = {uid}\ndefault_login_user = {uid}\ndefault_internal_group = {gid}\n",
            uid = user_name(self.uid),
            gid = self.gid
        )
    }

    fn no_chroot(&self) -> &'static str {
        if self.is_root { "" } else { "chroot =" }
    }
}

fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&number));
    line.and_then(|line| line.split(':').next()).unwrap_or("nobody").to_owned()
}

fn configuration(dir: &Path, format: &str, owner: &Owner, lmtp: u16, imap: u16) -> String {
    let dir = dir.display();
    let (uid, gid, internal, no_chroot) =
        (owner.uid, owner.gid, owner.internal(), owner.no_chroot());
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
