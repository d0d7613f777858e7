//! Whether a view says what the model says, of everything.

use redoubt_store::mailstore::StoreError;
use redoubt_store::rows::CapturedRow;
use redoubt_store::view::{Account, Mailbox, MailboxChanges, Placement, View};

use super::*;

/// Panics where they differ.
pub fn agree(view: &View, state: &State) {
    agree_above(view, state, &BTreeMap::new());
}

/// Panics where they differ, but for what lies below histories' beginnings: there the view
/// must say so. Views of now always reach.
pub fn agree_above(view: &View, state: &State, floors: &BTreeMap<AccountId, LogIndex>) {
    let index = view.index();
    let is_past = view.applied().is_some_and(|applied| index < applied.index);
    let begins = |id: AccountId| floors.get(&id).copied().unwrap_or_default();
    let below = |id: AccountId| is_past && index < begins(id);
    // Accounts that came later are asked too whether they were there.
    if floors.keys().any(|id| below(*id)) {
        let refused = view.domains().err().or(view.accounts(None, 100).err());
        assert!(matches!(refused, Some(StoreError::BelowFloor { .. })), "{refused:?}");
    } else {
        directory(view, state);
    }
    if !is_past {
        captured(view, state);
    }
    for (id, account) in &state.accounts {
        if below(*id) {
            refuses(view, *id, account, begins(*id));
            continue;
        }
        let floor = begins(*id);
        assert_eq!(view.account(*id).unwrap(), Some(expected_account(state, *id, account)));
        assert_eq!(
            view.subscriptions(*id).unwrap(),
            account.subscriptions.iter().cloned().collect::<Vec<_>>()
        );
        mailboxes(view, *id, account);
        for (email, data) in &account.emails {
            standings(view, *id, account, *email);
            let found = view.email(*id, *email).unwrap().unwrap();
            assert_eq!((found.blob, found.thread), (data.blob, data.thread));
        }
        for mailbox in &account.mailboxes {
            for reader in [*id, AccountId(1), AccountId(2)] {
                messages(view, *id, account, mailbox, reader);
            }
            changes(view, *id, mailbox, floor);
        }
    }
}

/// What is below a history's beginning is refused, and never half shown.
fn refuses(view: &View, id: AccountId, account: &AccountM, floor: LogIndex) {
    let begins = |error: Option<StoreError>| match error {
        Some(StoreError::BelowFloor { floor: said, .. }) => assert_eq!(said, floor),
        other => panic!("below {floor} account {id} is shown: {other:?}"),
    };
    begins(view.mailboxes(id).err());
    begins(view.subscriptions(id).err());
    begins(view.sequence(id).err());
    for email in account.emails.keys() {
        begins(view.email(id, *email).err());
    }
    for m in &account.mailboxes {
        begins(view.uids(id, m.id).err());
        begins(view.placements(id, m.id, id, Uid::MIN, Uid::MAX, 10).err());
        begins(view.changed_since(id, m.id, ModSeq(0)).err());
    }
}

fn directory(view: &View, state: &State) {
    let domains: Vec<_> =
        view.domains().unwrap().into_iter().map(|d| (d.name, d.settings)).collect();
    assert_eq!(domains, state.domains.clone().into_iter().collect::<Vec<_>>());
    let ids: Vec<_> = view.accounts(None, 100).unwrap().iter().map(|a| a.id).collect();
    assert_eq!(ids, state.accounts.keys().copied().collect::<Vec<_>>());
    let classes = view.classes().unwrap().into_iter().map(|c| (c.id, (c.name, c.settings)));
    assert_eq!(classes.collect::<Vec<_>>(), state.classes.clone().into_iter().collect::<Vec<_>>());
    let rules = view.captures().unwrap().into_iter().map(|shown| (shown.id, shown.rule));
    assert_eq!(rules.collect::<BTreeMap<_, _>>(), state.rules);
    for id in state.accounts.keys() {
        let effective = view.effective(*id).unwrap().unwrap();
        assert_eq!(effective.quota.value, state.quota(*id));
        assert_eq!(effective.largest_message.value, state.largest_message(*id));
        let most = effective.mailboxes.value.unwrap_or(10_000);
        assert_eq!(most, state.most_mailboxes(*id).unwrap());
    }
    let mut aliases = view.aliases(None).unwrap();
    aliases.sort();
    assert_eq!(aliases, state.aliases.clone().into_iter().collect::<Vec<_>>());
    for (alias, owner) in &state.aliases {
        assert!(view.aliases(Some(*owner)).unwrap().contains(&(alias.clone(), *owner)));
        assert_eq!(view.login(&alias.to_string(), "x").unwrap().unwrap().id, *owner);
    }
}

fn captured(view: &View, state: &State) {
    let told = |row: CapturedRow| {
        let volumes = [row.delivered, row.sent, row.journal, row.unread];
        (volumes.map(|volume| (volume.messages, volume.octets)), row.refused)
    };
    for id in state.accounts.keys() {
        let expected = state.captured.get(id).copied().unwrap_or_default();
        assert_eq!(told(view.captured(*id).unwrap()), expected, "captured of {id}");
    }
    let domains = view.captured_by_domain().unwrap().into_iter();
    let domains: BTreeMap<_, _> = domains.map(|(name, row)| (name, told(row))).collect();
    assert_eq!(domains, state.domains_captured);
}

fn expected_account(state: &State, id: AccountId, account: &AccountM) -> Account {
    Account {
        id,
        address: account.address.clone(),
        settings: account.settings.clone(),
        used_bytes: account.used() + account.erased.1,
        emails: account.emails.len() as u64 + account.erased.0,
        quota: state.quota(id),
        created: account.created,
        base: 0,
    }
}

fn mailboxes(view: &View, id: AccountId, account: &AccountM) {
    let shown = account.mailboxes.iter().filter(|m| m.stage != Stage::Deleted);
    let mut expected: Vec<Mailbox> = shown.map(|m| expected_mailbox(account, m)).collect();
    expected.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<Mailbox> = view.mailboxes(id).unwrap().into_iter().map(sorted).collect();
    assert_eq!(found, expected);
    for mailbox in expected {
        let found = view.mailbox(id, mailbox.id).unwrap().map(sorted);
        assert_eq!(found.as_ref(), Some(&mailbox));
        assert_eq!(view.mailbox_named(id, &mailbox.name).unwrap().map(sorted), Some(mailbox));
    }
    assert_eq!(view.mailbox_named(id, "iNboX").unwrap().unwrap().id, MailboxId(1));
    assert_eq!(view.mailbox_named(id, "no/such").unwrap(), None);
}

/// In which order a mailbox came to know its keywords is nobody's matter.
fn sorted(mut mailbox: Mailbox) -> Mailbox {
    mailbox.keywords.sort();
    mailbox
}

fn expected_mailbox(account: &AccountM, m: &MailboxM) -> Mailbox {
    let shown: &[MessageM] = if m.stage == Stage::Live { &m.messages } else { &[] };
    let count =
        |flag: u8, on: bool| shown.iter().filter(|p| (p.flags & flag != 0) == on).count() as u32;
    sorted(Mailbox {
        id: m.id,
        name: account.whole_name(m.id),
        parent: m.parent,
        special_use: m.special_use,
        selectable: m.stage == Stage::Live,
        has_children: account
            .mailboxes
            .iter()
            .any(|c| c.parent == Some(m.id) && c.stage != Stage::Deleted),
        uid_validity: UidValidity::new(m.validity).unwrap(),
        uid_next: m.uid_next,
        highest_modseq: ModSeq(m.highest),
        messages: shown.len() as u32,
        unseen: count(1, false),
        deleted: count(8, true),
        size: shown.iter().map(|p| account.emails[&p.email].size).sum(),
        keywords: m.keywords.clone(),
    })
}

fn expected_placement(
    account: &AccountM,
    owner: bool,
    reader: AccountId,
    p: &MessageM,
) -> Placement {
    let email = &account.emails[&p.email];
    let seen = if owner { p.flags & 1 } else { u8::from(p.readers.contains(&reader)) };
    Placement {
        uid: p.uid,
        email: p.email,
        thread: email.thread,
        blob: email.blob,
        size: email.size,
        received: email.received,
        saved: p.saved,
        flags: Flags(p.flags & !1 | seen),
        keywords: p.keywords.clone(),
        modseq: ModSeq(p.modseq),
    }
}

fn messages(view: &View, id: AccountId, account: &AccountM, m: &MailboxM, reader: AccountId) {
    let shown: &[MessageM] = if m.stage == Stage::Live { &m.messages } else { &[] };
    let expected: Vec<Placement> =
        shown.iter().map(|p| expected_placement(account, reader == id, reader, p)).collect();
    let found = view.placements(id, m.id, reader, Uid::MIN, Uid::MAX, 10_000).unwrap();
    assert_eq!(found, expected, "mailbox {} of {id} for {reader}", m.id);
    let uids: Vec<Uid> = view.uids(id, m.id).unwrap().iter().collect();
    assert_eq!(uids, expected.iter().map(|p| p.uid).collect::<Vec<_>>());
    let unseen: Vec<Uid> = view.unseen(id, m.id, reader).unwrap().iter().collect();
    let dark = expected.iter().filter(|p| !p.flags.contains(Flags::SEEN));
    assert_eq!(unseen, dark.map(|p| p.uid).collect::<Vec<_>>());
    let deleted: Vec<Uid> = view.deleted(id, m.id).unwrap().iter().collect();
    let marked = expected.iter().filter(|p| p.flags.contains(Flags::DELETED));
    assert_eq!(deleted, marked.map(|p| p.uid).collect::<Vec<_>>());
    if let Some(last) = expected.last() {
        let one = view.placement(id, m.id, reader, last.uid).unwrap();
        assert_eq!(one.as_ref(), Some(last));
    }
}

fn standings(view: &View, id: AccountId, account: &AccountM, email: EmailId) {
    let live = account.mailboxes.iter().filter(|m| m.stage == Stage::Live);
    let mut expected: Vec<(MailboxId, Uid)> = live
        .flat_map(|m| m.messages.iter().filter(|p| p.email == email).map(|p| (m.id, p.uid)))
        .collect();
    expected.sort();
    assert_eq!(view.placements_of(id, email).unwrap(), expected);
}

fn changes(view: &View, id: AccountId, m: &MailboxM, floor: LogIndex) {
    for since in [0, m.highest / 2, m.highest.saturating_sub(1), m.highest] {
        let mut expected = MailboxChanges { complete: true, ..Default::default() };
        if m.stage == Stage::Live {
            let changed = m.messages.iter().filter(|p| p.modseq > since);
            expected.changed = changed.map(|p| (p.uid, ModSeq(p.modseq))).collect();
            let vanished = m.vanished.iter().filter(|(_, modseq)| *modseq > since);
            expected.vanished = vanished.map(|(uid, _)| *uid).collect();
            expected.changed.sort();
            expected.vanished.sort();
        }
        let mut found = view.changed_since(id, m.id, ModSeq(since)).unwrap();
        if since < floor.0 && m.stage == Stage::Live {
            // Every UID that is absent counts as vanished: which of them is told is the same.
            let known = found.vanished.iter().all(|uid| expected.vanished.contains(uid));
            assert!(known && !found.complete, "since {since}, floor {floor}: {found:?}");
            (found.vanished, found.complete) = (expected.vanished.clone(), true);
        }
        assert_eq!(found, expected);
    }
}
