//! What lies in the packs of a data directory.

use std::path::Path;

use redoubt_log::id::BlobId;

/// A message that compresses to little, with `n` in each of its lines.
pub fn planted(n: usize) -> Vec<u8> {
    let body: String = (0..300).map(|line| format!("planted {n} in line {line}\r\n")).collect();
    format!("From: a@example.net\r\nSubject: {n}\r\n\r\n{body}").into_bytes()
}

/// Whether any pack holds a message. Every frame carries its blob's id, however its octets are
/// compressed.
pub fn is_in_packs(data: &Path, message: &[u8]) -> bool {
    let id = BlobId::of(message);
    std::fs::read_dir(data.join("shards/0/blobs")).unwrap().any(|file| {
        let path = file.unwrap().path();
        let pack = path.extension().is_some_and(|extension| extension == "pack");
        // One that is removed right now is not there any more.
        let octets = if pack { std::fs::read(&path).unwrap_or_default() } else { Vec::new() };
        // A pack that is written to has zeros behind its last frame, a quarter of a GiB at most.
        let end = octets.iter().rposition(|octet| *octet != 0).map_or(0, |last| last + id.0.len());
        octets.get(..end.min(octets.len())).unwrap_or_default().windows(32).any(|w| w == id.0)
    })
}
