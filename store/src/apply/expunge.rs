//! Placements go (RFC 9051 sections 6.4.3 and 6.4.9). Of a deleted mailbox too:
//! that is how it is swept.

use redoubt_log::id::{Sequence, Uid};
use redoubt_log::record::{Done, Expunge, Flags, Rejection};

use super::placing::{self, Place};
use super::work::Work;
use super::{Ruled, settle};

pub(crate) fn expunge(work: &mut Work<'_>, record: &Expunge) -> Ruled<Done> {
    work.mailbox(record.account, record.mailbox)?;
    let mut answers = Vec::with_capacity(record.uids.len());
    for uid in &record.uids {
        answers.push(settle(one(work, record, *uid))?);
    }
    Ok(Done::Changed(answers))
}

fn one(work: &mut Work<'_>, record: &Expunge, uid: Uid) -> Ruled<Sequence> {
    let place = Place { account: record.account, mailbox: record.mailbox, uid };
    let row = placing::find(work, place)?;
    if record.only_deleted && !row.version.flags.contains(Flags::DELETED) {
        return Err(Rejection::NotDeleted.into());
    }
    Ok(Sequence(placing::remove(work, place, &row)?.0))
}
