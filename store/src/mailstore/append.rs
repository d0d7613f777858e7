//! Messages that a client or an import brings: all or none, in one record.

use redoubt_log::id::{OperationId, Timestamp};
use redoubt_log::record::{
    Actor, Append, AppendItem, Arrival, Change, Done, MAX_CHANGES, Rejection,
};

use super::propose::answer;
use super::{Inner, MailboxRef, NewMessage, WriteError};

impl Inner {
    pub(super) async fn append(
        &self,
        actor: &Actor,
        to: MailboxRef,
        items: Vec<NewMessage>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        if items.len() > MAX_CHANGES {
            return Err(WriteError::Invalid(format!(
                "{} messages in one APPEND; all or none are appended, and at most {MAX_CHANGES} \
                 can be so at one time",
                items.len()
            )));
        }
        let _using = self.blobs.using();
        let mut taken = Vec::with_capacity(items.len());
        for item in items {
            taken.push(self.take_item(item).await?);
        }
        let append = Append { account: to.account, mailbox: to.mailbox, items: taken };
        let outcome = self.propose(actor, OperationId::random(), Change::Append(append)).await?;
        answer(outcome, |done| match done {
            Done::Arrived(answers) => Some(answers),
            _ => None,
        })
    }

    /// One after the other: each waits for its room in memory holding none.
    async fn take_item(&self, item: NewMessage) -> Result<AppendItem, WriteError> {
        let mut content = item.content.settle().await?;
        let ingest = self.ingest.clone();
        let take = move || ingest.take(&content.read(b"")?, 0);
        let message = self.work(take).await??.message;
        Ok(AppendItem {
            message,
            received: item.received.unwrap_or_else(Timestamp::now),
            flags: item.flags,
            keywords: item.keywords,
            uid: item.uid,
            operation: item.operation,
        })
    }
}
