//! Holds, what they are over, and which emails they have marked.

use std::collections::BTreeMap;

use redoubt_log::id::{AccountId, EmailId, HoldId};
use redoubt_log::record::{Held, HoldScope, Reach};

use super::{Checked, Checker};
use crate::keys::{DIRECTORY, Key, Meta, Object, Parts, holds_over, judged, marks, of_accounts};
use crate::rows::{HoldAtRow, HoldRow};
use crate::storage::{KeyRange, Table};

/// Behind the account and the kind of row.
fn number(mut parts: Parts<'_>) -> Option<u64> {
    parts.account().and(parts.u8()).and(parts.u64())
}

impl Checker<'_> {
    pub(super) fn holds(&mut self) -> Checked {
        let next: u64 = self.get(&Key::Meta(Meta::NextHold))?.unwrap_or(1);
        let range = holds_over(DIRECTORY).range();
        self.rows(Table::Account, &range, number, |c, hold, row: HoldRow| {
            let id = HoldId(hold);
            let over = match row.terms.scope.reach() {
                Reach::Domain(name) => c.has(&Key::HoldOn(name, id))?,
                Reach::All => c.has(&Key::HoldOn("", id))?,
                // Of several some may never have been known here.
                Reach::Accounts(_) => match row.terms.scope {
                    HoldScope::Account(account) => c.has(&Key::Hold(account, id))?,
                    _ => true,
                },
            };
            c.expect(over && hold < next, "hold", hold, "what it is over is not held");
            Ok(())
        })?;
        self.held_accounts()?;
        self.held_domains()?;
        self.held_emails()
    }

    fn held_accounts(&mut self) -> Checked {
        self.raw_rows(Table::Account, &of_accounts(), |c, key, _| {
            let mut parts = Parts::new(key);
            if let (Some(account), Some(b'h'), Some(hold)) =
                (parts.account(), parts.u8(), parts.u64())
            {
                let there = c.has(&Key::Hold(DIRECTORY, HoldId(hold)))?;
                c.expect(there, "hold", hold, format!("account {account} is held by none"));
            }
            Ok(())
        })
    }

    fn held_domains(&mut self) -> Checked {
        let parse = |mut parts: Parts<'_>| {
            parts.u8()?;
            let domain = parts.text_to_zero()?.to_owned();
            Some((domain, HoldId(parts.u64()?)))
        };
        let range = KeyRange::prefix(b"h");
        self.rows(Table::Directory, &range, parse, |c, (domain, hold), (): ()| {
            let there = c.has(&Key::Hold(DIRECTORY, hold))?;
            c.expect(there, "hold", hold, format!("domain {domain:?} is held by none"));
            Ok(())
        })
    }

    /// A mark is of an email that is there, behind none that was judged, and counted.
    fn held_emails(&mut self) -> Checked {
        let mut counts: BTreeMap<(HoldId, AccountId), (u64, Option<EmailId>)> = BTreeMap::new();
        let parse = |mut parts: Parts<'_>| {
            let hold = HoldId(parts.account().and(parts.u8()).and(parts.u64())?);
            Some((hold, parts.account()?, parts.email()?))
        };
        let range = marks().range();
        self.rows(Table::EmailPlacement, &range, parse, |c, (hold, account, email), _: Held| {
            let count = counts.entry((hold, account)).or_default();
            *count = (count.0 + 1, Some(email));
            let range = Object::Email(account, email).versions();
            let there = !c.reader.scan(Table::History, &range, 1)?.is_empty();
            let what = format!("email {email} of account {account} is held, and is gone");
            c.expect(there, "hold", hold, what);
            Ok(())
        })?;
        let parse = |mut parts: Parts<'_>| {
            let hold = HoldId(parts.account().and(parts.u8()).and(parts.u64())?);
            Some((hold, parts.account()?))
        };
        self.rows(
            Table::Account,
            &judged().range(),
            parse,
            |c, (hold, account), at: HoldAtRow| {
                let (count, last) = counts.remove(&(hold, account)).unwrap_or_default();
                let row: Option<HoldRow> = c.get(&Key::Hold(DIRECTORY, hold))?;
                let ending = row.as_ref().and_then(|row| row.releasing).is_some_and(|r| r.ending);
                let right = row.is_some() && (ending || count == at.held) && last <= at.upto;
                let what = format!("account {account}: {count} emails up to {last:?} at {at:?}");
                c.expect(right, "hold", hold, what);
                Ok(())
            },
        )?;
        for (hold, account) in counts.into_keys() {
            let row: Option<HoldRow> = self.get(&Key::Hold(DIRECTORY, hold))?;
            let ending = row.as_ref().and_then(|row| row.releasing).is_some_and(|r| r.ending);
            let what = format!("emails of account {account} are marked, and none was judged");
            self.expect(ending, "hold", hold, what);
        }
        Ok(())
    }
}
