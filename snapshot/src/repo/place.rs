//! Where a repository lies: a path of this machine, or a bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::prefix::PrefixStore;
use object_store::{ClientOptions, ObjectStore, RetryConfig};

use super::steps::Folder;
use super::{Objects, RepoError};

/// How long the server of a bucket may take to be connected to.
const CONNECT: Duration = Duration::from_secs(5);
/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(30);

/// Where a repository lies, and what it takes to get there.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// `/path`, `file:///path` or `s3://bucket/prefix`.
    pub repository: String,
    /// The URL of a server that speaks as S3 does; empty for Amazon's.
    pub endpoint: String,
    /// The region; empty for what the environment says, or `us-east-1`.
    pub region: String,
    /// The access key; empty for what the environment says (`AWS_ACCESS_KEY_ID`, or an
    /// instance's role).
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.repository).field(&self.endpoint).finish()
    }
}

enum Parsed {
    Path(PathBuf),
    Bucket { bucket: String, prefix: String },
}

impl Place {
    /// On a path of this machine.
    pub fn path(path: impl Into<String>) -> Self {
        Self { repository: path.into(), ..Self::default() }
    }

    fn wrong(&self, problem: impl ToString) -> RepoError {
        RepoError::Place { place: self.repository.clone(), problem: problem.to_string() }
    }

    fn parse(&self) -> Result<Parsed, RepoError> {
        let text = self.repository.as_str();
        if let Some(rest) = text.strip_prefix("s3://") {
            let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(self.wrong("write s3://BUCKET/PREFIX"));
            }
            let (bucket, prefix) = (bucket.to_owned(), prefix.trim_matches('/').to_owned());
            return Ok(Parsed::Bucket { bucket, prefix });
        }
        let path = PathBuf::from(text.strip_prefix("file://").unwrap_or(text));
        match path.is_absolute() {
            true => Ok(Parsed::Path(path)),
            false => Err(self.wrong("write an absolute path, or s3://BUCKET/PREFIX")),
        }
    }

    /// Its objects. With `make` the folder of a path is made; nothing is asked of a bucket yet.
    ///
    /// # Errors
    /// [`RepoError::Place`]; [`RepoError::NoRepository`] when the folder is not there.
    pub fn objects(&self, make: bool) -> Result<Objects, RepoError> {
        match self.parse()? {
            Parsed::Path(path) => {
                let store = Arc::new(self.folder(&path, make)?);
                Ok(Objects::in_folder(store, Folder::new(&path)))
            }
            Parsed::Bucket { bucket, prefix } => Ok(Objects::new(self.bucket(&bucket, &prefix)?)),
        }
    }

    fn folder(&self, path: &std::path::Path, make: bool) -> Result<LocalFileSystem, RepoError> {
        use std::os::unix::fs::DirBuilderExt;
        if make {
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|error| self.wrong(error))?;
        }
        if !path.is_dir() {
            return Err(RepoError::NoRepository(self.repository.clone()));
        }
        let store = LocalFileSystem::new_with_prefix(path).map_err(|error| self.wrong(error))?;
        Ok(store.with_fsync(true))
    }

    fn bucket(&self, bucket: &str, prefix: &str) -> Result<Arc<dyn ObjectStore>, RepoError> {
        // The client has no cryptography of its own; a second call changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = ClientOptions::new()
            .with_connect_timeout(CONNECT)
            .with_timeout(REQUEST)
            .with_allow_http(self.endpoint.starts_with("http://"));
        let retry = RetryConfig {
            max_retries: 2,
            retry_timeout: Duration::from_secs(10),
            ..RetryConfig::default()
        };
        let mut builder = AmazonS3Builder::from_env()
            .with_bucket_name(bucket)
            .with_client_options(client)
            .with_retry(retry)
            .with_conditional_put(S3ConditionalPut::ETagMatch);
        if !self.endpoint.is_empty() {
            builder = builder.with_endpoint(&self.endpoint);
        }
        if !self.region.is_empty() {
            builder = builder.with_region(&self.region);
        }
        if !self.access_key_id.is_empty() {
            builder = builder
                .with_access_key_id(&self.access_key_id)
                .with_secret_access_key(&self.secret_access_key);
        }
        let store = builder.build().map_err(|error| self.wrong(error))?;
        Ok(match prefix {
            "" => Arc::new(store),
            prefix => Arc::new(PrefixStore::new(store, prefix)),
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn places_are_paths_or_buckets_and_secrets_are_not_shown() {
        let parse = |text: &str| Place::path(text).parse();
        assert!(matches!(parse("/srv/x").unwrap(), Parsed::Path(path) if path.ends_with("x")));
        assert!(matches!(parse("file:///srv/x").unwrap(), Parsed::Path(_)));
        let Parsed::Bucket { bucket, prefix } = parse("s3://b/a/c/").unwrap() else {
            unreachable!()
        };
        assert_eq!((bucket.as_str(), prefix.as_str()), ("b", "a/c"));
        for wrong in ["", "x", "./x", "s3://", "s3:///x"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let place = Place { secret_access_key: "hidden".into(), ..Place::path("s3://b") };
        assert!(!format!("{place:?}").contains("hidden"));
    }

    #[test]
    fn a_folder_is_made_only_when_that_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::path(dir.path().join("a/b").display().to_string());
        assert!(matches!(place.objects(false), Err(RepoError::NoRepository(_))));
        place.objects(true).unwrap();
        place.objects(false).unwrap();
    }
}
