//! What a milter shows, and what journal reports carry, on its way into archive accounts.

use std::sync::Arc;

use redoubt_log::id::{AccountId, BlobId, OperationId, Timestamp};
use redoubt_log::record::{
    Actor, Arrival, Capture, CaptureParty, CaptureSource, Change, Done, Rejection,
};
use serde_json::{Value, json};

use super::deliver::{encoded, envelope_of};
use super::propose::answer;
use super::{Envelope, Inner, Sent, StoreError, WriteError};
use crate::account::normal_domain;
use crate::ingest::{Ingest, Taken};
use crate::mime::{self, Journal};
use crate::spool::{Settled, Spool};
use crate::view::{Resolved, View};

impl Inner {
    /// Captures a message that is sent, where a rule wants that; whether one did. The rules are
    /// those of a view that no committed record is missing in.
    pub(super) async fn capture_sent(
        &self,
        actor: &Actor,
        sent: Sent,
        content: Result<Spool, WriteError>,
    ) -> Result<bool, WriteError> {
        let view = self.view().await?;
        let asked = sent.clone();
        let wanted = move || -> Result<_, StoreError> {
            let parties = parties(&view, &asked)?;
            let archives = view.archives_of_sent(&parties)?;
            Ok((parties, archives))
        };
        let (parties, archives) = self.work(wanted).await??;
        if archives.is_empty() {
            return Ok(false);
        }
        let content = content?.settle().await?;
        // What is found here stays until the record that names it is applied.
        let _using = self.blobs.using();
        let job = SentJob {
            ingest: self.ingest.clone(),
            sent,
            content,
            source: CaptureSource::Sent(parties),
            archives: archives.into_iter().collect(),
        };
        let record = self.work(move || job.record()).await??;
        for answer in self.capture(actor, record).await? {
            answer.map_err(WriteError::Rejected)?;
        }
        Ok(true)
    }

    /// Proposes a capture; an answer for each archive that the rules want.
    pub(super) async fn capture(
        &self,
        actor: &Actor,
        record: Capture,
    ) -> Result<Vec<Result<Arrival, Rejection>>, WriteError> {
        let change = Change::Capture(record);
        let outcome = self.propose(actor, OperationId::random(), change).await?;
        answer(outcome, |done| match done {
            Done::Arrived(answers) => Some(answers),
            _ => None,
        })
    }
}

/// Who of ours sends: the envelope's sender, and who has logged in to send.
fn parties(view: &View, sent: &Sent) -> Result<Vec<CaptureParty>, StoreError> {
    let mut parties = Vec::new();
    let names = [Some(&sent.envelope.sender), sent.authenticated.as_ref()];
    for name in names.into_iter().flatten().filter(|name| !name.is_empty()) {
        let domain = name.rsplit_once('@').map_or(sent.default_domain.as_str(), |(_, d)| d);
        let Some(domain) = normal_domain(domain) else { continue };
        match view.resolve(name, &sent.default_domain)? {
            Resolved::Account { account, .. } => {
                let home = account.address.domain.clone();
                parties.push(CaptureParty { account: Some(account.id), domain: home });
                parties.push(CaptureParty { account: None, domain });
            }
            Resolved::NoSuchUser => parties.push(CaptureParty { account: None, domain }),
            Resolved::NoSuchDomain | Resolved::Invalid => {}
        }
    }
    parties.sort();
    parties.dedup();
    Ok(parties)
}

struct SentJob {
    ingest: Arc<Ingest>,
    sent: Sent,
    content: Settled,
    source: CaptureSource,
    archives: Vec<AccountId>,
}

impl SentJob {
    fn record(mut self) -> Result<Capture, WriteError> {
        let bytes = self.content.read(&[])?;
        let taken = self.ingest.take(&bytes, 0)?;
        let Sent { envelope, authenticated, recipients, .. } = &self.sent;
        let mut text = envelope_of(envelope, recipients.iter().map(String::as_str));
        add(&mut text, "source", json!("milter"));
        add(&mut text, "authenticated", json!(authenticated));
        let to = format!("sent:{}", recipients.join("\0"));
        let data = &taken.message.original.0;
        let retry = self.ingest.keys.delivery(&envelope.sender, &to, data);
        Ok(Capture {
            message: taken.message,
            received: Timestamp::now(),
            envelope: self.ingest.salted(&encoded(&text)?)?,
            retry,
            source: self.source,
            archives: self.archives,
        })
    }
}

fn add(object: &mut Value, name: &str, value: Value) {
    if let (Value::Object(fields), false) = (object, value.is_null()) {
        fields.insert(name.to_owned(), value);
    }
}

/// A message that was delivered to an archive account as a journal report: the original is
/// taken out of it, or it is kept as it is.
pub(super) fn of_journal(
    ingest: &Ingest,
    envelope: &Envelope,
    (bytes, trace): (&[u8], usize),
    (archive, address): (AccountId, &str),
) -> Result<Capture, WriteError> {
    let report = bytes.get(trace..).unwrap_or_default();
    let read = mime::journal(report, &mime::parse(report));
    let (taken, text): (Taken, Value) = match &read {
        Some(Journal { original, .. }) => {
            (ingest.take(original, 0)?, reported(envelope, address, &read))
        }
        None => {
            tracing::warn!(%archive, "a journal report cannot be read; it is kept as it came");
            (ingest.take(bytes, trace)?, reported(envelope, address, &read))
        }
    };
    let data = BlobId::of(report).0;
    Ok(Capture {
        message: taken.message,
        received: Timestamp::now(),
        envelope: ingest.salted(&encoded(&text)?)?,
        retry: ingest.keys.delivery(&envelope.sender, &format!("journal:{address}"), &data),
        source: CaptureSource::Journal { parsed: read.is_some() },
        archives: vec![archive],
    })
}

/// The envelope that a report tells; that of the report itself where it does not read.
fn reported(envelope: &Envelope, address: &str, read: &Option<Journal<'_>>) -> Value {
    let Some(journal) = read else {
        let mut text = envelope_of(envelope, std::iter::once(address));
        add(&mut text, "source", json!("journal"));
        return text;
    };
    let own = Envelope { sender: journal.sender.clone(), ..envelope.clone() };
    let mut addresses: Vec<&str> = Vec::new();
    for recipient in &journal.recipients {
        if !addresses.contains(&recipient.address.as_str()) || addresses.len() > 1000 {
            addresses.push(&recipient.address);
        }
    }
    let mut text = envelope_of(&own, addresses.into_iter());
    add(&mut text, "source", json!("journal"));
    add(&mut text, "on_behalf_of", json!(journal.on_behalf_of));
    add(&mut text, "reported", json!(journal.recipients));
    text
}
