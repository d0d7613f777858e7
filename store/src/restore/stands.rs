//! Where emails stand, then and now, and the steps from the one to the other.

use std::cell::RefCell;
use std::collections::BTreeMap;

use redoubt_log::id::{AccountId, BlobId, EmailId, MailboxId, ModSeq, Timestamp, Uid};
use redoubt_log::record::{Flags, Keyword, RestoreEmail, RestorePlace, RestoreStep, RestoreTo};

use super::{PlanError, Planned};
use crate::keys::Object;
use crate::rows::EmailData;
use crate::storage::{Table, decode};
use crate::view::{Placement, View};

/// Placements of one page.
const PAGE: usize = 10_000;

/// A placement, then or now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stand {
    pub(super) mailbox: MailboxId,
    pub(super) uid: Uid,
    pub(super) flags: Flags,
    pub(super) keywords: Vec<Keyword>,
    pub(super) modseq: ModSeq,
}

impl Stand {
    pub(super) fn of(mailbox: MailboxId, placement: Placement) -> Self {
        let Placement { uid, flags, keywords, modseq, .. } = placement;
        Self { mailbox, uid, flags, keywords, modseq }
    }

    fn looks_as(&self, flags: Flags, keywords: &[Keyword]) -> bool {
        let folded = |list: &[Keyword]| -> Vec<String> {
            list.iter().map(|keyword| keyword.to_ascii_lowercase()).collect()
        };
        self.flags == flags && folded(&self.keywords) == folded(keywords)
    }
}

/// Placements by their emails.
pub(super) type Stands = BTreeMap<EmailId, Vec<Stand>>;

/// Every placement of an account as of a view.
pub(super) fn all(view: &View, account: AccountId) -> Planned<Stands> {
    let mut stands = Stands::new();
    for mailbox in view.mailboxes(account)?.iter().filter(|mailbox| mailbox.selectable) {
        of_mailbox(view, account, mailbox.id, &mut |email, stand| {
            stands.entry(email).or_default().push(stand);
        })?;
    }
    Ok(stands)
}

/// Every placement of one mailbox as of a view.
pub(super) fn of_mailbox(
    view: &View,
    account: AccountId,
    mailbox: MailboxId,
    look: &mut dyn FnMut(EmailId, Stand),
) -> Planned<()> {
    let mut from = Some(Uid::MIN);
    while let Some(first) = from {
        let page = view.placements(account, mailbox, account, first, Uid::MAX, PAGE)?;
        let last = page.last().map(|placement| placement.uid);
        from =
            last.filter(|_| page.len() == PAGE).and_then(|uid| Uid::new(uid.get().wrapping_add(1)));
        for placement in page {
            look(placement.email, Stand::of(mailbox, placement));
        }
    }
    Ok(())
}

/// Every placement of some emails as of a view.
pub(super) fn of_emails(
    view: &View,
    account: AccountId,
    emails: impl IntoIterator<Item = EmailId>,
) -> Planned<Stands> {
    let mut stands = Stands::new();
    for email in emails {
        for (mailbox, uid) in view.placements_of(account, email)? {
            if let Some(placement) = view.placement(account, mailbox, account, uid)? {
                stands.entry(email).or_default().push(Stand::of(mailbox, placement));
            }
        }
    }
    Ok(stands)
}

/// A placement that is wanted, and where it stood then.
#[derive(Debug, Clone)]
pub(super) struct Want {
    pub(super) to: RestoreTo,
    pub(super) stood: (MailboxId, Uid),
    pub(super) flags: Flags,
    pub(super) keywords: Vec<Keyword>,
}

/// What comes of wants and of what is there.
#[derive(Debug, Default)]
pub(super) struct Diff {
    /// Flags that are others now.
    pub(super) flags: Vec<RestoreStep>,
    /// What went elsewhere.
    pub(super) moves: Vec<RestoreStep>,
    /// What is missing, by where it stood.
    pub(super) missing: Vec<Want>,
    /// What is there and was not wanted.
    pub(super) extra: Vec<Stand>,
}

/// Compares an email's placements of then with those of now. A placement that
/// moved goes back rather than being made anew.
pub(super) fn diff(email: EmailId, wants: Vec<Want>, live: Vec<Stand>, only_flags: bool) -> Diff {
    let mut diff = Diff::default();
    let mut extra = live;
    let mut open = Vec::new();
    let mut same = |want: &Want, extra: &mut Vec<Stand>, by_uid: bool| {
        let here = |stand: &Stand| {
            RestoreTo::Mailbox(stand.mailbox) == want.to
                && (!by_uid || (stand.mailbox, stand.uid) == want.stood)
        };
        let place = extra.iter().position(here)?;
        let stand = extra.remove(place);
        if !stand.looks_as(want.flags, &want.keywords) {
            diff.flags.push(flags_step(email, &stand, want.flags, want.keywords.clone()));
        }
        Some(())
    };
    for want in wants {
        if same(&want, &mut extra, true).is_none() {
            open.push(want);
        }
    }
    open.retain(|want| same(want, &mut extra, false).is_none());
    if only_flags {
        return diff;
    }
    for want in open {
        match extra.pop() {
            Some(stand) => diff.moves.push(RestoreStep::Move {
                from: stand.mailbox,
                uid: stand.uid,
                email,
                to: want.to,
                flags: want.flags,
                keywords: want.keywords,
            }),
            None => diff.missing.push(want),
        }
    }
    diff.extra = extra;
    diff
}

pub(super) fn flags_step(
    email: EmailId,
    stand: &Stand,
    flags: Flags,
    keywords: Vec<Keyword>,
) -> RestoreStep {
    let Stand { mailbox, uid, modseq, .. } = *stand;
    RestoreStep::Flags { mailbox, uid, email, modseq, flags, keywords }
}

/// What an email is, or was when it was last there.
pub(crate) fn data(
    view: &View,
    account: AccountId,
    email: EmailId,
) -> Result<Option<EmailData>, PlanError> {
    if let Some(data) = view.email(account, email)? {
        return Ok(Some(data));
    }
    let versions = view.history(&Object::Email(account, email))?;
    let last = versions.into_iter().rev().find_map(|version| version.value);
    Ok(last.map(|value| decode(Table::History, &[], &value)).transpose()?)
}

/// Emails that are to have placements, in the order in which these get their UIDs.
#[derive(Debug, Default)]
pub(super) struct Emails(Vec<((MailboxId, Uid), RestoreStep)>);

/// Placements of one step at most: its record has room for them all.
const PLACES: usize = 100;

impl Emails {
    /// An email gets placements. `there` says how many it has already in a mailbox; each new
    /// one counts on from there. False when the history does not know it any more.
    pub(super) fn add(
        &mut self,
        view: &View,
        from: AccountId,
        email: EmailId,
        wants: &[Want],
        there: &dyn Fn(RestoreTo) -> u32,
        twins: Option<&Twins>,
    ) -> Planned<bool> {
        let Some(data) = data(view, from, email)? else { return Ok(false) };
        let mut copies: BTreeMap<RestoreTo, u32> = BTreeMap::new();
        let mut places = Vec::with_capacity(wants.len());
        for want in wants {
            let count = copies.entry(want.to).or_insert_with(|| there(want.to));
            *count += 1;
            let (to, flags, keywords) = (want.to, want.flags, want.keywords.clone());
            places.push(RestorePlace { to, flags, keywords, copies: *count });
        }
        let Some(first) = wants.iter().map(|want| want.stood).min() else { return Ok(true) };
        let twin = twins.and_then(|twins| twins.of(&data, wants));
        let (blob, envelope) = (data.blob, data.envelope);
        for places in places.chunks(PLACES) {
            let places = places.to_vec();
            let step = RestoreEmail { from, email, blob, envelope, twin, places };
            self.0.push((first, RestoreStep::Email(step)));
        }
        Ok(true)
    }

    /// By where they stood first.
    pub(super) fn steps(mut self) -> impl Iterator<Item = RestoreStep> {
        self.0.sort_by_key(|(place, _)| *place);
        self.0.into_iter().map(|(_, step)| step)
    }
}

/// Emails, and how often each stands where.
type Placed = BTreeMap<EmailId, BTreeMap<RestoreTo, usize>>;

/// Live emails of another account, by what makes them the same: bytes and received time.
#[derive(Debug, Default)]
pub(super) struct Twins(RefCell<BTreeMap<(BlobId, Timestamp), Placed>>);

impl Twins {
    /// Those of an account; an account without emails is not read.
    pub(super) fn of_account(view: &View, account: AccountId) -> Planned<Self> {
        let mut twins: BTreeMap<_, Placed> = BTreeMap::new();
        let there = view.account(account)?.ok_or(PlanError::NoSuchAccount(account))?;
        if there.emails == 0 {
            return Ok(Self::default());
        }
        for mailbox in view.mailboxes(account)?.iter().filter(|mailbox| mailbox.selectable) {
            let mut from = Some(Uid::MIN);
            while let Some(first) = from {
                let page = view.placements(account, mailbox.id, account, first, Uid::MAX, PAGE)?;
                let last = page.last().map(|placement| placement.uid);
                from = last
                    .filter(|_| page.len() == PAGE)
                    .and_then(|uid| Uid::new(uid.get().wrapping_add(1)));
                for p in page {
                    let same = twins.entry((p.blob, p.received)).or_default();
                    let places = same.entry(p.email).or_default();
                    *places.entry(RestoreTo::Mailbox(mailbox.id)).or_default() += 1;
                }
            }
        }
        Ok(Self(RefCell::new(twins)))
    }

    /// Each is the twin of one email: the one that stands where this is wanted, if there is one,
    /// and of those the one that stands nowhere else, which another may want more.
    fn of(&self, data: &EmailData, wants: &[Want]) -> Option<EmailId> {
        let mut all = self.0.borrow_mut();
        let same = all.get_mut(&(data.blob, data.received))?;
        let shared = |(_, places): &(&EmailId, &BTreeMap<RestoreTo, usize>)| {
            let wanted = |to: &RestoreTo| wants.iter().filter(|want| want.to == *to).count();
            let shared: usize = places.iter().map(|(to, count)| wanted(to).min(*count)).sum();
            (shared, std::cmp::Reverse(places.values().sum::<usize>()))
        };
        let twin = *same.iter().max_by_key(shared)?.0;
        same.remove(&twin);
        Some(twin)
    }
}
