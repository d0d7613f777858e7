//! SORT and UID SORT (RFC 5256 section 3), with RETURN (RFC 5267 section 3, RFC 5182, RFC 9394) and the
//! display names of RFC 5957.

use redoubt_log::id::{ModSeq, Uid};
use redoubt_store::search::{SortCriterion, SortKey, ranked};

use super::arrange::{Asked, Gathered, gather, stopping};
use super::results::Results;
use super::{relevancy, saved};
use crate::imap::encode::{Found, esearch, numbers, search_end, sort_begin};
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::session::{Session, blocking};
use crate::imap::types::{Numbering, Search, Sort, Tag};

/// Numbers that are written at one time.
const PIECE: usize = 4096;

/// Sorts messages of the session's snapshot.
pub(crate) async fn run(session: &mut Session, tag: &Tag, asked: Sort) -> Answer {
    session.selected()?;
    let Sort { search, criteria } = asked;
    let asks_modseq = search.key.asks_modseq();
    if asks_modseq {
        session.enable_condstore();
    }
    let returns = search.returns;
    let ordered = match order(session, &search, &criteria).await {
        Ok(ordered) => ordered,
        Err(trouble) => return Err(saved::forget(session, returns, trouble)),
    };
    saved::keep(session, returns, search.numbering, &ordered)?;
    match returns {
        None => {
            let modseq = ordered.highest().filter(|_| asks_modseq);
            tell(session, &ordered.numbers, modseq).await?;
        }
        Some(returns) if !returns.tells() => {}
        Some(returns) => {
            let modseq = ordered.modseq(returns).filter(|_| asks_modseq);
            let scores = relevancy::told(session, &search, &ordered).await?;
            let found = Found { relevancy: scores.as_deref(), modseq, ..ordered.found(returns) };
            esearch(session.conn.output(), tag, search.numbering, &found);
        }
    }
    Ok(Reply::ok("SORT done"))
}

async fn order(
    session: &Session,
    search: &Search,
    criteria: &[SortCriterion],
) -> Result<Results, Trouble> {
    let wanted = Asked {
        headers: criteria.iter().any(|criterion| criterion.asks_header()),
        relevancy: criteria.iter().any(|criterion| criterion.key == SortKey::Relevancy),
    };
    let mut all = gather(session, search.key.clone(), wanted).await?;
    all.grow(all.uids.len() * 8 * criteria.len())?;
    // Nobody waits for it any more when the server stops, or this is dropped.
    let stop = session.conn.shutdown_token().child_token();
    let _stops = stop.clone().drop_guard();
    let criteria = criteria.to_vec();
    let sorted = move || Ok((sorted(&all, &criteria, &|| stop.is_cancelled()), all));
    let (order, all) = blocking(sorted).await?;
    let order = order.ok_or_else(stopping)?;
    let selected = session.selected()?;
    let number = |uid: &Uid| match search.numbering {
        Numbering::Uid => Some(uid.get()),
        Numbering::Sequence => selected.number(*uid),
    };
    let mut ordered = Results::default();
    for at in order {
        let at = at as usize;
        let Some(number) = all.uids.get(at).and_then(number) else { continue };
        ordered.push(number, all.modseqs.get(at).copied().unwrap_or(ModSeq(0)));
    }
    Ok(ordered)
}

fn sorted(
    all: &Gathered,
    criteria: &[SortCriterion],
    is_stopped: &dyn Fn() -> bool,
) -> Option<Vec<u32>> {
    let by_text = criteria.iter().any(|criterion| criterion.asks_header());
    let sheet = if by_text { ranked(&all.sheet) } else { all.sheet.read() };
    sheet.order(&all.uids, &all.scores, criteria, is_stopped)
}

async fn tell(session: &mut Session, found: &[u32], modseq: Option<ModSeq>) -> Result<(), Trouble> {
    sort_begin(session.conn.output());
    for piece in found.chunks(PIECE) {
        numbers(session.conn.output(), piece.iter().copied());
        session.conn.relieve().await?;
    }
    search_end(session.conn.output(), modseq);
    Ok(())
}
