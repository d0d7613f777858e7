//! One email of an account, read piece by piece.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use redoubt_log::id::{AccountId, BlobId, Timestamp};
use redoubt_store::mime::{Parsed, message_id, sent_date, slice};
use redoubt_store::search::Reader;

use super::texts::{self, Attachment, HeaderField, People};
use super::{
    Account, AccountFacts, Envelope, Extraction, Facts, FactsError, Known, Mailbox, Source,
    Standing, Texts,
};
use crate::words::Words;

/// Octets of salt before an envelope.
const SALT: usize = 16;

/// What was extracted from an attachment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartText {
    /// The text; empty where there is none.
    pub text: String,
    /// Whether all of it was read.
    pub whole: bool,
    /// Whether anything was read: `false` of what failed, is encrypted or was left out.
    pub read: bool,
}

/// Texts of attachments, as far as they are there.
pub trait PartTexts {
    /// The text of a part of a message; `None` while it was not looked at.
    fn of(&self, message: &BlobId, part: &Attachment) -> Option<PartText>;
}

/// No attachment was ever read.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoTexts;

impl PartTexts for NoTexts {
    fn of(&self, _: &BlobId, _: &Attachment) -> Option<PartText> {
        None
    }
}

/// An email, with what was read of it so far.
pub struct Email<'a, 'v> {
    account: &'a mut Account<'v>,
    reader: &'a dyn Reader,
    texts: &'a dyn PartTexts,
    known: Known,
    standings: Arc<Vec<Standing>>,
    parsed: Option<Arc<Parsed>>,
    content: Option<Bytes>,
    headers: Option<Arc<Vec<HeaderField>>>,
    people: Option<Arc<People>>,
    attachments: Option<Arc<Vec<Attachment>>>,
    extracted: Option<Arc<Vec<Option<PartText>>>>,
    words: BTreeMap<Source, Texts>,
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
        texts: &'a dyn PartTexts,
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

    /// By attachment; the text of attached text is a body.
    fn extracted(&mut self) -> Result<Arc<Vec<Option<PartText>>>, FactsError> {
        if let Some(extracted) = &self.extracted {
            return Ok(extracted.clone());
        }
        let attachments = self.attachments()?;
        let blob = self.known.blob;
        let text = |part: &Attachment| self.texts.of(&blob, part);
        let found: Vec<Option<PartText>> = attachments.iter().map(text).collect();
        let found = Arc::new(found);
        self.extracted = Some(found.clone());
        Ok(found)
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
                extracted.iter().flatten().map(|part| Words::of(&part.text)).collect()
            }
        })
    }
}

/// Kinds of parts of which nobody expects text.
fn has_no_text(attachment: &Attachment) -> bool {
    let kind = attachment.media_type.split_once('/').map_or("", |(kind, _)| kind);
    attachment.is_text
        || !attachment.shown
        || matches!(kind, "image" | "audio" | "video" | "font" | "model")
        || matches!(attachment.media_type.as_str(), "message/rfc822" | "message/global")
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

    fn words(&mut self, source: Source) -> Result<Texts, FactsError> {
        if let Some(words) = self.words.get(&source) {
            return Ok(words.clone());
        }
        let words = Arc::new(self.texts(source)?);
        self.words.insert(source, words.clone());
        Ok(words)
    }

    fn extraction(&mut self) -> Result<Extraction, FactsError> {
        let (attachments, extracted) = (self.attachments()?, self.extracted()?);
        let mut told = Extraction::default();
        for (attachment, text) in attachments.iter().zip(extracted.iter()) {
            match text {
                _ if has_no_text(attachment) => {}
                Some(text) if text.read => told.partial |= !text.whole,
                _ => told.none = true,
            }
        }
        Ok(told)
    }

    fn moved_from(&mut self) -> Result<Arc<Vec<Mailbox>>, FactsError> {
        Ok(Arc::new(self.account.moved_from(self.known.id)?))
    }

    fn is_alone(&mut self) -> Result<bool, FactsError> {
        Ok(self.account.is_alone(self.known.id, self.known.thread)?)
    }
}
