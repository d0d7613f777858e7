//! What goes wrong with a repository.

/// Why the repository was not read or written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RepoError {
    /// It does not answer, or not as it should; tried several times.
    #[error("the repository does not answer: {what}: {error}")]
    Unreachable {
        /// What was asked of it.
        what: String,
        /// The last answer.
        error: String,
    },
    /// The object is not there.
    #[error("{0} is missing in the repository")]
    Missing(String),
    /// The object is there, and is not what it says it is.
    #[error("{name} in the repository is damaged: {problem}")]
    Damaged {
        /// Which object.
        name: String,
        /// What does not fit.
        problem: String,
    },
    /// Something else has the name already.
    #[error(
        "the repository has another object {0}: something else writes there; nothing is \
         overwritten. Give each cluster a repository of its own"
    )]
    Conflict(String),
    /// Where it should be is not a place.
    #[error("the repository {place}: {problem}")]
    Place {
        /// As configured.
        place: String,
        /// What is wrong, and what to write.
        problem: String,
    },
    /// There is none.
    #[error("there is no repository at {0}: look at the path, or let the server make it")]
    NoRepository(String),
    /// Encryption was asked for, and there is no key; never written in plain text instead.
    #[error(
        "there is no key for the repository: make one with `redoubt backup keys init`, and name \
         it in backup.key_file; nothing is backed up until then"
    )]
    NoKey,
    /// The key file does not read.
    #[error("the key file {path}: {problem}")]
    KeyFile {
        /// Where it should be.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The key is not one of this repository's.
    #[error("the key {given} opens nothing in the repository: its keys are {known}")]
    WrongKey {
        /// The key's id.
        given: String,
        /// The ids of those that open it.
        known: String,
    },
    /// A key was given for a repository without encryption.
    #[error(
        "the repository is not encrypted, and a key is configured: make another repository, or \
         set backup.key_file = \"none\""
    )]
    NotEncrypted,
    /// A newer program made it.
    #[error("the repository has format {0}, which this program does not know: run a newer one")]
    Format(u32),
    /// This node's history is not the one that the repository holds.
    #[error("{0}")]
    OtherHistory(String),
    /// This node's own log or blobs cannot be read.
    #[error("what is to be backed up cannot be read: {0}")]
    Source(String),
}

impl RepoError {
    /// Something in `name` is not as it should be.
    pub fn damaged(name: &str, problem: impl ToString) -> Self {
        Self::Damaged { name: name.to_owned(), problem: problem.to_string() }
    }

    /// Whether trying again later may help, with nobody doing anything here.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
