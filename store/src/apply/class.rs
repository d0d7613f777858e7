//! Classes of service, and who has which.

use redoubt_log::id::ClassId;
use redoubt_log::record::{
    AccountClass, CaptureScope, ClassAdd, ClassRemove, ClassSet, DomainClass, Done, Rejection,
};

use super::work::Work;
use super::{Ruled, capture, domain, policy};
use crate::account::check_text;
use crate::keys::{Key, Meta, Object, classes};
use crate::rows::{AccountClassRow, ClassRow};
use crate::storage::{Table, decode};

/// Classes that there may be.
const MAX_CLASSES: usize = 1000;
const MAX_NAME: usize = 100;

pub(crate) fn add(work: &mut Work<'_>, record: &ClassAdd) -> Ruled<Done> {
    free_name(work, None, &record.name)?;
    let key = Key::Meta(Meta::NextClass);
    let id: u64 = work.tx.get(&key)?.unwrap_or(1);
    let next = id.checked_add(1).ok_or(Rejection::Limit("class ids".to_owned()))?;
    work.tx.put(&key, &next)?;
    let row = ClassRow { name: record.name.clone(), settings: record.settings.clone() };
    save(work, ClassId(id), &row)?;
    Ok(Done::Class(ClassId(id)))
}

pub(crate) fn set(work: &mut Work<'_>, record: &ClassSet) -> Ruled<Done> {
    need(work, record.class)?;
    free_name(work, Some(record.class), &record.name)?;
    let row = ClassRow { name: record.name.clone(), settings: record.settings.clone() };
    save(work, record.class, &row)?;
    Ok(Done::Unit)
}

/// Who has it has none from here on: ids are never given again.
pub(crate) fn remove(work: &mut Work<'_>, record: ClassRemove) -> Ruled<Done> {
    need(work, record.class)?;
    capture::unneeded(work, |rule| rule.scope == CaptureScope::Class(record.class))?;
    policy::class_is_free(work, record.class)?;
    work.tx.drop(&Key::Class(record.class), &Object::Class(record.class));
    changed(work)
}

pub(crate) fn of_account(work: &mut Work<'_>, record: &AccountClass) -> Ruled<Done> {
    let AccountClass { account, class, own } = *record;
    work.account(account)?;
    class.map_or(Ok(()), |class| need(work, class))?;
    let domain = work.account(account)?.row.get().address.domain.clone();
    policy::account_moves(work, account, &domain, class)?;
    let (key, object) = (Key::AccountClass(account), Object::AccountClass(account));
    work.tx.save(&key, &object, &AccountClassRow { class, own })?;
    changed(work)
}

pub(crate) fn of_domain(work: &mut Work<'_>, record: &DomainClass) -> Ruled<Done> {
    domain::need(work, &record.domain)?;
    policy::domain_moves(work, &record.domain, record.class)?;
    let (key, object) =
        (Key::DomainClass(&record.domain), Object::DomainClass(record.domain.clone()));
    match record.class {
        Some(class) => {
            need(work, class)?;
            work.tx.save(&key, &object, &class)?;
        }
        None if work.tx.get_raw(&key)?.is_some() => work.tx.drop(&key, &object),
        None => {}
    }
    changed(work)
}

/// Whoever trims history looks again.
fn changed(work: &mut Work<'_>) -> Ruled<Done> {
    work.tx.put(&Key::Meta(Meta::Classes), &work.index)?;
    Ok(Done::Unit)
}

pub(crate) fn need(work: &Work<'_>, class: ClassId) -> Ruled<()> {
    match work.tx.get_raw(&Key::Class(class))? {
        Some(_) => Ok(()),
        None => Err(Rejection::NotFound(format!("class {class}")).into()),
    }
}

fn save(work: &mut Work<'_>, class: ClassId, row: &ClassRow) -> Ruled<()> {
    work.tx.save(&Key::Class(class), &Object::Class(class), row)?;
    changed(work).map(drop)
}

/// A name that no other class has. A number would read as an id.
fn free_name(work: &Work<'_>, class: Option<ClassId>, name: &str) -> Ruled<()> {
    check_text("a class's name", name, MAX_NAME)?;
    if name.is_empty() || name == "none" || name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Rejection::InvalidName(format!("{name:?} for a class")).into());
    }
    let own = class.map(|class| Key::Class(class).bytes());
    let rows = work.tx.scan(Table::Directory, &classes().range(), MAX_CLASSES)?;
    if class.is_none() && rows.len() >= MAX_CLASSES {
        return Err(Rejection::Limit(format!("{MAX_CLASSES} classes")).into());
    }
    for (key, value) in rows {
        let row: ClassRow = decode(Table::Directory, &key, &value)?;
        if row.name == name && Some(&key) != own.as_ref() {
            return Err(Rejection::Exists(format!("class {name}")).into());
        }
    }
    Ok(())
}
