//! Literal headers at the end of a line.

/// Digits of a literal's size that are read; what has more is no literal.
const MAX_DIGITS: usize = 20;
/// Octets from a line's end that can be a literal's header: `~{`, digits, `+}`.
pub(super) const MAX_HEADER: usize = MAX_DIGITS + 4;

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

impl Literal {
    /// The header at the end of a line (given without its line end), and where it starts.
    pub(super) fn at_end(line: &[u8]) -> Option<(Self, usize)> {
        let inner = line.strip_suffix(b"}")?;
        let (inner, synchronizing) = match inner.strip_suffix(b"+") {
            Some(inner) => (inner, false),
            None => (inner, true),
        };
        let digits = inner.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > MAX_DIGITS {
            return None;
        }
        let (before, digits) = inner.split_at_checked(inner.len() - digits)?;
        let before = before.strip_suffix(b"{")?;
        let binary = before.ends_with(b"~");
        let start = before.len() - usize::from(binary);
        Some((Self { size: number(digits), synchronizing, binary }, start))
    }
}

/// The number, or the largest when it is larger.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number: u64, digit| {
        number.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')))
    })
}

/// A line without its line end: CRLF, or LF alone, which hand-typed sessions send.
pub(super) fn without_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}
