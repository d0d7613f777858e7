//! More placements of emails, and placements replaced by others. Both keep the
//! EMAILID (RFC 8474). What is gone is answered so; any other obstacle rejects
//! the whole record, since COPY and MOVE are all or none (RFC 9051 section 6.4.7).

use redoubt_log::id::{AccountId, MailboxId};
use redoubt_log::record::{Arrival, Copy, Done, Move, Placed, Rejection};

use super::placing::{self, Marks, Place};
use super::work::Work;
use super::{Ruled, policy};
use crate::mailbox::plan_keywords;
use crate::rows::PlacementRow;

pub(crate) fn copy(work: &mut Work<'_>, record: &Copy) -> Ruled<Done> {
    let way = Way { account: record.account, from: record.from, to: record.to, leave: false };
    all(work, way, &record.items)
}

pub(crate) fn move_to(work: &mut Work<'_>, record: &Move) -> Ruled<Done> {
    let way = Way { account: record.account, from: record.from, to: record.to, leave: true };
    all(work, way, &record.items)
}

#[derive(Debug, Clone, Copy)]
struct Way {
    account: AccountId,
    from: MailboxId,
    to: MailboxId,
    leave: bool,
}

fn all(work: &mut Work<'_>, way: Way, items: &[Placed]) -> Ruled<Done> {
    work.selectable(way.account, way.from)?;
    work.selectable(way.account, way.to)?;
    let mut answers = Vec::with_capacity(items.len());
    for item in items {
        let place = Place { account: way.account, mailbox: way.from, uid: item.uid };
        answers.push(match source(work, place, item)? {
            Some(row) => Ok(one(work, way, place, &row)?),
            None => Err(Rejection::Gone),
        });
    }
    Ok(Done::Arrived(answers))
}

fn source(work: &Work<'_>, place: Place, item: &Placed) -> Ruled<Option<PlacementRow>> {
    let row = super::settle(placing::find(work, place))?.ok();
    Ok(row.filter(|row| row.email == item.email))
}

/// The new placement comes first: the email is never without one.
fn one(work: &mut Work<'_>, way: Way, place: Place, row: &PlacementRow) -> Ruled<Arrival> {
    let target = work.mailbox(way.account, way.to)?.row.get();
    let keywords = plan_keywords(target, &row.version.keywords)?;
    let marks = Marks { flags: row.version.flags, keywords };
    if way.leave {
        policy::capture(work, way.account, row.email)?;
    }
    let arrival = placing::place(work, way.account, way.to, row.email, marks, None)?;
    if way.leave {
        placing::go(work, place, row)?;
    }
    Ok(arrival)
}
