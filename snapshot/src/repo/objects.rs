//! Objects by name: written once, read whole or in part, listed. Every call is
//! tried a few times, with a growing wait between.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};

use super::RepoError;
use super::steps::{Folder, STEP};

/// The most octets of one object.
pub const MAX_OBJECT: u64 = 80 << 20;
const TRIES: u32 = 4;
const FIRST_WAIT: Duration = Duration::from_millis(50);

/// Whether an object is there because of this call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is.
    New,
    /// An object of this name was there.
    Exists,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its whole name.
    pub name: String,
    /// Its octets.
    pub size: u64,
    /// When it was made, by the clock of where it lies, in milliseconds since 1970.
    pub made: i64,
}

impl Listed {
    /// The last part of its name.
    pub fn last(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }
}

/// The objects of one repository.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Arc<dyn ObjectStore>,
    /// Where they lie, if that is a path of this machine.
    folder: Option<Folder>,
    wait: Duration,
}

impl Objects {
    /// Those in `store`.
    pub fn new(store: Arc<dyn ObjectStore>) -> Self {
        Self { store, folder: None, wait: FIRST_WAIT }
    }

    /// Those in `store`, which lie in this folder.
    pub(super) fn in_folder(store: Arc<dyn ObjectStore>, folder: Folder) -> Self {
        Self { folder: Some(folder), ..Self::new(store) }
    }

    /// Objects in memory: a repository that ends with the program.
    pub fn in_memory() -> Self {
        Self::new(Arc::new(object_store::memory::InMemory::new()))
    }

    /// With another first wait between tries.
    #[must_use]
    pub fn with_wait(self, wait: Duration) -> Self {
        Self { wait, ..self }
    }

    async fn tried<T>(
        &self,
        what: &str,
        act: impl Fn(Arc<dyn ObjectStore>) -> BoxFuture<'static, Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let mut wait = self.wait;
        for _ in 1..TRIES {
            match act(self.store.clone()).await {
                Err(error) if may_pass(&error) => {
                    tracing::debug!(%error, what, "the repository is asked again");
                }
                answer => return answer,
            }
            tokio::time::sleep(wait).await;
            wait *= 4;
        }
        act(self.store.clone()).await
    }

    /// Makes an object, all or nothing, unless one has its name.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`]: it may be there, or not.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, RepoError> {
        let path = Path::from(name);
        if let Some(folder) = self.folder.clone().filter(|_| bytes.len() > STEP) {
            let put = self.tried(name, |_| {
                let (folder, name, bytes) = (folder.clone(), name.to_owned(), bytes.clone());
                let job = move || folder.create(&name, &bytes);
                async move { tokio::task::spawn_blocking(job).await? }.boxed()
            });
            return created(name, put.await);
        }
        let put = self.tried(name, |store| {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let (path, bytes) = (path.clone(), PutPayload::from(bytes.clone()));
            async move { store.put_opts(&path, bytes, options).await.map(drop) }.boxed()
        });
        created(name, put.await)
    }

    /// Removes files of objects that were begun so long ago and never finished, where a crash can
    /// leave such; how many there were.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn sweep_staged(&self, age: Duration) -> Result<u64, RepoError> {
        let Some(folder) = self.folder.clone() else { return Ok(0) };
        let swept = tokio::task::spawn_blocking(move || folder.sweep(age)).await;
        let swept = swept.map_err(std::io::Error::other).and_then(|swept| swept);
        swept.map_err(|error| RepoError::Unreachable {
            what: "to list unfinished objects".to_owned(),
            error: error.to_string(),
        })
    }

    /// A whole object.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Unreachable`]; [`RepoError::Damaged`] when it is
    /// larger than any that is ever made.
    pub async fn get(&self, name: &str) -> Result<Bytes, RepoError> {
        let path = Path::from(name);
        let got = self.tried(name, |store| {
            let path = path.clone();
            let get = async move {
                let got = store.get(&path).await?;
                match got.meta.size > MAX_OBJECT {
                    true => Ok(None),
                    false => got.bytes().await.map(Some),
                }
            };
            get.boxed()
        });
        let bytes = got.await.map_err(|error| failed(name, &error))?;
        bytes.ok_or_else(|| RepoError::damaged(name, "it is larger than any object here"))
    }

    /// Some octets of an object.
    ///
    /// # Errors
    /// As [`Objects::get`]; [`RepoError::Damaged`] when it has not got them.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, RepoError> {
        let (path, wanted) = (Path::from(name), range.end.saturating_sub(range.start));
        let got = self.tried(name, |store| {
            let (path, range) = (path.clone(), Some(GetRange::Bounded(range.clone())));
            let options = GetOptions { range, ..GetOptions::default() };
            async move { store.get_opts(&path, options).await?.bytes().await }.boxed()
        });
        match got.await {
            Ok(bytes) if bytes.len() as u64 == wanted => Ok(bytes),
            Ok(_) => Err(RepoError::damaged(name, "it was cut")),
            Err(error) => match self.size(name).await? {
                size if size < range.end => Err(RepoError::damaged(name, "it was cut")),
                _ => Err(failed(name, &error)),
            },
        }
    }

    /// How many octets an object has.
    ///
    /// # Errors
    /// As [`Objects::get`].
    pub async fn size(&self, name: &str) -> Result<u64, RepoError> {
        let path = Path::from(name);
        let head = self.tried(name, |store| {
            let path = path.clone();
            async move { store.head(&path).await }.boxed()
        });
        head.await.map(|meta| meta.size).map_err(|error| failed(name, &error))
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn has(&self, name: &str) -> Result<bool, RepoError> {
        match self.size(name).await {
            Ok(_) => Ok(true),
            Err(RepoError::Missing(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The version of an object, where the storage keeps older ones when an object goes.
    ///
    /// # Errors
    /// As [`Objects::get`].
    pub async fn version(&self, name: &str) -> Result<Option<String>, RepoError> {
        let path = Path::from(name);
        let head = self.tried(name, |store| {
            let path = path.clone();
            async move { store.head(&path).await }.boxed()
        });
        head.await.map(|meta| meta.version).map_err(|error| failed(name, &error))
    }

    /// Whether the storage has an object still, in the version that it had where it keeps such.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn has_version(&self, name: &str, version: Option<&str>) -> Result<bool, RepoError> {
        let Some(version) = version else { return self.has(name).await };
        let path = Path::from(name);
        let head = self.tried(name, |store| {
            let version = Some(version.to_owned());
            let (path, options) = (path.clone(), GetOptions { version, ..GetOptions::default() });
            async move { store.get_opts(&path, options.with_head(true)).await.map(drop) }.boxed()
        });
        match head.await {
            Ok(()) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failed(name, &error)),
        }
    }

    /// All objects in a folder and below, by name; behind `after`, where given.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn list(&self, folder: &str, after: Option<&str>) -> Result<Vec<Listed>, RepoError> {
        let folder = Path::from(folder);
        let list = self.tried("a listing", |store| {
            let list = match after {
                Some(after) => store.list_with_offset(Some(&folder), &Path::from(after)),
                None => store.list(Some(&folder)),
            };
            let named = list.map_ok(|meta| Listed {
                made: meta.last_modified.timestamp_millis(),
                name: meta.location.into(),
                size: meta.size,
            });
            named.try_collect::<Vec<_>>().boxed()
        });
        let mut list = list.await.map_err(|error| failed(folder.as_ref(), &error))?;
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    /// Removes an object; one that is not there is none.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn delete(&self, name: &str) -> Result<(), RepoError> {
        let path = Path::from(name);
        let gone = self.tried(name, |store| {
            let path = path.clone();
            async move { store.delete(&path).await }.boxed()
        });
        match gone.await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed(name, &error)),
        }
    }
}

fn created(name: &str, put: Result<(), Error>) -> Result<Created, RepoError> {
    match put {
        Ok(()) => Ok(Created::New),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Exists),
        Err(error) => Err(failed(name, &error)),
    }
}

fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. } | Error::JoinError { .. })
}

fn failed(name: &str, error: &Error) -> RepoError {
    match error {
        Error::NotFound { .. } => RepoError::Missing(name.to_owned()),
        error => RepoError::Unreachable { what: name.to_owned(), error: chain_of(error) },
    }
}

/// The error and what caused it: the outermost often says little.
fn chain_of(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}
