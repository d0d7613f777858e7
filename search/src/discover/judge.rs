//! Where discovery meets the query language.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use redoubt_log::id::{EmailId, MailboxId, Timestamp};
use redoubt_store::mailstore::{Mailstore, StoreError};
use redoubt_store::travel::{Gone, Judge};
use redoubt_store::view::Placement;

use super::DiscoverError;
use crate::facts::FactsError;
use crate::find::Finder;
use crate::query::{Context, Query, QueryError, zone_named};

/// Reads a query as it was meant when it was asked.
///
/// # Errors
/// [`DiscoverError::Query`] with the place and what was perhaps meant; a zone that is none.
pub fn read(text: &str, now: Timestamp, zone: Option<&str>) -> Result<Query, DiscoverError> {
    let none = |zone: &str| DiscoverError::Zone(zone.to_owned());
    let zone = zone.map(|zone| zone_named(zone).ok_or_else(|| none(zone))).transpose()?;
    let zone = zone.unwrap_or(jiff::tz::TimeZone::UTC);
    Ok(Query::parse(text, &Context { now, zone }).map_err(Box::new)?)
}

/// The reason for which [`DiscoverError::Query`] stands.
pub type Unread = Box<QueryError>;

/// Asks of one placement after the other, each email once. What cannot be read is noted, and the
/// search goes on.
pub(super) struct Careful<'a> {
    pub(super) finder: Finder<'a, Mailstore>,
    pub(super) seen: &'a mut HashSet<EmailId>,
    pub(super) stop: &'a AtomicBool,
    pub(super) looked: u64,
    pub(super) unreadable: Vec<(EmailId, String)>,
}

impl Judge for Careful<'_> {
    type Error = DiscoverError;

    fn opens_messages(&self) -> bool {
        self.finder.opens_messages()
    }

    fn is_meant(
        &mut self,
        mailbox: MailboxId,
        placement: &Placement,
        gone: Option<&Gone>,
    ) -> Result<bool, DiscoverError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DiscoverError::Stopped);
        }
        self.looked += 1;
        if self.seen.contains(&placement.email) {
            return Ok(false);
        }
        match self.finder.is_meant(mailbox, placement, gone) {
            Ok(meant) => Ok(meant && self.seen.insert(placement.email)),
            Err(error @ (FactsError::Store(StoreError::Blob(..)) | FactsError::Envelope(_))) => {
                self.unreadable.push((placement.email, error.to_string()));
                Ok(false)
            }
            Err(FactsError::Store(error)) => Err(error.into()),
            Err(error) => Err(DiscoverError::NotNow(error.to_string())),
        }
    }
}
