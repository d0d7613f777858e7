//! How far the backup has come, and how a history goes on that was made from one.

use redoubt_log::id::{AccountId, MailboxId, NodeId};
use redoubt_log::record::{Archived, Done, NewLineage, Rejection, Renumber};

use super::Ruled;
use super::cluster::FIRST_NODE;
use super::work::Work;
use crate::keys::{Key, Meta};
use crate::mailbox::{INBOX, next_uid_validity};
use crate::rows::NodeRow;

/// What the archive holds only grows: of two archivers the one that lags says nothing new.
pub(crate) fn archived(work: &mut Work<'_>, record: &Archived) -> Ruled<Done> {
    let key = Key::Meta(Meta::Archived);
    let old: Option<Archived> = work.tx.get(&key)?;
    // An entry cannot say that those behind it are archived.
    if record.index >= work.index {
        return Err(Rejection::NotFound(format!("entry {}", record.index)).into());
    }
    if old.is_none_or(|old| old.index < record.index) {
        work.tx.put(&key, record)?;
    }
    Ok(Done::Unit)
}

/// Nothing of this history is archived yet, and its node is no other's.
pub(crate) fn begin(work: &mut Work<'_>, record: &NewLineage) -> Ruled<Done> {
    let key = Key::Meta(Meta::NextNode);
    let next: u64 = work.tx.get(&key)?.unwrap_or(FIRST_NODE.0 + 1);
    if record.node.0 != next {
        let why = format!("node {}, where {next} is the next", record.node);
        return Err(Rejection::NotFound(why).into());
    }
    let after = record.node.0.checked_add(1).ok_or(Rejection::Limit("node ids".into()))?;
    work.tx.put(&key, &after)?;
    work.tx.put(&Key::Meta(Meta::Lineage), record)?;
    work.tx.delete(&Key::Meta(Meta::Archived));
    remember_node(work, record.node)
}

fn remember_node(work: &mut Work<'_>, node: NodeId) -> Ruled<Done> {
    let row = NodeRow { added: work.time, ..NodeRow::default() };
    work.tx.put(&Key::Node(node), &row)?;
    Ok(Done::Unit)
}

/// A deleted account can come back, with the UIDs that it had.
pub(crate) fn renumber(work: &mut Work<'_>, record: &Renumber) -> Ruled<Done> {
    work.deleted_too = true;
    work.account(record.account)?;
    if record.mailboxes.contains(&INBOX) {
        renumber_account(work, record)?;
    }
    for mailbox in &record.mailboxes {
        let open = work.named(record.account, *mailbox)?;
        let next = open.counters.get().uid_next.saturating_add(u64::from(record.skip));
        let enough = next <= u64::from(u32::MAX);
        if enough {
            open.counters.change().uid_next = next;
        }
        if record.validity || !enough {
            new_validity(work, record.account, *mailbox)?;
        }
    }
    Ok(Done::Unit)
}

/// The lost part may have made mailboxes: neither their ids (RFC 8474) nor their UIDVALIDITYs
/// are given again. Of an account's records the one with INBOX says so.
fn renumber_account(work: &mut Work<'_>, record: &Renumber) -> Ruled<()> {
    let time = work.time;
    let row = work.account(record.account)?.row.change();
    row.next_mailbox = row.next_mailbox.checked_add(record.skip).unwrap_or(row.next_mailbox);
    if record.validity {
        let next = next_uid_validity(row.last_uid_validity, time)?.get();
        row.last_uid_validity = next.checked_add(record.skip).unwrap_or(next);
    }
    Ok(())
}

/// Clients drop all that they know of the mailbox (RFC 9051 section 2.3.1.1).
fn new_validity(work: &mut Work<'_>, account: AccountId, mailbox: MailboxId) -> Ruled<()> {
    let time = work.time;
    let row = work.account(account)?.row.change();
    let validity = next_uid_validity(row.last_uid_validity, time)?;
    row.last_uid_validity = validity.get();
    work.named(account, mailbox)?.row.change().uid_validity = validity;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use redoubt_log::id::{Hash, LogIndex, OperationId, Term, Timestamp};
    use redoubt_log::record::{Actor, Change, Outcome, Record, Version, Why};

    use super::*;
    use crate::apply::{Position, apply};
    use crate::storage::MemStorage;
    use crate::view::View;

    fn run(storage: &mut MemStorage, index: u64, change: Change) -> Outcome {
        let (term, time) = (Term(1), Timestamp(1));
        let position = Position { index: LogIndex(index), term, time, mark: Vec::new() };
        let operation = OperationId::random();
        let (actor, why) = (Actor::SYSTEM, Why::default());
        let record = Record { stamp: time, operation, actor, why, change };
        apply(storage, &position, &record).unwrap()
    }

    fn view(storage: &MemStorage) -> View {
        View::new(std::sync::Arc::new(storage.clone())).unwrap()
    }

    #[test]
    fn the_archived_index_grows_and_a_new_lineage_begins_without_one() {
        let mut storage = MemStorage::new();
        let archived = |index| {
            Change::Archived(Archived { index: LogIndex(index), chain: Hash([index as u8; 32]) })
        };
        assert!(run(&mut storage, 10, archived(1)).result.is_err(), "the level is too low");
        run(&mut storage, 11, Change::Version(Version { apply: 3 }));
        for (at, index, says) in [(12, 9, 9), (13, 7, 9), (14, 13, 13)] {
            assert!(run(&mut storage, at, archived(index)).result.is_ok());
            assert_eq!(view(&storage).archived().unwrap().unwrap().index, LogIndex(says));
        }
        assert!(run(&mut storage, 15, archived(15)).result.is_err(), "it is not behind itself");
        let begin = |node| NewLineage {
            from: "a".repeat(32),
            index: LogIndex(15),
            to: "b".repeat(32),
            node: NodeId(node),
        };
        for (at, node) in [(20, 1), (21, 3)] {
            assert!(run(&mut storage, at, Change::NewLineage(begin(node))).result.is_err());
        }
        assert!(run(&mut storage, 22, Change::NewLineage(begin(2))).result.is_ok());
        let view = view(&storage);
        assert_eq!((view.archived().unwrap(), view.lineage().unwrap()), (None, Some(begin(2))));
        assert_eq!(view.next_node().unwrap(), NodeId(3));
    }
}
