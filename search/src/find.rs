//! A query asked of one placement after the other, as `redoubt find` and restores do.

use redoubt_log::id::{AccountId, MailboxId};
use redoubt_store::search::Reader;
use redoubt_store::travel::{Gone, Judge};
use redoubt_store::view::{Placement, View};

use crate::facts::{Account, Email, FactsError, Known};
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
