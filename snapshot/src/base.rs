//! `shards/<id>/base/`: the verified checkpoints of this node, one folder each,
//! named by index in twenty digits.
//!
//! Invariant: a folder with a manifest is a whole image; one without is what a
//! crash left, and is removed when the next is made.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redoubt_log::chain::Head;
use redoubt_log::disk::Disk;
use redoubt_log::id::LogIndex;
use redoubt_log::raft::{ImageFile, Pin};
use redoubt_store::Pauses;
use redoubt_store::checkpoint::{Base, BaseError, Bases, Image, RECEIVED, is_part_of_image};

use crate::manifest::{self, FileEntry, Manifest};

const TAKING: &str = "taking";
const GONE: &str = "gone";

/// The state images in one folder.
#[derive(Debug, Clone)]
pub struct BaseDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Images that somebody needs; held while images are removed.
    pins: Arc<Mutex<BTreeMap<LogIndex, Weak<()>>>>,
}

impl BaseDir {
    /// Those in `dir`, which is made when the first image is.
    pub fn new(disk: Arc<dyn Disk>, dir: impl Into<PathBuf>) -> Self {
        Self { disk, dir: dir.into(), pins: Arc::default() }
    }

    fn folder(&self, index: LogIndex) -> PathBuf {
        self.dir.join(format!("{:020}", index.0))
    }

    fn names(&self) -> Result<Vec<String>, BaseError> {
        match self.disk.list(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(|error| BaseError::io(&self.dir, error)),
        }
    }

    /// What a crash left: images without a manifest, images half removed.
    fn tidy(&self) -> Result<(), BaseError> {
        for name in self.names()? {
            let path = self.dir.join(&name);
            let manifest = self.disk.open(&path.join(manifest::NAME));
            let unfinished =
                matches!(&manifest, Err(error) if error.kind() == io::ErrorKind::NotFound);
            if name.starts_with(GONE) || name == TAKING || unfinished {
                fs::remove_dir_all(&path).map_err(|error| BaseError::io(&path, error))?;
            }
        }
        Ok(())
    }

    fn remove(&self, index: LogIndex) -> Result<(), BaseError> {
        let (path, gone) = (self.folder(index), self.dir.join(format!("{GONE}-{index}")));
        let remove = || {
            self.disk.rename(&path, &gone)?;
            self.disk.sync_dir(&self.dir)?;
            fs::remove_dir_all(&gone)
        };
        remove().map_err(|error| BaseError::io(&path, error))
    }

    fn files(&self, dir: &Path, pauses: &Pauses) -> Result<Vec<FileEntry>, BaseError> {
        let names = self.disk.list(dir).map_err(|error| BaseError::io(dir, error))?;
        names
            .iter()
            .filter(|name| is_part_of_image(name) && !name.starts_with(manifest::NAME))
            .map(|name| manifest::entry(&*self.disk, dir, name, true, pauses))
            .collect()
    }

    fn load(&self, index: LogIndex) -> Result<(PathBuf, Manifest), BaseError> {
        let dir = self.folder(index);
        let manifest = Manifest::read(&*self.disk, &dir)?.ok_or(BaseError::NoSuch(index))?;
        if manifest.index != index {
            return Err(BaseError::damaged(&dir, format!("it is of index {}", manifest.index)));
        }
        Ok((dir, manifest))
    }

    fn manifest(&self, dir: &Path) -> Result<Manifest, BaseError> {
        let none = || BaseError::damaged(dir, "it has no manifest");
        Manifest::read(&*self.disk, dir)?.ok_or_else(none)
    }

    /// Notes, durably, that an image is from a peer.
    fn mark(&self, dir: &Path) -> Result<(), BaseError> {
        let mark = dir.join(RECEIVED);
        let made = match self.disk.create(&mark) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|file| file.sync_data()),
        };
        let made = made.and_then(|()| self.disk.sync_dir(dir));
        made.map_err(|error| BaseError::io(&mark, error))
    }

    fn verify_all(
        &self,
        dir: &Path,
        manifest: &Manifest,
        pauses: &Pauses,
    ) -> Result<Base, BaseError> {
        self.verify_files(dir, manifest, pauses)?;
        let base = manifest.base(dir)?;
        let image = Image::examine(dir, pauses)?;
        if image.state != base.state || image.state_hash != base.state_hash {
            return Err(BaseError::damaged(dir, "its state is not the one that it says"));
        }
        Ok(base)
    }

    fn verify_files(
        &self,
        dir: &Path,
        manifest: &Manifest,
        pauses: &Pauses,
    ) -> Result<(), BaseError> {
        for wanted in &manifest.files {
            let found = manifest::entry(&*self.disk, dir, &wanted.name, false, pauses)?;
            if found != *wanted {
                return Err(BaseError::damaged(&dir.join(&wanted.name), "its bytes have changed"));
            }
        }
        Ok(())
    }
}

impl Bases for BaseDir {
    fn place(&self) -> Result<PathBuf, BaseError> {
        self.disk.create_dir_all(&self.dir).map_err(|error| BaseError::io(&self.dir, error))?;
        self.tidy()?;
        Ok(self.dir.join(TAKING))
    }

    fn keep(&self, image: &Image, head: Head, pauses: &Pauses) -> Result<Base, BaseError> {
        let dir = self.folder(image.state.id.index);
        let named = self.disk.rename(&image.dir, &dir).and_then(|()| self.disk.sync_dir(&self.dir));
        named.map_err(|error| BaseError::io(&dir, error))?;
        let manifest = Manifest::of(image, &head, self.files(&dir, pauses)?);
        manifest.write(&*self.disk, &dir)?;
        manifest.base(&dir)
    }

    fn list(&self) -> Result<Vec<Base>, BaseError> {
        let names = self.names()?;
        let indices = names.iter().rev().filter_map(|name| name.parse().ok().map(LogIndex));
        let mut bases = Vec::new();
        for index in indices {
            match self.load(index).and_then(|(dir, manifest)| manifest.base(&dir)) {
                Ok(base) => bases.push(base),
                Err(BaseError::NoSuch(_)) => {}
                Err(error @ BaseError::Io { .. }) => return Err(error),
                Err(error) => tracing::error!(%error, "a checkpoint is passed over"),
            }
        }
        Ok(bases)
    }

    fn verify(&self, index: LogIndex, pauses: &Pauses) -> Result<Base, BaseError> {
        let (dir, manifest) = self.load(index)?;
        self.verify_all(&dir, &manifest, pauses)
    }

    fn keep_newest(&self, count: usize) -> Result<(), BaseError> {
        let mut pins = self.pins.lock();
        pins.retain(|_, pin| pin.strong_count() > 0);
        let old = self.list()?.into_iter().skip(count).map(|base| base.index());
        old.filter(|index| !pins.contains_key(index)).try_for_each(|index| self.remove(index))
    }

    fn pin(&self, index: LogIndex) -> Result<(Pin, Vec<ImageFile>), BaseError> {
        let mut pins = self.pins.lock();
        let (dir, manifest) = self.load(index)?;
        let mut files: Vec<_> = manifest.files.iter().map(FileEntry::image_file).collect();
        files.push(
            manifest::entry(&*self.disk, &dir, manifest::NAME, false, &Pauses::none())?
                .image_file(),
        );
        let pin = pins.get(&index).and_then(Weak::upgrade).unwrap_or_default();
        pins.insert(index, Arc::downgrade(&pin));
        Ok((pin, files))
    }

    fn examine(&self, dir: &Path, pauses: &Pauses) -> Result<Base, BaseError> {
        self.verify_all(dir, &self.manifest(dir)?, pauses)
    }

    fn adopt(&self, dir: &Path) -> Result<Base, BaseError> {
        let manifest = self.manifest(dir)?;
        self.disk.create_dir_all(&self.dir).map_err(|error| BaseError::io(&self.dir, error))?;
        let path = self.folder(manifest.index);
        if path.exists() {
            self.remove(manifest.index)?;
        }
        self.mark(dir)?;
        let moved = self.disk.rename(dir, &path).and_then(|()| self.disk.sync_dir(&self.dir));
        moved.map_err(|error| BaseError::io(&path, error))?;
        manifest.base(&path)
    }

    fn received(&self) -> Result<Option<Base>, BaseError> {
        let marked = |base: &Base| self.disk.open(&base.dir.join(RECEIVED)).is_ok();
        Ok(self.list()?.into_iter().find(marked))
    }

    fn settle(&self) -> Result<(), BaseError> {
        for base in self.list()? {
            let mark = base.dir.join(RECEIVED);
            match self.disk.remove(&mark) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                removed => removed.and_then(|()| self.disk.sync_dir(&base.dir)),
            }
            .map_err(|error| BaseError::io(&mark, error))?;
        }
        Ok(())
    }
}
