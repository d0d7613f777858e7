//! What waits for a second person: one row for each thing, and one rule for all of them. What
//! asks puts the row, what ends by itself closes it; what a decision comes to is each kind's own.

use redoubt_log::record::{
    AccountState, Actor, Approval, Approves, Done, Principal, Rejection, Role,
};

use super::matter::check_lines;
use super::work::Work;
use super::{Ruled, erase, hold, policy};
use crate::keys::Key;
use crate::rows::{ApprovalRow, ApprovalState, Decision};

fn refused<T>(why: String) -> Ruled<T> {
    Err(Rejection::Approval(why).into())
}

/// From now on it waits, whatever was decided on one before it of the same name.
pub(crate) fn ask(work: &mut Work<'_>, of: Approves, by: Principal) -> Ruled<()> {
    let row = ApprovalRow { by, asked: work.time, state: ApprovalState::Waits };
    Ok(work.tx.put(&Key::Approval(of), &row)?)
}

/// Nobody has to decide it any more.
pub(crate) fn over(work: &mut Work<'_>, of: Approves) -> Ruled<()> {
    let key = Key::Approval(of);
    let Some(mut row) = work.tx.get::<ApprovalRow>(&key)? else { return Ok(()) };
    if row.state == ApprovalState::Waits {
        row.state = ApprovalState::Over(work.time);
        work.tx.put(&key, &row)?;
    }
    Ok(())
}

/// Rejects what nobody has approved, where somebody has to.
pub(crate) fn need(work: &Work<'_>, of: Approves) -> Ruled<()> {
    match work.tx.get::<ApprovalRow>(&Key::Approval(of))?.map(|row| row.state) {
        None => Ok(()),
        Some(ApprovalState::Decided(Decision { given: true, .. })) => Ok(()),
        Some(ApprovalState::Decided(_)) => refused(format!("{of} was refused")),
        Some(_) => refused(format!("{of} is not approved")),
    }
}

pub(crate) fn decide(work: &mut Work<'_>, actor: &Actor, record: &Approval) -> Ruled<Done> {
    let Approval { of, given, ref note } = *record;
    check_lines("a note", note)?;
    let key = Key::Approval(of);
    let Some(mut row) = work.tx.get::<ApprovalRow>(&key)? else {
        return Err(Rejection::NotFound(format!("{of} that waits for a second person")).into());
    };
    second_person(work, actor, row.by)?;
    match row.state {
        ApprovalState::Waits => {}
        ApprovalState::Decided(_) => return refused(format!("{of} is decided already")),
        ApprovalState::Over(_) => return refused(format!("{of} waits for nobody any more")),
    }
    let (by, time, note) = (actor.principal, work.time, note.clone());
    row.state = ApprovalState::Decided(Decision { given, by, time, note });
    work.tx.put(&key, &row)?;
    match of {
        // Its node looks for the row, and its end is refused without.
        Approves::Export(_) => Ok(Done::Unit),
        Approves::HoldRelease(hold) if given => hold::ends_now(work, hold),
        Approves::HoldRelease(_) => Ok(Done::Unit),
        Approves::Policy { policy, version } => policy::decided(work, policy, version, given),
        Approves::Erasure(erasure) => erase::decided(work, erasure, given),
    }
}

/// Another one than who asked, known by a token of their own, who may approve. The server's own
/// user is no person: who it is nobody can tell.
fn second_person(work: &mut Work<'_>, actor: &Actor, asked: Principal) -> Ruled<()> {
    let Principal::Person(person) = actor.principal else {
        return refused("a second person decides this, known by a personal token".to_owned());
    };
    if actor.principal == asked {
        return refused("who asked for it does not decide it: a second person has to".to_owned());
    }
    let granted = work.tx.get_raw(&Key::Grant(person, Role::Approver, None))?.is_some();
    let active = work.account(person)?.row.get().settings.state == AccountState::Active;
    match granted && active {
        true => Ok(()),
        false => refused(format!("only somebody with the role {} decides this", Role::Approver)),
    }
}
