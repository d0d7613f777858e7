//! SORT and UID SORT (RFC 5256 section 3), with RETURN (RFC 5267 section 3, RFC 5182) and the
//! display names of RFC 5957.

use redoubt_log::id::ModSeq;
use redoubt_store::search::{SortCriterion, SortKey, Sorting};

use super::arrange::{Asked, Gathered, gather};
use super::{relevancy, saved};
use crate::imap::encode::{Found, esearch, numbers, search_end, sort_begin};
use crate::imap::reply::{Answer, Reply, Trouble};
use crate::imap::session::{Session, blocking};
use crate::imap::types::{Numbering, Search, SearchReturn, Sort, Tag};

/// Numbers that are written at one time.
const PIECE: usize = 4096;

/// What was found, in the order that was asked for.
#[derive(Debug, Default)]
struct Ordered {
    numbers: Vec<u32>,
    modseqs: Vec<ModSeq>,
}

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
    saved::keep(session, returns, search.numbering, &ordered.numbers)?;
    match returns {
        None => {
            let modseq = ordered.modseqs.iter().max().copied().filter(|_| asks_modseq);
            tell(session, &ordered.numbers, modseq).await?;
        }
        Some(returns) if !returns.tells() => {}
        Some(returns) => {
            let modseq = ordered.modseq(returns).filter(|_| asks_modseq);
            let scores = scores(session, &search, &ordered.numbers).await?;
            let found = Found { relevancy: scores.as_deref(), ..ordered.found(returns, modseq) };
            esearch(session.conn.output(), tag, search.numbering, &found);
        }
    }
    Ok(Reply::ok("SORT done"))
}

async fn order(
    session: &Session,
    search: &Search,
    criteria: &[SortCriterion],
) -> Result<Ordered, Trouble> {
    let wanted = Asked {
        headers: criteria.iter().any(|criterion| criterion.asks_header()),
        relevancy: criteria.iter().any(|criterion| criterion.key == SortKey::Relevancy),
    };
    let all = gather(session, search.key.clone(), wanted, Sorting::new(criteria)).await?;
    let (order, all) = blocking(move || Ok((all.arranged.order(), all))).await?;
    let selected = session.selected()?;
    let mut ordered = Ordered::default();
    let Gathered { uids, modseqs, .. } = &all;
    for at in order {
        let at = at as usize;
        let (Some(uid), Some(modseq)) = (uids.get(at), modseqs.get(at)) else { continue };
        let number = match search.numbering {
            Numbering::Uid => Some(uid.get()),
            Numbering::Sequence => selected.number(*uid),
        };
        ordered.numbers.extend(number);
        ordered.modseqs.extend(number.map(|_| *modseq));
    }
    Ok(ordered)
}

/// RELEVANCY, in the order that SORT made.
async fn scores(
    session: &Session,
    search: &Search,
    ordered: &[u32],
) -> Result<Option<Vec<u8>>, Trouble> {
    let mut rising = ordered.to_vec();
    rising.sort_unstable();
    let Some(scores) = relevancy::told(session, search, &rising).await? else { return Ok(None) };
    let score = |number: &u32| {
        let at = rising.binary_search(number).ok();
        at.and_then(|at| scores.get(at)).copied().unwrap_or(1)
    };
    Ok(Some(ordered.iter().map(score).collect()))
}

impl Ordered {
    /// RFC 5267 section 3.1: MIN and MAX are the first and the last in the order.
    fn found(&self, returns: SearchReturn, modseq: Option<ModSeq>) -> Found<'_> {
        let count = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        Found {
            min: self.numbers.first().copied().filter(|_| returns.min),
            max: self.numbers.last().copied().filter(|_| returns.max),
            count: returns.count.then_some(count),
            all: returns.all.then_some(self.numbers.as_slice()),
            relevancy: None,
            modseq,
        }
    }

    /// As of SEARCH (RFC 7162 section 3.1.10).
    fn modseq(&self, returns: SearchReturn) -> Option<ModSeq> {
        let SearchReturn { min, max, all, count, .. } = returns;
        if all || count {
            return self.modseqs.iter().max().copied();
        }
        let first = self.modseqs.first().filter(|_| min);
        first.max(self.modseqs.last().filter(|_| max)).copied()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_and_max_are_of_the_order() {
        let ordered =
            Ordered { numbers: vec![9, 2, 5], modseqs: vec![ModSeq(1), ModSeq(8), ModSeq(3)] };
        let both = SearchReturn { min: true, max: true, ..SearchReturn::default() };
        let found = ordered.found(both, None);
        assert_eq!((found.min, found.max, found.count, found.all), (Some(9), Some(5), None, None));
        assert_eq!(ordered.modseq(both), Some(ModSeq(3)));
        let all = SearchReturn { all: true, ..both };
        assert_eq!(ordered.found(all, None).all, Some(&[9, 2, 5][..]));
        assert_eq!(ordered.modseq(all), Some(ModSeq(8)));
        assert_eq!(Ordered::default().modseq(both), None);
    }
}
