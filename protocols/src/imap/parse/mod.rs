//! The grammar (RFC 9051 section 9, RFC 3501 section 9 and the extensions'), total:
//! any octets give a command or an error that names the octet.

mod append;
mod auth;
mod command;
mod date;
mod fetch;
mod flags;
mod input;
mod list;
mod mailbox;
mod search;
mod select;
mod set;
mod sort;
mod store;
mod strings;
#[cfg(test)]
mod tests;

use super::limits::Limits;
use super::types::{AppendItem, Tag, TaggedCommand};

/// What the session's state means for the grammar.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mode {
    /// Limits.
    pub limits: Limits,
    /// Mailbox names are UTF-8 (IMAP4rev2 or UTF8=ACCEPT was enabled), not modified UTF-7.
    pub utf8: bool,
}

/// A command that does not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} at octet {position}")]
pub struct CommandError {
    /// Its tag, if it has one: answer `* BAD` otherwise.
    pub tag: Option<Tag>,
    /// The offending octet's place in the command, from 0.
    pub position: usize,
    /// What is wrong.
    pub kind: ErrorKind,
}

/// What is wrong with a command. All are answered with BAD, but
/// [`ErrorKind::Charset`] with `NO [BADCHARSET (…)]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The grammar wants something else there.
    #[error("expected {0}")]
    Expected(&'static str),
    /// No such command.
    #[error("unknown command")]
    UnknownCommand,
    /// A limit, by name.
    #[error("more than {1} {0}")]
    Limit(&'static str, usize),
    /// SEARCH's CHARSET is not known; and whether the answer was to be saved (RFC 5182).
    #[error("unknown charset")]
    Charset {
        /// SAVE was asked for.
        saves: bool,
    },
}

/// Reads a whole command, or an APPEND up to its message's literal header.
///
/// # Errors
/// When it does not read.
pub fn command(frame: &[u8], mode: &Mode) -> Result<TaggedCommand, CommandError> {
    let mut input = input::new(frame, mode);
    let tag = input::run(&mut input, command::tag).map_err(|error| error.of(None))?;
    match input::run(&mut input, command::command) {
        Ok(command) => Ok(TaggedCommand { tag, command }),
        Err(error) => Err(error.of(Some(tag))),
    }
}

/// Reads what follows an APPEND's message: `None` at the command's end, or the
/// next message's head (RFC 3502).
///
/// # Errors
/// When it does not read; the tag is not in it.
pub fn append_rest(frame: &[u8], mode: &Mode) -> Result<Option<AppendItem>, CommandError> {
    let mut input = input::new(frame, mode);
    input::run(&mut input, append::rest).map_err(|error| error.of(None))
}
