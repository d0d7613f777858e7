//! RELEVANCY (RFC 6203 section 4): how well a message that matches holds what FUZZY asks for.

use redoubt_log::id::BlobId;

use super::Reader;
use super::evaluate::header_score;
use super::fuzzy::BEST;
use super::query::{Node, Query};
use super::texts::header_text;
use crate::mailstore::StoreError;
use crate::mime::{Parsed, part_text, slice};

/// What a message's texts are worth.
struct Worth<'a> {
    header: &'a [u8],
    /// For each needle.
    needles: Vec<u8>,
}

impl Query {
    /// From 1 to 100: the mean of what all fuzzy strings are worth that have to be there, the
    /// best of those of which one has to. 100 where nothing is fuzzy.
    ///
    /// # Errors
    /// When the message cannot be read.
    pub fn relevancy(&self, reader: &impl Reader, blob: &BlobId) -> Result<u8, StoreError> {
        if !self.root.is_fuzzy(self) {
            return Ok(BEST);
        }
        let parsed = reader.parsed(blob)?;
        let opens = !self.needles.is_empty() || parsed.header.is_none();
        let content = if opens { Some(reader.content(blob)?) } else { None };
        let worth = Worth {
            header: match (&content, &parsed.header) {
                (Some(content), _) => slice(content, parsed.structure.header),
                (None, header) => header.as_deref().unwrap_or_default(),
            },
            needles: content.as_deref().map(|c| self.worth(c, &parsed)).unwrap_or_default(),
        };
        Ok(self.root.worth(self, &worth).unwrap_or(BEST).clamp(1, BEST))
    }

    fn worth(&self, content: &[u8], parsed: &Parsed) -> Vec<u8> {
        let mut worth = vec![0; self.needles.len()];
        for part in parsed.structure.walk() {
            self.add_worth(&header_text(slice(content, part.header)), true, &mut worth);
            let leaf = part.children.is_empty() && part.message.is_none();
            if let Some(text) = part_text(content, part).filter(|_| leaf) {
                self.add_worth(&text, false, &mut worth);
            }
        }
        worth
    }

    fn add_worth(&self, text: &str, is_header: bool, worth: &mut [u8]) {
        for (needle, worth) in self.needles.iter().zip(worth) {
            if let Some(words) = needle.words.as_ref().filter(|_| needle.headers || !is_header) {
                *worth = (*worth).max(words.score(text));
            }
        }
    }
}

impl Node {
    fn is_fuzzy(&self, query: &Query) -> bool {
        match self {
            Self::And(nodes) | Self::Or(nodes) => nodes.iter().any(|node| node.is_fuzzy(query)),
            Self::Leaf(_, node) => node.is_fuzzy(query),
            Self::FuzzyHeader { .. } => true,
            Self::Content(at) => query.needles.get(*at).is_some_and(|n| n.words.is_some()),
            _ => false,
        }
    }

    /// `None` where nothing is fuzzy. What must not be there is worth nothing.
    fn worth(&self, query: &Query, of: &Worth<'_>) -> Option<u8> {
        match self {
            Self::And(nodes) => {
                let all: Vec<u8> = nodes.iter().filter_map(|n| n.worth(query, of)).collect();
                let sum: usize = all.iter().map(|worth| usize::from(*worth)).sum();
                sum.checked_div(all.len()).and_then(|mean| u8::try_from(mean).ok())
            }
            Self::Or(nodes) => nodes.iter().filter_map(|node| node.worth(query, of)).max(),
            Self::Leaf(_, node) => node.worth(query, of),
            Self::FuzzyHeader { name, words } => Some(header_score(of.header, name, words)),
            Self::Content(at) if self.is_fuzzy(query) => of.needles.get(*at).copied(),
            _ => None,
        }
    }
}
