//! Heads of the log that others can hold it to: signed, with proofs of records under them.

pub mod consistency;
pub mod keys;
pub mod note;
pub mod prover;

pub use consistency::{Consistency, ConsistencyError};
pub use keys::{HeadError, Signer};
pub use note::{Checkpoint, NoteError, PublicKey, SignedHead, origin};
pub use prover::{Proven, Prover};
