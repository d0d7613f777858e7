//! Searches that a mailbox's bitmaps answer: of ALL, SEEN, DELETED and sets, as clients ask most.

use std::sync::Arc;

use redoubt_log::id::{AccountId, BlobId, EmailId, ModSeq, Sequence, ThreadId, Timestamp, Uid};
use redoubt_log::record::Flags;
use redoubt_store::mailstore::{MailboxRef, StoreError};
use redoubt_store::search::{Candidate, NoReader, Query};
use redoubt_store::uids::UidSet;
use redoubt_store::view::{Placement, View};

use super::results::Results;
use crate::imap::reply::Trouble;
use crate::imap::session::Session;
use crate::imap::types::{Numbering, SearchKey};

/// Whether nothing else is asked for, MODSEQs neither.
pub(super) fn settle(query: &Query, key: &SearchKey) -> bool {
    !key.asks_modseq() && query.flags().is_some_and(|flags| KNOWN.contains(flags))
}

/// The flags that there are bitmaps of.
const KNOWN: Flags = Flags(Flags::SEEN.0 | Flags::DELETED.0);

/// What matches of these (rising). The MODSEQs are not looked up.
pub(super) async fn find(
    session: &Session,
    query: Arc<Query>,
    uids: Vec<Uid>,
    numbering: Numbering,
) -> Result<Results, Trouble> {
    let selected = session.selected()?;
    let (mailbox, reader) = (selected.mailbox, selected.reader);
    let (snapshot, recent) = (selected.uids().clone(), selected.recent().clone());
    let judge = Judge { query, mailbox, reader, snapshot, recent, numbering };
    session.read_selected(move |view| judge.all(view, &uids)).await
}

struct Judge {
    query: Arc<Query>,
    mailbox: MailboxRef,
    reader: AccountId,
    snapshot: Arc<UidSet>,
    recent: Arc<UidSet>,
    numbering: Numbering,
}

impl Judge {
    fn all(&self, view: &View, uids: &[Uid]) -> Result<Results, StoreError> {
        let MailboxRef { account, mailbox } = self.mailbox;
        let asked = self.query.flags().unwrap_or(Flags::NONE);
        let (present, unseen) = match asked.contains(Flags::SEEN) {
            true => view.opened(account, mailbox, self.reader)?,
            false => (view.uids(account, mailbox)?, UidSet::default()),
        };
        let deleted = match asked.contains(Flags::DELETED) {
            true => view.deleted(account, mailbox)?,
            false => UidSet::default(),
        };
        let mut found = Results::default();
        for uid in uids.iter().filter(|uid| present.contains(**uid)) {
            let seen = if unseen.contains(*uid) { Flags::NONE } else { Flags::SEEN };
            let deleted = if deleted.contains(*uid) { Flags::DELETED } else { Flags::NONE };
            let Some(sequence) = self.snapshot.rank(*uid) else { continue };
            let recent = self.recent.contains(*uid);
            let placement = marked(*uid, seen.with(deleted));
            let candidate = Candidate { placement, sequence, recent };
            if self.query.matches(&NoReader, &candidate)? {
                let number = match self.numbering {
                    Numbering::Sequence => sequence,
                    Numbering::Uid => uid.get(),
                };
                found.push(number, ModSeq(0));
            }
        }
        Ok(found)
    }
}

const NONE: EmailId = EmailId { sequence: Sequence(0), ordinal: 0 };

/// A placement of which nothing else is asked.
fn marked(uid: Uid, flags: Flags) -> Placement {
    Placement {
        uid,
        email: NONE,
        thread: ThreadId(NONE),
        blob: BlobId([0; 32]),
        size: 0,
        received: Timestamp(0),
        saved: Timestamp(0),
        flags,
        keywords: Vec::new(),
        modseq: ModSeq(0),
    }
}
