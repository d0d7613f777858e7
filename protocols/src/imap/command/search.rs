//! SEARCH and UID SEARCH (RFC 9051 section 6.4.4), with RETURN (RFC 4731), SAVE (RFC 5182) and
//! MODSEQ (RFC 7162).

use std::sync::Arc;

use redoubt_log::id::{AccountId, ModSeq, Timestamp, Uid};
use redoubt_search::index::Narrowed;
use redoubt_store::mailstore::{MailboxRef, Mailstore, StoreError};
use redoubt_store::search::{Candidate, Query, Scope};
use redoubt_store::uids::UidSet;
use redoubt_store::view::View;

use super::narrow::{Few, narrow};
use super::{relevancy, saved};
use crate::imap::encode::{Found, esearch, search};
use crate::imap::reply::{Answer, End, Reply, Trouble};
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::types::{Numbering, Search, SearchReturn, Tag};
use crate::imap::updates::placements;

/// Messages judged at one time by what a view says of them.
const PAGE: usize = 2000;
/// Messages judged at one time where they have to be opened.
const PAGE_OPENED: usize = 32;
/// The same where an index knows what most of them hold.
const PAGE_KNOWN: usize = 500;

/// What was found, rising.
#[derive(Debug, Default)]
pub(super) struct Hits {
    pub(super) numbers: Vec<u32>,
    first: ModSeq,
    last: ModSeq,
    highest: ModSeq,
}

impl Hits {
    fn push(&mut self, number: u32, modseq: ModSeq) {
        if self.numbers.is_empty() {
            self.first = modseq;
        }
        self.numbers.push(number);
        self.last = modseq;
        self.highest = self.highest.max(modseq);
    }

    /// The MODSEQ that the answer has (RFC 7162 section 3.1.10): with only MIN or MAX asked for,
    /// that of the messages they name.
    fn modseq(&self, returns: SearchReturn) -> ModSeq {
        match returns {
            SearchReturn { all: true, .. } | SearchReturn { count: true, .. } => self.highest,
            SearchReturn { min: true, max: true, .. } => self.first.max(self.last),
            SearchReturn { min: true, .. } => self.first,
            SearchReturn { max: true, .. } => self.last,
            _ => self.highest,
        }
    }
}

/// Looks through the messages of the session's snapshot.
pub(crate) async fn run(session: &mut Session, tag: &Tag, asked: Search) -> Answer {
    session.selected()?;
    let asks_modseq = asked.key.asks_modseq();
    if asks_modseq {
        session.enable_condstore();
    }
    let hits = match find(session, &asked).await {
        Ok(hits) => hits,
        Err(trouble) => return Err(saved::forget(session, asked.returns, trouble)),
    };
    saved::keep(session, asked.returns, asked.numbering, &hits.numbers)?;
    let scores = relevancy::told(session, &asked, &hits.numbers).await?;
    let modseq = asks_modseq && !hits.numbers.is_empty();
    let out = session.conn.output();
    match asked.returns {
        None => {
            let modseq = modseq.then_some(hits.highest);
            search(out, hits.numbers.iter().copied(), modseq);
        }
        Some(returns) if !returns.tells() => {}
        Some(returns) => {
            let modseq = modseq.then(|| hits.modseq(returns));
            let found = Found { relevancy: scores.as_deref(), ..found(&hits, returns, modseq) };
            esearch(out, tag, asked.numbering, &found);
        }
    }
    Ok(Reply::ok("SEARCH done"))
}

fn found(hits: &Hits, returns: SearchReturn, modseq: Option<ModSeq>) -> Found<'_> {
    let numbers = &hits.numbers;
    let count = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    Found {
        min: numbers.first().copied().filter(|_| returns.min),
        max: numbers.last().copied().filter(|_| returns.max),
        count: returns.count.then_some(count),
        all: returns.all.then_some(numbers.as_slice()),
        relevancy: None,
        modseq,
    }
}

pub(super) async fn find(session: &Session, asked: &Search) -> Result<Hits, Trouble> {
    let selected = session.selected()?;
    let scope = scope(selected);
    let query = Query::new(&asked.key, &scope).with_saved(selected.saved().clone());
    let query = Arc::new(query);
    let Few { uids, known } = narrow(session, &query, candidates(selected, &query)).await?;
    let size = match query.opens_messages() {
        true if known.settles() => PAGE_KNOWN,
        true => PAGE_OPENED,
        false => PAGE,
    };
    let mut hits = Hits::default();
    for page in uids.chunks(size) {
        // Between pages: a long search must not keep the server from stopping.
        if session.conn.is_shutting_down() {
            return Err(End::Bye("The server is shutting down".into()).into());
        }
        let judge = Judge {
            store: session.imap.store.clone(),
            query: query.clone(),
            known: known.clone(),
            mailbox: selected.mailbox,
            reader: selected.reader,
            snapshot: selected.uids().clone(),
            recent: selected.recent().clone(),
            uids: page.to_vec(),
        };
        for (uid, sequence, modseq) in session.read_selected(move |view| judge.page(view)).await? {
            let number = match asked.numbering {
                Numbering::Sequence => sequence,
                Numbering::Uid => uid.get(),
            };
            hits.push(number, modseq);
        }
    }
    Ok(hits)
}

/// What a search in this mailbox counts from.
pub(super) fn scope(selected: &Selected) -> Scope {
    Scope {
        highest_sequence: selected.exists(),
        highest_uid: selected.uids().last().map_or(0, Uid::get),
        now: Timestamp::now(),
    }
}

/// The messages that can match at all.
fn candidates(selected: &Selected, query: &Query) -> Vec<Uid> {
    let uids = selected.uids();
    if let Some(saved) = query.saved() {
        return saved.iter().collect();
    }
    if let Some(ranges) = query.uids() {
        let bounds = |range: &std::ops::RangeInclusive<u32>| {
            Uid::new(*range.start()).zip(Uid::new(*range.end()))
        };
        return ranges.iter().filter_map(bounds).flat_map(|(a, b)| uids.range(a, b)).collect();
    }
    if let Some(ranges) = query.sequences() {
        let bounds = |range: &std::ops::RangeInclusive<u32>| {
            let last = (*range.end()).min(selected.exists());
            uids.select(*range.start()).zip(uids.select(last))
        };
        return ranges.iter().filter_map(bounds).flat_map(|(a, b)| uids.range(a, b)).collect();
    }
    uids.iter().collect()
}

/// One page of a search.
struct Judge {
    store: Mailstore,
    query: Arc<Query>,
    known: Arc<Narrowed>,
    mailbox: MailboxRef,
    reader: AccountId,
    snapshot: Arc<UidSet>,
    recent: Arc<UidSet>,
    uids: Vec<Uid>,
}

impl Judge {
    fn page(&self, view: &View) -> Result<Vec<(Uid, u32, ModSeq)>, StoreError> {
        let mut found = Vec::new();
        for placement in placements(view, self.mailbox, self.reader, &self.uids)? {
            let Some(sequence) = self.snapshot.rank(placement.uid) else { continue };
            let recent = self.recent.contains(placement.uid);
            let candidate = Candidate { placement, sequence, recent };
            if self.query.matches_hinted(&self.store, &candidate, &*self.known)? {
                let placement = &candidate.placement;
                found.push((placement.uid, sequence, placement.modseq));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits() -> Hits {
        let mut hits = Hits::default();
        for (number, modseq) in [(2, 7), (5, 9), (6, 3)] {
            hits.push(number, ModSeq(modseq));
        }
        hits
    }

    #[test]
    fn modseq_is_that_of_what_is_told() {
        let returns = |min, max, count| SearchReturn { min, max, count, ..SearchReturn::default() };
        assert_eq!(hits().modseq(returns(true, false, false)), ModSeq(7));
        assert_eq!(hits().modseq(returns(false, true, false)), ModSeq(3));
        assert_eq!(hits().modseq(returns(true, true, false)), ModSeq(7));
        assert_eq!(hits().modseq(returns(true, false, true)), ModSeq(9));
    }

    #[test]
    fn only_what_was_asked_for_is_told() {
        let hits = hits();
        let min = found(&hits, SearchReturn { min: true, ..SearchReturn::default() }, None);
        assert_eq!((min.min, min.max, min.count, min.all), (Some(2), None, None, None));
        let nothing = Hits::default();
        let all =
            SearchReturn { min: true, max: true, all: true, count: true, ..Default::default() };
        let none = found(&nothing, all, None);
        assert_eq!((none.min, none.max, none.count), (None, None, Some(0)));
    }
}
