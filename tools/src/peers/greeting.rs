//! What a listener says first, once TLS is up: go on, or why not. Without it a
//! refused peer would learn no more than that the connection ended.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::{PeerError, explain};

const MAX_WHY: usize = 1000;

/// Says that the peer may go on.
pub(super) async fn welcome(stream: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(&[0, 0]).await?;
    stream.flush().await
}

/// Says why not, and ends the stream.
pub(super) async fn refuse(stream: &mut (impl AsyncWrite + Unpin), why: &str) -> io::Result<()> {
    let why: Vec<u8> = why.bytes().take(MAX_WHY).collect();
    let length = u16::try_from(why.len().max(1)).unwrap_or(1);
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&why).await?;
    stream.shutdown().await
}

/// Reads it.
pub(super) async fn greeted(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), PeerError> {
    // With TLS 1.3 this is where one learns that one's own certificate was not taken.
    let length = stream.read_u16().await.map_err(|error| explain(&error))?;
    if length == 0 {
        return Ok(());
    }
    let mut why = vec![0; usize::from(length).min(MAX_WHY)];
    stream.read_exact(&mut why).await.map_err(|error| explain(&error))?;
    Err(PeerError::Refused(String::from_utf8_lossy(&why).into_owned()))
}
