//! The records with which a history begins that goes on from another: pure.

use redoubt_log::id::{AccountId, Uid};
use redoubt_log::record::{Change, MAX_CHANGES, Move, NewLineage, Placed, Renumber, Version};

use super::Binding;
use crate::apply::APPLY_VERSION;
use crate::mailstore::StoreError;
use crate::view::View;

/// UIDs that each mailbox passes over: the lost part may have given them.
const SKIP: u32 = 1 << 20;
/// Of so many messages one gets the UID of a lost one. mbsync goes on by itself where at least
/// four fifths of what it knows is as it was and nothing contradicts.
const STAND_IN_PART: u32 = 5;
/// At most so many in a mailbox.
const STAND_IN_MOST: u32 = 16;
/// Accounts that are looked at together.
const PAGE: usize = 1000;

/// How a history begins that goes on from a state; with `validity` every mailbox gets a new
/// UIDVALIDITY.
///
/// # Errors
/// The state cannot be read.
pub fn renewal(
    view: &View,
    begin: NewLineage,
    validity: bool,
    binding: &Binding,
) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    if view.level()? < APPLY_VERSION {
        changes.push(Change::Version(Version { apply: APPLY_VERSION }));
    }
    changes.push(Change::NewLineage(begin));
    changes.extend(binding.changes(view)?);
    let mut after = None;
    loop {
        let accounts = view.accounts(after, PAGE)?;
        let Some(last) = accounts.last() else { break };
        after = Some(last.id);
        for account in &accounts {
            if validity {
                stand_in(view, account.id, &mut changes)?;
            }
            renumber(view, account.id, validity, &mut changes)?;
        }
    }
    for account in view.deleted_accounts()? {
        renumber(view, account.id, validity, &mut changes)?;
    }
    Ok(changes)
}

/// The newest messages of each mailbox take the UIDs that the first of the lost ones had. Who
/// knows those finds other messages there: otherwise mbsync takes the new UIDVALIDITY for a
/// mistake, since all that it finds is as it was, and deletes its copies of the lost ones.
fn stand_in(view: &View, account: AccountId, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    for mailbox in view.mailboxes(account)?.into_iter().filter(|m| m.selectable && m.messages > 0) {
        let count = (mailbox.messages / STAND_IN_PART).clamp(1, STAND_IN_MOST);
        let uids = view.uids(account, mailbox.id)?;
        let Some(first) = uids.select(mailbox.messages.saturating_sub(count).saturating_add(1))
        else {
            continue;
        };
        let limit = count as usize;
        let newest = view.placements(account, mailbox.id, account, first, Uid::MAX, limit)?;
        let items = newest.iter().map(|it| Placed { uid: it.uid, email: it.email }).collect();
        let (from, to) = (mailbox.id, mailbox.id);
        changes.push(Change::Move(Move { account, from, to, items }));
    }
    Ok(())
}

fn renumber(
    view: &View,
    account: AccountId,
    validity: bool,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    let ids: Vec<_> = view.mailboxes(account)?.iter().map(|mailbox| mailbox.id).collect();
    changes.extend(ids.chunks(MAX_CHANGES).map(|ids| {
        let mailboxes = ids.to_vec();
        Change::Renumber(Renumber { account, mailboxes, skip: SKIP, validity })
    }));
    Ok(())
}
