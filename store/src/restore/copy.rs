//! An account as of a moment, into another one that was just made: its mailboxes
//! with their uses, its subscriptions, and each email as a new one on the same blob.

use std::collections::{BTreeMap, BTreeSet};

use redoubt_log::id::{AccountId, LogIndex, MailboxId};
use redoubt_log::record::{RestoreMode, RestoreStep, RestoreTo};

use super::rewind::Names;
use super::stands::{self, Emails, Stand, Twins, Want};
use super::tree::Tree;
use super::{Plan, PlanError, Planned};
use crate::view::{Mailbox, View};

pub(super) fn plan(
    view: &View,
    source: AccountId,
    at: LogIndex,
    account: AccountId,
) -> Planned<Plan> {
    let past = view.at(at);
    if past.account(source)?.is_none() {
        return Err(PlanError::NoSuchAccount(source));
    }
    if source == account || view.account(account)?.is_none() {
        return Err(PlanError::NoSuchAccount(account));
    }
    let (then, now) = (past.mailboxes(source)?, view.mailboxes(account)?);
    let (mut steps, names) = names_of_uses(&then, &now);
    let mut tree = Tree::of(&names.apply(&now));
    let targets: BTreeMap<MailboxId, RestoreTo> = then
        .iter()
        .filter(|mailbox| mailbox.selectable)
        .map(|mailbox| (mailbox.id, tree.target(&mailbox.name, mailbox.special_use)))
        .collect();
    steps.extend(std::mem::take(&mut tree.steps));
    steps.extend(emails(view, &past, source, account, &targets)?);
    steps.extend(superfluous(&names.apply(&now), &then));
    steps.extend(subscriptions(view, &past, source, account)?);
    let (mode, at) = (RestoreMode::Copy, Some(at));
    Ok(Plan { mode, account, source, at, until: None, steps })
}

/// A new account has mailboxes with uses: they take the names that these had.
fn names_of_uses(then: &[Mailbox], now: &[Mailbox]) -> (Vec<RestoreStep>, Names) {
    let ids = now.iter().map(|m| m.id).collect();
    let renamed = |was: &Mailbox| {
        let special_use = was.special_use?;
        let there = now.iter().find(|m| m.special_use == Some(special_use))?;
        let top = !was.name.contains('/') && was.name != there.name;
        let free = now.iter().all(|m| m.name != was.name);
        (top && free).then(|| Mailbox { name: was.name.clone(), ..there.clone() })
    };
    let wanted = then.iter().filter_map(renamed).collect();
    Names::of(now).renamed(wanted, &ids, false)
}

fn emails(
    view: &View,
    past: &View,
    source: AccountId,
    account: AccountId,
    targets: &BTreeMap<MailboxId, RestoreTo>,
) -> Planned<impl Iterator<Item = RestoreStep>> {
    let twins = Twins::of_account(view, account)?;
    let mut emails = Emails::default();
    for (email, stands) in stands::all(past, source)? {
        let want = |stand: Stand| {
            let to = *targets.get(&stand.mailbox)?;
            let stood = (stand.mailbox, stand.uid);
            Some(Want { to, stood, flags: stand.flags, keywords: stand.keywords })
        };
        let wants: Vec<Want> = stands.into_iter().filter_map(want).collect();
        emails.add(view, source, email, &wants, &|_| 0, Some(&twins))?;
    }
    Ok(emails.steps())
}

/// Mailboxes of a new account that the other one did not have.
fn superfluous(now: &[Mailbox], then: &[Mailbox]) -> Vec<RestoreStep> {
    let names: BTreeSet<&str> = then.iter().map(|m| m.name.as_str()).collect();
    let mut more: Vec<&Mailbox> = now
        .iter()
        .filter(|m| !names.contains(m.name.as_str()) && m.messages == 0)
        .filter(|m| m.id != crate::mailbox::INBOX)
        .collect();
    more.sort_by_key(|m| std::cmp::Reverse(m.name.split('/').count()));
    more.into_iter().map(|m| RestoreStep::Delete { mailbox: m.id }).collect()
}

fn subscriptions(
    view: &View,
    past: &View,
    source: AccountId,
    account: AccountId,
) -> Planned<Vec<RestoreStep>> {
    let then: BTreeSet<String> = past.subscriptions(source)?.into_iter().collect();
    let now: BTreeSet<String> = view.subscriptions(account)?.into_iter().collect();
    let step = |subscribed: bool| {
        move |name: &String| RestoreStep::Subscribe { name: name.clone(), subscribed }
    };
    let on = then.difference(&now).map(step(true));
    Ok(on.chain(now.difference(&then).map(step(false))).collect())
}
