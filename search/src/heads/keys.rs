//! The key by which a node signs heads: made at first use, `keys/head-0.seed`, and made known by
//! a record before it signs anything. A node's key never leaves it; the keys of all nodes of a
//! cluster stand in the log, under the one name of its history.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use redoubt_log::disk::replace_private;
use redoubt_log::id::{Hash, LogIndex};
use redoubt_log::record::Rejection;
use redoubt_store::mailstore::{Mailstore, StoreError, WriteError};
use redoubt_store::view::View;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::note::{Checkpoint, PublicKey, SignedHead, origin, sign};

/// Why no head is signed.
#[derive(Debug, thiserror::Error)]
pub enum HeadError {
    /// The key's file.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// The key's file has something else.
    #[error(
        "{0} is no key: it must be 32 octets; move it away, and this node makes itself another"
    )]
    Key(String),
    /// The machine gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
    /// The log cannot be read there.
    #[error("the log cannot be read: {0}")]
    Log(String),
    /// The state cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key was not made known.
    #[error("this node's key could not be made known: {0}")]
    Unknown(#[from] WriteError),
}

/// A node's key.
pub struct Signer {
    pair: Ed25519KeyPair,
    public: PublicKey,
    lineage: String,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("public", &self.public.to_string()).finish_non_exhaustive()
    }
}

/// Where a node's key lies in its data directory.
pub fn path(data: &Path) -> PathBuf {
    data.join("keys").join("head-0.seed")
}

impl Signer {
    /// Reads a node's key, or makes it. Blocks.
    ///
    /// # Errors
    /// [`HeadError`].
    pub fn load_or_make(data: &Path, lineage: &str) -> Result<Self, HeadError> {
        let path = path(data);
        let file = |error| HeadError::File { path: path.display().to_string(), error };
        let seed = match fs::read(&path) {
            Ok(seed) => seed,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let seed = fresh()?;
                replace_private(&path, &seed, 0o600).map_err(file)?;
                seed.to_vec()
            }
            Err(error) => return Err(file(error)),
        };
        let wrong = || HeadError::Key(path.display().to_string());
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| wrong())?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| wrong())?;
        let public = PublicKey { name: origin(lineage), key };
        Ok(Self { pair, public, lineage: lineage.to_owned() })
    }

    /// Its public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a head.
    pub fn sign(&self, checkpoint: Checkpoint) -> SignedHead {
        sign(checkpoint, &self.pair, &self.public)
    }

    /// Makes sure that the log says that this key is this node's.
    ///
    /// # Errors
    /// [`HeadError::Unknown`], also where the cluster is not at the level for it yet.
    pub async fn make_known(&self, store: &Mailstore) -> Result<(), HeadError> {
        let key = Hash(self.public.key);
        if store.view().await?.head_keys()?.iter().any(|(known, _)| *known == key) {
            return Ok(());
        }
        match store.head_key_known(store.identity().node, key).await {
            Err(WriteError::Rejected(Rejection::Exists(_))) => Ok(()),
            other => Ok(other?),
        }
    }

    /// The head after an applied entry, signed. Blocks on the log.
    ///
    /// # Errors
    /// [`HeadError::Log`].
    pub fn head(&self, store: &Mailstore, index: LogIndex) -> Result<SignedHead, HeadError> {
        let head = store.node().head_at(index).map_err(|e| HeadError::Log(e.to_string()))?;
        let size = head.tree.size();
        let checkpoint = Checkpoint::new(&self.lineage, size, head.root(), index, head.time);
        Ok(self.sign(checkpoint))
    }
}

fn fresh() -> Result<[u8; 32], HeadError> {
    let mut seed = [0; 32];
    SystemRandom::new().fill(&mut seed).map_err(|_| HeadError::Random)?;
    Ok(seed)
}

/// The keys that sign heads of the history of a view, as the log knows them.
///
/// # Errors
/// The state cannot be read.
pub fn known(view: &View, lineage: &str) -> Result<Vec<PublicKey>, StoreError> {
    let keys = view.head_keys()?.into_iter();
    Ok(keys.map(|(key, _)| PublicKey { name: origin(lineage), key: key.0 }).collect())
}
