//! IMAP (RFC 3501, RFC 9051 and their extensions).

mod chars;
mod command;
pub mod encode;
pub mod frame;
pub(crate) mod history;
pub mod limits;
pub mod parse;
mod reply;
mod selected;
mod session;
pub mod types;
mod updates;
pub mod utf7;

pub use session::{Config, Imap};
