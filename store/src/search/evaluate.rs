//! Whether a message matches, asked in the cheapest order: of its placement,
//! then of its header, and only if that does not settle it of its text.

use std::ops::RangeInclusive;

use redoubt_log::id::Timestamp;

use super::casemap::casemap;
use super::fuzzy::Words;
use super::query::{Node, Query};
use super::texts::header_text;
use super::{Candidate, Hints, NoHints, Reader};
use crate::mailstore::StoreError;
use crate::mime::{Parsed, decode_words, fields, part_text, sent_date, slice};
use crate::uids::UidSet;
use crate::view::Placement;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// What is known of a message so far.
struct Known<'a> {
    candidate: &'a Candidate,
    parsed: Option<&'a Parsed>,
    header: Option<&'a [u8]>,
    /// Which of the query's needles its text holds.
    found: Option<&'a [bool]>,
    /// What was known before the message was opened.
    hints: &'a dyn Hints,
    saved: &'a UidSet,
}

impl Query {
    /// Whether one message matches; asks `reader` for no more than that takes.
    ///
    /// # Errors
    /// When the message cannot be read.
    pub fn matches(&self, reader: &impl Reader, candidate: &Candidate) -> Result<bool, StoreError> {
        self.matches_hinted(reader, candidate, &NoHints)
    }

    /// The same, where an index knows of some leaves.
    ///
    /// # Errors
    /// When the message cannot be read.
    pub fn matches_hinted(
        &self,
        reader: &impl Reader,
        candidate: &Candidate,
        hints: &dyn Hints,
    ) -> Result<bool, StoreError> {
        let saved = &self.saved;
        let mut known = Known { candidate, parsed: None, header: None, found: None, hints, saved };
        if let Some(answer) = self.root.judge(&known) {
            return Ok(answer);
        }
        let parsed = reader.parsed(&candidate.placement.blob)?;
        known.parsed = Some(&parsed);
        known.header = parsed.header.as_deref();
        if let Some(answer) = self.root.judge(&known) {
            return Ok(answer);
        }
        let content = reader.content(&candidate.placement.blob)?;
        known.header = Some(slice(&content, parsed.structure.header));
        let found = self.found(&content, &parsed);
        known.found = Some(&found);
        // Everything is known now: there is an answer.
        Ok(self.root.judge(&known).unwrap_or(false))
    }

    /// Decodes the message's text once, one part after the other, and looks for
    /// every needle in it.
    fn found(&self, content: &[u8], parsed: &Parsed) -> Vec<bool> {
        let mut found = vec![false; self.needles.len()];
        for part in parsed.structure.walk() {
            if self.needles.iter().zip(&found).any(|(needle, found)| needle.headers && !found) {
                self.look(&header_text(slice(content, part.header)), true, &mut found);
            }
            if found.iter().all(|found| *found) {
                break;
            }
            let leaf = part.children.is_empty() && part.message.is_none();
            if let Some(text) = part_text(content, part).filter(|_| leaf) {
                self.look(&text, false, &mut found);
            }
        }
        found
    }

    fn look(&self, text: &str, is_header: bool, found: &mut [bool]) {
        let mapped = casemap(text);
        for (needle, found) in self.needles.iter().zip(found) {
            if !*found && (needle.headers || !is_header) {
                *found = match &needle.words {
                    Some(words) => words.score(text) > 0,
                    None => needle.finder.find(mapped.as_bytes()).is_some(),
                };
            }
        }
    }
}

/// How well one field of this name holds the words.
pub(super) fn header_score(header: &[u8], name: &str, words: &Words) -> u8 {
    let named = fields(header).filter(|field| field.is(name.as_bytes()));
    named.map(|field| words.score(&decode_words(field.value))).max().unwrap_or(0)
}

impl Node {
    /// `None` when what is known does not settle it.
    fn judge(&self, known: &Known<'_>) -> Option<bool> {
        let placement = &known.candidate.placement;
        match self {
            Self::And(nodes) => all(nodes.iter().map(|node| node.judge(known))),
            Self::Or(nodes) => {
                all(nodes.iter().map(|node| node.judge(known).map(|a| !a))).map(|a| !a)
            }
            Self::Not(node) => node.judge(known).map(|answer| !answer),
            Self::FuzzyHeader { .. } | Self::Content(_) => self.judge_content(known),
            Self::Leaf(leaf, node) => {
                known.hints.of(*leaf, placement.email).or_else(|| node.judge_content(known))
            }
            Self::Sequence(ranges) => Some(within(ranges, known.candidate.sequence)),
            Self::Recent => Some(known.candidate.recent),
            Self::InSaved => Some(known.saved.contains(placement.uid)),
            node => Some(node.placed(placement)),
        }
    }

    fn judge_content(&self, known: &Known<'_>) -> Option<bool> {
        match self {
            Self::Sent(days) => known.parsed.map(|parsed| sent_within(parsed, days)),
            Self::Header { name, finder } => known.header.map(|header| {
                let mut named = fields(header).filter(|field| field.is(name.as_bytes()));
                named.any(|f| finder.find(casemap(&decode_words(f.value)).as_bytes()).is_some())
            }),
            Self::FuzzyHeader { name, words } => {
                known.header.map(|header| header_score(header, name, words) > 0)
            }
            Self::Content(needle) => known.found.and_then(|found| found.get(*needle).copied()),
            node => node.judge(known),
        }
    }

    fn placed(&self, placement: &Placement) -> bool {
        match self {
            Self::Always(answer) => *answer,
            Self::Uid(ranges) => within(ranges, placement.uid.get()),
            Self::Flags(flags) => placement.flags.contains(*flags),
            Self::Keyword(keyword) => {
                placement.keywords.iter().any(|have| have.eq_ignore_ascii_case(keyword))
            }
            Self::Received(days) => days.contains(&day(placement.received)),
            Self::Saved(days) => days.contains(&day(placement.saved)),
            Self::Instant(times) => times.contains(&placement.received.0),
            Self::Size(sizes) => sizes.contains(&placement.size),
            Self::ModSeq(least) => placement.modseq >= *least,
            Self::Email(id) => placement.email == *id,
            Self::Thread(id) => placement.thread == *id,
            // All others are judged above.
            _ => false,
        }
    }
}

/// False if one is, and unknown if one is and none is false.
fn all(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut settled = true;
    for answer in answers {
        match answer {
            Some(false) => return Some(false),
            Some(true) => {}
            None => settled = false,
        }
    }
    settled.then_some(true)
}

/// INTERNALDATE and SAVEDATE are judged by their day in UTC.
fn day(time: Timestamp) -> i64 {
    time.0.div_euclid(DAY)
}

/// A message without a Date that can be read was sent on no day.
fn sent_within(parsed: &Parsed, days: &RangeInclusive<i64>) -> bool {
    let date = parsed.envelope.date.as_deref().and_then(sent_date);
    date.is_some_and(|date| days.contains(&date.days()))
}

fn within(ranges: &[RangeInclusive<u32>], number: u32) -> bool {
    let at = ranges.partition_point(|range| *range.end() < number);
    ranges.get(at).is_some_and(|range| range.contains(&number))
}
