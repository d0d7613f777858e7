//! Emails: their placements, their threads.

use redoubt_log::id::{AccountId, EmailId, LogIndex, MailboxId, ThreadId, ThreadKey, Uid};

use super::mailboxes::at;
use super::{Checked, Checker};
use crate::keys::{Key, Parts, of_accounts};
use crate::rows::{
    AccountRow, ChangeKind, EmailData, EmailRow, MailboxRow, MailboxState, PlacementRow, Standing,
};
use crate::storage::{KeyRange, Table, applied, decode};

fn shown(account: AccountId, email: EmailId) -> String {
    format!("email {email} of account {account}")
}

impl Checker<'_> {
    pub(super) fn emails(&mut self) -> Checked {
        let id = |mut parts: Parts<'_>| Some((parts.account()?, parts.email()?));
        self.rows(Table::Email, &KeyRange::all(), id, |c, (a, email), row: EmailRow| {
            c.standings(a, email, &row)
        })?;
        self.email_placements()?;
        self.threads()
    }

    fn standings(&mut self, a: AccountId, email: EmailId, row: &EmailRow) -> Checked {
        let range = KeyRange::prefix(&Key::Email(a, email).bytes());
        let mut open = 0u32;
        self.raw_rows(Table::EmailPlacement, &range, |_, key, value| {
            let standing = decode::<Standing>(Table::EmailPlacement, key, value);
            open += u32::from(standing.is_ok_and(|standing| standing.until.is_none()));
            Ok(())
        })?;
        let right = open == row.placements && open > 0;
        let what = format!("{} placements are kept, {open} are there", row.placements);
        self.expect(right, "email", shown(a, email), what);
        Ok(())
    }

    /// The oldest thread among those of its keys, or its own.
    pub(super) fn threaded(&mut self, a: AccountId, email: EmailId, data: &EmailData) -> Checked {
        let mut best: Option<ThreadId> = None;
        for id in &data.keys.message_ids {
            match self.get::<ThreadId>(&Key::Thread(a, *id, data.keys.subject))? {
                Some(thread) => best = Some(best.map_or(thread, |best| best.min(thread))),
                None => self.wrong("thread", shown(a, email), format!("{id} leads to no thread")),
            }
        }
        let right = best.unwrap_or(ThreadId(email)) == data.thread;
        let what = format!("its keys lead to {best:?}, it is in {}", data.thread);
        self.expect(right, "thread", shown(a, email), what);
        Ok(())
    }

    fn email_placements(&mut self) -> Checked {
        let now = applied(self.reader).ok().flatten().map_or(LogIndex(0), |applied| applied.index);
        let parse = |mut parts: Parts<'_>| {
            let (a, email): (AccountId, EmailId) = (parts.account()?, parts.email()?);
            let place: (MailboxId, Uid) = (parts.mailbox()?, parts.uid()?);
            Some((a, email, place))
        };
        let range = of_accounts();
        self.rows(Table::EmailPlacement, &range, parse, |c, (a, email, (m, uid)), row| {
            let Standing { from, until } = row;
            let end = until.unwrap_or(now);
            let what = format!("in mailbox {m} from {from} until {until:?}, applied is {now}");
            c.expect(from <= end && end <= now, "email-placement", shown(a, email), what);
            let placed: Option<PlacementRow> = c.get(&Key::Placement(a, m, uid))?;
            let there = placed.is_some_and(|placed| placed.email == email);
            let what = format!("UID {uid} in mailbox {m} says otherwise");
            c.expect(there == until.is_none(), "email-placement", shown(a, email), what);
            until.map_or(Ok(()), |until| c.vanished(a, (m, uid), until))
        })
    }

    /// What went from a mailbox that is there is in its feed.
    fn vanished(&mut self, a: AccountId, (m, uid): (MailboxId, Uid), until: LogIndex) -> Checked {
        let mailbox: Option<MailboxRow> = self.get(&Key::Mailbox(a, m))?;
        let account: Option<AccountRow> = self.get(&Key::Account(a))?;
        let (Some(mailbox), Some(account)) = (mailbox, account) else { return Ok(()) };
        if mailbox.state != MailboxState::Live || until <= self.floor(a)? {
            return Ok(());
        }
        let modseq = account.sequence(until).into();
        let feed: Option<ChangeKind> = self.get(&Key::Change(a, m, modseq, uid))?;
        let told = feed == Some(ChangeKind::Vanished);
        self.expect(told, "change", at(a, m), format!("UID {uid} went unseen at {modseq}"));
        Ok(())
    }

    /// A thread is called after an email that was there first.
    fn threads(&mut self) -> Checked {
        let parse = |mut parts: Parts<'_>| {
            let a = parts.account()?;
            let keys: (ThreadKey, ThreadKey) = (parts.thread_key()?, parts.thread_key()?);
            Some((a, keys.0))
        };
        self.rows(Table::Thread, &KeyRange::all(), parse, |c, (a, id), thread: ThreadId| {
            let object = crate::keys::Object::Email(a, thread.0);
            let account: Option<AccountRow> = c.get(&Key::Account(a))?;
            let old = account.map(|account| account.sequence(c.floor(a).unwrap_or_default()));
            let known = old.is_some_and(|old| thread.0.sequence <= old)
                || c.reader.last(Table::History, &object.versions())?.is_some()
                || c.has(&Key::Erased(a, thread.0))?;
            let what = format!("it leads to {thread}, which no email began");
            c.expect(known, "thread", format!("key {id} of account {a}"), what);
            Ok(())
        })
    }
}
