//! Commands cut out of the stream of octets, before they are read: a pure state
//! machine. Octets go in, frames come out; nothing desynchronizes it.

mod framer;
mod literal;
mod skip;
#[cfg(test)]
mod tests;

use bytes::Bytes;

pub use framer::Framer;
pub use literal::Literal;

use super::types::Tag;

/// What came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A whole command with its literals and line end, for [`crate::imap::parse::command`].
    Command(Bytes),
    /// The client waits: send a continuation request (`+ OK`) and go on, or
    /// answer the command and call [`Framer::refuse_literal`].
    Continue {
        /// Octets that it wants to send.
        size: u64,
    },
    /// An APPEND up to its message's literal, for [`crate::imap::parse::command`]. Then either
    /// [`Framer::accept_literal`] (after a continuation request if it is synchronizing) and
    /// [`Framer::literal_bytes`] until nothing is left, or [`Framer::refuse_literal`].
    Append {
        /// `a1 APPEND INBOX {310}` and line end.
        head: Bytes,
        /// The message's literal.
        literal: Literal,
    },
    /// What follows an APPEND's message, for [`crate::imap::parse::append_rest`]: the line's
    /// end, or the head of MULTIAPPEND's next message with its literal, to be treated as above.
    AppendRest {
        /// Line end included.
        head: Bytes,
        /// The next message's literal.
        literal: Option<Literal>,
    },
    /// A command that was skipped; what follows it comes next.
    Refused(Refused),
}

/// A command that broke a limit of framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its tag, if it had one; answer without (`* BAD`) otherwise.
    pub tag: Option<Tag>,
    /// Why.
    pub error: FrameError,
    /// The stream cannot be followed any longer: say BYE and close.
    pub close: bool,
}

/// Which limit of framing was broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A command's line.
    #[error("command line is longer than {limit} octets")]
    Line {
        /// Octets allowed.
        limit: usize,
    },
    /// A literal.
    #[error("literal of {size} octets, at most {limit} are taken")]
    Literal {
        /// Octets announced.
        size: u64,
        /// Octets allowed.
        limit: u64,
    },
    /// Literals of a command.
    #[error("more than {limit} literals in a command")]
    Literals {
        /// Literals allowed.
        limit: usize,
    },
    /// A response line.
    #[error("line is longer than {limit} octets")]
    Response {
        /// Octets allowed.
        limit: usize,
    },
    /// A refused command wants to send more than is skipped.
    #[error("refused command has more than {limit} octets")]
    Skip {
        /// Octets allowed.
        limit: u64,
    },
}
