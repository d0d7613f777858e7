//! What a joiner and a member say to each other: one question and one answer a
//! stream, each a length (`u32`, big-endian) and JSON.

use std::io;

use redoubt_log::id::{NodeId, OperationId};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

const MAX_MESSAGE: usize = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Question {
    /// Who am I?
    Id(IdQuestion),
    /// Am I a voter yet?
    Seat(SeatQuestion),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct IdQuestion {
    /// Which cluster it means.
    pub(super) lineage: String,
    pub(super) secret: [u8; 16],
    pub(super) joiner: OperationId,
    /// Where its peers will reach it.
    pub(super) address: String,
    pub(super) light: bool,
    /// What its program supports.
    pub(super) level: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeatQuestion {
    pub(super) node: NodeId,
    pub(super) joiner: OperationId,
    pub(super) address: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Id(Box<Grant>),
    Seat {
        voter: bool,
        lag: Option<u64>,
    },
    /// Never: asking again does not help.
    Refused(String),
    /// Not now.
    Later(String),
}

/// What a node needs to be one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) node: NodeId,
    pub(super) lineage: String,
    /// Certificate and key of the cluster's own authority, as PEM.
    pub(super) authority: Option<(String, String)>,
    pub(super) secret: [u8; 32],
    /// Where the members are.
    pub(super) members: Vec<String>,
}

impl std::fmt::Debug for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grant(node {} of {})", self.node, self.lineage)
    }
}

pub(super) async fn send(
    stream: &mut (impl AsyncWrite + Unpin),
    message: &impl Serialize,
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    stream.write_all(&length.to_be_bytes()).await?;
    stream.write_all(&bytes).await?;
    stream.flush().await
}

pub(super) async fn receive<T: DeserializeOwned>(
    stream: &mut (impl AsyncRead + Unpin),
) -> io::Result<T> {
    let length = usize::try_from(stream.read_u32().await?).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    Ok(serde_json::from_slice(&bytes)?)
}
