//! How far an index has come, by account: what every commit carries, so that documents and
//! marks are of one moment.

use std::collections::BTreeMap;
use std::fmt::Write;

use redoubt_extract::VERSION;
use redoubt_log::id::{AccountId, EmailId, LogIndex, Sequence};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// How far one account's emails are indexed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The sequence of the last email that is indexed: so are all before it.
    sequence: u64,
    /// Its ordinal.
    ordinal: u32,
    /// Documents added, less those deleted.
    pub(super) emails: u64,
    /// The history floor up to which documents of emails that went were deleted.
    pub(super) collected: LogIndex,
    /// The log index of the view that the last of them were read from.
    pub(super) index: LogIndex,
    /// The version of the extractor whose texts are in documents.
    extractor: u32,
    /// Whether some documents are without texts that may come.
    unread: bool,
}

impl Mark {
    /// The last email that is indexed; `None` when none is.
    pub(super) fn through(&self) -> Option<EmailId> {
        let email = EmailId { sequence: Sequence(self.sequence), ordinal: self.ordinal };
        (self.emails > 0 || self.sequence > 0).then_some(email)
    }

    /// So many more emails are indexed, the last of them this one.
    pub(super) fn advance(&mut self, last: EmailId, emails: u64, index: LogIndex) {
        if self.through().is_none() {
            self.extractor = VERSION;
        }
        self.sequence = last.sequence.0;
        self.ordinal = last.ordinal;
        self.emails = self.emails.saturating_add(emails);
        self.index = index;
    }

    /// A document was added without texts that its email's attachments may have.
    pub(super) fn lacks_texts(&mut self) {
        self.unread = true;
    }

    /// Whether documents have texts as another extractor read them.
    pub(super) fn is_stale(&self) -> bool {
        self.through().is_some() && self.extractor != VERSION
    }

    /// Whether there is something to do when texts are there.
    pub(super) fn awaits_texts(&self) -> bool {
        self.unread || self.is_stale()
    }

    /// All texts that there are, of this version, are in the documents.
    pub(super) fn has_texts_of(&mut self, extractor: u32) {
        (self.extractor, self.unread) = (extractor, false);
    }
}

/// The marks of all accounts in one index.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    /// The layout's number.
    pub(super) version: u32,
    /// The history that the log is of.
    pub(super) lineage: String,
    /// By account.
    pub(super) accounts: BTreeMap<AccountId, Mark>,
}

impl Marks {
    /// As a commit carries them: checked when they are read.
    pub(super) fn encode(&self) -> String {
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{}{json}", sum(&json))
    }

    /// What [`Marks::encode`] wrote; `None` for anything else.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let (check, json) = text.split_at_checked(SUM)?;
        (check == sum(json)).then(|| serde_json::from_str(json).ok()).flatten()
    }

    /// Emails of all accounts.
    pub(super) fn emails(&self) -> u64 {
        self.accounts.values().map(|mark| mark.emails).sum()
    }

    /// Whether any account awaits texts.
    pub(super) fn await_texts(&self) -> bool {
        self.accounts.values().any(Mark::awaits_texts)
    }

    /// How far an account is indexed here.
    pub(super) fn of(&self, account: AccountId) -> Mark {
        self.accounts.get(&account).copied().unwrap_or_default()
    }
}

const SUM: usize = 16;

fn sum(json: &str) -> String {
    let mut text = String::with_capacity(SUM);
    for byte in Sha256::digest(json.as_bytes()).iter().take(SUM / 2) {
        // Writing into a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_read_back_and_nothing_else_does() {
        let mut marks = Marks { version: 1, lineage: "x".into(), ..Marks::default() };
        let last = EmailId { sequence: Sequence(9), ordinal: 2 };
        marks.accounts.entry(AccountId(3)).or_default().advance(last, 4, LogIndex(9));
        let text = marks.encode();
        assert_eq!(Marks::decode(&text).as_ref(), Some(&marks));
        assert_eq!(marks.of(AccountId(3)).through(), Some(last));
        assert_eq!(marks.of(AccountId(4)).through(), None);
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let damaged = String::from_utf8_lossy(&bytes).into_owned();
            assert_eq!(Marks::decode(&damaged), None, "{damaged}");
        }
    }
}
