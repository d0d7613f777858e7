//! SAVE (RFC 5182): what `$` stands for from now on.

use redoubt_log::id::Uid;
use redoubt_store::uids::UidSet;

use crate::imap::reply::{Reply, Trouble};
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::types::{Numbering, SearchReturn};

/// Keeps what was found, given in its order, if it is to be kept.
///
/// # Errors
/// BAD in the wrong state.
pub(super) fn keep(
    session: &mut Session,
    returns: Option<SearchReturn>,
    numbering: Numbering,
    found: &[u32],
) -> Result<(), Reply> {
    let Some(returns) = returns.filter(|returns| returns.save) else { return Ok(()) };
    session.selected()?;
    if let Some(selected) = &mut session.selected {
        let uids = part(returns, found)
            .filter_map(|number| uid(selected, numbering, number))
            .collect::<UidSet>();
        selected.save(uids);
    }
    Ok(())
}

/// A search that was to be saved and is answered with NO leaves nothing (RFC 5182 section 2.1).
pub(super) fn forget(
    session: &mut Session,
    returns: Option<SearchReturn>,
    trouble: Trouble,
) -> Trouble {
    let asked = returns.is_some_and(|returns| returns.save);
    let refused = matches!(&trouble, Trouble::Reply(reply) if reply.is_no());
    if let Some(selected) = session.selected.as_mut().filter(|_| asked && refused) {
        selected.save(UidSet::default());
    }
    trouble
}

/// RFC 5182 section 2.4: with MIN and MAX alone only what they name is saved.
fn part(returns: SearchReturn, found: &[u32]) -> Box<dyn Iterator<Item = u32> + '_> {
    let SearchReturn { min, max, all, count, .. } = returns;
    if all || count || !(min || max) {
        return Box::new(found.iter().copied());
    }
    let first = found.first().filter(|_| min);
    let last = found.last().filter(|_| max);
    Box::new(first.into_iter().chain(last).copied())
}

fn uid(selected: &Selected, numbering: Numbering, number: u32) -> Option<Uid> {
    match numbering {
        Numbering::Sequence => selected.uids().select(number),
        Numbering::Uid => Uid::new(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn min_and_max_alone_save_what_they_name() {
        let found = [2, 5, 9];
        let none = SearchReturn { save: true, ..SearchReturn::default() };
        let saved = |returns| part(returns, &found).collect::<Vec<_>>();
        assert_eq!(saved(none), found);
        assert_eq!(saved(SearchReturn { min: true, ..none }), [2]);
        assert_eq!(saved(SearchReturn { max: true, ..none }), [9]);
        assert_eq!(saved(SearchReturn { min: true, max: true, ..none }), [2, 9]);
        assert_eq!(saved(SearchReturn { min: true, count: true, ..none }), found);
        assert_eq!(saved(SearchReturn { max: true, all: true, ..none }), found);
        assert_eq!(part(SearchReturn { max: true, ..none }, &[]).count(), 0);
    }
}
