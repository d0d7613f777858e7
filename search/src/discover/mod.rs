//! Discovery: searches over many accounts, live and in history, and exports of what they found.
//!
//! A search or export is a job in a folder of its own, `DATA/discovery/JOB`: what was asked
//! (never changed), how far it has come, and what was found, line by line. It works in the
//! background on the node that was asked, and goes on after a restart. Before anything is looked
//! at, and again at the end, a record in the log says so: who asked what, of which index, and
//! what came of it. What a job found are ids and places; no mail is copied.

mod asked;
mod export;
mod folder;
mod jobs;
mod judge;
mod pace;
mod scan;
mod texts;
mod work;

pub use asked::{Asked, ExportAsked, SearchAsked, Work};
pub use folder::{Gone, Hit, NotSearched, Phase, State};
pub use jobs::{HitsPage, Jobs, JobsOptions, Listed, Purged, check_place};
pub use judge::{Unread, read};
pub use pace::{Effort, Pace};

use redoubt_log::id::OperationId;
use redoubt_store::mailstore::{StoreError, WriteError};

use crate::export::ExportError;
use crate::heads::HeadError;

/// Why a job was not begun, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// There is none of this name here.
    #[error("there is no search or export {0} on this node; `redoubt discover list` names all")]
    NoSuchJob(OperationId),
    /// It is not of the kind, or not as far, as it would have to be.
    #[error("{0}")]
    NotNow(String),
    /// The query.
    #[error(transparent)]
    Query(#[from] Unread),
    /// A time zone that is none.
    #[error("there is no time zone {0:?} on this server")]
    Zone(String),
    /// A file of a job.
    #[error("{path}: {error}")]
    Io {
        /// Which.
        path: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// A file of a job that does not read.
    #[error("{0} is damaged: {1}")]
    Damaged(String, String),
    /// Somebody stopped it, or the server ends.
    #[error("it was stopped")]
    Stopped,
    /// The state or a message cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The record was not taken.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The head is not to be had.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The export cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
}

impl DiscoverError {
    /// Whether trying again later may help.
    fn passes(&self) -> bool {
        let later = |error: &StoreError| matches!(error, StoreError::Unavailable(_));
        match self {
            Self::Store(error) | Self::Write(WriteError::Store(error)) => later(error),
            Self::Head(HeadError::Store(error)) => later(error),
            Self::Write(error) | Self::Head(HeadError::Unknown(error)) => {
                matches!(error, WriteError::Unavailable(_) | WriteError::Unknown(_))
            }
            _ => false,
        }
    }
}
