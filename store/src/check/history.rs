//! The history: its newest versions are the present; each came with a record;
//! every blob that it names is there.

use redoubt_log::id::{BlobId, CaptureId, ClassId, LogIndex};

use super::{Checked, Checker};
use crate::keys::{Key, Object, Parts, parse_history};
use crate::rows::{CredentialRow, EmailData, EmailRow, PlacementRow, PlacementVersion, Version};
use crate::storage::{KeyRange, StorageError, Table, decode, encode};

/// The newest version seen so far of one object.
struct Newest {
    object: Object,
    index: LogIndex,
    value: Option<Vec<u8>>,
}

impl Checker<'_> {
    pub(super) fn history(&mut self) -> Checked {
        let mut newest: Option<Newest> = None;
        self.raw_rows(Table::History, &KeyRange::all(), |c, key, value| {
            let (Some((object, index)), Some(version)) =
                (parse_history(key), Version::decode(value))
            else {
                c.unreadable(Table::History, key, "no version of an object");
                return Ok(());
            };
            let first = newest.as_ref().is_none_or(|old| old.object != object);
            // Of what a policy has taken only its end is left.
            let taken = matches!(object, Object::Email(..) | Object::Placement(..));
            let gone = (first && !taken)
                || (!first && newest.as_ref().is_some_and(|old| old.value.is_none()));
            let twice = version.is_none() && gone && index > c.floor(object.account())?;
            c.expect(!twice, "history", name(&object), format!("it went at {index} unseen"));
            let value = version.map(<[u8]>::to_vec);
            match newest.replace(Newest { object, index, value }) {
                Some(old) if first => c.is_newest(&old),
                Some(old) => c.kept(&old, Some(index)),
                None => Ok(()),
            }
        })?;
        if let Some(last) = newest {
            self.is_newest(&last)?;
        }
        self.present_has_history()
    }

    fn is_newest(&mut self, newest: &Newest) -> Checked {
        self.kept(newest, None)?;
        self.is_present(newest)
    }

    /// A version that some view can see: one that another took the place of at or below the
    /// floor only waits to be dropped.
    fn kept(&mut self, old: &Newest, until: Option<LogIndex>) -> Checked {
        let floor = self.floor(old.object.account())?;
        if until.is_some_and(|until| until <= floor) {
            return Ok(());
        }
        if old.index > floor {
            self.recorded(&old.object, old.index)?;
        }
        self.version(&old.object, old.value.as_deref())
    }

    fn recorded(&mut self, object: &Object, index: LogIndex) -> Checked {
        let there = self.has(&Key::Record(index))?;
        self.expect(there, "record", name(object), format!("no record {index} is known"));
        Ok(())
    }

    /// What a version names is there, of the past too.
    fn version(&mut self, object: &Object, version: Option<&[u8]>) -> Checked {
        let Some(value) = version else { return Ok(()) };
        match object {
            Object::Email(a, email) => {
                let Ok(data) = decode::<EmailData>(Table::History, &[], value) else {
                    self.wrong("history", name(object), "its version cannot be read");
                    return Ok(());
                };
                for blob in std::iter::once(data.blob).chain(data.envelope) {
                    self.blob(object, &blob);
                    self.referred(*a, *email, blob)?;
                }
                self.threaded(*a, *email, &data)
            }
            Object::Placement(a, m, uid) => {
                let Ok(placed) = decode::<PlacementVersion>(Table::History, &[], value) else {
                    self.wrong("history", name(object), "its version cannot be read");
                    return Ok(());
                };
                let known = self.has(&Key::EmailPlacement(*a, placed.email, *m, *uid))?;
                let what = format!("email {} does not know that it stood there", placed.email);
                self.expect(known, "email-placement", name(object), what);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn blob(&mut self, object: &Object, blob: &BlobId) {
        if let Err(error) = (self.blobs)(blob) {
            self.wrong("blob", name(object), format!("{blob}: {error}"));
        }
    }

    /// The newest version is the current row, or there is none.
    fn is_present(&mut self, newest: &Newest) -> Checked {
        let current = self.current(&newest.object)?;
        let what = "its newest version is not what it is now";
        self.expect(current == newest.value, "history", name(&newest.object), what);
        Ok(())
    }

    /// What the history would say of the current row.
    fn current(&self, object: &Object) -> Result<Option<Vec<u8>>, StorageError> {
        let raw = |key: &Key<'_>| self.reader.get(key.table(), &key.bytes());
        match object {
            Object::Domain(domain) => raw(&Key::Domain(domain)),
            Object::Address(address) => raw(&Key::Address(address)),
            Object::Class(class) => raw(&Key::Class(*class)),
            Object::Capture(rule) => raw(&Key::Capture(*rule)),
            Object::DomainClass(domain) => raw(&Key::DomainClass(domain)),
            Object::AccountClass(a) => raw(&Key::AccountClass(*a)),
            Object::Account(a) => raw(&Key::Account(*a)),
            Object::Usage(a) => raw(&Key::Usage(*a)),
            Object::Mailbox(a, m) => raw(&Key::Mailbox(*a, *m)),
            Object::Counters(a, m) => raw(&Key::Counters(*a, *m)),
            Object::Subscription(a, name) => raw(&Key::Subscription(*a, name)),
            Object::Seen(a, m, chunk, reader) => raw(&Key::Seen(*a, *m, *chunk, *reader)),
            Object::Credential(a, name) => {
                let row: Option<CredentialRow> = self.get(&Key::Credential(*a, name))?;
                row.map(|row| encode(&CredentialRow { phc: String::new(), ..row })).transpose()
            }
            Object::Placement(a, m, uid) => {
                let row: Option<PlacementRow> = self.get(&Key::Placement(*a, *m, *uid))?;
                row.map(|row| encode(&row.version)).transpose()
            }
            Object::Email(a, email) => {
                let row: Option<EmailRow> = self.get(&Key::Email(*a, *email))?;
                row.map(|row| encode(&row.data)).transpose()
            }
        }
    }

    /// Nothing is there that the history has not seen coming.
    fn present_has_history(&mut self) -> Checked {
        for table in [
            Table::Directory,
            Table::Account,
            Table::Mailbox,
            Table::Placement,
            Table::Email,
            Table::Seen,
        ] {
            self.raw_rows(table, &KeyRange::all(), |c, key, _| {
                let Some(object) = object_of(table, key) else { return Ok(()) };
                let known = c.reader.last(Table::History, &object.versions())?.is_some();
                c.expect(known, "history", name(&object), "it has no version");
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// The object of a current row; lookups and broken keys have none.
fn object_of(table: Table, key: &[u8]) -> Option<Object> {
    let mut parts = Parts::new(key);
    if table == Table::Directory {
        return match parts.u8()? {
            b'd' => Some(Object::Domain(parts.text()?.to_owned())),
            b'n' => Some(Object::Address(parts.address()?)),
            b's' => Some(Object::Class(ClassId(parts.u64()?))),
            b'r' => Some(Object::Capture(CaptureId(parts.u64()?))),
            b'c' => Some(Object::DomainClass(parts.text()?.to_owned())),
            // Tokens and nodes of a cluster are only as they are now.
            _ => None,
        };
    }
    let a = parts.account()?;
    match table {
        Table::Placement => Some(Object::Placement(a, parts.mailbox()?, parts.uid()?)),
        Table::Email => Some(Object::Email(a, parts.email()?)),
        Table::Seen => Some(Object::Seen(a, parts.mailbox()?, parts.u32()?, parts.account()?)),
        Table::Account => match parts.u8()? {
            b'a' => Some(Object::Account(a)),
            b'u' => Some(Object::Usage(a)),
            b'l' => Some(Object::AccountClass(a)),
            b'c' => Some(Object::Credential(a, parts.text()?.to_owned())),
            _ => None,
        },
        _ => match parts.u8()? {
            b'm' => Some(Object::Mailbox(a, parts.mailbox()?)),
            b'k' => Some(Object::Counters(a, parts.mailbox()?)),
            b's' => Some(Object::Subscription(a, parts.text()?.to_owned())),
            _ => None,
        },
    }
}

fn name(object: &Object) -> String {
    format!("{object:?}")
}
