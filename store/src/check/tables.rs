//! What holds over all tables: one index, one hash, one clock.

use redoubt_log::id::Timestamp;

use super::{Checked, Checker, recomputed};
use crate::hash::StateHash;
use crate::keys::{Key, Meta};
use crate::storage::{Table, applied_in};

impl Checker<'_> {
    pub(super) fn tables(&mut self) -> Checked {
        self.one_index()?;
        let stored = StateHash::stored(self.reader).ok();
        let actual = recomputed(self.reader)?;
        self.expect(
            stored == Some(actual),
            "state-hash",
            "all tables",
            format!("the rows hash to {}, and another hash is kept", actual.digest()),
        );
        Ok(())
    }

    fn one_index(&mut self) -> Checked {
        let meta = applied_in(self.reader, Table::Meta).ok().flatten();
        for table in Table::ALL {
            let here = applied_in(self.reader, table).ok().flatten();
            let what = format!("applied is {here:?}, and {meta:?} in {}", Table::Meta);
            self.expect(here == meta, "applied", table, what);
        }
        let clock: Option<Timestamp> = self.get(&Key::Meta(Meta::Clock))?;
        let what = format!("the clock is {clock:?}, the last entry's time {meta:?}");
        self.expect(clock == meta.map(|applied| applied.time), "clock", Table::Meta, what);
        Ok(())
    }
}
