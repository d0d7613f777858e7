//! The indexes that are open, the latest used last, and where each account's emails are.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lru::LruCache;
use parking_lot::{Mutex, RwLock};
use redoubt_log::id::AccountId;

use super::folder::{Folder, Home, remove};
use super::marks::{Mark, Marks};
use super::read::ReadError;

/// All indexes of a node. Invariant: a folder is opened once at a time, and what was found
/// damaged is served no more.
#[derive(Debug)]
pub(super) struct Shelf {
    root: PathBuf,
    lineage: String,
    open: Mutex<LruCache<Home, Arc<Folder>>>,
    /// Accounts that have, or are being given, an index of their own.
    own: RwLock<HashSet<AccountId>>,
    /// Whose octets were checked since the start.
    verified: Mutex<HashSet<Home>>,
    /// Found damaged, and to be built anew.
    damaged: Mutex<HashMap<Home, String>>,
    opening: Mutex<()>,
    flats: usize,
}

impl Shelf {
    /// Looks what is there. What is no index of this layout is removed later, when it is opened.
    pub(super) fn open(
        root: &Path,
        lineage: String,
        folders: NonZeroUsize,
        flats: usize,
    ) -> std::io::Result<Self> {
        fs::create_dir_all(root)?;
        let mut own = HashSet::new();
        for entry in fs::read_dir(root)?.flatten() {
            if let Some(Home::Own(account)) = entry.file_name().to_str().and_then(Home::parse) {
                own.insert(account);
            }
        }
        Ok(Self {
            root: root.to_owned(),
            lineage,
            open: Mutex::new(LruCache::new(folders)),
            own: RwLock::new(own),
            verified: Mutex::default(),
            damaged: Mutex::default(),
            opening: Mutex::default(),
            flats,
        })
    }

    /// An index, opened if it is not; `None` when there is none that can be used.
    pub(super) fn folder(&self, home: Home) -> Option<Arc<Folder>> {
        if let Some(folder) = self.at_hand(home) {
            return folder;
        }
        let _one = self.opening.lock();
        if let Some(folder) = self.at_hand(home) {
            return folder;
        }
        let verify = !self.verified.lock().contains(&home);
        let opened = guarded(|| Folder::open(&self.root, home, &self.lineage, verify));
        match opened {
            Ok(folder) => {
                let folder = Arc::new(folder?);
                self.verified.lock().insert(home);
                self.open.lock().put(home, folder.clone());
                Some(folder)
            }
            Err(error) => {
                self.condemn(home, &error);
                None
            }
        }
    }

    /// `Some` where it need not be opened.
    #[allow(clippy::option_option)]
    fn at_hand(&self, home: Home) -> Option<Option<Arc<Folder>>> {
        if self.damaged.lock().contains_key(&home) {
            return Some(None);
        }
        self.open.lock().get(&home).cloned().map(Some)
    }

    /// An index, made where there is none.
    pub(super) fn make(&self, home: Home) -> Result<Arc<Folder>, ReadError> {
        if let Some(folder) = self.folder(home) {
            return Ok(folder);
        }
        let _one = self.opening.lock();
        if let Some(why) = self.damaged.lock().get(&home) {
            return Err(ReadError::Damaged(why.clone()));
        }
        self.clear(home)?;
        let folder = Arc::new(guarded(|| Folder::create(&self.root, home, &self.lineage))?);
        self.verified.lock().insert(home);
        if let Home::Own(account) = home {
            self.own.write().insert(account);
        }
        self.open.lock().put(home, folder.clone());
        Ok(folder)
    }

    fn clear(&self, home: Home) -> Result<(), ReadError> {
        self.open.lock().pop(&home);
        Ok(remove(&self.root, home)?)
    }

    /// Throws an index away; what it held is to be indexed again.
    pub(super) fn discard(&self, home: Home) -> Result<(), ReadError> {
        let _one = self.opening.lock();
        if let Some(folder) = self.open.lock().peek(&home) {
            folder.condemn();
        }
        self.clear(home)?;
        self.damaged.lock().remove(&home);
        self.verified.lock().remove(&home);
        if let Home::Own(account) = home {
            self.own.write().remove(&account);
        }
        Ok(())
    }

    /// Serves an index no more: what is wrong with it was found just now.
    pub(super) fn condemn(&self, home: Home, error: &ReadError) {
        if self.damaged.lock().insert(home, error.to_string()).is_none() {
            let folder = self.root.join(home.name());
            tracing::warn!(folder = %folder.display(), %error, "an index is built anew");
        }
        if let Some(folder) = self.open.lock().pop(&home) {
            folder.condemn();
        }
    }

    /// How far an index has come; what cannot be read is condemned.
    pub(super) fn peek(&self, home: Home) -> Marks {
        if let Some(folder) = self.open.lock().peek(&home) {
            return folder.shown().marks.clone();
        }
        match guarded(|| Folder::peek(&self.root, home, &self.lineage)) {
            Ok(marks) => marks.unwrap_or_default(),
            Err(error) => {
                self.condemn(home, &error);
                Marks::default()
            }
        }
    }

    /// Something went wrong with an index: every octet is checked when it is opened next. One
    /// whose files are gone is condemned.
    pub(super) fn suspect(&self, home: Home) {
        if !self.is_there(home) {
            return self.condemn(home, &ReadError::Odd("its files are gone"));
        }
        self.verified.lock().remove(&home);
        self.open.lock().pop(&home);
    }

    /// An index that is open, without using it.
    pub(super) fn opened(&self, home: Home) -> Option<Arc<Folder>> {
        self.open.lock().peek(&home).cloned()
    }

    /// Those that were opened since the start.
    pub(super) fn known(&self) -> Vec<Home> {
        self.verified.lock().iter().copied().collect()
    }

    /// Whether its files are there.
    pub(super) fn is_there(&self, home: Home) -> bool {
        self.root.join(home.name()).join("meta.json").exists()
    }

    /// Those that were found damaged.
    pub(super) fn damaged(&self) -> Vec<Home> {
        self.damaged.lock().keys().copied().collect()
    }

    /// Whether an account has, or is being given, an index of its own.
    pub(super) fn has_own(&self, account: AccountId) -> bool {
        self.own.read().contains(&account)
    }

    /// The index that serves an account, and how far it has come: where there are two, the one
    /// that has come further.
    pub(super) fn serving(&self, account: AccountId) -> Option<(Arc<Folder>, Mark)> {
        let marked = |home| {
            let folder = self.folder(home)?;
            let mark = folder.shown().marks.of(account);
            Some((folder, mark))
        };
        let shared = marked(Home::shared(account));
        if !self.has_own(account) {
            return shared;
        }
        let own = marked(Home::Own(account));
        match (own, shared) {
            (Some(own), Some(shared)) if own.1.through() < shared.1.through() => Some(shared),
            (own, shared) => own.or(shared),
        }
    }

    /// Keeps the flat lists of terms within their bound; those of `used` stay.
    pub(super) fn trim_flats(&self, used: &Folder) {
        let open = self.open.lock();
        let mut size: usize = open.iter().map(|(_, folder)| folder.flat_size()).sum();
        for (home, folder) in open.iter().rev() {
            if size <= self.flats {
                return;
            }
            if *home != used.home {
                size -= folder.flat_size().min(size);
                folder.forget_flats();
            }
        }
    }

    /// All folders of indexes.
    pub(super) fn homes(&self) -> Vec<Home> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str().and_then(Home::parse)).collect()
    }

    /// Octets of all files.
    pub(super) fn size(&self) -> u64 {
        let size = |home: Home| {
            let entries = fs::read_dir(self.root.join(home.name())).into_iter().flatten().flatten();
            entries.filter_map(|entry| entry.metadata().ok()).map(|meta| meta.len()).sum::<u64>()
        };
        self.homes().into_iter().map(size).sum()
    }
}

/// Runs what reads files that may be damaged: tantivy takes its own files at their word, so that
/// a panic in it is damage like any other.
pub(super) fn guarded<T>(read: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or(Err(ReadError::Odd("what is read makes no sense")))
}
