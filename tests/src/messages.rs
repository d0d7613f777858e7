//! Messages that tests make: each with a token that is in no other.

use std::fmt::Write;

/// A message of about `size` octets whose subject is `token`; its lines are
/// made from the token, so that a wrong byte shows.
pub fn message(token: &str, size: usize) -> Vec<u8> {
    let mut text = format!(
        "From: Sender <sender@example.net>\r\nTo: Reader <reader@example.org>\r\n\
         Subject: {token}\r\nMessage-ID: <{token}@example.net>\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\n\r\n"
    );
    let mut line = 0;
    while text.len() < size {
        let _ = write!(text, "{token} line {line}: the quick brown fox\r\n");
        line += 1;
    }
    text.into_bytes()
}

/// The message as it was sent: without the trace lines that delivery puts before it.
pub fn without_trace(delivered: &[u8]) -> &[u8] {
    let mut rest = delivered;
    while rest.starts_with(b"Return-Path:") || rest.starts_with(b"Received: ") {
        rest = after_field(rest);
    }
    rest
}

fn after_field(header: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(line) = header[at..].iter().position(|byte| *byte == b'\n') {
        at += line + 1;
        if !matches!(header.get(at), Some(b' ' | b'\t')) {
            break;
        }
    }
    &header[at..]
}

/// The subject of a message that [`message`] made.
pub fn token(message: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(message);
    text.lines().find_map(|line| line.strip_prefix("Subject: ")).map(|token| token.trim().into())
}
