//! Proof that one head of the log is the beginning of another (RFC 6962 section 2.1.2, RFC 9162
//! section 2.1.4), written as C2SP's *tlog-witness* has it. Pure. docs/format.md, "Signed heads".

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redoubt_log::chain::verify_consistency;
use redoubt_log::id::Hash;

use super::note::{Checkpoint, NoteError, SignedHead};

/// The most hashes of a proof: two for each level of a tree.
const MOST: usize = 128;

/// What shows that a tree is the beginning of a later one, and the later one's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// Leaves of the older tree.
    pub old: u64,
    /// The hashes of the proof, in its order.
    pub path: Vec<Hash>,
    /// The later head.
    pub head: SignedHead,
}

/// Why a head is not shown to be the beginning of another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsistencyError {
    /// It is of another log.
    #[error("it is of {0}, the later head of {1}: another history")]
    Origin(String, String),
    /// The later head is the older one.
    #[error(
        "it has {0} leaves, the given head only {1}: take a head that was signed after the export"
    )]
    Older(u64, u64),
    /// The proof is of another head.
    #[error("it has {0} leaves, the consistency proof is of a head with {1}")]
    OtherSize(u64, u64),
    /// The hashes do not lead from the one to the other.
    #[error("it is not the beginning of the later head: another history, or an altered proof")]
    Unlike,
}

impl Consistency {
    /// Whether a head is the beginning of the later one.
    ///
    /// # Errors
    /// [`ConsistencyError`].
    pub fn shows(&self, old: &Checkpoint) -> Result<(), ConsistencyError> {
        let new = &self.head.checkpoint;
        if old.origin != new.origin {
            return Err(ConsistencyError::Origin(old.origin.clone(), new.origin.clone()));
        }
        if old.size > new.size {
            return Err(ConsistencyError::Older(old.size, new.size));
        }
        if old.size != self.old {
            return Err(ConsistencyError::OtherSize(old.size, self.old));
        }
        match verify_consistency(old.size, &old.root, new.size, &new.root, &self.path) {
            true => Ok(()),
            false => Err(ConsistencyError::Unlike),
        }
    }

    /// Reads a proof.
    ///
    /// # Errors
    /// [`NoteError::Head`].
    pub fn read(text: &str) -> Result<Self, NoteError> {
        let wrong = NoteError::Head("it is no consistency proof");
        let (above, note) = text.split_once("\n\n").ok_or(wrong.clone())?;
        let mut lines = above.lines();
        let old = lines.next().and_then(|line| line.strip_prefix("old ")?.parse().ok());
        let old = old.ok_or(wrong.clone())?;
        let hash = |line: &str| STANDARD.decode(line).ok()?.try_into().ok().map(Hash);
        let path: Option<Vec<Hash>> = lines.map(hash).take(MOST + 1).collect();
        let path = path.filter(|path| path.len() <= MOST).ok_or(wrong.clone())?;
        let read = Self { old, path, head: SignedHead::read(note)? };
        if read.to_string() == text { Ok(read) } else { Err(wrong) }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        for hash in &self.path {
            writeln!(f, "{}", STANDARD.encode(hash.0))?;
        }
        write!(f, "\n{}", self.head)
    }
}
