//! THREAD (RFC 5256 section 3): ORDEREDSUBJECT and REFERENCES.
//!
//! All siblings are ordered by sent date and sequence number, and so are threads, by their first
//! message. So messages are ranked once, and every tree is built by going through them by rank:
//! nothing is sorted again.

mod forest;
mod gather;
mod references;
mod trees;

use std::collections::HashMap;

use redoubt_log::id::Timestamp;

pub use self::forest::{Forest, Step, Walk};
use self::references::References;
use self::trees::NONE;
use super::TooMuch;
use crate::mime::{Outline, Print};

/// How messages are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThreadAlgorithm {
    /// Those of one base subject: the first, and all others below it.
    OrderedSubject,
    /// By Message-ID, References and In-Reply-To, and then by base subject.
    References,
}

/// Messages in the order of their sequence numbers, and what threads them.
#[derive(Debug)]
pub struct Threading {
    messages: Vec<Message>,
    /// Base subjects by number; the empty one is 0.
    subjects: HashMap<Print, u32>,
    references: Option<References>,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    sent: Timestamp,
    subject: u32,
    reply: bool,
}

impl Threading {
    /// Nothing yet.
    pub fn new(algorithm: ThreadAlgorithm) -> Self {
        let by_references = algorithm == ThreadAlgorithm::References;
        Self {
            messages: Vec::new(),
            subjects: HashMap::from([(Print::of(b""), 0)]),
            references: by_references.then(References::default),
        }
    }

    /// Adds the message of the next sequence number; `received` is its INTERNALDATE.
    ///
    /// # Errors
    /// The messages name too many others.
    pub fn push(&mut self, received: Timestamp, outline: &Outline) -> Result<(), TooMuch> {
        let next = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        let subject = *self.subjects.entry(Print::of(outline.subject.as_bytes())).or_insert(next);
        let sent = outline.sent.unwrap_or(received);
        self.messages.push(Message { sent, subject, reply: outline.reply });
        match &mut self.references {
            Some(references) => references.push(outline.id, &outline.references),
            None => Ok(()),
        }
    }

    /// What it takes in memory, about, with what the threads take.
    pub fn memory(&self) -> usize {
        let references = self.references.as_ref().map_or(0, References::memory);
        self.messages.len() * 40 + self.subjects.len() * 40 + references
    }

    /// The threads. Takes time, as sorting does.
    pub fn finish(self) -> Forest {
        let ranked = self.ranked();
        let count = u32::try_from(self.messages.len()).unwrap_or(NONE);
        let parents = match self.references {
            Some(references) => gather::gather(&self.messages, &ranked, references.parents(count)),
            None => by_subject(&self.messages, &ranked),
        };
        Forest::new(count, &ranked, &parents)
    }

    /// By sent date, then by sequence number (RFC 5256 section 2.2).
    fn ranked(&self) -> Vec<u32> {
        let count = u32::try_from(self.messages.len()).unwrap_or(NONE);
        let mut ranked: Vec<u32> = (0..count).collect();
        ranked.sort_by_key(|at| self.messages.get(*at as usize).map(|message| message.sent));
        ranked
    }
}

/// ORDEREDSUBJECT: below the first of each subject all others.
fn by_subject(messages: &[Message], ranked: &[u32]) -> Vec<u32> {
    let mut firsts: HashMap<u32, u32> = HashMap::new();
    let mut parents = vec![NONE; messages.len()];
    for at in ranked {
        let Some(message) = messages.get(*at as usize) else { continue };
        let first = *firsts.entry(message.subject).or_insert(*at);
        if let Some(parent) = parents.get_mut(*at as usize).filter(|_| first != *at) {
            *parent = first;
        }
    }
    parents
}
