//! A message's octets as they are.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use futures_util::stream;
use redoubt_store::mailstore::{BlobReader, StoreError};
use serde::Deserialize;

use super::account_of;
use super::emails::{One, standing};
use crate::admin::{ApiError, App};

/// Octets that are read at one time.
const PIECE: usize = 128 * 1024;

/// Which email, and whether only its header.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    what: String,
    at: Option<String>,
    #[serde(default)]
    headers: bool,
}

pub(super) async fn content(
    State(app): State<App>,
    Path(account): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Body, ApiError> {
    let account = account_of(&app, &account, &[asked.at.as_ref()]).await?;
    let store = app.mailstore.clone();
    let (reader, end) = app
        .read(move |view| {
            let one = One { what: asked.what, at: asked.at };
            let blob = standing(view, account, &one)?.placement.blob;
            let reader = store.open_blob(&blob)?;
            let end = match asked.headers {
                true => {
                    let header = store.parsed(&blob)?.structure.header;
                    header.start.saturating_add(header.len)
                }
                false => reader.len(),
            };
            Ok((Arc::new(reader), end))
        })
        .await?;
    Ok(Body::from_stream(stream::try_unfold(0, move |at| piece(reader.clone(), at, end))))
}

/// The next octets; an error breaks the connection off, so that nobody takes a part for the whole.
async fn piece(
    reader: Arc<BlobReader>,
    at: u64,
    end: u64,
) -> Result<Option<(Bytes, u64)>, StoreError> {
    if at >= end {
        return Ok(None);
    }
    let limit = usize::try_from(end - at).unwrap_or(PIECE).min(PIECE);
    let read = tokio::task::spawn_blocking(move || reader.read(at, limit)).await;
    let octets = read.map_err(|error| StoreError::Stopped(error.to_string()))??;
    match octets.len() as u64 {
        0 => Err(StoreError::Stopped("a message is shorter than it was".to_owned())),
        read => Ok(Some((octets, at + read))),
    }
}
