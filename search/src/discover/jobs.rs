//! The jobs of one node: begun, listed, shown, stopped, and gone on with after a restart.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use redoubt_log::id::{EmailId, Hash, LogIndex, OperationId};
use redoubt_log::record::Actor;
use redoubt_store::mailstore::{Erased, Mailstore};
use serde::Serialize;
use tokio::sync::{OnceCell, Semaphore};

use super::folder::{Folder, Hit, Phase, State, io};
use super::judge::read;
use super::pace::Pace;
use super::texts::Extracting;
use super::work::{AT_ONCE, Inner, Running, blocking};
use super::{Asked, DiscoverError, SearchAsked, Work};
use crate::heads::{HeadError, Prover, Signer};
use crate::index::Index;
use crate::texts::Texts;

/// Hits of which one call says whether they were purged.
const MAX_PAGE: usize = 5000;

/// What the jobs of a node work with.
pub struct JobsOptions {
    /// The store.
    pub store: Mailstore,
    /// Its data directory.
    pub data: PathBuf,
    /// Where texts of attachments come from, where they are extracted.
    pub texts: Option<Arc<dyn Texts>>,
    /// What narrows searches down, where there is one.
    pub index: Option<Index>,
}

/// The jobs of one node. Clones are one.
#[derive(Clone)]
pub struct Jobs {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Jobs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Jobs").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

/// A job and how far it is.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// What was asked.
    #[serde(flatten)]
    pub asked: Asked,
    /// How far it is.
    pub state: State,
    /// How fast it goes, while it works.
    pub pace: Option<Pace>,
}

/// Part of what a search found.
#[derive(Debug, Clone)]
pub struct HitsPage {
    /// In the order in which they were found.
    pub hits: Vec<Hit>,
    /// Where to go on; absent at the end of what is found so far.
    pub next: Option<u64>,
}

/// What has left the history since a search found it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// How many emails of the looked at.
    pub count: u64,
    /// Where to go on.
    pub next: Option<u64>,
    /// Which.
    pub hits: Vec<Hit>,
}

impl Jobs {
    /// Goes on with what an earlier run left. Needs a Tokio runtime. Blocks on files.
    ///
    /// # Errors
    /// The folder of jobs cannot be made or read.
    pub fn open(options: JobsOptions) -> Result<Self, DiscoverError> {
        let JobsOptions { store, data, texts, index } = options;
        let folder = data.join("discovery");
        super::folder::make_private(&folder)?;
        super::folder::sweep(&folder)?;
        let jobs = Self {
            inner: Arc::new(Inner {
                prover: Prover::new(store.clone()),
                store,
                data,
                folder,
                texts: Extracting(texts),
                index,
                signer: OnceCell::new(),
                turns: Semaphore::new(AT_ONCE),
                running: Mutex::default(),
                ending: Default::default(),
            }),
        };
        for listed in jobs.list()?.into_iter().rev() {
            if !listed.state.phase.has_ended() {
                jobs.start(listed.asked);
            }
        }
        Ok(jobs)
    }

    /// Lets what works stop where it is; it goes on after the next start.
    pub fn end(&self) {
        self.inner.ending.store(true, Ordering::Relaxed);
        for running in self.inner.running.lock().values() {
            running.stop.store(true, Ordering::Relaxed);
        }
    }

    /// [`Jobs::end`], and waits until nothing works any more, at most `patience`.
    pub async fn ended(&self, patience: Duration) {
        self.end();
        let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
        let none = self.inner.turns.acquire_many(all);
        if tokio::time::timeout(patience, none).await.is_err() {
            tracing::warn!("searches or exports still work; they go on after the next start");
        }
        self.inner.turns.close();
    }

    /// Begins a job: it is on the disk when this returns.
    ///
    /// # Errors
    /// [`DiscoverError`].
    pub async fn begin(&self, asked: Asked) -> Result<OperationId, DiscoverError> {
        if let Work::Search(search) = &asked.work {
            read(&search.query, asked.begun, search.zone.as_deref())?;
        }
        let (folder, to_make) = (Folder::of(&self.inner.folder, asked.job), asked.clone());
        blocking(move || folder.make(&to_make)).await?;
        let job = asked.job;
        self.start(asked);
        Ok(job)
    }

    fn start(&self, asked: Asked) {
        let running = Running::default();
        self.inner.running.lock().insert(asked.job, running.clone());
        let inner = self.inner.clone();
        tokio::spawn(async move {
            let job = asked.job;
            inner.work(asked, &running).await;
            inner.running.lock().remove(&job);
        });
    }

    /// All jobs of this node, the newest first. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::Io`], [`DiscoverError::Damaged`].
    pub fn list(&self) -> Result<Vec<Listed>, DiscoverError> {
        let mut found = Vec::new();
        let folder = &self.inner.folder;
        for entry in fs::read_dir(folder).map_err(io(folder))? {
            let name = entry.map_err(io(folder))?.file_name();
            let Some(job) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Ok(listed) = self.show(job) {
                found.push(listed);
            }
        }
        found.sort_by_key(|listed| std::cmp::Reverse((listed.asked.begun, listed.asked.job)));
        Ok(found)
    }

    /// One job. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`] and those of files.
    pub fn show(&self, job: OperationId) -> Result<Listed, DiscoverError> {
        let folder = Folder::of(&self.inner.folder, job);
        let asked = folder.asked()?.ok_or(DiscoverError::NoSuchJob(job))?;
        let running = self.inner.running.lock().get(&job).cloned();
        let told = running.as_ref().and_then(|running| running.state.lock().clone());
        let state = match told {
            Some(state) => state,
            None => folder.state()?,
        };
        let begun = running.and_then(|running| *running.begun.lock());
        let pace = begun.and_then(|begun| Pace::of(begun, state.effort));
        Ok(Listed { asked, state, pace })
    }

    /// What a search found, from a place on, at most `limit`. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`], [`DiscoverError::NotNow`] and those of files.
    pub fn hits(
        &self,
        job: OperationId,
        after: u64,
        limit: usize,
    ) -> Result<HitsPage, DiscoverError> {
        self.search(job)?;
        let folder = Folder::of(&self.inner.folder, job);
        let state = folder.state()?;
        let mut lines = folder.lines(after, state.hits)?;
        let hits = lines.by_ref().take(limit).collect::<Result<Vec<_>, _>>()?;
        let next = Some(lines.at()).filter(|at| *at < state.hits);
        Ok(HitsPage { hits, next })
    }

    /// Of what a search found, from a place on, what is in the history no more. Blocks.
    ///
    /// # Errors
    /// As [`Jobs::hits`], and when the state cannot be read.
    pub fn purged(&self, job: OperationId, after: u64) -> Result<Purged, DiscoverError> {
        let page = self.hits(job, after, MAX_PAGE)?;
        let view = self.inner.store.local_view()?;
        let mut purged = Purged { next: page.next, ..Purged::default() };
        for hit in page.hits {
            if view.email_ever(hit.account, hit.email)?.is_none() {
                purged.count += 1;
                purged.hits.push(hit);
            }
        }
        Ok(purged)
    }

    /// Folders that exports wrote on this node, and that are there, of searches that found what
    /// was erased. Blocks.
    ///
    /// # Errors
    /// Those of files.
    pub fn exports_of(&self, erased: &Erased) -> Result<Vec<String>, DiscoverError> {
        let emails: HashSet<EmailId> = erased.emails.iter().copied().collect();
        let mut found = Vec::new();
        for Listed { asked, .. } in self.list()? {
            let Work::Export(export) = asked.work else { continue };
            if !export.of.accounts.contains(&erased.account) || !export.out.exists() {
                continue;
            }
            let folder = Folder::of(&self.inner.folder, export.search);
            let hits = match folder.state() {
                Ok(state) => folder.lines(0, state.hits)?.collect::<Result<Vec<_>, _>>()?,
                // Its search is not listed any more: perhaps.
                Err(_) => Vec::new(),
            };
            let has = |hit: &Hit| hit.account == erased.account && emails.contains(&hit.email);
            if hits.is_empty() || hits.iter().any(has) {
                found.push(export.out.display().to_string());
            }
        }
        Ok(found)
    }

    /// What a search was asked. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`], [`DiscoverError::NotNow`] for an export.
    pub fn search(&self, job: OperationId) -> Result<SearchAsked, DiscoverError> {
        match self.show(job)?.asked.work {
            Work::Search(search) => Ok(search),
            Work::Export(_) => {
                Err(DiscoverError::NotNow(format!("{job} is an export: name a search")))
            }
        }
    }

    /// Stops a job; what it found stays, what it exported goes. Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`], [`DiscoverError::NotNow`] when it has ended.
    pub fn cancel(&self, job: OperationId) -> Result<(), DiscoverError> {
        let state = self.show(job)?.state;
        let running = self.inner.running.lock().get(&job).cloned();
        match running.filter(|_| !state.phase.has_ended() && state.phase != Phase::Ending) {
            Some(running) => {
                running.cancelled.store(true, Ordering::Relaxed);
                running.stop.store(true, Ordering::Relaxed);
                Ok(())
            }
            None => Err(DiscoverError::NotNow(format!("{job} has ended already"))),
        }
    }

    /// Removes what this node keeps of a job that has ended, the list of what was found; a record
    /// says so before. What an export wrote stays where it is.
    ///
    /// # Errors
    /// [`DiscoverError::NoSuchJob`]; [`DiscoverError::NotNow`] while it works, or an export that
    /// works is of it; [`DiscoverError::Write`].
    pub async fn remove(&self, actor: &Actor, job: OperationId) -> Result<(), DiscoverError> {
        let jobs = self.clone();
        blocking(move || jobs.can_go(job)).await?;
        self.inner.store.discovery_goes(actor, job).await?;
        let folder = Folder::of(&self.inner.folder, job);
        blocking(move || folder.remove()).await
    }

    fn can_go(&self, job: OperationId) -> Result<(), DiscoverError> {
        let not = |why: String| Err(DiscoverError::NotNow(why));
        if !self.show(job)?.state.phase.has_ended() {
            return not(format!("{job} works: `redoubt discover cancel {job}` stops it"));
        }
        let at_work: Vec<OperationId> = self.inner.running.lock().keys().copied().collect();
        for export in at_work {
            if let Ok(Asked { work: Work::Export(of), .. }) = self.show(export).map(|it| it.asked)
                && of.search == job
            {
                return not(format!("export {export} writes out what {job} found: it comes first"));
            }
        }
        Ok(())
    }

    /// The hashes that show that the tree of so many leaves with this root is the beginning of
    /// that after an entry (RFC 9162 section 2.1.4). Blocks.
    ///
    /// # Errors
    /// [`DiscoverError::NotNow`] where it is not, or this node's log does not say any more.
    pub fn consistency(
        &self,
        old: (u64, Hash),
        upto: LogIndex,
    ) -> Result<Vec<Hash>, DiscoverError> {
        let not = |what: &str| Err(DiscoverError::NotNow(what.to_owned()));
        let head = self.inner.store.node().head_at(upto);
        let head = head.map_err(|error| HeadError::Log(error.to_string()))?;
        let (size, root) = (head.tree.size(), head.root());
        if old.0 > size {
            return not("the head is newer than the entry that it is to be proven for");
        }
        let Some(path) = self.inner.prover.consistency(old.0, upto)? else {
            return not(
                "this node's log does not reach back to that head any more: ask another node, or \
                 one that keeps its log (store.keep_log)",
            );
        };
        match redoubt_log::chain::verify_consistency(old.0, &old.1, size, &root, &path) {
            true => Ok(path),
            false => not("that head is of another history: this log never had such a tree"),
        }
    }

    /// The key by which this node signs heads, made and made known at first use.
    ///
    /// # Errors
    /// [`DiscoverError::Head`].
    pub async fn signer(&self) -> Result<Arc<Signer>, DiscoverError> {
        self.inner.signer().await
    }
}

/// Whether a path can be an export's place: absolute, with a name, and nothing there.
///
/// # Errors
/// [`DiscoverError::NotNow`] with what to write instead.
pub fn check_place(out: &Path) -> Result<(), DiscoverError> {
    let wrong = |what: &str| Err(DiscoverError::NotNow(format!("{}: {what}", out.display())));
    if !out.is_absolute() || out.file_name().is_none() {
        return wrong("name a folder with its whole path");
    }
    if out.symlink_metadata().is_ok() {
        return wrong("is there already: name a folder that is not there");
    }
    match out.parent().is_some_and(Path::is_dir) {
        true => Ok(()),
        false => wrong("the folder above it is not there"),
    }
}
