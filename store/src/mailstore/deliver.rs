//! A message from the MTA: one record for all its recipients.

use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::id::{AccountId, BlobId, MailboxId, OperationId, Timestamp};
use redoubt_log::record::{
    Actor, Arrival, Capture, Change, Deliver, DeliverCaptured, DomainSettings, Done, Flags,
    MAX_CHANGES, Recipient, Rejection, SpecialUse,
};
use serde_json::Value;

use super::capture::of_journal;
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
        let Prepared { records, journals } = self.work(prepare).await??;
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
        // From the first to the last: so each gets its place among the others' answers.
        for (place, record) in journals {
            let answer = self.capture(actor, record).await?.into_iter().next();
            answers.insert(place.min(answers.len()), answer.unwrap_or(Err(Rejection::Archive)));
        }
        Ok(answers)
    }
}

/// What is proposed for a delivery.
struct Prepared {
    records: Vec<DeliverCaptured>,
    /// Journal reports to archive accounts, with the places of these recipients.
    journals: Vec<(usize, Capture)>,
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
    fn prepare(mut self, view: &View) -> Result<Prepared, WriteError> {
        let bytes = self.content.read(&self.trace)?;
        let journals = self.journals(view, &bytes)?;
        let records = match journals.len() == self.recipients.len() {
            true => Vec::new(),
            false => self.records(view, &bytes, &journals)?,
        };
        Ok(Prepared { records, journals })
    }

    /// What goes to archive accounts that take journal reports.
    fn journals(&self, view: &View, bytes: &[u8]) -> Result<Vec<(usize, Capture)>, WriteError> {
        let mut found = Vec::new();
        for (place, to) in self.recipients.iter().enumerate() {
            if view.takes_journals(to.account)? {
                let (content, to) = ((bytes, self.trace.len()), (to.account, to.address.as_str()));
                found.push((place, of_journal(&self.ingest, &self.envelope, content, to)?));
            }
        }
        Ok(found)
    }

    fn records(
        &self,
        view: &View,
        bytes: &[u8],
        journals: &[(usize, Capture)],
    ) -> Result<Vec<DeliverCaptured>, WriteError> {
        let taken = self.ingest.take(bytes, self.trace.len())?;
        let envelope = self.ingest.salted(&encoded(&self.envelope_text())?)?;
        let is_journal = |place: usize| journals.iter().any(|(journal, _)| *journal == place);
        let others = self.recipients.iter().enumerate().filter(|(place, _)| !is_journal(*place));
        let recipients = others
            .map(|(_, recipient)| self.recipient(view, &taken, recipient))
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

    fn envelope_text(&self) -> Value {
        envelope_of(&self.envelope, self.recipients.iter().map(|to| to.address.as_str()))
    }
}

/// The SMTP envelope as JSON: format.md, "Envelope".
pub(super) fn envelope_of<'a>(
    envelope: &Envelope,
    recipients: impl Iterator<Item = &'a str>,
) -> Value {
    let Envelope { sender, parameters, client_name, client_address, tls } = envelope;
    let recipients: Vec<&str> = recipients.collect();
    serde_json::json!({
        "sender": sender, "parameters": parameters, "recipients": recipients,
        "client_name": client_name, "client_address": client_address, "tls": tls,
    })
}

/// An envelope's octets.
pub(super) fn encoded(text: &Value) -> Result<Vec<u8>, WriteError> {
    serde_json::to_vec(text).map_err(|error| WriteError::Invalid(error.to_string()))
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
