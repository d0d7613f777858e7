//! What an index answers, segment by segment: the emails that match for sure, and those that may.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use memchr::memmem::Finder;
use redoubt_log::id::{AccountId, EmailId, Sequence};
use redoubt_store::search::casemap;
use roaring::RoaringBitmap;
use tantivy::columnar::Column;
use tantivy::postings::{Postings, TermInfo};
use tantivy::schema::{IndexRecordOption, Value};
use tantivy::store::StoreReader;
use tantivy::{DocSet, InvertedIndexReader, SegmentReader, TERMINATED, TantivyDocument};

use super::document::SEPARATOR;
use super::flat::Flat;
use super::schema::{Code, Fields, PARTIAL, READ, UNREAD, account_term};
use super::tokens::{self, Lie, Sought};
use crate::ask::{Ask, Field, Needle};
use crate::words;

/// Terms of one token up to which positions are compared before texts are read.
const MOST_TERMS: usize = 2000;
/// Texts read between looks at whether the index is being closed.
const TEXTS: usize = 256;

/// Why there is no answer from an index.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    /// tantivy says so.
    #[error(transparent)]
    Tantivy(#[from] tantivy::TantivyError),
    /// A file cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What is there goes first.
    #[error("what is there is damaged ({0}) and goes first")]
    Damaged(String),
    /// What is read does not fit together.
    #[error("{0}")]
    Odd(&'static str),
}

/// Documents of a segment. Invariant: `sure` is within `may`; what is not in `may` does not match.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Sets {
    pub(super) sure: RoaringBitmap,
    pub(super) may: RoaringBitmap,
}

impl Sets {
    fn exact(docs: RoaringBitmap) -> Self {
        Self { sure: docs.clone(), may: docs }
    }

    fn unknown(docs: RoaringBitmap) -> Self {
        Self { sure: RoaringBitmap::new(), may: docs }
    }

    fn and(mut self, other: &Self) -> Self {
        self.sure &= &other.sure;
        self.may &= &other.may;
        self
    }

    fn or(mut self, other: &Self) -> Self {
        self.sure |= &other.sure;
        self.may |= &other.may;
        self
    }

    fn not(self, all: &RoaringBitmap) -> Self {
        Self { sure: all - &self.may, may: all - &self.sure }
    }
}

/// One segment, as one account's query reads it.
pub(super) struct Segment<'a> {
    reader: &'a SegmentReader,
    fields: Fields,
    flat: &'a dyn Fn() -> Result<Arc<Flat>, ReadError>,
    closing: &'a AtomicBool,
    inverted: Arc<InvertedIndexReader>,
    /// Whether what was extracted was so by another extractor.
    stale: bool,
    /// The account's documents.
    all: RoaringBitmap,
    /// Those of them that hold more than is indexed.
    partial: RoaringBitmap,
}

impl<'a> Segment<'a> {
    /// `whole` where all documents are the account's, `stale` where what they have of attachments
    /// is not to be believed.
    pub(super) fn open(
        reader: &'a SegmentReader,
        fields: Fields,
        account: AccountId,
        whole: bool,
        stale: bool,
        flat: &'a dyn Fn() -> Result<Arc<Flat>, ReadError>,
        closing: &'a AtomicBool,
    ) -> Result<Self, ReadError> {
        let inverted = reader.inverted_index(fields.terms)?;
        let empty = RoaringBitmap::new();
        let mut segment = Self {
            reader,
            fields,
            flat,
            closing,
            inverted,
            stale,
            all: empty.clone(),
            partial: empty,
        };
        let mut all = RoaringBitmap::new();
        match whole {
            true => drop(all.insert_range(0..reader.max_doc())),
            false => all = segment.docs_of(account_term(account).as_bytes())?,
        }
        if let Some(alive) = reader.alive_bitset() {
            all = all.into_iter().filter(|doc| alive.is_alive(*doc)).collect();
        }
        segment.partial = segment.docs_of(PARTIAL.as_bytes())? & &all;
        segment.all = all;
        Ok(segment)
    }

    /// What matches.
    pub(super) fn answer(&self, ask: &Ask) -> Result<Sets, ReadError> {
        if self.all.is_empty() {
            return Ok(Sets::default());
        }
        match ask {
            Ask::All => Ok(Sets::unknown(self.all.clone())),
            Ask::Nothing => Ok(Sets::default()),
            Ask::Text { fields, needle } => self.text(fields, needle),
            Ask::Received(from, to) => {
                self.within("received", *from..=to.saturating_sub(1), &self.all)
            }
            Ask::Sent(from, to) => {
                let whole = &self.all - &self.partial;
                let sets = self.within("sent", *from..=to.saturating_sub(1), &whole)?;
                Ok(sets.or(&Sets::unknown(self.partial.clone())))
            }
            Ask::And(asks) => {
                let mut sets = Sets::exact(self.all.clone());
                for ask in asks {
                    sets = sets.and(&self.answer(ask)?);
                }
                Ok(sets)
            }
            Ask::Or(asks) => {
                let mut sets = Sets::default();
                for ask in asks {
                    sets = sets.or(&self.answer(ask)?);
                }
                Ok(sets)
            }
            Ask::Not(ask) => Ok(self.answer(ask)?.not(&self.all)),
        }
    }

    fn within(
        &self,
        column: &str,
        range: RangeInclusive<i64>,
        docs: &RoaringBitmap,
    ) -> Result<Sets, ReadError> {
        let column = self.reader.fast_fields().i64(column)?;
        let is_in = |doc: &u32| column.first(*doc).is_some_and(|value| range.contains(&value));
        Ok(Sets::exact(docs.iter().filter(is_in).collect()))
    }

    fn text(&self, fields: &[Field], needle: &Needle) -> Result<Sets, ReadError> {
        let codes: Vec<Code> = fields.iter().map(|field| Code::of(*field)).collect();
        let sets = match needle {
            Needle::Casemapped(text) => self.substring(&codes, text)?,
            Needle::Substring(text) => self.words(&codes, text, Lie::Within)?,
            Needle::Word(text) => self.words(&codes, text, Lie::Whole)?,
            Needle::Prefix(text) => self.words(&codes, text, Lie::Start)?,
            Needle::Suffix(text) => self.words(&codes, text, Lie::End)?,
            Needle::Phrase(texts) => {
                let mut sets = Sets::unknown(self.all.clone());
                for text in texts {
                    sets = sets.and(&self.words(&codes, text, Lie::Whole)?);
                }
                sets
            }
        };
        let mut unread = self.partial.clone();
        if fields.contains(&Field::Extracted) {
            unread |= self.docs_of(UNREAD.as_bytes())? & &self.all;
            // There are no texts of attachments to look for substrings in.
            if self.stale || matches!(needle, Needle::Casemapped(_)) {
                unread |= self.docs_of(READ.as_bytes())? & &self.all;
            }
        }
        Ok(sets.or(&Sets::unknown(unread)))
    }

    /// Words without accents, as the query language has them. Who asks for some confirms.
    fn words(&self, codes: &[Code], text: &str, lie: Lie) -> Result<Sets, ReadError> {
        let mut found = Vec::new();
        words::each(text, &mut |word, _| found.push(word.to_owned()));
        let last = found.len().saturating_sub(1);
        let mut sets = Sets::unknown(self.all.clone());
        for (at, word) in found.iter().enumerate() {
            let lie = match lie {
                Lie::Start if at < last => Lie::Whole,
                Lie::End if at > 0 => Lie::Whole,
                Lie::Within if last > 0 => match at {
                    0 => Lie::End,
                    at if at == last => Lie::Start,
                    _ => Lie::Whole,
                },
                lie => lie,
            };
            sets = sets.and(&Sets::unknown(self.word(codes, word, lie)?));
        }
        Ok(sets)
    }

    fn word(&self, codes: &[Code], word: &str, lie: Lie) -> Result<RoaringBitmap, ReadError> {
        let mut docs = RoaringBitmap::new();
        for code in codes {
            let plain = Sought { token: word.to_owned(), lie };
            self.add_docs(&self.terms(code.plain(), &plain)?, &mut docs)?;
            if word.is_ascii() {
                let mapped = Sought { token: word.to_ascii_uppercase(), lie };
                self.add_docs(&self.terms(*code, &mapped)?, &mut docs)?;
            }
        }
        Ok(docs & &self.all)
    }

    fn substring(&self, codes: &[Code], text: &str) -> Result<Sets, ReadError> {
        let needle = tokens::needle(&casemap(text));
        let mut sets = Sets::default();
        for code in codes {
            let found = match needle.tokens.as_slice() {
                [] => Sets::unknown(self.all.clone()),
                [token] => {
                    let mut docs = RoaringBitmap::new();
                    self.add_docs(&self.terms(*code, token)?, &mut docs)?;
                    let docs = docs & &self.all;
                    if needle.told_by_terms { Sets::exact(docs) } else { Sets::unknown(docs) }
                }
                tokens => Sets::unknown(self.following(*code, tokens)?),
            };
            sets = sets.or(&found);
        }
        self.confirmed(codes, &needle.mapped, sets)
    }

    /// Documents in which terms of these tokens follow each other.
    fn following(&self, code: Code, tokens: &[Sought]) -> Result<RoaringBitmap, ReadError> {
        let mut docs = self.all.clone();
        let mut all_terms = Vec::with_capacity(tokens.len());
        for token in tokens {
            let terms = self.terms(code, token)?;
            let mut having = RoaringBitmap::new();
            self.add_docs(&terms, &mut having)?;
            docs &= having;
            all_terms.push(terms);
        }
        if docs.is_empty() || all_terms.iter().any(|terms| terms.len() > MOST_TERMS) {
            return Ok(docs);
        }
        let mut ends: Option<Vec<(u32, u32)>> = None;
        for terms in &all_terms {
            let here = self.positions(terms, &docs)?;
            ends = Some(match ends {
                None => here,
                Some(ends) => here
                    .into_iter()
                    .filter(|(doc, at)| {
                        at.checked_sub(1)
                            .is_some_and(|before| ends.binary_search(&(*doc, before)).is_ok())
                    })
                    .collect(),
            });
        }
        Ok(ends.unwrap_or_default().into_iter().map(|(doc, _)| doc).collect())
    }

    /// Where terms stand in some documents, rising.
    fn positions(
        &self,
        terms: &[TermInfo],
        docs: &RoaringBitmap,
    ) -> Result<Vec<(u32, u32)>, ReadError> {
        let (mut found, mut here) = (Vec::new(), Vec::new());
        for term in terms {
            let option = IndexRecordOption::WithFreqsAndPositions;
            let mut postings = self.inverted.read_postings_from_terminfo(term, option)?;
            while postings.doc() != TERMINATED {
                if docs.contains(postings.doc()) {
                    postings.positions(&mut here);
                    found.extend(here.iter().map(|at| (postings.doc(), *at)));
                }
                postings.advance();
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// The terms that a token may lie in.
    fn terms(&self, code: Code, sought: &Sought) -> Result<Vec<TermInfo>, ReadError> {
        let dictionary = self.inverted.terms();
        let mut key = vec![code.0];
        key.extend_from_slice(sought.token.as_bytes());
        Ok(match sought.lie {
            Lie::Whole => dictionary.get(&key)?.into_iter().collect(),
            Lie::Start => {
                let mut end = key.clone();
                // Above all text that goes on behind the key.
                end.push(0xff);
                let mut stream = dictionary.range().ge(&key).lt(&end).into_stream()?;
                let mut terms = Vec::new();
                while stream.advance() {
                    terms.push(stream.value().clone());
                }
                terms
            }
            lie => {
                let flat = (self.flat)()?;
                let found = flat.holding(code, &sought.token, lie == Lie::End).into_iter();
                let known = found.map(|term| dictionary.get(term));
                known.filter_map(io::Result::transpose).collect::<io::Result<_>>()?
            }
        })
    }

    fn docs_of(&self, term: &[u8]) -> Result<RoaringBitmap, ReadError> {
        let mut docs = RoaringBitmap::new();
        let terms: Vec<TermInfo> = self.inverted.terms().get(term)?.into_iter().collect();
        self.add_docs(&terms, &mut docs)?;
        Ok(docs)
    }

    fn add_docs(&self, terms: &[TermInfo], docs: &mut RoaringBitmap) -> Result<(), ReadError> {
        for term in terms {
            let mut postings =
                self.inverted.read_postings_from_terminfo(term, IndexRecordOption::Basic)?;
            if terms.len() == 1 {
                let rising = std::iter::from_fn(|| {
                    let doc = postings.doc();
                    postings.advance();
                    (doc != TERMINATED).then_some(doc)
                });
                *docs |= RoaringBitmap::from_sorted_iter(rising)
                    .map_err(|_| ReadError::Odd("documents of a term do not rise"))?;
                continue;
            }
            while postings.doc() != TERMINATED {
                docs.insert(postings.doc());
                postings.advance();
            }
        }
        Ok(())
    }

    /// What may match is looked up in its text: then it does or does not, unless not all of the
    /// text is there.
    fn confirmed(&self, codes: &[Code], mapped: &str, sets: Sets) -> Result<Sets, ReadError> {
        let open = &sets.may - &sets.sure;
        if open.is_empty() || mapped.contains([SEPARATOR, '\u{fffe}']) {
            return Ok(sets);
        }
        let store = self.reader.get_store_reader(1)?;
        let finder = Finder::new(mapped.as_bytes());
        let Sets { mut sure, mut may } = sets;
        for (read, doc) in open.iter().enumerate() {
            if read % TEXTS == 0 && self.closing.load(Ordering::Relaxed) {
                break;
            }
            match self.holds(&store, doc, codes, &finder)? {
                true => sure.insert(doc),
                false => may.remove(doc),
            };
        }
        Ok(Sets { sure, may })
    }

    fn holds(
        &self,
        store: &StoreReader,
        doc: u32,
        codes: &[Code],
        finder: &Finder<'_>,
    ) -> Result<bool, ReadError> {
        let document: TantivyDocument = store.get(doc)?;
        let text = document.get_first(self.fields.text);
        let text = text.and_then(|value| value.as_bytes());
        let text = text.ok_or(ReadError::Odd("a document without a text"))?;
        let text = std::str::from_utf8(text).map_err(|_| ReadError::Odd("a text is no UTF-8"))?;
        Ok(text.split(SEPARATOR).any(|text| {
            let Some((code, text)) = text.split_at_checked(1) else { return false };
            codes.iter().any(|wanted| code.as_bytes() == [wanted.0])
                && finder.find(text.as_bytes()).is_some()
        }))
    }

    /// The emails of documents.
    pub(super) fn emails(&self, docs: &RoaringBitmap) -> Result<Vec<EmailId>, ReadError> {
        let ids = Ids::open(self.reader)?;
        docs.iter()
            .map(|doc| ids.email(doc).ok_or(ReadError::Odd("a document of no email")))
            .collect()
    }
}

/// The emails of an account in a segment whose documents have one of these terms.
pub(super) fn emails_having(
    reader: &SegmentReader,
    fields: Fields,
    account: AccountId,
    terms: &[&str],
) -> Result<Vec<EmailId>, ReadError> {
    let (inverted, ids) = (reader.inverted_index(fields.terms)?, Ids::open(reader)?);
    let mut emails = Vec::new();
    for term in terms {
        let Some(term) = inverted.terms().get(term)? else { continue };
        let mut postings = inverted.read_postings_from_terminfo(&term, IndexRecordOption::Basic)?;
        while postings.doc() != TERMINATED {
            let doc = postings.doc();
            let is_alive = reader.alive_bitset().is_none_or(|alive| alive.is_alive(doc));
            if is_alive && ids.account(doc) == Some(account) {
                emails.extend(ids.email(doc));
            }
            postings.advance();
        }
    }
    Ok(emails)
}

/// Which email each document is of.
pub(super) struct Ids {
    account: Column<u64>,
    sequence: Column<u64>,
    ordinal: Column<u64>,
}

impl Ids {
    pub(super) fn open(reader: &SegmentReader) -> Result<Self, ReadError> {
        let fast = reader.fast_fields();
        let (account, sequence) = (fast.u64("account")?, fast.u64("sequence")?);
        Ok(Self { account, sequence, ordinal: fast.u64("ordinal")? })
    }

    /// How many documents there are.
    pub(super) fn count(&self) -> u32 {
        self.account.num_docs()
    }

    pub(super) fn email(&self, doc: u32) -> Option<EmailId> {
        let sequence = Sequence(self.sequence.first(doc)?);
        Some(EmailId { sequence, ordinal: u32::try_from(self.ordinal.first(doc)?).ok()? })
    }

    pub(super) fn account(&self, doc: u32) -> Option<AccountId> {
        self.account.first(doc).map(AccountId)
    }
}
