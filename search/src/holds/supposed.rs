//! A query that nobody has set, asked as that of a policy would be.

use std::sync::Arc;

use redoubt_log::id::{AccountId, EmailId, Timestamp};
use redoubt_store::search::Reader;
use redoubt_store::view::View;

use super::judge::{Judge, Judged, Now};
use super::{HoldQueryError, read};
use crate::facts::FactsError;
use crate::query::Query;
use crate::texts::Texts;

/// A query as if it were set, and what it is asked with.
#[derive(Debug)]
pub struct Supposed<'a, R> {
    view: &'a View,
    reader: &'a R,
    query: Query,
    texts: Now,
}

impl<'a, R: Reader> Supposed<'a, R> {
    /// Reads a query as if it had been set at a time.
    ///
    /// # Errors
    /// [`HoldQueryError`].
    pub fn new(
        text: &str,
        set: Timestamp,
        view: &'a View,
        reader: &'a R,
        texts: Option<Arc<dyn Texts>>,
    ) -> Result<Self, HoldQueryError> {
        Ok(Self { view, reader, query: read(text, set)?, texts: Now(texts) })
    }

    /// Whether it finds an email, or cannot tell.
    ///
    /// # Errors
    /// What it needs is not to be had for now.
    pub fn finds(&self, account: AccountId, email: EmailId) -> Result<Judged, FactsError> {
        let Self { view, reader, query, texts } = self;
        Judge { view, reader: *reader, texts }.judge(query, account, email)
    }
}
