//! What an index answers, segment by segment: the emails that match for sure, and those that may.

use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redoubt_log::id::{AccountId, EmailId, Sequence};
use redoubt_store::search::{FuzzyWord, casemap};
use roaring::RoaringBitmap;
use tantivy::columnar::Column;
use tantivy::postings::{Postings, SegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocSet, InvertedIndexReader, SegmentReader, TERMINATED};

use super::flat::Flat;
use super::nearly;
use super::schema::{Code, Fields, PARTIAL, READ, UNREAD, account_term, is_odd, ordinal};
use super::tokens::{self, Lie, Sought};
use crate::ask::{Ask, Field, Needle};
use crate::words;

/// Terms of one token up to which positions are compared.
const MOST_TERMS: usize = 2000;
/// Terms that are like a word, up to which they are looked up.
const MOST_LIKE: usize = 20_000;
/// Documents that have a term are looked up one by one where it is in so many times as many.
const MANY: usize = 8;

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

/// A document, and where in it: rising.
type Place = (u32, u32);

/// The terms of a segment that stand in one code, as one stretch.
type Flats<'a> = &'a dyn Fn(Code) -> Result<Arc<Flat>, ReadError>;

/// One segment, as one account's query reads it.
pub(super) struct Segment<'a> {
    reader: &'a SegmentReader,
    flat: Flats<'a>,
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
        flat: Flats<'a>,
    ) -> Result<Self, ReadError> {
        let inverted = reader.inverted_index(fields.terms)?;
        let empty = RoaringBitmap::new();
        let mut segment =
            Self { reader, flat, inverted, stale, all: empty.clone(), partial: empty };
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
        // tantivy takes what ends before the first value for the first value.
        let from = column.min_value().max(*range.start());
        let range = from..=column.max_value().min(*range.end());
        if range.is_empty() {
            return Ok(Sets::default());
        }
        let mut found = Vec::new();
        column.get_docids_for_value_range(range, 0..self.reader.max_doc(), &mut found);
        Ok(Sets::exact(docs & found.into_iter().collect::<RoaringBitmap>()))
    }

    fn text(&self, fields: &[Field], needle: &Needle) -> Result<Sets, ReadError> {
        let codes: Vec<Code> = fields.iter().map(|field| Code::of(*field)).collect();
        let sets = match needle {
            Needle::Casemapped(text) => self.substring(&codes, text)?,
            Needle::Fuzzy(text) => self.fuzzy(&codes, text)?,
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
            let found = self.in_a_row(*code, &needle)?;
            let found = match code.whole().filter(|_| !needle.told) {
                Some(whole) => self.in_values(*code, whole, &needle, found)?,
                None => found,
            };
            sets = sets.or(&found);
        }
        Ok(sets)
    }

    /// All words in one of these places.
    fn fuzzy(&self, codes: &[Code], text: &str) -> Result<Sets, ReadError> {
        let words = FuzzyWord::all(text);
        let mut sets = Sets::default();
        for code in codes {
            let flat = (self.flat)(*code)?;
            let mut all_terms = Vec::new();
            for terms in words.iter().flat_map(|word| nearly::terms(&flat, word)) {
                if terms.len() <= MOST_LIKE {
                    all_terms.push(self.known(&terms)?);
                }
            }
            sets = sets.or(&Sets::unknown(self.having_all(&all_terms)?));
        }
        Ok(sets)
    }

    /// Whole values that hold a needle tell, but in documents with values too long for that.
    fn in_values(
        &self,
        code: Code,
        whole: Code,
        needle: &tokens::Needle,
        found: Sets,
    ) -> Result<Sets, ReadError> {
        let sought = Sought { token: needle.mapped.clone(), lie: Lie::Within };
        let sure = self.having(&self.terms(whole, &sought)?)? & &self.all;
        let long = self.docs_of(code.long().as_bytes())? & found.may;
        Ok(Sets { may: &sure | &long, sure })
    }

    /// Documents in which terms of a needle's tokens follow each other as they do in it.
    fn in_a_row(&self, code: Code, needle: &tokens::Needle) -> Result<Sets, ReadError> {
        let found = needle.tokens.iter().map(|token| self.terms(code, token));
        let mut found = found.collect::<Result<Vec<_>, _>>()?;
        let docs = self.having_all(&found)?;
        let countless = found.iter().any(|terms| terms.len() > MOST_TERMS);
        let sets = |docs| if needle.told { Sets::exact(docs) } else { Sets::unknown(docs) };
        match found.len() {
            0 | 1 => return Ok(sets(docs)),
            _ if docs.is_empty() || needle.cut || countless => return Ok(Sets::unknown(docs)),
            _ => {}
        }
        let rest = found.split_off(1);
        let mut places = match found.first() {
            Some(terms) => self.places(terms, &docs)?,
            None => Vec::new(),
        };
        for (terms, plain) in rest.iter().zip(&needle.plain) {
            let docs = documents(&places);
            places = behind(&places, self.places(terms, &docs)?, *plain);
        }
        Ok(sets(documents(&places)))
    }

    /// The account's documents that have one of each of these terms; all, where none is asked for.
    fn having_all(&self, all_terms: &[Vec<TermInfo>]) -> Result<RoaringBitmap, ReadError> {
        let mut order: Vec<&Vec<TermInfo>> = all_terms.iter().collect();
        order.sort_by_key(|terms| count(terms));
        let Some((first, rest)) = order.split_first() else { return Ok(self.all.clone()) };
        let mut docs = self.having(first)? & &self.all;
        for terms in rest {
            let few = (docs.len() as usize).saturating_mul(MANY) < count(terms);
            docs = match few {
                true => self.having_among(terms, &docs)?,
                false => self.having(terms)? & docs,
            };
        }
        Ok(docs)
    }

    fn having(&self, terms: &[TermInfo]) -> Result<RoaringBitmap, ReadError> {
        let mut docs = RoaringBitmap::new();
        self.add_docs(terms, &mut docs)?;
        Ok(docs)
    }

    fn having_among(
        &self,
        terms: &[TermInfo],
        docs: &RoaringBitmap,
    ) -> Result<RoaringBitmap, ReadError> {
        let mut having = RoaringBitmap::new();
        self.each_among(terms, docs, IndexRecordOption::Basic, &mut |doc, _| {
            having.insert(doc);
        })?;
        Ok(having)
    }

    /// Where terms stand in some documents, rising.
    fn places(&self, terms: &[TermInfo], docs: &RoaringBitmap) -> Result<Vec<Place>, ReadError> {
        let (mut found, mut here) = (Vec::new(), Vec::new());
        let option = IndexRecordOption::WithFreqsAndPositions;
        self.each_among(terms, docs, option, &mut |doc, postings| {
            postings.positions(&mut here);
            found.extend(here.iter().map(|at| (doc, *at)));
        })?;
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Shows the postings of terms at each of some documents that have them.
    fn each_among(
        &self,
        terms: &[TermInfo],
        docs: &RoaringBitmap,
        option: IndexRecordOption,
        see: &mut dyn FnMut(u32, &mut SegmentPostings),
    ) -> Result<(), ReadError> {
        for term in terms {
            let mut postings = self.inverted.read_postings_from_terminfo(term, option)?;
            for doc in docs {
                if postings.doc() < doc {
                    postings.seek(doc);
                }
                if postings.doc() == doc {
                    see(doc, &mut postings);
                }
            }
        }
        Ok(())
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
                let flat = (self.flat)(code)?;
                self.known(&flat.holding(&sought.token, lie == Lie::End))?
            }
        })
    }

    fn known(&self, terms: &[&[u8]]) -> io::Result<Vec<TermInfo>> {
        let dictionary = self.inverted.terms();
        let known = terms.iter().map(|term| dictionary.get(term));
        known.filter_map(io::Result::transpose).collect()
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

    /// The emails of documents.
    pub(super) fn emails(&self, docs: &RoaringBitmap) -> Result<Vec<EmailId>, ReadError> {
        let ids = Ids::open(self.reader)?;
        docs.iter()
            .map(|doc| ids.email(doc).ok_or(ReadError::Odd("a document of no email")))
            .collect()
    }
}

/// Documents of some terms, or more.
fn count(terms: &[TermInfo]) -> usize {
    terms.iter().map(|term| term.doc_freq as usize).sum()
}

/// The documents of places.
fn documents(places: &[Place]) -> RoaringBitmap {
    places.iter().map(|(doc, _)| *doc).collect()
}

/// Those of some places that are next behind others.
fn behind(before: &[Place], mut here: Vec<Place>, plain: bool) -> Vec<Place> {
    here.retain(|(doc, at)| {
        let Some(wanted) = ordinal(*at).checked_sub(1) else { return false };
        let first = before.partition_point(|(d, p)| (*d, ordinal(*p)) < (*doc, wanted));
        let there = before.get(first).is_some_and(|(d, p)| (*d, ordinal(*p)) == (*doc, wanted));
        there && is_odd(*at) != plain
    });
    here
}

/// The last places of tokens that follow each other, of the places of each.
#[cfg(test)]
pub(super) fn in_a_row(all: Vec<Vec<Place>>, plain: &[bool]) -> Vec<Place> {
    let mut all = all.into_iter();
    let first = all.next().unwrap_or_default();
    all.zip(plain).fold(first, |before, (here, plain)| behind(&before, here, *plain))
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
