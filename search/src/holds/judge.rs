//! One email after the other: whether a hold's query holds it.

use std::sync::Arc;

use redoubt_log::id::{AccountId, BlobId, EmailId, MailboxId, ModSeq, Timestamp, Uid};
use redoubt_log::record::{Flags, Held};
use redoubt_store::mailstore::StoreError;
use redoubt_store::mime::Part;
use redoubt_store::search::Reader;
use redoubt_store::view::View;

use crate::facts::{Account, Email, Facts, FactsError, Known, Mailbox, Standing};
use crate::query::Query;
use crate::texts::{Indexed, NoTexts, PartText, Texts, TextsError};

/// Whether and why an email is held.
pub type Judged = Option<Held>;

/// What is judged, and by what.
#[derive(Debug)]
pub struct Judge<'a, R> {
    /// The state.
    pub view: &'a View,
    /// Content.
    pub reader: &'a R,
    /// Texts of attachments, where they are extracted.
    pub texts: &'a Now,
}

/// Texts, extracted now where they are not there; errors are errors.
#[derive(Debug, Clone, Default)]
pub struct Now(pub Option<Arc<dyn Texts>>);

impl Texts for Now {
    fn of(&self, message: &BlobId) -> Result<Option<Vec<PartText>>, TextsError> {
        self.0.as_ref().map(|texts| texts.now(message)).transpose()
    }

    fn now(&self, message: &BlobId) -> Result<Vec<PartText>, TextsError> {
        self.0.as_ref().map_or_else(|| NoTexts.now(message), |texts| texts.now(message))
    }

    fn of_octets(
        &self,
        part: &Part,
        octets: &[u8],
    ) -> Result<Arc<redoubt_extract::Extracted>, TextsError> {
        let none = || NoTexts.of_octets(part, octets);
        self.0.as_ref().map_or_else(none, |texts| texts.of_octets(part, octets))
    }
}

impl<R: Reader> Judge<'_, R> {
    /// Judges one email, wherever it stands or stood. One that cannot be read is held.
    ///
    /// # Errors
    /// What it needs is not to be had for now.
    pub fn judge(
        &self,
        query: &Query,
        account: AccountId,
        email: EmailId,
    ) -> Result<Judged, FactsError> {
        let Some(data) = self.view.email_ever(account, email)? else { return Ok(None) };
        let known = Known {
            id: email,
            thread: data.thread,
            blob: data.blob,
            size: data.size,
            received: data.received,
        };
        let mut account = Account::new(self.view, account);
        let standings = vec![anywhere()];
        let mut facts = Email::new(&mut account, self.reader, self.texts, known, standings);
        match held(query, &mut facts) {
            Err(error) if is_unreadable(&error) => {
                tracing::warn!(%email, %error, "an email that cannot be read is held");
                Ok(Some(Held::Unread))
            }
            other => other,
        }
    }
}

fn held(query: &Query, facts: &mut Email<'_, '_>) -> Result<Judged, FactsError> {
    if query.matches(facts)? {
        return Ok(Some(Held::Matches));
    }
    Ok((facts.extraction()? != Indexed::All).then_some(Held::Unread))
}

/// A hold's query does not ask where: any place is as good.
fn anywhere() -> Standing {
    Standing {
        mailbox: Mailbox { id: MailboxId(1), name: String::new(), special_use: None },
        uid: Uid::MIN,
        flags: Flags::NONE,
        keywords: Vec::new(),
        modseq: ModSeq(0),
        saved: Timestamp(0),
        gone: None,
    }
}

/// It will not be otherwise later.
fn is_unreadable(error: &FactsError) -> bool {
    matches!(
        error,
        FactsError::Envelope(_)
            | FactsError::Store(StoreError::Blob(..))
            | FactsError::Texts(TextsError::Store(StoreError::Blob(..)))
    )
}
