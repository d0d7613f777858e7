//! Commands cut out of the stream of octets, before they are read: a pure state
//! machine. Octets go in, frames come out; nothing desynchronizes it.

use bytes::{Bytes, BytesMut};

use super::limits::Limits;
use super::types::Tag;

/// A literal's header: `{5}`, `{5+}` (RFC 7888), `~{5}` (RFC 3516).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Literal {
    /// Octets that follow the line end.
    pub size: u64,
    /// The client waits for a continuation request before it sends them.
    pub synchronizing: bool,
    /// literal8: NUL may be in it.
    pub binary: bool,
}

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

/// Cuts the client's octets into frames.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    buffer: BytesMut,
}

#[allow(unused_variables)]
impl Framer {
    /// A framer at the start of a stream.
    pub fn new(limits: Limits) -> Self {
        Self { limits, buffer: BytesMut::new() }
    }
    /// Sets limits, for what comes next (after login).
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }
    /// Where the client's octets are appended (`AsyncReadExt::read_buf`). Read only when
    /// [`Framer::next`] (or what is called in its place) has nothing to give, and a
    /// bounded piece at a time: what is held stays within the limits and one such piece.
    pub fn buffer_mut(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }
    /// The next frame; `None` until more octets came.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Option<Frame> {
        todo!()
    }
    /// The next line without its end, when it is no command: DONE, a SASL response.
    /// `None` until more octets came.
    ///
    /// # Errors
    /// When it is too long: close the connection.
    pub fn next_line(&mut self) -> Option<Result<Bytes, FrameError>> {
        todo!()
    }
    /// Takes APPEND's message: its octets come from [`Framer::literal_bytes`].
    pub fn accept_literal(&mut self) {
        todo!()
    }
    /// Octets of the accepted literal that are here already; `None` until more came, or when
    /// [`Framer::literal_left`] is 0 and [`Framer::next`] goes on.
    pub fn literal_bytes(&mut self) -> Option<Bytes> {
        todo!()
    }
    /// Octets of the accepted literal that [`Framer::literal_bytes`] has not given yet.
    pub fn literal_left(&self) -> u64 {
        todo!()
    }
    /// The literal just offered by [`Framer::next`] is not wanted, or the accepted one
    /// not any more: the rest of the command is skipped. Answer the command once.
    pub fn refuse_literal(&mut self) {
        todo!()
    }
    /// Forgets what was received and not read: before TLS starts (RFC 9051 section 11.1).
    pub fn discard(&mut self) -> usize {
        todo!()
    }
}
