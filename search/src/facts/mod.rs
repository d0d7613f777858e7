//! What an evaluation reads of one email, as of a view, and only when it is asked for.

mod account;
mod email;
pub mod texts;

use std::sync::Arc;

use redoubt_log::id::{
    AccountId, BlobId, EmailId, HoldId, MailboxId, ModSeq, ThreadId, Timestamp, Uid,
};
use redoubt_log::record::{Address, Flags, Keyword, SpecialUse};
use redoubt_store::mailstore::StoreError;
pub use redoubt_store::travel::Gone;

use crate::texts::{Indexed, TextsError};
use crate::words::Words;

pub use account::Account;
pub use email::Email;

/// What is known of an email by whoever lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Which one.
    pub id: EmailId,
    /// Its thread.
    pub thread: ThreadId,
    /// Its content.
    pub blob: BlobId,
    /// Octets of it.
    pub size: u64,
    /// When it was received.
    pub received: Timestamp,
}

/// Where an email stands, or stood before it went.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// In which mailbox.
    pub mailbox: Mailbox,
    /// Its UID there.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// Its keywords.
    pub keywords: Vec<Keyword>,
    /// Its MODSEQ.
    pub modseq: ModSeq,
    /// When it came there.
    pub saved: Timestamp,
    /// When and by whom it went, if it did.
    pub gone: Option<Gone>,
}

/// A mailbox, as it was called then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id.
    pub id: MailboxId,
    /// Its whole name.
    pub name: String,
    /// Its use.
    pub special_use: Option<SpecialUse>,
}

/// What is known of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// Its id.
    pub id: AccountId,
    /// Its own address.
    pub address: Address,
    /// Its own address, and its other names.
    pub addresses: Vec<Address>,
    /// What stands between user and detail in its domain.
    pub separator: Option<char>,
}

/// An SMTP envelope.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
pub struct Envelope {
    /// The sender; empty for the null path.
    #[serde(default)]
    pub sender: String,
    /// Those of the same delivery.
    #[serde(default)]
    pub recipients: Vec<String>,
}

/// Which texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The Subject.
    Subject,
    /// Every field of every header.
    Header,
    /// Bodies.
    Bodies,
    /// Names of attachments.
    FileNames,
    /// What was extracted from attachments.
    Extracted,
}

/// Words of some texts.
pub type TextWords = Arc<Vec<Words>>;

/// Something that has to be known cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// Of the state or the content.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Of texts that were extracted.
    #[error(transparent)]
    Texts(#[from] TextsError),
    /// The account is not there.
    #[error("account {0} is not there at this moment")]
    NoAccount(AccountId),
    /// What was kept with a delivery is damaged.
    #[error("the envelope of {0} does not read")]
    Envelope(EmailId),
}

/// One email, as of a view. All methods block.
pub trait Facts {
    /// What is known already.
    fn email(&self) -> Known;
    /// Where it stands, and where it stood, if that is to be judged.
    ///
    /// # Errors
    /// It cannot be read; so for all that follow.
    fn standings(&mut self) -> Result<Arc<Vec<Standing>>, FactsError>;
    /// Whose it is.
    fn account(&mut self) -> Result<Arc<AccountFacts>, FactsError>;
    /// Another account, if it is there.
    fn other_account(&mut self, id: AccountId) -> Result<Option<Arc<AccountFacts>>, FactsError>;
    /// The hash of the message as it came.
    fn original(&mut self) -> Result<BlobId, FactsError>;
    /// The SMTP envelope, if it was delivered.
    fn envelope(&mut self) -> Result<Option<Arc<Envelope>>, FactsError>;
    /// Its correspondents.
    fn people(&mut self) -> Result<Arc<texts::People>, FactsError>;
    /// When it says it was sent.
    fn sent(&mut self) -> Result<Option<Timestamp>, FactsError>;
    /// Its Message-ID, without angle brackets.
    fn message_id(&mut self) -> Result<Option<String>, FactsError>;
    /// Its attachments.
    fn attachments(&mut self) -> Result<Arc<Vec<texts::Attachment>>, FactsError>;
    /// Every field of its headers.
    fn headers(&mut self) -> Result<Arc<Vec<texts::HeaderField>>, FactsError>;
    /// Words of its texts.
    fn words(&mut self, source: Source) -> Result<TextWords, FactsError>;
    /// How much of its attachments' text there is.
    fn extraction(&mut self) -> Result<Indexed, FactsError>;
    /// Holds over it, as of now.
    fn holds(&mut self) -> Result<Vec<HoldId>, FactsError>;
    /// Mailboxes that it was moved out of, as they were called then.
    fn moved_from(&mut self) -> Result<Arc<Vec<Mailbox>>, FactsError>;
    /// Whether its thread has no other email.
    fn is_alone(&mut self) -> Result<bool, FactsError>;
}
