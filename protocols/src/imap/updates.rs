//! Telling a session's client what happened in its mailbox (RFC 9051 section 7).

use std::fmt::Write;

use redoubt_log::id::{AccountId, ModSeq, Uid};
use redoubt_log::record::Flags;
use redoubt_store::mailstore::{MailboxRef, StoreError};
use redoubt_store::view::{Placement, View};

use super::encode::{FetchLine, code, flags, vanished};
use super::reply::{End, Trouble};
use super::selected::{Delta, Updates};
use super::session::{Session, blocking};

/// Messages whose flags are read at one time.
const PAGE: usize = 256;
/// Every system flag but `\Recent`.
const ALL_FLAGS: Flags = Flags(31);
/// How often a command looks again for what came while it told what had come.
const ROUNDS: usize = 3;

/// Messages whose flags are to be told; those that are gone have no placement.
#[derive(Default)]
struct Owed {
    uids: Vec<Uid>,
    placements: Vec<Placement>,
}

impl Session {
    /// Tells what happened in the selected mailbox since the last time, if anything did: all that
    /// happened anywhere before this call.
    ///
    /// # Errors
    /// The store cannot be read (the next call tries again), or the client or mailbox is gone.
    pub(super) async fn sync(&mut self, may_expunge: bool) -> Result<(), Trouble> {
        match self.has_news(may_expunge).await {
            true => {
                let view = self.view().await?;
                self.tell_from(view, may_expunge).await
            }
            false => Ok(()),
        }
    }

    /// The same of what is applied here, which has all that this session was answered from. So
    /// what a command did is told with it, also while nobody leads.
    ///
    /// # Errors
    /// The views cannot be read (the next call tries again), or the client or mailbox is gone.
    pub(super) async fn sync_here(&mut self, may_expunge: bool) -> Result<(), Trouble> {
        for _ in 0..ROUNDS {
            if !self.has_news(may_expunge).await {
                break;
            }
            let view = self.imap.store.local_view()?;
            self.tell_from(view, may_expunge).await?;
        }
        Ok(())
    }

    /// It stays marked until it is told.
    async fn has_news(&mut self, may_expunge: bool) -> bool {
        let woken = self.woken().await;
        // What was then does not change.
        let now = self.selected.as_ref().filter(|selected| selected.past.is_none());
        let Some(selected) = now else { return false };
        let owes = if may_expunge { selected.owes() } else { !selected.owed(1).is_empty() };
        if woken {
            self.mark_dirty();
        }
        woken || owes
    }

    async fn tell_from(&mut self, view: View, may_expunge: bool) -> Result<(), Trouble> {
        let Some(selected) = &self.selected else { return Ok(()) };
        let (mailbox, since) = (selected.mailbox, selected.synced());
        let job = move || Ok((Delta::read(&view, mailbox, since)?, view));
        let (delta, view) = blocking(job).await?;
        self.mark_clean();
        match delta {
            Some(delta) => self.tell(delta, view, may_expunge).await,
            None => Err(End::Bye("The selected mailbox was deleted".into()).into()),
        }
    }

    async fn tell(&mut self, delta: Delta, view: View, may_expunge: bool) -> Result<(), Trouble> {
        let Some(selected) = &mut self.selected else { return Ok(()) };
        let last = selected.uids().last();
        let mut updates = selected.advance(delta, may_expunge);
        if updates.exists.is_some() {
            self.claim_recent(last, &mut updates);
        }
        // Of the same view, as far as one page goes; the view is not held while octets go out.
        let flags = self.owed_flags(view).await;
        self.tell_expunged(&updates).await?;
        self.tell_counts(&updates);
        self.tell_flags(flags?).await?;
        if updates.exists.is_some() {
            self.tell_highest();
        }
        Ok(())
    }

    /// New messages bring no MODSEQ with them: without this a client that appended would be
    /// sent its own messages as changes by its next resynchronisation (RFC 7162 section 3.1.2.1).
    fn tell_highest(&mut self) {
        let Some(selected) = self.selected.as_ref().filter(|_| self.qresync) else { return };
        let line =
            format!("OK [{}] The highest MODSEQ", code::highest_modseq(selected.highest_modseq()));
        self.untagged(&line);
    }

    /// New messages are recent in the one session that hears of them first.
    fn claim_recent(&mut self, known: Option<Uid>, updates: &mut Updates) {
        let Some(selected) = &mut self.selected else { return };
        let claim = !selected.read_only;
        let last = selected.uids().last();
        let watermark = self.imap.store.recent(selected.mailbox, last, claim);
        selected.mark_recent_above(watermark.max(known));
        updates.recent = Some(selected.recent().len());
    }

    async fn tell_expunged(&mut self, updates: &Updates) -> Result<(), End> {
        if updates.expunged.is_empty() {
            return Ok(());
        }
        if self.qresync {
            let uids = updates.expunged.iter().rev().map(|(_, uid)| *uid);
            vanished(self.conn.output(), uids, false);
            return Ok(());
        }
        for (number, _) in &updates.expunged {
            let _ = write!(self.conn.output(), "* {number} EXPUNGE\r\n");
            self.conn.relieve().await?;
        }
        Ok(())
    }

    fn tell_counts(&mut self, updates: &Updates) {
        if let Some(exists) = updates.exists {
            self.untagged(&format!("{exists} EXISTS"));
        }
        if let Some(recent) = updates.recent {
            self.untagged(&format!("{recent} RECENT"));
        }
        if updates.new_keywords {
            self.tell_keywords();
        }
    }

    /// FLAGS and PERMANENTFLAGS (RFC 9051 sections 7.1 and 7.3.5).
    pub(super) fn tell_keywords(&mut self) {
        let Some(selected) = &self.selected else { return };
        let keywords = &selected.keywords;
        let permanent = match selected.read_only {
            true => code::permanent_flags(Flags::NONE, &[], false),
            false => code::permanent_flags(ALL_FLAGS, keywords, true),
        };
        let out = self.conn.output();
        out.extend_from_slice(b"* FLAGS ");
        flags(out, ALL_FLAGS, keywords, false);
        let _ = write!(out, "\r\n* OK [{permanent}] Flags that are kept\r\n");
    }

    /// The next messages whose flags are owed, and their placements.
    async fn owed_flags(&self, view: View) -> Result<Owed, Trouble> {
        let Some(selected) = &self.selected else { return Ok(Owed::default()) };
        let (mailbox, reader, uids) = (selected.mailbox, selected.reader, selected.owed(PAGE));
        if uids.is_empty() {
            return Ok(Owed::default());
        }
        let job = move || Ok((placements(&view, mailbox, reader, &uids)?, uids));
        let (placements, uids) = blocking(job).await?;
        Ok(Owed { uids, placements })
    }

    async fn tell_flags(&mut self, mut owed: Owed) -> Result<(), Trouble> {
        while !owed.uids.is_empty() {
            for placement in &owed.placements {
                self.tell_placement(placement, true);
            }
            if let Some(selected) = &mut self.selected {
                selected.paid(&owed.uids);
            }
            self.conn.relieve().await?;
            if owed.uids.len() < PAGE {
                break;
            }
            // What is told from here on may be younger than what was compared.
            self.mark_dirty();
            owed = self.owed_flags(self.imap.store.local_view()?).await?;
        }
        Ok(())
    }

    /// `* n FETCH (UID … FLAGS …)`; MODSEQ too where the client wants it.
    pub(super) fn tell_placement(&mut self, placement: &Placement, uid: bool) {
        let Some(selected) = &self.selected else { return };
        let Some(number) = selected.number(placement.uid) else { return };
        let recent = selected.recent().contains(placement.uid);
        let (condstore, out) = (self.condstore, self.conn.output());
        let mut line = FetchLine::begin(out, number);
        if uid || condstore {
            line.uid(out, placement.uid);
        }
        line.flags(out, placement.flags, &placement.keywords, recent);
        if condstore {
            line.modseq(out, placement.modseq);
        }
        line.end(out);
    }

    /// `* n FETCH (UID … MODSEQ …)`
    pub(super) fn tell_modseq(&mut self, uid: Uid, modseq: ModSeq) {
        let Some(selected) = &self.selected else { return };
        let Some(number) = selected.number(uid) else { return };
        let out = self.conn.output();
        let mut line = FetchLine::begin(out, number);
        line.uid(out, uid);
        line.modseq(out, modseq);
        line.end(out);
    }
}

/// Rows that are passed over for one that is wanted: a step costs a fraction of looking one up.
const DENSE: u64 = 12;

/// The placements of some UIDs (rising), those that are gone left out. Blocks.
pub(super) fn placements(
    view: &View,
    mailbox: MailboxRef,
    reader: AccountId,
    uids: &[Uid],
) -> Result<Vec<Placement>, StoreError> {
    let MailboxRef { account, mailbox } = mailbox;
    let (Some(first), Some(last)) = (uids.first(), uids.last()) else {
        return Ok(Vec::new());
    };
    let span = u64::from(last.get()) - u64::from(first.get()) + 1;
    // Whose flags have to be looked up row by row wants few rows too many.
    let passed_over = if reader == account { DENSE } else { 4 };
    if span <= uids.len() as u64 * passed_over {
        let limit = usize::try_from(span).unwrap_or(usize::MAX);
        let mut found = view.placements(account, mailbox, reader, *first, *last, limit)?;
        found.retain(|placement| uids.binary_search(&placement.uid).is_ok());
        return Ok(found);
    }
    view.placements_at(account, mailbox, reader, uids)
}
