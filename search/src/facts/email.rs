//! One email of an account, read piece by piece.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::id::{AccountId, BlobId, HoldId, Timestamp};
use redoubt_store::mime::{Parsed, message_id, sent_date, slice};
use redoubt_store::search::Reader;

use super::texts::{self, Attachment, HeaderField, People};
use super::{
    Account, AccountFacts, Envelope, Facts, FactsError, Known, Mailbox, Source, Standing, TextWords,
};
use crate::texts::{Indexed, PartText, Texts};
use crate::words::Words;

/// What was extracted of all attachments, if all were tried.
type Extracted = Option<Arc<Vec<PartText>>>;

/// Octets of salt before an envelope.
const SALT: usize = 16;

/// An email, with what was read of it so far.
pub struct Email<'a, 'v> {
    account: &'a mut Account<'v>,
    reader: &'a dyn Reader,
    texts: &'a dyn Texts,
    known: Known,
    standings: Arc<Vec<Standing>>,
    parsed: Option<Arc<Parsed>>,
    content: Option<Bytes>,
    headers: Option<Arc<Vec<HeaderField>>>,
    people: Option<Arc<People>>,
    attachments: Option<Arc<Vec<Attachment>>>,
    extracted: Option<Extracted>,
    words: BTreeMap<Source, TextWords>,
}

impl std::fmt::Debug for Email<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Email").field("known", &self.known).finish_non_exhaustive()
    }
}

impl<'a, 'v> Email<'a, 'v> {
    /// Nothing is read yet.
    pub fn new(
        account: &'a mut Account<'v>,
        reader: &'a dyn Reader,
        texts: &'a dyn Texts,
        known: Known,
        standings: Vec<Standing>,
    ) -> Self {
        Self {
            account,
            reader,
            texts,
            known,
            standings: Arc::new(standings),
            parsed: None,
            content: None,
            headers: None,
            people: None,
            attachments: None,
            extracted: None,
            words: BTreeMap::new(),
        }
    }

    fn parsed(&mut self) -> Result<Arc<Parsed>, FactsError> {
        if let Some(parsed) = &self.parsed {
            return Ok(parsed.clone());
        }
        let parsed = self.reader.parsed(&self.known.blob)?;
        self.parsed = Some(parsed.clone());
        Ok(parsed)
    }

    fn content(&mut self) -> Result<Bytes, FactsError> {
        if let Some(content) = &self.content {
            return Ok(content.clone());
        }
        let content = self.reader.content(&self.known.blob)?;
        self.content = Some(content.clone());
        Ok(content)
    }

    fn extracted(&mut self) -> Result<Extracted, FactsError> {
        if let Some(extracted) = &self.extracted {
            return Ok(extracted.clone());
        }
        let extracted = self.texts.of(&self.known.blob)?.map(Arc::new);
        self.extracted = Some(extracted.clone());
        Ok(extracted)
    }

    fn texts(&mut self, source: Source) -> Result<Vec<Words>, FactsError> {
        Ok(match source {
            Source::Subject => vec![Words::of(&texts::subject(&*self.parsed()?))],
            Source::Header => self.headers()?.iter().map(|f| Words::of(&f.text())).collect(),
            Source::Bodies => {
                let (content, parsed) = (self.content()?, self.parsed()?);
                texts::bodies(&content, &parsed).iter().map(|text| Words::of(text)).collect()
            }
            Source::FileNames => {
                let attachments = self.attachments()?;
                let names = attachments.iter().filter_map(|attachment| attachment.name.as_deref());
                names.map(Words::of).collect()
            }
            Source::Extracted => {
                let extracted = self.extracted()?;
                let parts = extracted.iter().flat_map(|parts| parts.iter());
                parts.map(|part| Words::of(&part.extracted.text)).collect()
            }
        })
    }
}

impl Facts for Email<'_, '_> {
    fn email(&self) -> Known {
        self.known
    }

    fn standings(&mut self) -> Result<Arc<Vec<Standing>>, FactsError> {
        Ok(self.standings.clone())
    }

    fn account(&mut self) -> Result<Arc<AccountFacts>, FactsError> {
        self.account.own()
    }

    fn other_account(&mut self, id: AccountId) -> Result<Option<Arc<AccountFacts>>, FactsError> {
        self.account.any(id)
    }

    fn original(&mut self) -> Result<BlobId, FactsError> {
        let data = self.account.view().email_ever(self.account.id(), self.known.id)?;
        Ok(data.map_or(self.known.blob, |data| data.original))
    }

    fn envelope(&mut self) -> Result<Option<Arc<Envelope>>, FactsError> {
        let data = self.account.view().email_ever(self.account.id(), self.known.id)?;
        let Some(blob) = data.and_then(|data| data.envelope) else { return Ok(None) };
        let octets = self.reader.content(&blob)?;
        let text = octets.get(SALT..).unwrap_or_default();
        let read = serde_json::from_slice(text).map_err(|_| FactsError::Envelope(self.known.id))?;
        Ok(Some(Arc::new(read)))
    }

    fn people(&mut self) -> Result<Arc<People>, FactsError> {
        if let Some(people) = &self.people {
            return Ok(people.clone());
        }
        let people = Arc::new(People::of(&self.parsed()?.envelope));
        self.people = Some(people.clone());
        Ok(people)
    }

    fn sent(&mut self) -> Result<Option<Timestamp>, FactsError> {
        let parsed = self.parsed()?;
        let date = parsed.envelope.date.as_deref().and_then(sent_date);
        Ok(date.map(|date| date.time))
    }

    fn message_id(&mut self) -> Result<Option<String>, FactsError> {
        let parsed = self.parsed()?;
        let id = match &parsed.header {
            Some(header) => message_id(header),
            None => message_id(slice(&self.content()?, parsed.structure.header)),
        };
        Ok(id.map(|id| String::from_utf8_lossy(&id).into_owned()))
    }

    fn attachments(&mut self) -> Result<Arc<Vec<Attachment>>, FactsError> {
        if let Some(attachments) = &self.attachments {
            return Ok(attachments.clone());
        }
        let attachments = Arc::new(texts::attachments(&*self.parsed()?));
        self.attachments = Some(attachments.clone());
        Ok(attachments)
    }

    fn headers(&mut self) -> Result<Arc<Vec<HeaderField>>, FactsError> {
        if let Some(headers) = &self.headers {
            return Ok(headers.clone());
        }
        let (content, parsed) = (self.content()?, self.parsed()?);
        let headers = Arc::new(texts::headers(&content, &parsed));
        self.headers = Some(headers.clone());
        Ok(headers)
    }

    fn words(&mut self, source: Source) -> Result<TextWords, FactsError> {
        if let Some(words) = self.words.get(&source) {
            return Ok(words.clone());
        }
        let words = Arc::new(self.texts(source)?);
        self.words.insert(source, words.clone());
        Ok(words)
    }

    fn extraction(&mut self) -> Result<Indexed, FactsError> {
        match texts::extractable(&*self.parsed()?) {
            true => Ok(Indexed::of(self.extracted()?.as_deref().map(Vec::as_slice))),
            false => Ok(Indexed::All),
        }
    }

    fn holds(&mut self) -> Result<Vec<HoldId>, FactsError> {
        Ok(self.account.holds_over(self.known.id)?)
    }

    fn moved_from(&mut self) -> Result<Arc<Vec<Mailbox>>, FactsError> {
        Ok(Arc::new(self.account.moved_from(self.known.id)?))
    }

    fn is_alone(&mut self) -> Result<bool, FactsError> {
        Ok(self.account.is_alone(self.known.id, self.known.thread)?)
    }
}
