//! A message from the MTA: one record for all its recipients.

use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::id::{AccountId, BlobId, MailboxId, OperationId, Timestamp};
use redoubt_log::record::{
    Actor, Arrival, Change, Deliver, DeliverCaptured, DomainSettings, Done, Flags, MAX_CHANGES,
    Recipient, Rejection, SpecialUse,
};

use super::propose::answer;
use super::{DeliveryRecipient, Envelope, Inner, MailboxPath, StoreError, WriteError};
use crate::ingest::{Ingest, Taken};
use crate::mailbox::INBOX;
use crate::spool::{Settled, Spool};
use crate::view::View;

/// A recipient takes at most some 60 octets of a record: so many fit with room to spare.
const RECIPIENTS: usize = MAX_CHANGES;

impl Inner {
    pub(super) async fn deliver(
        &self,
        actor: &Actor,
        envelope: Envelope,
        trace: Bytes,
        content: Spool,
        recipients: Vec<DeliveryRecipient>,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        let content = content.settle().await?;
        // What is found here stays until the record that names it is applied.
        let _using = self.blobs.using();
        let job = Job { ingest: self.ingest.clone(), envelope, trace, content, recipients };
        let storage = self.storage.clone();
        let view = move || View::new(Arc::new(storage.snapshot()?));
        let prepare = move || job.prepare(&view()?);
        let records = self.work(prepare).await??;
        let mut answers = Vec::new();
        for record in records {
            let change = match record.archives.is_empty() {
                true => Change::Deliver(record.deliver),
                false => Change::DeliverCaptured(record),
            };
            let outcome = self.propose(actor, OperationId::random(), change).await?;
            answers.extend(answer(outcome, |done| match done {
                Done::Delivered(answers) => Some(answers),
                _ => None,
            })?);
        }
        Ok(answers)
    }
}

/// All that is done for a delivery before it is proposed.
struct Job {
    ingest: Arc<Ingest>,
    envelope: Envelope,
    trace: Bytes,
    content: Settled,
    recipients: Vec<DeliveryRecipient>,
}

impl Job {
    fn prepare(mut self, view: &View) -> Result<Vec<DeliverCaptured>, WriteError> {
        let bytes = self.content.read(&self.trace)?;
        let taken = self.ingest.take(&bytes, self.trace.len())?;
        let envelope = self.ingest.salted(&self.envelope_text()?)?;
        let recipients = self
            .recipients
            .iter()
            .map(|recipient| self.recipient(view, &taken, recipient))
            .collect::<Result<Vec<_>, StoreError>>()?;
        let accounts = recipients.iter().map(|recipient| recipient.account);
        let archives = view.archives_of_delivered(accounts)?.into_iter().collect();
        Ok(split(taken.message, envelope, recipients, archives))
    }

    fn recipient(
        &self,
        view: &View,
        taken: &Taken,
        to: &DeliveryRecipient,
    ) -> Result<Recipient, StoreError> {
        let settings = settings_of(view, to)?;
        let data = &taken.message.original.0;
        let operation = settings
            .retry_recognised
            .then(|| self.ingest.keys.delivery(&self.envelope.sender, &to.address, data));
        let junk = settings.junk_header.is_some_and(|rule| taken.is_junk(&rule));
        Ok(Recipient {
            account: to.account,
            mailbox: mailbox_for(view, to, junk)?,
            operation,
            flags: Flags::NONE,
            keywords: Vec::new(),
        })
    }

    /// The SMTP envelope as JSON: format.md, "Envelope".
    fn envelope_text(&self) -> Result<Vec<u8>, WriteError> {
        let recipients: Vec<_> = self.recipients.iter().map(|to| to.address.as_str()).collect();
        let Envelope { sender, parameters, client_name, client_address, tls } = &self.envelope;
        let text = serde_json::json!({
            "sender": sender, "parameters": parameters, "recipients": recipients,
            "client_name": client_name, "client_address": client_address, "tls": tls,
        });
        serde_json::to_vec(&text).map_err(|error| WriteError::Invalid(error.to_string()))
    }
}

fn settings_of(view: &View, to: &DeliveryRecipient) -> Result<DomainSettings, StoreError> {
    let Some(account) = view.account(to.account)? else { return Ok(DomainSettings::default()) };
    let domain = view.domain(&account.address.domain)?;
    Ok(domain.map(|domain| domain.settings).unwrap_or_default())
}

/// Where a message goes; `apply` takes INBOX when that is gone.
fn mailbox_for(view: &View, to: &DeliveryRecipient, junk: bool) -> Result<MailboxId, StoreError> {
    let wished = match (&to.detail, junk) {
        (_, true) => junk_mailbox(view, to)?,
        (Some(detail), false) => named(view, to, detail)?,
        (None, false) => None,
    };
    Ok(wished.unwrap_or(INBOX))
}

fn junk_mailbox(view: &View, to: &DeliveryRecipient) -> Result<Option<MailboxId>, StoreError> {
    let mailboxes = view.mailboxes(to.account)?;
    let junk = mailboxes.iter().find(|m| m.special_use == Some(SpecialUse::Junk) && m.selectable);
    Ok(junk.map(|mailbox| mailbox.id))
}

fn named(
    view: &View,
    to: &DeliveryRecipient,
    detail: &str,
) -> Result<Option<MailboxId>, StoreError> {
    let Ok(path) = MailboxPath::parse(detail) else { return Ok(None) };
    let mailbox = view.mailbox_named(to.account, &path.to_string())?;
    Ok(mailbox.filter(|mailbox| mailbox.selectable).map(|mailbox| mailbox.id))
}

fn split(
    message: redoubt_log::record::Message,
    envelope: BlobId,
    recipients: Vec<Recipient>,
    archives: Vec<AccountId>,
) -> Vec<DeliverCaptured> {
    let received = Timestamp::now();
    let record = |recipients: &[Recipient]| DeliverCaptured {
        deliver: Deliver {
            message: message.clone(),
            received,
            envelope,
            recipients: recipients.to_vec(),
        },
        archives: archives.clone(),
    };
    // Each recipient and each archive is one change of a record.
    let together = RECIPIENTS.saturating_sub(archives.len()).max(1);
    recipients.chunks(together).map(record).collect()
}
