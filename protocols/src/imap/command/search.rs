//! SEARCH and UID SEARCH (RFC 9051 section 6.4.4), with RETURN (RFC 4731), SAVE (RFC 5182),
//! MODSEQ (RFC 7162) and PARTIAL (RFC 9394).

use std::sync::Arc;

use redoubt_log::id::{AccountId, ModSeq, Timestamp, Uid};
use redoubt_search::index::Narrowed;
use redoubt_store::mailstore::{MailboxRef, Mailstore, StoreError};
use redoubt_store::search::{Candidate, Query, Scope};
use redoubt_store::uids::UidSet;
use redoubt_store::view::View;

use super::narrow::{Asked, Few, narrow};
use super::results::Results;
use super::{marks, relevancy, saved};
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
/// The same where an index knows what nearly all of them hold.
const PAGE_KNOWN: usize = 500;
/// Messages of which bitmaps of the whole mailbox are read rather than each one's row.
const MANY: usize = 256;

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
    saved::keep(session, asked.returns, asked.numbering, &hits)?;
    let scores = relevancy::told(session, &asked, &hits).await?;
    let out = session.conn.output();
    match asked.returns {
        None => {
            let modseq = hits.highest().filter(|_| asks_modseq);
            search(out, hits.numbers.iter().copied(), modseq);
        }
        Some(returns) if !returns.tells() => {}
        Some(returns) => {
            let modseq = hits.modseq(returns).filter(|_| asks_modseq);
            let found = Found { relevancy: scores.as_deref(), modseq, ..hits.found(returns) };
            esearch(out, tag, asked.numbering, &found);
        }
    }
    Ok(Reply::ok("SEARCH done"))
}

/// What matches, rising; of a page that is all that is asked for no more than it needs.
pub(super) async fn find(session: &Session, asked: &Search) -> Result<Results, Trouble> {
    let selected = session.selected()?;
    let scope = scope(selected);
    let query = Query::new(&asked.key, &scope).with_saved(selected.saved().clone());
    let query = Arc::new(query);
    let Few { uids, known } = narrow(session, &query, candidates(selected, &query)).await?;
    let only_page = asked.returns.and_then(SearchReturn::only_page);
    if only_page.is_none() && uids.len() > MANY && marks::settle(&query, &asked.key) {
        return marks::find(session, query, uids, asked.numbering).await;
    }
    let size = match query.opens_messages() {
        true if known.settles() => PAGE_KNOWN,
        true => PAGE_OPENED,
        false => PAGE,
    };
    let backwards = only_page.is_some_and(|range| range.from_end);
    let pages: Box<dyn Iterator<Item = &[Uid]> + Send> = match backwards {
        true => Box::new(uids.rchunks(size)),
        false => Box::new(uids.chunks(size)),
    };
    let mut hits = Results::default();
    for page in pages {
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
        let mut found = session.read_selected(move |view| judge.page(view)).await?;
        if backwards {
            found.reverse();
        }
        for (uid, sequence, modseq) in found {
            let number = match asked.numbering {
                Numbering::Sequence => sequence,
                Numbering::Uid => uid.get(),
            };
            hits.push(number, modseq);
        }
        if only_page.is_some_and(|range| hits.numbers.len() >= range.reach()) {
            break;
        }
    }
    if backwards {
        hits.reverse();
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
fn candidates(selected: &Selected, query: &Query) -> Asked {
    let uids = selected.uids();
    if let Some(saved) = query.saved() {
        return Asked::These(saved.iter().collect());
    }
    if let Some(ranges) = query.uids() {
        let bounds = |range: &std::ops::RangeInclusive<u32>| {
            Uid::new(*range.start()).zip(Uid::new(*range.end()))
        };
        let these = ranges.iter().filter_map(bounds).flat_map(|(a, b)| uids.range(a, b));
        return Asked::These(these.collect());
    }
    if let Some(ranges) = query.sequences() {
        let bounds = |range: &std::ops::RangeInclusive<u32>| {
            let last = (*range.end()).min(selected.exists());
            uids.select(*range.start()).zip(uids.select(last))
        };
        let these = ranges.iter().filter_map(bounds).flat_map(|(a, b)| uids.range(a, b));
        return Asked::These(these.collect());
    }
    Asked::All(uids.clone())
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
