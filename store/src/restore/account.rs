//! A deleted account comes back with its id, its mailboxes and its credentials,
//! which its rows kept, and with what it held when it was deleted.

use redoubt_log::id::{AccountId, LogIndex};
use redoubt_log::record::{AccountState, Address, RestoreMode, RestoreStep, RestoreTo};

use super::stands::{self, Emails, Want};
use super::{Plan, PlanError, Planned, reaches};
use crate::keys::Object;
use crate::rows::AccountRow;
use crate::storage::{Table, decode};
use crate::view::View;

pub(super) fn plan(view: &View, account: AccountId, address: Option<&Address>) -> Planned<Plan> {
    let (at, was) = last(view, account)?;
    let address = address.unwrap_or(&was.address).clone();
    let mut steps = vec![RestoreStep::Account { address, settings: was.settings }];
    let mut emails = Emails::default();
    for (email, stands) in stands::all(&view.at(at), account)? {
        let want = |stand: stands::Stand| Want {
            to: RestoreTo::Mailbox(stand.mailbox),
            stood: (stand.mailbox, stand.uid),
            flags: stand.flags,
            keywords: stand.keywords,
        };
        let wants: Vec<Want> = stands.into_iter().map(want).collect();
        emails.add(view, account, email, &wants, &|_| 0, None)?;
    }
    steps.extend(emails.steps());
    let (at, source) = (Some(at), account);
    Ok(Plan { mode: RestoreMode::Account, account, source, at, until: None, steps })
}

/// The last moment at which it was there, and its row then.
fn last(view: &View, account: AccountId) -> Planned<(LogIndex, AccountRow)> {
    let mut last = None;
    let mut deleted = None;
    for version in view.history(&Object::Account(account))? {
        let Some(value) = version.value else { continue };
        let row: AccountRow = decode(Table::History, &[], &value)?;
        match row.settings.state {
            AccountState::Deleted => deleted = Some(version.from),
            _ => (last, deleted) = (Some(row), None),
        }
    }
    let at = deleted.map(|deleted: LogIndex| LogIndex(deleted.0.saturating_sub(1)));
    if let Some(at) = at {
        reaches(view, account, at, || format!("account {account} as it was deleted"))?;
    }
    let last = last.ok_or(PlanError::NoSuchAccount(account))?;
    Ok((at.ok_or(PlanError::NotDeleted(account))?, last))
}
