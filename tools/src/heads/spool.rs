//! Heads that this node has signed, and how far each sink has them: files in `DATA/audit/heads`,
//! so that nothing is lost by a restart or a sink that is away.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use redoubt_log::disk::replace_private;

/// Heads that all sinks have are kept up to this number.
const KEPT: usize = 10_000;

/// See the module. All functions block.
#[derive(Debug, Clone)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// Makes the folder, and takes sinks in that are new: they begin with the next head.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(data: &Path, sinks: &[&str]) -> io::Result<Self> {
        let spool = Self { folder: data.join("audit").join("heads") };
        fs::create_dir_all(&spool.folder)?;
        let newest = spool.all()?.last().copied();
        for sink in sinks {
            if spool.has(sink)?.is_none() {
                spool.took(sink, newest.unwrap_or(0))?;
            }
        }
        Ok(spool)
    }

    /// Where the head after an entry is.
    pub fn head(&self, index: u64) -> PathBuf {
        self.folder.join(format!("{index:020}.txt"))
    }

    /// Where its time stamp is.
    pub fn stamp(&self, index: u64) -> PathBuf {
        self.folder.join(format!("{index:020}.tsr"))
    }

    /// Keeps a head, on the disk when this returns.
    ///
    /// # Errors
    /// Those of the system.
    pub fn keep(&self, index: u64, head: &str) -> io::Result<()> {
        replace_private(&self.head(index), head.as_bytes(), 0o644)
    }

    /// Keeps a head's time stamp.
    ///
    /// # Errors
    /// Those of the system.
    pub fn keep_stamp(&self, index: u64, answer: &[u8]) -> io::Result<()> {
        replace_private(&self.stamp(index), answer, 0o644)
    }

    /// The first head that a sink has not got.
    ///
    /// # Errors
    /// Those of the system.
    pub fn next(&self, sink: &str) -> io::Result<Option<(u64, String)>> {
        let has = self.has(sink)?.unwrap_or(0);
        let Some(index) = self.all()?.into_iter().find(|index| *index > has) else {
            return Ok(None);
        };
        Ok(Some((index, fs::read_to_string(self.head(index))?)))
    }

    /// Notes that a sink has all heads up to one.
    ///
    /// # Errors
    /// Those of the system.
    pub fn took(&self, sink: &str, index: u64) -> io::Result<()> {
        let path = self.folder.join(format!("{sink}.sent"));
        replace_private(&path, format!("{index}\n").as_bytes(), 0o644)
    }

    /// Removes the oldest heads that every sink has, where there are very many.
    ///
    /// # Errors
    /// Those of the system.
    pub fn sweep(&self, sinks: &[&str]) -> io::Result<()> {
        let all = self.all()?;
        let mut have = u64::MAX;
        for sink in sinks {
            have = have.min(self.has(sink)?.unwrap_or(0));
        }
        let many = all.len().saturating_sub(KEPT);
        for index in all.into_iter().take(many).filter(|index| *index <= have) {
            fs::remove_file(self.head(index))?;
            match fs::remove_file(self.stamp(index)) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    fn has(&self, sink: &str) -> io::Result<Option<u64>> {
        let path = self.folder.join(format!("{sink}.sent"));
        match fs::read_to_string(&path) {
            Ok(text) => text.trim().parse().map(Some).map_err(|_| {
                io::Error::other(format!("{}: it is no number; remove it", path.display()))
            }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// By rising index.
    fn all(&self) -> io::Result<Vec<u64>> {
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            let index = |name: &str| name.strip_suffix(".txt")?.parse::<u64>().ok();
            all.extend(name.to_str().and_then(index));
        }
        all.sort_unstable();
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn each_sink_goes_on_where_it_was() {
        let data = tempfile::tempdir().unwrap();
        let spool = Spool::open(data.path(), &["file"]).unwrap();
        for index in [5, 9, 12] {
            spool.keep(index, &format!("head {index}")).unwrap();
        }
        assert_eq!(spool.next("file").unwrap(), Some((5, "head 5".into())));
        spool.took("file", 9).unwrap();
        let again = Spool::open(data.path(), &["file", "mail"]).unwrap();
        assert_eq!(again.next("file").unwrap(), Some((12, "head 12".into())));
        assert_eq!(again.next("mail").unwrap(), None, "a new sink begins with the next head");
        again.keep(20, "head 20").unwrap();
        assert_eq!(again.next("mail").unwrap(), Some((20, "head 20".into())));
        again.sweep(&["file", "mail"]).unwrap();
        assert!(again.head(5).exists(), "few are kept");
    }
}
