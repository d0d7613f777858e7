//! SAVE (RFC 5182): what `$` stands for from now on.

use redoubt_log::id::Uid;
use redoubt_store::uids::UidSet;

use super::results::Results;
use crate::imap::reply::{Reply, Trouble};
use crate::imap::selected::Selected;
use crate::imap::session::Session;
use crate::imap::types::{Numbering, SearchReturn};

/// Keeps what was found, if it is to be kept.
///
/// # Errors
/// BAD in the wrong state.
pub(super) fn keep(
    session: &mut Session,
    returns: Option<SearchReturn>,
    numbering: Numbering,
    found: &Results,
) -> Result<(), Reply> {
    let Some(returns) = returns.filter(|returns| returns.save) else { return Ok(()) };
    session.selected()?;
    if let Some(selected) = &mut session.selected {
        let uids = found
            .saved(returns)
            .into_iter()
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

fn uid(selected: &Selected, numbering: Numbering, number: u32) -> Option<Uid> {
    match numbering {
        Numbering::Sequence => selected.uids().select(number),
        Numbering::Uid => Uid::new(number),
    }
}
