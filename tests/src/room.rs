//! A small disk of its own for one node, which can be filled.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system in memory of a fixed size; gone with this value.
#[derive(Debug)]
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB on a folder, which is made. Only root may, or who may use `sudo`
    /// without being asked.
    ///
    /// # Panics
    /// When nothing can be mounted.
    pub fn mount(at: &Path, mib: u64) -> Self {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={mib}m,mode=777");
        let done = as_root(&["mount", "-t", "tmpfs", "-o", &size, "redoubt-test", path(at)]);
        assert!(done, "a file system in memory cannot be mounted: run this as root, or `sudo -v`");
        Self { at: at.into() }
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Fills it until so many MiB are left.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn fill(&self, leave_mib: u64) {
        let space = rustix::fs::statvfs(&self.at).unwrap();
        let free = (space.f_bavail * space.f_frsize) >> 20;
        let mut ballast = File::create(self.ballast()).unwrap();
        let piece = vec![0; 1 << 20];
        for _ in leave_mib..free {
            ballast.write_all(&piece).unwrap();
        }
    }

    /// Takes away what [`SmallDisk::fill`] has put there.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        as_root(&["umount", "--lazy", path(&self.at)]);
    }
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn as_root(command: &[&str]) -> bool {
    let sudo: &[&str] = if rustix::process::geteuid().is_root() { &[] } else { &["sudo", "-n"] };
    let all = [sudo, command].concat();
    let run = Command::new(all[0]).args(&all[1..]).stdin(Stdio::null()).status();
    run.is_ok_and(|status| status.success())
}
