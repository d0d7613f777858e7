//! RELEVANCY (RFC 6203 section 4): how well messages match that were found.

use std::sync::Arc;

use redoubt_log::id::Uid;
use redoubt_store::mailstore::StoreError;
use redoubt_store::search::Query;

use super::results::Results;
use super::search;
use crate::imap::reply::{End, Trouble};
use crate::imap::session::Session;
use crate::imap::types::{Numbering, Search, SearchKey};
use crate::imap::updates::placements;

/// Messages that are looked into at one time.
const PAGE: usize = 32;

/// For each of what was found, or of the page that is told, in its order, if that is asked for.
pub(super) async fn told(
    session: &Session,
    asked: &Search,
    results: &Results,
) -> Result<Option<Vec<u8>>, Trouble> {
    let Some(returns) = asked.returns.filter(|returns| returns.relevancy) else { return Ok(None) };
    let selected = session.selected()?;
    let uid = |number: &u32| match asked.numbering {
        Numbering::Uid => Uid::new(*number),
        Numbering::Sequence => selected.uids().select(*number),
    };
    let told: Vec<Uid> = results.scored(returns).iter().filter_map(uid).collect();
    let mut rising = told.clone();
    rising.sort_unstable();
    let scores = of(session, &asked.key, &rising).await?;
    let score = |uid: &Uid| {
        let at = rising.binary_search(uid).ok();
        at.and_then(|at| scores.get(at)).copied().unwrap_or(1)
    };
    Ok(Some(told.iter().map(score).collect()))
}

/// From 1 to 100 for each of these (rising); 1 for what is gone or cannot be read.
pub(super) async fn of(
    session: &Session,
    key: &SearchKey,
    uids: &[Uid],
) -> Result<Vec<u8>, Trouble> {
    let selected = session.selected()?;
    let query = Arc::new(Query::new(key, &search::scope(selected)));
    let (mailbox, reader) = (selected.mailbox, selected.reader);
    let mut scores = Vec::with_capacity(uids.len());
    for page in uids.chunks(PAGE) {
        if session.conn.is_shutting_down() {
            return Err(End::Bye("The server is shutting down".into()).into());
        }
        let (query, store, page) = (query.clone(), session.imap.store.clone(), page.to_vec());
        let judged = session.read_selected(move |view| {
            let there = placements(view, mailbox, reader, &page)?;
            let score = |uid: &Uid| match there.iter().find(|placement| placement.uid == *uid) {
                Some(placement) => match query.relevancy(&store, &placement.blob) {
                    Err(StoreError::Blob(..)) => Ok(1),
                    score => score,
                },
                None => Ok(1),
            };
            page.iter().map(score).collect::<Result<Vec<u8>, StoreError>>()
        });
        scores.extend(judged.await?);
    }
    Ok(scores)
}
