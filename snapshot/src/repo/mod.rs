//! The backup repository: write-once objects on a path or in a bucket, one for all
//! nodes of a cluster. docs/format.md, "Backup repository", has it byte by byte.
//!
//! Invariants: no object is ever changed, and a different content under a name
//! that is taken is an error; what an object needs to be of use is written before
//! it (a pack before its index, blobs before the range of the log that names them,
//! pieces before their base's description), so that a crash between any two leaves only what
//! nobody refers to; with encryption nothing is written without a key.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

pub mod base;
pub mod bundle;
mod error;
pub mod forget;
pub mod keys;
pub mod names;
mod objects;
pub mod pack;
mod place;
pub mod range;
pub mod seal;
mod steps;
pub mod sweep;

pub use error::RepoError;
pub use keys::{KeyWish, Keyring, MasterKey};
pub use objects::{Created, Listed, MAX_OBJECT, Objects};
pub use place::Place;

use seal::{Kind, SealKey, hex};

/// The format of the repository as a whole.
pub const FORMAT: u32 = 1;
/// Octets of an object that are sealed by a thread of their own.
const LARGE: usize = 64 << 10;
const CHACHA20: &str = "chacha20-poly1305";
const NONE: &str = "none";

/// What the repository says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// [`FORMAT`].
    pub format: u32,
    /// Its name: 32 hexadecimal digits.
    pub id: String,
    /// `chacha20-poly1305` or `none`.
    pub encryption: String,
}

impl Marker {
    /// One line of JSON, then one line with its BLAKE3.
    fn text(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string(self)?;
        Ok(format!("{json}\n{}\n", blake3::hash(json.as_bytes())))
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string())?;
        let (json, hash) = text.split_once('\n').ok_or("it has no second line")?;
        if hash.strip_suffix('\n') != Some(blake3::hash(json.as_bytes()).to_hex().as_str()) {
            return Err("it does not have the hash that it says".to_owned());
        }
        serde_json::from_str(json).map_err(|error| error.to_string())
    }
}

/// An open repository.
#[derive(Debug, Clone)]
pub struct Repository {
    objects: Objects,
    marker: Marker,
    ring: Keyring,
}

impl Repository {
    /// Opens the one at a place, which must be there.
    ///
    /// # Errors
    /// [`RepoError`]: there is none, it does not answer, the key does not fit.
    pub async fn open(objects: Objects, wish: &KeyWish) -> Result<Self, RepoError> {
        let marker = marker(&objects).await?;
        let marker = marker.ok_or_else(|| RepoError::NoRepository("this place".to_owned()))?;
        Self::with(objects, marker, wish).await
    }

    /// Opens the one at a place, or makes it.
    ///
    /// # Errors
    /// As [`Repository::open`]; [`RepoError::NoKey`] before anything is written.
    pub async fn open_or_make(objects: Objects, wish: &KeyWish) -> Result<Self, RepoError> {
        let marker = match marker(&objects).await? {
            Some(marker) => marker,
            None => make(&objects, wish).await?,
        };
        let mut repository = Self::with(objects, marker, wish).await?;
        if let KeyWish::With(master) = wish
            && repository.ring.newest().is_none()
        {
            repository.ring.renew(&repository.objects, master).await?;
        }
        Ok(repository)
    }

    async fn with(objects: Objects, marker: Marker, wish: &KeyWish) -> Result<Self, RepoError> {
        let ring = match (marker.encryption.as_str(), wish) {
            (CHACHA20, KeyWish::With(master)) => Keyring::open(&objects, master).await?,
            (NONE, KeyWish::Plain) => Keyring::default(),
            (NONE, KeyWish::With(_)) => return Err(RepoError::NotEncrypted),
            _ => return Err(RepoError::NoKey),
        };
        Ok(Self { objects, marker, ring })
    }

    /// What it says of itself.
    pub fn marker(&self) -> &Marker {
        &self.marker
    }

    /// Its objects, as they lie there.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.marker.encryption != NONE
    }

    /// The key that new objects are sealed with; `None` without encryption.
    pub(crate) fn key(&self) -> Result<Option<&SealKey>, RepoError> {
        match (self.is_encrypted(), self.ring.newest()) {
            (false, _) => Ok(None),
            (true, Some(key)) => Ok(Some(key)),
            (true, None) => Err(RepoError::NoKey),
        }
    }

    /// Octets that take a while are sealed where nobody waits for anything else.
    async fn sealed(&self, kind: Kind, name: &str, plain: &[u8]) -> Result<Bytes, RepoError> {
        let key = self.key()?;
        if plain.len() < LARGE {
            return seal::seal(kind, name, key, plain).map(Bytes::from);
        }
        let (key, name, plain) = (key.cloned(), name.to_owned(), plain.to_vec());
        let job = move || seal::seal(kind, &name, key.as_ref(), &plain).map(Bytes::from);
        let sealed = tokio::task::spawn_blocking(job).await;
        sealed.map_err(|error| RepoError::Source(error.to_string()))?
    }

    /// Writes an object, once: the same again is fine.
    ///
    /// # Errors
    /// [`RepoError::Conflict`] when something else has the name.
    pub async fn put(&self, kind: Kind, name: &str, plain: &[u8]) -> Result<Created, RepoError> {
        let sealed = self.sealed(kind, name, plain).await?;
        if self.objects.create(name, sealed.clone()).await? == Created::New {
            return Ok(Created::New);
        }
        // Sealed with another data key the same content has other octets.
        let there = self.objects.get(name).await?;
        match there == sealed || self.open_object(kind, name, &there)? == plain {
            true => Ok(Created::Exists),
            false => Err(RepoError::Conflict(name.to_owned())),
        }
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn get(&self, kind: Kind, name: &str) -> Result<Vec<u8>, RepoError> {
        let bytes = self.objects.get(name).await?;
        self.open_object(kind, name, &bytes)
    }

    /// What an object was sealed from.
    ///
    /// # Errors
    /// [`RepoError::Damaged`].
    pub fn open_object(&self, kind: Kind, name: &str, bytes: &[u8]) -> Result<Vec<u8>, RepoError> {
        seal::open(kind, name, bytes, self.is_encrypted(), |id| self.ring.get(id))
    }

    /// The histories that it holds something of.
    ///
    /// # Errors
    /// [`RepoError::Unreachable`].
    pub async fn lineages(&self) -> Result<Vec<String>, RepoError> {
        let secrets = self.objects.list("secrets", None).await?;
        Ok(secrets.iter().map(|object| object.last().to_owned()).collect())
    }

    /// Keeps the secret of a history's shard: without it threads and retries of old
    /// mail are not recognised after a recovery.
    ///
    /// # Errors
    /// [`RepoError::Conflict`] when it has another one.
    pub async fn put_secret(&self, lineage: &str, secret: &[u8; 32]) -> Result<(), RepoError> {
        self.put(Kind::Secret, &names::secret_of(lineage), secret).await.map(drop)
    }

    /// The secret of a history's shard.
    ///
    /// # Errors
    /// [`RepoError::Missing`], [`RepoError::Damaged`].
    pub async fn secret(&self, lineage: &str) -> Result<[u8; 32], RepoError> {
        let name = names::secret_of(lineage);
        let secret = self.get(Kind::Secret, &name).await?;
        secret.try_into().map_err(|_| RepoError::damaged(&name, "it has not 32 octets"))
    }
}

async fn marker(objects: &Objects) -> Result<Option<Marker>, RepoError> {
    let bytes = match objects.get(names::MARKER).await {
        Err(RepoError::Missing(_)) => return Ok(None),
        bytes => bytes?,
    };
    let marker = Marker::parse(&bytes).map_err(|what| RepoError::damaged(names::MARKER, what))?;
    match marker.format {
        FORMAT => Ok(Some(marker)),
        other => Err(RepoError::Format(other)),
    }
}

/// Of two that make it at one time one wins, and both use what it made.
async fn make(objects: &Objects, wish: &KeyWish) -> Result<Marker, RepoError> {
    let encryption = match wish {
        KeyWish::With(_) => CHACHA20,
        KeyWish::Plain => NONE,
        KeyWish::Absent => return Err(RepoError::NoKey),
    };
    let id = hex(&rand::random::<[u8; 16]>());
    let made = Marker { format: FORMAT, id, encryption: encryption.to_owned() };
    let text = made.text().map_err(|error| RepoError::damaged(names::MARKER, error))?;
    objects.create(names::MARKER, Bytes::from(text)).await?;
    let there = marker(objects).await?;
    there.ok_or_else(|| RepoError::Missing(names::MARKER.to_owned()))
}

#[cfg(test)]
mod tests;
