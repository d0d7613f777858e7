//! Whose the mail of other servers is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, bail};

/// Whose the mail is: root may not own mail, and who is not root can use only himself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether this process is root's.
    pub(super) is_root: bool,
}

impl Owner {
    /// The user "mail" for root, else this process's.
    pub(super) fn find() -> anyhow::Result<Self> {
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

    /// Makes a folder his, who must be able to come to it.
    pub(super) fn give(&self, folder: &Path) -> anyhow::Result<()> {
        self.reaches(folder)?;
        if !self.is_root {
            return Ok(());
        }
        Ok(std::os::unix::fs::chown(folder, Some(self.uid), Some(self.gid))?)
    }

    /// Refuses what lies below a folder that he cannot pass through.
    pub(super) fn reaches(&self, path: &Path) -> anyhow::Result<()> {
        for above in path.ancestors().skip(1).filter(|_| self.is_root) {
            if fs::metadata(above)?.permissions().mode() & 0o001 == 0 {
                bail!(
                    "user \"mail\" cannot pass through {} to {}",
                    above.display(),
                    path.display()
                );
            }
        }
        Ok(())
    }

    /// The name of this user.
    pub(super) fn name(&self) -> String {
        user_name(self.uid)
    }
}

fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let line = users.lines().find(|line| line.split(':').nth(2) == Some(&number));
    line.and_then(|line| line.split(':').next()).unwrap_or("nobody").to_owned()
}
