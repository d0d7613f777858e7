//! What is different between two moments.

use redoubt_log::id::{AccountId, EmailId, MailboxId, Uid};
use serde::{Deserialize, Serialize};

use super::{Cursor, Names, Place, flag_names, flags_between};
use crate::mailstore::StoreError;
use crate::rows::PlacementVersion;
use crate::uids::UidSet;
use crate::view::View;

/// Placements compared at one time.
const BATCH: usize = 4096;

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All of an account.
    Account,
    /// One mailbox.
    Mailbox(MailboxId),
}

impl Scope {
    fn has(self, mailbox: MailboxId) -> bool {
        match self {
            Self::Account => true,
            Self::Mailbox(only) => only == mailbox,
        }
    }
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Difference {
    /// A mailbox that was not there.
    MailboxAdded {
        /// Its name.
        name: String,
    },
    /// A mailbox that is not there any more.
    MailboxRemoved {
        /// Its name then.
        name: String,
    },
    /// A mailbox with another name.
    MailboxMoved {
        /// Its name before.
        from: String,
        /// Its name after.
        to: String,
    },
    /// An email that was not there.
    Added {
        /// Where it is.
        place: Place,
        /// Which one.
        #[serde(rename = "email_id", with = "super::text")]
        email: EmailId,
        /// Its flags and keywords.
        flags: Vec<String>,
    },
    /// An email that is not there any more.
    Removed {
        /// Where it was.
        place: Place,
        /// Which one.
        #[serde(rename = "email_id", with = "super::text")]
        email: EmailId,
        /// Its flags and keywords then.
        flags: Vec<String>,
    },
    /// An email whose flags or keywords changed.
    Flags {
        /// Where it is.
        place: Place,
        /// Which one.
        #[serde(rename = "email_id", with = "super::text")]
        email: EmailId,
        /// Those that it got.
        added: Vec<String>,
        /// Those that it lost.
        removed: Vec<String>,
    },
    /// An email that stands elsewhere.
    Moved {
        /// Where it was.
        from: Place,
        /// Where it is.
        to: Place,
        /// Which one.
        #[serde(rename = "email_id", with = "super::text")]
        email: EmailId,
        /// Its flags and keywords after.
        flags: Vec<String>,
    },
}

/// Mailboxes that came, went or got another name, by id.
///
/// # Errors
/// The state cannot be read.
pub fn mailbox_differences(
    old: &View,
    new: &View,
    account: AccountId,
    scope: Scope,
) -> Result<Vec<Difference>, StoreError> {
    let names = |view: &View| -> Result<Vec<(MailboxId, String)>, StoreError> {
        let all = view.mailboxes(account)?.into_iter();
        Ok(all.map(|m| (m.id, m.name)).filter(|(id, _)| scope.has(*id)).collect())
    };
    let (was, is) = (names(old)?, names(new)?);
    let find = |list: &[(MailboxId, String)], id: MailboxId| {
        list.iter().find(|(other, _)| *other == id).map(|(_, name)| name.clone())
    };
    let mut ids: Vec<MailboxId> = was.iter().chain(&is).map(|(id, _)| *id).collect();
    ids.sort_unstable();
    ids.dedup();
    let told = ids.into_iter().filter_map(|id| match (find(&was, id), find(&is, id)) {
        (None, Some(name)) => Some(Difference::MailboxAdded { name }),
        (Some(name), None) => Some(Difference::MailboxRemoved { name }),
        (Some(from), Some(to)) if from != to => Some(Difference::MailboxMoved { from, to }),
        _ => None,
    });
    Ok(told.collect())
}

/// Two moments of an account.
struct Pair<'a> {
    old: &'a View,
    new: &'a View,
    account: AccountId,
    scope: Scope,
    names: Names,
}

/// Emails that came, went, moved or got other flags, by mailbox and UID; some `limit` of them,
/// and where to go on if there may be more.
///
/// # Errors
/// The state cannot be read.
pub fn diff(
    old: &View,
    new: &View,
    account: AccountId,
    scope: Scope,
    after: Option<Cursor>,
    limit: usize,
) -> Result<(Vec<Difference>, Option<Cursor>), StoreError> {
    let pair = Pair { old, new, account, scope, names: Names::read(new, account)? };
    let mut told = Vec::new();
    for mailbox in pair.names.ids().filter(|id| scope.has(*id)) {
        let mut first = Cursor::first_in(after, mailbox);
        while let Some(from) = first {
            let last = pair.batch(mailbox, from, &mut told)?;
            first = last.and_then(|last| last.get().checked_add(1)).and_then(Uid::new);
            if let Some(last) = last.filter(|_| told.len() >= limit) {
                return Ok((told, Some(Cursor { mailbox, uid: last.get() })));
            }
        }
        if told.len() >= limit {
            return Ok((told, Some(Cursor { mailbox, uid: u32::MAX })));
        }
    }
    Ok((told, None))
}

impl Pair<'_> {
    /// Compares placements from a UID on; the last UID looked at, if there may be more.
    fn batch(
        &self,
        mailbox: MailboxId,
        from: Uid,
        told: &mut Vec<Difference>,
    ) -> Result<Option<Uid>, StoreError> {
        let touched = self.new.touched_since(self.account, mailbox, self.old.index())?;
        let some: Option<UidSet> =
            touched.map(|touched| touched.range(from, Uid::MAX).take(BATCH).collect());
        let last =
            some.as_ref().and_then(|some| some.last().filter(|_| some.len() as usize == BATCH));
        if some.as_ref().is_some_and(UidSet::is_empty) {
            return Ok(None);
        }
        let versions = |view: &View| view.placement_versions(self.account, mailbox, some.as_ref());
        let (was, is) = (versions(self.old)?, versions(self.new)?);
        for (uid, was, is) in joined(was, is) {
            if uid >= from {
                told.extend(self.difference(mailbox, uid, was, is)?);
            }
        }
        Ok(last)
    }

    fn difference(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        was: Option<PlacementVersion>,
        is: Option<PlacementVersion>,
    ) -> Result<Option<Difference>, StoreError> {
        Ok(match (was, is) {
            (Some(was), Some(is)) => {
                let (added, removed) = flags_between(&was, &is);
                let changed = !(added.is_empty() && removed.is_empty());
                let (place, email) = (self.place_now(mailbox, uid), is.email);
                changed.then_some(Difference::Flags { place, email, added, removed })
            }
            (Some(was), None) => Some(self.left(mailbox, uid, &was)?),
            (None, Some(is)) => self.came(mailbox, uid, &is)?,
            (None, None) => None,
        })
    }

    fn left(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        was: &PlacementVersion,
    ) -> Result<Difference, StoreError> {
        let (gone, come) = self.places(was.email)?;
        let at = gone.iter().position(|place| *place == (mailbox, uid));
        let from = self.place_then(mailbox, uid);
        Ok(match at.and_then(|at| come.get(at)) {
            Some(to) => {
                let version = self.new.placement(self.account, to.0, self.account, to.1)?;
                let flags = version.map(|v| flag_names(v.flags, &v.keywords)).unwrap_or_default();
                let to = self.place_now(to.0, to.1);
                Difference::Moved { from, to, email: was.email, flags }
            }
            None => {
                let flags = flag_names(was.flags, &was.keywords);
                Difference::Removed { place: from, email: was.email, flags }
            }
        })
    }

    /// What was moved is told where it was, unless that is out of scope.
    fn came(
        &self,
        mailbox: MailboxId,
        uid: Uid,
        is: &PlacementVersion,
    ) -> Result<Option<Difference>, StoreError> {
        let (gone, come) = self.places(is.email)?;
        let at = come.iter().position(|place| *place == (mailbox, uid));
        let (place, flags) = (self.place_now(mailbox, uid), flag_names(is.flags, &is.keywords));
        Ok(match at.and_then(|at| gone.get(at)) {
            Some(from) if self.scope.has(from.0) => None,
            Some(from) => {
                let from = self.place_then(from.0, from.1);
                Some(Difference::Moved { from, to: place, email: is.email, flags })
            }
            None => Some(Difference::Added { place, email: is.email, flags }),
        })
    }

    /// Where an email stood and does not stand, and where it stands and did not.
    #[allow(clippy::type_complexity)]
    fn places(
        &self,
        email: EmailId,
    ) -> Result<(Vec<(MailboxId, Uid)>, Vec<(MailboxId, Uid)>), StoreError> {
        let mut was = self.old.placements_of(self.account, email)?;
        let mut is = self.new.placements_of(self.account, email)?;
        let before = was.clone();
        was.retain(|place| !is.contains(place));
        is.retain(|place| !before.contains(place));
        Ok((was, is))
    }

    fn place_now(&self, mailbox: MailboxId, uid: Uid) -> Place {
        Place { mailbox, name: self.names.name(mailbox, self.new.index()), uid }
    }

    fn place_then(&self, mailbox: MailboxId, uid: Uid) -> Place {
        Place { mailbox, name: self.names.name(mailbox, self.old.index()), uid }
    }
}

type Versions = Vec<(Uid, PlacementVersion)>;

/// Both sides by UID, rising.
fn joined(
    was: Versions,
    is: Versions,
) -> impl Iterator<Item = (Uid, Option<PlacementVersion>, Option<PlacementVersion>)> {
    let (mut was, mut is) = (was.into_iter().peekable(), is.into_iter().peekable());
    std::iter::from_fn(move || {
        let uid = match (was.peek(), is.peek()) {
            (Some((a, _)), Some((b, _))) => *a.min(b),
            (Some((uid, _)), None) | (None, Some((uid, _))) => *uid,
            (None, None) => return None,
        };
        let old = was.next_if(|(other, _)| *other == uid).map(|(_, version)| version);
        let new = is.next_if(|(other, _)| *other == uid).map(|(_, version)| version);
        Some((uid, old, new))
    })
}
