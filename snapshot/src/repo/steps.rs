//! Objects of a path of this machine that are large: written in steps, each of which is made
//! durable before the next. Who waits for the same disk, as each delivery does for its log, waits
//! for one step and not for megabytes.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use object_store::Error;

/// The most octets that are written at once.
pub(super) const STEP: usize = 1 << 20;

/// The folder that objects lie in.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Makes an object, all or nothing and durable, unless one has its name.
    pub(super) fn create(&self, name: &str, octets: &[u8]) -> Result<(), Error> {
        let path = self.0.join(name);
        let made = self.staged(&path).and_then(|(file, staged)| {
            let published = write(file, octets).and_then(|()| publish(&staged, &path));
            // The object has a name of its own now, or there is none.
            let _ = fs::remove_file(&staged);
            published
        });
        made.map_err(|error| failed(&path, error))
    }

    /// A new file beside the object, with a name that no listing shows.
    fn staged(&self, path: &Path) -> io::Result<(File, PathBuf)> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if let Some(parent) = path.parent() {
            self.make(parent)?;
        }
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let mut staged = path.as_os_str().to_owned();
            staged.push(format!("#{}{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&staged) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                opened => return opened.map(|file| (file, staged.into())),
            }
        }
    }

    /// Removes what crashes left half written, where nobody wrote to it for so long; how many
    /// files that were.
    pub(super) fn sweep(&self, age: Duration) -> io::Result<u64> {
        let (mut folders, mut removed) = (vec![self.0.clone()], 0);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    folders.push(entry.path());
                } else if is_staged(&entry.file_name()) && is_older(&entry, age)? {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Makes a folder and those above it, durable.
    fn make(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() || !folder.starts_with(&self.0) {
            return Ok(());
        }
        let Some(above) = folder.parent() else { return Ok(()) };
        self.make(above)?;
        match fs::create_dir(folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => sync_folder(above),
        }
    }
}

/// Whether a name is one of [`Folder::staged`], or of `object_store`'s like.
fn is_staged(name: &OsStr) -> bool {
    let number = name.to_str().and_then(|name| name.rsplit_once('#')).map(|(_, number)| number);
    number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// A clock that was set back makes it young.
fn is_older(entry: &fs::DirEntry, age: Duration) -> io::Result<bool> {
    let written = entry.metadata()?.modified()?;
    Ok(written.elapsed().is_ok_and(|elapsed| elapsed >= age))
}

fn write(mut file: File, octets: &[u8]) -> io::Result<()> {
    for step in octets.chunks(STEP) {
        file.write_all(step)?;
        file.sync_data()?;
    }
    file.sync_all()
}

/// Also the name of one that was there is durable then: another try may have made it.
fn publish(staged: &Path, path: &Path) -> io::Result<()> {
    let linked = fs::hard_link(staged, path);
    match &linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => linked,
        _ => path.parent().map_or(Ok(()), sync_folder).and(linked),
    }
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn failed(path: &Path, error: io::Error) -> Error {
    let source = Box::new(error);
    match source.kind() {
        ErrorKind::AlreadyExists => {
            Error::AlreadyExists { path: path.display().to_string(), source }
        }
        _ => Error::Generic { store: "folder", source },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;

    use super::*;
    use crate::repo::{Created, Place};

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[tokio::test]
    async fn large_objects_are_made_once_whole_and_leave_nothing_beside_them() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Place::path(dir.path().to_str().unwrap()).objects(true).unwrap();
        let large = Bytes::from_iter((0..2 * STEP + 7).map(|n| (n % 251) as u8));
        let other = Bytes::from(vec![1; large.len()]);
        assert_eq!(objects.create("packs/ab/x", large.clone()).await.unwrap(), Created::New);
        assert_eq!(objects.create("packs/ab/x", other).await.unwrap(), Created::Exists);
        assert_eq!(objects.get("packs/ab/x").await.unwrap(), large);
        assert_eq!(objects.list("packs", None).await.unwrap().len(), 1);
        assert_eq!(names(&dir.path().join("packs/ab")), ["x"]);
    }

    #[tokio::test]
    async fn what_a_crash_left_half_written_is_no_object_and_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Place::path(dir.path().to_str().unwrap()).objects(true).unwrap();
        let folder = Folder::new(dir.path());
        let (_, staged) = folder.staged(&dir.path().join("packs/ab/x")).unwrap();
        fs::write(&staged, b"half").unwrap();
        assert!(objects.list("packs", None).await.unwrap().is_empty());
        assert!(!objects.has("packs/ab/x").await.unwrap());
        let large = Bytes::from(vec![7; STEP + 1]);
        assert_eq!(objects.create("packs/ab/x", large.clone()).await.unwrap(), Created::New);
        assert_eq!(objects.get("packs/ab/x").await.unwrap(), large);
    }

    #[tokio::test]
    async fn what_a_crash_left_goes_when_it_is_old() {
        let dir = tempfile::tempdir().unwrap();
        let objects = Place::path(dir.path().to_str().unwrap()).objects(true).unwrap();
        let folder = Folder::new(dir.path());
        let (file, staged) = folder.staged(&dir.path().join("packs/ab/x")).unwrap();
        objects.create("packs/ab/y", Bytes::from_static(b"small")).await.unwrap();
        assert_eq!(objects.sweep_staged(Duration::from_secs(60)).await.unwrap(), 0);
        assert!(staged.exists());
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(61)).unwrap();
        assert_eq!(objects.sweep_staged(Duration::from_secs(60)).await.unwrap(), 1);
        assert_eq!(names(&dir.path().join("packs/ab")), ["y"]);
    }
}
