//! IMAP (RFC 3501, RFC 9051 and their extensions).

mod chars;
pub mod encode;
pub mod frame;
pub mod limits;
pub mod parse;
pub mod types;
pub mod utf7;
