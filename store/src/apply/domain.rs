//! Domains.

use redoubt_log::record::{
    CaptureScope, DomainAdd, DomainRemove, DomainSet, DomainSettings, Done, JunkHeader, Rejection,
};

use super::work::Work;
use super::{Ruled, capture, policy};
use crate::account::{check_domain, check_text};
use crate::keys::{Key, Object};
use crate::rows::DomainRow;
use crate::storage::{KeyRange, Table};

const MAX_HEADER: usize = 998;

pub(crate) fn add(work: &mut Work<'_>, record: &DomainAdd) -> Ruled<Done> {
    check_domain(&record.domain)?;
    if work.tx.get_raw(&Key::Domain(&record.domain))?.is_some() {
        return Err(Rejection::Exists(record.domain.clone()).into());
    }
    save(work, &record.domain, &record.settings)
}

pub(crate) fn set(work: &mut Work<'_>, record: &DomainSet) -> Ruled<Done> {
    need(work, &record.domain)?;
    save(work, &record.domain, &record.settings)
}

pub(crate) fn remove(work: &mut Work<'_>, record: &DomainRemove) -> Ruled<Done> {
    need(work, &record.domain)?;
    // `n`, the domain and a zero begin the keys of all its addresses.
    let addresses = [b"n", record.domain.as_bytes(), &[0]].concat();
    if !work.tx.scan(Table::Directory, &KeyRange::prefix(&addresses), 1)?.is_empty() {
        return Err(Rejection::DomainInUse.into());
    }
    let scope = CaptureScope::Domain(record.domain.clone());
    capture::unneeded(work, |rule| rule.scope == scope)?;
    work.tx.delete(&Key::DomainCaptured(&record.domain));
    work.tx.drop(&Key::Domain(&record.domain), &Object::Domain(record.domain.clone()));
    policy::domain_moves(work, &record.domain, None)?;
    let class = Key::DomainClass(&record.domain);
    if work.tx.get_raw(&class)?.is_some() {
        work.tx.drop(&class, &Object::DomainClass(record.domain.clone()));
    }
    Ok(Done::Unit)
}

/// Rejects what is in no domain of ours.
pub(crate) fn need(work: &Work<'_>, domain: &str) -> Ruled<()> {
    match work.tx.get_raw(&Key::Domain(domain))? {
        Some(_) => Ok(()),
        None => Err(Rejection::NoSuchDomain(domain.to_owned()).into()),
    }
}

fn save(work: &mut Work<'_>, domain: &str, settings: &DomainSettings) -> Ruled<Done> {
    if let Some(catch_all) = settings.catch_all {
        work.account(catch_all)?;
    }
    if let Some(JunkHeader { name, value_prefix }) = &settings.junk_header {
        check_text("a header field", name, MAX_HEADER)?;
        check_text("a header field's value", value_prefix, MAX_HEADER)?;
    }
    let row = DomainRow { settings: settings.clone() };
    work.tx.save(&Key::Domain(domain), &Object::Domain(domain.to_owned()), &row)?;
    Ok(Done::Unit)
}
