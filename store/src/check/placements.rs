//! Placements, and what every other table says of them.

use redoubt_log::id::{AccountId, MailboxId, ModSeq, Uid};
use redoubt_log::record::Flags;

use super::mailboxes::at;
use super::{Checked, Checker};
use crate::keys::{Key, Parts, chunk_of};
use crate::mailbox::find;
use crate::rows::{Bits, ChangeKind, EmailRow, MailboxRow, PlacementRow, Standing, UidChunk};
use crate::storage::{KeyRange, Table};

type Place = (AccountId, MailboxId, Uid);

fn place(mut parts: Parts<'_>) -> Option<Place> {
    Some((parts.account()?, parts.mailbox()?, parts.uid()?))
}

fn shown((a, m, uid): Place) -> String {
    format!("UID {uid} in {}", at(a, m))
}

impl Checker<'_> {
    pub(super) fn placements(&mut self) -> Checked {
        self.rows(Table::Placement, &KeyRange::all(), place, |c, place, row: PlacementRow| {
            c.placed_email(place, &row)?;
            c.mapped(place, &row)?;
            c.known_keywords(place, &row)?;
            let (a, m, uid) = place;
            let feed: Option<ChangeKind> = c.get(&Key::Change(a, m, row.version.modseq, uid))?;
            let told = feed == Some(ChangeKind::Live);
            c.expect(told, "change", shown(place), "its MODSEQ is not in the feed");
            Ok(())
        })?;
        self.changes()?;
        self.seen()
    }

    fn placed_email(&mut self, place: Place, row: &PlacementRow) -> Checked {
        let (a, m, uid) = place;
        let email: Option<EmailRow> = self.get(&Key::Email(a, row.email))?;
        let same = email.is_some_and(|email| {
            let data = email.data;
            (data.thread, data.blob, data.size, data.received)
                == (row.thread, row.blob, row.size, row.received)
        });
        let same = same && row.version.email == row.email;
        self.expect(same, "placement", shown(place), "it is not what its email is");
        let key = Key::EmailPlacement(a, row.email, m, uid);
        let open = self.get::<Standing>(&key)?.is_some_and(|standing| standing.until.is_none());
        self.expect(open, "email-placement", shown(place), "its email does not know it");
        Ok(())
    }

    fn mapped(&mut self, place: Place, row: &PlacementRow) -> Checked {
        let (a, m, uid) = place;
        let key = Key::UidMap(a, m, chunk_of(uid));
        let value = self.reader.get(Table::UidMap, &key.bytes())?;
        let chunk = value.and_then(|value| UidChunk::from_bytes(&value)).unwrap_or_default();
        let flags = row.version.flags;
        let right = chunk.present.get(uid)
            && chunk.seen.get(uid) == flags.contains(Flags::SEEN)
            && chunk.deleted.get(uid) == flags.contains(Flags::DELETED);
        self.expect(right, "uid-map", shown(place), "its bits are not its flags");
        Ok(())
    }

    fn known_keywords(&mut self, place: Place, row: &PlacementRow) -> Checked {
        let mailbox: Option<MailboxRow> = self.get(&Key::Mailbox(place.0, place.1))?;
        let known = mailbox.map(|row| row.keywords).unwrap_or_default();
        for keyword in &row.version.keywords {
            let right = find(&known, keyword) == Some(keyword);
            let what = format!("the mailbox does not know {keyword:?}");
            self.expect(right, "keyword", shown(place), what);
        }
        Ok(())
    }

    fn changes(&mut self) -> Checked {
        let change = |mut parts: Parts<'_>| {
            let (a, m) = (parts.account()?, parts.mailbox()?);
            let modseq = ModSeq(parts.u64()?);
            Some(((a, m, parts.uid()?), modseq))
        };
        self.rows(Table::Change, &KeyRange::all(), change, |c, (place, modseq), kind| {
            let (a, m, uid) = place;
            let row: Option<PlacementRow> = c.get(&Key::Placement(a, m, uid))?;
            let right = match kind {
                ChangeKind::Live => row.is_some_and(|row| row.version.modseq == modseq),
                ChangeKind::Vanished => row.is_none(),
            };
            let what = format!("the feed says {kind:?} at {modseq}");
            c.expect(right, "change", shown(place), what);
            Ok(())
        })
    }

    fn seen(&mut self) -> Checked {
        self.raw_rows(Table::Seen, &KeyRange::all(), |c, key, value| {
            let mut parts = Parts::new(key);
            let (Some(a), Some(m), Some(chunk), Some(reader), Some(bits)) = (
                parts.account(),
                parts.mailbox(),
                parts.u32(),
                parts.account(),
                Bits::from_bytes(value),
            ) else {
                c.unreadable(Table::Seen, key, "not a reader's bitmap");
                return Ok(());
            };
            let live = c.has(&Key::UidMap(a, m, chunk))? && !bits.is_empty();
            let what = format!("account {reader} has seen UIDs that are not there");
            c.expect(live, "seen", at(a, m), what);
            Ok(())
        })
    }
}
