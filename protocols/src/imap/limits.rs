//! What one command may be. Each limit has a name that its refusal tells.

/// Limits of framing and grammar. What they bound is refused with BAD (or NO for a
/// literal, RFC 7888 section 4), and the stream goes on behind the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a tag.
    pub tag: usize,
    /// Octets of a command without its literals, line ends included (RFC 7162 section 4 asks
    /// for 8,192 at least).
    pub line: usize,
    /// Octets of one literal that is not APPEND's message.
    pub literal: u64,
    /// Literals of a command, APPEND's messages not counted.
    pub literals: usize,
    /// Octets of all literals of a command together, APPEND's messages not counted.
    pub literal_total: u64,
    /// Octets of an APPEND's message that a refused command may still send without being
    /// asked (RFC 7888); beyond it the connection closes.
    pub skip: u64,
    /// Octets of a line that is not a command: a SASL response, DONE.
    pub response: usize,
    /// Nested keys of a SEARCH.
    pub nesting: usize,
    /// Keys of a SEARCH.
    pub keys: usize,
    /// Ranges of a set.
    pub ranges: usize,
    /// Items of any other list: flags, patterns, FETCH items, header names, ID's fields.
    pub items: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tag: 256,
            line: 64 * 1024,
            literal: 64 * 1024,
            literals: 256,
            literal_total: 256 * 1024,
            skip: 128 * 1024 * 1024,
            response: 64 * 1024,
            nesting: 32,
            keys: 1024,
            ranges: 16 * 1024,
            items: 256,
        }
    }
}

impl Limits {
    /// For clients that have not logged in: enough for LOGIN, AUTHENTICATE and ID.
    pub fn before_login() -> Self {
        Self {
            line: 16 * 1024,
            literal: 4 * 1024,
            literals: 64,
            literal_total: 16 * 1024,
            skip: 64 * 1024,
            response: 16 * 1024,
            ..Self::default()
        }
    }
}
