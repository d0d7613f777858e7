//! Making, renaming and deleting mailboxes.

use redoubt_log::id::{AccountId, MailboxId, ModSeq, UidValidity};
use redoubt_log::record::{
    Done, MAX_CHANGES, MailboxCreate, MailboxDelete, MailboxNamed, MailboxRename, NamedChange,
    Rejection, SpecialUse,
};

use super::work::{Kept, Work};
use super::{Ruled, placing, policy};
use crate::keys::{Key, Parts, names_under};
use crate::mailbox::{INBOX, MAX_LEVELS, MAX_MAILBOXES, MAX_NAME, check_level, next_uid_validity};
use crate::rows::{Counters, MailboxRow, MailboxState};
use crate::storage::{StorageError, Table, decode};

pub(crate) fn create(work: &mut Work<'_>, record: &MailboxCreate) -> Ruled<Done> {
    let (a, parent, name) = (record.account, record.parent, record.name.as_str());
    check_level(parent, name)?;
    let above = path_above(work, a, parent)?;
    above.with(Extent::of(name))?;
    check_use(work, a, record.special_use)?;
    let children = match named(work, a, parent, name)? {
        Some(old) => take_name(work, a, old)?,
        None => Vec::new(),
    };
    let (id, validity) = make(work, a, parent, name, record.special_use)?;
    for child in children {
        hang(work, a, child, Some(id))?;
    }
    Ok(Done::Mailbox(id, validity))
}

/// A new mailbox under a name that is free.
pub(crate) fn make(
    work: &mut Work<'_>,
    a: AccountId,
    parent: Option<MailboxId>,
    name: &str,
    special_use: Option<SpecialUse>,
) -> Ruled<(MailboxId, UidValidity)> {
    let (time, modseq) = (work.time, ModSeq::from(work.sequence(a)?));
    let account = work.account(a)?;
    let most = account.said.mailboxes().value.unwrap_or(MAX_MAILBOXES).min(MAX_MAILBOXES);
    let account = account.row.change();
    if account.mailboxes >= most {
        return Err(Rejection::Limit(format!("{most} mailboxes")).into());
    }
    let uid_validity = next_uid_validity(account.last_uid_validity, time)?;
    let id = MailboxId(account.next_mailbox);
    account.next_mailbox = id.0.checked_add(1).ok_or(Rejection::Limit("mailbox ids".to_owned()))?;
    account.last_uid_validity = uid_validity.get();
    account.mailboxes += 1;
    let row = MailboxRow {
        name: name.to_owned(),
        parent,
        special_use,
        state: MailboxState::Live,
        uid_validity,
        created: time,
        keywords: Vec::new(),
    };
    let counters = Counters {
        uid_next: 1,
        highest_modseq: modseq,
        messages: 0,
        unseen: 0,
        deleted: 0,
        size: 0,
    };
    work.hold_mailbox(a, id, Kept::new(row, true), Kept::new(counters, true));
    work.tx.put(&Key::Name(a, parent, name), &id)?;
    Ok((id, uid_validity))
}

pub(crate) fn rename(work: &mut Work<'_>, record: &MailboxRename) -> Ruled<Done> {
    let (a, m, parent) = (record.account, record.mailbox, record.parent);
    let old = work.named(a, m)?.row.get().clone();
    if m == INBOX {
        return Err(Rejection::Inbox.into());
    }
    check_level(parent, &record.name)?;
    if (old.parent, old.name.as_str()) == (parent, record.name.as_str()) {
        return Ok(Done::Unit);
    }
    let above = path_above(work, a, parent)?;
    if above.ids.contains(&m) {
        return Err(Rejection::Cycle.into());
    }
    if named(work, a, parent, &record.name)?.is_some() {
        return Err(Rejection::Exists(record.name.clone()).into());
    }
    let below = extent_below(work, a, m)?;
    above.with(Extent::of(&record.name).above(below))?;
    let to = match parent {
        Some(parent) => format!("{}/{}", whole_name(work, a, parent)?, record.name),
        None => record.name.clone(),
    };
    leaves(work, a, m, to)?;
    work.tx.delete(&Key::Name(a, old.parent, &old.name));
    work.tx.put(&Key::Name(a, parent, &record.name), &m)?;
    let row = work.named(a, m)?.row.change();
    row.parent = parent;
    row.name.clone_from(&record.name);
    Ok(Done::Unit)
}

/// A mailbox and all below it get other names.
fn leaves(work: &mut Work<'_>, a: AccountId, m: MailboxId, to: String) -> Ruled<()> {
    let mut open = vec![(m, to)];
    while let Some((m, to)) = open.pop() {
        policy::mailbox_leaves(work, a, m, Some(&to))?;
        for (name, child) in children(work, a, Some(m))? {
            open.push((child, format!("{to}/{name}")));
        }
    }
    Ok(())
}

/// A change of the mailbox that has a name: of none, if another record came first.
pub(crate) fn named_change(work: &mut Work<'_>, record: &MailboxNamed) -> Ruled<Done> {
    let (account, mailbox) = (record.account, record.mailbox);
    if whole_name(work, account, mailbox)? != record.name {
        return Err(Rejection::NoSuchMailbox.into());
    }
    match &record.then {
        NamedChange::Rename { parent, name } => {
            let name = name.clone();
            rename(work, &MailboxRename { account, mailbox, parent: *parent, name })
        }
        NamedChange::Delete => delete(work, &MailboxDelete { account, mailbox }),
    }
}

fn whole_name(work: &mut Work<'_>, a: AccountId, m: MailboxId) -> Ruled<String> {
    let row = work.named(a, m)?.row.get();
    let (mut name, mut next) = (row.name.clone(), row.parent);
    let mut levels = 1;
    while let Some(above) = next {
        let row = work.named(a, above)?.row.get();
        levels += 1;
        if levels > MAX_LEVELS {
            let key = Key::Mailbox(a, m).bytes();
            return Err(StorageError::corrupt(Table::Mailbox, &key, "stands below itself").into());
        }
        name = format!("{}/{name}", row.name);
        next = row.parent;
    }
    Ok(name)
}

/// A switch: the mailbox is invisible at once, its placements go by records that follow.
pub(crate) fn delete(work: &mut Work<'_>, record: &MailboxDelete) -> Ruled<Done> {
    let (a, m) = (record.account, record.mailbox);
    let row = work.named(a, m)?.row.get().clone();
    if m == INBOX {
        return Err(Rejection::Inbox.into());
    }
    let parent = !work.tx.scan(Table::Mailbox, &names_under(a, Some(m)).range(), 1)?.is_empty();
    policy::mailbox_leaves(work, a, m, None)?;
    match (parent, row.state) {
        // RFC 9051 section 6.3.5: such a name cannot be deleted.
        (true, MailboxState::NoSelect) => return Err(Rejection::NoSelect.into()),
        (true, _) => become_name(work, a, m)?,
        (false, _) => {
            work.tx.delete(&Key::Name(a, row.parent, &row.name));
            drop_name(work, a, m)?;
        }
    }
    Ok(Done::Unit)
}

fn become_name(work: &mut Work<'_>, a: AccountId, m: MailboxId) -> Ruled<()> {
    let row = work.named(a, m)?.row.change();
    row.state = MailboxState::NoSelect;
    row.special_use = None;
    if placing::has_messages(work, a, m)? {
        placing::hide(work, a, m)?;
    }
    Ok(())
}

/// The mailbox has no name any more; it goes when its placements are gone.
fn drop_name(work: &mut Work<'_>, a: AccountId, m: MailboxId) -> Ruled<()> {
    let account = work.account(a)?.row.change();
    account.mailboxes = account.mailboxes.saturating_sub(1);
    if placing::has_messages(work, a, m)? {
        let row = work.named(a, m)?.row.change();
        row.state = MailboxState::Deleted;
        row.special_use = None;
        placing::hide(work, a, m)?;
    } else {
        work.forget_mailbox(a, m);
    }
    Ok(())
}

/// A name that only has children gives way to a new mailbox: its children.
fn take_name(work: &mut Work<'_>, a: AccountId, old: MailboxId) -> Ruled<Vec<MailboxId>> {
    let row = work.named(a, old)?.row.get().clone();
    if row.state != MailboxState::NoSelect {
        return Err(Rejection::Exists(row.name).into());
    }
    let children: Vec<MailboxId> =
        children(work, a, Some(old))?.into_iter().map(|(_, child)| child).collect();
    if children.len() >= MAX_CHANGES {
        return Err(Rejection::Limit(format!("{MAX_CHANGES} children of a mailbox")).into());
    }
    drop_name(work, a, old)?;
    Ok(children)
}

/// Puts a mailbox under another parent.
fn hang(
    work: &mut Work<'_>,
    a: AccountId,
    child: MailboxId,
    parent: Option<MailboxId>,
) -> Ruled<()> {
    let row = work.named(a, child)?.row.change();
    let (old, name) = (row.parent, row.name.clone());
    row.parent = parent;
    work.tx.delete(&Key::Name(a, old, &name));
    work.tx.put(&Key::Name(a, parent, &name), &child)?;
    Ok(())
}

/// The mailbox of this name, if it has one.
pub(crate) fn named(
    work: &Work<'_>,
    a: AccountId,
    parent: Option<MailboxId>,
    name: &str,
) -> Result<Option<MailboxId>, StorageError> {
    work.tx.get(&Key::Name(a, parent, name))
}

fn children(
    work: &Work<'_>,
    a: AccountId,
    parent: Option<MailboxId>,
) -> Result<Vec<(String, MailboxId)>, StorageError> {
    let range = names_under(a, parent).range();
    let rows = work.tx.scan(Table::Mailbox, &range, MAX_MAILBOXES as usize)?;
    let child = |(key, value): (Vec<u8>, Vec<u8>)| {
        // Behind the account, `n` and the parent stands the name.
        let name = Parts::new(key.get(13..).unwrap_or_default()).text();
        let name = name.ok_or_else(|| StorageError::corrupt(Table::Mailbox, &key, "no name"))?;
        Ok((name.to_owned(), decode(Table::Mailbox, &key, &value)?))
    };
    rows.into_iter().map(child).collect()
}

/// Uses are unique in an account (RFC 8621 section 2, role).
pub(crate) fn check_use(
    work: &mut Work<'_>,
    a: AccountId,
    wished: Option<SpecialUse>,
) -> Ruled<()> {
    let Some(wished) = wished else { return Ok(()) };
    let range = crate::keys::Bytes::account(a).u8(b'm').range();
    for (key, value) in work.tx.scan(Table::Mailbox, &range, usize::MAX)? {
        let row: MailboxRow = decode(Table::Mailbox, &key, &value)?;
        if row.special_use == Some(wished) {
            return Err(Rejection::UseTaken(wished).into());
        }
    }
    Ok(())
}

/// How long and how deep names are.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    octets: usize,
    levels: usize,
}

impl Extent {
    fn of(name: &str) -> Self {
        Self { octets: name.len() + 1, levels: 1 }
    }
    fn above(self, below: Self) -> Self {
        Self { octets: self.octets + below.octets, levels: self.levels + below.levels }
    }
    fn or(self, other: Self) -> Self {
        Self { octets: self.octets.max(other.octets), levels: self.levels.max(other.levels) }
    }
}

/// A parent and all above it.
#[derive(Debug, Default)]
struct Above {
    ids: Vec<MailboxId>,
    extent: Extent,
}

impl Above {
    /// Whether names of such an extent may stand below.
    fn with(&self, below: Extent) -> Result<(), Rejection> {
        let whole = self.extent.above(below);
        if whole.octets > MAX_NAME + 1 || whole.levels > MAX_LEVELS {
            let limit = format!("{MAX_NAME} octets and {MAX_LEVELS} levels of a mailbox name");
            return Err(Rejection::Limit(limit));
        }
        Ok(())
    }
}

fn path_above(work: &mut Work<'_>, a: AccountId, parent: Option<MailboxId>) -> Ruled<Above> {
    work.account(a)?;
    let mut above = Above::default();
    let mut next = parent;
    while let Some(m) = next {
        let row = work.named(a, m)?.row.get();
        if above.ids.len() > MAX_LEVELS {
            let key = Key::Mailbox(a, m).bytes();
            return Err(StorageError::corrupt(Table::Mailbox, &key, "stands below itself").into());
        }
        above.ids.push(m);
        above.extent = Extent::of(&row.name).above(above.extent);
        next = row.parent;
    }
    Ok(above)
}

/// The longest and the deepest of the names below a mailbox.
fn extent_below(work: &Work<'_>, a: AccountId, m: MailboxId) -> Result<Extent, StorageError> {
    let mut extent = Extent::default();
    let mut open = vec![(m, Extent::default())];
    while let Some((parent, above)) = open.pop() {
        for (name, child) in children(work, a, Some(parent))? {
            let here = above.above(Extent::of(&name));
            extent = extent.or(here);
            if here.levels <= MAX_LEVELS {
                open.push((child, here));
            }
        }
    }
    Ok(extent)
}
