//! Work on any number of emails, cut into records of bounded size. A series has
//! one piece in flight an account; records of others go in between.

use redoubt_log::id::{AccountId, MailboxId, ModSeq, OperationId, Uid};
use redoubt_log::record::{
    Actor, Arrival, Change, Copy, Done, Expunge, MAX_CHANGES, Move, Outcome, Placed, Rejection,
    SetFlags,
};

use super::propose::answer;
use super::{FlagUpdate, Flagged, Inner, MailboxRef, StoreError, WriteError};
use crate::view::View;

/// Emails in one record.
const PIECE: usize = MAX_CHANGES;

impl Inner {
    /// One piece of a series: what fits one record needs no turn.
    async fn piece(
        &self,
        actor: &Actor,
        account: AccountId,
        series: bool,
        change: Change,
    ) -> Result<Outcome, WriteError> {
        let _turn = match series {
            true => Some(self.gates.enter(account).await),
            false => None,
        };
        self.propose(actor, OperationId::random(), change).await
    }

    pub(super) async fn set_flags(
        &self,
        actor: &Actor,
        mailbox: MailboxRef,
        reader: AccountId,
        uids: Vec<Uid>,
        update: FlagUpdate,
    ) -> Result<Vec<(Uid, Result<Flagged, Rejection>)>, WriteError> {
        let mut answers = Vec::with_capacity(uids.len());
        for piece in uids.chunks(PIECE) {
            let change = Change::SetFlags(flags_record(mailbox, reader, piece, &update));
            let series = uids.len() > PIECE;
            let outcome = self.piece(actor, mailbox.account, series, change).await?;
            let index = outcome.index;
            let flagged = |modseq| Flagged { modseq: ModSeq::from(modseq), index };
            let changed = answer(outcome, changed)?.into_iter().map(|answer| answer.map(flagged));
            answers.extend(piece.iter().copied().zip(changed));
        }
        Ok(answers)
    }

    pub(super) async fn expunge(
        &self,
        actor: &Actor,
        mailbox: MailboxRef,
        uids: Vec<Uid>,
        only_deleted: bool,
    ) -> Result<Vec<(Uid, ModSeq)>, WriteError> {
        let MailboxRef { account, mailbox } = mailbox;
        let mut gone = Vec::new();
        for piece in uids.chunks(PIECE) {
            let expunge = Expunge { account, mailbox, uids: piece.to_vec(), only_deleted };
            let series = uids.len() > PIECE;
            let outcome = self.piece(actor, account, series, Change::Expunge(expunge)).await?;
            let changed = answer(outcome, changed)?;
            let went =
                piece.iter().zip(changed).filter_map(|(uid, a)| Some((*uid, a.ok()?.into())));
            gone.extend(went);
        }
        Ok(gone)
    }

    pub(super) async fn copy(
        &self,
        actor: &Actor,
        from: MailboxRef,
        to: MailboxId,
        uids: Vec<Uid>,
    ) -> Result<Vec<(Uid, Arrival)>, WriteError> {
        let MailboxRef { account, mailbox } = from;
        let record = |items: Vec<Placed>| Change::Copy(Copy { account, from: mailbox, to, items });
        self.transfer(actor, from, uids, record).await
    }

    pub(super) async fn move_to(
        &self,
        actor: &Actor,
        from: MailboxRef,
        to: MailboxId,
        uids: Vec<Uid>,
    ) -> Result<Vec<(Uid, Arrival)>, WriteError> {
        let MailboxRef { account, mailbox } = from;
        let record = |items: Vec<Placed>| Change::Move(Move { account, from: mailbox, to, items });
        self.transfer(actor, from, uids, record).await
    }

    /// COPY and MOVE: what is gone is left out, any other rejection ends it.
    async fn transfer(
        &self,
        actor: &Actor,
        from: MailboxRef,
        uids: Vec<Uid>,
        record: impl Fn(Vec<Placed>) -> Change,
    ) -> Result<Vec<(Uid, Arrival)>, WriteError> {
        let mut arrivals = Vec::with_capacity(uids.len());
        for piece in uids.chunks(PIECE) {
            let items = self.placed(from, piece.to_vec()).await?;
            if items.is_empty() {
                continue;
            }
            let series = uids.len() > PIECE;
            let outcome = self.piece(actor, from.account, series, record(items.clone())).await?;
            for (item, arrival) in items.iter().zip(answer(outcome, arrived)?) {
                match arrival {
                    Ok(arrival) => arrivals.push((item.uid, arrival)),
                    Err(Rejection::Gone) => {}
                    Err(rejection) => return Err(rejection.into()),
                }
            }
        }
        Ok(arrivals)
    }

    /// The emails that these UIDs place now, in the same order.
    async fn placed(&self, from: MailboxRef, uids: Vec<Uid>) -> Result<Vec<Placed>, StoreError> {
        let view = self.view().await?;
        self.work(move || look_up(&view, from, &uids)).await?
    }
}

fn look_up(view: &View, from: MailboxRef, uids: &[Uid]) -> Result<Vec<Placed>, StoreError> {
    let MailboxRef { account, mailbox } = from;
    let mut items = Vec::with_capacity(uids.len());
    for uid in uids {
        let placement = view.placement(account, mailbox, account, *uid)?;
        items.extend(placement.map(|placement| Placed { uid: *uid, email: placement.email }));
    }
    Ok(items)
}

fn flags_record(
    mailbox: MailboxRef,
    reader: AccountId,
    uids: &[Uid],
    update: &FlagUpdate,
) -> SetFlags {
    SetFlags {
        account: mailbox.account,
        mailbox: mailbox.mailbox,
        reader,
        uids: uids.to_vec(),
        how: update.how,
        flags: update.flags,
        keywords: update.keywords.clone(),
        unchanged_since: update.unchanged_since,
    }
}

fn changed(done: Done) -> Option<Vec<Result<redoubt_log::id::Sequence, Rejection>>> {
    match done {
        Done::Changed(answers) => Some(answers),
        _ => None,
    }
}

fn arrived(done: Done) -> Option<Vec<Result<Arrival, Rejection>>> {
    match done {
        Done::Arrived(answers) => Some(answers),
        _ => None,
    }
}
