//! Postfix's socketmap (socketmap_table(5)): which addresses and domains are
//! ours, so that unknown users are refused at the edge.
//!
//! A request is the netstring `map key`, a reply the netstring `OK value`,
//! `NOTFOUND `, `TEMP reason` or `PERM reason`. Maps: `mailbox` (an address that
//! is delivered here → its account's address), `virtual` (an alias → its
//! account's address; what needs no rewriting → itself), `domain` (a domain of
//! ours → itself).

use std::sync::Arc;

use bytes::{Buf, BytesMut};
use redoubt_log::record::AccountState;
use redoubt_store::mailstore::StoreError;
use redoubt_store::view::Resolved;

use crate::limits::Refusal;
use crate::lmtp::Deliverer;
use crate::server::Protocol;
use crate::stream::{Connection, StreamError};

/// Octets of the longest request.
pub const MAX_REQUEST: usize = 1024;
/// Digits of its length, and the colon.
const MAX_PREFIX: usize = 5;

/// Socketmap over a mailstore.
#[derive(Debug)]
pub struct Socketmap<D> {
    deliverer: D,
}

impl<D: Deliverer> Socketmap<D> {
    /// Maps that look into `deliverer`.
    pub fn new(deliverer: D) -> Self {
        Self { deliverer }
    }

    async fn run(&self, connection: &mut Connection) -> Result<(), StreamError> {
        loop {
            match take(connection.input()) {
                Ok(Some(request)) => {
                    connection.stats().commands.add(1);
                    let answer = self.answer(&request).await;
                    connection.queue(&netstring(&answer));
                    connection.relieve().await?;
                }
                Ok(None) if connection.is_shutting_down() => return Ok(()),
                Ok(None) => self.wait(connection).await?,
                Err(()) => {
                    connection.queue(&netstring("PERM this is no request"));
                    return Ok(());
                }
            }
        }
    }

    async fn wait(&self, connection: &mut Connection) -> Result<(), StreamError> {
        connection.flush().await?;
        let limits = connection.limits().clone();
        let idle = connection.input().is_empty();
        let limit = if idle { limits.idle_timeout } else { limits.receive_timeout };
        let shutdown = connection.shutdown_token();
        tokio::select! {
            () = shutdown.cancelled(), if idle => Ok(()),
            filled = connection.fill_within(limit) => filled.map(drop),
        }
    }

    async fn answer(&self, request: &[u8]) -> String {
        let request = std::str::from_utf8(request).ok().and_then(|text| text.split_once(' '));
        let Some((map, key)) = request else { return "PERM this is no request".into() };
        let found = match map {
            "mailbox" => self.address(key, Value::Account).await,
            "virtual" => self.address(key, Value::Rewritten).await,
            "domain" => self.domain(key).await,
            _ => return "PERM no such map: there are mailbox, virtual and domain".into(),
        };
        match found {
            Ok(Some(value)) => format!("OK {value}"),
            Ok(None) => "NOTFOUND ".into(),
            Err(error) => {
                tracing::warn!(%error, "cannot look up an address");
                "TEMP the store cannot answer, try again later".into()
            }
        }
    }

    async fn address(&self, key: &str, value: Value) -> Result<Option<String>, StoreError> {
        let found = self.deliverer.resolve(key).await?;
        let Resolved::Account { account, detail } = found.resolved else {
            return Ok(None);
        };
        let state = account.settings.state;
        if state == AccountState::Closed || (state == AccountState::Archive && !found.journals) {
            return Ok(None);
        }
        // A rewritten subaddress would lose its detail on the way.
        let as_it_is = value == Value::Rewritten && detail.is_some();
        Ok(Some(if as_it_is { key.to_owned() } else { account.address.to_string() }))
    }

    async fn domain(&self, key: &str) -> Result<Option<String>, StoreError> {
        Ok(self.deliverer.is_ours(key).await?.then(|| key.to_owned()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    Account,
    Rewritten,
}

impl<D: Deliverer> Protocol for Socketmap<D> {
    async fn serve(self: Arc<Self>, mut connection: Connection) {
        if let Err(error) = self.run(&mut connection).await {
            tracing::debug!(%error, "socketmap session ended");
        }
        connection.close().await;
    }

    fn refuse(&self, refusal: Refusal) -> String {
        String::from_utf8_lossy(&netstring(&format!("TEMP {refusal}"))).into_owned()
    }
}

fn netstring(text: &str) -> Vec<u8> {
    format!("{}:{text},", text.len()).into_bytes()
}

/// Takes a netstring from the front; `Err` when it is none, or too long.
fn take(input: &mut BytesMut) -> Result<Option<BytesMut>, ()> {
    let Some(colon) = memchr::memchr(b':', input) else {
        let plain = input.len() < MAX_PREFIX && input.iter().all(u8::is_ascii_digit);
        return if plain { Ok(None) } else { Err(()) };
    };
    let len = length(input.get(..colon).unwrap_or_default()).ok_or(())?;
    match input.get(colon + 1 + len) {
        None => Ok(None),
        Some(b',') => {
            input.advance(colon + 1);
            let request = input.split_to(len);
            input.advance(1);
            Ok(Some(request))
        }
        Some(_) => Err(()),
    }
}

fn length(digits: &[u8]) -> Option<usize> {
    let strict = digits.iter().all(u8::is_ascii_digit) && digits.len() < MAX_PREFIX;
    let text = std::str::from_utf8(digits).ok().filter(|_| strict)?;
    text.parse().ok().filter(|len| *len <= MAX_REQUEST)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn netstrings_are_strict() {
        let mut input = BytesMut::from("12:mailbox a@b1,3:x y,2:");
        assert_eq!(take(&mut input).unwrap().unwrap(), "mailbox a@b1");
        assert_eq!(take(&mut input).unwrap().unwrap(), "x y");
        assert_eq!(take(&mut input), Ok(None));
        for wrong in ["x", ":", "-1:", "99999", "9999:", "1:xy", "1 :x,", "+1:x,"] {
            assert!(take(&mut BytesMut::from(wrong)).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_octets_are_bounded(octets in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut input = BytesMut::from(octets.as_slice());
            while let Ok(Some(request)) = take(&mut input) {
                prop_assert!(request.len() <= MAX_REQUEST);
            }
        }

        #[test]
        fn what_is_written_is_read(text in ".{0,100}") {
            let mut input = BytesMut::from(netstring(&text).as_slice());
            prop_assert_eq!(take(&mut input).unwrap().unwrap(), text.as_bytes());
            prop_assert!(input.is_empty());
        }
    }
}
