//! The admin socket of a node, asked without starting a program: quick, and with a limit in time.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP's status.
    pub status: u16,
    /// The body, if it is JSON.
    pub body: Value,
}

/// No answer is longer.
const LONGEST: u64 = 16 << 20;

/// GET of a path.
///
/// # Errors
/// When nobody answers within the limit, or nonsense.
pub fn get(socket: &Path, path: &str, limit: Duration) -> io::Result<Answer> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_write_timeout(Some(limit))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut octets = Vec::new();
    stream.take(LONGEST).read_to_end(&mut octets)?;
    parse(&String::from_utf8_lossy(&octets)).ok_or_else(|| io::Error::other("not an answer"))
}

fn parse(text: &str) -> Option<Answer> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some(Answer { status, body: serde_json::from_str(body).unwrap_or(Value::Null) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart() {
        let text = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"state\":\"ready\"}";
        let answer = parse(text).unwrap();
        assert_eq!(answer.status, 200);
        assert_eq!(answer.body["state"], "ready");
        assert!(parse("nonsense").is_none());
    }
}
