//! A query asked of one placement after the other, as `redoubt find` and restores do.

use redoubt_log::id::{AccountId, EmailId, MailboxId};
use redoubt_store::mailstore::StoreError;
use redoubt_store::search::Reader;
use redoubt_store::travel::{Gone, Judge};
use redoubt_store::view::{Placement, View};

use crate::ask::Ask;
use crate::facts::{Account, Email, FactsError, Known};
use crate::index::Index;
use crate::query::Query;
use crate::texts::Texts;

/// A query, and what it is asked of.
#[derive(Debug)]
pub struct Finder<'a, R> {
    query: &'a Query,
    account: Account<'a>,
    reader: &'a R,
    texts: &'a dyn Texts,
}

impl<'a, R: Reader> Finder<'a, R> {
    /// Of an account, as of a view.
    pub fn new(
        query: &'a Query,
        view: &'a View,
        account: AccountId,
        reader: &'a R,
        texts: &'a dyn Texts,
    ) -> Self {
        Self { query, account: Account::new(view, account), reader, texts }
    }
}

/// Emails beyond which each is no longer looked up by itself.
const MOST: usize = 10_000;

/// The emails of an account that a query can mean, by an index; `None` where that are too many,
/// or nothing narrows them down. Of a view that was taken before. Blocks.
///
/// # Errors
/// The state cannot be read.
pub fn among(
    index: Option<&Index>,
    query: &Query,
    account: AccountId,
) -> Result<Option<Vec<EmailId>>, StoreError> {
    let ask = query.ask();
    let Some(index) = index.filter(|_| ask != Ask::All) else { return Ok(None) };
    let Some(found) = index.answer_unless_behind(account, &ask, MOST)? else { return Ok(None) };
    let mut emails: Vec<EmailId> = found.candidates().take(MOST + 1).collect();
    emails.sort_unstable();
    emails.dedup();
    Ok(Some(emails).filter(|emails| emails.len() <= MOST))
}

impl<R: Reader> Judge for Finder<'_, R> {
    type Error = FactsError;

    fn opens_messages(&self) -> bool {
        self.query.opens_messages()
    }

    fn is_meant(
        &mut self,
        mailbox: MailboxId,
        placement: &Placement,
        gone: Option<&Gone>,
    ) -> Result<bool, FactsError> {
        let standing = self.account.standing(mailbox, placement, gone.cloned())?;
        let (known, standings) = (Known::of(placement), vec![standing]);
        let account = &mut self.account;
        self.query.matches(&mut Email::new(account, self.reader, self.texts, known, standings))
    }
}
