//! IMAP SEARCH (RFC 9051 section 6.4.4, RFC 3501 section 6.4.4): what is asked.
//! The grammar that makes it lies in protocols; what it means, here.

mod key;
mod set;

pub use key::{Day, SearchKey};
pub use set::{SequenceSet, SetNumber, SetRange};
