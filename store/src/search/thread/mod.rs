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

use redoubt_log::id::{Timestamp, Uid};

pub use self::forest::{Forest, Step, Walk};
use self::references::References;
use self::trees::NONE;
use super::TooMuch;
use super::sheet::{Links, Sheet};

/// How messages are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ThreadAlgorithm {
    /// Those of one base subject: the first, and all others below it.
    OrderedSubject,
    /// By Message-ID, References and In-Reply-To, and then by base subject.
    References,
}

/// Messages that are threaded without asking whether to stop.
const STRETCH: usize = 8192;

/// Messages in the order of their sequence numbers, and what threads them.
#[derive(Debug)]
struct Threading {
    messages: Vec<Message>,
    references: Option<References>,
}

#[derive(Debug, Clone, Copy)]
struct Message {
    sent: Timestamp,
    /// 0 is the empty one.
    subject: u32,
    reply: bool,
}

impl Sheet {
    /// The threads of messages of the sheet (rising, all of them [`Sheet::standing`] with their
    /// heads), each named by its place among them. `None` if it was stopped, which is asked now
    /// and then.
    ///
    /// # Errors
    /// The messages name too many others.
    pub fn thread(
        &self,
        uids: &[Uid],
        algorithm: ThreadAlgorithm,
        is_stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Forest>, TooMuch> {
        let rows = self.rows(uids, true);
        let by_references = algorithm == ThreadAlgorithm::References;
        let mut threading = Threading {
            messages: Vec::with_capacity(rows.len()),
            references: by_references.then(|| References::new(self.ids(), rows.len())),
        };
        for stretch in rows.chunks(STRETCH) {
            if is_stopped() {
                return Ok(None);
            }
            stretch.iter().try_for_each(|row| threading.push(self.links(*row)))?;
        }
        Ok(if is_stopped() { None } else { Some(threading.finish()) })
    }

    /// What threading so many messages takes in memory, about.
    pub fn threading_memory(&self, messages: usize) -> usize {
        let nodes = self.ids() + messages;
        messages * 64 + nodes * references::NODE
    }
}

impl Threading {
    fn push(&mut self, links: Links<'_>) -> Result<(), TooMuch> {
        let Links { sent, subject, reply, own, references } = links;
        self.messages.push(Message { sent, subject, reply });
        match &mut self.references {
            Some(nodes) => nodes.push(own, references),
            None => Ok(()),
        }
    }

    /// Takes time, as sorting does.
    fn finish(self) -> Forest {
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
        let sent = self.messages.iter().map(|message| message.sent);
        let mut ranked: Vec<(Timestamp, u32)> = sent.zip(0..).collect();
        ranked.sort_unstable();
        ranked.into_iter().map(|(_, at)| at).collect()
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
